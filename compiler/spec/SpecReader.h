//===- SpecReader.h - specs from JSON and flags -----------------*- C++ -*-===//
//
// One table of fields serves both: a flag's text becomes a JSON value and takes the same way.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_COMPILER_SPEC_SPECREADER_H
#define ATTUNE_COMPILER_SPEC_SPECREADER_H

#include "compiler/spec/Spec.h"

#include <string>
#include <string_view>
#include <vector>

namespace attune {

/// One flag as given on a command line. Of switches (`--lse`, `--no-lse`) the value is empty.
struct FlagValue {
  std::string flag; ///< with its dashes: "--head-dim"
  std::string value;
};

/// A flag that sets a field, for the command line's parser and its help.
struct SpecFlag {
  std::string flag;      ///< "--head-dim"
  std::string valueName; ///< "N", "fp16|bf16"; empty: takes no value
  std::string help;
  bool repeatable = false;
};

/// All flags of a spec.
const std::vector<SpecFlag> &specFlags();

/// The spec of `text` (JSON; empty `file` means that there is no text: start from the defaults) with
/// `flags` on top; a field that has a flag takes nothing from the file. The error holds every mistake of
/// both, each as `file:line:col: error: expected ..., got ...` or `command line: --flag: error: expected
/// ...`.
Result<AttentionSpec> readSpec(std::string_view text, std::string_view file,
                               const std::vector<FlagValue> &flags = {});

/// Whether the fields of a spec that a program made are sound: the same checks, with the fields' names as
/// places: `spec: head_dim_qk: error: expected ..., got ...`.
Status checkFields(const AttentionSpec &spec);

/// readSpec of a file's content; "-" is standard input, "" no file.
Result<AttentionSpec> loadSpec(const std::string &path, const std::vector<FlagValue> &flags = {});

} // namespace attune

#endif // ATTUNE_COMPILER_SPEC_SPECREADER_H
