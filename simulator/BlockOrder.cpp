//===- BlockOrder.cpp - which of a warp's fragments goes first -------------===//
//
// Threads of a warp that took different ways meet again if those go first that have the longer way to where
// the ways meet: code comes before what follows it, and a loop as a whole before what follows the loop.
// Compilers put blocks where they like (an elected thread's copy behind the end of the loop around it), so
// that the order is the program's own, not that of the text: a weak topological order, in which each loop's
// head is followed by the rest of the loop.
//
//===----------------------------------------------------------------------===//
#include "simulator/Decode.h"

#include <algorithm>
#include <functional>
#include <queue>

namespace attune::sim {

namespace {

constexpr uint32_t kMostNested = 64; ///< loops in each other; beyond it the order of the text serves

class BlockOrder {
public:
  using Successors = std::function<const std::vector<uint32_t> &(uint32_t)>;
  BlockOrder(uint32_t blocks, Successors successors)
      : next(std::move(successors)), set(blocks, 0), number(blocks, 0), low(blocks, 0), component(blocks, 0) {
  }

  std::vector<uint32_t> run() {
    std::vector<uint32_t> every(set.size());
    for (uint32_t b = 0; b < every.size(); ++b)
      every[b] = b;
    place(every, 0);
    return std::move(order);
  }

private:
  /// Appends these blocks, which are in the order of the text.
  void place(const std::vector<uint32_t> &blocks, uint32_t depth) {
    if (depth > kMostNested) {
      order.insert(order.end(), blocks.begin(), blocks.end());
      return;
    }
    uint32_t mine = ++sets;
    for (uint32_t b : blocks)
      set[b] = mine;
    std::vector<std::vector<uint32_t>> parts = components(blocks, mine);
    // Those all of whose predecessors are placed, the first of the text before others.
    std::vector<uint32_t> waiting(parts.size(), 0);
    for (uint32_t b : blocks)
      for (uint32_t s : next(b))
        if (set[s] == mine && component[s] != component[b])
          ++waiting[component[s]];
    using Ready = std::pair<uint32_t, uint32_t>; // its first block, its number
    std::priority_queue<Ready, std::vector<Ready>, std::greater<>> ready;
    for (uint32_t k = 0; k < parts.size(); ++k)
      if (!waiting[k])
        ready.push({parts[k][0], k});
    std::vector<std::vector<uint32_t>> sorted;
    std::vector<uint32_t> heads;
    while (!ready.empty()) {
      uint32_t k = ready.top().second;
      ready.pop();
      heads.push_back(headOf(parts[k], blocks, mine));
      for (uint32_t b : parts[k])
        for (uint32_t s : next(b))
          if (set[s] == mine && component[s] != k && --waiting[component[s]] == 0)
            ready.push({parts[component[s]][0], component[s]});
      sorted.push_back(std::move(parts[k]));
    }
    for (size_t k = 0; k < sorted.size(); ++k) {
      order.push_back(heads[k]);
      std::erase(sorted[k], heads[k]);
      if (!sorted[k].empty())
        place(sorted[k], depth + 1);
    }
  }

  /// Where a loop is entered: of several places the first of the text.
  uint32_t headOf(const std::vector<uint32_t> &part, const std::vector<uint32_t> &blocks, uint32_t mine) {
    if (part.size() == 1)
      return part[0];
    uint32_t k = component[part[0]], head = part[0];
    bool found = false;
    for (uint32_t b : blocks)
      for (uint32_t s : next(b))
        if (set[s] == mine && component[s] == k && component[b] != k && (!found || s < head)) {
          head = s;
          found = true;
        }
    return head;
  }

  /// Strongly connected parts, their blocks in the order of the text (Tarjan's algorithm without recursion).
  std::vector<std::vector<uint32_t>> components(const std::vector<uint32_t> &blocks, uint32_t mine) {
    std::vector<std::vector<uint32_t>> parts;
    std::vector<uint32_t> stack;
    std::vector<std::pair<uint32_t, size_t>> walk; // a block, and the next of its successors
    uint32_t count = 0;
    for (uint32_t b : blocks)
      number[b] = low[b] = 0;
    for (uint32_t root : blocks) {
      if (number[root])
        continue;
      auto enter = [&](uint32_t b) {
        number[b] = low[b] = ++count;
        stack.push_back(b);
        walk.push_back({b, 0});
      };
      enter(root);
      while (!walk.empty()) {
        auto [b, k] = walk.back();
        if (k < next(b).size()) {
          ++walk.back().second;
          uint32_t s = next(b)[k];
          if (set[s] != mine)
            continue;
          if (!number[s])
            enter(s);
          else if (number[s] != kFull)
            low[b] = std::min(low[b], number[s]);
          continue;
        }
        walk.pop_back();
        if (!walk.empty())
          low[walk.back().first] = std::min(low[walk.back().first], low[b]);
        if (low[b] != number[b])
          continue;
        std::vector<uint32_t> part;
        uint32_t x;
        do {
          x = stack.back();
          stack.pop_back();
          number[x] = kFull; // placed
          component[x] = uint32_t(parts.size());
          part.push_back(x);
        } while (x != b);
        std::sort(part.begin(), part.end());
        parts.push_back(std::move(part));
      }
    }
    return parts;
  }

  Successors next;
  std::vector<uint32_t> set, number, low, component, order;
  uint32_t sets = 0;
};

} // namespace

void Allocator::order() {
  uint32_t count = uint32_t(graph.size()), at = 0;
  p.order.resize(p.code.size());
  p.blockEnd.resize(p.code.size());
  BlockOrder blocks(count,
                    [this](uint32_t b) -> const std::vector<uint32_t> & { return graph[b].successors; });
  for (uint32_t b : blocks.run())
    for (uint32_t i = graph[b].begin; i < graph[b].end; ++i) {
      p.order[i] = at++;
      p.blockEnd[i] = graph[b].end;
    }
}

} // namespace attune::sim
