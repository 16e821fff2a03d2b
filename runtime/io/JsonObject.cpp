//===- JsonObject.cpp - JSON that is written ------------------------------===//
#include "runtime/io/JsonObject.h"

#include "compiler/spec/Json.h"

#include <cmath>

#include <fmt/format.h>

namespace attune {

JsonObject &JsonObject::raw(std::string_view key, std::string_view json) {
  body += fmt::format("{}{}:{}", body.empty() ? "" : ",", json::quote(key), json);
  return *this;
}

JsonObject &JsonObject::text(std::string_view key, std::string_view value) {
  return raw(key, json::quote(value));
}

JsonObject &JsonObject::number(std::string_view key, double value) {
  // JSON has no infinity and no NaN; null says that there is no such number.
  return raw(key, std::isfinite(value) ? fmt::format("{}", value) : "null");
}

JsonObject &JsonObject::whole(std::string_view key, int64_t value) {
  return raw(key, fmt::format("{}", value));
}

JsonObject &JsonObject::boolean(std::string_view key, bool value) {
  return raw(key, value ? "true" : "false");
}

std::string jsonList(const std::vector<std::string> &values) {
  std::string result = "[";
  for (const std::string &value : values)
    result += (result.size() > 1 ? "," : "") + value;
  return result + "]";
}

std::string jsonTexts(const std::vector<std::string> &values) {
  std::vector<std::string> quoted;
  for (const std::string &value : values)
    quoted.push_back(json::quote(value));
  return jsonList(quoted);
}

} // namespace attune
