//===- Matrix.cpp - which cases are run -----------------------------------===//
#include "tests/e2e/Matrix.h"

#include "runtime/reference/RandomArray.h"

#include <algorithm>
#include <set>

namespace attune::e2e {
namespace {

using reference::RandomBits;

MaskTerm causal(MaskAlign align) { return {{}, 0, align}; }
MaskTerm window(int64_t left, int64_t right, MaskAlign align) { return {left, right, align}; }

/// How scores are made and what is written beside O; a kernel has one of these.
struct Variant {
  std::optional<double> scale, softcap;
  bool lse;
};
const Variant variants[] = {
    {{}, {}, true}, {{}, {}, false}, {0.3, {}, true}, {{}, 20.0, true}, {-0.05, {}, true}, {0.2, 1.5, false},
};

Schedule request(int blockQ, int blockKv, int stages, int warps) {
  return {"", {{"block_q", blockQ}, {"block_kv", blockKv}, {"stages", stages}, {"warps", warps}}};
}

/// Schedules that are asked for by hand, small enough for every architecture; {} is the default.
const Schedule schedules[] = {
    {},
    {},
    request(64, 32, 1, 4),
    {},
    request(128, 64, 2, 4),
    request(16, 16, 2, 1),
    {},
    request(128, 32, 3, 8),
};

/// Scores of a shape: its time is in proportion.
int64_t work(const Shape &shape) {
  return int64_t(shape.batch) * shape.headsQ * shape.lengthQ * shape.lengthKv;
}

/// Gives a shape heads and batches, as many as keep its work within `most`.
void widen(Shape &shape, std::pair<int, int> heads, int batch, int64_t most) {
  shape.headsQ = heads.first;
  shape.headsKv = heads.second;
  shape.batch = batch;
  if (work(shape) > most)
    shape.batch = 1;
  if (work(shape) > most && shape.headsKv > 1) {
    shape.headsQ /= shape.headsKv;
    shape.headsKv = 1;
  }
  if (work(shape) > most)
    shape.headsQ = shape.headsKv = 1;
}

Placement placementOf(uint64_t number) {
  constexpr Placement order[] = {Placement::BSHD, Placement::BHSD, Placement::Padded};
  return order[number % 3];
}

/// Cases beyond the product: far offsets, NaNs that no row or only some rows see, sharp softmax, scores up to
/// the largest, infinities.
void addSpecialCases(std::vector<Case> &cases) {
  for (DType dtype : axes().dtypes) {
    Kernel kernel;
    kernel.spec.dtype = dtype;
    kernel.spec.headDimQk = kernel.spec.headDimV = 64;
    kernel.spec.lse = true;
    kernel.spec.mask = {causal(MaskAlign::BottomRight)};
    Case far{kernel, {}};
    for (Placement placement : {Placement::FarBatch, Placement::FarHead, Placement::FarRow})
      far.shapes.push_back({2, 2, 2, 33, 70, placement, 11});
    Shape empty{1, 2, 1, 60, 25, Placement::BSHD, 13};
    empty.nanValues = true;
    far.shapes.push_back(empty);
    far.shapes.push_back({1, 2, 1, 60, 60, Placement::BSHD, 14, 1, 1, /*nanValues=*/true});
    cases.push_back(far);

    // Tiles that are seen in part, of every width of the swizzle, from both sides.
    for (auto [dims, arch] : {std::pair(80, "sm_80"), {96, "sm_90"}, {16, "sm_120"}, {256, "sm_89"}}) {
      Kernel hidden = kernel;
      hidden.arch = arch;
      hidden.spec.headDimQk = 64;
      hidden.spec.headDimV = dims;
      hidden.spec.mask = {window(20, 3, MaskAlign::BottomRight)};
      hidden.spec.schedule = request(32, 48, 1, 2);
      cases.push_back({hidden, {{1, 1, 1, 70, 90, Placement::BSHD, 15, 1, 1, /*nanValues=*/true}}});
    }

    // The family of the newest instructions, as it is by default.
    Kernel newest = kernel;
    newest.arch = "sm_90";
    cases.push_back({newest, {{1, 1, 1, 70, 90, Placement::BSHD, 15, 1, 1, /*nanValues=*/true}}});

    kernel.spec.mask.clear();
    kernel.arch = dtype == DType::F16 ? "sm_90" : "sm_86";
    Case sharp{kernel, {}};
    for (double deviation : {0.01, 4.0, 12.0})
      sharp.shapes.push_back({1, 2, 1, 100, 333, Placement::BSHD, 12, deviation});
    for (double deviation : dtype == DType::F16 ? std::initializer_list<double>{300, 1e4}
                                                : std::initializer_list<double>{300, 1e5, 1e10, 1e18})
      sharp.shapes.push_back({1, 2, 1, 100, 333, Placement::BSHD, 16, deviation});
    sharp.shapes.push_back({1, 1, 1, 64, 256, Placement::BSHD, 17, 1, 1, false, /*infiniteKeys=*/true});
    // A sum of such values overflows, their mean does not.
    if (dtype == DType::BF16)
      sharp.shapes.push_back({1, 2, 1, 50, 333, Placement::BSHD, 19, 1, /*deviationV=*/5e37});
    cases.push_back(sharp);
    // Sinks that are one of many terms, that leave nothing to the keys, and that are not there; with rows
    // that see no key. They meet scores that are scaled in the exponential, and before.
    for (const char *arch : {"sm_80", "sm_90"}) {
      Kernel sinks = kernel;
      sinks.arch = arch;
      sinks.spec.sink = true;
      sinks.spec.mask = {causal(MaskAlign::BottomRight)};
      if (dtype == DType::F16)
        sinks.spec.softcap = 20;
      Case one{sinks, {}};
      for (double deviation : {3.0, 100.0, 0.0}) {
        Shape shape{2, 4, 2, 70, 50, Placement::Padded, 23};
        shape.deviationSink = deviation;
        one.shapes.push_back(shape);
      }
      one.shapes.push_back({1, 2, 1, 50, 60, Placement::BSHD, 24, 1, 1, /*nanValues=*/true});
      // Nothing to attend to, and nothing to compute.
      one.shapes.push_back({1, 2, 1, 70, 0, Placement::BSHD, 27});
      one.shapes.push_back({1, 2, 1, 0, 70, Placement::BSHD, 28});
      cases.push_back(one);
    }
    // Each batch entry has its own lengths, of one axis and of both; what lies beyond them is NaN and
    // infinite too.
    for (const char *arch : {"sm_80", "sm_90"}) {
      bool both = (dtype == DType::F16) == (arch[3] == '8');
      Kernel lengths = kernel;
      lengths.arch = arch;
      lengths.spec.lengthsKv = true;
      lengths.spec.lengthsQ = both;
      lengths.spec.mask = {both ? window(40, 3, MaskAlign::BottomRight) : causal(MaskAlign::BottomRight)};
      Case one{lengths, {{7, 2, 1, 80, 150, Placement::Padded, 31}, {7, 1, 1, 1, 200, Placement::BSHD, 32}}};
      one.shapes.push_back({3, 1, 1, 70, 66, Placement::BSHD, 33, 1, 1, /*nanValues=*/true});
      one.shapes.back().multiprocessors = 1;
      cases.push_back(one);
    }
    // One kernel for every window; a bound that is fixed may be the tighter one.
    for (const char *arch : {"sm_80", "sm_90"}) {
      Kernel windows = kernel;
      windows.arch = arch;
      windows.spec.mask = {{70, 30, MaskAlign::BottomRight, true, true}, {90, {}, MaskAlign::TopLeft}};
      cases.push_back(
          {windows, {{1, 2, 1, 150, 270, Placement::BSHD, 25}, {1, 1, 1, 64, 40, Placement::BSHD, 26}}});
    }
    for (double scale : {1e4, 1e-320}) {
      Case scaled{kernel, {}};
      scaled.kernel.spec.scale = scale;
      scaled.shapes.push_back({1, 1, 1, 33, 70, Placement::BSHD, 18, dtype == DType::F16 ? 1e4 : 1e15});
      cases.push_back(scaled);
    }
  }
}

} // namespace

const Axes &axes() {
  constexpr MaskAlign tl = MaskAlign::TopLeft, br = MaskAlign::BottomRight;
  static const Axes all = {
      {DType::BF16, DType::F16},
      {{32, 32},
       {64, 64},
       {80, 80},
       {96, 96},
       {128, 128},
       {192, 192},
       {256, 256},
       {8, 8},
       {40, 40},
       {72, 72},
       {192, 128},
       {64, 128},
       {128, 64}},
      {{},
       {causal(tl)},
       {causal(br)},
       {window(17, 5, tl)},
       {window(70, 30, br)},
       {window(100, 0, br)},
       {causal(br), window(64, 64, tl)},
       {{{}, 9, tl}, {20, {}, br}}},
      {"sm_80", "sm_86", "sm_89", "sm_90", "sm_120"},
      {1, 2, 15, 17, 63, 64, 65, 127, 250, 1000},
      {{1, 1}, {2, 2}, {4, 1}, {7, 1}, {8, 2}},
  };
  return all;
}

std::vector<Case> quickMatrix() {
  const Axes &a = axes();
  std::vector<Case> cases;
  // Four kernels for each head dim, walking the other axes at strides that are prime to one another's sizes.
  size_t number = 0;
  for (size_t round = 0; round < 4; ++round)
    for (size_t d = 0; d < a.dims.size(); ++d, ++number) {
      Kernel kernel;
      kernel.spec.headDimQk = a.dims[d].first;
      kernel.spec.headDimV = a.dims[d].second;
      kernel.spec.dtype = a.dtypes[(d + round) % 2];
      kernel.spec.mask = a.masks[(number + round) % a.masks.size()];
      const Variant &variant = variants[(d * 5 + d / 6 + round * 2) % std::size(variants)];
      kernel.spec.scale = variant.scale;
      kernel.spec.softcap = variant.softcap;
      kernel.spec.lse = variant.lse;
      kernel.arch = a.archs[(number / a.masks.size() + number) % a.archs.size()];
      bool large = a.dims[d].first > 128; // what is asked for by hand need not fit there
      if (!large)
        kernel.spec.schedule = schedules[(d + round * 3) % std::size(schedules)];
      cases.push_back({kernel, {}});
    }
  // Every pair of lengths goes to one of the kernels; long ones with few heads.
  number = 0;
  for (size_t i = 0; i < a.lengths.size(); ++i)
    for (size_t j = 0; j < a.lengths.size(); ++j, ++number) {
      Shape shape;
      shape.lengthQ = a.lengths[i];
      shape.lengthKv = a.lengths[j];
      shape.placement = placementOf(i + j);
      shape.seed = number + 1;
      widen(shape, a.heads[(number + i) % a.heads.size()], 1 + number % 2, 70000);
      cases[number * 7 % cases.size()].shapes.push_back(shape);
    }
  addSpecialCases(cases);
  return cases;
}

std::vector<Case> fullMatrix() {
  const Axes &a = axes();
  std::vector<Case> cases;
  RandomBits random(3, 0);
  size_t number = 0;
  for (DType dtype : a.dtypes)
    for (auto [dimQk, dimV] : a.dims)
      for (const std::vector<MaskTerm> &mask : a.masks) {
        Kernel kernel;
        kernel.spec.dtype = dtype;
        kernel.spec.headDimQk = dimQk;
        kernel.spec.headDimV = dimV;
        kernel.spec.mask = mask;
        const Variant &variant = variants[number % std::size(variants)];
        kernel.spec.scale = variant.scale;
        kernel.spec.softcap = variant.softcap;
        kernel.spec.lse = variant.lse;
        kernel.arch = a.archs[number % a.archs.size()];
        if (dimQk <= 128)
          kernel.spec.schedule = schedules[number % std::size(schedules)];
        Case one{kernel, {}};
        // Each length once for Q and once for K and V, in an order of its own, and the square ones.
        std::vector<int> lengthsKv = a.lengths;
        for (size_t i = lengthsKv.size(); i > 1; --i)
          std::swap(lengthsKv[i - 1], lengthsKv[random.below(i)]);
        for (size_t i = 0; i < 2 * a.lengths.size(); ++i) {
          Shape shape;
          shape.lengthQ = a.lengths[i % a.lengths.size()];
          shape.lengthKv = i < a.lengths.size() ? lengthsKv[i] : shape.lengthQ;
          shape.placement = placementOf(random.next());
          shape.seed = number * 100 + i;
          widen(shape, a.heads[random.below(a.heads.size())], 1 + int(random.below(2)), 300000);
          one.shapes.push_back(shape);
        }
        cases.push_back(one);
        ++number;
      }
  addSpecialCases(cases);
  return cases;
}

std::vector<Case> randomMatrix(int count, uint64_t seed) {
  std::vector<Case> cases;
  RandomBits random(seed, 1);
  auto oneOf = [&](const auto &choices) { return choices[random.below(std::size(choices))]; };
  auto headDim = [&] { return 8 * (1 + int(random.below(random.below(3) ? 16 : 32))); };
  for (int i = 0; i < count; ++i) {
    Kernel kernel;
    AttentionSpec &spec = kernel.spec;
    spec.dtype = oneOf(axes().dtypes);
    spec.headDimQk = headDim();
    spec.headDimV = random.below(2) ? spec.headDimQk : headDim();
    for (uint64_t terms = random.below(4); terms > 0; --terms) {
      constexpr uint64_t reaches[] = {1, 4, 40, 300};
      MaskTerm term;
      if (random.below(2))
        term.left = int64_t(random.below(oneOf(reaches)));
      if (!term.left || random.below(2))
        term.right = int64_t(random.below(oneOf(reaches)));
      term.align = random.below(2) ? MaskAlign::BottomRight : MaskAlign::TopLeft;
      spec.mask.push_back(term);
    }
    const Variant &variant = oneOf(variants);
    spec.scale = variant.scale;
    spec.softcap = variant.softcap;
    spec.lse = variant.lse;
    kernel.arch = oneOf(axes().archs);
    if (random.below(3) == 0 && std::max(spec.headDimQk, spec.headDimV) <= 64) {
      constexpr int factors[] = {1, 1, 2}, warps[] = {1, 2, 4, 8}, blocks[] = {16, 32, 48, 64};
      int chosen = oneOf(warps);
      spec.schedule = request(16 * chosen * oneOf(factors), oneOf(blocks), 1 + int(random.below(4)), chosen);
    }
    Case one{kernel, {}};
    for (int shapes = 0; shapes < 4; ++shapes) {
      Shape shape;
      shape.lengthQ = 1 + int(random.below(random.below(2) ? 40 : 300));
      shape.lengthKv = 1 + int(random.below(random.below(2) ? 40 : 600));
      shape.placement = placementOf(random.next());
      shape.seed = random.next() % 1000000;
      shape.deviation = random.below(4) ? 1 : 6;
      widen(shape, oneOf(axes().heads), 1 + int(random.below(2)), 100000);
      one.shapes.push_back(shape);
    }
    cases.push_back(one);
  }
  return cases;
}

} // namespace attune::e2e
