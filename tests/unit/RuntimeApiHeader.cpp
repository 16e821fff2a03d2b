//===- RuntimeApiHeader.cpp - the public header alone ---------------------===//
//
// The public header as a program sees it: alone, with the names that its documentation uses.
//
//===----------------------------------------------------------------------===//
#include "runtime/include/attune/attune.hpp"

#include <doctest/doctest.h>

TEST_CASE("api: the header stands alone") {
  attune::ContextOptions options{.device = "sim", .cacheFolder = "", .simulator = attune::simulator()};
  attune::Result<attune::Context> context = attune::Context::open(options);
  REQUIRE(context);
  attune::Result<attune::Plan> plan =
      context->plan({.headDimQk = 64, .headDimV = 64, .mask = {attune::causal}},
                    {.headsQ = 32, .headsKv = 8, .lengthQ = 9, .lengthKv = 9});
  REQUIRE(!plan);
  CHECK(plan.error().code == attune::ErrorCode::NotCached);
#if defined(ATTUNE_INSIDE) || defined(FMT_VERSION) || defined(CUDA_VERSION) || defined(LLVM_VERSION_MAJOR)
  FAIL("the public header needs others");
#endif
}
