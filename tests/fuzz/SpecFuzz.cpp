//===- SpecFuzz.cpp - libFuzzer target: any text as an attention spec ------------------------===//
#include "compiler/spec/SpecReader.h"
#include "tests/fuzz/Mutator.h"

#include <cstdlib>
#include <cstring>

using namespace attune;

static constexpr std::string_view kWords[] = {"\"op\"",
                                              "\"forward\"",
                                              "\"head_dim\"",
                                              "\"head_dim_v\"",
                                              "\"dtype\"",
                                              "\"bf16\"",
                                              "\"fp16\"",
                                              "\"mask\"",
                                              "\"causal\"",
                                              "\"window\"",
                                              "\"left\"",
                                              "\"right\"",
                                              "\"scale\"",
                                              "\"softcap\"",
                                              "\"kind\"",
                                              "\"align\"",
                                              "\"type\"",
                                              "\"full\"",
                                              "\"layout\"",
                                              "\"bshd\"",
                                              "\"bhsd\"",
                                              "\"lse\"",
                                              "\"score\"",
                                              "null",
                                              "true",
                                              "false",
                                              "{",
                                              "}",
                                              "[",
                                              "]",
                                              ":",
                                              ",",
                                              "\"",
                                              "\\u0000",
                                              "1e999",
                                              "-0",
                                              "\"\\ud800\"",
                                              "0.5",
                                              "1e-320",
                                              "//"};

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  auto spec = readSpec({reinterpret_cast<const char *>(data), size}, "fuzz.json", {});
  if (!spec) {
    if (spec.error().message.empty())
      std::abort(); // an error says something
    return 0;
  }
  // What was accepted is written as a spec that means the same.
  std::string text = toJson(*spec);
  auto again = readSpec(text, "again.json", {});
  if (!again || toJson(*again) != text)
    std::abort();
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed) {
  std::mt19937 random(seed);
  std::string mutant =
      fuzz::mutate({reinterpret_cast<const char *>(data), size}, {kWords, ','}, random, most);
  std::memcpy(data, mutant.data(), mutant.size());
  return mutant.size();
}
