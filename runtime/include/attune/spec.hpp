//===- spec.hpp - what to compute -------------------------------*- C++ -*-===//
#ifndef ATTUNE_SPEC_HPP
#define ATTUNE_SPEC_HPP

#include "json.hpp"
#include "result.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace attune {
#ifndef ATTUNE_INSIDE
inline
#endif
    namespace v1 {

//===----------------------------------------------------------------------===//
// What to compute
//===----------------------------------------------------------------------===//

/// Of elements. Q, K, V and O are of a 16-bit type; accumulation is f32.
/// U8 is of captured arrays only, which read it as bool.
enum class DType { F16, BF16, F32, I32, U8 };
/// Order of a dense array, outermost first: batch, sequence, head, dim, or batch, head, sequence, dim.
enum class Layout { BSHD, BHSD };
/// Which query meets which key: query i and key i are at one position, or the last of both are.
enum class MaskAlign { TopLeft, BottomRight };
/// How a kernel is made: PTX by LLVM, or CUDA C++ by NVRTC.
enum class Target { PTX, CUDA };

/// Keeps a key iff -left <= key position - query position <= right; a bound that is not there does not limit.
struct MaskTerm {
  std::optional<std::int64_t> left = {}, right = {}; ///< 0 .. 2^30 - 1
  MaskAlign align = MaskAlign::TopLeft;
  /// Given at launch, as scalars "window_left" and "window_right", of which a spec has one each: one kernel
  /// for every window.
  bool runtimeLeft = false, runtimeRight = false;
};
/// The mask of decoders: no key after the query.
inline constexpr MaskTerm causal{std::nullopt, 0, MaskAlign::TopLeft};

/// An array that expressions read by name, NAME[i, j]; an index beyond its axis reads the nearest element.
struct CapturedArray {
  std::string name = {};
  DType dtype = DType::I32; ///< I32, F32, F16, BF16 or U8
  /// "b", "h" (query heads), "hkv", "q", "kv", or a number (a table): the shape, outermost first. Elements of
  /// the last axis are adjacent.
  std::vector<std::string> axes = {};
};
/// A number that expressions read by name and launches give: another value is not another kernel.
struct CapturedScalar {
  std::string name = {};
  DType dtype = DType::I32; ///< I32 (-2^30 .. 2^30) or F32
};

/// How a kernel is made: a family and its parameters by name (`attune tune --list` names them: block_q, ...).
/// As a request, what is not there is chosen.
struct Schedule {
  std::string family = {}; ///< empty: the most particular one that serves
  std::vector<std::pair<std::string, int>> values = {};

  std::optional<int> get(std::string_view name) const {
    for (const auto &[key, value] : values)
      if (key == name)
        return value;
    return std::nullopt;
  }
  void set(std::string_view name, int value) {
    for (auto &[key, old] : values)
      if (key == name) {
        old = value;
        return;
      }
    values.emplace_back(name, value);
  }
};

/// Forward attention: O = softmax(scale * Q K^T, masked) V for each batch and query head.
struct Spec {
  std::string name = "attention"; ///< of the kernel: a C identifier
  DType dtype = DType::BF16;
  int headDimQk = 128;              ///< of Q and K: a multiple of 8 in 8 .. 256
  int headDimV = 128;               ///< of V and O: the same
  Layout layout = Layout::BSHD;     ///< of Plan::dense; kernels take any strides
  std::optional<double> scale = {}; ///< 1 / sqrt(headDimQk)
  std::vector<MaskTerm> mask =
      {}; ///< a key is kept if every term keeps it; a row that keeps none gives O = 0
  /// Expressions that must be true too: "kv <= q && doc[b, q] == doc[b, kv]". The guide has their language.
  std::vector<std::string> maskExpressions = {};
  /// What scores become after scaling: "score + slope[h] * (kv - q)". Empty: they stay. Not with softcap.
  std::string scoreExpression = {};
  std::vector<CapturedArray> arrays = {};   ///< that expressions read, and Arguments::arrays gives
  std::vector<CapturedScalar> scalars = {}; ///< that expressions read, and Arguments::scalars gives
  std::optional<double> softcap = {};       ///< c: scores become c * tanh(score / c), after scaling
  /// Given at launch, as scalars "scale" and "softcap": one kernel for every value.
  bool runtimeScale = false, runtimeSoftcap = false;
  /// Each query head has a sink (Arguments::sink), whose exp joins the denominator of its rows' softmax. A
  /// row that keeps no key still gives 0; LSE has the sink in it.
  bool sink = false;
  /// Each batch entry has its own number of queries, of keys, which i32 arrays on the device say at launch
  /// (Arguments::lengthsQ, lengthsKv): what is beyond Shape's is cut. Masks and scores see them as len_q and
  /// len_kv. A query beyond them gives 0 (LSE -inf, or the head's sink).
  bool lengthsQ = false, lengthsKv = false;
  bool lse = false; ///< also write each row's log-sum-exp (natural logarithm, f32; -inf if empty)
  /// The bits of a row depend on its query, keys and values alone, not on the batch, the heads or the lengths
  /// that it is computed with: the schedule is the spec's default, whatever an advisor knows.
  bool batchInvariant = false;
  Schedule schedule = {};

  /// The spec that JSON text says, as `attune compile` reads it; `file` names it in messages, which hold
  /// every mistake with its place (InvalidSpec).
  static Result<Spec> fromJson(const std::string &json, const std::string &file = "spec");
  /// The JSON text that says it. What no spec can be is written as it is, for the reader to refuse.
  std::string toJson() const;
};

/// The sizes of one problem. A kernel serves them all. Query head h reads KV head h / (headsQ / headsKv).
/// With no batch or no queries, launches do nothing; with no keys, O is 0 and LSE -inf (or the head's sink).
/// The arrays of an empty axis may be null.
struct Shape {
  std::int64_t batch = 1;                 ///< 0 .. 2^31 - 1
  std::int64_t headsQ = 1, headsKv = 1;   ///< 1 .. 2^31 - 1; headsQ is a multiple of headsKv
  std::int64_t lengthQ = 1, lengthKv = 1; ///< 0 .. 2^30
};

//===----------------------------------------------------------------------===//
// As JSON
//===----------------------------------------------------------------------===//

namespace detail {

/// The text of a `char **`.
struct FreeText {
  void operator()(char *text) const { attune_text_free(text); }
};
using OwnedText = std::unique_ptr<char, FreeText>;

inline Error lastError(attune_status status) {
  return {static_cast<ErrorCode>(static_cast<int>(status)), attune_last_error()};
}
inline Status statusOf(attune_status status) {
  return status == ATTUNE_OK ? Status(std::monostate()) : Status(lastError(status));
}

inline constexpr std::array<const char *, 5> dtypeNames = {"fp16", "bf16", "f32", "i32", "u8"};
inline constexpr std::array<const char *, 2> layoutNames = {"bshd", "bhsd"};
inline constexpr std::array<const char *, 2> alignNames = {"top_left", "bottom_right"};
inline constexpr std::array<const char *, 2> targetNames = {"ptx", "cuda"};

/// The name of an enumerator, as JSON; a number where it has none.
template <std::size_t N, typename Enum>
std::string nameText(const std::array<const char *, N> &names, Enum value) {
  auto at = static_cast<std::size_t>(static_cast<int>(value));
  return at < N ? jsonText(names[at]) : std::to_string(static_cast<int>(value));
}
/// The enumerator of this name; the first one where there is none.
template <typename Enum, std::size_t N>
Enum enumOf(const std::array<const char *, N> &names, std::string_view name) {
  for (std::size_t i = 0; i < N; ++i)
    if (names[i] == name)
      return static_cast<Enum>(static_cast<int>(i));
  return Enum();
}

/// A number, or that launches give it.
template <typename Number> std::string valueText(const std::optional<Number> &value, bool runtime) {
  std::string text;
  if constexpr (std::is_integral_v<Number>)
    text = value ? std::to_string(*value) : "";
  else
    text = value ? numberText(*value) : "";
  return runtime ? jsonText(value ? "runtime:" + text : "runtime") : text;
}
template <typename Number> void readValue(const Json *json, std::optional<Number> &value, bool &runtime) {
  if (!json)
    return;
  Json number{json->text, {}, {}, false};
  runtime = json->isText; // "runtime" or "runtime:0.5"
  if (runtime)
    number.text.erase(0, std::min(number.text.size(), std::string_view("runtime:").size()));
  if (number.text.empty())
    return;
  if constexpr (std::is_integral_v<Number>)
    value = number.whole();
  else
    value = number.number();
}

inline std::string termText(const MaskTerm &term) {
  std::string object;
  bool isCausal = !term.left && !term.runtimeLeft && term.right == 0 && !term.runtimeRight;
  put(object, "kind", isCausal ? "\"causal\"" : "\"window\"");
  for (auto [key, value, runtime] : {std::tuple("left", &term.left, term.runtimeLeft),
                                     std::tuple("right", &term.right, term.runtimeRight)})
    if (!isCausal && (*value || runtime))
      put(object, key, valueText(*value, runtime));
  put(object, "align", nameText(alignNames, term.align));
  return object + '}';
}

inline MaskTerm readTerm(const Json &json) {
  MaskTerm term;
  term.align = enumOf<MaskAlign>(alignNames, json["align"].text);
  if (json["kind"].text == "causal")
    term.right = 0;
  readValue(json.find("left"), term.left, term.runtimeLeft);
  readValue(json.find("right"), term.right, term.runtimeRight);
  return term;
}

inline std::string scheduleText(const Schedule &schedule) {
  std::string object;
  if (!schedule.family.empty())
    put(object, "family", jsonText(schedule.family));
  for (const auto &[name, value] : schedule.values)
    put(object, name, std::to_string(value));
  return object.empty() ? "{}" : object + '}';
}

inline Schedule readSchedule(const Json &json) {
  Schedule schedule;
  for (const auto &[key, value] : json.members)
    if (key == "family")
      schedule.family = value.text;
    else
      schedule.values.emplace_back(key, static_cast<int>(value.whole()));
  return schedule;
}

inline std::string list(const std::vector<std::string> &values) {
  std::string result = "[";
  for (const std::string &value : values)
    result += (result.size() > 1 ? "," : "") + value;
  return result + ']';
}

/// A spec in the form that the library writes.
inline Spec readSpec(const Json &json) {
  Spec spec;
  spec.name = json["name"].text;
  spec.dtype = enumOf<DType>(dtypeNames, json["dtype"].text);
  spec.headDimQk = static_cast<int>(json["head_dim_qk"].whole());
  spec.headDimV = static_cast<int>(json["head_dim_v"].whole());
  spec.layout = enumOf<Layout>(layoutNames, json["layout"].text);
  readValue(json.find("scale"), spec.scale, spec.runtimeScale);
  for (const Json &term : json["mask"].elements)
    if (term.isText)
      spec.maskExpressions.push_back(term.text);
    else
      spec.mask.push_back(readTerm(term));
  spec.scoreExpression = json["score"].text;
  for (const auto &[name, array] : json["arrays"].members) {
    CapturedArray &captured = spec.arrays.emplace_back();
    captured.name = name;
    captured.dtype = enumOf<DType>(dtypeNames, array["dtype"].text);
    for (const Json &axis : array["axes"].elements)
      captured.axes.push_back(axis.text);
  }
  for (const auto &[name, type] : json["scalars"].members)
    spec.scalars.push_back({name, type.text.starts_with("f32") ? DType::F32 : DType::I32});
  readValue(json.find("softcap"), spec.softcap, spec.runtimeSoftcap);
  spec.sink = json["sink"].boolean();
  spec.lengthsQ = json["lengths_q"].boolean();
  spec.lengthsKv = json["lengths_kv"].boolean();
  spec.lse = json["lse"].boolean();
  spec.batchInvariant = json["batch_invariant"].boolean();
  spec.schedule = readSchedule(json["schedule"]);
  return spec;
}

} // namespace detail

inline std::string Spec::toJson() const {
  using namespace detail;
  std::string object;
  put(object, "op", "\"forward\"");
  put(object, "name", jsonText(name));
  put(object, "dtype", nameText(dtypeNames, dtype));
  put(object, "head_dim_qk", std::to_string(headDimQk));
  put(object, "head_dim_v", std::to_string(headDimV));
  put(object, "layout", nameText(layoutNames, layout));
  if (scale || runtimeScale)
    put(object, "scale", valueText(scale, runtimeScale));
  std::vector<std::string> terms;
  for (const MaskTerm &term : mask)
    terms.push_back(termText(term));
  for (const std::string &expression : maskExpressions)
    terms.push_back(jsonText(expression));
  put(object, "mask", list(terms));
  if (!scoreExpression.empty())
    put(object, "score", jsonText(scoreExpression));
  std::string captured;
  for (const CapturedArray &array : arrays) {
    std::vector<std::string> axes;
    for (const std::string &axis : array.axes)
      axes.push_back(!axis.empty() && axis.find_first_not_of("0123456789") == axis.npos ? axis
                                                                                        : jsonText(axis));
    std::string one;
    put(one, "dtype", nameText(dtypeNames, array.dtype));
    put(one, "axes", list(axes));
    put(captured, array.name, one + '}');
  }
  if (!captured.empty())
    put(object, "arrays", captured + '}');
  captured.clear();
  for (const CapturedScalar &scalar : scalars)
    put(captured, scalar.name, nameText(dtypeNames, scalar.dtype));
  if (!captured.empty())
    put(object, "scalars", captured + '}');
  if (softcap || runtimeSoftcap)
    put(object, "softcap", valueText(softcap, runtimeSoftcap));
  if (sink)
    put(object, "sink", "true");
  if (lengthsQ)
    put(object, "lengths_q", "true");
  if (lengthsKv)
    put(object, "lengths_kv", "true");
  put(object, "lse", lse ? "true" : "false");
  if (batchInvariant)
    put(object, "batch_invariant", "true");
  put(object, "schedule", scheduleText(schedule));
  return object + '}';
}

inline Result<Spec> Spec::fromJson(const std::string &json, const std::string &file) {
  char *text = nullptr;
  if (attune_status status = attune_spec_read(json.c_str(), file.c_str(), &text); status != ATTUNE_OK)
    return detail::lastError(status);
  detail::OwnedText canonical(text);
  return detail::readSpec(detail::Json::parse(text));
}

} // namespace v1
} // namespace attune

#endif // ATTUNE_SPEC_HPP
