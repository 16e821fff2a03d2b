//===- RuntimeApiSupport.h - what tests of the interface share --*- C++ -*-===//
//
// What the tests of the public interface share: a context on the simulated GPU or on a made-up driver, with a
// made-up compiler whose kernel copies Q to O.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_TESTS_UNIT_RUNTIMEAPISUPPORT_H
#define ATTUNE_TESTS_UNIT_RUNTIMEAPISUPPORT_H

#include "runtime/api/States.h"
#include "runtime/include/attune/attune.hpp"

#include "compiler/spec/SpecReader.h"
#include "runtime/io/File.h"
#include "runtime/jit/ProgramBuild.h"
#include "tests/unit/RuntimeFakeCompiler.h"
#include "tests/unit/RuntimeFakeCuda.h"

#include <dlfcn.h>
#include <doctest/doctest.h>

namespace attune::test {

/// What the library reads of a public spec.
inline AttentionSpec toInside(const v1::Spec &spec) { return *readSpec(spec.toJson(), "spec"); }

inline bool has(const std::string &text, const std::string &part) {
  return text.find(part) != std::string::npos;
}

struct Setup {
  TempDir temporary = std::move(*TempDir::make());
  JitMaker maker{Toolchain()}; ///< with no tools
  v1::Compiler compiler{maker, {}};
  v1::ContextOptions options;
  v1::Spec spec;
  v1::Shape shape{.batch = 2, .headsQ = 4, .headsKv = 2, .lengthQ = 65, .lengthKv = 33};

  Setup() {
    options.device = "sim";
    options.cacheFolder = temporary.path() + "/cache";
    options.compiler = &compiler;
    options.simulator = v1::simulator();
    options.cudaDriver = ATTUNE_FAKE_CUDA;
    spec.headDimQk = spec.headDimV = 16;
    fakeCompiler.compilations = 0;
    fakeCompiler.milliseconds = 0;
    fakeCompiler.faulty = false;
  }
  v1::Context open() const {
    v1::Result<v1::Context> context = v1::Context::open(options);
    REQUIRE_MESSAGE(context, (context ? "" : context.error().message));
    return *context;
  }
  v1::Plan plan(const v1::Context &context) const {
    v1::Result<v1::Plan> plan = context.plan(spec, shape);
    REQUIRE_MESSAGE(plan, (plan ? "" : plan.error().message));
    return *plan;
  }
};

inline FakeCuda &fake() {
  static void *library = ::dlopen(ATTUNE_FAKE_CUDA, RTLD_NOW | RTLD_LOCAL);
  REQUIRE(library);
  FakeCuda &state = *reinterpret_cast<FakeCudaFunction>(::dlsym(library, "fakeCuda"))();
  state.reset();
  return state;
}

/// Addresses that a made-up GPU never reads.
inline void *at(uintptr_t address) { return reinterpret_cast<void *>(address); }
inline v1::Arguments someArguments(const v1::Plan &plan, bool lse = false) {
  return plan.dense(at(0x1000), at(0x2000), at(0x3000), at(0x4000), lse ? at(0x5000) : nullptr);
}

} // namespace attune::test

#endif // ATTUNE_TESTS_UNIT_RUNTIMEAPISUPPORT_H
