//===- Case.cpp - cases as text -------------------------------------------===//
#include "tests/e2e/Case.h"

#include "compiler/schedule/Family.h"

#include <charconv>
#include <sstream>

#include <fmt/format.h>

namespace attune::e2e {
namespace {

constexpr std::pair<const char *, bool AttentionSpec::*> switches[] = {
    {"sink", &AttentionSpec::sink},
    {"lengths_q", &AttentionSpec::lengthsQ},
    {"lengths_kv", &AttentionSpec::lengthsKv},
    {"lse", &AttentionSpec::lse}};

constexpr std::pair<Placement, const char *> placements[] = {
    {Placement::BSHD, "bshd"},          {Placement::BHSD, "bhsd"},        {Placement::Padded, "padded"},
    {Placement::FarBatch, "far-batch"}, {Placement::FarHead, "far-head"}, {Placement::FarRow, "far-row"},
};

/// A term is LEFT:RIGHT:tl or LEFT:RIGHT:br, a bound that is absent is empty, and r5 is 5, given at launch.
std::string termText(const MaskTerm &term) {
  auto bound = [](const std::optional<int64_t> &value, bool runtime) {
    return value ? (runtime ? "r" : "") + std::to_string(*value) : "";
  };
  return fmt::format("{}:{}:{}", bound(term.left, term.runtimeLeft), bound(term.right, term.runtimeRight),
                     term.align == MaskAlign::TopLeft ? "tl" : "br");
}

std::vector<std::string> split(const std::string &text, char separator) {
  std::vector<std::string> parts(1);
  for (char c : text)
    if (c == separator)
      parts.emplace_back();
    else
      parts.back() += c;
  return parts;
}

/// Reads all of `text` into `value`.
template <typename T> bool readNumber(const std::string &text, T &value) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

template <typename T> bool readPair(const std::string &text, T &first, T &second) {
  std::vector<std::string> parts = split(text, '/');
  return parts.size() == 2 && readNumber(parts[0], first) && readNumber(parts[1], second);
}

template <typename T> bool readOptional(const std::string &text, std::optional<T> &value) {
  T number{};
  if (!readNumber(text, number))
    return false;
  value = number;
  return true;
}

bool readMask(const std::string &text, std::vector<MaskTerm> &mask) {
  if (text == "none")
    return true;
  for (const std::string &part : split(text, ',')) {
    std::vector<std::string> fields = split(part, ':');
    MaskTerm term;
    auto bound = [](const std::string &field, std::optional<int64_t> &value, bool &runtime) {
      runtime = field.starts_with("r");
      return field.empty() || readOptional(field.substr(runtime), value);
    };
    if (fields.size() != 3 || !bound(fields[0], term.left, term.runtimeLeft) ||
        !bound(fields[1], term.right, term.runtimeRight) || (fields[2] != "tl" && fields[2] != "br"))
      return false;
    term.align = fields[2] == "tl" ? MaskAlign::TopLeft : MaskAlign::BottomRight;
    mask.push_back(term);
  }
  return true;
}

bool readPlacement(const std::string &text, Placement &placement) {
  for (auto [value, name] : placements)
    if (text == name) {
      placement = value;
      return true;
    }
  return false;
}

bool readField(const std::string &key, const std::string &value, Case &one, Shape &shape, RunFilter &filter) {
  AttentionSpec &spec = one.kernel.spec;
  if (key == "dtype") {
    spec.dtype = value == "fp16" ? DType::F16 : DType::BF16;
    return value == "fp16" || value == "bf16";
  }
  if (key == "dims")
    return readPair(value, spec.headDimQk, spec.headDimV);
  if (key == "mask")
    return readMask(value, spec.mask);
  if (key == "softcap")
    return readOptional(value, spec.softcap);
  if (key == "scale")
    return readOptional(value, spec.scale);
  for (auto [name, field] : switches)
    if (key == name)
      return (spec.*field = value == "1") || value == "0";
  for (const ScheduleParameter *parameter : scheduleParameters())
    if (key == parameter->name) {
      std::optional<int> number;
      if (!readOptional(value, number))
        return false;
      if (number)
        spec.schedule.set(key, *number);
      return true;
    }
  if (key == "arch")
    return !(one.kernel.arch = value).empty();
  if (key == "batch")
    return readNumber(value, shape.batch);
  if (key == "heads")
    return readPair(value, shape.headsQ, shape.headsKv);
  if (key == "lens")
    return readPair(value, shape.lengthQ, shape.lengthKv);
  if (key == "strides")
    return readPlacement(value, shape.placement);
  if (key == "seed")
    return readNumber(value, shape.seed);
  if (key == "deviation")
    return readNumber(value, shape.deviation);
  if (key == "deviation_v")
    return readNumber(value, shape.deviationV);
  if (key == "deviation_sink")
    return readNumber(value, shape.deviationSink);
  if (key == "nan")
    return (shape.nanValues = value == "1") || value == "0";
  if (key == "inf")
    return (shape.infiniteKeys = value == "1") || value == "0";
  if (key == "sms")
    return readNumber(value, shape.multiprocessors);
  if (key == "target")
    return (filter.target = value) == "ptx" || value == "cuda";
  if (key == "mode")
    return (filter.mode = value) == "eager" || value == "lazy" || value == "random";
  return false;
}

} // namespace

std::vector<int32_t> entryLengths(const Shape &shape, int length) {
  const int32_t choices[] = {65, length, 0, 1, length + 7, 63, -1};
  std::vector<int32_t> lengths;
  for (size_t b = 0; b < size_t(shape.batch); ++b)
    lengths.push_back(choices[(b + shape.seed + size_t(length)) % std::size(choices)]);
  return lengths;
}

std::string kernelText(const Kernel &kernel) {
  const AttentionSpec &spec = kernel.spec;
  std::string text = fmt::format("dtype={} dims={}/{}", spec.dtype == DType::F16 ? "fp16" : "bf16",
                                 spec.headDimQk, spec.headDimV);
  for (size_t i = 0; i < spec.mask.size(); ++i)
    text += (i ? "," : " mask=") + termText(spec.mask[i]);
  if (spec.softcap)
    text += fmt::format(" softcap={}", *spec.softcap);
  if (spec.scale)
    text += fmt::format(" scale={}", *spec.scale);
  for (auto [name, field] : switches)
    if (spec.*field)
      text += fmt::format(" {}=1", name);
  if (!spec.schedule.values.empty())
    text += " " + ordered(spec.schedule).valuesText();
  return text + " arch=" + kernel.arch;
}

std::string shapeText(const Shape &shape) {
  std::string text;
  for (auto [value, name] : placements)
    if (value == shape.placement)
      text = fmt::format("batch={} heads={}/{} lens={}/{} strides={} seed={}", shape.batch, shape.headsQ,
                         shape.headsKv, shape.lengthQ, shape.lengthKv, name, shape.seed);
  if (shape.deviation != 1)
    text += fmt::format(" deviation={}", shape.deviation);
  if (shape.deviationV != 1)
    text += fmt::format(" deviation_v={}", shape.deviationV);
  if (shape.deviationSink != 3)
    text += fmt::format(" deviation_sink={}", shape.deviationSink);
  if (shape.nanValues)
    text += " nan=1";
  if (shape.infiniteKeys)
    text += " inf=1";
  if (shape.multiprocessors)
    text += fmt::format(" sms={}", shape.multiprocessors);
  return text;
}

Result<std::pair<Case, RunFilter>> parseCase(const std::string &text) {
  Case one;
  Shape shape;
  RunFilter filter;
  std::istringstream fields(text);
  for (std::string field; fields >> field;) {
    size_t equals = field.find('=');
    if (equals == std::string::npos ||
        !readField(field.substr(0, equals), field.substr(equals + 1), one, shape, filter))
      return badInput(
          fmt::format("expected fields like dtype=bf16 dims=128/64 mask=:0:br lens=65/127, got '{}'", field));
  }
  if (shape.batch < 0 || shape.headsKv < 1 || shape.headsQ % shape.headsKv || shape.headsQ < 1 ||
      shape.lengthQ < 0 || shape.lengthKv < 0)
    return badInput("expected no negative batch and lengths, and heads of Q a multiple of those of K and V");
  one.shapes.push_back(shape);
  return std::pair{one, filter};
}

reference::Problem placedProblem(const AttentionSpec &spec, const Shape &shape) {
  using reference::Strides;
  AttentionSpec dense = spec;
  dense.layout = shape.placement == Placement::BHSD ? Layout::BHSD : Layout::BSHD;
  reference::Problem problem =
      reference::denseProblem(dense, shape.batch, shape.headsQ, shape.headsKv, shape.lengthQ, shape.lengthKv);
  // Rows start at multiples of 8 elements; far ones are no power of two apart, so that no bit is lost unseen.
  constexpr int64_t far = (int64_t(1) << 31) + 4104;
  int number = 0;
  for (Strides *strides : {&problem.q, &problem.k, &problem.v, &problem.o}) {
    bool query = strides == &problem.q || strides == &problem.o;
    int64_t dim = strides == &problem.q || strides == &problem.k ? spec.headDimQk : spec.headDimV;
    int64_t heads = query ? shape.headsQ : shape.headsKv, length = query ? shape.lengthQ : shape.lengthKv;
    int64_t gap = 8 * ++number;
    switch (shape.placement) {
    case Placement::BSHD:
    case Placement::BHSD:
      break;
    case Placement::Padded:
      strides->head = dim + gap;
      strides->row = heads * strides->head + 2 * gap;
      strides->batch = length * strides->row + 3 * gap;
      break;
    case Placement::FarBatch:
      strides->batch = far + gap;
      break;
    case Placement::FarHead:
      *strides = {length * dim, far + gap, dim};
      strides->batch = heads * strides->head + gap;
      break;
    case Placement::FarRow:
      strides->row = (far / std::max<int64_t>(1, length - 1) / 8 + 1) * 8 + gap;
      strides->head = dim;
      strides->batch = length * strides->row;
      break;
    }
  }
  if (shape.placement == Placement::Padded) {
    problem.lse.head += 5;
    problem.lse.batch = problem.lse.head * shape.headsQ + 3;
  }
  return problem;
}

} // namespace attune::e2e
