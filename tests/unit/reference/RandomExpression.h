//===- RandomExpression.h - expressions of a grammar ------------*- C++ -*-===//
#ifndef ATTUNE_TESTS_RANDOMEXPRESSION_H
#define ATTUNE_TESTS_RANDOMEXPRESSION_H

#include "compiler/spec/Spec.h"
#include "runtime/reference/RandomArray.h"

#include <fmt/format.h>

namespace attune {

/// Well-typed texts over the arrays doc (i32), keep (u8) and slope (f32) and the scalars window (i32) and cap
/// (f32). Whole numbers stay far from 32 bits' ends, and nothing depends on how a real is rounded.
class RandomExpression {
public:
  explicit RandomExpression(uint64_t seed) : random(seed, 9) {}

  static expr::Captures captures() {
    using expr::Type;
    using expr::Variable;
    return {{{"doc", DType::I32, {{Variable::B, 0}, {Variable::Kv, 0}}, ""},
             {"keep", DType::U8, {{Variable::H, 0}, {Variable::Kv, 0}}, ""},
             {"slope", DType::F32, {{Variable::H, 0}}, ""},
             {"bias", DType::BF16, {{Variable::Q, 0}, {Variable::Kv, 0}}, ""},
             {"table", DType::F16, {{{}, 8}}, ""}},
            {{"window", Type::I32, 17}, {"cap", Type::F32, 3.5}}};
  }

  std::string mask(int depth = 4) {
    if (depth == 0)
      return pick({"true", "kv <= q", "keep[h, kv]", "q == kv", "doc[b, q] == doc[b, kv]"});
    auto part = [&] { return mask(depth - 1 - int(random.below(2)) * (depth > 1)); };
    switch (random.below(8)) {
    case 0:
    case 1:
      return fmt::format("({} && {})", part(), part());
    case 2:
    case 3:
      return fmt::format("({} || {})", part(), part());
    case 4:
      return fmt::format("!{}", atom(part()));
    case 5:
      return fmt::format("({} ? {} : {})", part(), part(), part());
    default:
      return fmt::format("{} {} {}", integer(depth - 1), pick({"<", "<=", ">", ">=", "==", "!="}),
                         integer(depth - 1));
    }
  }

  std::string score(int depth = 3) {
    if (depth == 0)
      return pick(
          {"score", "score", "0.5", "slope[h]", "cap", "bias[q, kv]", "table[kv - q]", "float(q - kv)"});
    auto part = [&] { return score(depth - 1); };
    switch (random.below(8)) {
    case 0:
    case 1:
      return fmt::format("({} + {})", part(), part());
    case 2:
      return fmt::format("({} - {} * 0.125)", part(), part());
    case 3:
      return fmt::format("({} ? {} : {})", mask(2), part(), part());
    case 4:
      return fmt::format("{}({})", pick({"tanh", "sigmoid", "abs"}), part());
    case 5:
      return fmt::format("min({}, {})", part(), part());
    case 6:
      return fmt::format("({} / (2.0 + abs({})))", part(), part());
    default:
      return fmt::format("{}(0.1 * tanh({}))", pick({"exp", "exp2"}), part());
    }
  }

private:
  std::string pick(std::vector<const char *> of) { return of[random.below(of.size())]; }
  static std::string atom(const std::string &text) { return "(" + text + ")"; }
  std::string number() { return fmt::format("{}", int(random.below(60)) - 10); }

  std::string integer(int depth) {
    if (depth <= 0)
      return pick({"q", "kv", "q - kv", "kv - q", "b", "h", "hkv", "len_q", "len_kv", "window", "doc[b, kv]",
                   "doc[b, q]", "3", "17", "-5"});
    auto part = [&] { return atom(integer(depth - 1)); };
    switch (random.below(11)) {
    case 0:
      return fmt::format("{} + {}", part(), number());
    case 1:
      return fmt::format("{} - {}", part(), part());
    case 2:
      return fmt::format("{} / {}", part(), 1 + random.below(40));
    case 3:
      return fmt::format("{} % {}", part(), 1 + random.below(20));
    case 4:
      return fmt::format("min({}, {})", part(), part());
    case 5:
      return fmt::format("max({}, {})", part(), part());
    case 6:
      return fmt::format("abs({})", part());
    case 7:
      return fmt::format("({} & {})", part(), random.below(16));
    case 8:
      return fmt::format("({} ? {} : {})", atom(mask(depth - 1)), part(), part());
    case 9:
      return fmt::format("{} % 64 * {}", part(), int(random.below(9)) - 4);
    default:
      return fmt::format("({} >> {})", part(), random.below(4));
    }
  }

  reference::RandomBits random;
};

} // namespace attune

#endif // ATTUNE_TESTS_RANDOMEXPRESSION_H
