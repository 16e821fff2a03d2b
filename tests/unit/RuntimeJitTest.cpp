//===- RuntimeJitTest.cpp - assemblers, cubins and NVRTC ------------------===//
#include "runtime/io/File.h"
#include "runtime/jit/Assemble.h"
#include "runtime/jit/Cubin.h"
#include "runtime/jit/Slots.h"
#include "runtime/jit/Subprocess.h"
#include "runtime/jit/Toolchain.h"
#include "runtime/launch/LoadedProgram.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/stat.h>

using namespace attune;
namespace fs = std::filesystem;

namespace {

bool has(const std::string &text, const std::string &part) { return text.find(part) != std::string::npos; }

/// Sets environment variables for a scope.
class Variables {
public:
  void set(const std::string &name, const std::string &value) {
    const char *old = std::getenv(name.c_str());
    saved.try_emplace(name, old ? std::optional<std::string>(old) : std::nullopt);
    ::setenv(name.c_str(), value.c_str(), 1);
  }
  ~Variables() {
    for (auto &[name, value] : saved)
      value ? ::setenv(name.c_str(), value->c_str(), 1) : ::unsetenv(name.c_str());
  }

private:
  std::map<std::string, std::optional<std::string>> saved;
};

void makeTool(const fs::path &path, const std::string &text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << "#!/bin/sh\n" << text;
  fs::permissions(path, fs::perms::owner_all);
}

const char *saxpy =
    "#include \"factor.cuh\"\n"
    "extern \"C\" __global__ void scale(float *p) { p[threadIdx.x] = p[threadIdx.x] * FACTOR + 1; }\n";

} // namespace

TEST_CASE("subprocess: outputs, exit status, signals, no such program") {
  Result<ProcessOutput> run = runProcess({"/bin/sh", "-c", "echo out; echo err >&2; exit 3"});
  REQUIRE(run);
  CHECK(run->status == 3);
  CHECK(run->out == "out\n");
  CHECK(run->err == "err\n");
  CHECK(runProcess({"/bin/sh", "-c", "kill -9 $$"})->status == 128 + 9);
  CHECK(runProcess({"/bin/cat"})->out == ""); // its input is empty, not ours
  // More than a pipe holds, on both at once.
  Result<ProcessOutput> large =
      runProcess({"/bin/sh", "-c", "head -c 300000 /dev/zero >&2; head -c 300000 /dev/zero"});
  REQUIRE(large);
  CHECK(large->out.size() == 300000);
  CHECK(large->err.size() == 300000);
  Result<ProcessOutput> absent = runProcess({"/nowhere/tool"});
  REQUIRE(!absent);
  CHECK(absent.error().kind == ErrorKind::Missing);
  CHECK(has(absent.error().message, "cannot run /nowhere/tool: No such file"));
}

TEST_CASE("temporary folders are their owner's alone and go with their contents") {
  std::string path;
  {
    Result<TempDir> folder = TempDir::make();
    REQUIRE(folder);
    path = folder->path();
    struct stat status{};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0700);
    std::ofstream(path + "/file") << "x";
  }
  CHECK(!fs::exists(path));
  Variables variables;
  variables.set("TMPDIR", "/nowhere");
  Result<TempDir> folder = TempDir::make();
  REQUIRE(!folder);
  CHECK(has(folder.error().message, "set TMPDIR"));
}

TEST_CASE("toolchain: the order of search, and what is said when nothing is there") {
  Result<TempDir> folder = TempDir::make();
  REQUIRE(folder);
  std::string root = folder->path();
  Variables variables;
  variables.set("ATTUNE_TOOLS_DIR", root + "/wheels");
  variables.set("CUDA_HOME", root + "/home");
  variables.set("PATH", root + "/path");
  makeTool(root + "/path/nvdisasm", "exit 1");
  makeTool(root + "/home/bin/nvdisasm", "echo 'Cuda compilation tools, release 12.4, V12.4.99'");
  makeTool(root + "/wheels/nvidia/cu13/bin/ptxas", "echo 'Cuda compilation tools, release 13.0, V13.0.88'");
  Toolchain tools = Toolchain::find();
  REQUIRE(tools.tool(Tool::Ptxas));
  CHECK(tools.tool(Tool::Ptxas)->path == root + "/wheels/nvidia/cu13/bin/ptxas");
  CHECK(tools.tool(Tool::Ptxas)->origin == "ATTUNE_TOOLS_DIR");
  CHECK(*tools.version(Tool::Ptxas) == "13.0.88");
  REQUIRE(tools.tool(Tool::Nvdisasm));
  CHECK(tools.tool(Tool::Nvdisasm)->origin == "CUDA_HOME");
  CHECK(*tools.version(Tool::Nvdisasm) == "12.4.99");
  CHECK(tools.searched(Tool::Nvdisasm).size() >= 2);
  std::string before = tools.fingerprint(Tool::Ptxas);
  CHECK(!before.empty());
  makeTool(root + "/wheels/nvidia/cu13/bin/ptxas", "echo nothing to see");
  CHECK(tools.fingerprint(Tool::Ptxas) != before);
  Result<std::string> version = tools.version(Tool::Ptxas);
  REQUIRE(!version);
  CHECK(has(version.error().message, "expected a version"));

  Result<std::string> absent = Toolchain().need(Tool::NVRTC);
  REQUIRE(!absent);
  CHECK(absent.error().kind == ErrorKind::Missing);
  CHECK(has(absent.error().message, "pip install"));
  CHECK(has(absent.error().message, "ATTUNE_TOOLS_DIR"));
}

TEST_CASE("toolchain: wheels of the Pythons on PATH, and folders that are no tools") {
  Result<TempDir> folder = TempDir::make();
  REQUIRE(folder);
  std::string root = folder->path();
  Variables variables;
  for (const char *name : {"ATTUNE_TOOLS_DIR", "CUDA_HOME", "CUDA_PATH"})
    variables.set(name, "");
  variables.set("PATH", root + "/venv/bin");
  makeTool(root + "/venv/bin/python3", "exit 1"); // never run
  fs::create_directories(root + "/venv/bin/nvdisasm");
  makeTool(root + "/venv/lib/python3.11/site-packages/nvidia/cuda_nvdisasm/bin/nvdisasm", "exit 0");
  Toolchain tools = Toolchain::find();
  REQUIRE(tools.tool(Tool::Nvdisasm));
  if (tools.tool(Tool::Nvdisasm)->origin != "usual prefix") {
    CHECK(tools.tool(Tool::Nvdisasm)->origin == "Python's nvidia wheels");
    CHECK(has(tools.tool(Tool::Nvdisasm)->path, "cuda_nvdisasm/bin/nvdisasm"));
  }
}

TEST_CASE("assembler log: messages that are errors") {
  std::string log = "ptxas info    : Compiling entry function 'kernel' for 'sm_80'\n"
                    "ptxas info    : Used 255 registers, used 2 barriers, 528 bytes cmem[0]\n";
  CHECK(checkAssemblerLog(log, "kernel"));
  CHECK(checkAssemblerLog("", "kernel"));
  Status serialised = checkAssemblerLog(
      log +
          "ptxas info    : (C7512) Potential Performance Loss: wgmma.mma_async instructions are serialized\n",
      "kernel");
  REQUIRE(!serialised);
  CHECK(serialised.error().kind == ErrorKind::Verification);
  CHECK(has(serialised.error().message, "C7512"));
}

TEST_CASE("PTX versions are read from the text") {
  CHECK(ptxIsaOf("//\n// x\n.version 9.0\n.target sm_90a\n") == 90);
  CHECK(ptxIsaOf(".version 8.7\n") == 87);
  CHECK(ptxIsaOf("nothing") == 0);
  CHECK(ptxIsaOf("") == 0);
}

TEST_CASE("NVRTC: PTX and cubin with line information, headers by name, the compiler's own messages") {
  Toolchain tools = Toolchain::find();
  if (!tools.tool(Tool::NVRTC)) {
    MESSAGE("skipped: no NVRTC");
    return;
  }
  Arch arch = *findArch("sm_90a");
  Result<Assembled> built =
      compileCuda(tools, saxpy, "scale.cu", {{"factor.cuh", "#define FACTOR 3.0f\n"}}, arch, {"scale"});
  REQUIRE_MESSAGE(built, (built ? "" : built.error().message));
  CHECK(has(built->ptx, ".target sm_90a"));
  CHECK(has(built->ptx, "mul.rn.f32")); // not contracted
  CHECK(!has(built->ptx, "fma.rn.f32"));
  CHECK(has(built->ptx, ".loc"));
  CHECK(built->cubin.starts_with("\x7f"
                                 "ELF"));
  CHECK(built->reports[0].registers > 0);
  CHECK(built->reports[0].spillStores == 0);
  CHECK(ptxIsaOf(built->ptx) >= 80);

  Result<Assembled> broken = compileCuda(tools, "__global__ void k() { return 1 }", "k.cu", {}, arch, {"k"});
  REQUIRE(!broken);
  CHECK(has(broken.error().message, "k.cu(1): error"));
  Result<Assembled> absent =
      compileCuda(tools, saxpy, "scale.cu", {{"factor.cuh", "#define FACTOR 1\n"}}, arch, {"other"});
  CHECK(!absent);
}

/// The number in front of `what` in ptxas's report.
static int numberIn(const std::string &log, const std::string &what) {
  std::smatch found;
  return std::regex_search(log, found, std::regex("(\\d+) " + what)) ? std::stoi(found[1]) : 0;
}

TEST_CASE("resources come from the cubin and are those that ptxas reports") {
  Toolchain tools = Toolchain::find();
  if (!tools.tool(Tool::Ptxas)) {
    MESSAGE("skipped: no ptxas");
    return;
  }
  // Values that are all alive at once spill into local memory; static shared memory; two barriers.
  std::string loads, stores;
  for (int i = 0; i < 60; ++i) {
    loads += fmt::format(" ld.volatile.global.u32 %r{}, [%a+{}];\n", i, 4 * i);
    stores += fmt::format(" st.volatile.global.u32 [%a+{}], %r{};\n", 4 * i, i);
  }
  auto text = [&](const char *arch, bool large) {
    return fmt::format(".version 9.0\n.target {}\n.address_size 64\n.visible .entry small() {{ ret; }}\n"
                       ".visible .entry k(.param .u64 p)\n{}{{\n .reg .b64 %a;\n .reg .b32 %r<60>;\n{}"
                       " ld.param.u64 %a, [p];\n{} bar.sync 0;\n bar.sync 1;\n{} ret;\n}}\n",
                       arch, large ? ".maxnreg 32\n" : "", large ? " .shared .align 16 .b8 s[1000];\n" : "",
                       large ? loads + " st.shared.u32 [s], %r0;\n" : "", large ? stores : "");
  };
  for (const char *name : {"sm_80", "sm_89", "sm_90", "sm_120"}) {
    Arch arch = *findArch(name);
    for (bool large : {false, true}) {
      CAPTURE(name);
      CAPTURE(large);
      Result<Assembled> built = assemblePtx(tools, text(name, large), "k.ptx", arch, {"k"});
      REQUIRE_MESSAGE(built, (built ? "" : built.error().message));
      size_t from = built->log.find("entry function 'k'");
      std::string log = built->log.substr(from, built->log.find("entry function", from + 10) - from);
      CAPTURE(log);
      const AssemblerReport &report = built->reports[0];
      CHECK(report.registers == numberIn(log, "registers"));
      CHECK(report.barriers == numberIn(log, "barriers"));
      CHECK(report.staticShared == numberIn(log, "bytes smem"));
      CHECK(report.stackBytes == numberIn(log, "bytes stack frame"));
      CHECK(report.spillStores == numberIn(log, "bytes spill stores"));
      CHECK(report.spillLoads == numberIn(log, "bytes spill loads"));
      CHECK((report.spillStores > 0) == large);
      // A cubin that is cut short anywhere, or damaged, is an error or the same; it is never read beyond.
      for (size_t size = 0; size < built->cubin.size(); size += 1 + built->cubin.size() / 300) {
        (void)bool(reportOf(std::string_view(built->cubin).substr(0, size), "k"));
        std::string damaged = built->cubin;
        damaged[size] = char(~damaged[size]);
        (void)bool(reportOf(damaged, "k"));
      }
      CHECK(!reportOf(built->cubin, "absent"));
    }
  }
  CHECK(!reportOf("", "k"));
}

TEST_CASE("an NVRTC that logs nothing, knowing the text from before, gives the same kernel") {
  Toolchain tools = Toolchain::find();
  if (!tools.tool(Tool::NVRTC)) {
    MESSAGE("skipped: no NVRTC");
    return;
  }
  Arch arch = *findArch("sm_90");
  std::vector<NamedText> headers = {{"factor.cuh", "#define FACTOR 3.0f\n"}};
  Result<Assembled> told = compileCuda(tools, saxpy, "scale.cu", headers, arch, {"scale"});
  REQUIRE(told);
  Result<TempDir> folder = TempDir::make();
  REQUIRE(folder);
  fs::copy_file(ATTUNE_SILENT_NVRTC, folder->path() + "/libnvrtc.so.13");
  Variables variables;
  variables.set("ATTUNE_REAL_NVRTC", tools.tool(Tool::NVRTC)->path);
  variables.set("ATTUNE_TOOLS_DIR", folder->path());
  Toolchain quiet = Toolchain::find();
  REQUIRE(quiet.tool(Tool::NVRTC)->path.starts_with(folder->path()));
  Result<Assembled> silent = compileCuda(quiet, saxpy, "scale.cu", headers, arch, {"scale"});
  REQUIRE_MESSAGE(silent, (silent ? "" : silent.error().message));
  CHECK(silent->log.empty());
  CHECK(silent->cubin == told->cubin);
  CHECK(silent->reports == told->reports);
  CHECK(silent->reports[0].registers > 0);
}

TEST_CASE("ptxas: cubin and resources, errors without the temporary folder, nothing left behind") {
  Toolchain tools = Toolchain::find();
  if (!tools.tool(Tool::Ptxas)) {
    MESSAGE("skipped: no ptxas");
    return;
  }
  Result<TempDir> folder = TempDir::make();
  REQUIRE(folder);
  Variables variables;
  variables.set("TMPDIR", folder->path());
  std::string head = ".version 8.0\n.target sm_80\n.address_size 64\n";
  std::string body =
      ".visible .entry k(.param .u64 p)\n{\n .reg .b64 %a;\n .reg .b32 %x;\n ld.param.u64 %a, [p];\n"
      " mov.u32 %x, 7;\n st.global.u32 [%a], %x;\n ret;\n}\n";
  Arch arch = *findArch("sm_80");
  Result<Assembled> built = assemblePtx(tools, head + body, "k.ptx", arch, {"k"});
  REQUIRE_MESSAGE(built, (built ? "" : built.error().message));
  CHECK(built->cubin.starts_with("\x7f"
                                 "ELF"));
  CHECK(built->reports[0].registers > 0);
  Result<Assembled> broken = assemblePtx(tools, head + "nonsense;\n", "k.ptx", arch, {"k"});
  REQUIRE(!broken);
  CHECK(has(broken.error().message, "k.ptx, line 4"));
  CHECK(!has(broken.error().message, folder->path()));
  CHECK(fs::is_empty(folder->path()));
}

TEST_CASE("ptxas: a mistake that comes at many lines is told once, with its first line and its count") {
  Toolchain tools = Toolchain::find();
  if (!tools.tool(Tool::Ptxas)) {
    MESSAGE("skipped: no ptxas");
    return;
  }
  std::string text =
      ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k()\n{\n .reg .b32 %x;\n";
  for (int i = 0; i < 300; ++i)
    text += " neg.s31 %x, %x;\n";
  text += " abs.s33 %x, %x;\n ret;\n}\n";
  Result<Assembled> broken = assemblePtx(tools, text, "k.ptx", *findArch("sm_80"), {"k"});
  REQUIRE(!broken);
  CHECK(has(broken.error().message, "k.ptx, line 7"));
  CHECK(has(broken.error().message, "(300 times)"));
  CHECK(has(broken.error().message, "k.ptx, line 307")); // what comes once is not lost among them
  CHECK(std::count(broken.error().message.begin(), broken.error().message.end(), '\n') < 8);
}
