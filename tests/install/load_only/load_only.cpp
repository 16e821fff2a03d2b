//===- load_only.cpp - launches what is in the cache ----------------------===//
//
// Launches the kernel of a spec if it is in the cache: load_only CACHE SPEC_JSON DRIVER, on a GPU through
// this driver library, or with WITH_SIMULATOR on the simulated one, where what comes out is checked.
//
//===----------------------------------------------------------------------===//
#include <attune/attune.hpp>

#include <cstdint>
#include <cstdio>
#include <vector>

static int fail(const attune::Error &error) {
  std::printf("%s: %s\n", attune::nameOf(error.code), error.message.c_str());
  return 1;
}

int main(int argc, char **argv) {
  if (argc != 4)
    return 2;
  auto spec = attune::Spec::fromJson(argv[2]);
  if (!spec)
    return fail(spec.error());
  attune::ContextOptions options{
      .device = "cuda", .arch = "sm_80", .cacheFolder = argv[1], .cudaDriver = argv[3]};
#ifdef WITH_SIMULATOR
  options.device = "sim";
  options.simulator = attune::simulator();
#endif
  auto context = attune::Context::open(options);
  if (!context)
    return fail(context.error());
  auto plan = context->plan(*spec, {.lengthQ = 17, .lengthKv = 17});
  if (!plan)
    return fail(plan.error());
  // Each row of O is a mean of rows of V: ones give ones.
  std::vector<std::uint16_t> ones(17 * std::size_t(spec->headDimQk), 0x3F80),
      o(17 * std::size_t(spec->headDimV));
  auto in = context->allocate(2 * ones.size()), out = context->allocate(2 * o.size());
  if (!in || !out)
    return 1;
  if (auto done = context->copyIn(in->data(), ones.data(), 2 * ones.size()); !done)
    return fail(done.error());
  if (auto done = plan->launch(nullptr, plan->dense(in->data(), in->data(), in->data(), out->data())); !done)
    return fail(done.error());
  if (auto done = context->copyOut(o.data(), out->data(), 2 * o.size()); !done)
    return fail(done.error());
  std::printf("%slaunched\n", plan->describe().c_str());
#ifdef WITH_SIMULATOR
  for (std::uint16_t element : o)
    if (element != 0x3F80)
      return std::printf("expected ones, got 0x%04x\n", element), 1;
#endif
  return 0;
}
