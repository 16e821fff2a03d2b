//===- SimCompare.cpp - where runs of one kernel differ -------------------===//
#include "cli/SimCompare.h"

#include "runtime/reference/Float16.h"

#include <algorithm>
#include <cstring>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace attune::cli {

namespace {

template <class T> T load(const std::byte *at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return value;
}

std::string elementText(ElementType type, const std::byte *at) {
  switch (type) {
  case ElementType::F16:
    return fmt::format("{}", reference::toFloat<DType::F16>(load<uint16_t>(at)));
  case ElementType::F32:
    return fmt::format("{}", load<float>(at));
  case ElementType::F64:
    return fmt::format("{}", load<double>(at));
  case ElementType::U8:
  case ElementType::Bool:
    return fmt::format("{}", load<uint8_t>(at));
  case ElementType::I8:
    return fmt::format("{}", load<int8_t>(at));
  case ElementType::U16:
    return fmt::format("{}", load<uint16_t>(at));
  case ElementType::I16:
    return fmt::format("{}", load<int16_t>(at));
  case ElementType::U32:
    return fmt::format("{}", load<uint32_t>(at));
  case ElementType::I32:
    return fmt::format("{}", load<int32_t>(at));
  case ElementType::U64:
    return fmt::format("{}", load<uint64_t>(at));
  case ElementType::I64:
    return fmt::format("{}", load<int64_t>(at));
  }
  return "?";
}

/// "[3, 17]" of an array of this shape.
std::string indexText(const std::vector<int64_t> &shape, size_t element) {
  std::vector<size_t> index(shape.size());
  for (size_t axis = shape.size(); axis-- > 0;) {
    index[axis] = element % size_t(shape[axis]);
    element /= size_t(shape[axis]);
  }
  return fmt::format("[{}]", fmt::join(index, ", "));
}

std::string arrayDifference(const SimRun &first, const SimRun &other, size_t k) {
  const Written &a = first.outputs[k], &b = other.outputs[k];
  size_t size = sizeOf(a.array.type), elements = a.array.bytes.size() / size, found = 0, count = 0;
  for (size_t e = elements; e-- > 0;)
    if (std::memcmp(a.array.bytes.data() + e * size, b.array.bytes.data() + e * size, size) != 0) {
      found = e;
      ++count;
    }
  if (!count)
    return {};
  return fmt::format("argument {} ({}): element {} is {} in {} and {} in {}; {} of {} elements differ",
                     a.output.argument, a.output.path, indexText(a.array.shape, found),
                     elementText(a.array.type, a.array.bytes.data() + found * size), first.name,
                     elementText(a.array.type, b.array.bytes.data() + found * size), other.name, count,
                     elements);
}

} // namespace

std::vector<std::string> differences(const std::vector<SimRun> &runs) {
  std::vector<std::string> all;
  for (size_t k = 0; k < runs[0].outputs.size(); ++k)
    for (size_t r = 1; r < runs.size(); ++r)
      if (std::string text = arrayDifference(runs[0], runs[r], k); !text.empty())
        all.push_back(text);
  for (size_t r = 1; r < runs.size(); ++r)
    if (runs[r].result.printed != runs[0].result.printed)
      all.push_back(fmt::format("what the kernel prints in {} is not what it prints in {}", runs[r].name,
                                runs[0].name));
  // A finding is the same in two runs if it is of one kind at one place.
  struct Found {
    const sim::Finding *finding;
    std::vector<std::string> in;
  };
  std::map<std::pair<uint32_t, sim::FindingKind>, Found> findings;
  for (const SimRun &run : runs)
    for (const sim::Finding &f : run.result.findings) {
      Found &found = findings.try_emplace({f.site.ptxLine, f.kind}, Found{&f, {}}).first->second;
      if (found.in.empty() || found.in.back() != run.name)
        found.in.push_back(run.name);
    }
  for (const auto &[key, found] : findings)
    if (found.in.size() < runs.size())
      all.push_back(fmt::format("only in {} of {} runs ({}): {}", found.in.size(), runs.size(),
                                fmt::join(found.in, ", "), found.finding->text()));
  return all;
}

} // namespace attune::cli
