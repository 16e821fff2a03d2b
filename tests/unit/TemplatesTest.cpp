//===- TemplatesTest.cpp - what host and kernels share --------------------===//
//
// The device's side of what host and kernels share: templates/params.cuh lays arrays out as ParameterBlock
// does, and the headers compile alone, with no flag but those that the runtime gives.
//
//===----------------------------------------------------------------------===//
#include "compiler/program/Program.h"
#include "runtime/jit/Assemble.h"
#include "runtime/jit/ProgramBuild.h"

#include <doctest/doctest.h>

#include <cstddef>

#include <fmt/format.h>

using namespace attune;

namespace {
/// PTX that NVRTC makes of `source`; empty, with a message, where there is no NVRTC.
std::string ptxOf(const std::string &source, const std::string &entry) {
  Toolchain tools = Toolchain::find();
  if (!tools.tool(Tool::NVRTC)) {
    MESSAGE("skipped: no NVRTC");
    return "";
  }
  Result<Assembled> assembled =
      compileCuda(tools, source, "test.cu", templateHeaders(), *findArch("sm_80"), {entry});
  REQUIRE_MESSAGE(bool(assembled), (assembled ? "" : assembled.error().message));
  return assembled->ptx;
}
} // namespace

TEST_CASE("a printed struct of parameters lies as ParameterBlock says") {
  // As target cuda prints them; each field is read by a kernel of its own.
  std::vector<Argument> arguments;
  for (const char *text : {"n: i32 = len_q", "q: array<batch x heads_q x len_q x 64 x bf16>", "scale: f32",
                           "lse: array<batch x len_q x f32>", "sinks: array<heads_q x f32>",
                           "sums: workspace<f32, 4>", "m: i32"})
    arguments.push_back(*Argument::parse(text));
  ParameterBlock block(arguments);
  std::string source =
      "#include \"params.cuh\"\nusing namespace attune;\nstruct Params { int n; Array<3> q; float scale; "
      "Array<1> lse; Array<0> sinks; float *sums; int m; };\n";
  source += fmt::format("static_assert(sizeof(Params) == {});\n", block.bytes);
  auto pathOf = [&](const ParameterField &field) {
    const std::string &name = arguments[field.argument].name;
    if (field.what == ParameterField::What::Stride)
      return fmt::format("{}.stride[{}]", name, field.axis);
    bool isArray = arguments[field.argument].kind == Argument::Kind::Array;
    return isArray ? name + ".base" : name;
  };
  for (size_t i = 0; i != block.fields.size(); ++i)
    source +=
        fmt::format("extern \"C\" __global__ void read{}(const __grid_constant__ Params p, long long *x) {{ "
                    "*x = (long long)p.{}; }}\n",
                    i, pathOf(block.fields[i]));
  std::string ptx = ptxOf(source, "read0");
  if (ptx.empty())
    return;
  for (size_t i = 0; i != block.fields.size(); ++i) {
    CAPTURE(pathOf(block.fields[i]));
    size_t entry = ptx.find(fmt::format(".entry read{}(", i));
    REQUIRE(entry != std::string::npos);
    std::string body = ptx.substr(entry, ptx.find("ret;", entry) - entry);
    int offset = block.fields[i].offset;
    std::string place =
        offset ? fmt::format("[read{}_param_0+{}]", i, offset) : fmt::format("[read{}_param_0]", i);
    CHECK_MESSAGE(body.find(place) != std::string::npos, body);
  }
}

TEST_CASE("operators on tiles round to nearest and are never contracted") {
  std::string ptx = ptxOf(R"(#include "attune.cuh"
using namespace attune;
using Tile = AccOf<64, 16, 4>;
using Line = RowOf<64, 4>;
extern "C" __global__ void f(Tile *x, const Line *r) { *x = *x * *r + *x; }
)",
                          "f");
  if (ptx.empty())
    return;
  CHECK(ptx.find("mul.rn.f32") != std::string::npos);
  CHECK(ptx.find("add.rn.f32") != std::string::npos);
  CHECK(ptx.find("fma") == std::string::npos);
}

TEST_CASE("each header compiles by itself") {
  for (const NamedText &header : templateHeaders()) {
    CAPTURE(header.name);
    std::string ptx = ptxOf("#include \"" + header.name + "\"\nextern \"C\" __global__ void f() {}\n", "f");
    if (ptx.empty())
      return;
    CHECK(ptx.find(".entry f") != std::string::npos);
  }
}
