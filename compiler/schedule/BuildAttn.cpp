//===- BuildAttn.cpp - a spec as attn.forward -----------------------------===//
#include "compiler/schedule/BuildAttn.h"

#include "compiler/dialect/Elements.h"
#include "compiler/dialect/attn/Attn.h"
#include "compiler/ir/ScheduleAttr.h"
#include "compiler/schedule/ExpressionRegion.h"
#include "compiler/spec/KernelForms.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;

namespace attune {

/// Opens the region's block with its arguments named and returns a builder inside it.
static NamingBuilder openRegion(OpBuilder &b, Location loc, Region &region, bool withScore) {
  Block *block = b.createBlock(&region);
  auto add = [&](StringRef name, Type type) {
    block->addArgument(type, NameLoc::get(b.getStringAttr(name), loc));
  };
  if (withScore)
    add("s", b.getF32Type());
  for (StringRef name : {"b", "h", "q", "kv"})
    add(name, b.getIndexType());
  return NamingBuilder(b, loc);
}

/// The value of a region that a variable is. Of the region's arguments, b, h, q and kv come last.
static Value variableOf(NamingBuilder &b, Block *block, expr::Variable variable) {
  auto fromEnd = [&](unsigned place) { return block->getArgument(block->getNumArguments() - place); };
  Type index = b.getIndexType();
  switch (variable) {
  case expr::Variable::B:
    return fromEnd(4);
  case expr::Variable::H:
    return fromEnd(3);
  case expr::Variable::Hkv:
    return b.make<attn::KvHeadOp>("hkv", index);
  case expr::Variable::Q:
    return fromEnd(2);
  case expr::Variable::Kv:
    return fromEnd(1);
  case expr::Variable::LengthQ:
    return b.make<attn::LengthOp>("length_q", index, attn::Axis::Q);
  case expr::Variable::LengthKv:
    return b.make<attn::LengthOp>("length_kv", index, attn::Axis::KV);
  case expr::Variable::Score:
    break;
  }
  return Value();
}

static void buildScore(NamingBuilder b, Block *block, const AttentionSpec &spec, const KernelForms &forms) {
  Value score = block->getArgument(0);
  Type f32 = b.getF32Type();
  auto constant = [&](StringRef name, double value) -> Value {
    return b.make<arith::ConstantOp>(name, f32, b.getF32FloatAttr(float(value)));
  };
  if (spec.runtimeScale)
    score = b.make<arith::MulFOp>("scaled", score, b.make<attn::ScalarOp>("scale", f32, "scale"));
  if (forms.softcap) {
    Value cap, inverse;
    if (spec.runtimeSoftcap) {
      cap = b.make<attn::ScalarOp>("cap", f32, "softcap");
      inverse = b.make<arith::DivFOp>("inv_cap", constant("one", 1.0), cap);
    } else {
      inverse = constant("inv_cap", 1.0 / *forms.softcap);
      cap = constant("cap", *forms.softcap);
    }
    Value inside = b.make<arith::MulFOp>("inside", score, inverse);
    Value squashed = b.make<math::TanhOp>("squashed", inside);
    score = b.make<arith::MulFOp>("capped", squashed, cap);
  }
  if (forms.score)
    score = buildExpression(b, *forms.score, forms.captures, [&](expr::Variable variable) {
      return variable == expr::Variable::Score ? score : variableOf(b, block, variable);
    });
  b.make<attn::YieldOp>("", score);
}

static void buildMask(NamingBuilder b, Block *block, const AttentionSpec &spec, const KernelForms &forms) {
  Value q = block->getArgument(2), kv = block->getArgument(3);
  Type index = b.getIndexType();
  auto bound = [&](StringRef name, const std::optional<int64_t> &value, bool runtime) -> Value {
    if (!runtime)
      return b.make<arith::ConstantIndexOp>("", *value);
    return b.make<attn::ScalarOp>(name, index, name, b.getDenseI32ArrayAttr({0, limits::maxWindow}));
  };
  Value keep, shift;
  auto conjoin = [&](Value term) { keep = keep ? Value(b.make<arith::AndIOp>("keep", keep, term)) : term; };
  for (const MaskTerm &term : forms.terms) {
    Value position = q;
    if (term.align == MaskAlign::BottomRight) {
      if (!shift) {
        Value lengthKv = b.make<attn::LengthOp>("length_kv", index, attn::Axis::KV);
        Value lengthQ = b.make<attn::LengthOp>("length_q", index, attn::Axis::Q);
        shift = b.make<arith::SubIOp>("shift", lengthKv, lengthQ);
      }
      position = b.make<arith::AddIOp>("position", q, shift);
    }
    if (term.hasRight()) {
      bool atPosition = term.right == 0 && !term.runtimeRight;
      Value last = position;
      if (!atPosition)
        last = b.make<arith::AddIOp>("last", position, bound("window_right", term.right, term.runtimeRight));
      conjoin(b.make<arith::CmpIOp>("keep", arith::CmpIPredicate::sle, kv, last));
    }
    if (term.hasLeft()) {
      bool atPosition = term.left == 0 && !term.runtimeLeft;
      Value first = position;
      if (!atPosition)
        first = b.make<arith::SubIOp>("first", position, bound("window_left", term.left, term.runtimeLeft));
      conjoin(b.make<arith::CmpIOp>("keep", arith::CmpIPredicate::sge, kv, first));
    }
  }
  // That keys end at the length is so without saying; queries are computed as far as the problem's go.
  if (spec.lengthsQ) {
    Value lengthQ = b.make<attn::LengthOp>("length_q", index, attn::Axis::Q);
    conjoin(b.make<arith::CmpIOp>("keep", arith::CmpIPredicate::slt, q, lengthQ));
  }
  if (forms.mask)
    conjoin(buildExpression(b, *forms.mask, forms.captures,
                            [&](expr::Variable variable) { return variableOf(b, block, variable); }));
  if (!keep)
    keep = b.make<arith::ConstantOp>("keep", b.getBoolAttr(true));
  b.make<attn::YieldOp>("", keep);
}

OwningOpRef<ModuleOp> buildAttn(MLIRContext *context, const AttentionSpec &spec) {
  OpBuilder b(context);
  Location loc = UnknownLoc::get(context);
  OwningOpRef<ModuleOp> module = ModuleOp::create(loc);
  b.setInsertionPointToEnd(module->getBody());

  KernelForms forms = kernelForms(spec);
  Type dtype = typeOf(context, spec.dtype);
  auto forward = attn::ForwardOp::create(b, loc, spec.name, dtype, spec.headDimQk, spec.headDimV,
                                         llvm::APFloat(spec.runtimeScale ? 1.0 : spec.effectiveScale()),
                                         spec.sink, spec.lengthsQ, spec.lengthsKv, spec.lse,
                                         spec.schedule.empty() ? DictionaryAttr()
                                                               : scheduleAttr(context, spec.schedule));
  buildScore(openRegion(b, loc, forward.getScore(), /*withScore=*/true), &forward.getScore().front(), spec,
             forms);
  buildMask(openRegion(b, loc, forward.getMask(), /*withScore=*/false), &forward.getMask().front(), spec,
            forms);
  return module;
}

} // namespace attune
