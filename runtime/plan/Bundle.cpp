//===- Bundle.cpp - a file of compiled programs ---------------------------===//
#include "runtime/plan/Bundle.h"

#include "compiler/spec/Json.h"
#include "compiler/spec/SpecReader.h"
#include "runtime/cache/CacheFolder.h"
#include "runtime/cache/Checksum.h"
#include "runtime/io/File.h"
#include "runtime/io/JsonObject.h"
#include "runtime/io/Lines.h"
#include "runtime/io/OutputFile.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace attune {
namespace {

constexpr size_t format = 1;
constexpr std::string_view magic = "attune-bundle ";
constexpr std::string_view plansName = "plans.json";
constexpr const char *version = "attune " ATTUNE_VERSION;

/// The number behind `word` in a line; nothing where there is none.
std::optional<size_t> numberBehind(std::string_view line, std::string_view word) {
  if (!line.starts_with(word))
    return std::nullopt;
  line.remove_prefix(word.size());
  size_t value = 0;
  auto [end, failed] = std::from_chars(line.data(), line.data() + line.size(), value);
  if (failed != std::errc() || end != line.data() + line.size())
    return std::nullopt;
  return value;
}

/// What makes code, but for the schedule.
std::string keyWithoutSchedule(AttentionSpec spec) {
  spec.schedule = {};
  return codeKey(spec);
}

const json::Value *member(const json::Value &object, std::string_view key, json::Value::Kind kind) {
  for (const json::Member &one : object.members)
    if (one.key == key && one.value.kind == kind)
      return &one.value;
  return nullptr;
}

Result<BundlePlan> readPlan(std::string_view text, const json::Value &value) {
  using Kind = json::Value::Kind;
  const json::Value *spec = member(value, "spec", Kind::Object),
                    *shape = member(value, "shape", Kind::Object),
                    *arch = member(value, "arch", Kind::String),
                    *target = member(value, "target", Kind::String),
                    *why = member(value, "why", Kind::String);
  if (!spec || !shape || !arch || !target || !why)
    return badInput("it lacks a field");
  Result<AttentionSpec> read =
      readSpec(text.substr(spec->range.begin, spec->range.end - spec->range.begin), "plan");
  if (!read)
    return read.error();
  BundlePlan plan{
      std::move(*read), {}, arch->text, target->text == "cuda" ? Target::CUDA : Target::PTX, why->text};
  for (auto [name, size] : {std::pair("batch", &plan.shape.batch),
                            {"heads_q", &plan.shape.headsQ},
                            {"heads_kv", &plan.shape.headsKv},
                            {"length_q", &plan.shape.lengthQ},
                            {"length_kv", &plan.shape.lengthKv}})
    if (const json::Value *number = member(*shape, name, Kind::Number);
        number && std::abs(number->number) < 9e15)
      *size = int64_t(number->number);
  if (Status valid = validateShape(plan.shape); !valid)
    return valid.error();
  return plan;
}

} // namespace

std::string toJson(const BundlePlan &plan) {
  return JsonObject()
      .raw("spec", toJson(plan.spec))
      .raw("shape", toJson(plan.shape))
      .text("arch", plan.arch)
      .text("target", nameOf(plan.target))
      .text("why", plan.why)
      .str();
}

std::string bundleName(const CacheKey &key) {
  return fmt::format("{}-{}.attune", key.requestHash(), key.hash());
}

Status writeBundle(const std::string &path, BundleContent content) {
  std::sort(content.entries.begin(), content.entries.end());
  std::vector<std::string> planTexts;
  for (const BundlePlan &plan : content.plans)
    planTexts.push_back(toJson(plan));
  std::string plans = JsonObject().raw("plans", jsonList(planTexts)).str() + "\n";
  std::string list = fmt::format("made by {}\n{} {}\n", version, plansName, plans.size());
  size_t payload = plans.size();
  for (const auto &[name, bytes] : content.entries) {
    list += fmt::format("{} {}\n", name, bytes.size());
    payload += bytes.size();
  }
  list += '\n';
  std::string first = fmt::format("{}{}\n", magic, format);
  constexpr size_t crcLine = std::string_view("crc64 0123456789abcdef\n").size();
  // The number of bytes has digits of its own.
  std::string bytesLine;
  for (size_t total = 0, next = 1; total != next;) {
    total = next;
    bytesLine = fmt::format("bytes {}\n", total);
    next = first.size() + crcLine + bytesLine.size() + list.size() + payload;
  }
  uint64_t crc = crc64(list, crc64(bytesLine));
  crc = crc64(plans, crc);
  for (const auto &[name, bytes] : content.entries)
    crc = crc64(bytes, crc);
  std::string head = fmt::format("{}crc64 {:016x}\n{}{}{}", first, crc, bytesLine, list, plans);
  std::vector<std::string_view> parts = {head};
  for (const auto &[name, bytes] : content.entries)
    parts.push_back(bytes);
  return writeOutput(path, parts);
}

Status Bundle::index(std::string_view bytes) {
  std::string_view rest = bytes;
  Error none = badInput(bytes.empty() ? "it is empty" : "it is no bundle of attune");
  std::optional<std::string_view> line = takeLine(rest);
  std::optional<size_t> known = line ? numberBehind(*line, magic) : std::nullopt;
  if (!known)
    return bytes.size() < magic.size() + 2 && magic.starts_with(bytes.substr(0, magic.size()))
               ? badInput("it is cut short")
               : none;
  if (*known != format)
    return badInput(fmt::format("it has format {}, and {} reads format {}: {}", *known, version, format,
                                *known > format ? "use a later attune, or make the bundle with this one"
                                                : "make it anew"));
  std::optional<std::string_view> crcLine = takeLine(rest);
  std::string_view checked = rest;
  std::optional<std::string_view> sizeLine = takeLine(rest);
  std::optional<size_t> total = sizeLine ? numberBehind(*sizeLine, "bytes ") : std::nullopt;
  if (total && *total > bytes.size())
    return badInput(fmt::format("it is cut short: expected {} bytes, got {}", *total, bytes.size()));
  if (!total || *total != bytes.size() || *crcLine != fmt::format("crc64 {:016x}", crc64(checked)))
    return badInput("its checksum does not match: it is damaged");

  // The checksum holds from here on: what is wrong below was written so.
  Error wrong = badInput("its list of parts is malformed");
  line = takeLine(rest);
  if (!line || !line->starts_with("made by "))
    return wrong;
  maker = line->substr(std::string_view("made by ").size());
  std::vector<std::pair<std::string, size_t>> parts;
  for (;;) {
    line = takeLine(rest);
    if (!line)
      return wrong;
    if (line->empty())
      break;
    size_t space = line->rfind(' ');
    if (space == std::string_view::npos)
      return wrong;
    std::optional<size_t> count = numberBehind(line->substr(space), " ");
    if (!count)
      return wrong;
    parts.emplace_back(line->substr(0, space), *count);
  }
  for (const auto &[name, count] : parts) {
    if (count > rest.size())
      return wrong;
    std::string_view part = rest.substr(0, count);
    size_t offset = size_t(part.data() - bytes.data());
    rest.remove_prefix(count);
    if (name == plansName) {
      std::vector<Diagnostic> diagnostics;
      json::Value all = json::parse(part, diagnostics);
      const json::Value *list = member(all, "plans", json::Value::Kind::Array);
      if (!list || !diagnostics.empty())
        return badInput("its plans are malformed");
      for (const json::Value &one : list->elements) {
        Result<BundlePlan> plan = readPlan(part, one);
        if (!plan)
          return badInput(fmt::format("its plans are malformed: {}", plan.error().message));
        keys.push_back(keyWithoutSchedule(plan->spec));
        made.push_back(std::move(*plan));
      }
      continue;
    }
    Result<CacheHead> head = parseHead(part);
    if (!head)
      return badInput(fmt::format("its entry {}: {}", name, head.error().message));
    entries.push_back({name, std::move(*head), offset, count});
  }
  return rest.empty() ? success() : Status(wrong);
}

Result<std::shared_ptr<const Bundle>> Bundle::open(const std::string &path) {
  std::shared_ptr<Bundle> bundle(new Bundle);
  auto failed = [&](const std::string &why) { return badInput(fmt::format("{}: error: {}", path, why)); };
  bundle->file = path;
  // Without O_NONBLOCK a pipe would wait for a writer.
  bundle->descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat status{};
  if (bundle->descriptor < 0 || ::fstat(bundle->descriptor, &status) != 0)
    return failed(fmt::format("cannot open the bundle: {}", errorText(errno)));
  if (!S_ISREG(status.st_mode))
    return failed("expected a regular file for a bundle");
  bundle->size = size_t(status.st_size);
  if (bundle->size == 0)
    return failed("expected a bundle: it is empty");
  void *mapped = ::mmap(nullptr, bundle->size, PROT_READ, MAP_PRIVATE, bundle->descriptor, 0);
  if (mapped == MAP_FAILED)
    return failed(fmt::format("cannot map the bundle: {}", errorText(errno)));
  Status indexed = bundle->index({static_cast<const char *>(mapped), bundle->size});
  // Entries are read from the descriptor: of a file that somebody cuts short that is an error, of a mapping a
  // signal.
  ::munmap(mapped, bundle->size);
  if (!indexed)
    return failed(fmt::format("expected a bundle: {}", indexed.error().message));
  return std::shared_ptr<const Bundle>(std::move(bundle));
}

Bundle::~Bundle() {
  if (descriptor >= 0)
    ::close(descriptor);
}

Result<std::string> Bundle::read(const Item &item) const {
  std::string bytes(item.bytes, '\0');
  for (size_t have = 0; have < bytes.size();) {
    ssize_t got = ::pread(descriptor, bytes.data() + have, bytes.size() - have, off_t(item.offset + have));
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0)
      return badInput(fmt::format("{}: error: {} of the bundle cannot be read: {}", file, item.name,
                                  got < 0 ? errorText(errno) : "the file was cut short while it was open"));
    have += size_t(got);
  }
  return bytes;
}

Result<CacheEntry> Bundle::load(const Item &item) const {
  Result<std::string> bytes = read(item);
  if (!bytes)
    return bytes.error();
  Result<CacheEntry> entry = parseEntry(*bytes);
  if (entry && entry->key != item.head.key)
    return badInput(fmt::format("{}: error: {} was changed while the bundle was open", file, item.name));
  if (!entry)
    return badInput(fmt::format("{}: error: {}: {}", file, item.name, entry.error().message));
  return entry;
}

std::vector<const Bundle::Item *> Bundle::find(const CacheKey &request) const {
  std::vector<const Item *> found, others;
  std::string hash = request.requestHash();
  for (const Item &item : entries)
    if (item.name.starts_with(hash))
      found.push_back(&item);
    else if (answersBut(request, item.head.key, "schedule"))
      others.push_back(&item);
  found.insert(found.end(), others.begin(), others.end());
  return found;
}

std::optional<Advice> Bundle::advise(const AttentionSpec &spec, std::optional<Target> target,
                                     const ProblemShape &shape, const DeviceInfo &device) const {
  std::string key = keyWithoutSchedule(spec);
  const BundlePlan *nearest = nullptr;
  double least = 0;
  for (size_t i = 0; i < made.size(); ++i) {
    const BundlePlan &plan = made[i];
    if (keys[i] != key || plan.arch != device.arch.name || (target && *target != plan.target) ||
        !spec.schedule.agreesWith(plan.spec.schedule))
      continue;
    double away = distance(plan.shape, shape);
    if (nearest && away >= least)
      continue;
    nearest = &plan;
    least = away;
  }
  if (!nearest)
    return std::nullopt;
  const ProblemShape &of = nearest->shape;
  return Advice{nearest->spec.schedule, nearest->target,
                fmt::format("the bundle's, made for batch {}, {} over {} heads, {} x {}{}", of.batch,
                            of.headsQ, of.headsKv, of.lengthQ, of.lengthKv,
                            nearest->why.empty() ? "" : ": " + nearest->why)};
}

} // namespace attune
