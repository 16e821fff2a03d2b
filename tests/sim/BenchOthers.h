//===- BenchOthers.h - how fast ordinary kernels of others run ----*- C++ -*-===//
#ifndef ATTUNE_TESTS_SIM_BENCHOTHERS_H
#define ATTUNE_TESTS_SIM_BENCHOTHERS_H

#include <string>

/// Runs the kernels of bench/ordinary.ptx, a line each: M warp instructions a second of processor time. Exit
/// status: 1 where a result is wrong or something was found.
int benchOthers(const std::string &ptxFile, unsigned threads, bool checks);

#endif // ATTUNE_TESTS_SIM_BENCHOTHERS_H
