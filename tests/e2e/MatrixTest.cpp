//===- MatrixTest.cpp - the matrix covers what it says --------------------===//
#include "tests/e2e/Matrix.h"

#include <set>
#include <tuple>

#include <doctest/doctest.h>

using namespace attune;
using namespace attune::e2e;

TEST_CASE("a case's text parses back to the same case") {
  for (const std::vector<Case> &matrix : {quickMatrix(), fullMatrix()})
    for (const Case &one : matrix)
      for (const Shape &shape : one.shapes) {
        std::string text = kernelText(one.kernel) + " " + shapeText(shape);
        auto parsed = parseCase(text);
        REQUIRE(bool(parsed));
        CHECK(kernelText(parsed->first.kernel) + " " + shapeText(parsed->first.shapes[0]) == text);
      }
  CHECK(parseCase("target=cuda mode=lazy")->second.target == "cuda");
  CHECK(parseCase("dims=64").error().message.find("got 'dims=64'") != std::string::npos);
  CHECK(!parseCase("colour=red"));
  CHECK(!parseCase("heads=3/2"));
}

TEST_CASE("the quick matrix holds every value and every pair that it promises") {
  const Axes &a = axes();
  std::set<std::pair<size_t, DType>> dims, masks;
  std::set<std::pair<size_t, std::string>> maskArchs;
  std::set<std::pair<int, int>> lengths;
  std::set<std::pair<int, int>> ratios;
  std::set<Placement> placements;
  int caps = 0, scales = 0, lses = 0, schedules = 0;
  for (const Case &one : quickMatrix()) {
    const AttentionSpec &spec = one.kernel.spec;
    CHECK(!one.shapes.empty());
    for (size_t d = 0; d < a.dims.size(); ++d)
      if (a.dims[d] == std::pair{spec.headDimQk, spec.headDimV})
        dims.insert({d, spec.dtype});
    for (size_t m = 0; m < a.masks.size(); ++m) {
      Kernel other = one.kernel;
      other.spec.mask = a.masks[m];
      if (kernelText(other) == kernelText(one.kernel)) {
        masks.insert({m, spec.dtype});
        maskArchs.insert({m, one.kernel.arch});
      }
    }
    caps += spec.softcap.has_value();
    scales += spec.scale.has_value();
    lses += spec.lse;
    schedules += !spec.schedule.empty();
    for (const Shape &shape : one.shapes) {
      lengths.insert({shape.lengthQ, shape.lengthKv});
      ratios.insert({shape.headsQ / shape.headsKv, shape.headsKv});
      placements.insert(shape.placement);
    }
  }
  CHECK(dims.size() == a.dims.size() * 2);
  CHECK(masks.size() == a.masks.size() * 2);
  CHECK(maskArchs.size() >= a.masks.size() * 4);
  for (int q : a.lengths)
    for (int kv : a.lengths)
      CHECK(lengths.contains({q, kv}));
  for (int ratio : {1, 4, 7})
    CHECK(ratios.contains({ratio, 1}));
  CHECK(placements.size() == 6);
  CHECK((caps >= 8 && scales >= 8 && lses >= 16 && schedules >= 8));
}

TEST_CASE("placed arrays do not overlap, and far ones reach beyond 2^31 elements") {
  AttentionSpec spec;
  for (Placement placement : {Placement::BSHD, Placement::BHSD, Placement::Padded, Placement::FarBatch,
                              Placement::FarHead, Placement::FarRow}) {
    Shape shape{2, 4, 2, 5, 3, placement, 1};
    reference::Problem problem = placedProblem(spec, shape);
    for (auto [strides, heads, length] :
         {std::tuple{problem.q, 4, 5}, {problem.k, 2, 3}, {problem.v, 2, 3}, {problem.o, 4, 5}}) {
      std::set<int64_t> starts;
      for (int b = 0; b < 2; ++b)
        for (int h = 0; h < heads; ++h)
          for (int r = 0; r < length; ++r) {
            int64_t start = strides.at(b, h, r);
            CHECK(start % 8 == 0);
            auto next = starts.lower_bound(start);
            CHECK((next == starts.end() || *next - start >= 128));
            CHECK((next == starts.begin() || start - *std::prev(next) >= 128));
            starts.insert(start);
          }
      bool isFar = placement >= Placement::FarBatch;
      CHECK((*starts.rbegin() > int64_t(1) << 31) == isFar);
    }
  }
}
