//===- definitions.hpp - attune.hpp over attune.h ---------------*- C++ -*-===//
#ifndef ATTUNE_DEFINITIONS_HPP
#define ATTUNE_DEFINITIONS_HPP

#include "attune.hpp"

#include <exception>
#include <iterator>
#include <new>

namespace attune {
#ifndef ATTUNE_INSIDE
inline
#endif
    namespace v1 {

//===----------------------------------------------------------------------===//
// Facts
//===----------------------------------------------------------------------===//

namespace detail {

inline Error movedFrom(const char *what) {
  return {ErrorCode::EmptyHandle, std::string("expected a ") + what + ", got one that was moved from"};
}

inline DeviceInfo readDevice(const Json &json) {
  return {json["simulated"].boolean(),
          static_cast<int>(json["ordinal"].whole()),
          json["name"].text,
          json["arch"].text,
          static_cast<int>(json["compute_capability"].whole()),
          static_cast<int>(json["cuda_version"].whole()),
          static_cast<int>(json["multiprocessors"].whole()),
          static_cast<std::size_t>(json["memory_bytes"].whole()),
          json["why"].text};
}

inline std::string deviceText(const DeviceInfo &device) {
  std::string object;
  put(object, "simulated", device.simulated ? "true" : "false");
  put(object, "ordinal", std::to_string(device.ordinal));
  put(object, "name", jsonText(device.name));
  put(object, "arch", jsonText(device.arch));
  put(object, "compute_capability", std::to_string(device.computeCapability));
  put(object, "cuda_version", std::to_string(device.cudaVersion));
  put(object, "multiprocessors", std::to_string(device.multiprocessors));
  put(object, "memory_bytes", std::to_string(device.memoryBytes));
  put(object, "why", jsonText(device.why));
  return object + '}';
}

inline std::string shapeText(const Shape &shape) {
  std::string object;
  put(object, "batch", std::to_string(shape.batch));
  put(object, "heads_q", std::to_string(shape.headsQ));
  put(object, "heads_kv", std::to_string(shape.headsKv));
  put(object, "length_q", std::to_string(shape.lengthQ));
  put(object, "length_kv", std::to_string(shape.lengthKv));
  return object + '}';
}

inline Shape readShape(const Json &json) {
  return {json["batch"].whole(), json["heads_q"].whole(), json["heads_kv"].whole(), json["length_q"].whole(),
          json["length_kv"].whole()};
}

inline Advice readAdvice(const Json &json) {
  return {readSchedule(json["schedule"]), enumOf<Target>(targetNames, json["target"].text), json["why"].text};
}

inline std::string adviceText(const Advice &advice) {
  std::string object;
  put(object, "schedule", scheduleText(advice.schedule));
  put(object, "target", nameText(targetNames, advice.target));
  put(object, "why", jsonText(advice.why));
  return object + '}';
}

/// What the library calls for a program's advisor.
inline const char *advise(void *user, const char *question) {
  thread_local std::string answer;
  try {
    Json json = Json::parse(question);
    std::optional<Advice> advice = (*static_cast<const Advisor *>(user))(
        readSpec(json["spec"]), readShape(json["shape"]), readDevice(json["device"]));
    if (!advice)
      return nullptr;
    answer = adviceText(*advice);
  } catch (const std::exception &thrown) { // must not reach the library, and is told in the plan
    answer.clear();
    put(answer, "why", jsonText(std::string("the advisor threw: ") + thrown.what()));
    answer += '}';
  }
  return answer.c_str();
}

/// A request in C's form, and the texts that it points at.
struct NativeRequest {
  NativeRequest(const Spec &spec, const Shape &shape) : json(spec.toJson()) {
    request.spec = json.c_str();
    request.batch = shape.batch;
    request.heads_q = shape.headsQ;
    request.heads_kv = shape.headsKv;
    request.length_q = shape.lengthQ;
    request.length_kv = shape.lengthKv;
  }
  std::string json;
  attune_request request = ATTUNE_REQUEST_INIT;
};

/// The arrays of Arguments by the names that kernels have for them, and the spec's field that asks for them.
struct NamedArray {
  const char *name, *field;
  DType dtype;         ///< BF16: the spec's
  bool isList = false; ///< of one axis
};
inline constexpr NamedArray namedArrays[] = {{"q", nullptr, DType::BF16},
                                             {"k", nullptr, DType::BF16},
                                             {"v", nullptr, DType::BF16},
                                             {"o", nullptr, DType::BF16},
                                             {"lse", "lse", DType::F32},
                                             {"sink", "sink", DType::F32, true},
                                             {"lengths_q", "lengthsQ", DType::I32, true},
                                             {"lengths_kv", "lengthsKv", DType::I32, true}};

/// A launch's arrays and scalars in C's form; it takes no memory.
class NativeArguments {
public:
  NativeArguments() {} // the arrays are set before they are read
  static constexpr std::size_t most = 40;

  Status add(std::span<const Array> given) {
    if (given.size() > most - arrayCount)
      return Error{ErrorCode::InvalidArgument, "expected at most " + std::to_string(most) + " arrays, got " +
                                                   std::to_string(arrayCount + given.size())};
    for (const Array &array : given)
      arrays[arrayCount++] = {array.name, array.data,  static_cast<int>(array.dtype),
                              array.rank, array.shape, array.strides};
    return std::monostate();
  }
  Status add(std::span<const Scalar> given) {
    if (given.size() > most)
      return Error{ErrorCode::InvalidArgument, "expected at most " + std::to_string(most) + " scalars, got " +
                                                   std::to_string(given.size())};
    for (const Scalar &scalar : given)
      scalars[scalarCount++] = {scalar.name, scalar.value};
    return std::monostate();
  }
  attune_arguments arguments(void *stream, void *workspace) const {
    return {sizeof(attune_arguments), stream, arrays, arrayCount, scalars, scalarCount, workspace};
  }

  attune_array arrays[most];
  attune_scalar scalars[most];
  std::size_t arrayCount = 0, scalarCount = 0;
};

} // namespace detail

inline Result<Advisor> tunedAdvisor(const std::string &store) {
  attune_advisor *made = nullptr;
  if (attune_status status = attune_advisor_tuned(store.empty() ? nullptr : store.c_str(), &made);
      status != ATTUNE_OK)
    return detail::lastError(status);
  std::shared_ptr<attune_advisor> handle(made, attune_advisor_destroy);
  return Advisor(
      [handle](const Spec &spec, const Shape &shape, const DeviceInfo &device) -> std::optional<Advice> {
        std::string question;
        detail::put(question, "spec", spec.toJson());
        detail::put(question, "shape", detail::shapeText(shape));
        detail::put(question, "device", detail::deviceText(device));
        question += '}';
        char *text = nullptr;
        if (attune_advisor_ask(handle.get(), question.c_str(), &text) != ATTUNE_OK || !text)
          return std::nullopt;
        detail::OwnedText answer(text);
        return detail::readAdvice(detail::Json::parse(text));
      });
}

inline Result<Bundle> Bundle::open(const std::string &path) {
  attune_bundle *made = nullptr;
  if (attune_status status = attune_bundle_open(path.c_str(), &made); status != ATTUNE_OK)
    return detail::lastError(status);
  return Bundle(made);
}

//===----------------------------------------------------------------------===//
// Contexts
//===----------------------------------------------------------------------===//

struct Context::State {
  explicit State(attune_context *made) : handle(made, attune_context_destroy) {
    detail::Json facts = detail::Json::parse(attune_context_facts(made));
    device = detail::readDevice(facts["device"]);
    cacheFolder = facts["cache_folder"].text;
  }
  std::unique_ptr<attune_context, void (*)(attune_context *)> handle;
  DeviceInfo device = {};
  std::string cacheFolder = {};
};

inline Result<Context> Context::open(const ContextOptions &options) {
  attune_context_options native = ATTUNE_CONTEXT_OPTIONS_INIT;
  native.device = options.device.c_str();
  native.arch = options.arch.c_str();
  native.cache_folder = options.cacheFolder ? options.cacheFolder->c_str() : nullptr;
  native.bundle = options.bundle ? options.bundle->handle.get() : nullptr;
  native.compiler = options.compiler;
  native.simulator = options.simulator;
  native.policy = static_cast<int>(options.policy);
  native.target =
      options.target ? static_cast<int>(*options.target) + ATTUNE_TARGET_PTX : ATTUNE_TARGET_DEFAULT;
  native.most_programs = std::max<std::size_t>(options.mostPrograms, 1);
  native.cuda_driver = options.cudaDriver.c_str();
  native.sim_mode = static_cast<int>(options.simulation.mode);
  native.sim_threads = options.simulation.threads;
  native.sim_seed = options.simulation.seed;
  native.sim_unchecked = options.simulation.checks ? 0 : 1;
  std::unique_ptr<attune_advisor, void (*)(attune_advisor *)> advisor(nullptr, attune_advisor_destroy);
  if (options.advisor) {
    attune_advisor *made = nullptr;
    auto copy = std::make_unique<Advisor>(options.advisor);
    auto release = [](void *user) { delete static_cast<Advisor *>(user); };
    if (attune_status status = attune_advisor_create(detail::advise, copy.get(), release, &made);
        status != ATTUNE_OK)
      return detail::lastError(status);
    copy.release(); // it is the advisor's now
    advisor.reset(made);
    native.advisor = made;
  }
  attune_context *made = nullptr;
  if (attune_status status = attune_context_open(&native, &made); status != ATTUNE_OK)
    return detail::lastError(status);
  return Context(std::make_shared<const State>(made));
}

inline const DeviceInfo &Context::device() const {
  static const DeviceInfo none;
  return state ? state->device : none;
}

inline const std::string &Context::cacheFolder() const {
  static const std::string none;
  return state ? state->cacheFolder : none;
}

/// What a function of the library plans of `request`.
template <typename Function>
Result<Plan> Context::planBy(const Function &function, const attune_request &request) const {
  if (!state)
    return detail::movedFrom("context");
  attune_plan *made = nullptr;
  if (attune_status status = function(state->handle.get(), &request, &made); status != ATTUNE_OK)
    return detail::lastError(status);
  return Plan(made);
}

inline Result<Plan> Context::plan(const Spec &spec, const Shape &shape) const {
  return planBy(attune_plan_create, detail::NativeRequest(spec, shape).request);
}

inline Result<Plan> Context::plan(const StageText &stage, const Shape &shape, const Spec &spec) const {
  detail::NativeRequest native(spec, shape);
  native.request.stage = stage.stage.c_str();
  native.request.stage_text = stage.text.c_str();
  native.request.stage_name = stage.file.c_str();
  return planBy(attune_plan_create, native.request);
}

inline Result<Plan> Context::start(const Spec &spec, const Shape &shape) const {
  return planBy(attune_plan_start, detail::NativeRequest(spec, shape).request);
}

inline Result<Prewarm> Context::prewarm(std::span<const Request> requests, int threads) const {
  if (!state)
    return detail::movedFrom("context");
  std::vector<std::unique_ptr<detail::NativeRequest>> texts;
  std::vector<attune_request> natives;
  for (const Request &request : requests) {
    texts.push_back(std::make_unique<detail::NativeRequest>(request.spec, request.shape));
    natives.push_back(texts.back()->request);
  }
  attune_prewarm *made = nullptr;
  if (attune_status status =
          attune_prewarm_start(state->handle.get(), natives.data(), natives.size(), threads, &made);
      status != ATTUNE_OK)
    return detail::lastError(status);
  return Prewarm(made);
}

inline Status Prewarm::wait(double seconds) const {
  return handle ? detail::statusOf(attune_prewarm_wait(handle.get(), seconds))
                : Status(detail::movedFrom("prewarm"));
}

inline std::pair<std::size_t, std::size_t> Prewarm::counts() const {
  char *text = nullptr;
  if (!handle || attune_prewarm_facts(handle.get(), &text) != ATTUNE_OK)
    return {0, 0};
  detail::OwnedText owned(text);
  detail::Json facts = detail::Json::parse(text);
  return {static_cast<std::size_t>(facts["ready"].whole()),
          static_cast<std::size_t>(facts["failed"].whole())};
}

inline void Context::release() const {
  if (state)
    (void)attune_context_release(state->handle.get());
}

/// Calls the library with the context's handle.
template <typename Call> Status Context::call(const Call &what) const {
  return state ? detail::statusOf(what(state->handle.get())) : Status(detail::movedFrom("context"));
}

inline Result<Buffer> Context::allocate(std::size_t bytes, std::string_view name) const {
  attune_buffer *made = nullptr;
  std::string text(name);
  Status done = call(
      [&](attune_context *context) { return attune_buffer_create(context, bytes, text.c_str(), &made); });
  if (!done)
    return done.error();
  return Buffer(made);
}

inline Status Context::copyIn(void *device, const void *host, std::size_t bytes, Stream stream) const {
  return call([&](attune_context *context) { return attune_copy_in(context, device, host, bytes, stream); });
}

inline Status Context::copyOut(void *host, const void *device, std::size_t bytes, Stream stream) const {
  return call([&](attune_context *context) { return attune_copy_out(context, host, device, bytes, stream); });
}

inline Status Context::fill(void *device, std::uint8_t byte, std::size_t bytes, Stream stream) const {
  return call([&](attune_context *context) { return attune_fill(context, device, byte, bytes, stream); });
}

inline Status Context::synchronize(Stream stream) const {
  return call([&](attune_context *context) { return attune_synchronize(context, stream); });
}

//===----------------------------------------------------------------------===//
// Plans
//===----------------------------------------------------------------------===//

inline Plan::Known Plan::read(const attune_plan *plan) {
  using detail::Json;
  static_assert(std::size(detail::namedArrays) == Known::names);
  Json facts = Json::parse(attune_plan_facts(plan));
  Known known;
  PlanInfo &info = known.info;
  info.kernel = facts["kernel"].text;
  info.target = detail::enumOf<Target>(detail::targetNames, facts["target"].text);
  info.arch = facts["arch"].text;
  info.schedule = detail::readSchedule(facts["schedule"]);
  info.why = facts["why"].text;
  info.image = facts["image"].text;
  info.fromCache = facts["from_cache"].boolean();
  info.cacheFile = facts["cache_file"].text;
  info.workspaceBytes = static_cast<std::size_t>(facts["workspace_bytes"].whole());
  for (const Json &one : facts["launches"].elements) {
    LaunchInfo &launch = info.launches.emplace_back();
    launch.kernel = one["kernel"].text;
    for (std::size_t axis = 0; axis < 3 && axis < one["grid"].elements.size(); ++axis) {
      launch.grid[axis] = static_cast<std::uint32_t>(one["grid"].elements[axis].whole());
      launch.block[axis] = static_cast<std::uint32_t>(one["block"].elements[axis].whole());
    }
    launch.sharedBytes = static_cast<std::uint32_t>(one["shared_bytes"].whole());
  }
  for (const LaunchInfo &launch : info.launches)
    if (launch.kernel == info.kernel) {
      std::copy_n(launch.grid, 3, info.grid);
      std::copy_n(launch.block, 3, info.block);
      info.sharedBytes = launch.sharedBytes;
    }
  for (const Json &one : facts["arguments"].elements) {
    ArgumentInfo &argument = info.arguments.emplace_back();
    argument.name = one["name"].text;
    argument.dtype = detail::enumOf<DType>(detail::dtypeNames, one["dtype"].text);
    for (const Json &extent : one["shape"].elements)
      argument.shape.push_back(extent.whole());
    for (const Json &stride : one["strides"].elements)
      argument.strides.push_back(stride.whole());
    argument.output = one["output"].boolean();
    argument.optional = one["optional"].boolean();
    argument.scalar = one["kind"].text == "scalar";
    std::size_t rank = argument.shape.size();
    for (std::size_t i = 0; i < Known::names; ++i)
      if (argument.name == detail::namedArrays[i].name && !one["captured"].boolean() &&
          (detail::namedArrays[i].isList ? rank == 1 : rank == 3 || rank == 4)) {
        if (i == 0)
          known.dtype = argument.dtype;
        known.ranks[i] = static_cast<std::int32_t>(rank);
        const std::vector<std::int64_t> &strides = argument.strides;
        known.dense[i] = {strides[0], rank > 1 ? strides[1] : 0, rank > 2 ? strides[2] : 0};
      }
  }
  info.registers = static_cast<int>(facts["registers"].whole());
  info.blocksPerSm = static_cast<int>(facts["blocks_per_sm"].whole());
  for (const Json &note : facts["notes"].elements)
    info.notes.push_back(note.text);
  for (const Json &stage : facts["stage_times"].elements)
    if (stage.elements.size() == 2)
      info.stageTimes.emplace_back(stage.elements[0].text, stage.elements[1].number());
  return known;
}

inline const Plan::Known &Plan::known() const {
  static const Known none;
  if (!state || attune_plan_wait(state->handle.get(), 0) != ATTUNE_OK)
    return none;
  std::call_once(state->once, [this] { state->known = read(state->handle.get()); });
  return state->known;
}

inline Status Plan::wait(double seconds) const {
  return state ? detail::statusOf(attune_plan_wait(state->handle.get(), seconds))
               : Status(detail::movedFrom("plan"));
}

inline const PlanInfo &Plan::info() const { return known().info; }

inline Arguments Plan::dense(const void *q, const void *k, const void *v, void *o, void *lse) const {
  Arguments arguments;
  if (!state)
    return arguments;
  const std::array<Strides, Known::names> &strides = known().dense;
  arguments.q = {q, strides[0]};
  arguments.k = {k, strides[1]};
  arguments.v = {v, strides[2]};
  arguments.o = {o, strides[3]};
  arguments.lse = {lse, strides[4]};
  return arguments;
}

inline Status Plan::launch(Stream stream, const Arguments &given) const {
  if (!state)
    return detail::movedFrom("plan");
  const Known &facts = known();
  const void *data[] = {given.q.data,   given.k.data, given.v.data,   given.o.data,
                        given.lse.data, given.sink,   given.lengthsQ, given.lengthsKv};
  constexpr Strides adjacent{1, 0, 0}; // of the one axis
  const Strides *strides[] = {&given.q.strides,   &given.k.strides, &given.v.strides, &given.o.strides,
                              &given.lse.strides, &adjacent,        &adjacent,        &adjacent};
  detail::NativeArguments native;
  std::int64_t distances[Known::names][4];
  for (std::size_t i = 0; i < Known::names; ++i) {
    const auto &[name, field, dtype, isList] = detail::namedArrays[i];
    std::int32_t rank = facts.ranks[i];
    if (rank > 0) {
      const Strides &own = *strides[i];
      distances[i][0] = own.batch;
      distances[i][1] = own.head;
      distances[i][2] = own.row;
      distances[i][3] = 1;
      native.arrays[native.arrayCount++] = {name,
                                            const_cast<void *>(data[i]),
                                            static_cast<int>(dtype == DType::BF16 ? facts.dtype : dtype),
                                            rank,
                                            nullptr,
                                            distances[i]};
    } else if (data[i] && !facts.info.kernel.empty()) {
      return Error{ErrorCode::InvalidArgument,
                   std::string("expected no array for ") + name + ", since kernel '" + facts.info.kernel +
                       "' has none, got one" + (field ? std::string("; set the spec's ") + field : "")};
    }
  }
  if (Status added = native.add(given.arrays); !added)
    return added;
  if (Status added = native.add(given.scalars); !added)
    return added;
  attune_arguments arguments = native.arguments(stream, given.workspace);
  return detail::statusOf(attune_launch(state->handle.get(), &arguments));
}

inline Status Plan::launch(Stream stream, std::span<const Array> arrays, std::span<const Scalar> scalars,
                           void *workspace) const {
  if (!state)
    return detail::movedFrom("plan");
  detail::NativeArguments native;
  if (Status added = native.add(arrays); !added)
    return added;
  if (Status added = native.add(scalars); !added)
    return added;
  attune_arguments arguments = native.arguments(stream, workspace);
  return detail::statusOf(attune_launch(state->handle.get(), &arguments));
}

inline Status Plan::run(std::span<const Array> arrays, std::span<const Scalar> scalars) const {
  if (!state)
    return detail::movedFrom("plan");
  detail::NativeArguments native;
  if (Status added = native.add(arrays); !added)
    return added;
  if (Status added = native.add(scalars); !added)
    return added;
  attune_arguments arguments = native.arguments(nullptr, nullptr);
  return detail::statusOf(attune_run(state->handle.get(), &arguments, nullptr));
}

} // namespace v1
} // namespace attune

#endif // ATTUNE_DEFINITIONS_HPP
