// The tile dialect: layouts, types and enums, which the thread dialect shares.
#ifndef ATTUNE_DIALECT_TILEBASE_TD
#define ATTUNE_DIALECT_TILEBASE_TD

include "mlir/IR/OpBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"

def Tile_Dialect : Dialect {
  let name = "tile";
  let cppNamespace = "::attune::tile";
  let summary = "Tile programs: rings, asynchronous copies, dots, rows";
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::math::MathDialect", "::mlir::scf::SCFDialect",
                           "::mlir::gpu::GPUDialect", "::mlir::tensor::TensorDialect"];
  let useDefaultTypePrinterParser = 1;
  let useDefaultAttributePrinterParser = 1;
}

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

def Tile_RingType : TypeDef<Tile_Dialect, "Ring"> {
  let mnemonic = "ring";
  let summary = "Slots in shared memory that are filled and emptied in turn";
  let parameters = (ins "int64_t":$depth, "::mlir::RankedTensorType":$slot);
  let assemblyFormat = "`<` $depth `x` $slot `>`";
  let genVerifyDecl = 1;
}

def Tile_ViewType : TypeDef<Tile_Dialect, "View"> {
  let mnemonic = "view";
  let summary = "A matrix in global memory: run-time rows with a run-time stride, `cols` adjacent elements a row";
  let parameters = (ins "int64_t":$cols, "::mlir::Type":$elementType);
  let assemblyFormat = "`<` $cols `,` $elementType `>`";
}

class Tile_TensorWith<string layout, string what> : Type<
    CPred<"::llvm::isa<::mlir::RankedTensorType>($_self) && ::llvm::isa_and_present<::attune::tile::" # layout #
          ">(::llvm::cast<::mlir::RankedTensorType>($_self).getEncoding())">,
    "tensor with layout " # what, "::mlir::RankedTensorType">;
def Tile_Acc : Tile_TensorWith<"AccAttr", "#tile.acc">;
def Tile_Row : Tile_TensorWith<"RowAttr", "#tile.row">;
def Tile_AOp : Tile_TensorWith<"AOpAttr", "#tile.a_op">;
def Tile_Smem : Tile_TensorWith<"SmemAttr", "#tile.smem">;

def Tile_Operand : I32EnumAttr<"Operand", "an array that a kernel is launched with", [
  I32EnumAttrCase<"Q", 0, "q">, I32EnumAttrCase<"K", 1, "k">, I32EnumAttrCase<"V", 2, "v">,
  I32EnumAttrCase<"O", 3, "o">, I32EnumAttrCase<"LSE", 4, "lse">
]> {
  let cppNamespace = "::attune::tile";
  let genSpecializedAttr = 0;
}
def Tile_OperandAttr : EnumAttr<Tile_Dialect, Tile_Operand, "operand">;

def Tile_Param : I32EnumAttr<"Param", "a 32-bit number that a kernel is launched with", [
  I32EnumAttrCase<"LengthQ", 0, "length_q">, I32EnumAttrCase<"LengthKv", 1, "length_kv">,
  I32EnumAttrCase<"HeadsPerKvHead", 2, "heads_per_kv_head">
]> {
  let cppNamespace = "::attune::tile";
  let genSpecializedAttr = 0;
}
def Tile_ParamAttr : EnumAttr<Tile_Dialect, Tile_Param, "param">;

def Tile_Reduction : I32EnumAttr<"Reduction", "how values of a row combine", [
  I32EnumAttrCase<"Max", 0, "max">, I32EnumAttrCase<"Add", 1, "add">
]> {
  let cppNamespace = "::attune::tile";
  let genSpecializedAttr = 0;
}
def Tile_ReductionAttr : EnumAttr<Tile_Dialect, Tile_Reduction, "reduction">;

#endif
