//===- FragmentMapTest.cpp - properties of the layouts --------------------===//
//
// Property tests of the layouts: every element has exactly one owner, every byte one place, no row of banks
// twice.
//
//===----------------------------------------------------------------------===//
#include "compiler/transforms/FragmentMap.h"

#include <doctest/doctest.h>

#include <set>

using namespace attune;

namespace {
/// The byte at which 16-byte chunk `chunk` of row `row` lies, by the definition in FragmentMap.h.
int64_t chunkByte(const SwizzledTile &tile, int64_t row, int64_t chunk) {
  int64_t panel = chunk / tile.chunksPerPanelRow(), inPanel = chunk % tile.chunksPerPanelRow();
  int64_t swizzled = inPanel ^ (row >> tile.swizzleShift() & tile.swizzleMask());
  return panel * tile.panelBytes() + row * tile.pitch() + swizzled * 16;
}
} // namespace

TEST_CASE("an accumulator's elements each have one owner") {
  for (int64_t warps : {1, 2, 4, 8})
    for (int64_t slabs : {1, 2, 3})
      for (int64_t n : {16, 48, 64, 112, 256}) {
        int64_t m = 16 * warps * slabs;
        std::set<std::pair<int64_t, int64_t>> owned;
        for (int64_t thread = 0; thread != 32 * warps; ++thread)
          for (int64_t i = 0; i != accValues(m, n, warps); ++i) {
            int64_t lane = thread % 32, warp = thread / 32;
            int64_t row = 16 * warp + lane / 4 + rowOfRowValue(rowOfAccValue(i, n), warps);
            int64_t column = lane % 4 * 2 + columnOfAccValue(i, n);
            REQUIRE(row < m);
            REQUIRE(column < n);
            REQUIRE(owned.insert({row, column}).second);
          }
        CHECK(int64_t(owned.size()) == m * n);
      }
}

TEST_CASE("a thread holds its row's columns in ascending order") {
  for (int64_t n : {16, 64, 112}) {
    int64_t last[4] = {-1, -1, -1, -1};
    for (int64_t i = 0; i != accValues(64 * 2, n, 4); ++i) {
      int64_t row = rowOfAccValue(i, n);
      REQUIRE(row < 4);
      CHECK(columnOfAccValue(i, n) > last[row]);
      last[row] = columnOfAccValue(i, n);
    }
  }
}

TEST_CASE("a swizzled tile has a place for every chunk, and each place once") {
  for (int64_t cols = 16; cols <= 256; cols += 16)
    for (int64_t rows : {16, 48, 112, 128}) {
      SwizzledTile tile{rows, cols};
      std::set<int64_t> places;
      for (int64_t row = 0; row != rows; ++row)
        for (int64_t chunk = 0; chunk != cols / 8; ++chunk) {
          int64_t byte = chunkByte(tile, row, chunk);
          REQUIRE(byte + 16 <= rows * cols * 2);
          REQUIRE(places.insert(byte).second);
        }
    }
}

TEST_CASE("eight rows of one chunk, as ldmatrix reads them, touch every bank once") {
  for (int64_t cols = 16; cols <= 256; cols += 16) {
    SwizzledTile tile{64, cols};
    for (int64_t first = 0; first != 64; first += 8)
      for (int64_t chunk = 0; chunk != cols / 8; ++chunk) {
        std::set<int64_t> banks;
        for (int64_t row = first; row != first + 8; ++row)
          banks.insert(chunkByte(tile, row, chunk) / 16 % 8);
        CHECK(banks.size() == 8);
      }
  }
}

TEST_CASE("a column step is an exclusive-or of the lane's address") {
  // What loadBlock relies on: inside a panel, 16 columns further on only swizzled address bits change.
  for (int64_t cols : {16, 32, 48, 64, 96, 128, 192, 256}) {
    SwizzledTile tile{64, cols};
    for (int64_t row = 0; row != 64; ++row)
      for (int64_t half = 0; half != 2; ++half)
        for (int64_t step = 0; step != tile.chunksPerPanelRow() / 2; ++step)
          CHECK(chunkByte(tile, row, 2 * step + half) == (chunkByte(tile, row, half) ^ step * 32));
  }
}
