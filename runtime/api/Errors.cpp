//===- Errors.cpp - statuses and messages of the C interface --------------===//
#include "runtime/api/Handle.h"

#include <array>
#include <cstdlib>

namespace attune::api {

/// What attune_last_error gives.
static thread_local std::string lastError;

attune_status fail(attune_status status, std::string message) noexcept {
  lastError = std::move(message);
  return status;
}

attune_status fail(const v1::Error &error) noexcept {
  try {
    return fail(attune_status(int(error.code)), error.message);
  } catch (...) {
    return fail(ATTUNE_OUT_OF_MEMORY, std::string());
  }
}

char *textOf(const std::string &text) {
  char *copy = static_cast<char *>(std::malloc(text.size() + 1));
  if (!copy)
    throw std::bad_alloc();
  std::memcpy(copy, text.c_str(), text.size() + 1);
  return copy;
}

} // namespace attune::api

const char *attune_status_name(attune_status status) {
  constexpr std::array names = {"OK",
                                "InvalidOptions",
                                "InvalidSpec",
                                "InvalidShape",
                                "InvalidStrides",
                                "InvalidArgument",
                                "NullPointer",
                                "Misaligned",
                                "EmptyHandle",
                                "NoDevice",
                                "NotCached",
                                "ToolMissing",
                                "CompileFailed",
                                "LoadFailed",
                                "LaunchFailed",
                                "KernelFault",
                                "OutOfMemory",
                                "DeviceFailed",
                                "NotReady",
                                "InvalidBundle",
                                "Internal"};
  static_assert(names.size() == size_t(ATTUNE_INTERNAL) + 1);
  return size_t(status) < names.size() ? names[size_t(status)] : "unknown";
}

const char *attune_last_error(void) { return attune::api::lastError.c_str(); }

const char *attune_version(void) { return ATTUNE_VERSION; }

void attune_text_free(char *text) { std::free(text); }
