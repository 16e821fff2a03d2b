//===- Timer.cpp - where candidates are run -------------------------------===//
#include "tuner/Timer.h"

#include "compiler/support/GpuFigures.h"
#include "runtime/reference/HostProblem.h"
#include "runtime/reference/RandomArray.h"
#include "simulator/Time.h"

#include <algorithm>
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

ProblemShape clockShape(const ProblemShape &shape) {
  constexpr int64_t longest = 2048, tokens = 1 << 16;
  ProblemShape small = shape;
  if (int64_t length = std::max(shape.lengthQ, shape.lengthKv); length > longest) {
    small.lengthQ = std::max<int64_t>(1, shape.lengthQ * longest / length);
    small.lengthKv = std::max<int64_t>(1, shape.lengthKv * longest / length);
  }
  int64_t group = shape.headsQ / std::max<int64_t>(shape.headsKv, 1);
  int64_t ofHead = std::max({group * small.lengthQ, small.lengthKv, int64_t(1)});
  small.headsKv = std::min(shape.headsKv, std::max<int64_t>(1, tokens / ofHead));
  small.headsQ = small.headsKv * group;
  small.batch = std::min(shape.batch, std::max<int64_t>(1, tokens / (ofHead * small.headsKv)));
  return small;
}

namespace {

/// What is right, computed once.
struct Truth {
  std::vector<HostArray> arrays; ///< inputs, and outputs that nobody has written
  reference::Problem problem;
  reference::ExactAttention exact;
  std::vector<uint16_t> plain;
};

class DeviceTimer final : public Timer {
public:
  DeviceTimer(std::unique_ptr<Device> device, const TimerProblem &problem,
              std::shared_ptr<sim::Timings> clock)
      : about(problem), gpu(std::move(device)), timings(std::move(clock)) {}
  ~DeviceTimer() override {
    for (Event event : {started, stopped})
      if (event.handle)
        (void)bool(gpu->destroyEvent(event));
  }

  const DeviceInfo &device() const override { return gpu->info(); }
  Opened open(const Image &image, bool verify) override;
  Timed time(int id) override;
  Timed clock(int id, double seconds) override;
  void close(int id) override;

private:
  /// An open candidate.
  struct Candidate {
    std::shared_ptr<const LoadedProgram> program;
    bool warm = false;
  };
  Result<BoundProgram> bind(const Candidate &candidate, const ProblemShape &shape) const;
  void prepareTruth(const BoundProgram &program);
  Status prepareTiming(const BoundProgram &program);
  Opened verify(const Candidate &candidate);
  Result<double> timeOnce(Candidate &candidate);
  Result<double> clockOnce(const Candidate &candidate);
  /// Binds the candidate to the problem that is timed, and gives `launch` what launches it.
  template <typename Launches> Status withLarge(const Candidate &candidate, const Launches &launches);

  TimerProblem about;
  std::shared_ptr<Device> gpu;
  std::shared_ptr<sim::Timings> timings; ///< the device's virtual clock, on while it is asked
  std::map<int, Candidate> candidates;
  /// The names of the arrays of `truth` and `large`: they outlive their candidates.
  std::shared_ptr<const void> truthNames, largeNames;
  std::optional<Truth> truth;
  std::optional<DeviceArrays> large; ///< of the problem that is timed: all candidates take the same arrays
  std::optional<DeviceBuffer> workspace, flush;
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

Result<BoundProgram> DeviceTimer::bind(const Candidate &candidate, const ProblemShape &shape) const {
  v1::Result<BoundProgram> program =
      BoundProgram::bind(candidate.program, sizesOf(shape), captureNames(about.spec));
  if (!program)
    return withKind(program.error());
  return std::move(*program);
}

void DeviceTimer::prepareTruth(const BoundProgram &program) {
  if (truth)
    return;
  Truth made;
  for (size_t place = 0; place < program.arrays().size(); ++place)
    made.arrays.push_back(reference::sampleArray(program, place, about.spec.layout, about.seed));
  const ProblemShape &shape = about.verified;
  made.problem = reference::denseProblem(about.spec, int(shape.batch), int(shape.headsQ), int(shape.headsKv),
                                         int(shape.lengthQ), int(shape.lengthKv));
  reference::Inputs views = reference::inputsOf(about.spec, made.arrays);
  made.exact = reference::exactAttention(about.spec, made.problem, views);
  made.plain = reference::plainAttention(about.spec, made.problem, views);
  truth = std::move(made);
}

Opened DeviceTimer::verify(const Candidate &candidate) {
  Result<BoundProgram> program = bind(candidate, about.verified);
  if (!program)
    return failedWith<Opened>(program.error(), gpu->info().kind);
  if (!truth)
    truthNames = program->names();
  prepareTruth(*program);
  std::vector<HostArray> arrays = truth->arrays;
  v1::Result<HostRun> run = runOnHost(*program, arrays, scalarsOf(*program, about.spec));
  if (!run) {
    Opened answer = failedWith<Opened>(withKind(run.error()), gpu->info().kind);
    answer.counters = gpu->takeCounters();
    return answer;
  }
  Opened answer;
  answer.counters = run->counters;
  reference::Report report = reference::compare(
      about.spec, truth->problem, reference::outputsOf(about.spec, arrays), truth->exact, truth->plain);
  if (!report.passed) {
    answer.verdict = Verdict::Wrong;
    answer.message = report.why;
  }
  return answer;
}

Opened DeviceTimer::open(const Image &image, bool verifyIt) {
  close(image.id);
  BuiltProgram built;
  built.program = image.program;
  v1::Result<std::shared_ptr<const LoadedProgram>> loaded = LoadedProgram::load(gpu, std::move(built));
  if (!loaded) {
    Opened refused;
    refused.verdict = Verdict::Rejected;
    refused.message = loaded.error().message;
    return refused;
  }
  Candidate &candidate = candidates[image.id] = {*loaded};
  Opened answer;
  if (verifyIt)
    answer = verify(candidate);
  answer.registers = (*loaded)->mainKernel().entry.registers;
  answer.localBytes = (*loaded)->mainKernel().entry.localBytes;
  if (answer.verdict != Verdict::Passed)
    close(image.id);
  return answer;
}

Status DeviceTimer::prepareTiming(const BoundProgram &program) {
  if (program.workspaceBytes() > (workspace ? workspace->size() : 0)) {
    Result<DeviceBuffer> made = DeviceBuffer::make(*gpu, program.workspaceBytes(), "workspace");
    if (!made)
      return made.error();
    workspace = std::move(*made);
  }
  if (large)
    return success();
  Result<DeviceArrays> arrays = DeviceArrays::allocate(program, about.spec.layout);
  if (!arrays)
    return arrays.error();
  // Normal values, a million of them repeated: drawing all of a large problem's would take longer than a
  // sweep.
  std::vector<uint16_t> chunk = reference::normalArray(1 << 20, about.spec.dtype, about.seed, 3);
  for (size_t place = 0; place < program.arrays().size(); ++place) {
    const ArrayArgument &array = arrays->arrays()[place];
    if (program.arrays()[place].output)
      continue;
    if (array.type != about.spec.dtype) { // small ones, whose values are no bits of others
      HostArray sample = reference::sampleArray(program, place, about.spec.layout, about.seed);
      if (Status copied = gpu->copyIn(array.address, sample.bytes.data(), sample.bytes.size()); !copied)
        return copied;
      continue;
    }
    for (size_t at = 0, bytes = bytesOf(array), step = chunk.size() * 2; at < bytes; at += step)
      if (Status copied = gpu->copyIn(array.address + at, chunk.data(), std::min(step, bytes - at)); !copied)
        return copied;
  }
  if (about.flushBytes > 0 && gpu->info().kind == DeviceKind::Cuda) {
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

template <typename Launches>
Status DeviceTimer::withLarge(const Candidate &candidate, const Launches &launches) {
  Result<BoundProgram> program = bind(candidate, about.shape);
  if (!program)
    return program.error();
  if (!large)
    largeNames = program->names();
  if (Status done = prepareTiming(*program); !done)
    return done;
  std::vector<ScalarArgument> scalars = scalarsOf(*program, about.spec);
  LaunchArguments arguments = large->launchArguments(scalars);
  arguments.workspace = workspace ? workspace->address() : 0;
  return launches([&]() -> Status {
    v1::Status launched = program->launch({}, arguments);
    return launched ? success() : Status(withKind(launched.error()));
  });
}

Result<double> DeviceTimer::timeOnce(Candidate &candidate) {
  Status done = withLarge(candidate, [&](const auto &launch) {
    Status done = success();
    for (int i = 0; done && !candidate.warm && i < about.warmups; ++i)
      done = launch();
    if (done && flush)
      done = gpu->fill(flush->address(), 0x5a, flush->size());
    if (done)
      done = gpu->record(started);
    if (done)
      done = launch();
    if (done)
      done = gpu->record(stopped);
    if (done)
      done = gpu->synchronize();
    return done;
  });
  if (!done)
    return done.error();
  candidate.warm = true;
  Result<double> ms = gpu->elapsedMs(started, stopped);
  if (!ms)
    return ms.error();
  return *ms * 1e3;
}

Timed DeviceTimer::time(int id) {
  auto found = candidates.find(id);
  if (found == candidates.end())
    return {Verdict::Crashed, "expected a candidate that is open"};
  Result<double> us = timeOnce(found->second);
  if (!us)
    return failedWith<Timed>(us.error(), gpu->info().kind);
  Timed answer;
  answer.us = *us;
  return answer;
}

Result<double> DeviceTimer::clockOnce(const Candidate &candidate) {
  timings->config = {.on = true};
  if (!about.gpu.empty())
    timings->config.gpu = gpuFiguresFor(about.gpu, gpu->info().computeCapability).gpu;
  // What one launch leaves to the next has to be whole.
  timings->config.onlySample = candidate.program->program().launches.size() == 1;
  timings->config.registers = uint32_t(std::max(candidate.program->mainKernel().registers, 0));
  timings->launches.clear();
  Status done = withLarge(candidate, [](const auto &launch) { return launch(); });
  timings->config.on = false;
  if (!done)
    return done.error();
  double us = 0;
  for (const sim::TimeReport &launch : timings->launches)
    us += launch.seconds * 1e6 + launch.launchUs;
  return us;
}

Timed DeviceTimer::clock(int id, double) {
  auto found = candidates.find(id);
  if (found == candidates.end())
    return {Verdict::Crashed, "expected a candidate that is open"};
  if (!timings)
    return {Verdict::Rejected, "expected a device with a virtual clock"};
  Result<double> us = clockOnce(found->second);
  if (!us)
    return failedWith<Timed>(us.error(), gpu->info().kind);
  Timed answer;
  answer.us = *us;
  return answer;
}

void DeviceTimer::close(int id) { candidates.erase(id); }

} // namespace

std::unique_ptr<Timer> makeDeviceTimer(std::unique_ptr<Device> device, const TimerProblem &problem,
                                       std::shared_ptr<sim::Timings> clock) {
  return std::make_unique<DeviceTimer>(std::move(device), problem, std::move(clock));
}

} // namespace attune::tuner
