//===- Handle.h - what stands behind the C interface's handles --*- C++ -*-===//
//
// A handle is a shell around a shared state, so that what came of a context keeps it, whatever is destroyed
// first. Shells are never given back to the system: one that is used after it was destroyed is told apart,
// until a thousand others were destroyed.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_API_HANDLE_H
#define ATTUNE_RUNTIME_API_HANDLE_H

#include "runtime/include/attune/attune.h"
#include "runtime/launch/Failure.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <string>

#include <fmt/format.h>

namespace attune::api {

//===----------------------------------------------------------------------===//
// Errors
//===----------------------------------------------------------------------===//

/// Keeps the message for attune_last_error() of this thread, and gives `status` back.
attune_status fail(attune_status status, std::string message) noexcept;
attune_status fail(const v1::Error &error) noexcept;
inline attune_status fail(attune_status status, const Error &error) noexcept {
  return fail(status, error.message);
}

/// Runs a function of the interface: what is thrown in it becomes a status.
template <typename Body> attune_status guarded(const Body &body) noexcept {
  try {
    return body();
  } catch (const std::bad_alloc &) {
    return fail(ATTUNE_OUT_OF_MEMORY, std::string("the host's memory does not suffice"));
  } catch (const std::exception &what) {
    return fail(ATTUNE_INTERNAL, fmt::format("a mistake of attune: {}", what.what()));
  } catch (...) {
    return fail(ATTUNE_INTERNAL, std::string("a mistake of attune"));
  }
}

/// A copy that the caller frees by attune_text_free.
char *textOf(const std::string &text);

//===----------------------------------------------------------------------===//
// Handles
//===----------------------------------------------------------------------===//

/// The form of every handle. `Held` says its word and its mark.
template <typename Held> struct Shell {
  using State = Held;
  uint64_t mark = 0;
  std::shared_ptr<Held> state;
};

/// The shells of one kind that were destroyed, the earliest first.
template <typename Handle> class Shells {
public:
  static Handle *make(std::shared_ptr<typename Handle::State> state) {
    Handle *shell = nullptr;
    {
      std::lock_guard guard(all().lock);
      if (all().destroyed.size() > kept) {
        shell = all().destroyed.front();
        all().destroyed.pop_front();
      }
    }
    if (!shell)
      shell = new Handle;
    shell->state = std::move(state);
    shell->mark = Handle::State::mark;
    return shell;
  }
  /// Nothing where it was destroyed before.
  static void destroy(Handle *shell) {
    if (!shell || shell->mark != Handle::State::mark)
      return;
    shell->mark = 0;
    shell->state.reset();
    std::lock_guard guard(all().lock);
    all().destroyed.push_back(shell);
  }

private:
  static constexpr size_t kept = 1000;
  static Shells &all() {
    static Shells *shells = new Shells; // lives as long as the last handle, which nobody knows
    return *shells;
  }
  std::mutex lock;
  std::deque<Handle *> destroyed;
};

/// Whether it is a handle of this kind that lives.
template <typename Handle> attune_status check(const Handle *handle) noexcept {
  using State = typename Handle::State;
  if (!handle) [[unlikely]]
    return guarded(
        [] { return fail(ATTUNE_NULL_POINTER, fmt::format("expected {}, got null", State::word)); });
  if (handle->mark != State::mark) [[unlikely]]
    return guarded([] {
      return fail(
          ATTUNE_EMPTY_HANDLE,
          fmt::format("expected {}, got one that was destroyed, or a handle of another kind", State::word));
    });
  return ATTUNE_OK;
}

/// Sets the place for a result to null until there is one; an error where there is no place.
template <typename T> attune_status checkPlace(T **place, const char *word) noexcept {
  if (place) {
    *place = nullptr;
    return ATTUNE_OK;
  }
  return guarded(
      [&] { return fail(ATTUNE_NULL_POINTER, fmt::format("expected a place for the {}, got null", word)); });
}

/// The caller's struct as this library knows it: what an older one lacks is as `defaults` have it, and what a
/// later one has beside must be 0. `least`: its bytes in the first version that had it.
template <typename T> attune_status readStruct(const T *given, size_t least, T &result, const char *word) {
  if (!given)
    return fail(ATTUNE_NULL_POINTER, fmt::format("expected {}, got null", word));
  size_t size = given->size;
  if (size < least || size > 65536)
    return fail(ATTUNE_INVALID_ARGUMENT,
                fmt::format("expected the size of {} (at least {} bytes) in its first member, got {}", word,
                            least, size));
  const char *bytes = reinterpret_cast<const char *>(given);
  for (size_t at = sizeof(T); at < size; ++at)
    if (bytes[at])
      return fail(ATTUNE_INVALID_ARGUMENT,
                  fmt::format("expected {} that attune {} knows, got one of a later version ({} bytes, of "
                              "which {} are known) that uses what is new",
                              word, attune_version(), size, sizeof(T)));
  std::memcpy(static_cast<void *>(&result), bytes, std::min(size, sizeof(T)));
  return ATTUNE_OK;
}

} // namespace attune::api

#endif // ATTUNE_RUNTIME_API_HANDLE_H
