//===- CheckTables.cpp - checks device tables, which the build embeds -----===//
#include "simulator/Tables.h"

#include <fstream>
#include <sstream>

#include <fmt/format.h>

using namespace attune;

static int refuse(const std::string &message) {
  fmt::print(stderr, "{}\n", message);
  return 2;
}

int main(int argc, char **argv) {
  if (argc < 2)
    return refuse("usage: attune_check_tables FILE...");
  for (int n = 1; n < argc; ++n) {
    std::ifstream in(argv[n], std::ios::binary);
    std::stringstream bytes;
    if (!in || !(bytes << in.rdbuf()))
      return refuse(
          fmt::format("{}: error: expected a file of device tables, got none that can be read", argv[n]));
    auto tables = sim::DeviceTables::parse(std::move(bytes).str(), argv[n]);
    if (!tables)
      return refuse(tables.error().message);
    if (Status good = (*tables)->checkAll(); !good)
      return refuse(good.error().message);
    fmt::print("{}: {}, compute capability {}.{}, driver {}, by {}\n", argv[n], (*tables)->gpu,
               (*tables)->computeCapability / 10, (*tables)->computeCapability % 10, (*tables)->driver,
               (*tables)->maker);
    for (const std::string &one : (*tables)->coverage())
      fmt::print("  {}\n", one);
  }
  return 0;
}
