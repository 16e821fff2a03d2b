//===- DType.cpp - element types ------------------------------------------===//
#include "compiler/support/DType.h"

namespace attune {

static constexpr DTypeInfo table[] = {
    {DType::F16, "fp16", "f16", "f16", 16, 5, DType::F32, 16, "llvm.nvvm.mma.m16n8k16.row.col.f32.f32", true,
     "llvm.nvvm.ff2f16x2.rn"},
    {DType::BF16, "bf16", "bf16", "bf16", 16, 8, DType::F32, 16, "llvm.nvvm.mma.m16n8k16.row.col.bf16", false,
     "llvm.nvvm.ff2bf16x2.rn"},
    {DType::F32, "f32", "f32", "float", 32, 8, DType::F32, 0, nullptr, false, nullptr},
    {DType::I32, "i32", "i32", "int", 32, 0, DType::I32, 0, nullptr, false, nullptr},
    {DType::I64, "i64", "i64", "int64", 64, 0, DType::I64, 0, nullptr, false, nullptr},
    {DType::U8, "u8", "u8", "u8", 8, 0, DType::I32, 0, nullptr, false, nullptr},
};

const DTypeInfo &infoOf(DType type) { return table[int(type)]; }

std::optional<DType> dtypeFromIr(std::string_view irName) {
  for (const DTypeInfo &info : table)
    if (info.irName == irName)
      return info.type;
  return std::nullopt;
}

} // namespace attune
