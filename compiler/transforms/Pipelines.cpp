//===- Pipelines.cpp - which passes run, in order -------------------------===//
#include "compiler/transforms/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

namespace attune {

void populateAttnToTilePipeline(OpPassManager &pm, const std::string &arch) {
  pm.addPass(createAttnToTile({arch}));
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
}

void populateTileToThreadPipeline(OpPassManager &pm) {
  pm.addNestedPass<tile::KernelOp>(createTileAllocateSmem());
  pm.addNestedPass<tile::KernelOp>(createTileVerifySchedule());
  pm.addNestedPass<tile::KernelOp>(createTileLowerChannels());
  pm.addPass(createTileDistribute());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
}

void populateThreadToLLVMPipeline(OpPassManager &pm) { pm.addPass(createThreadToNvvm()); }

void registerAttuneDialects(DialectRegistry &registry) {
  registry.insert<attn::AttnDialect, tile::TileDialect, thread::ThreadDialect, arith::ArithDialect,
                  gpu::GPUDialect, LLVM::LLVMDialect, math::MathDialect, NVVM::NVVMDialect, scf::SCFDialect,
                  tensor::TensorDialect, vector::VectorDialect>();
}

} // namespace attune
