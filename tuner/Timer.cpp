//===- Timer.cpp - where candidates are run -------------------------------===//
#include "tuner/Timer.h"

#include "runtime/launch/ForwardLaunch.h"
#include "runtime/reference/Compare.h"
#include "runtime/reference/RandomArray.h"

#include <algorithm>
#include <bit>
#include <map>

#include <fmt/format.h>

namespace attune::tuner {

Timer::~Timer() = default;

ProblemShape verificationShape(const ProblemShape &shape) {
  // Several steps of every block of keys, and 8 rows of the last block of 16: no tile divides it.
  constexpr int64_t length = 600;
  ProblemShape small = shape;
  int64_t group = shape.headsQ / std::max<int64_t>(shape.headsKv, 1);
  small.batch = 1;
  small.headsKv = 1;
  small.headsQ = std::min<int64_t>(group, 2);
  small.lengthQ = std::min(shape.lengthQ, length);
  small.lengthKv = std::min(shape.lengthKv, length);
  return small;
}

namespace {

/// A problem's arrays on the device.
struct Arrays {
  reference::Problem problem;
  DeviceBuffer q, k, v, o, lse;
  reference::ElementCounts counts;

  ForwardAddresses addresses(const AttentionSpec &spec) const {
    return {q.address(), k.address(), v.address(), o.address(), spec.lse ? lse.address() : 0};
  }
};

/// What is right, computed once.
struct Truth {
  std::vector<uint16_t> q, k, v;
  reference::ExactAttention exact;
  std::vector<uint16_t> plain;
};

class DeviceTimer final : public Timer {
public:
  DeviceTimer(std::unique_ptr<Device> device, const TimerProblem &problem)
      : about(problem), gpu(std::move(device)) {}
  ~DeviceTimer() override {
    while (!loaded.empty())
      close(loaded.begin()->first);
    for (Event event : {started, stopped})
      if (event.handle)
        (void)bool(gpu->destroyEvent(event));
  }

  const DeviceInfo &device() const override { return gpu->info(); }
  Opened open(const Image &image, bool verify) override;
  Timed time(int id) override;
  void close(int id) override;

private:
  struct Loaded {
    Module module;
    Kernel kernel;
    Schedule schedule;
    int threads, sharedBytes;
    bool warm = false;
  };

  Result<Loaded> load(const Image &image);
  Status launch(const Loaded &kernel, const Arrays &arrays);
  Result<Arrays> allocate(const ProblemShape &shape);
  Status prepareTruth();
  Status prepareTiming();
  Opened verify(const Loaded &kernel);
  Result<double> timeOnce(Loaded &kernel);

  TimerProblem about;
  std::unique_ptr<Device> gpu;
  std::map<int, Loaded> loaded;
  std::optional<Arrays> small, large;
  std::optional<Truth> truth;
  std::optional<DeviceBuffer> flush;
  Event started, stopped;
};

/// An error of a device call as an answer. The simulator's findings say that the result cannot be trusted,
/// and the device goes on; a GPU's context is of no more use once a launch has failed, whoever was to blame.
template <typename Answer> Answer failedWith(const Error &error, DeviceKind kind) {
  Answer answer;
  bool finding = kind == DeviceKind::Sim && error.kind == ErrorKind::Verification;
  answer.verdict = finding ? Verdict::Wrong : Verdict::Crashed;
  answer.message = error.message;
  answer.deviceLost = kind == DeviceKind::Cuda;
  return answer;
}

Result<DeviceTimer::Loaded> DeviceTimer::load(const Image &image) {
  const CompiledProgram &kernel = image.kernel;
  Error last;
  // A cubin that the driver refuses (it is older than the assembler) leaves the PTX.
  for (ImageKind kind : {ImageKind::Cubin, ImageKind::PTX}) {
    const std::string &bytes = kind == ImageKind::Cubin ? kernel.cubin : kernel.ptx;
    if (bytes.empty() || !gpu->takes(kind))
      continue;
    ModuleImage module;
    module.kind = kind;
    module.bytes = bytes;
    std::string name =
        fmt::format("{}-{}.{}", kernel.text.name, image.id, kind == ImageKind::Cubin ? "cubin" : "ptx");
    module.name = name;
    Result<Module> handle = gpu->loadModule(module);
    if (!handle) {
      last = handle.error();
      continue;
    }
    Result<Kernel> entry = gpu->kernel(*handle, kernel.text.name, uint32_t(kernel.text.sharedBytes));
    if (entry)
      return Loaded{*handle, *entry, kernel.text.schedule, kernel.text.threads, kernel.text.sharedBytes};
    last = entry.error();
    (void)bool(gpu->unloadModule(*handle));
  }
  if (last.message.empty())
    last = missing("expected code that this device loads, got none");
  return last;
}

Result<Arrays> DeviceTimer::allocate(const ProblemShape &shape) {
  Arrays arrays;
  arrays.problem = reference::denseProblem(about.spec, int(shape.batch), int(shape.headsQ),
                                           int(shape.headsKv), int(shape.lengthQ), int(shape.lengthKv));
  arrays.counts = reference::elementCounts(about.spec, arrays.problem);
  const reference::ElementCounts &counts = arrays.counts;
  struct Wanted {
    DeviceBuffer Arrays::*buffer;
    int64_t bytes;
    const char *name;
  };
  for (const Wanted &wanted : {Wanted{&Arrays::q, counts.q * 2, "q"}, Wanted{&Arrays::k, counts.k * 2, "k"},
                               Wanted{&Arrays::v, counts.v * 2, "v"}, Wanted{&Arrays::o, counts.o * 2, "o"},
                               Wanted{&Arrays::lse, about.spec.lse ? counts.lse * 4 : 0, "lse"}}) {
    Result<DeviceBuffer> made = DeviceBuffer::make(*gpu, size_t(wanted.bytes), wanted.name);
    if (!made)
      return made.error();
    arrays.*wanted.buffer = std::move(*made);
  }
  return arrays;
}

Status DeviceTimer::launch(const Loaded &kernel, const Arrays &arrays) {
  ForwardParams params = forwardParams(arrays.problem, arrays.addresses(about.spec));
  Launch launch{kernel.kernel,
                forwardGrid(kernel.schedule, arrays.problem),
                {uint32_t(kernel.threads), 1, 1},
                uint32_t(kernel.sharedBytes),
                std::as_bytes(std::span(&params, 1))};
  return gpu->launch(launch);
}

Status DeviceTimer::prepareTruth() {
  if (truth)
    return success();
  Result<Arrays> arrays = allocate(about.verified);
  if (!arrays)
    return arrays.error();
  Truth made;
  std::vector<uint16_t> *inputs[] = {&made.q, &made.k, &made.v};
  const int64_t counts[] = {arrays->counts.q, arrays->counts.k, arrays->counts.v};
  const DeviceBuffer *buffers[] = {&arrays->q, &arrays->k, &arrays->v};
  for (size_t i = 0; i < 3; ++i) {
    *inputs[i] = reference::normalArray(counts[i], about.spec.dtype, about.seed, i);
    if (Status copied = gpu->copyIn(buffers[i]->address(), inputs[i]->data(), inputs[i]->size() * 2); !copied)
      return copied;
  }
  if (Status done = gpu->synchronize(); !done)
    return done;
  reference::Inputs views{made.q.data(), made.k.data(), made.v.data()};
  made.exact = reference::exactAttention(about.spec, arrays->problem, views);
  made.plain = reference::plainAttention(about.spec, arrays->problem, views);
  truth = std::move(made);
  small = std::move(*arrays);
  return success();
}

Opened DeviceTimer::verify(const Loaded &kernel) {
  std::vector<uint16_t> o(size_t(small->counts.o), reference::unwritten16);
  std::vector<float> lse(about.spec.lse ? size_t(small->counts.lse) : 0,
                         std::bit_cast<float>(reference::unwritten32));
  auto copy = [&](bool in) {
    Status copied = in ? gpu->copyIn(small->o.address(), o.data(), o.size() * 2)
                       : gpu->copyOut(o.data(), small->o.address(), o.size() * 2);
    if (copied && !lse.empty())
      copied = in ? gpu->copyIn(small->lse.address(), lse.data(), lse.size() * 4)
                  : gpu->copyOut(lse.data(), small->lse.address(), lse.size() * 4);
    return copied ? gpu->synchronize() : copied;
  };
  Status done = copy(true);
  if (done)
    done = launch(kernel, *small);
  if (done)
    done = gpu->synchronize();
  Opened answer;
  answer.counters = gpu->lastCounters();
  if (done)
    done = copy(false);
  if (!done)
    return failedWith<Opened>(done.error(), gpu->info().kind);
  reference::Report report = reference::compare(
      about.spec, small->problem, {o.data(), lse.empty() ? nullptr : lse.data()}, truth->exact, truth->plain);
  if (!report.passed) {
    answer.verdict = Verdict::Wrong;
    answer.message = report.why;
  }
  return answer;
}

Opened DeviceTimer::open(const Image &image, bool verifyIt) {
  close(image.id);
  Result<Loaded> made = load(image);
  if (!made) {
    Opened refused;
    refused.verdict = Verdict::Rejected;
    refused.message = made.error().message;
    return refused;
  }
  loaded[image.id] = *made;
  Opened answer;
  if (verifyIt) {
    if (Status ready = prepareTruth(); !ready)
      return failedWith<Opened>(ready.error(), gpu->info().kind);
    answer = verify(*made);
  }
  answer.registers = made->kernel.registers;
  answer.localBytes = made->kernel.localBytes;
  if (answer.verdict != Verdict::Passed)
    close(image.id);
  return answer;
}

Status DeviceTimer::prepareTiming() {
  if (large)
    return success();
  Result<Arrays> arrays = allocate(about.shape);
  if (!arrays)
    return arrays.error();
  // Normal values, a million of them repeated: drawing all of a large problem's would take longer than a
  // sweep.
  std::vector<uint16_t> chunk = reference::normalArray(1 << 20, about.spec.dtype, about.seed, 3);
  const std::pair<const DeviceBuffer *, int64_t> inputs[] = {
      {&arrays->q, arrays->counts.q}, {&arrays->k, arrays->counts.k}, {&arrays->v, arrays->counts.v}};
  for (const auto &[buffer, count] : inputs)
    for (int64_t at = 0; at < count; at += int64_t(chunk.size())) {
      size_t elements = size_t(std::min<int64_t>(int64_t(chunk.size()), count - at));
      if (Status copied = gpu->copyIn(buffer->address() + uint64_t(at) * 2, chunk.data(), elements * 2);
          !copied)
        return copied;
    }
  if (about.flushBytes > 0) {
    Result<DeviceBuffer> made = DeviceBuffer::make(*gpu, about.flushBytes, "flush");
    if (!made)
      return made.error();
    flush = std::move(*made);
  }
  for (Event *event : {&started, &stopped}) {
    Result<Event> made = gpu->createEvent();
    if (!made)
      return made.error();
    *event = *made;
  }
  if (Status done = gpu->synchronize(); !done)
    return done;
  large = std::move(*arrays);
  return success();
}

Result<double> DeviceTimer::timeOnce(Loaded &kernel) {
  Status done = prepareTiming();
  for (int i = 0; done && !kernel.warm && i < about.warmups; ++i)
    done = launch(kernel, *large);
  if (done && flush)
    done = gpu->fill(flush->address(), 0x5a, flush->size());
  if (done)
    done = gpu->record(started);
  if (done)
    done = launch(kernel, *large);
  if (done)
    done = gpu->record(stopped);
  if (done)
    done = gpu->synchronize();
  if (!done)
    return done.error();
  kernel.warm = true;
  Result<double> ms = gpu->elapsedMs(started, stopped);
  if (!ms)
    return ms.error();
  return *ms * 1e3;
}

Timed DeviceTimer::time(int id) {
  auto found = loaded.find(id);
  if (found == loaded.end())
    return {Verdict::Crashed, "expected a candidate that is open"};
  Result<double> us = timeOnce(found->second);
  if (!us)
    return failedWith<Timed>(us.error(), gpu->info().kind);
  Timed answer;
  answer.us = *us;
  return answer;
}

void DeviceTimer::close(int id) {
  auto found = loaded.find(id);
  if (found == loaded.end())
    return;
  // An error here can only repeat one that an earlier call has reported.
  (void)bool(gpu->unloadModule(found->second.module));
  loaded.erase(found);
}

} // namespace

std::unique_ptr<Timer> makeDeviceTimer(std::unique_ptr<Device> device, const TimerProblem &problem) {
  return std::make_unique<DeviceTimer>(std::move(device), problem);
}

} // namespace attune::tuner
