//===- Assemble.cpp - kernel text to machine code -------------------------===//
#include "runtime/jit/Assemble.h"

#include "runtime/io/File.h"
#include "runtime/jit/Cubin.h"
#include "runtime/jit/NvrtcApi.h"
#include "runtime/jit/Subprocess.h"

#include <map>
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

/// What ptxas says of a text that it refuses; what it says of many lines is said once, with its count.
std::string foldedLog(std::string_view log) {
  std::vector<std::pair<std::string_view, size_t>> lines;
  std::map<std::string_view, size_t> places; // by what stands behind "ptxas FILE, line N"
  eachLine(log, [&](std::string_view line) {
    size_t at = line.starts_with("ptxas ") ? line.find(", line ") : line.npos;
    std::string_view said = line.substr(at == line.npos ? 0 : std::min(line.find(';', at), line.size()));
    if (auto [place, isNew] = places.try_emplace(said, lines.size()); !isNew)
      ++lines[place->second].second;
    else
      lines.emplace_back(line, 1);
  });
  std::string text;
  for (auto [line, count] : lines)
    text += count > 1 ? fmt::format("{} ({} times)\n", line, count) : fmt::format("{}\n", line);
  return text;
}

/// A program of NVRTC, destroyed with its scope.
struct NvrtcProgram {
  const NvrtcApi &api;
  NvrtcApi::Program handle = nullptr;
  ~NvrtcProgram() {
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

Status checkAssemblerLog(const std::string &log, const std::string &entry) {
  std::string refused;
  eachLine(log, [&](std::string_view line) {
    // "ptxas info : (C7512) Potential Performance Loss: wgmma.mma_async instructions are serialized..."
    if (line.find("(C75") != std::string_view::npos)
      refused += fmt::format("\n  {}", line);
  });
  if (refused.empty())
    return success();
  return Error{ErrorKind::Verification,
               fmt::format("the assembler changed what kernel '{}' asks for:{}", entry, refused)};
}

/// What the assembler said and made, as far as it can be used.
static Status finish(Assembled &made, const std::vector<std::string> &entries) {
  for (const std::string &entry : entries) {
    if (Status kept = checkAssemblerLog(made.log, entry); !kept)
      return kept;
    Result<AssemblerReport> report = reportOf(made.cubin, entry);
    if (!report)
      return badInput(fmt::format("{}{}{}", report.error().message, made.log.empty() ? "" : ":\n", made.log));
    made.reports.push_back(*report);
  }
  return success();
}

Result<Assembled> compileCuda(const Toolchain &tools, const std::string &source,
                              const std::string &sourceName, const std::vector<NamedText> &headers,
                              const Arch &arch, const std::vector<std::string> &entries) {
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
  NvrtcProgram program{api};
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
  if (Status good = finish(result, entries); !good)
    return good.error();
  return result;
}

Result<Assembled> assemblePtx(const Toolchain &tools, const std::string &ptx, const std::string &sourceName,
                              const Arch &arch, const std::vector<std::string> &entries) {
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
    result.log.replace(at, input.size(), sourceName);
  if (run->status != 0)
    return badInput(fmt::format("{}: ptxas does not assemble it for {} (exit status {}):\n{}", sourceName,
                                arch.name, run->status, foldedLog(result.log)));
  Result<std::string> cubin = readFile(output);
  if (!cubin)
    return cubin.error();
  result.cubin = std::move(*cubin);
  if (Status good = finish(result, entries); !good)
    return good.error();
  return result;
}

} // namespace attune
