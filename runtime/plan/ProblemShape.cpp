//===- ProblemShape.cpp - the sizes of one problem ------------------------===//
#include "runtime/plan/ProblemShape.h"

#include "runtime/io/JsonObject.h"

#include <array>
#include <cmath>

#include <fmt/format.h>

namespace attune {

Status validateShape(const ProblemShape &shape) {
  std::string errors;
  auto within = [&](const char *name, int64_t value, int64_t least, int64_t most) {
    if (value < least || value > most)
      errors += fmt::format("error: expected {} in {}..{}, got {}\n", name, least, most, value);
  };
  within("batch", shape.batch, 0, maxCount);
  within("heads_q", shape.headsQ, 1, maxCount);
  within("heads_kv", shape.headsKv, 1, maxCount);
  within("len_q", shape.lengthQ, 0, maxLength);
  within("len_kv", shape.lengthKv, 0, maxLength);
  if (shape.headsKv > 0 && shape.headsQ % shape.headsKv != 0)
    errors += fmt::format("error: expected heads_q to be a multiple of heads_kv, got {} and {}\n",
                          shape.headsQ, shape.headsKv);
  if (errors.empty())
    return success();
  errors.pop_back(); // the last line's end
  return badInput(std::move(errors));
}

Status validateDense(const AttentionSpec &spec, const ProblemShape &shape) {
  if (Status valid = validateShape(shape); !valid)
    return valid;
  for (auto [heads, length, dim] : {std::array<int64_t, 3>{shape.headsQ, shape.lengthQ, spec.headDimQk},
                                    {shape.headsKv, shape.lengthKv, spec.headDimQk},
                                    {shape.headsKv, shape.lengthKv, spec.headDimV},
                                    {shape.headsQ, shape.lengthQ, spec.headDimV}}) {
    int64_t bytes = infoOf(spec.dtype).bytes();
    for (int64_t extent : {shape.batch, heads, length, dim})
      if (__builtin_mul_overflow(bytes, extent, &bytes))
        return badInput(fmt::format("error: expected arrays whose bytes 64 bits count, got {} x {} x {} x {}",
                                    shape.batch, heads, length, dim));
  }
  return success();
}

std::string toJson(const ProblemShape &shape) {
  return JsonObject()
      .whole("batch", shape.batch)
      .whole("heads_q", shape.headsQ)
      .whole("heads_kv", shape.headsKv)
      .whole("length_q", shape.lengthQ)
      .whole("length_kv", shape.lengthKv)
      .str();
}

Sizes sizesOf(const ProblemShape &shape) {
  Sizes sizes;
  sizes[Size::Batch] = shape.batch;
  sizes[Size::HeadsQ] = shape.headsQ;
  sizes[Size::HeadsKv] = shape.headsKv;
  sizes[Size::LengthQ] = shape.lengthQ;
  sizes[Size::LengthKv] = shape.lengthKv;
  return sizes;
}

double distance(const ProblemShape &a, const ProblemShape &b) {
  auto octaves = [](double x, double y) { return std::abs(std::log2(x / y)); };
  // Batch and heads make one number of independent problems.
  return octaves(double(a.batch) * double(a.headsQ), double(b.batch) * double(b.headsQ)) +
         octaves(double(a.headsQ) / double(a.headsKv), double(b.headsQ) / double(b.headsKv)) +
         octaves(double(a.lengthQ), double(b.lengthQ)) + octaves(double(a.lengthKv), double(b.lengthKv));
}

} // namespace attune
