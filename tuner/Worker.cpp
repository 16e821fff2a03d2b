//===- Worker.cpp - a timer in a process of its own -----------------------===//
//
// Parent, helper and child share one pair of sequential-packet sockets, whose messages arrive whole. The
// helper only speaks when no child is there to: it says how the last one ended, then forks the next.
//
//===----------------------------------------------------------------------===//
#include "tuner/Worker.h"

#include "runtime/io/File.h"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <map>
#include <utility>

#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace attune::tuner {
namespace {

/// How a child ends that has nothing more to do: the parent is gone, or the timer could not be made.
constexpr int doneStatus = 113;

/// Messages hold little: texts are cut, and kernels travel by file.
constexpr size_t mostMessage = 64 << 10, mostText = 8 << 10;

/// Values one behind the other. Both ends are the same program, so their form is the machine's own.
class Message {
public:
  Message() = default;
  explicit Message(std::string bytes) : bytes(std::move(bytes)) {}

  template <typename T> Message &put(T value) {
    bytes.append(reinterpret_cast<const char *>(&value), sizeof value);
    return *this;
  }
  Message &put(const std::string &text) {
    size_t size = std::min(text.size(), mostText);
    put(size);
    bytes.append(text, 0, size);
    return *this;
  }
  template <typename T> T take() {
    T value{};
    if (at + sizeof value <= bytes.size())
      std::memcpy(&value, bytes.data() + at, sizeof value);
    at += sizeof value;
    return value;
  }
  std::string takeText() {
    auto size = take<size_t>();
    std::string text = at + size <= bytes.size() ? bytes.substr(at, size) : "";
    at += size;
    return text;
  }
  const std::string &all() const { return bytes; }

private:
  std::string bytes;
  size_t at = 0;
};

enum class Word : int { Ready, Failed, Died, Open, Time, Clock, Close, Answer };

bool send(int socket, const Message &message) {
  const std::string &bytes = message.all();
  ssize_t sent;
  do
    sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return sent == ssize_t(bytes.size());
}

/// The next message; nothing when the other side is gone, or, with a limit, when none came in time.
std::optional<Message> receive(int socket, double seconds = -1) {
  auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  std::string buffer(mostMessage, '\0');
  while (true) {
    int wait = -1;
    if (seconds >= 0)
      wait = std::max(
          0, int(std::chrono::duration<double, std::milli>(end - std::chrono::steady_clock::now()).count()));
    pollfd wanted{socket, POLLIN, 0};
    int ready = ::poll(&wanted, 1, wait);
    if (ready == 0)
      return std::nullopt;
    if (ready > 0) {
      ssize_t got = ::recv(socket, buffer.data(), buffer.size(), 0);
      if (got > 0) {
        buffer.resize(size_t(got));
        return Message(std::move(buffer));
      }
      if (got == 0 || errno != EINTR)
        return std::nullopt;
    } else if (errno != EINTR) {
      return std::nullopt;
    }
  }
}

//===----------------------------------------------------------------------===//
// The child
//===----------------------------------------------------------------------===//

void putDevice(Message &message, const DeviceInfo &info) {
  message.put(info.kind)
      .put(info.ordinal)
      .put(info.name)
      .put(info.arch.name)
      .put(info.computeCapability)
      .put(info.driverVersion)
      .put(info.multiprocessors)
      .put(info.clockKhz)
      .put(info.memoryBytes)
      .put(info.why);
}

DeviceInfo takeDevice(Message &message) {
  DeviceInfo info;
  info.kind = message.take<DeviceKind>();
  info.ordinal = message.take<int>();
  info.name = message.takeText();
  if (Result<Arch> arch = findArch(message.takeText()))
    info.arch = *arch;
  info.computeCapability = message.take<int>();
  info.driverVersion = message.take<int>();
  info.multiprocessors = message.take<int>();
  info.clockKhz = message.take<int>();
  info.memoryBytes = message.take<size_t>();
  info.why = message.takeText();
  return info;
}

/// The candidate that a request names; the error says why there is none.
Result<Image> takeImage(Message &request) {
  Image image;
  image.id = request.take<int>();
  Result<std::string> bytes = readFile(request.takeText());
  if (!bytes)
    return bytes.error();
  Result<CacheEntry> entry = parseEntry(*bytes);
  if (!entry)
    return entry.error();
  Result<CompiledProgram> program = programFrom(std::move(*entry));
  if (!program)
    return program.error();
  image.program = std::move(*program);
  return image;
}

/// Serves until the parent is gone.
void serve(int socket, const TimerFactory &factory) {
  Result<std::unique_ptr<Timer>> timer = factory();
  Message hello;
  if (!timer) {
    send(socket, hello.put(Word::Failed).put(timer.error().kind).put(timer.error().message));
    return;
  }
  hello.put(Word::Ready).put(::getpid());
  putDevice(hello, (*timer)->device());
  if (!send(socket, hello))
    return;
  while (std::optional<Message> request = receive(socket)) {
    auto word = request->take<Word>();
    auto sequence = request->take<uint64_t>();
    Message answer;
    answer.put(Word::Answer).put(sequence);
    if (word == Word::Open) {
      bool verify = request->take<bool>();
      Opened opened;
      if (Result<Image> image = takeImage(*request)) {
        opened = (*timer)->open(*image, verify);
      } else {
        opened.verdict = Verdict::Rejected;
        opened.message = image.error().message;
      }
      answer.put(opened.verdict)
          .put(opened.message)
          .put(opened.registers)
          .put(opened.localBytes)
          .put(opened.deviceLost)
          .put(opened.counters.has_value());
      if (opened.counters) {
        answer.put(opened.counters->warpInstructions).put(opened.counters->byName.size());
        for (const auto &[name, count] : opened.counters->byName)
          answer.put(name).put(count);
      }
    } else if (word == Word::Time || word == Word::Clock) {
      int id = request->take<int>();
      auto seconds = request->take<double>();
      Timed timed = word == Word::Time ? (*timer)->time(id) : (*timer)->clock(id, seconds);
      answer.put(timed.verdict).put(timed.message).put(timed.us).put(timed.deviceLost);
    } else {
      (*timer)->close(request->take<int>());
    }
    if (!send(socket, answer))
      return;
  }
}

/// Signals of a terminal or a batch system are the parent's business: this process ends with it. A crash is
/// nobody's but ours.
void settleInChild(pid_t parent) {
  for (int signal : {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL})
    std::signal(signal, SIG_DFL);
  for (int signal : {SIGINT, SIGTERM, SIGHUP})
    std::signal(signal, SIG_IGN);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) // it died before that was asked for
    ::_exit(0);
}

/// Forks one child after the other until the parent is gone.
[[noreturn]] void helperLoop(int socket, const TimerFactory &factory) {
  while (true) {
    pid_t self = ::getpid(), child = ::fork();
    if (child == 0) {
      settleInChild(self);
      serve(socket, factory);
      ::_exit(doneStatus);
    }
    int status = 0;
    if (child > 0)
      while (::waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    pollfd gone{socket, POLLIN, 0};
    if (child < 0 || (WIFEXITED(status) && WEXITSTATUS(status) == doneStatus) ||
        (::poll(&gone, 1, 0) == 1 && (gone.revents & POLLHUP)))
      ::_exit(0);
    std::string how = WIFSIGNALED(status) ? fmt::format("ended by signal {} ({})", WTERMSIG(status),
                                                        ::sigabbrev_np(WTERMSIG(status)))
                                          : fmt::format("ended with status {}", WEXITSTATUS(status));
    Message died;
    if (!send(socket, died.put(Word::Died).put(how)))
      ::_exit(0);
  }
}

//===----------------------------------------------------------------------===//
// The parent's side
//===----------------------------------------------------------------------===//

class WorkerTimer final : public Timer {
public:
  WorkerTimer(int socket, pid_t helper, TempDir folder, const WorkerLimits &limits)
      : socket(socket), helper(helper), folder(std::move(folder)), limits(limits) {}
  ~WorkerTimer() override {
    ::close(socket);
    if (child > 0)
      ::kill(child, SIGKILL);
    ::kill(helper, SIGKILL);
    int status;
    while (::waitpid(helper, &status, 0) < 0 && errno == EINTR)
      ;
  }

  /// Waits for a child that is ready.
  Status meet() {
    for (int attempt = 0; attempt < 3; ++attempt) {
      std::optional<Message> hello;
      Word word = Word::Answer;
      do { // answers of a child that is gone may still be there
        hello = receive(socket, limits.start);
        word = hello ? hello->take<Word>() : Word::Failed;
      } while (hello && word == Word::Answer);
      if (!hello)
        break;
      if (word == Word::Ready) {
        child = hello->take<pid_t>();
        about = takeDevice(*hello);
        return success();
      }
      if (word == Word::Failed) {
        auto kind = hello->take<ErrorKind>();
        return Error{kind, hello->takeText()};
      }
    }
    return missing("error: expected a process that opens the device for tuning, got none that lived");
  }

  const DeviceInfo &device() const override { return about; }

  Opened open(const Image &image, bool verify) override {
    close(image.id);
    Result<std::string> request = imageRequest(image);
    Opened opened;
    if (!request) {
      opened.verdict = Verdict::Rejected;
      opened.message = request.error().message;
      return opened;
    }
    std::string how;
    Verdict verdict = Verdict::Passed;
    std::optional<Message> answer = openAgain(*request, verify, verdict, how);
    if (!answer) {
      opened.verdict = verdict;
      opened.message = how;
      return opened;
    }
    opened = takeOpened(*answer);
    if (opened.verdict == Verdict::Passed) {
      images[image.id] = {*request, true};
      openings.note(took);
    }
    if (opened.deviceLost)
      restart();
    opened.deviceLost = false;
    return opened;
  }

  Timed time(int id) override {
    Timed timed = timeBy(Word::Time, id, timings.limit(limits.timing, limits));
    if (timed.verdict == Verdict::Passed)
      timings.note(took);
    return timed;
  }
  Timed clock(int id, double seconds) override { return timeBy(Word::Clock, id, seconds); }

  void close(int id) override {
    auto found = images.find(id);
    if (found == images.end())
      return;
    bool wasOpen = found->second.isOpen;
    images.erase(found);
    if (wasOpen) {
      Message request;
      request.put(Word::Close).put(++sequence).put(id);
      Verdict ignored;
      std::string how;
      (void)ask(request, limits.timing, ignored, how);
    }
    ::unlink(pathOf(id).c_str());
  }

  Status state() const override {
    if (child > 0)
      return success();
    return missing("error: the device could not be opened again after a candidate had ended the process that "
                   "measured it; see whether it still works (attune devices)");
  }

private:
  struct Known {
    std::string request; ///< what `open` sends, without the head
    bool isOpen = false; ///< in the child that lives now
  };

  /// How long answers of one kind took, of candidates that passed: a refusal comes at once.
  struct Answers {
    double longest = 0;
    void note(double seconds) { longest = std::max(longest, seconds); }
    double limit(double most, const WorkerLimits &limits) const {
      return longest > 0 ? std::min(most, std::max(limits.least, limits.slower * longest)) : most;
    }
  };

  Timed timeBy(Word word, int id, double seconds) {
    Timed timed;
    auto found = images.find(id);
    if (found == images.end()) {
      timed.verdict = Verdict::Crashed;
      timed.message = "expected a candidate that is open";
      return timed;
    }
    // In a child that replaced another one, the candidate has to be opened first.
    if (!found->second.isOpen) {
      std::optional<Message> answer = openAgain(found->second.request, false, timed.verdict, timed.message);
      if (!answer)
        return timed;
      Opened opened = takeOpened(*answer);
      if (opened.verdict != Verdict::Passed) {
        timed.verdict = opened.verdict;
        timed.message = opened.message;
        return timed;
      }
      found->second.isOpen = true;
    }
    Message request;
    request.put(word).put(++sequence).put(id).put(seconds);
    std::optional<Message> answer = ask(request, seconds, timed.verdict, timed.message);
    if (!answer)
      return timed;
    timed.verdict = answer->take<Verdict>();
    timed.message = answer->takeText();
    timed.us = answer->take<double>();
    if (answer->take<bool>())
      restart();
    return timed;
  }

  std::string pathOf(int id) const { return fmt::format("{}/{}.attune", folder.path(), id); }

  /// The candidate travels as the cache would keep it.
  Result<std::string> imageRequest(const Image &image) {
    std::string path = pathOf(image.id);
    if (Status wrote = writeFileAtomically(path, {serializeEntry(toEntry(image.program, CacheKey()))}, 0600);
        !wrote)
      return wrote.error();
    return Message().put(image.id).put(path).all();
  }

  std::optional<Message> openAgain(const std::string &body, bool verify, Verdict &verdict, std::string &how) {
    Message request;
    request.put(Word::Open).put(++sequence).put(verify);
    return ask(Message(request.all() + body), openings.limit(limits.open, limits), verdict, how);
  }

  static Opened takeOpened(Message &answer) {
    Opened opened;
    opened.verdict = answer.take<Verdict>();
    opened.message = answer.takeText();
    opened.registers = answer.take<int>();
    opened.localBytes = answer.take<int>();
    opened.deviceLost = answer.take<bool>();
    if (answer.take<bool>()) {
      LaunchCounters counters;
      counters.warpInstructions = answer.take<uint64_t>();
      for (auto left = answer.take<size_t>(); left > 0; --left) {
        std::string name = answer.takeText();
        counters.byName.emplace_back(name, answer.take<uint64_t>());
      }
      opened.counters = std::move(counters);
    }
    return opened;
  }

  /// Sends and waits for the answer; nothing if the child died or had to be ended, which `verdict` and `how`
  /// then say. Another child is there afterwards. `took` says how long the answer took.
  std::optional<Message> ask(const Message &request, double seconds, Verdict &verdict, std::string &how) {
    if (child <= 0) {
      verdict = Verdict::Crashed;
      how = "no process could be started to measure it";
      return std::nullopt;
    }
    auto begin = std::chrono::steady_clock::now(), end = begin;
    end += std::chrono::duration_cast<std::chrono::steady_clock::duration>(
        std::chrono::duration<double>(seconds));
    bool sent = send(socket, request);
    while (sent) {
      double left = std::chrono::duration<double>(end - std::chrono::steady_clock::now()).count();
      std::optional<Message> answer = receive(socket, std::max(left, 0.0));
      if (!answer) {
        verdict = Verdict::TimedOut;
        how = fmt::format("no answer in {:.3g} s", seconds);
        restart();
        return std::nullopt;
      }
      auto word = answer->take<Word>();
      if (word == Word::Died) {
        verdict = Verdict::Crashed;
        how = "its process " + answer->takeText();
        replaced();
        return std::nullopt;
      }
      if (word == Word::Answer && answer->take<uint64_t>() == sequence) {
        took = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
        return answer;
      }
    }
    verdict = Verdict::Crashed;
    how = fmt::format("its process could not be reached: {}", errorText(errno));
    restart();
    return std::nullopt;
  }

  /// Ends the child by force; the helper starts the next.
  void restart() {
    if (child > 0)
      ::kill(child, SIGKILL);
    while (std::optional<Message> message = receive(socket, limits.start))
      if (message->take<Word>() == Word::Died)
        break;
    replaced();
  }

  /// The next child has none of the candidates open.
  void replaced() {
    child = -1;
    for (auto &[id, known] : images)
      known.isOpen = false;
    (void)bool(meet());
  }

  int socket;
  pid_t helper, child = -1;
  TempDir folder;
  WorkerLimits limits;
  Answers openings, timings;
  double took = 0; ///< the last answer
  DeviceInfo about;
  uint64_t sequence = 0;
  std::map<int, Known> images;
};

} // namespace

Result<std::unique_ptr<Timer>> startWorkerTimer(const TimerFactory &factory, const WorkerLimits &limits) {
  int sockets[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0)
    return missing(fmt::format("error: cannot start a process to measure in: {}", errorText(errno)));
  Result<TempDir> folder = TempDir::make();
  if (!folder) {
    ::close(sockets[0]);
    ::close(sockets[1]);
    return folder.error();
  }
  // What is buffered would be written by each process.
  std::fflush(nullptr);
  pid_t self = ::getpid(), helper = ::fork();
  if (helper == 0) {
    ::close(sockets[0]);
    settleInChild(self);
    helperLoop(sockets[1], factory);
  }
  ::close(sockets[1]);
  if (helper < 0) {
    ::close(sockets[0]);
    return missing(fmt::format("error: cannot start a process to measure in: {}", errorText(errno)));
  }
  auto timer = std::make_unique<WorkerTimer>(sockets[0], helper, std::move(*folder), limits);
  if (Status met = timer->meet(); !met)
    return met.error();
  return std::unique_ptr<Timer>(std::move(timer));
}

} // namespace attune::tuner
