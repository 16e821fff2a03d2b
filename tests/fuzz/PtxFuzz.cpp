//===- PtxFuzz.cpp - libFuzzer target: any text as PTX, and every kernel of it run -----------===//
#include "simulator/Simulator.h"
#include "tests/fuzz/Mutator.h"

#include <cstdlib>
#include <cstring>

using namespace attune;

static constexpr std::string_view kWords[] = {".",
                                              "ld",
                                              "st",
                                              "global",
                                              "shared",
                                              "local",
                                              "param",
                                              "const",
                                              "generic",
                                              "v2",
                                              "v4",
                                              "u8",
                                              "s8",
                                              "u16",
                                              "s16",
                                              "u32",
                                              "s32",
                                              "u64",
                                              "s64",
                                              "b8",
                                              "b16",
                                              "b32",
                                              "b64",
                                              "b128",
                                              "f16",
                                              "f16x2",
                                              "bf16",
                                              "bf16x2",
                                              "tf32",
                                              "f32",
                                              "f64",
                                              "pred",
                                              "add",
                                              "sub",
                                              "mul",
                                              "mad",
                                              "fma",
                                              "div",
                                              "rem",
                                              "min",
                                              "max",
                                              "neg",
                                              "abs",
                                              "cvt",
                                              "cvta",
                                              "to",
                                              "mov",
                                              "setp",
                                              "set",
                                              "selp",
                                              "slct",
                                              "eq",
                                              "ltu",
                                              "and",
                                              "or",
                                              "xor",
                                              "not",
                                              "shl",
                                              "shr",
                                              "shf",
                                              "prmt",
                                              "lop3",
                                              "bfe",
                                              "bfi",
                                              "bfind",
                                              "popc",
                                              "clz",
                                              "brev",
                                              "dp4a",
                                              "dp2a",
                                              "sad",
                                              "wide",
                                              "lo",
                                              "hi",
                                              "cc",
                                              "addc",
                                              "madc",
                                              "sat",
                                              "ftz",
                                              "rn",
                                              "rz",
                                              "rm",
                                              "rp",
                                              "rni",
                                              "rzi",
                                              "relu",
                                              "satfinite",
                                              "approx",
                                              "full",
                                              "rcp",
                                              "sqrt",
                                              "rsqrt",
                                              "sin",
                                              "cos",
                                              "lg2",
                                              "ex2",
                                              "tanh",
                                              "testp",
                                              "copysign",
                                              "bra",
                                              "uni",
                                              "brx",
                                              "idx",
                                              "ret",
                                              "exit",
                                              "trap",
                                              "call",
                                              "bar",
                                              "barrier",
                                              "sync",
                                              "arrive",
                                              "red",
                                              "warp",
                                              "atom",
                                              "cas",
                                              "exch",
                                              "inc",
                                              "dec",
                                              "vote",
                                              "ballot",
                                              "shfl",
                                              "up",
                                              "down",
                                              "bfly",
                                              "match",
                                              "any",
                                              "all",
                                              "redux",
                                              "aligned",
                                              "cp",
                                              "async",
                                              "cg",
                                              "ca",
                                              "commit_group",
                                              "wait_group",
                                              "wait_all",
                                              "mbarrier",
                                              "init",
                                              "test_wait",
                                              "try_wait",
                                              "parity",
                                              "expect_tx",
                                              "arrive_drop",
                                              "ldmatrix",
                                              "stmatrix",
                                              "m8n8",
                                              "x1",
                                              "x2",
                                              "x4",
                                              "trans",
                                              "mma",
                                              "m16n8k16",
                                              "m16n8k8",
                                              "m16n8k32",
                                              "m8n8k4",
                                              "row",
                                              "col",
                                              "wmma",
                                              "load",
                                              "store",
                                              "m16n16k16",
                                              "m32n8k16",
                                              "a",
                                              "b",
                                              "c",
                                              "d",
                                              "isspacep",
                                              "nanosleep",
                                              "fence",
                                              "membar",
                                              "gl",
                                              "volatile",
                                              "relaxed",
                                              "acquire",
                                              "release",
                                              "gpu",
                                              "cta",
                                              "sys",
                                              "noftz",
                                              "e4m3x2",
                                              "e5m2x2",
                                              ".reg",
                                              ".entry",
                                              ".func",
                                              ".visible",
                                              ".extern",
                                              ".align",
                                              ".global",
                                              ".shared",
                                              ".local",
                                              ".param",
                                              ".maxntid",
                                              ".reqntid",
                                              ".loc",
                                              ".file",
                                              ".branchtargets",
                                              "{",
                                              "}",
                                              "[",
                                              "]",
                                              "(",
                                              ")",
                                              ";",
                                              ",",
                                              ":",
                                              "@",
                                              "!",
                                              "|",
                                              "+",
                                              "-",
                                              "<",
                                              ">",
                                              "=",
                                              "_",
                                              "%tid.x",
                                              "%laneid",
                                              "%clock64",
                                              "%ctaid.x",
                                              "%lanemask_lt",
                                              "WARP_SZ",
                                              "0f3F800000",
                                              "0dBFF0000000000000",
                                              "0x80000000",
                                              "//"};

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  auto module = sim::parseModule({reinterpret_cast<const char *>(data), size}, "fuzz.ptx");
  if (!module) {
    if (module.error().message.empty())
      std::abort(); // an error says something
    return 0;
  }
  unsigned runs = 0;
  for (const sim::EntryInfo &entry : (*module)->entries()) {
    if (++runs > 4)
      break;
    sim::GlobalMemory memory;
    sim::LaunchConfig config;
    config.entry = entry.name;
    config.grid = {2, 1, 1};
    config.block = {64, 1, 1};
    if (entry.reqntid[0])
      config.block = entry.reqntid;
    config.dynamicShared = 4096;
    config.threads = 1;
    config.maxInstructionsPerWarp = 3000;
    config.mode = sim::Mode(size % 3);
    config.seed = size;
    config.params.resize(entry.paramBytes);
    for (const sim::Param &p : entry.params) {
      uint64_t value = 5;
      if (p.type.find("64") != std::string::npos && p.size == 8) {
        auto buffer = memory.allocate(65536, p.name);
        if (!buffer || !memory.fill(*buffer, 1, 32768))
          std::abort();
        value = *buffer;
      }
      if (p.size <= 8)
        std::memcpy(config.params.data() + p.offset, &value, p.size);
    }
    auto result = sim::launch(**module, memory, config);
    if (result)
      for (const sim::Finding &f : result->findings)
        if (f.text().empty())
          std::abort();
  }
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed) {
  std::mt19937 random(seed);
  std::string mutant =
      fuzz::mutate({reinterpret_cast<const char *>(data), size}, {kWords, ';'}, random, most);
  std::memcpy(data, mutant.data(), mutant.size());
  return mutant.size();
}
