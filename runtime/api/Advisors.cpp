//===- Advisors.cpp - advisors of the C interface -------------------------===//
#include "compiler/spec/Json.h"
#include "compiler/spec/SpecReader.h"
#include "runtime/api/Facts.h"
#include "runtime/api/States.h"
#include "runtime/io/JsonObject.h"

#include <cmath>

using namespace attune;
using namespace attune::api;

static const json::Value *find(const json::Value &object, std::string_view key, json::Value::Kind kind) {
  for (const json::Member &member : object.members)
    if (member.key == key && member.value.kind == kind)
      return &member.value;
  return nullptr;
}

/// The whole number that `value` is, in 64 bits.
static std::optional<int64_t> wholeOf(const json::Value &value) {
  if (value.kind != json::Value::Kind::Number || value.number != std::floor(value.number) ||
      std::abs(value.number) > 9e15)
    return std::nullopt;
  return int64_t(value.number);
}

/// What an advisor's answer says. One that says nothing sound advises nothing, and its reason tells so.
static Advice readAdvice(std::string_view text) {
  std::vector<Diagnostic> diagnostics;
  json::Value answer = json::parse(text, diagnostics);
  Advice advice;
  auto misread = [&](const std::string &what) {
    return Advice{{}, Target::PTX, fmt::format("the advisor's answer was not taken: {}", what)};
  };
  if (!diagnostics.empty() || answer.kind != json::Value::Kind::Object)
    return misread(diagnostics.empty() ? "expected a JSON object" : diagnostics.front().message);
  if (const json::Value *schedule = find(answer, "schedule", json::Value::Kind::Object))
    for (const json::Member &member : schedule->members) {
      std::optional<int64_t> value = wholeOf(member.value);
      if (member.key == "family" && member.value.kind == json::Value::Kind::String)
        advice.schedule.family = member.value.text;
      else if (value && std::abs(*value) <= INT32_MAX)
        advice.schedule.set(member.key, int(*value));
      else
        return misread(fmt::format("expected {} to be a whole number", json::quote(member.key)));
    }
  if (const json::Value *target = find(answer, "target", json::Value::Kind::String)) {
    if (target->text != "ptx" && target->text != "cuda")
      return misread(fmt::format("expected a target ptx or cuda, got {}", json::quote(target->text)));
    advice.target = target->text == "cuda" ? Target::CUDA : Target::PTX;
  }
  const json::Value *why = find(answer, "why", json::Value::Kind::String);
  advice.why = why && !why->text.empty() ? why->text : "advised";
  return advice;
}

attune_advisor *attune::api::handleOf(Advisor advise) {
  auto state = std::make_shared<AdvisorState>();
  state->advise = std::move(advise);
  return Shells<attune_advisor>::make(std::move(state));
}

attune_status attune_advisor_create(attune_advise advise, void *user, void (*release)(void *user),
                                    attune_advisor **advisor) {
  if (attune_status status = checkPlace(advisor, "advisor"))
    return status;
  return guarded([&] {
    if (!advise)
      return fail(ATTUNE_NULL_POINTER, std::string("expected a function that advises, got null"));
    std::shared_ptr<void> owned(user, [release](void *mine) {
      if (release)
        release(mine);
    });
    *advisor = handleOf([advise, owned](const AttentionSpec &spec, const ProblemShape &shape,
                                        const DeviceInfo &device) -> std::optional<Advice> {
      std::string question = JsonObject()
                                 .raw("spec", toJson(spec))
                                 .raw("shape", toJson(shape))
                                 .raw("device", factsOf(device))
                                 .str();
      const char *answer = advise(owned.get(), question.c_str());
      return answer ? std::optional(readAdvice(answer)) : std::nullopt;
    });
    return ATTUNE_OK;
  });
}

/// What a question says; the message of what it does not.
static std::string readQuestion(std::string_view text, AttentionSpec &spec, ProblemShape &shape,
                                DeviceInfo &device) {
  std::vector<Diagnostic> diagnostics;
  json::Value question = json::parse(text, diagnostics);
  if (!diagnostics.empty() || question.kind != json::Value::Kind::Object)
    return diagnostics.empty() ? "expected a JSON object" : diagnostics.front().message;
  const json::Value *parts[] = {find(question, "spec", json::Value::Kind::Object),
                                find(question, "shape", json::Value::Kind::Object),
                                find(question, "device", json::Value::Kind::Object)};
  for (size_t i = 0; i < 3; ++i)
    if (!parts[i])
      return fmt::format("expected an object \"{}\"", std::array{"spec", "shape", "device"}[i]);
  Result<AttentionSpec> read =
      readSpec(text.substr(parts[0]->range.begin, parts[0]->range.end - parts[0]->range.begin), "spec");
  if (!read)
    return read.error().message;
  spec = std::move(*read);
  std::string wrong;
  auto whole = [&](const json::Value &object, const char *key, auto &into) {
    const json::Value *value = find(object, key, json::Value::Kind::Number);
    if (std::optional<int64_t> number = value ? wholeOf(*value) : std::nullopt)
      into = std::remove_reference_t<decltype(into)>(*number);
    else if (wrong.empty())
      wrong = fmt::format("expected a whole number \"{}\"", key);
  };
  whole(*parts[1], "batch", shape.batch);
  whole(*parts[1], "heads_q", shape.headsQ);
  whole(*parts[1], "heads_kv", shape.headsKv);
  whole(*parts[1], "length_q", shape.lengthQ);
  whole(*parts[1], "length_kv", shape.lengthKv);
  if (Status valid = validateShape(shape); wrong.empty() && !valid)
    wrong = valid.error().message;
  whole(*parts[2], "ordinal", device.ordinal);
  whole(*parts[2], "compute_capability", device.computeCapability);
  whole(*parts[2], "cuda_version", device.driverVersion);
  whole(*parts[2], "multiprocessors", device.multiprocessors);
  whole(*parts[2], "memory_bytes", device.memoryBytes);
  const json::Value *simulated = find(*parts[2], "simulated", json::Value::Kind::Bool);
  const json::Value *name = find(*parts[2], "name", json::Value::Kind::String);
  const json::Value *arch = find(*parts[2], "arch", json::Value::Kind::String);
  if (!simulated || !name || !arch)
    return "expected \"simulated\", \"name\" and \"arch\" of the device";
  device.kind = simulated->boolean ? DeviceKind::Sim : DeviceKind::Cuda;
  device.name = name->text;
  Result<Arch> known = findArch(arch->text);
  if (!known)
    return known.error().message;
  device.arch = *known;
  return wrong;
}

attune_status attune_advisor_ask(const attune_advisor *advisor, const char *question, char **answer) {
  if (attune_status status = checkPlace(answer, "answer"))
    return status;
  if (attune_status status = check(advisor))
    return status;
  return guarded([&] {
    if (!question)
      return fail(ATTUNE_NULL_POINTER, std::string("expected a question, got null"));
    AttentionSpec spec;
    ProblemShape shape;
    DeviceInfo device;
    if (std::string wrong = readQuestion(question, spec, shape, device); !wrong.empty())
      return fail(ATTUNE_INVALID_ARGUMENT, fmt::format("question: error: {}", wrong));
    if (std::optional<Advice> advice = advisor->state->advise(spec, shape, device))
      *answer = textOf(JsonObject()
                           .raw("schedule", factsOf(advice->schedule))
                           .text("target", nameOf(advice->target))
                           .text("why", advice->why)
                           .str());
    return ATTUNE_OK;
  });
}

void attune_advisor_destroy(attune_advisor *advisor) {
  guarded([&] {
    Shells<attune_advisor>::destroy(advisor);
    return ATTUNE_OK;
  });
}
