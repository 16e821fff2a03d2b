//===- Names.h - names that leave the compiler ------------------*- C++ -*-===//
#ifndef ATTUNE_COMPILER_DIALECT_NAMES_H
#define ATTUNE_COMPILER_DIALECT_NAMES_H

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringRef.h"

namespace attune {

/// Whether `name` can be an entry point in PTX and in C++: a C identifier of at most 64 characters.
inline bool isKernelName(llvm::StringRef name) {
  return !name.empty() && name.size() <= 64 && !llvm::isDigit(name.front()) &&
         llvm::all_of(name, [](char c) { return llvm::isAlnum(c) || c == '_'; });
}

} // namespace attune

#endif // ATTUNE_COMPILER_DIALECT_NAMES_H
