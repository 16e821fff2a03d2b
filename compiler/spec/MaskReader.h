//===- MaskReader.h - masks out of JSON and flags ---------------*- C++ -*-===//
#ifndef ATTUNE_COMPILER_SPEC_MASKREADER_H
#define ATTUNE_COMPILER_SPEC_MASKREADER_H

#include "compiler/spec/ValueReader.h"

#include <functional>

namespace attune {

/// Adds what `value` says to the spec's mask: a mask's name ("causal", "window:LEFT:RIGHT:ALIGN"), an object
/// ({"kind": "window", "left": 4096}), or a list of them.
/// A string that is no name is an expression: `expression` takes it.
void readMask(ValueReader &reader, const json::Value &value, AttentionSpec &spec,
              const std::function<void(const json::Value &)> &expression);

} // namespace attune

#endif // ATTUNE_COMPILER_SPEC_MASKREADER_H
