// The tile dialect: layouts, types and enums, which the thread dialect shares.
#ifndef ATTUNE_DIALECT_TILEBASE_TD
#define ATTUNE_DIALECT_TILEBASE_TD

include "mlir/IR/OpBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/IR/OpAsmInterface.td"

def Tile_Dialect : Dialect {
  let name = "tile";
  let cppNamespace = "::attune::tile";
  let summary = "Tile programs: rings, asynchronous copies, dots, rows";
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::math::MathDialect", "::mlir::scf::SCFDialect",
                           "::mlir::gpu::GPUDialect", "::mlir::tensor::TensorDialect"];
  let useDefaultTypePrinterParser = 1;
  let useDefaultAttributePrinterParser = 1;
}

class Tile_Op<string mnemonic, list<Trait> traits = []> : Op<Tile_Dialect, mnemonic, traits>;

//===----------------------------------------------------------------------===//
// Layouts and types
//===----------------------------------------------------------------------===//

class Tile_Layout<string name, string mnemonicText, string what> : AttrDef<Tile_Dialect, name> {
  let mnemonic = mnemonicText;
  let summary = what;
}
def Tile_AccAttr : Tile_Layout<"Acc", "acc", "the accumulator fragment of mma.m16n8 (and wgmma)">;
def Tile_RowAttr : Tile_Layout<"Row", "row", "one value for each row of an accumulator fragment">;
def Tile_AOpAttr : Tile_Layout<"AOp", "a_op", "the register A operand of a dot">;
def Tile_SmemAttr : Tile_Layout<"Smem", "smem", "swizzled shared memory">;

def Tile_RingKind : I32EnumAttr<"RingKind", "how a ring's slots are filled", [
  I32EnumAttrCase<"Copies", 0, "copies">, // by cp.async of every thread, in groups
  I32EnumAttrCase<"Tma", 1, "tma">        // by TMA, which counts its bytes at a barrier
]> {
  let cppNamespace = "::attune::tile";
  let genSpecializedAttr = 0;
}

def Tile_RingType : TypeDef<Tile_Dialect, "Ring"> {
  let mnemonic = "ring";
  let summary = "Slots in shared memory that are filled and emptied in turn";
  let parameters = (ins "int64_t":$depth, "::mlir::RankedTensorType":$slot,
                    DefaultValuedParameter<"::attune::tile::RingKind", "::attune::tile::RingKind::Copies">:$kind);
  let assemblyFormat = "`<` $depth `x` $slot (`,` $kind^)? `>`";
  let genVerifyDecl = 1;
  let builders = [TypeBuilder<(ins "int64_t":$depth, "::mlir::RankedTensorType":$slot), [{
    return $_get($_ctxt, depth, slot, RingKind::Copies);
  }]>];
}

def Tile_PlaceType : TypeDef<Tile_Dialect, "Place"> {
  let mnemonic = "place";
  let summary = "Where a ring of `depth` slots has a tile: in which slot, and in a phase of which parity";
  let parameters = (ins "int64_t":$depth);
  let assemblyFormat = "`<` $depth `>`";
  let genVerifyDecl = 1;
}

def Tile_WordsType : TypeDef<Tile_Dialect, "Words"> {
  let mnemonic = "words";
  let summary = "Numbers (i32) in shared memory that one role hands to the others";
  let parameters = (ins "int64_t":$depth);
  let assemblyFormat = "`<` $depth `>`";
  let genVerifyDecl = 1;
}

def Tile_TensorMapType : TypeDef<Tile_Dialect, "TensorMap"> {
  let mnemonic = "tensor_map";
  let summary = "What TMA knows of an array: boxes of `rows` rows and `cols` columns, swizzled as tiles of shared memory are";
  let parameters = (ins "int64_t":$rows, "int64_t":$cols, "::mlir::Type":$elementType);
  let assemblyFormat = "`<` $rows `x` $cols `,` $elementType `>`";
  let genVerifyDecl = 1;
}

def Tile_ViewType : TypeDef<Tile_Dialect, "View"> {
  let mnemonic = "view";
  let summary = "A matrix in global memory: run-time rows with a run-time stride, `cols` adjacent elements a row";
  let parameters = (ins "int64_t":$cols, "::mlir::Type":$elementType);
  let assemblyFormat = "`<` $cols `,` $elementType `>`";
  let genVerifyDecl = 1;
}

def Tile_ArrayType : TypeDef<Tile_Dialect, "Array"> {
  let mnemonic = "array";
  let summary = "An array in global memory that a kernel is launched with";
  let description = [{
    Extents of the axes in the kernel's order: numbers, names of sizes (batch, heads_q, heads_kv, len_q, len_kv), or
    expressions over these as strings. Elements of the last axis are adjacent, the other axes have run-time strides.

    Example: `!tile.array<batch x heads_q x len_q x 128 x bf16>`, `!tile.array<"batch * len_q" x f32>`
  }];
  let parameters = (ins ArrayRefParameter<"::mlir::StringAttr">:$extents, "::mlir::Type":$elementType);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    int64_t getRank() const { return int64_t(getExtents().size()); }
    /// The extent of the last axis, where it is a number; else 0.
    int64_t getLastExtent() const;
  }];
}

def Tile_WorkspaceType : TypeDef<Tile_Dialect, "Workspace"> {
  let mnemonic = "workspace";
  let summary = "A part of the program's workspace in global memory";
  let parameters = (ins "::mlir::Type":$elementType);
  let assemblyFormat = "`<` $elementType `>`";
  let genVerifyDecl = 1;
}

//===----------------------------------------------------------------------===//
// Effects
//===----------------------------------------------------------------------===//

// What operations read, write, wait for and order. An operation that makes other contents of shared memory visible,
// or lets others change them, counts as one that writes it: reads must not cross it.
def Tile_SharedMemory : Resource<"::attune::tile::SharedMemory">;
// Copies and accumulators that are issued and not yet waited for.
def Tile_InFlight : Resource<"::attune::tile::InFlight">;
// Where warps meet.
def Tile_Barriers : Resource<"::attune::tile::Barriers">;

defvar Tile_ReadsShared = MemoryEffects<[MemRead<Tile_SharedMemory>]>;
// Issues copies that will write shared memory.
defvar Tile_Issues = MemoryEffects<[MemRead, MemWrite<Tile_SharedMemory>, MemWrite<Tile_InFlight>]>;
// Waits for something in flight, or for other warps.
defvar Tile_Synchronises = MemoryEffects<[MemWrite<Tile_SharedMemory>, MemRead<Tile_InFlight>,
                                          MemWrite<Tile_InFlight>, MemRead<Tile_Barriers>, MemWrite<Tile_Barriers>]>;
// Closes a group of what is in flight.
defvar Tile_Commits = MemoryEffects<[MemRead<Tile_InFlight>, MemWrite<Tile_InFlight>]>;
// Changes a tile between two barriers.
defvar Tile_RewritesShared = MemoryEffects<[MemRead<Tile_SharedMemory>, MemWrite<Tile_SharedMemory>,
                                            MemRead<Tile_Barriers>, MemWrite<Tile_Barriers>]>;
// To global memory, through shared memory.
defvar Tile_StoresThrough = MemoryEffects<[MemWrite, MemRead<Tile_SharedMemory>, MemWrite<Tile_SharedMemory>,
                                           MemRead<Tile_Barriers>, MemWrite<Tile_Barriers>]>;

// The same by TMA, which goes on reading shared memory.
defvar Tile_StoresByTma = MemoryEffects<[MemWrite, MemRead<Tile_SharedMemory>, MemWrite<Tile_SharedMemory>,
                                         MemWrite<Tile_InFlight>]>;

// Waits for a slot, and issues copies that will write it.
defvar Tile_Fills = MemoryEffects<[MemRead, MemWrite<Tile_SharedMemory>, MemWrite<Tile_InFlight>,
                                   MemRead<Tile_Barriers>, MemWrite<Tile_Barriers>]>;
// Issues a product that reads shared memory and computes registers until it is waited for.
defvar Tile_IssuesDot = MemoryEffects<[MemRead<Tile_SharedMemory>, MemWrite<Tile_InFlight>]>;

class Tile_TensorWith<string layout, string what> : Type<
    CPred<"::llvm::isa<::mlir::RankedTensorType>($_self) && ::llvm::isa_and_present<::attune::tile::" # layout #
          ">(::llvm::cast<::mlir::RankedTensorType>($_self).getEncoding())">,
    "tensor with layout " # what, "::mlir::RankedTensorType">;
def Tile_Acc : Tile_TensorWith<"AccAttr", "#tile.acc">;
def Tile_Row : Tile_TensorWith<"RowAttr", "#tile.row">;
def Tile_AOp : Tile_TensorWith<"AOpAttr", "#tile.a_op">;
def Tile_Smem : Tile_TensorWith<"SmemAttr", "#tile.smem">;

def Tile_Reduction : I32EnumAttr<"Reduction", "how values of a row combine", [
  I32EnumAttrCase<"Max", 0, "max">, I32EnumAttrCase<"Add", 1, "add">
]> {
  let cppNamespace = "::attune::tile";
  let genSpecializedAttr = 0;
}
def Tile_ReductionAttr : EnumAttr<Tile_Dialect, Tile_Reduction, "reduction">;

#endif
