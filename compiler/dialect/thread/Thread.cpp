#include "compiler/dialect/thread/Thread.h"

#include "mlir/IR/Builders.h"

#include "compiler/dialect/thread/ThreadDialect.cpp.inc"
#define GET_OP_CLASSES
#include "compiler/dialect/thread/Thread.cpp.inc"

namespace attune::thread {

void ThreadDialect::initialize() {
  addOperations<
#define GET_OP_LIST
#include "compiler/dialect/thread/Thread.cpp.inc"
      >();
}

} // namespace attune::thread
