//===- Naming.h - values that keep the names of the papers ------*- C++ -*-===//
//
// Builders name what they make with MLIR name locations; printed IR and CUDA C++ use these names.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_COMPILER_SCHEDULE_NAMING_H
#define ATTUNE_COMPILER_SCHEDULE_NAMING_H

#include "mlir/IR/Builders.h"
#include "mlir/IR/Location.h"

namespace attune {

/// Makes ops at a location called `name`, for example make<arith::AddIOp>("row", a, b).
class NamingBuilder : public mlir::OpBuilder {
public:
  NamingBuilder(mlir::OpBuilder builder, mlir::Location where) : OpBuilder(builder), where(where) {}

  template <typename Op, typename... Args> Op make(llvm::StringRef name, Args &&...args) {
    return Op::create(*this, named(name), std::forward<Args>(args)...);
  }
  mlir::Location named(llvm::StringRef name) const {
    return name.empty()
               ? where
               : mlir::Location(mlir::NameLoc::get(mlir::StringAttr::get(getContext(), name), where));
  }
  mlir::Location unnamed() const { return where; }

private:
  mlir::Location where;
};

} // namespace attune

#endif // ATTUNE_COMPILER_SCHEDULE_NAMING_H
