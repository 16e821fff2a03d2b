#include "compiler/target/cuda/TranslateToCuda.h"

namespace attune {

Result<std::string> translateToCuda(mlir::ModuleOp module) { return missing("target cuda is being built"); }

} // namespace attune
