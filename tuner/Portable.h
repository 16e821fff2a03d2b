//===- Portable.h - the work of the portable family -------------*- C++ -*-===//
#ifndef ATTUNE_TUNER_PORTABLE_H
#define ATTUNE_TUNER_PORTABLE_H

#include "tuner/Space.h"

namespace attune::tuner {

/// mma.sync kernels, for every architecture from sm_80 on.
const Family &portableFamily();

} // namespace attune::tuner

#endif // ATTUNE_TUNER_PORTABLE_H
