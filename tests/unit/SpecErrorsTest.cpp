//===- SpecErrorsTest.cpp - broken specs ----------------------------------===//
//
// Broken specs: every mistake is reported with its place and the nearest valid value, and nothing crashes.
//
//===----------------------------------------------------------------------===//
#include "compiler/spec/SpecReader.h"

#include <random>

#include <doctest/doctest.h>

using namespace attune;

namespace {

/// The first lines of all errors, without snippets.
std::string errors(std::string_view text, const std::vector<FlagValue> &flags = {}, const char *file = "s") {
  Result<AttentionSpec> spec = readSpec(text, file, flags);
  if (spec)
    return "";
  std::string result;
  const std::string &message = spec.error().message;
  for (size_t begin = 0; begin < message.size();) {
    size_t end = std::min(message.find('\n', begin), message.size());
    if (message[begin] != ' ')
      result += (result.empty() ? "" : "\n") + message.substr(begin, end - begin);
    begin = end + 1;
  }
  return result;
}

} // namespace

TEST_CASE("the message: place, expected, got, nearest, line and caret") {
  CHECK(readSpec("{\n  \"head_dim\": 100\n}", "a.json").error().message ==
        "a.json:2:15: error: expected a multiple of 8 from 8 to 256, got 100 (nearest: 104)\n"
        "    \"head_dim\": 100\n"
        "                ^~~");
}

TEST_CASE("wrong values") {
  struct Case {
    const char *text, *error;
  };
  for (Case c : std::vector<Case>{
           {R"({"head_dim": 0})",
            "s:1:14: error: expected a multiple of 8 from 8 to 256, got 0 (nearest: 8)"},
           {R"({"head_dim": -8})",
            "s:1:14: error: expected a multiple of 8 from 8 to 256, got -8 (nearest: 8)"},
           {R"({"head_dim": 1e999})",
            "s:1:14: error: expected a multiple of 8 from 8 to 256, got 1e999 (nearest: 256)"},
           {R"({"head_dim": 99999999999999999999})",
            "s:1:14: error: expected a multiple of 8 from 8 to 256, got 99999999999999999999 (nearest: 256)"},
           {R"({"head_dim": 64.5})",
            "s:1:14: error: expected a multiple of 8 from 8 to 256, got 64.5 (nearest: 64)"},
           {R"({"head_dim": "64"})", "s:1:14: error: expected a multiple of 8 from 8 to 256, got \"64\""},
           {R"({"head_dim": null})", "s:1:14: error: expected a multiple of 8 from 8 to 256, got null"},
           {R"({"dtype": "bf61"})",
            "s:1:11: error: expected \"fp16\" or \"bf16\", got \"bf61\" (nearest: \"bf16\")"},
           {R"({"dtype": "FP16"})",
            "s:1:11: error: expected \"fp16\" or \"bf16\", got \"FP16\" (nearest: \"fp16\")"},
           {R"({"dtype": 16})", "s:1:11: error: expected \"fp16\" or \"bf16\", got 16"},
           {R"({"op": "backward"})", "s:1:8: error: expected \"forward\", got \"backward\""},
           {R"({"layout": "sbhd"})",
            "s:1:12: error: expected \"bshd\" or \"bhsd\", got \"sbhd\" (nearest: \"bshd\")"},
           {R"({"lse": 1})", "s:1:9: error: expected true or false, got 1"},
           {R"({"lse": "True"})", "s:1:9: error: expected true or false, got \"True\" (nearest: true)"},
           {R"({"scale": 1e39})",
            "s:1:11: error: expected a number that fits f32, got 1e39 (nearest: 3.4e38)"},
           {R"({"softcap": 0})",
            "s:1:13: error: expected a softcap from 1e-30 to 1e4 (leave it out for none), got 0"},
           {R"({"name": "my-kernel"})",
            "s:1:10: error: expected a C identifier of at most 64 characters that C++ and "
            "PTX leave free, got \"my-kernel\" (nearest: \"my_kernel\")"},
           {R"({"name": "int"})",
            "s:1:10: error: expected a C identifier of at most 64 characters that C++ and "
            "PTX leave free, got \"int\" (nearest: \"int_kernel\")"},
           {R"({"schedule": 4})",
            "s:1:14: error: expected an object with a family and its parameters, such as block_q, got 4"},
           {R"({"schedule": {"warps": 3}})",
            "s:1:24: error: expected 1, 2, 4 or 8 warps, got 3 (nearest: 4)"},
           {R"({"schedule": {"block_kv": 65}})",
            "s:1:27: error: expected a multiple of 16 from 16 to 512, got 65 (nearest: 64)"},
           {R"({"schedule": {"block_q": 80, "warps": 4}})",
            "s:1:26: error: expected block_q to be a multiple of 16 * warps = 64, got 80 (nearest: 64)"},
           {R"({"head_dim": 64, "head_dim_v": 64})",
            "s:1:32: error: expected head_dim, or head_dim_qk and head_dim_v, got head_dim and head_dim_v"},
           {R"([])", "s:1:1: error: expected a JSON object, got an empty list"},
           {R"("x")", "s:1:1: error: expected a JSON object, got \"x\""}})
    CHECK(errors(c.text) == c.error);
}

TEST_CASE("masks") {
  const std::string forms = "\"none\", \"causal\", \"window:LEFT:RIGHT\", an expression or a mask object";
  CHECK(errors(R"({"mask": "casual"})") ==
        "s:1:10: error: expected " + forms + ", got \"casual\" (nearest: \"causal\")");
  CHECK(errors(R"({"mask": "window"})") == "s:1:10: error: expected \"window:LEFT:RIGHT\" or "
                                           "\"window:LEFT:RIGHT:ALIGN\", got \"window\"");
  CHECK(errors(R"({"mask": "window::"})") ==
        "s:1:10: error: expected LEFT, RIGHT or both (or \"none\"), got \"window::\"");
  CHECK(errors(R"({"mask": "window:-1:x"})") ==
        "s:1:10: error: expected a whole number from 0 on, below 2^30, got -1 (nearest: 0)\n"
        "s:1:10: error: expected a whole number from 0 on, below 2^30, got \"x\"");
  CHECK(errors(R"({"mask": "causal:topleft"})") ==
        "s:1:10: error: expected an alignment of top_left or bottom_right, got \"causal:topleft\" (nearest: "
        "top_left)");
  CHECK(errors(R"({"mask": true})") == "s:1:10: error: expected " + forms + ", or a list of them, got true");
  CHECK(errors(R"({"mask": [["causal"]]})") == "s:1:11: error: expected " + forms + ", got a list");
  CHECK(errors(R"({"mask": {"kind": "window"}})") ==
        "s:1:10: error: expected a window with \"left\", \"right\" or both (how many keys before and after "
        "are kept), "
        "got neither");
  CHECK(errors(R"({"mask": ["window:runtime:0", {"kind": "window", "left": "runtime:5"}]})") ==
        "s:1:58: error: expected at most one left bound that is given at launch, got another");
  CHECK(errors(R"({"mask": {"kind": "window", "left": "runtime:-5"}})") ==
        "s:1:37: error: expected a whole number from 0 on, below 2^30, got -5 (nearest: 0)");
  CHECK(errors(R"({"mask": "window:runtme:0"})") ==
        "s:1:10: error: expected a whole number from 0 on, below 2^30, got \"runtme\"");
  CHECK(errors(R"({"mask": {"kind": "causal", "left": 3}})") ==
        "s:1:37: error: expected no \"left\" in a causal mask; a window has one");
  CHECK(errors(R"({"mask": {"left": 2147483648, "kid": 1, "align": 3}})") ==
        "s:1:10: error: expected a mask with the key \"kind\" (\"causal\" or \"window\"), got none\n"
        "s:1:19: error: expected a whole number from 0 on, below 2^30, got 2147483648 (nearest: 1073741823)\n"
        "s:1:31: error: expected a key of a mask, got \"kid\" (nearest: \"kind\")\n"
        "s:1:50: error: expected \"top_left\" or \"bottom_right\", got 3");
}

TEST_CASE("keys") {
  CHECK(errors(R"({"head_dims": 64})") ==
        "s:1:2: error: expected a key that exists here, got \"head_dims\" (nearest: \"head_dim\")");
  CHECK(errors(R"({"warps": 4})") ==
        "s:1:2: error: expected a key of the spec (this one belongs into \"schedule\"), got \"warps\"");
  CHECK(errors(R"({"schedule": {"lse": true}})") ==
        "s:1:15: error: expected a key of the schedule (this one belongs to the spec itself), got \"lse\"");
  CHECK(errors("{\"lse\": true,\n\"lse\": false}") ==
        "s:2:1: error: expected each key once, got \"lse\" again (first at 1:2)");
  CHECK(errors(R"({"": 4})").starts_with("s:1:2: error: expected one of the keys op, name, dtype, "));
}

TEST_CASE("syntax: as many errors as make sense") {
  CHECK(errors("") == "s:1:1: error: expected a JSON object, got an empty text");
  CHECK(errors(" \n ") == "s:2:2: error: expected a JSON object, got an empty text");
  CHECK(errors("{\"dtype\": bf16}") == "s:1:11: error: expected a JSON value, got 'bf16'");
  CHECK(errors("{\"lse\": True}") == "s:1:9: error: expected a JSON value, got 'True' (nearest: true)");
  CHECK(errors("{\"scale\": NaN}") == "s:1:11: error: expected a JSON value, got 'NaN'");
  CHECK(errors("{\"scale\": 01}") == "s:1:11: error: expected a JSON value, got '01'");
  CHECK(errors("{\"scale\": .5}") == "s:1:11: error: expected a JSON value, got '.5'");
  CHECK(errors("{\"lse\": true,}") == "s:1:13: error: expected no ',' before '}'");
  CHECK(errors("{\"lse\": true \"op\": \"forward\"}") == "s:1:14: error: expected ',' before '\"', got none");
  CHECK(errors("{'lse': true}") == "s:1:2: error: expected a key in double quotes, got '''");
  CHECK(errors("{lse = true}") == "s:1:2: error: expected a key in double quotes, got 'lse'\n"
                                  "s:1:6: error: expected ':' after the key, got '='");
  CHECK(errors("{\"lse\": true} x") == "s:1:15: error: expected the end of the text, got 'x'");
  CHECK(errors("{\"lse\": true") ==
        "s:1:13: error: expected ',' or '}' to end the object of 1:1, got the end of the text");
  CHECK(errors("{\"dtype\": \"fp16") == "s:1:11: error: expected a closing quote on the same line, got none");
  CHECK(errors("{ // words\n \"lse\": true}") ==
        "s:1:3: error: expected JSON, which has no comments, got a comment");
  CHECK(errors("{\"name\": \"\\q\"}").starts_with("s:1:11: error: expected one of the escapes"));
  CHECK(errors("{\"name\": \"\xff\"}") == "s:1:11: error: expected UTF-8 text, got byte 0xff");
  CHECK(errors(std::string("{\0}", 3)) ==
        "s:1:2: error: expected a key in double quotes, got control character 0x00");
  // Syntax and meaning together.
  CHECK(errors("{\"dtype\": bf16, \"head_dim\": 4,\n \"lse\": 2}") ==
        "s:1:11: error: expected a JSON value, got 'bf16'\n"
        "s:1:29: error: expected a multiple of 8 from 8 to 256, got 4 (nearest: 8)\n"
        "s:2:9: error: expected true or false, got 2");
}

TEST_CASE("flags") {
  CHECK(errors("", {{"--head-dim", "12x"}, {"--mask", "causul"}, {"--lse", ""}, {"--no-lse", ""}}, "") ==
        "command line: --head-dim: error: expected a multiple of 8 from 8 to 256, got \"12x\"\n"
        "command line: --mask: error: expected \"none\", \"causal\", \"window:LEFT:RIGHT\", an expression or "
        "a mask object, "
        "got \"causul\" "
        "(nearest: \"causal\")\n"
        "command line: --no-lse: error: expected one of --lse and --no-lse, once");
  CHECK(errors("{\"lse\": 3}", {{"--warps", "5"}}) ==
        "s:1:9: error: expected true or false, got 3\n"
        "command line: --warps: error: expected 1, 2, 4 or 8 warps, got 5 (nearest: 4)");
  CHECK(
      errors("", {{"--head-dim", "64"}, {"--head-dim-v", "64"}}, "") ==
      "command line: --head-dim-v: error: expected --head-dim, or --head-dim-qk and --head-dim-v, got both");
  CHECK(errors("", {{"--scale", ""}}, "") == "command line: --scale: error: expected a number, got \"\"");
}

TEST_CASE("nesting and size are bounded") {
  CHECK(errors("{\"mask\": " + std::string(200000, '['))
            .find("s:1:42: error: expected at most 32 levels of nesting") != std::string::npos);
  CHECK(errors(std::string(200000, '{')).starts_with("s:1:2: error: expected a key"));
  CHECK(errors(std::string((1 << 20) + 1, ' ')).starts_with("s: error: expected a spec of at most 1 MiB"));
  std::string many = "{";
  for (int i = 0; i < 200; ++i)
    many += "\"lse\": 7,\n";
  CHECK(errors(many + "\"op\": 1}").ends_with("\ns: error: and 181 more"));
}

TEST_CASE("missing and unreadable files") {
  CHECK(loadSpec("/nowhere/spec.json").error().message ==
        "/nowhere/spec.json: error: expected a readable spec file, got: No such file or directory");
  CHECK(loadSpec("/").error().message.find("error: expected a readable spec file") != std::string::npos);
}

TEST_CASE("mutated specs never crash and never give an error without a place") {
  const std::string seed =
      R"({"op": "forward", "name": "llama3", "dtype": "bf16", "head_dim_qk": 192, "head_dim_v": 128,
 "scale": 1.25e-1, "mask": ["causal", {"kind": "window", "left": 4096, "right": 0, "align": "bottom_right"}],
 "softcap": 50, "lse": true, "schedule": {"block_q": 128, "block_kv": 64, "stages": 2, "warps": 4}})";
  const std::string alphabet = "{}[]\",:0123456789.-+eE\\u tfn/*#'\n\t\xc3\xa9\xff";
  std::mt19937 random(7);
  for (int i = 0; i < 20000; ++i) {
    std::string text = seed;
    for (int edits = 1 + random() % 4; edits > 0; --edits) {
      size_t at = random() % text.size();
      char c = alphabet[random() % alphabet.size()];
      switch (random() % 4) {
      case 0:
        text[at] = c;
        break;
      case 1:
        text.insert(at, 1, c);
        break;
      case 2:
        text.erase(at, 1 + random() % 5);
        break;
      default:
        text.insert(at, text.substr(random() % text.size(), random() % 20));
        break;
      }
    }
    Result<AttentionSpec> spec = readSpec(text, "s");
    if (spec)
      CHECK(*readSpec(toJson(*spec), "s") == *spec);
    else
      CHECK(spec.error().message.starts_with("s:"));
  }
}

TEST_CASE("expressions: the place inside the expression, and what captures expect") {
  CHECK(readSpec("{\n  \"mask\": \"kv <= qq\"\n}", "a.json").error().message ==
        "a.json:2:18: error: expected a variable, an array or a scalar, got 'qq' (nearest: q)\n"
        "    \"mask\": \"kv <= qq\"\n"
        "                   ^~");
  CHECK(readSpec("", "", {{"--mask", "kv <= qq"}}).error().message ==
        "command line: --mask:1:7: error: expected a variable, an array or a scalar, got 'qq' (nearest: q)\n"
        "  kv <= qq\n"
        "        ^~");
  CHECK(errors(R"({"mask": "kv <= \u0071q"})") == "s:1:10: error: 1:7 of the expression: expected a "
                                                  "variable, an array or a scalar, got 'qq' (nearest: q)");
  CHECK(errors(R"({"score": 3})") ==
        "s:1:11: error: expected an expression, such as \"score + slope[h] * (kv - q)\", got 3");
  CHECK(errors(R"x({"score": "tanh(score)", "softcap": 20})x") ==
        "s:1:37: error: expected a softcap or a score expression, got both (in an expression: cap * "
        "tanh(score / "
        "cap))");
  CHECK(errors(R"({"arrays": {"kv": {"dtype": "i32", "axes": ["b"]}}})") ==
        "s:1:13: error: expected a name that means nothing else in an expression, got \"kv\"");
  CHECK(errors(R"({"arrays": {"lse": {"dtype": "i32", "axes": ["b"]}}})") ==
        "s:1:13: error: expected a name that no other argument of kernels has, got \"lse\"");
  CHECK(errors(R"({"arrays": {"doc": {"dtype": "i23", "axes": ["b", "kvv", 0]}}})") ==
        "s:1:30: error: expected \"i32\", \"f32\", \"fp16\", \"bf16\", \"u8\" or \"bool\", got \"i23\" "
        "(nearest: "
        "\"i32\")\n"
        "s:1:51: error: expected an axis (b, h, hkv, q, kv, or a table's length from 1 to 2^30), got \"kvv\" "
        "(nearest: kv)\n"
        "s:1:58: error: expected an axis (b, h, hkv, q, kv, or a table's length from 1 to 2^30), got \"0\" "
        "(nearest: b)");
  CHECK(errors(R"({"arrays": {"doc": {"axes": ["b"]}}})") ==
        "s:1:20: error: expected an array with the key \"dtype\", got none");
  CHECK(errors(R"({"scalars": {"n": "i32:0.5", "m": "f64"}})") ==
        "s:1:19: error: expected a whole number from -2^30 to 2^30, as i32 scalars are, got 0.5\n"
        "s:1:35: error: expected \"i32\", \"f32\", or one with what runs give, such as \"i32:4096\", got "
        "\"f64\"");
  CHECK(errors("", {{"--array", "doc:i32"}}, "") ==
        "command line: --array: error: expected NAME=FILE, "
        "NAME:DTYPE[AXES] or NAME:DTYPE[AXES]=FILE, such as doc:i32[b,kv], "
        "got \"doc:i32\"");
  CHECK(errors("", {{"--scalar", "window"}}, "") == "command line: --scalar: error: expected NAME=NUMBER or "
                                                    "NAME:i32|f32, such as window=4096, got \"window\"");
}
