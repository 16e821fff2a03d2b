//===- ProgramTest.cpp - programs, arguments and size expressions ---------===//
#include "compiler/program/Program.h"

#include <doctest/doctest.h>

using namespace attune;

static int64_t at(const SizeExpr &expression) {
  Sizes sizes;
  sizes[Size::Batch] = 2;
  sizes[Size::HeadsQ] = 8;
  sizes[Size::HeadsKv] = 4;
  sizes[Size::LengthQ] = 1000;
  sizes[Size::LengthKv] = 300;
  sizes[Size::SmCount] = 132;
  return expression.evaluate(sizes).value_or(-1);
}

TEST_CASE("expressions over sizes print, parse and evaluate") {
  for (auto [text, value] : {std::pair("batch", 2),
                             {"ceil_div(len_q, 128)", 8},
                             {"len_q / 128", 7},
                             {"heads_q / heads_kv", 2},
                             {"2 * (batch + 3)", 10},
                             {"10 - (3 - 2)", 9},
                             {"10 - 3 - 2", 5},
                             {"min(len_q, len_kv) * 4", 1200},
                             {"max(1, ceil_div(sm_count, batch * heads_q))", 9},
                             {"-4 + batch", -2}}) {
    CAPTURE(text);
    Result<SizeExpr> read = SizeExpr::parse(text);
    REQUIRE(bool(read));
    CHECK(at(*read) == value);
    CHECK(read->text() == text);
    CHECK(*SizeExpr::parse(read->text()) == *read);
  }
}

TEST_CASE("expressions that mean nothing are refused, and what 64 bits do not hold is no value") {
  for (const char *text : {"", "len", "1 +", "(batch", "ceil_div(batch)", "batch batch", "4x", "1 + * 2",
                           "99999999999999999999", "min(1, 2", "\x01"}) {
    CAPTURE(text);
    CHECK(!SizeExpr::parse(text));
  }
  CHECK(!SizeExpr::parse(std::string(100000, '(')));
  // 1 - (1 - (1 - ... : each waits for the next.
  std::string deep;
  for (int i = 0; i < 40; ++i)
    deep += "1 - (";
  CHECK(!SizeExpr::parse(deep + "1" + std::string(40, ')')));
  CHECK(at(SizeExpr(1) / 0) == -1);
  CHECK(!(SizeExpr(INT64_MAX) + 1).evaluate({}));
  CHECK(!(SizeExpr(INT64_MAX) * Size::Batch * 2).evaluate(Sizes{{3}}));
}

TEST_CASE("arguments print and parse") {
  for (const char *text :
       {"q: array<batch x heads_q x len_q x 128 x bf16>", "lse: array<batch x heads_q x len_q x f32> output",
        "sinks: array<heads_q x f32> optional", "length_q: i32 = len_q", "left: i32 in -5..1073741823",
        "group: i32 = heads_q / heads_kv", "scale: f32",
        "rows: array<(batch * len_q) x 64 x f16> output optional align 16",
        "sums: workspace<f32, batch * heads_q * 4> zero", "turns: workspace<i32, 4>",
        "k_map: tensor_map<k, 64 x 128, swizzle 128>"}) {
    CAPTURE(text);
    Result<Argument> read = Argument::parse(text);
    REQUIRE(bool(read));
    CHECK(read->text() == text);
  }
  for (const char *text : {"",
                           "q",
                           "q:",
                           ": i32",
                           "q: array<>",
                           "q: array<bf16>",
                           "q: array<len x bf16>",
                           "q: array<batch x bf17>",
                           "q: array<batch x bf16> outputs",
                           "q: array<batch x bf16> align 3",
                           "q: array<batch x bf16> align",
                           "n: i64",
                           "n: f32 = len_q",
                           "n: i32 =",
                           "n: i32 in 1",
                           "n: i32 in 2..1",
                           "n: f32 in 0..1",
                           "n: i32 in 0..1 = len_q",
                           "n: i32 = len_q in 0..1",
                           "w: workspace<f32>",
                           "m: tensor_map<k, 64, swizzle 33>",
                           "m: tensor_map<k, swizzle 32>",
                           "1: i32"}) {
    CAPTURE(text);
    CHECK(!Argument::parse(text));
  }
}

TEST_CASE("a parameter block is a C struct") {
  std::vector<Argument> arguments;
  for (const char *text :
       {"q: array<batch x heads_q x len_q x 128 x bf16>", "length_q: i32 = len_q", "scale: f32",
        "n: i32 = len_q", "sinks: array<heads_q x f32>", "k_map: tensor_map<k, 64, swizzle 128>", "m: i32"})
    arguments.push_back(*Argument::parse(text));
  struct alignas(64) Map {
    char bytes[128];
  };
  struct Block {
    uint64_t q;
    int64_t strides[3];
    int32_t lengthQ;
    float scale;
    int32_t n;
    uint64_t sinks;
    Map map;
    int32_t m;
  };
  using What = ParameterField::What;
  ParameterBlock block(arguments);
  CHECK(block.bytes == sizeof(Block));
  CHECK(block.alignment == alignof(Block));
  CHECK(block.field(0, What::Base).offset == offsetof(Block, q));
  CHECK(block.field(0, What::Stride, 2).offset == offsetof(Block, strides) + 16);
  CHECK(block.field(2, What::Value).offset == offsetof(Block, scale));
  CHECK(block.field(4, What::Base).offset == offsetof(Block, sinks));
  CHECK(block.field(5, What::Map).offset == offsetof(Block, map));
  CHECK(block.field(6, What::Value).offset == offsetof(Block, m));
}

TEST_CASE("the parts of a workspace: shared by name, zeroed ones first") {
  Program program;
  program.kernels.resize(2);
  program.kernels[0].arguments = {*Argument::parse("partial: workspace<f32, batch * len_q * 4>"),
                                  *Argument::parse("turns: workspace<i32, 4> zero")};
  program.kernels[1].arguments = {*Argument::parse("partial: workspace<f32, batch * len_q * 4>")};
  std::vector<WorkspacePart> parts = program.workspace();
  REQUIRE(parts.size() == 2);
  CHECK(parts[0].name == "turns");
  CHECK(at(parts[0].offset) == 0);
  CHECK(at(parts[1].offset) == 256);
  CHECK(at(program.workspaceBytes()) == 256 + 8192);
  CHECK(at(program.zeroBytes()) == 256);
  CHECK(at(Program().workspaceBytes()) == 0);
}

TEST_CASE("schedules print, parse and compare") {
  Schedule schedule = *Schedule::parse("portable block_q=128 warps=4");
  CHECK(schedule.family == "portable");
  CHECK(schedule.value("block_q") == 128);
  CHECK(schedule.text() == "portable block_q=128 warps=4");
  CHECK(schedule.words() == "block_q 128, warps 4");
  CHECK(Schedule::parse("hopper grid=0")->value("grid") == 0);
  CHECK(schedule == *Schedule::parse("portable warps=4 block_q=128"));
  CHECK(Schedule::parse("warps=4")->agreesWith(schedule));
  CHECK(!Schedule::parse("warps=8")->agreesWith(schedule));
  CHECK(!Schedule::parse("hopper")->agreesWith(schedule));
  for (const char *text : {"a=1 b", "=3", "a=", "a=x", "a=1 a=2", "a=-1"}) {
    CAPTURE(text);
    CHECK(!Schedule::parse(text));
  }
}
