// The attn dialect: what is computed, and nothing of how.
#ifndef ATTUNE_DIALECT_ATTN_TD
#define ATTUNE_DIALECT_ATTN_TD

include "mlir/IR/OpBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"

def Attn_Dialect : Dialect {
  let name = "attn";
  let cppNamespace = "::attune::attn";
  let summary = "Attention as a specification: one op, two scalar regions";
  let useDefaultAttributePrinterParser = 1;
}

class Attn_Op<string mnemonic, list<Trait> traits = []> : Op<Attn_Dialect, mnemonic, traits>;

def Attn_ForwardOp : Attn_Op<"forward", [Symbol, IsolatedFromAbove, SingleBlock]> {
  let summary = "O = softmax(score(scale * Q K^T), kept by mask) V";
  let description = [{
    For every batch `b`, query head `h` and query row `q`: the softmax runs over the keys `kv` for which the
    mask region yields true, of what the score region makes of the scaled product. A row that keeps no key gives
    0 and LSE -inf. With `sink`, each query head has a number whose exp joins the denominator of its rows, and LSE.
    With `lengths_q`, `lengths_kv`, each batch entry has its own number of queries, of keys, given at launch.

    Example:
    ```mlir
    attn.forward @llama3 : bf16, qk = 128, v = 128, scale = 0.0883883461
      score (%s: f32, %b: index, %h: index, %q: index, %kv: index) {
        attn.yield %s : f32
      }
      mask (%b: index, %h: index, %q: index, %kv: index) {
        %keep = arith.cmpi sle, %kv, %q : index
        attn.yield %keep : i1
      }
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttr:$dtype, I64Attr:$head_dim_qk, I64Attr:$head_dim_v,
                   F64Attr:$scale, UnitAttr:$sink, UnitAttr:$lengths_q, UnitAttr:$lengths_kv, UnitAttr:$lse,
                   OptionalAttr<DictionaryAttr>:$schedule);
  let regions = (region SizedRegion<1>:$score, SizedRegion<1>:$mask);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
}

def Attn_Axis : I32EnumAttr<"Axis", "a sequence axis", [
  I32EnumAttrCase<"Q", 0, "q">, I32EnumAttrCase<"KV", 1, "kv">
]> {
  let cppNamespace = "::attune::attn";
  let genSpecializedAttr = 0;
}
def Attn_AxisAttr : EnumAttr<Attn_Dialect, Attn_Axis, "axis">;

def Attn_LengthOp : Attn_Op<"length", [Pure]> {
  let summary = "The number of query rows, or of keys, of the batch entry, known at run time";
  let description = [{
    Example: `%n = attn.length kv`
  }];
  let arguments = (ins Attn_AxisAttr:$axis);
  let results = (outs Index:$result);
  let assemblyFormat = "$axis attr-dict";
}

def Attn_ScalarOp : Attn_Op<"scalar", [Pure]> {
  let summary = "A number that is given at launch, under this name";
  let description = [{
    An index is given as an i32, perhaps one in a range only (least, most). Every use of a name says the same.

    Example: `%left = attn.scalar "window_left" in [0, 65536] : index`
  }];
  let arguments = (ins StrAttr:$name, OptionalAttr<DenseI32ArrayAttr>:$range);
  let results = (outs AnyTypeOf<[F32, Index]>:$result);
  let builders = [OpBuilder<(ins "::mlir::Type":$result, "::llvm::StringRef":$name), [{
    build($_builder, $_state, result, name, ::mlir::DenseI32ArrayAttr());
  }]>];
  let assemblyFormat = "$name (`in` $range^)? attr-dict `:` type($result)";
  let hasVerifier = 1;
}

def Attn_KvHeadOp : Attn_Op<"kv_head", [Pure]> {
  let summary = "The KV head that the query head reads";
  let results = (outs Index:$result);
  let assemblyFormat = "attr-dict";
}

def Attn_ElementOp : Attn_Op<"element", [Pure]> {
  let summary = "An element of an array that is given at launch, under this name";
  let description = [{
    The array has an axis for each index, whose extents are sizes of the problem or numbers. An index beyond its axis
    reads the nearest element. 16-bit elements become f32, those of 8 bits i32.

    Example: `%doc = attn.element "doc"[%b, %kv] of ["batch", "len_kv"] x i32 : i32`
  }];
  let arguments = (ins StrAttr:$name, Variadic<Index>:$indices, StrArrayAttr:$extents, TypeAttr:$element);
  let results = (outs AnyTypeOf<[F32, I32]>:$result);
  let assemblyFormat = "$name `[` $indices `]` `of` $extents `x` $element attr-dict `:` type($result)";
  let hasVerifier = 1;
}

def Attn_YieldOp : Attn_Op<"yield", [Pure, Terminator, ParentOneOf<["ForwardOp"]>]> {
  let summary = "The result of a score or mask region";
  let arguments = (ins AnyType:$value);
  let assemblyFormat = "$value attr-dict `:` type($value)";
}

#endif
