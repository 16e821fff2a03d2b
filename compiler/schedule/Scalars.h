//===- Scalars.h - scalar arithmetic in tile programs -----------*- C++ -*-===//
#ifndef ATTUNE_COMPILER_SCHEDULE_SCALARS_H
#define ATTUNE_COMPILER_SCHEDULE_SCALARS_H

#include "compiler/schedule/Naming.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

namespace attune {

/// i32 arithmetic that reads like arithmetic.
class Scalars {
public:
  explicit Scalars(NamingBuilder &b) : b(b) {}
  mlir::Value constant(int64_t value) {
    return b.make<mlir::arith::ConstantOp>("", b.getI32IntegerAttr(int32_t(value)));
  }
  mlir::Value add(mlir::Value x, mlir::Value y, llvm::StringRef name = "") {
    return b.make<mlir::arith::AddIOp>(name, x, y);
  }
  mlir::Value sub(mlir::Value x, mlir::Value y, llvm::StringRef name = "") {
    return b.make<mlir::arith::SubIOp>(name, x, y);
  }
  mlir::Value mul(mlir::Value x, int64_t y, llvm::StringRef name = "") {
    return b.make<mlir::arith::MulIOp>(name, x, constant(y));
  }
  mlir::Value mul(mlir::Value x, mlir::Value y, llvm::StringRef name = "") {
    return b.make<mlir::arith::MulIOp>(name, x, y);
  }
  /// Floor division of a value that is not negative.
  mlir::Value div(mlir::Value x, int64_t y, llvm::StringRef name = "") {
    return b.make<mlir::arith::DivUIOp>(name, x, constant(y));
  }
  mlir::Value div(mlir::Value x, mlir::Value y, llvm::StringRef name = "") {
    return b.make<mlir::arith::DivUIOp>(name, x, y);
  }
  mlir::Value min(mlir::Value x, mlir::Value y, llvm::StringRef name = "") {
    return b.make<mlir::arith::MinSIOp>(name, x, y);
  }
  mlir::Value max(mlir::Value x, mlir::Value y, llvm::StringRef name = "") {
    return b.make<mlir::arith::MaxSIOp>(name, x, y);
  }
  mlir::Value less(mlir::Value x, mlir::Value y, llvm::StringRef name = "") {
    return b.make<mlir::arith::CmpIOp>(name, mlir::arith::CmpIPredicate::slt, x, y);
  }
  mlir::Value select(mlir::Value condition, mlir::Value x, mlir::Value y, llvm::StringRef name = "") {
    return b.make<mlir::arith::SelectOp>(name, condition, x, y);
  }

private:
  NamingBuilder &b;
};

} // namespace attune

#endif // ATTUNE_COMPILER_SCHEDULE_SCALARS_H
