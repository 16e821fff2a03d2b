//===- StageFuzz.cpp - any text as a stage of a compilation ------------------===//
//
// `stage_fuzz RUNS [SEED [STAGE]]`: small kernels at every stage (attn, tile, thread, llvm), or at one,
// mutated, go on to the text of both targets in this process. A mutant is refused with a message that names a
// place, or compiles; it never crashes, asserts or runs on. What compiled must be a text again after its own
// print.
//
//===----------------------------------------------------------------------===//
#include "compiler/Compiler.h"
#include "tests/fuzz/Mutator.h"

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <unistd.h>

using namespace attune;

namespace {

constexpr std::string_view kWords[] = {"tile.dot",
                                       "tile.wait",
                                       "tile.release",
                                       "tile.acquire",
                                       "tile.commit",
                                       "tile.async_copy",
                                       "thread.dot",
                                       "thread.store",
                                       "thread.role",
                                       "thread.specialize",
                                       "tile.role",
                                       "tile.specialize",
                                       "scf.for",
                                       "scf.if",
                                       "scf.yield",
                                       "scf.while",
                                       "arith.addi",
                                       "arith.divsi",
                                       "arith.cmpi",
                                       "arith.select",
                                       "math.exp2",
                                       "vector<8xf32>",
                                       "vector<32xbf16>",
                                       "vector<2xi1>",
                                       "vector<[4]xf32>",
                                       "tensor<64x64xf32, #acc>",
                                       "tensor<16xf32, #row>",
                                       "tensor<?x16xbf16, #smem>",
                                       "!tile.ring<1 x tensor<16x16xbf16, #smem>>",
                                       "!tile.view<64, bf16>",
                                       "!tile.array<batch x len_q x bf16>",
                                       "!tile.workspace<f32>",
                                       "index",
                                       "i1",
                                       "i32",
                                       "i64",
                                       "f32",
                                       "f64",
                                       "bf16",
                                       "f16",
                                       "none",
                                       "0",
                                       "1",
                                       "-1",
                                       "15",
                                       "16",
                                       "17",
                                       "2147483647",
                                       "-2147483648",
                                       "4294967296",
                                       "99999999999999999999",
                                       "0x7F800000",
                                       "dense<0.0>",
                                       "attn.yield",
                                       "attn.length",
                                       "schedule {block_q = 3 : i64}",
                                       "warps(3)",
                                       "warps(0)",
                                       "smem(-1)",
                                       "smem(999999)",
                                       "min_blocks(0)",
                                       "grid(\"len_q\")",
                                       "{value = \"len_q / 0\"}",
                                       "%c0",
                                       "%0",
                                       "loc(unknown)",
                                       "llvm.inline_asm",
                                       "llvm.unreachable",
                                       "llvm.call_intrinsic",
                                       "llvm.br",
                                       "nvvm.barrier0",
                                       "^bb1",
                                       "module",
                                       "{",
                                       "}",
                                       "(",
                                       ")"};

/// What is being compiled, for the report of a crash.
const std::string *current = nullptr;
const char *currentStage = "";

void onCrash(int signal) {
  // Nothing but system calls: the process is broken.
  constexpr char head[] = "\nstage_fuzz: crash or endless run at stage ";
  (void)!::write(2, head, sizeof head - 1);
  (void)!::write(2, currentStage, std::char_traits<char>::length(currentStage));
  (void)!::write(2, "\n", 1);
  if (current)
    (void)!::write(2, current->data(), current->size());
  std::_Exit(signal == SIGALRM ? 3 : 2);
}

struct Seed {
  Stage stage;
  const char *name;
  std::string text;
};

std::vector<Seed> makeSeeds(const Arch &arch) {
  std::vector<AttentionSpec> specs(3);
  specs[0].headDimQk = specs[0].headDimV = 16;
  specs[1].headDimQk = 32;
  specs[1].headDimV = 16;
  specs[1].mask = {{{}, 0, MaskAlign::TopLeft}};
  specs[1].lse = true;
  specs[2].headDimQk = specs[2].headDimV = 16;
  specs[2].dtype = DType::F16;
  specs[2].mask = {{40, 3, MaskAlign::BottomRight, /*runtimeLeft=*/true}};
  specs[2].sink = true;
  specs[2].softcap = 20;
  std::vector<Seed> seeds;
  for (AttentionSpec &spec : specs) {
    spec.schedule = {"", {{"block_q", 16}, {"block_kv", 16}, {"stages", 2}, {"warps", 1}}};
    for (auto [stage, name] : {std::pair(Stage::Attn, "attn"),
                               {Stage::Tile, "tile"},
                               {Stage::Thread, "thread"},
                               {Stage::LLVM, "llvm"}}) {
      CompileOptions options{arch, Target::PTX, stage, {}};
      Result<KernelText> text = compile(spec, options);
      if (!text) {
        std::fprintf(stderr, "stage_fuzz: a seed does not compile: %s\n", text.error().message.c_str());
        std::exit(1);
      }
      seeds.push_back({stage, name, text->text});
    }
  }
  return seeds;
}

} // namespace

int main(int argc, char **argv) {
  int runs = argc > 1 ? std::atoi(argv[1]) : 1000;
  std::mt19937 random(argc > 2 ? unsigned(std::atoi(argv[2])) : 1);
  for (int signal : {SIGSEGV, SIGABRT, SIGBUS, SIGILL, SIGFPE, SIGALRM})
    std::signal(signal, onCrash);
  Arch arch = *findArch("sm_80");
  std::vector<Seed> seeds = makeSeeds(arch);
  if (argc > 3)
    std::erase_if(seeds, [&](const Seed &seed) { return std::string_view(seed.name) != argv[3]; });
  if (seeds.empty())
    return 2;
  fuzz::Dictionary dictionary{kWords, '\n'};
  int compiled = 0, refused = 0, wrong = 0;
  for (int run = 0; run < runs; ++run) {
    const Seed &seed = seeds[size_t(run) % seeds.size()];
    std::string text = fuzz::mutate(seed.text, dictionary, random, 1 << 19);
    Target target = seed.stage != Stage::LLVM && random() % 2 ? Target::CUDA : Target::PTX;
    current = &text;
    currentStage = seed.name;
    ::alarm(20);
    Result<KernelText> result = compileFrom(seed.stage, text, "fuzz.mlir", {arch, target, Stage::Text, {}});
    ::alarm(0);
    (result ? compiled : refused) += 1;
    if (!result && result.error().message.find("error:") == std::string::npos) {
      std::fprintf(stderr, "stage_fuzz: a message without 'error:' at stage %s: '%s'\n%s\n", seed.name,
                   result.error().message.c_str(), text.c_str());
      ++wrong;
    }
  }
  std::printf("%d mutants compiled, %d refused\n", compiled, refused);
  // A fuzzer whose mutants never get through tests nothing.
  return wrong || compiled * 50 < runs || refused * 4 < runs;
}
