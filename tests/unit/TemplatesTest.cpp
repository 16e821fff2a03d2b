// The device's side of what host and kernels share: templates/params.cuh has the layout of KernelParams.h,
// and the headers compile alone, with no flag but those that the runtime gives.
#include "compiler/spec/KernelParams.h"
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

TEST_CASE("kernel parameters lie where the runtime puts them") {
  struct Field {
    const char *name;
    size_t offset;
  };
  const Field fields[] = {
      {"q.base", offsetof(ForwardParams, q.base)},
      {"q.batch_stride", offsetof(ForwardParams, q.batchStride)},
      {"q.head_stride", offsetof(ForwardParams, q.headStride)},
      {"q.row_stride", offsetof(ForwardParams, q.rowStride)},
      {"k.base", offsetof(ForwardParams, k.base)},
      {"v.base", offsetof(ForwardParams, v.base)},
      {"o.base", offsetof(ForwardParams, o.base)},
      {"lse.base", offsetof(ForwardParams, lse.base)},
      {"length_q", offsetof(ForwardParams, lengthQ)},
      {"length_kv", offsetof(ForwardParams, lengthKv)},
      {"heads_per_kv_head", offsetof(ForwardParams, headsPerKvHead)},
  };
  // One kernel a field, each of which reads nothing else.
  std::string source = "#include \"params.cuh\"\n";
  for (size_t i = 0; i != std::size(fields); ++i)
    source += fmt::format("extern \"C\" __global__ void read{}(const __grid_constant__ attune::ForwardParams "
                          "p, long long *x) {{ "
                          "*x = p.{}; }}\n",
                          i, fields[i].name);
  source += fmt::format("static_assert(sizeof(attune::ForwardParams) == {});\n", sizeof(ForwardParams));
  std::string ptx = ptxOf(source, "read0");
  if (ptx.empty())
    return;
  for (size_t i = 0; i != std::size(fields); ++i) {
    CAPTURE(fields[i].name);
    size_t entry = ptx.find(fmt::format(".entry read{}(", i));
    REQUIRE(entry != std::string::npos);
    std::string body = ptx.substr(entry, ptx.find("ret;", entry) - entry);
    std::string place = fields[i].offset ? fmt::format("[read{}_param_0+{}]", i, fields[i].offset)
                                         : fmt::format("[read{}_param_0]", i);
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
