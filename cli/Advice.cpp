//===- Advice.cpp - what was tuned, for commands that plan ----------------===//
#include "cli/Advice.h"
#include "runtime/device/sim/SimDevice.h"
#include "runtime/plan/Planning.h"
#include "tuner/Advisor.h"

#include <charconv>
#include <cstdio>

#include <fmt/format.h>
#include <unistd.h>

namespace attune::cli {

void declareAdvice(CommandLine &line) {
  line.option("--store", "FILE",
              "tuning results to choose the schedule by (ATTUNE_STORE, else the user's own)");
  line.flag("--untuned", "take the compiler's default for what the spec leaves open");
}

Advisor readAdvice(CommandLine &line, std::optional<Target> target) {
  std::string named = line.text("--store");
  if (line.has("--untuned")) {
    if (!named.empty())
      line.problem("--store", "expected --untuned or this, got both");
    return {};
  }
  std::string path = named.empty() ? tuner::Store::defaultPath() : named;
  std::shared_ptr<tuner::Store> store;
  auto warn = [](const Error &error) {
    std::fprintf(stderr, "%s\nnote: no tuning results are used\n", error.message.c_str());
  };
  if (!path.empty() && (!named.empty() || ::access(path.c_str(), F_OK) == 0)) {
    // A lock is held for a moment only; whoever plans does not wait for one that is not.
    Result<tuner::Store> opened = tuner::Store::open(path, {.write = false, .lockWaitMs = 1000});
    if (opened)
      store = std::make_shared<tuner::Store>(std::move(*opened));
    else if (!named.empty())
      line.problem(opened.error());
    else
      warn(opened.error());
  }
  tuner::AdvisorOptions options;
  options.target = target;
  return tuner::makeAdvisor(std::move(store), options, warn);
}

void declareShapeAdvice(CommandLine &line) {
  line.option("--shape", "SHAPE",
              "BATCHxHEADS_QxHEADS_KVxLEN[xLEN_KV]: choose the schedule for it, as attune run does");
  declareAdvice(line);
}

DeviceInfo deviceFor(const Arch &arch) {
  for (const DeviceInfo &known : listDevices().devices)
    if (known.kind == DeviceKind::Cuda && known.arch.name == arch.name)
      return known;
  return describeSimDevice(arch);
}

std::optional<ProblemShape> readShape(CommandLine &line, const std::string &text) {
  std::optional<ProblemShape> shape = shapeOf(text);
  if (shape && shape->headsQ % shape->headsKv == 0)
    return shape;
  line.problem("--shape", fmt::format("expected BATCHxHEADS_QxHEADS_KVxLEN_QxLEN_KV (or one LEN for both) "
                                      "with heads_q a multiple of heads_kv, such as 1x32x8x4096, got '{}'",
                                      text));
  return std::nullopt;
}

std::string takeAdvice(CommandLine &line, std::optional<Target> target, AttentionSpec &spec,
                       CompileOptions &options) {
  Advisor advisor = readAdvice(line, target);
  if (!line.has("--shape"))
    return "";
  std::optional<ProblemShape> shape = readShape(line, line.text("--shape"));
  if (!shape)
    return "";
  Decision decision = decide(spec, target, *shape, deviceFor(options.arch), advisor);
  spec = decision.spec;
  options.target = decision.target;
  return decision.why;
}

std::optional<ProblemShape> shapeOf(std::string_view text) {
  std::vector<int64_t> numbers;
  while (!text.empty()) {
    size_t end = std::min(text.find('x'), text.size());
    int64_t number = 0;
    auto [stop, failed] = std::from_chars(text.data(), text.data() + end, number);
    if (failed != std::errc() || stop != text.data() + end || number < 1 || number > INT32_MAX)
      return std::nullopt;
    numbers.push_back(number);
    if (end < text.size() && end + 1 == text.size())
      return std::nullopt;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  if (numbers.size() == 4)
    numbers.push_back(numbers.back());
  if (numbers.size() != 5)
    return std::nullopt;
  return ProblemShape{numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]};
}

} // namespace attune::cli
