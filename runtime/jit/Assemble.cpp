//===- Assemble.cpp - kernel text to machine code -------------------------===//
#include "runtime/jit/Assemble.h"

#include "runtime/io/File.h"
#include "runtime/jit/NvrtcApi.h"
#include "runtime/jit/Subprocess.h"

#include <charconv>
#include <optional>

#include <fmt/format.h>

namespace attune {
namespace {

/// Calls `take` with every line of `text`.
template <typename Take> void eachLine(std::string_view text, Take take) {
  while (!text.empty()) {
    size_t end = std::min(text.find('\n'), text.size());
    take(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

/// The number that precedes `what` in `line`: numberBefore("Used 14 registers", " registers") == 14.
int numberBefore(std::string_view line, std::string_view what) {
  size_t end = line.find(what);
  if (end == std::string_view::npos)
    return 0;
  size_t start = end;
  while (start > 0 && line[start - 1] >= '0' && line[start - 1] <= '9')
    --start;
  int value = 0;
  std::from_chars(line.data() + start, line.data() + end, value);
  return value;
}

/// A program of NVRTC, destroyed with its scope.
struct Program {
  const NvrtcApi &api;
  NvrtcApi::Program handle = nullptr;
  ~Program() {
    if (handle)
      api.DestroyProgram(&handle);
  }
  std::string text(int (*sizeOf)(NvrtcApi::Program, size_t *), int (*get)(NvrtcApi::Program, char *)) {
    size_t size = 0;
    if (sizeOf(handle, &size) != 0 || size == 0)
      return "";
    std::string bytes(size, '\0');
    return get(handle, bytes.data()) == 0 ? bytes : "";
  }
};

/// NVRTC's texts end with a NUL that belongs to C, not to the text.
std::string withoutNul(std::string text) {
  while (text.ends_with('\0'))
    text.pop_back();
  return text;
}

} // namespace

Result<AssemblerReport> parseAssemblerLog(const std::string &log, const std::string &entry) {
  AssemblerReport resources;
  std::string refused;
  bool inEntry = false, seen = false;
  std::string compiling = fmt::format("Compiling entry function '{}'", entry);
  std::string properties = fmt::format("Function properties for {}", entry);
  bool inProperties = false;
  eachLine(log, [&](std::string_view line) {
    // "ptxas info : (C7512) Potential Performance Loss: wgmma.mma_async instructions are serialized..."
    if (size_t code = line.find("(C75"); code != std::string_view::npos)
      refused += fmt::format("\n  {}", line);
    if (line.find("Compiling entry function") != std::string_view::npos)
      inEntry = line.find(compiling) != std::string_view::npos;
    if (line.find("Function properties for ") != std::string_view::npos)
      inProperties = line.ends_with(properties);
    if (inProperties && line.find("bytes stack frame") != std::string_view::npos) {
      resources.stackBytes = numberBefore(line, " bytes stack frame");
      resources.spillStores = numberBefore(line, " bytes spill stores");
      resources.spillLoads = numberBefore(line, " bytes spill loads");
    }
    if (inEntry && line.find(": Used ") != std::string_view::npos) {
      seen = true;
      resources.registers = numberBefore(line, " registers");
      resources.barriers = numberBefore(line, " barriers");
      resources.staticShared = numberBefore(line, " bytes smem");
    }
  });
  if (!refused.empty())
    return Error{ErrorKind::Verification,
                 fmt::format("the assembler changed what kernel '{}' asks for:{}", entry, refused)};
  if (!seen)
    return badInput(fmt::format("the assembler reports no kernel '{}':\n{}", entry, log));
  return resources;
}

Result<Assembled> compileCuda(const Toolchain &tools, const std::string &source,
                              const std::string &sourceName, const std::vector<NamedText> &headers,
                              const Arch &arch, const std::string &entry) {
  Result<std::string> path = tools.need(Tool::NVRTC);
  if (!path)
    return path.error();
  Result<const NvrtcApi *> opened = NvrtcApi::open(*path);
  if (!opened)
    return opened.error();
  const NvrtcApi &api = **opened;

  std::vector<const char *> texts, names;
  for (const NamedText &header : headers) {
    texts.push_back(header.text.c_str());
    names.push_back(header.name.c_str());
  }
  Program program{api};
  int failed = api.CreateProgram(&program.handle, source.c_str(), sourceName.c_str(), int(headers.size()),
                                 texts.data(), names.data());
  if (failed)
    return missing(fmt::format("{}: NVRTC cannot start: {}", sourceName, api.GetErrorString(failed)));
  std::string archOption = "--gpu-architecture=" + arch.name;
  // No contraction: the order and the rounding of f32 operations is part of what a kernel computes.
  const char *options[] = {archOption.c_str(), "-std=c++17", "-fmad=false", "-lineinfo",
                           "--ptxas-options=-v"};
  failed = api.CompileProgram(program.handle, std::size(options), options);
  Assembled result;
  result.log = withoutNul(program.text(api.GetProgramLogSize, api.GetProgramLog));
  if (failed)
    return badInput(fmt::format("{}: NVRTC {}.{} does not compile it for {}: {}\n{}", sourceName, api.major,
                                api.minor, arch.name, api.GetErrorString(failed), result.log));
  result.ptx = withoutNul(program.text(api.GetPTXSize, api.GetPTX));
  result.cubin = program.text(api.GetCUBINSize, api.GetCUBIN);
  if (result.ptx.empty() || result.cubin.empty())
    return missing(fmt::format("{}: expected PTX and a cubin from NVRTC {}.{} for {}, got {} and {} bytes; "
                               "NVRTC 12.0 or newer gives both",
                               sourceName, api.major, api.minor, arch.name, result.ptx.size(),
                               result.cubin.size()));
  Result<AssemblerReport> resources = parseAssemblerLog(result.log, entry);
  if (!resources)
    return resources.error();
  result.resources = *resources;
  return result;
}

Result<Assembled> assemblePtx(const Toolchain &tools, const std::string &ptx, const Arch &arch,
                              const std::string &entry) {
  Result<std::string> ptxas = tools.need(Tool::Ptxas);
  if (!ptxas)
    return ptxas.error();
  Result<TempDir> folder = TempDir::make();
  if (!folder)
    return folder.error();
  std::string input = folder->path() + "/" + "kernel.ptx";
  std::string output = folder->path() + "/" + "kernel.cubin";
  if (Status written = writeFileAtomically(input, {ptx}, 0600); !written)
    return written.error();
  Result<ProcessOutput> run =
      runProcess({*ptxas, "-v", "-lineinfo", "-arch=" + arch.name, input, "-o", output});
  if (!run)
    return run.error();
  Assembled result;
  result.log = run->out + run->err;
  // The temporary folder's name helps nobody and differs from run to run.
  for (size_t at; (at = result.log.find(input)) != std::string::npos;)
    result.log.replace(at, input.size(), entry + ".ptx");
  if (run->status != 0)
    return badInput(fmt::format("{}.ptx: ptxas does not assemble it for {} (exit status {}):\n{}", entry,
                                arch.name, run->status, result.log));
  Result<AssemblerReport> resources = parseAssemblerLog(result.log, entry);
  if (!resources)
    return resources.error();
  result.resources = *resources;
  Result<std::string> cubin = readFile(output);
  if (!cubin)
    return cubin.error();
  result.cubin = std::move(*cubin);
  return result;
}

} // namespace attune
