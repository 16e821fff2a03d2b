//===- DType.h - element types ----------------------------------*- C++ -*-===//
//
// What an element of an array is, in one table: whoever needs a width, a name or a machine's step asks here.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_COMPILER_SUPPORT_DTYPE_H
#define ATTUNE_COMPILER_SUPPORT_DTYPE_H

#include <optional>
#include <string_view>

namespace attune {

enum class DType { F16, BF16, F32, I32, I64, U8 };

struct DTypeInfo {
  DType type;
  const char *name;     ///< in specs and messages: "fp16", "bf16", "f32"
  const char *irName;   ///< in IR and kernel signatures: "f16", "bf16", "f32"
  const char *cudaName; ///< in CUDA C++: "f16", "bf16", "float"
  int bits;
  int exponentBits;        ///< of a real number; 0: an integer
  DType value;             ///< what an element is in a thread, where one computes with it
  int mmaK;                ///< k of one matrix instruction with operands of this type; 0: it is no operand
  const char *mma;         ///< the LLVM intrinsic of mma.m16n8k`mmaK` with f32 accumulators; null: none
  bool mmaTakesVectors;    ///< whether that intrinsic's operands are pairs, and not 32-bit words
  const char *packFromF32; ///< the LLVM intrinsic that rounds two f32 to a pair; null: none

  int bytes() const { return bits / 8; }
  bool isReal() const { return exponentBits != 0; }
  /// Whether a sum of finite elements can be infinite though it is taken in f32.
  bool sumsOverflow() const { return exponentBits == 8; }
  /// Elements of a 16-byte chunk: what swizzles permute, and what one thread copies at a time.
  int perChunk() const { return 128 / bits; }
};

const DTypeInfo &infoOf(DType type);
/// The type with this name in IR ("bf16"), if there is one.
std::optional<DType> dtypeFromIr(std::string_view irName);

inline const char *nameOf(DType type) { return infoOf(type).name; }

} // namespace attune

#endif // ATTUNE_COMPILER_SUPPORT_DTYPE_H
