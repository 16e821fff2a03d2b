//===- ExprTest.cpp - the language of masks and scores --------------------===//
//
// The language of masks and scores: what is read, what it is equal to, and what it is called in a cache key.
//
//===----------------------------------------------------------------------===//
#include "compiler/spec/expr/Parser.h"

#include <doctest/doctest.h>

using namespace attune;
using namespace attune::expr;

namespace {

const Captures captures = {{{"doc", DType::I32, {{Variable::B}, {Variable::Kv}}, ""},
                            {"prefix", DType::I32, {{Variable::B}}, ""},
                            {"slope", DType::F32, {{Variable::H}}, ""},
                            {"bias", DType::F16, {{Variable::H}, {Variable::Q}, {Variable::Kv}}, ""},
                            {"keep", DType::U8, {{Variable::Kv}}, ""},
                            {"table", DType::F32, {{Variable::H}, {{}, 32}}, ""}},
                           {{"window", Type::I32, {}}, {"cap", Type::F32, {}}}};

Expression read(std::string_view text, Role role) {
  std::vector<Diagnostic> diagnostics;
  std::optional<Expression> expression = parse(text, role, captures, diagnostics);
  REQUIRE_MESSAGE(expression, std::string(text) << ": " << render(text, "e", diagnostics));
  return *expression;
}

/// As it was read, with the parentheses that it needs.
std::string mask(std::string_view text) { return textOf(read(text, Role::Mask), captures); }
std::string score(std::string_view text) { return textOf(read(text, Role::Score), captures); }
std::string simpleMask(std::string_view text) {
  return textOf(simplify(read(text, Role::Mask), captures), captures);
}
std::string simpleScore(std::string_view text) {
  return textOf(simplify(read(text, Role::Score), captures), captures);
}

} // namespace

TEST_CASE("precedence is C's") {
  CHECK(mask("kv<=q&&q-kv<window||kv<4") == "kv <= q && q - kv < window || kv < 4");
  CHECK(mask("kv <= q && (q - kv < window || kv < 4)") == "kv <= q && (q - kv < window || kv < 4)");
  CHECK(mask("(q + 1) * 2 - (kv - (h - b)) == 0") == "(q + 1) * 2 - (kv - (h - b)) == 0");
  CHECK(mask("q - kv - h == 0") == "q - kv - h == 0");
  CHECK(mask("(q & 3 ^ kv | b << 1 + 1) == 2") == "(q & 3 ^ kv | b << 1 + 1) == 2");
  CHECK(mask("((q & 3) ^ (kv | (b << (1 + 1)))) == 2") == "(q & 3 ^ (kv | b << 1 + 1)) == 2");
  CHECK(mask("q / 64 % 3 * 2 == q / (64 % 3) * 2") == "q / 64 % 3 * 2 == q / (64 % 3) * 2");
  CHECK(mask("!keep[kv] == !(keep[kv] && true)") == "!keep[kv] == !(keep[kv] && true)");
  CHECK(mask("q < 1 ? kv < 2 : q < 3 ? kv < 4 : kv < 5") == "q < 1 ? kv < 2 : q < 3 ? kv < 4 : kv < 5");
  CHECK(mask("(q < 1 ? kv < 2 : kv < 3) && true") == "(q < 1 ? kv < 2 : kv < 3) && true");
  CHECK(mask("-q + - -kv < ~-+b") == "-q + -(-kv) < ~(-b)");
  CHECK(mask("q > kv && q >= kv") == "kv < q && kv <= q");
  CHECK(mask("q >> 2 == kv >> 2") == "q >> 2 == kv >> 2");
  CHECK(mask("\n  kv\t<= q") == "kv <= q");
}

TEST_CASE("types: whole numbers become f32 where they meet one") {
  CHECK(score("score + slope[h] * (kv - q)") == "score + slope[h] * float(kv - q)");
  CHECK(score("1") == "float(1)");
  CHECK(score("q < kv ? 1 : 2.5") == "q < kv ? float(1) : 2.5");
  CHECK(score("min(q, kv, 2.0)") == "min(float(min(q, kv)), 2.0)");
  CHECK(score("max(abs(q - kv), 1) * 1e-3") == "float(max(abs(q - kv), 1)) * 0.001");
  CHECK(score("tanh(score / cap) * cap") == "tanh(score / cap) * cap");
  CHECK(score("bias[h, q, kv] + table[h, min(q, 31)]") == "bias[h, q, kv] + table[h, min(q, 31)]");
  CHECK(score("int(keep[kv]) + float(q < kv)") == "float(int(keep[kv])) + float(q < kv)");
  CHECK(score("sigmoid(exp2(log2(sqrt(rsqrt(log(exp(q)))))))") ==
        "sigmoid(exp2(log2(sqrt(rsqrt(log(exp(float(q))))))))");
  CHECK(mask("doc[b, q] == doc[b, kv] || kv < prefix[b]") == "doc[b, q] == doc[b, kv] || kv < prefix[b]");
  CHECK(mask("0xff == 255 && .5 == 5e-1") == "255 == 255 && 0.5 == 0.5");
}

TEST_CASE("constants fold, as the machine computes them") {
  CHECK(simpleMask("kv < 2 + 3 * 4") == "kv <= 13");
  CHECK(simpleMask("kv < -7 / 2 + 100") == "kv <= 95"); // rounded down
  CHECK(simpleMask("kv == -7 % 4") == "kv == 1");
  CHECK(simpleMask("kv == 7 / 0 + 7 % 0") == "kv == 0");
  CHECK(simpleMask("kv == 2147483647 + 1") == "kv == (-2147483647 - 1)");
  CHECK(simpleMask("kv == 1 << 33") == "kv == 2");
  CHECK(simpleMask("kv <= q && true") == "kv <= q");
  CHECK(simpleMask("kv <= q || 1 < 2") == "true");
  CHECK(simpleMask("!(kv <= q)") == "q < kv");
  CHECK(simpleMask("!(kv < q || keep[kv])") == "!keep[kv] && q <= kv");
  CHECK(simpleMask("kv < q == true") == "kv < q");
  CHECK(simpleMask("q - q + kv < 3") == "kv <= 2");
  CHECK(simpleMask("q < 3 ? true : false") == "q <= 2");
  CHECK(simpleScore("score * (1.0 / 8)") == "score * 0.125");
  CHECK(simpleScore("score / 4") == "score * 0.25");
  CHECK(simpleScore("score / 3") == "score / 3.0");
  CHECK(simpleScore("score * 1 - 0.0") == "score");
  CHECK(simpleScore("score + (2 < 1 ? q : 3)") == "score + 3.0");
  CHECK(simpleScore("score + int(2.9) + int(-2.9)") == "score + 2.0 + (-2.0)");
  CHECK(simpleScore("score + 1 / 0.0") == "1.0 / 0.0 + score"); // an infinity has no literal
  CHECK(simpleScore("score + 0.0 * -1") == "score + (-0.0)");
}

TEST_CASE("what means the same is one text") {
  auto same = [](std::string_view a, std::string_view b) { CHECK(simpleMask(a) == simpleMask(b)); };
  same("kv <= q", "q >= kv");
  same("kv<=q", "  kv <=\n q ");
  same("kv <= q && q - kv < window", "(q - kv < window) && (q >= kv)");
  same("kv < 4 || q < 4 || h == 2", "2 == h || (q < 4 || kv < 4)");
  same("doc[b, q] == doc[b, kv]", "doc[b, kv] == doc[b, q]");
  same("q + kv + 3 < h * 2", "1 + kv + 2 + q < 2 * h");
  same("kv > 3", "kv >= 4");
  same("kv <= q && kv <= q", "kv <= q");
  same("min(q, kv, 5) == 1", "min(5, kv, q) == 1");
  CHECK(simpleMask("q - kv < 3") != simpleMask("kv - q < 3"));
  // f32 addition commutes, but does not regroup.
  CHECK(simpleScore("1.5 + score") == simpleScore("score + 1.5"));
  CHECK(simpleScore("(score + slope[h]) + cap") != simpleScore("score + (slope[h] + cap)"));
}

TEST_CASE("a text of an expression reads back to it") {
  for (const char *text :
       {"kv <= q && (q - kv < window || kv < 4)", "-(-q) < ~(-b)", "kv == (-2147483647 - 1)",
        "(q & 3 ^ (kv | b << 1 + 1)) == 2", "(q < 1 ? kv < 2 : kv < 3) && keep[kv]"}) {
    CHECK(mask(mask(text)) == mask(text));
    CHECK(simpleMask(simpleMask(text)) == simpleMask(text));
  }
  for (const char *text :
       {"score * (-0.5) + 1e-10", "(q < kv ? score : 2.5) * 3.25", "tanh(score / cap) * cap"})
    CHECK(score(score(text)) == score(text));
}

TEST_CASE("broken expressions: place, expected, got, nearest") {
  struct Case {
    Role role;
    const char *text, *error; ///< the first line of each error, without the name
  };
  constexpr Role M = Role::Mask, S = Role::Score;
  for (Case c : std::vector<Case>{
           {M, "", "1:1: expected a number, a name or '(', got the end"},
           {M, "kv <=", "1:6: expected a number, a name or '(', got the end"},
           {M, "kv <= qq", "1:7: expected a variable, an array or a scalar, got 'qq' (nearest: q)"},
           {M, "kv <= Q", "1:7: expected a variable, an array or a scalar, got 'Q' (nearest: q)"},
           {M, "kv <= lenkv",
            "1:7: expected a variable, an array or a scalar, got 'lenkv' (nearest: len_kv)"},
           {M, "kv < windwo",
            "1:6: expected a variable, an array or a scalar, got 'windwo' (nearest: window)"},
           {M, "kv <\n  prefx[b]",
            "2:3: expected a variable, an array or a scalar, got 'prefx' (nearest: prefix)"},
           {M, "mim(q, kv) < 3", "1:1: expected a function, got 'mim' (nearest: min)"},
           {S, "tanhh(score)", "1:1: expected a function, got 'tanhh' (nearest: tanh)"},
           {M, "kv <= q and kv < 4", "1:9: expected an operator or the end, got 'and' (nearest: '&&')"},
           {M, "kv <= q or kv < 4", "1:9: expected an operator or the end, got 'or' (nearest: '||')"},
           {M, "not keep[kv]", "1:1: expected a number, a name or '(', got 'not' (nearest: '!')"},
           {M, "kv = q", "1:4: expected '==' to compare, got '='"},
           {M, "kv <= q;", "1:8: expected an expression, got ';'"},
           {M, "kv <= q\xc3\xa4", "1:8: expected an expression, got '\xc3\xa4'"},
           {M, "(kv <= q", "1:9: expected ')', got the end"},
           {M, "kv <= q)", "1:8: expected an operator or the end, got ')'"},
           {M, "doc[b, q == 3", "1:14: expected ',' or ']' for the '[' at column 4, got the end"},
           {M, "min(q, kv < 3", "1:14: expected ',' or ')' for the '(' at column 4, got the end"},
           {M, "doc[b] == 3", "1:1: expected 2 indices of array doc ([b, kv]), got 1"},
           {M, "prefix[b, q] == 3", "1:1: expected 1 index of array prefix ([b]), got 2"},
           {M, "prefix == 3", "1:1: expected prefix[b], got the array without indices"},
           {M, "prefix[] == 3", "1:8: expected an expression, got ']'"},
           {M, "prefix[1.5] == 3", "1:8: expected i32 for an index, got f32 (nearest: int(1.5))"},
           {M, "window[b] == 3", "1:7: expected an operator, got '[': 'window' is no array"},
           {M, "q(3) == 3", "1:2: expected an operator, got '(': 'q' is no function"},
           {M, "min == 3", "1:1: expected '(' after the function min"},
           {M, "kv - q", "1:1: expected bool for a mask, got i32 (nearest: kv - q != 0)"},
           {M, "score < 3", "1:1: expected no 'score' in a mask, which is decided before there is one"},
           {S, "kv <= q", "1:1: expected a score of f32, got bool"},
           {M, "0 <= q - kv < 4",
            "1:1: expected numbers for '<', got bool and i32 (a < b < c is written a < b && b < c)"},
           {M, "q && kv < 3", "1:1: expected bool for '&&', got i32 (nearest: q != 0)"},
           {M, "!q", "1:2: expected bool for '!', got i32 (nearest: q != 0)"},
           {M, "q & 1 == 0", "1:5: expected i32 for '&', got bool (nearest: int(1 == 0))"},
           {M, "q % 2.5 == 0", "1:5: expected i32 for '%', got f32 (nearest: int(2.5))"},
           {M, "keep[kv] + 1 == 2", "1:1: expected a number for '+', got bool (nearest: int(keep[kv]))"},
           {M, "keep[kv] == 1",
            "1:1: expected i32 for both sides of '==', got bool (nearest: int(keep[kv]))"},
           {S, "exp(keep[kv])", "1:5: expected a number for exp, got bool (nearest: int(keep[kv]))"},
           {S, "exp(score, 2)", "1:1: expected 1 argument of exp, got 2"},
           {S, "min(score)", "1:1: expected 2 arguments or more of min, got 1"},
           {M, "q ? kv < 3 : kv < 4",
            "1:1: expected bool for the condition of '?', got i32 (nearest: q != 0)"},
           {S, "q < 3 ? score : kv < 4",
            "1:17: expected f32 for both sides of ':', got bool (nearest: int(kv < 4))"},
           {M, "q < 3 ? kv < 3", "1:15: expected ':' and what holds otherwise, got the end"},
           {M, "kv < 2147483648", "1:6: expected a whole number below 2^31, got 2147483648"},
           {M, "kv < 12abc", "1:6: expected a number, got '12abc'"},
           {S, "score * 1e99", "1:9: expected a number that fits f32, got 1e99"},
           {S, "score * 1.e", "1:9: expected a number, got '1.e'"},
           {M, "qq < kk",
            "1:1: expected a variable, an array or a scalar, got 'qq' (nearest: q)\n"
            "1:6: expected a variable, an array or a scalar, got 'kk' (nearest: kv)"},
       }) {
    std::vector<Diagnostic> diagnostics;
    CHECK_MESSAGE(!parse(c.text, c.role, captures, diagnostics), c.text);
    std::string all;
    for (const Diagnostic &one : diagnostics)
      all +=
          (all.empty() ? "" : "\n") + locationOf(c.text, "", one.range.begin).substr(1) + ": " + one.message;
    CHECK_MESSAGE(all == c.error, c.text);
  }
}

TEST_CASE("deep and long expressions are refused, not followed") {
  auto message = [](const std::string &text) {
    std::vector<Diagnostic> diagnostics;
    CHECK(!parse(text, Role::Mask, captures, diagnostics));
    return diagnostics.empty() ? "" : diagnostics[0].message;
  };
  CHECK(message(std::string(2000, '(') + "kv < 3" + std::string(2000, ')')) ==
        "expected at most 100 levels of nesting");
  CHECK(message(std::string(3000, '!') + "keep[kv]") == "expected at most 100 levels of nesting");
  CHECK(message("kv < " + std::string(5000, ' ') + "3") == "expected at most 4096 characters, got 5006");
  std::string many = "kv < 0";
  for (int i = 1; many.size() < 4000; ++i)
    many += "||q*" + std::to_string(i) + "<kv";
  CHECK(message(many).starts_with("expected at most 1024 operations, got 1"));
}

TEST_CASE("names that captures may have") {
  CHECK(checkCaptureName("doc_1") == "");
  CHECK(checkCaptureName("1doc") == "a name that is a C identifier of at most 64 characters");
  CHECK(checkCaptureName("") == "a name that is a C identifier of at most 64 characters");
  for (const char *taken : {"kv", "score", "min", "float", "true", "and"})
    CHECK(checkCaptureName(taken) == "a name that means nothing else in an expression");
}
