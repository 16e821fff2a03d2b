//===- SimSupport.h - helpers of the simulator's tests -----------*- C++ -*-===//
#ifndef ATTUNE_TESTS_UNIT_SIMSUPPORT_H
#define ATTUNE_TESTS_UNIT_SIMSUPPORT_H

#include "simulator/Simulator.h"

#include <cstring>
#include <doctest/doctest.h>
#include <fstream>
#include <random>
#include <sstream>

namespace simtest {

using namespace attune;

inline std::string readFile(const std::string &path) {
  std::ifstream in(path);
  REQUIRE_MESSAGE(in, path);
  std::stringstream s;
  s << in.rdbuf();
  return s.str();
}

inline std::shared_ptr<const sim::Module> parse(const std::string &ptx,
                                                const std::string &name = "test.ptx") {
  auto m = sim::parseModule(ptx, name);
  if (!m)
    FAIL(m.error().message);
  return *m;
}

/// What is wrong with a file, or else why its first kernel is refused; empty: nothing.
inline std::string refusal(const std::string &ptx, const std::string &name = "t.ptx") {
  auto m = sim::parseModule(ptx, name);
  return !m ? m.error().message : (*m)->entries().empty() ? std::string() : (*m)->entries()[0].refusal;
}

/// A kernel of tests/sim/kernels.
inline std::shared_ptr<const sim::Module> kernels(const std::string &file) {
  return parse(readFile(std::string(ATTUNE_SIM_KERNELS) + "/" + file), file);
}

/// The PTX of one kernel: `params` and `body` between the usual lines.
inline std::string ptx(const std::string &params, const std::string &body,
                       const std::string &target = "sm_80") {
  return ".version 8.0\n.target " + target + "\n.address_size 64\n.visible .entry k(" + params + ")\n{\n" +
         body + "\n}\n";
}

/// Parameters one after the other, each aligned to its size.
struct Params {
  std::vector<std::byte> bytes;
  template <class T> Params &add(T value) {
    while (bytes.size() % sizeof(T))
      bytes.push_back(std::byte(0));
    size_t at = bytes.size();
    bytes.resize(at + sizeof(T));
    std::memcpy(bytes.data() + at, &value, sizeof(T));
    return *this;
  }
};

struct Device {
  sim::GlobalMemory memory;
  template <class T> uint64_t put(const std::vector<T> &data, const char *name = "buffer") {
    auto a = memory.allocate(data.size() * sizeof(T), name);
    REQUIRE(a);
    REQUIRE(memory.write(*a, data.data(), data.size() * sizeof(T)));
    return *a;
  }
  uint64_t make(size_t bytes, const char *name = "buffer") {
    auto a = memory.allocate(bytes, name);
    REQUIRE(a);
    return *a;
  }
  template <class T> std::vector<T> get(uint64_t address, size_t n) {
    std::vector<T> data(n);
    REQUIRE(memory.read(data.data(), address, n * sizeof(T)));
    return data;
  }
  sim::LaunchResult run(const sim::Module &m, sim::LaunchConfig config) {
    auto r = sim::launch(m, memory, config);
    if (!r)
      FAIL(r.error().message);
    return *r;
  }
};

inline std::string texts(const std::vector<sim::Finding> &findings) {
  std::string all;
  for (const auto &f : findings)
    all += f.text() + "\n";
  return all;
}

#define CHECK_CLEAN(result) CHECK_MESSAGE((result).findings.empty(), simtest::texts((result).findings))

inline uint16_t toBf16(float x) {
  uint32_t u;
  std::memcpy(&u, &x, 4);
  return uint16_t((u + 0x7FFF + (u >> 16 & 1)) >> 16);
}
inline float fromBf16(uint16_t h) {
  uint32_t u = uint32_t(h) << 16;
  float f;
  std::memcpy(&f, &u, 4);
  return f;
}

} // namespace simtest

#endif // ATTUNE_TESTS_UNIT_SIMSUPPORT_H
