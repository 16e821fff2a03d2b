//===- ForwardLaunch.cpp - what a launch of a forward kernel takes --------===//
#include "runtime/launch/ForwardLaunch.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include <fmt/format.h>

namespace attune {
namespace {

using reference::Problem;
using reference::Strides;

/// One array of a problem as the checks see it.
struct View {
  const char *name;
  const Strides *strides;
  int64_t batch, heads, rows, dim;
  bool isOutput;
};

/// The arrays of a problem: five with LSE, four without. No memory is taken: launches pass here.
struct Views {
  std::array<View, 5> views;
  size_t count;
  const View *begin() const { return views.data(); }
  const View *end() const { return views.data() + count; }
};

Views viewsOf(const AttentionSpec &spec, const Problem &p) {
  return {{{{"q", &p.q, p.batch, p.headsQ, p.lengthQ, spec.headDimQk, false},
            {"k", &p.k, p.batch, p.headsKv, p.lengthKv, spec.headDimQk, false},
            {"v", &p.v, p.batch, p.headsKv, p.lengthKv, spec.headDimV, false},
            {"o", &p.o, p.batch, p.headsQ, p.lengthQ, spec.headDimV, true},
            {"lse", &p.lse, p.batch, p.headsQ, p.lengthQ, 1, true}}},
          size_t(spec.lse ? 5 : 4)};
}

/// Elements from the first to the last; nothing if 64 bits cannot count their bytes.
std::optional<int64_t> spanOf(const View &view) {
  int64_t last = view.dim;
  for (auto [stride, extent] : {std::pair{view.strides->batch, view.batch},
                                {view.strides->head, view.heads},
                                {view.strides->row, view.rows}}) {
    int64_t reach;
    if (__builtin_mul_overflow(stride, extent - 1, &reach) || __builtin_add_overflow(last, reach, &last))
      return std::nullopt;
  }
  return last <= INT64_MAX / 4 ? std::optional<int64_t>(last) : std::nullopt;
}

/// Whether two (batch, head, row) of an output share an element. Exact for strides that nest, which all real
/// layouts do; others are taken to overlap.
bool overlaps(const View &view) {
  std::array<std::pair<int64_t, int64_t>, 3> axes = {
      {{view.strides->batch, view.batch}, {view.strides->head, view.heads}, {view.strides->row, view.rows}}};
  std::sort(axes.begin(), axes.end());
  int64_t span = view.dim;
  for (auto [stride, extent] : axes) {
    if (extent == 1)
      continue;
    if (stride < span)
      return true;
    span = stride * (extent - 1) + span;
  }
  return false;
}

void checkArray(const View &view, std::string &errors) {
  auto error = [&](const std::string &text) { errors += text + "\n"; };
  struct Named {
    const char *name;
    int64_t stride, extent;
  };
  bool isLse = view.dim == 1 && std::strcmp(view.name, "lse") == 0;
  for (const Named &axis :
       {Named{"batch", view.strides->batch, view.batch}, Named{"head", view.strides->head, view.heads},
        Named{"row", view.strides->row, view.rows}}) {
    if (axis.stride < 0)
      error(fmt::format("error: expected a {} stride of {} that is not negative, got {}", axis.name,
                        view.name, axis.stride));
    else if (!isLse && axis.extent > 1 && axis.stride % 8 != 0)
      error(
          fmt::format("error: expected a {} stride of {} that is a multiple of 8 elements (16 bytes), got {}",
                      axis.name, view.name, axis.stride));
  }
  // Kernels multiply a row number by the row's bytes in 32 x 32 -> 64 bits.
  constexpr int64_t maxRowStride = int64_t(1) << 30;
  if (!isLse && view.rows > 1 && view.strides->row >= maxRowStride)
    error(fmt::format("error: expected a row stride of {} below {} elements, got {}", view.name, maxRowStride,
                      view.strides->row));
  if (isLse && view.rows > 1 && view.strides->row != 1)
    error(fmt::format("error: expected adjacent rows of lse (row stride 1), got {}", view.strides->row));
  if (!spanOf(view))
    error(fmt::format("error: expected strides of {} whose bytes 64 bits count", view.name));
  else if (view.isOutput && overlaps(view))
    error(fmt::format(
        "error: expected strides of {} that keep its elements apart, got batch {}, head {}, row {}",
        view.name, view.strides->batch, view.strides->head, view.strides->row));
}

Status statusOf(std::string &errors) {
  if (errors.empty())
    return success();
  errors.pop_back(); // the last line's end
  return badInput(std::move(errors));
}

TensorParams tensorParams(DeviceAddress base, const Strides &strides) {
  return {base, strides.batch, strides.head, strides.row};
}

} // namespace

Status validateShape(const ProblemShape &shape) {
  std::string errors;
  auto within = [&](const char *name, int64_t value, int64_t most, const char *why) {
    if (value < 1 || value > most)
      errors += fmt::format("error: expected {} in 1..{}{}, got {}\n", name, most, why, value);
  };
  within("batch", shape.batch, maxGrid, " (the grid's z)");
  within("heads_q", shape.headsQ, maxGrid, " (the grid's y)");
  within("heads_kv", shape.headsKv, maxGrid, "");
  within("len_q", shape.lengthQ, maxLength, "");
  within("len_kv", shape.lengthKv, maxLength, "");
  if (shape.headsKv > 0 && shape.headsQ % shape.headsKv != 0)
    errors += fmt::format("error: expected heads_q to be a multiple of heads_kv, got {} and {}\n",
                          shape.headsQ, shape.headsKv);
  return statusOf(errors);
}

Status validateStrides(const AttentionSpec &spec, const Problem &problem) {
  std::string errors;
  for (const View &view : viewsOf(spec, problem))
    checkArray(view, errors);
  return statusOf(errors);
}

Status validateProblem(const AttentionSpec &spec, const Problem &problem) {
  Status shape = validateShape(shapeOf(problem));
  return shape ? validateStrides(spec, problem) : shape;
}

ProblemShape shapeOf(const Problem &problem) {
  return {problem.batch, problem.headsQ, problem.headsKv, problem.lengthQ, problem.lengthKv};
}

SpanLengths spanLengths(const AttentionSpec &spec, const Problem &problem) {
  SpanLengths lengths{};
  int64_t *fields[] = {&lengths.q, &lengths.k, &lengths.v, &lengths.o, &lengths.lse};
  size_t i = 0;
  for (const View &view : viewsOf(spec, problem))
    *fields[i++] = spanOf(view).value_or(0);
  return lengths;
}

Dim3 forwardGrid(const Schedule &schedule, const Problem &problem) {
  uint32_t blockQ = uint32_t(schedule.blockQ);
  return {(uint32_t(problem.lengthQ) + blockQ - 1) / blockQ, uint32_t(problem.headsQ),
          uint32_t(problem.batch)};
}

ForwardParams forwardParams(const Problem &problem, const ForwardAddresses &at) {
  ForwardParams params{};
  params.q = tensorParams(at.q, problem.q);
  params.k = tensorParams(at.k, problem.k);
  params.v = tensorParams(at.v, problem.v);
  params.o = tensorParams(at.o, problem.o);
  if (at.lse)
    params.lse = tensorParams(at.lse, problem.lse);
  params.lengthQ = problem.lengthQ;
  params.lengthKv = problem.lengthKv;
  params.headsPerKvHead = problem.headsQ / problem.headsKv;
  return params;
}

} // namespace attune
