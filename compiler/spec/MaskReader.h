//===- MaskReader.h - masks out of JSON and flags ---------------*- C++ -*-===//
#ifndef ATTUNE_COMPILER_SPEC_MASKREADER_H
#define ATTUNE_COMPILER_SPEC_MASKREADER_H

#include "compiler/spec/ValueReader.h"

namespace attune {

/// Adds what `value` says to the spec's mask: a mask's name ("causal", "window:LEFT:RIGHT:ALIGN"), an object
/// ({"kind": "window", "left": 4096}), or a list of them.
void readMask(ValueReader &reader, const json::Value &value, AttentionSpec &spec);

} // namespace attune

#endif // ATTUNE_COMPILER_SPEC_MASKREADER_H
