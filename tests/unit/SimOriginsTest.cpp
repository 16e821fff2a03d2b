//===- SimOriginsTest.cpp - pointers that leave the static variable that they come from -------===//
#include "SimFaultSupport.h"

using namespace attune;
using namespace simtest;

namespace {

/// Two arrays of a word a lane, side by side. %r6 and %r7 are their addresses, %r8 and %r9 those of the
/// lane's own words.
Bodies neighbours() {
  Bodies bodies{std::string(prologue) +
                ".shared .align 16 .b8 a[128]; .shared .align 16 .b8 b[128];\n"
                "mov.u32 %r6, a; mov.u32 %r7, b; add.u32 %r8, %r6, %r2; add.u32 %r9, %r7, %r2;\n"
                "st.shared.u32 [%r8], %r0; st.shared.u32 [%r9], %r0; bar.sync 0;\n"};
  bodies.threads = 32;
  return bodies;
}

} // namespace

TEST_CASE(
    "an access beyond the static variable that its address is computed from is reported, though another "
    "one lies there") {
  const Bodies bodies = neighbours();
  auto beyond = [&](const std::string &body,
                    const char *own = "computed from that of a, which has 128 bytes") {
    bodies.expectFault(body, Kind::OutOfBounds, {own});
  };
  beyond("ld.shared.u32 %r10, [%r8+4];");
  beyond("st.shared.u32 [%r8+4], %r0;");
  beyond("ld.shared.u32 %r10, [a+128];");
  beyond("ld.shared.u32 %r10, [%r9+-4];", "computed from that of b");
  beyond("ld.shared.v2.u32 {%r10, %r11}, [a+128];");
  beyond("mad.lo.u32 %r10, %r0, 4, %r6; ld.shared.u32 %r11, [%r10+4];");
  beyond("sub.u32 %r10, %r8, 4; ld.shared.u32 %r11, [%r10+8];");
  // As a generic address.
  beyond("cvt.u64.u32 %q5, %r8; cvta.shared.u64 %q5, %q5; ld.u32 %r10, [%q5+4];");
  // A pointer that goes on.
  beyond("mov.u32 %r10, %r8; mov.u32 %r11, 0;\n"
         "L: ld.shared.u32 %r12, [%r10]; add.u32 %r10, %r10, 4; add.u32 %r11, %r11, 1; setp.lt.u32 %p0, "
         "%r11, 2; "
         "@%p0 bra L;");
  // An index out of memory is a number.
  beyond("ld.shared.u32 %r10, [%r9]; mad.lo.u32 %r12, %r10, 4, %r6; ld.shared.u32 %r11, [%r12+4];");
  beyond("red.shared.add.u32 [%r8+4], 1;");
  beyond("cp.async.ca.shared.global [%r8+4], [%q0], 4; cp.async.wait_all;");
  beyond("add.u32 %r10, %r6, %r4; ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r11}, [%r10+16];");
}

TEST_CASE("addresses of several variables, and those made otherwise than by a sum, may lie anywhere") {
  const Bodies bodies = neighbours();
  bodies.expectClean("ld.shared.u32 %r10, [%r8]; st.global.u32 [%q4], %r10;");
  bodies.expectClean("ld.shared.v4.u32 {%r10, %r11, %r12, %r13}, [a+112]; st.global.u32 [%q4], %r13;");
  bodies.expectClean("add.u32 %r10, %r6, %r4; ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r11}, [%r10];");
  bodies.expectClean("setp.lt.u32 %p0, %r0, 7; selp.b32 %r10, %r8, %r9, %p0; ld.shared.u32 %r11, [%r10]; "
                     "st.global.u32 [%q4], %r11;");
  bodies.expectClean(
      "mov.u32 %r10, %r8; setp.lt.u32 %p0, %r0, 7; @%p0 mov.u32 %r10, %r9; ld.shared.u32 %r11, "
      "[%r10]; st.global.u32 [%q4], %r11;");
  bodies.expectClean("sub.u32 %r10, %r7, %r6; add.u32 %r10, %r8, %r10; ld.shared.u32 %r11, [%r10];");
  bodies.expectClean("xor.b32 %r10, %r8, 4; ld.shared.u32 %r11, [%r10]; st.global.u32 [%q4], %r11;");
  bodies.expectClean("add.u32 %r10, %r8, 256; sub.u32 %r10, %r10, 256; ld.shared.u32 %r11, [%r10];");
}
