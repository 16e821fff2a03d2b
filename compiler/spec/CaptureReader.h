//===- CaptureReader.h - what expressions read, out of JSON and flags -*- C++ -*-===//
#ifndef ATTUNE_COMPILER_SPEC_CAPTUREREADER_H
#define ATTUNE_COMPILER_SPEC_CAPTUREREADER_H

#include "compiler/spec/ValueReader.h"

namespace attune {

/// Adds captured arrays: {"doc": {"dtype": "i32", "axes": ["b", "kv"]}}, or, as a flag has them,
/// "doc:i32[b,kv]", "doc:i32[b,kv]=doc.npy", or "doc=doc.npy" of one that is there. One of a name that is
/// there takes its place.
void readArrays(ValueReader &reader, const json::Value &value, expr::Captures &captures);

/// Adds run-time scalars: {"window": "i32", "cap": "f32:50"}, or "window=4096", "cap:f32", "cap:f32=50".
void readScalars(ValueReader &reader, const json::Value &value, expr::Captures &captures);

/// As flags have them.
std::string flagText(const expr::CapturedArray &array);
std::string flagText(const expr::CapturedScalar &scalar);

} // namespace attune

#endif // ATTUNE_COMPILER_SPEC_CAPTUREREADER_H
