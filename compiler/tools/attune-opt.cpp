//===- attune-opt.cpp - any pass of the compiler, alone -------------------===//
#include "compiler/transforms/Passes.h"

#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "mlir/Transforms/Passes.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  attune::registerAttuneDialects(registry);
  attune::registerAttunePasses();
  mlir::registerTransformsPasses();
  return mlir::asMainReturnCode(mlir::MlirOptMain(argc, argv, "attune's passes\n", registry));
}
