//===- Compile.cpp - attune compile ---------------------------------------===//
#include "cli/CommandLine.h"
#include "cli/Output.h"

#include <cstdio>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace attune::cli {

Run addCompile(CLI::App &parent) {
  CLI::App *app = parent.add_subcommand("compile", "write a kernel, or any stage on the way to it");
  auto line = std::make_shared<CommandLine>(*app);
  line->spec();
  line->option("--emit", "STAGE", "spec, attn, tile, thread, llvm, ptx, cuda or cubin");
  line->option("-o", "FILE", "where to write it (standard output)");
  return [line] {
    const std::vector<std::string> stages = {"spec", "attn", "tile", "thread",
                                             "llvm", "ptx",  "cuda", "cubin"};
    AttentionSpec spec = line->readSpec();
    line->choice("--emit", stages, 0);
    std::string output = line->text("-o", "-");
    if (Status good = line->problems(); !good)
      return report(good.error());
    Status written = writeOutput(output, toJson(spec) + "\n");
    return written ? 0 : report(written.error());
  };
}

} // namespace attune::cli
