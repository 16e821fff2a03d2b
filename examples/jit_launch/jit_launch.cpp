// Causal attention on this machine's GPU, or on the simulated one, checked against a plain computation.
#include <attune/attune.hpp>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

constexpr int length = 100, heads = 4, kvHeads = 2, dim = 64;

// bfloat16 is the upper half of a float.
float number(uint16_t bits) { return std::bit_cast<float>(uint32_t(bits) << 16); }

// The value, or the end of the program with the error's message.
template <typename T> T need(attune::Result<T> result) {
  if (result)
    return *result;
  std::fprintf(stderr, "%s: %s\n", nameOf(result.error().code), result.error().message.c_str());
  std::exit(1);
}

int main() {
  attune::Context context =
      need(attune::Context::open({.compiler = attune::compiler(), .simulator = attune::simulator()}));
  attune::Spec spec{.headDimQk = dim, .headDimV = dim, .mask = {attune::causal}};
  attune::Shape shape{.headsQ = heads, .headsKv = kvHeads, .lengthQ = length, .lengthKv = length};
  attune::Plan plan = need(context.plan(spec, shape)); // compiles, or takes the kernel from the cache
  std::printf("%s", plan.describe().c_str());

  std::vector<uint16_t> q(length * heads * dim), k(length * kvHeads * dim), v(k.size()), o(q.size());
  for (auto *array : {&q, &k, &v})
    for (uint16_t &element : *array)
      element = uint16_t(std::bit_cast<uint32_t>(float(std::rand()) / float(RAND_MAX) - 0.5f) >> 16);

  // A program with its own device memory passes that; here attune's comes handy.
  attune::Buffer deviceQ = need(context.allocate(2 * q.size(), "q")),
                 deviceK = need(context.allocate(2 * k.size())),
                 deviceV = need(context.allocate(2 * v.size())),
                 deviceO = need(context.allocate(2 * o.size()));
  need(context.copyIn(deviceQ.data(), q.data(), 2 * q.size()));
  need(context.copyIn(deviceK.data(), k.data(), 2 * k.size()));
  need(context.copyIn(deviceV.data(), v.data(), 2 * v.size()));
  attune::Stream stream = nullptr; // or a cudaStream_t of the program
  need(plan.launch(stream, plan.dense(deviceQ.data(), deviceK.data(), deviceV.data(), deviceO.data())));
  need(context.copyOut(o.data(), deviceO.data(), 2 * o.size()));
  need(context.synchronize());

  double worst = 0;
  for (int head = 0; head < heads; ++head)
    for (int row = 0; row < length; ++row) {
      std::vector<double> sum(dim);
      double weights = 0;
      for (int key = 0; key <= row; ++key) {
        size_t at = size_t(key * kvHeads + head / (heads / kvHeads)) * dim;
        double score = 0;
        for (int d = 0; d < dim; ++d)
          score += double(number(q[size_t(row * heads + head) * dim + d])) * number(k[at + d]);
        double weight = std::exp(score / std::sqrt(double(dim)));
        weights += weight;
        for (int d = 0; d < dim; ++d)
          sum[d] += weight * number(v[at + d]);
      }
      for (int d = 0; d < dim; ++d)
        worst =
            std::fmax(worst, std::fabs(sum[d] / weights - number(o[size_t(row * heads + head) * dim + d])));
    }
  std::printf("largest error %.5f: %s\n", worst, worst < 0.01 ? "right" : "wrong");
  return worst < 0.01 ? 0 : 1;
}
