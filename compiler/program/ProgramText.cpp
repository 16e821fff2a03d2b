//===- ProgramText.cpp - programs as lines of text ------------------------===//
//
// The one form in which a program is written down: in a cache entry's metadata, and behind the text of its
// kernels, from where an edited text gets it back.
//
//===----------------------------------------------------------------------===//
#include "compiler/program/Program.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

namespace attune {

/// The limits of every architecture; a device may have lower ones.
static constexpr int64_t maxThreads = 1024, maxShared = 256 << 10, maxClusterBlocks = 16;
static constexpr size_t maxKernels = 16, maxLaunches = 64;

static std::string dimensions(const std::array<int, 3> &counts) {
  return fmt::format("{} x {} x {}", counts[0], counts[1], counts[2]);
}

/// An extent of a grid: a sum or a product stands in parentheses.
static std::string extentText(const SizeExpr &extent) {
  std::string text = extent.text();
  int depth = 0;
  for (char c : text) {
    depth += c == '(' ? 1 : c == ')' ? -1 : 0;
    if (c == ' ' && depth == 0)
      return "(" + text + ")";
  }
  return text;
}

std::string Program::text() const {
  std::string result;
  for (const KernelInfo &kernel : kernels) {
    result += fmt::format("kernel {}:{}{}\n", kernel.name, kernel.schedule.empty() ? "" : " ",
                          kernel.schedule.text());
    result += fmt::format("  threads {}, min_blocks {}, shared {}, cluster {}\n", kernel.threads,
                          kernel.minBlocksPerSm, kernel.sharedBytes, dimensions(kernel.cluster));
    for (const Argument &argument : kernel.arguments)
      result += fmt::format("  {}\n", argument.text());
  }
  for (const Launch &launch : launches)
    result += fmt::format("launch {}: grid {} x {} x {}, block {}, cluster {}, shared {}\n",
                          kernels[launch.kernel].name, extentText(launch.grid[0]), extentText(launch.grid[1]),
                          extentText(launch.grid[2]), launch.block, dimensions(launch.cluster),
                          launch.sharedBytes.text());
  return result;
}

//===----------------------------------------------------------------------===//
// Parsing
//===----------------------------------------------------------------------===//

static std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t' || text.front() == '\r'))
    text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r'))
    text.remove_suffix(1);
  return text;
}

/// The parts of `text` between separators that stand outside parentheses.
static std::vector<std::string_view> split(std::string_view text, std::string_view separator) {
  std::vector<std::string_view> parts;
  int depth = 0;
  size_t begin = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    depth += text[i] == '(' ? 1 : text[i] == ')' ? -1 : 0;
    if (depth != 0 || !text.substr(i).starts_with(separator))
      continue;
    parts.push_back(trim(text.substr(begin, i - begin)));
    begin = i + separator.size();
    i = begin - 1;
  }
  parts.push_back(trim(text.substr(begin)));
  return parts;
}

static std::optional<int64_t> number(std::string_view text, int64_t least, int64_t most) {
  int64_t value = 0;
  auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  bool whole = error == std::errc() && stop == text.data() + text.size();
  return whole && value >= least && value <= most ? std::optional(value) : std::nullopt;
}

static std::optional<std::array<int, 3>> threeNumbers(std::string_view text) {
  std::vector<std::string_view> parts = split(text, " x ");
  std::array<int, 3> counts;
  if (parts.size() != 3)
    return std::nullopt;
  for (size_t i = 0; i < 3; ++i) {
    std::optional<int64_t> count = number(parts[i], 1, maxClusterBlocks);
    if (!count)
      return std::nullopt;
    counts[i] = int(*count);
  }
  return counts;
}

namespace {

/// What stands behind `word` in one of the parts; empty if no part has it.
class Facts {
public:
  explicit Facts(std::string_view text) : parts(split(text, ",")) {}
  std::string_view of(std::string_view word) const {
    for (std::string_view part : parts)
      if (part.starts_with(word) && part.size() > word.size() && part[word.size()] == ' ')
        return trim(part.substr(word.size()));
    return {};
  }
  size_t count() const { return parts.size(); }

private:
  std::vector<std::string_view> parts;
};

} // namespace

static Status readFacts(KernelInfo &kernel, std::string_view line) {
  Facts facts(line);
  std::optional<int64_t> threads = number(facts.of("threads"), 1, maxThreads),
                         blocks = number(facts.of("min_blocks"), 0, 64),
                         shared = number(facts.of("shared"), 0, maxShared);
  std::optional<std::array<int, 3>> cluster = threeNumbers(facts.of("cluster"));
  if (facts.count() != 4 || !threads || !blocks || !shared || !cluster)
    return badInput(fmt::format(
        "expected 'threads N, min_blocks N, shared BYTES, cluster X x Y x Z' of kernel '{}', got '{}'",
        kernel.name, line));
  kernel.threads = int(*threads);
  kernel.minBlocksPerSm = int(*blocks);
  kernel.sharedBytes = int(*shared);
  kernel.cluster = *cluster;
  return success();
}

static Result<Launch> readLaunch(const Program &program, std::string_view line) {
  auto refuse = [&](std::string_view why) {
    return badInput(fmt::format("expected 'launch NAME: grid X x Y x Z, block THREADS, cluster X x Y x Z, "
                                "shared BYTES', got '{}' ({})",
                                line, why));
  };
  size_t colon = line.find(':');
  if (colon == std::string_view::npos)
    return refuse("no ':'");
  std::string_view name = trim(line.substr(sizeof "launch" - 1, colon - (sizeof "launch" - 1)));
  Launch launch;
  while (launch.kernel < program.kernels.size() && program.kernels[launch.kernel].name != name)
    ++launch.kernel;
  if (launch.kernel == program.kernels.size())
    return refuse("no kernel before it has this name");
  Facts facts(line.substr(colon + 1));
  std::vector<std::string_view> grid = split(facts.of("grid"), " x ");
  if (grid.size() != 3)
    return refuse("a grid has three extents");
  for (size_t i = 0; i < 3; ++i) {
    Result<SizeExpr> extent = SizeExpr::parse(grid[i]);
    if (!extent)
      return refuse(extent.error().message);
    launch.grid[i] = *extent;
  }
  std::optional<int64_t> block = number(facts.of("block"), 1, maxThreads);
  std::optional<std::array<int, 3>> cluster = threeNumbers(facts.of("cluster"));
  if (facts.count() != 4 || !block || !cluster)
    return refuse("a block has 1 to 1024 threads, a cluster 1 to 16 blocks an axis");
  Result<SizeExpr> shared = SizeExpr::parse(facts.of("shared"));
  if (!shared)
    return refuse(shared.error().message);
  launch.block = int(*block);
  launch.cluster = *cluster;
  launch.sharedBytes = *shared;
  return launch;
}

/// What parts of a program must agree on.
static Status check(const Program &program) {
  std::vector<const Argument *> known;
  for (const KernelInfo &kernel : program.kernels) {
    if (kernel.threads == 0)
      return badInput(fmt::format("expected the threads of kernel '{}', got none", kernel.name));
    if (ParameterBlock(kernel.arguments).bytes > maxParameterBytes)
      return badInput(fmt::format("expected at most {} bytes of parameters, kernel '{}' has {}",
                                  maxParameterBytes, kernel.name, ParameterBlock(kernel.arguments).bytes));
    for (const Argument &argument : kernel.arguments) {
      auto same = std::find_if(known.begin(), known.end(),
                               [&](const Argument *other) { return other->name == argument.name; });
      if (same == known.end()) {
        known.push_back(&argument);
        continue;
      }
      // One array may be an output of one kernel and an input of the next.
      Argument as = **same;
      as.output = argument.output;
      if (as != argument || &argument == *same)
        return badInput(fmt::format("expected one meaning of argument '{}', got '{}' and '{}'", argument.name,
                                    (*same)->text(), argument.text()));
    }
  }
  if (program.launches.empty())
    return badInput("expected a launch, got none");
  return success();
}

Result<Program> Program::parse(std::string_view text) {
  Program program;
  while (!text.empty()) {
    size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = trim(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty())
      continue;
    if (line.starts_with("kernel ")) {
      size_t colon = line.find(':');
      if (colon == std::string_view::npos)
        return badInput(fmt::format("expected 'kernel NAME: SCHEDULE', got '{}'", line));
      KernelInfo kernel;
      kernel.name = trim(line.substr(sizeof "kernel" - 1, colon - (sizeof "kernel" - 1)));
      if (kernel.name.empty())
        return badInput(fmt::format("expected the name of a kernel, got '{}'", line));
      for (const KernelInfo &other : program.kernels)
        if (other.name == kernel.name)
          return badInput(fmt::format("expected kernels of different names, got '{}' twice", kernel.name));
      Result<Schedule> schedule = Schedule::parse(trim(line.substr(colon + 1)));
      if (!schedule)
        return schedule.error();
      kernel.schedule = *schedule;
      program.kernels.push_back(std::move(kernel));
    } else if (line.starts_with("launch ")) {
      Result<Launch> launch = readLaunch(program, line);
      if (!launch)
        return launch.error();
      program.launches.push_back(*launch);
    } else if (program.kernels.empty() || !program.launches.empty()) {
      return badInput(fmt::format("expected 'kernel NAME: SCHEDULE' or a launch, got '{}'", line));
    } else if (line.starts_with("threads ")) {
      if (Status read = readFacts(program.kernels.back(), line); !read)
        return read.error();
    } else {
      Result<Argument> argument = Argument::parse(line);
      if (!argument)
        return argument.error();
      if (program.kernels.back().find(argument->name))
        return badInput(fmt::format("expected arguments of different names, kernel '{}' has '{}' twice",
                                    program.kernels.back().name, argument->name));
      program.kernels.back().arguments.push_back(std::move(*argument));
    }
    if (program.kernels.size() > maxKernels || program.launches.size() > maxLaunches)
      return badInput(fmt::format("expected at most {} kernels and {} launches", maxKernels, maxLaunches));
  }
  if (Status good = check(program); !good)
    return good.error();
  return program;
}

//===----------------------------------------------------------------------===//
// Behind the text of kernels
//===----------------------------------------------------------------------===//

/// Begins a line that PTX and CUDA C++ take for a comment.
static constexpr std::string_view mark = "//@ ";

std::string Program::trailer() const {
  if (launches.empty())
    return "";
  std::string lines = text(), result = "// What a launch takes; attune reads these lines back (--from).\n";
  for (size_t begin = 0; begin < lines.size();) {
    size_t end = lines.find('\n', begin);
    result += fmt::format("{}{}\n", mark, std::string_view(lines).substr(begin, end - begin));
    begin = end + 1;
  }
  return result;
}

bool Program::hasTrailer(std::string_view kernelText) {
  return kernelText.starts_with(mark) || kernelText.find(fmt::format("\n{}", mark)) != std::string_view::npos;
}

Result<Program> Program::fromTrailer(std::string_view kernelText, std::string_view file) {
  std::string lines;
  size_t first = 0, line = 1;
  for (std::string_view rest = kernelText; !rest.empty(); ++line) {
    size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view here = rest.substr(0, end);
    if (here.starts_with(mark)) {
      lines += fmt::format("{}\n", here.substr(mark.size()));
      first = first ? first : line;
    }
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  if (first == 0)
    return badInput(fmt::format("{}: error: expected lines '{}...' that say what a launch takes, as attune "
                                "compile prints them behind a kernel's text, got none",
                                file, mark));
  Result<Program> program = parse(lines);
  if (!program)
    return badInput(fmt::format("{}:{}: error: {}", file, first, program.error().message));
  return program;
}

} // namespace attune
