//===- SpecTest.cpp - JSON, flags and the struct agree --------------------===//
//
// JSON, flags and the C++ struct always agree.
//
//===----------------------------------------------------------------------===//
#include "compiler/spec/CaptureReader.h"
#include "compiler/spec/SpecReader.h"

#include <algorithm>
#include <cmath>
#include <random>

#include <doctest/doctest.h>
#include <fmt/format.h>

using namespace attune;

namespace {

AttentionSpec read(std::string_view text, const std::vector<FlagValue> &flags = {}) {
  Result<AttentionSpec> spec = readSpec(text, "spec.json", flags);
  REQUIRE_MESSAGE(bool(spec), (spec ? "" : spec.error().message));
  return *spec;
}

std::vector<FlagValue> pairFlags(const std::vector<std::string> &arguments) {
  std::vector<FlagValue> flags;
  for (size_t i = 0; i < arguments.size(); ++i) {
    bool alone = std::any_of(specFlags().begin(), specFlags().end(), [&](const SpecFlag &flag) {
      return flag.flag == arguments[i] && flag.valueName.empty();
    });
    flags.push_back({arguments[i], alone ? "" : arguments[i + 1]});
    i += !alone;
  }
  return flags;
}

AttentionSpec randomSpec(std::mt19937 &random) {
  auto upTo = [&](int n) { return static_cast<int>(random() % n); };
  AttentionSpec spec;
  spec.name = "kernel_" + std::to_string(random());
  spec.dtype = upTo(2) ? DType::F16 : DType::BF16;
  spec.headDimQk = 8 * (1 + upTo(32));
  spec.headDimV = 8 * (1 + upTo(32));
  spec.layout = upTo(2) ? Layout::BSHD : Layout::BHSD;
  if (upTo(2))
    spec.scale = std::ldexp(static_cast<double>(random()) - 2e9, -upTo(80));
  spec.runtimeScale = upTo(2);
  int leftAtLaunch = upTo(8), rightAtLaunch = upTo(8); // of which term, if there is one
  for (int terms = upTo(4); terms > 0; --terms) {
    MaskTerm term;
    if (upTo(2))
      term.left = upTo(5000);
    if (!term.left || upTo(2))
      term.right = upTo(3);
    term.align = upTo(2) ? MaskAlign::TopLeft : MaskAlign::BottomRight;
    term.runtimeLeft = term.left && terms == leftAtLaunch;
    term.runtimeRight = term.right && terms == rightAtLaunch;
    spec.mask.push_back(term);
  }
  if (upTo(2))
    spec.softcap = 1.0 + random() % 60000 / 7.0;
  spec.runtimeSoftcap = spec.softcap && upTo(2);
  spec.sink = upTo(2);
  spec.lengthsQ = upTo(2);
  spec.lengthsKv = upTo(2);
  spec.lse = upTo(2);
  spec.batchInvariant = upTo(2);
  if (upTo(2))
    spec.schedule = {upTo(2) ? "portable" : "",
                     {{"block_q", 256},
                      {"block_kv", 16 * (1 + upTo(8))},
                      {"stages", 1 + upTo(4)},
                      {"warps", 1 << upTo(4)}}};
  return spec;
}

} // namespace

TEST_CASE("an empty object, no file, and a new struct are the same spec") {
  CHECK(read("{}") == AttentionSpec{});
  CHECK(*readSpec("", "") == AttentionSpec{});
  CHECK(bool(validate(AttentionSpec{})));
}

TEST_CASE("every key is read") {
  AttentionSpec spec = read(R"({
    "op": "forward", "name": "llama3", "dtype": "float16", "head_dim_qk": 192, "head_dim_v": 128, "layout": "bhsd",
    "scale": 0.125, "mask": ["causal", {"kind": "window", "left": 4096, "right": 0, "align": "bottom_right"}],
    "softcap": 50, "lse": true, "schedule": {"block_q": 128, "block_kv": 64, "stages": 2, "warps": 4}})");
  AttentionSpec expected;
  expected.name = "llama3";
  expected.dtype = DType::F16;
  expected.headDimQk = 192;
  expected.headDimV = 128;
  expected.layout = Layout::BHSD;
  expected.scale = 0.125;
  expected.mask = {{{}, 0, MaskAlign::TopLeft}, {4096, 0, MaskAlign::BottomRight}};
  expected.softcap = 50.0;
  expected.lse = true;
  expected.schedule = {"", {{"block_q", 128}, {"block_kv", 64}, {"stages", 2}, {"warps", 4}}};
  CHECK(spec == expected);
}

TEST_CASE("spellings: dtypes, numbers, masks") {
  CHECK(read(R"({"dtype": "f16"})").dtype == DType::F16);
  CHECK(read(R"({"dtype": "bfloat16"})").dtype == DType::BF16);
  CHECK(read(R"({"head_dim": 6.4e1})").headDimV == 64);
  CHECK(read(R"({"mask": "none"})").mask.empty());
  CHECK(read(R"({"mask": []})").mask.empty());
  CHECK(read(R"({"mask": "causal:bottom_right"})").mask ==
        std::vector<MaskTerm>{{{}, 0, MaskAlign::BottomRight}});
  CHECK(read(R"({"mask": "window:5:"})").mask == std::vector<MaskTerm>{{5, {}, MaskAlign::TopLeft}});
  CHECK(read("\xef\xbb\xbf{\"na\\u006de\": \"a\\u0062c\"}").name == "abc");
}

TEST_CASE("what one form says the others say: struct -> JSON, flags -> struct") {
  std::mt19937 random(3);
  for (int i = 0; i < 2000; ++i) {
    AttentionSpec spec = randomSpec(random);
    CAPTURE(toJson(spec));
    REQUIRE(bool(validate(spec)));
    CHECK(read(toJson(spec)) == spec);
    CHECK(*readSpec("", "", pairFlags(toFlags(spec))) == spec);
    AttentionSpec other = randomSpec(random);
    // Flags win over every field of a file; only what a flag cannot take back stays.
    AttentionSpec both = *readSpec(toJson(other), "other.json", pairFlags(toFlags(spec)));
    if (!spec.scale && !spec.runtimeScale) {
      both.scale.reset();
      both.runtimeScale = false;
    }
    if (!spec.softcap) {
      both.softcap.reset();
      both.runtimeSoftcap = false;
    }
    if (!spec.schedule.get("block_q"))
      both.schedule = {};
    if (spec.schedule.family.empty())
      both.schedule.family.clear();
    CHECK(both == spec);
  }
}

TEST_CASE("flags win") {
  AttentionSpec spec = read(R"({"head_dim": 128, "mask": "causal", "lse": true})",
                            {{"--head-dim-v", "64"}, {"--mask", "window:8:8"}, {"--no-lse", ""}});
  CHECK(spec.headDimQk == 128);
  CHECK(spec.headDimV == 64);
  CHECK(spec.mask == std::vector<MaskTerm>{{8, 8, MaskAlign::TopLeft}});
  CHECK(!spec.lse);
}

TEST_CASE("origins say where a spec and its schedule were written, and are no part of its value") {
  AttentionSpec spec = read("{\n  \"schedule\": {\"warps\": 4}}");
  CHECK(spec.origin.spec == "spec.json:1:1");
  CHECK(spec.origin.schedule == "spec.json:2:15");
  AttentionSpec flags = *readSpec("", "", {{"--warps", "4"}, {"--block-q", "64"}});
  CHECK(flags.origin.schedule == "command line: --block-q, --warps");
  std::erase_if(flags.schedule.values, [](const auto &part) { return part.first == "block_q"; });
  CHECK(flags == spec);
}

TEST_CASE("the code key: same kernel, same key") {
  AttentionSpec a, b;
  CHECK(codeKey(a) == codeKey(b));
  b.scale = 1.0 / std::sqrt(128.0);
  CHECK(codeKey(a) == codeKey(b)); // the default, said aloud
  b.layout = Layout::BHSD;
  CHECK(codeKey(a) == codeKey(b)); // kernels take any strides
  a.mask = {{{}, 0, MaskAlign::TopLeft}, {9, {}, MaskAlign::TopLeft}, {{}, 3, MaskAlign::BottomRight}};
  b.mask = {{{}, 3, MaskAlign::BottomRight}, {9, 0, MaskAlign::TopLeft}, {12, 5, MaskAlign::TopLeft}};
  CHECK(codeKey(a) == codeKey(b));
  b.mask[0].right = 4;
  CHECK(codeKey(a) != codeKey(b));
}

TEST_CASE("the code key: what is given at launch has no value in it") {
  AttentionSpec a = read(R"({"mask": {"kind": "window", "left": "runtime:100", "right": 0}})");
  AttentionSpec b = read("{}", {{"--mask", "window:runtime=7:0"}});
  CHECK(a.mask[0].left == 100);
  CHECK(b.mask[0].left == 7);
  CHECK(read("{}", {{"--mask", "window:runtime:"}}).mask[0].left == MaskTerm::usualWindow);
  CHECK(codeKey(a) == codeKey(b));
  b.mask[0].runtimeLeft = false;
  CHECK(codeKey(a) != codeKey(b));
  // A bound that is given stands beside one that is fixed: either may be the tighter one.
  b.mask[0] = a.mask[0];
  b.mask.push_back({5, {}, MaskAlign::TopLeft});
  CHECK(normalizedMask(b).size() == 2);
  CHECK(codeKey(a) != codeKey(b));
  setScalar(b, "window_left", 12);
  CHECK(b.mask[0].left == 12);
  CHECK(scalarOf(b, "window_left") == 12);
  CHECK(!scalarOf(b, "softcap"));
  CHECK(scalarOf(b, "scale") == b.effectiveScale());
}

TEST_CASE("batch_invariant is read from files and flags, and decides about schedules alone") {
  AttentionSpec spec = read(R"({"batch_invariant": true})", {});
  CHECK(spec.batchInvariant);
  CHECK(read("{}", {{"--batch-invariant", ""}}).batchInvariant);
  CHECK(codeKey(spec) == codeKey(AttentionSpec{})); // the same kernel
}

TEST_CASE("each field that changes the code changes the key") {
  std::string key = codeKey(AttentionSpec{});
  for (auto change : std::vector<void (*)(AttentionSpec &)>{
           [](AttentionSpec &s) { s.name = "other"; }, [](AttentionSpec &s) { s.dtype = DType::F16; },
           [](AttentionSpec &s) { s.headDimQk = 64; }, [](AttentionSpec &s) { s.headDimV = 64; },
           [](AttentionSpec &s) { s.scale = 1; },
           [](AttentionSpec &s) { s.mask = {{{}, 0, MaskAlign::TopLeft}}; },
           [](AttentionSpec &s) { s.mask = {{9, 0, MaskAlign::TopLeft, true}}; },
           [](AttentionSpec &s) { s.mask = {{9, 0, MaskAlign::TopLeft, false, true}}; },
           [](AttentionSpec &s) { s.softcap = 30; }, [](AttentionSpec &s) { s.lse = true; },
           [](AttentionSpec &s) { s.sink = true; }, [](AttentionSpec &s) { s.lengthsQ = true; },
           [](AttentionSpec &s) { s.lengthsKv = true; },
           [](AttentionSpec &s) { s.schedule.set("stages", 2); }}) {
    AttentionSpec spec;
    change(spec);
    CHECK(codeKey(spec) != key);
  }
}

TEST_CASE("a struct is checked by the rules of the file") {
  auto messageOf = [](auto change) {
    AttentionSpec spec;
    change(spec);
    Status status = validate(spec);
    return status ? std::string() : status.error().message;
  };
  CHECK(messageOf([](auto &s) {
          s.headDimV = 100;
        }).find("expected a multiple of 8 from 8 to 256, got 100") != std::string::npos);
  CHECK(messageOf([](auto &s) { s.scale = NAN; }) == "spec: scale: error: expected a finite number, got nan");
  CHECK(messageOf([](auto &s) { s.softcap = INFINITY; }) ==
        "spec: softcap: error: expected a finite number, got inf");
  CHECK(messageOf([](auto &s) { s.name = "a\"b"; }).find("(nearest: \"a_b\")") != std::string::npos);
  CHECK(messageOf([](auto &s) { s.mask.resize(1); }).find("got neither") != std::string::npos);
  CHECK(messageOf([](auto &s) { s.schedule.set("warps", 3); }).find("(nearest: 4)") != std::string::npos);
}

TEST_CASE("expressions: JSON, flags and C++ say the same, and read back") {
  const char *text = R"({"mask": ["causal", "doc[b, q] == doc[b, kv]"], "score": "score * temperature",
                         "arrays": {"doc": {"dtype": "i32", "axes": ["b", "kv"]}},
                         "scalars": {"temperature": "f32:0.5"}})";
  Result<AttentionSpec> spec = readSpec(text, "a.json");
  REQUIRE_MESSAGE(bool(spec), spec.error().message);
  CHECK(spec->mask.size() == 1);
  CHECK(spec->maskExpressions == std::vector<std::string>{"doc[b, q] == doc[b, kv]"});
  CHECK(scalarOf(*spec, "temperature") == 0.5);
  Result<AttentionSpec> again = readSpec(toJson(*spec), "b.json");
  REQUIRE_MESSAGE(bool(again), again.error().message);
  CHECK(*again == *spec);
  std::vector<FlagValue> flags;
  std::vector<std::string> words = toFlags(*spec);
  for (size_t i = 0; i < words.size(); ++i) {
    bool isSwitch = i + 1 == words.size() || words[i + 1].starts_with("--");
    flags.push_back({words[i], isSwitch ? "" : words[i + 1]});
    i += !isSwitch;
  }
  Result<AttentionSpec> flagged = readSpec("", "", flags);
  REQUIRE_MESSAGE(bool(flagged), flagged.error().message);
  CHECK(*flagged == *spec);
}

TEST_CASE("expressions that mean the same are one kernel, whatever their captures are called") {
  auto key = [](const std::string &mask, const std::string &array, const std::string &scalar) {
    std::string text = R"({"mask": ")" + mask + R"(", "arrays": {")" + array +
                       R"(": {"dtype": "i32", "axes": ["b", "kv"]}}, "scalars": {")" + scalar +
                       R"(": "i32"}})";
    Result<AttentionSpec> spec = readSpec(text, "a.json");
    REQUIRE_MESSAGE(bool(spec), spec.error().message);
    return codeKey(*spec);
  };
  std::string one = key("kv <= q && doc[b, q] == doc[b, kv] && q - kv < window", "doc", "window");
  CHECK(one == key("segment[b,kv]==segment[b,q] && w > q - kv && q >= kv", "segment", "w"));
  CHECK(one != key("kv <= q && doc[b, q] == doc[b, kv] && q - kv <= window", "doc", "window"));
  // What is given at launch has no value in a key.
  AttentionSpec spec;
  spec.maskExpressions = {"q - kv < window"};
  spec.captures.scalars = {{"window", expr::Type::I32, 5}};
  std::string before = codeKey(spec);
  setScalar(spec, "window", 9);
  CHECK(codeKey(spec) == before);
}

TEST_CASE("captures given by flags: declared, given a value or a file") {
  Result<AttentionSpec> spec =
      readSpec(R"({"mask": "doc[b, kv] < n", "arrays": {"doc": {"dtype": "i32", "axes": ["b", "kv"]}},
                   "scalars": {"n": "i32:3"}})",
               "a.json",
               {{"--array", "doc=d.npy"},
                {"--scalar", "n=7"},
                {"--array", "t:fp16[h, 32]=t.npy"},
                {"--scalar", "cap=0.5"}});
  REQUIRE_MESSAGE(bool(spec), spec.error().message);
  REQUIRE(spec->captures.arrays.size() == 2);
  CHECK(spec->captures.arrays[0].file == "d.npy");
  CHECK(flagText(spec->captures.arrays[1]) == "t:fp16[h,32]=t.npy");
  CHECK(scalarOf(*spec, "n") == 7);
  CHECK(flagText(spec->captures.scalars[1]) == "cap:f32=0.5");
}

TEST_CASE("what has a short form is that, however it is written") {
  auto key = [](const char *mask, const char *rest = "") {
    return codeKey(read(fmt::format(R"({{"mask": {}{}}})", mask, rest)));
  };
  CHECK(key(R"("kv <= q")") == key(R"("causal")"));
  CHECK(key(R"("q - kv >= 0")") == key(R"("causal")"));
  CHECK(key(R"x("!(kv > q)")x") == key(R"("causal")"));
  CHECK(key(R"("q - kv < 128")") == key(R"("window:127:")"));
  CHECK(key(R"("kv <= q && kv > q - 128")") == key(R"("window:127:0")"));
  CHECK(key(R"(["causal", "q - kv < 128"])") == key(R"("window:127:0")"));
  CHECK(key(R"x("kv <= q + (len_kv - len_q)")x") == key(R"("causal:bottom_right")"));
  CHECK(key(R"("q - kv + len_kv - len_q <= 9")") == key(R"("window:9::bottom_right")"));
  CHECK(key(R"("true")") == key(R"("none")"));
  CHECK(key(R"("none")", R"(, "score": "tanh(score / 30.0) * 30")") ==
        key(R"("none")", R"(, "softcap": 30)"));
  CHECK(key(R"("none")", R"(, "score": "true ? score : 0.5")") == key(R"("none")"));
  // What is left of a conjunction stays an expression.
  CHECK(key(R"("kv <= q && kv % 2 == 0")") == key(R"(["causal", "kv % 2 == 0"])"));
  CHECK(key(R"("kv % 2 == 0")") != key(R"(["causal", "kv % 2 == 0"])"));
  // No short form.
  CHECK(key(R"("kv < q")") != key(R"("causal")"));
  CHECK(key(R"("kv <= 2 * q")") != key(R"("causal")"));
  CHECK(key(R"("kv <= q + len_kv")") != key(R"("causal:bottom_right")"));
  CHECK(key(R"("kv <= q || kv < 4")") != key(R"("causal")"));
  CHECK(key(R"("none")", R"(, "score": "tanh(score / 30.0) * 20")") !=
        key(R"("none")", R"(, "softcap": 30)"));
}
