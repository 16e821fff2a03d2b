//===- JsonObject.h - JSON that is written ----------------------*- C++ -*-===//
#ifndef ATTUNE_RUNTIME_IO_JSONOBJECT_H
#define ATTUNE_RUNTIME_IO_JSONOBJECT_H

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace attune {

/// A JSON object under construction: one line, keys in the order of the calls.
class JsonObject {
public:
  JsonObject &text(std::string_view key, std::string_view value);
  JsonObject &number(std::string_view key, double value);
  JsonObject &whole(std::string_view key, int64_t value);
  JsonObject &boolean(std::string_view key, bool value);
  /// `json` is a value already written as JSON.
  JsonObject &raw(std::string_view key, std::string_view json);
  std::string str() const { return "{" + body + "}"; }

private:
  std::string body;
};

/// `values`, each already JSON, as a JSON list.
std::string jsonList(const std::vector<std::string> &values);
/// `values` as a JSON list of strings.
std::string jsonTexts(const std::vector<std::string> &values);

} // namespace attune

#endif // ATTUNE_RUNTIME_IO_JSONOBJECT_H
