//===- Lines.h - text, a line at a time -------------------------*- C++ -*-===//
#ifndef ATTUNE_RUNTIME_IO_LINES_H
#define ATTUNE_RUNTIME_IO_LINES_H

#include <optional>
#include <string_view>

namespace attune {

/// Takes a line off the front of `text`; nothing if it has no end.
inline std::optional<std::string_view> takeLine(std::string_view &text) {
  size_t end = text.find('\n');
  if (end == std::string_view::npos)
    return std::nullopt;
  std::string_view line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return line;
}

} // namespace attune

#endif // ATTUNE_RUNTIME_IO_LINES_H
