// Every pass of the compiler, in the order in which they run. One pass, one .cpp, one lit test of the same name.
#ifndef ATTUNE_TRANSFORMS_PASSES_TD
#define ATTUNE_TRANSFORMS_PASSES_TD

include "mlir/Pass/PassBase.td"

def AttnToTile : Pass<"attn-to-tile", "::mlir::ModuleOp"> {
  let summary = "Decide the schedule of each attn.forward and write its tile program";
  let description = [{
    The only place where a schedule is decided. An illegal one is refused at the op, with the numbers and the nearest
    schedule that fits.
  }];
  let options = [Option<"arch", "arch", "std::string", "\"sm_80\"", "The architecture to schedule for">];
  let dependentDialects = ["::attune::tile::TileDialect"];
}

def TileVerifySchedule : Pass<"tile-verify-schedule", "::attune::tile::KernelOp"> {
  let summary = "Check a tile program against its machine: rings, shared memory, threads";
  let description = [{
    Changes nothing. Runs the program's control flow on representative lengths: every slot that is acquired was released,
    every tile that is waited for was copied and committed, and every tile that is waited for is released.
  }];
}

def TileAllocateSmem : Pass<"tile-allocate-smem", "::attune::tile::KernelOp"> {
  let summary = "Give every ring an aligned offset in shared memory, and the kernel its size";
}

def TileLowerChannels : Pass<"tile-lower-channels", "::attune::tile::KernelOp"> {
  let summary = "Rings become slots, copy groups and barriers";
  let description = [{
    slot = iteration mod depth. A wait becomes cp.async.wait_group with the largest count that is safe on every path, and
    a barrier; an acquire becomes a barrier only where none has passed since the release of the slot.
  }];
}

def TileDistribute : Pass<"tile-distribute", "::mlir::ModuleOp"> {
  let summary = "Tiles become what one thread holds of them: vectors, and byte offsets of shared memory";
  let dependentDialects = ["::attune::thread::ThreadDialect", "::mlir::vector::VectorDialect"];
}

def ThreadToNvvm : Pass<"thread-to-nvvm", "::mlir::ModuleOp"> {
  let summary = "The thread form as LLVM and NVVM dialect: registers and machine operations";
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::NVVM::NVVMDialect"];
}

#endif
