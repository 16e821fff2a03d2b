//===- FlowRules.cpp - what undefined operands do to the results of an instruction -===//
#include "simulator/Exec.h"

#include <algorithm>
#include <cstdlib>

namespace attune::sim {

FlowRule flowRule(const Inst &i) {
  static const std::unordered_map<Handler, FlowRule> known = [] {
    std::unordered_map<Handler, FlowRule> rules;
    for (const std::string &full : handlers().names()) {
      std::string_view name = full;
      auto begins = [&](std::string_view s) { return name.substr(0, s.size()) == s; };
      auto number = [&](char after) { // the digits behind the last `after`
        size_t at = name.rfind(after);
        return at == std::string_view::npos ? 0 : std::atoi(full.c_str() + at + 1);
      };
      auto is = [&](std::string_view root) { // of bits: "and.b32"
        return begins(root) && name.size() > root.size() + 1 && name.substr(root.size(), 2) == ".b";
      };
      FlowRule r;
      auto bytesOf = [](std::string_view type) {
        return uint8_t(std::atoi(std::string(type.substr(1)).c_str()) / 8);
      };
      if (begins("ld:"))
        r.flow = Flow::Load;
      else if (begins("st:"))
        r.flow = Flow::Store;
      else if (begins("ldmatrix:"))
        r.flow = Flow::MatrixLoad;
      else if (begins("stmatrix:"))
        r = {Flow::MatrixStore, uint8_t(std::atoi(full.c_str() + 9) * 2 + (name.find("trans") != name.npos))};
      else if (begins("mov:") || is("not"))
        r.flow = Flow::Move;
      else if (begins("selp."))
        r.flow = Flow::Select;
      else if (is("and"))
        r.flow = Flow::And;
      else if (is("or"))
        r.flow = Flow::Or;
      else if (is("xor") || is("lop3"))
        r = {Flow::Xor, is("lop3")};
      else if (name == "and.pred")
        r.flow = Flow::PredicateAnd;
      else if (name == "or.pred")
        r.flow = Flow::PredicateOr;
      else if (begins("setp.") && name.find("x2") == name.npos)
        r.flow = Flow::Compare;
      else if (begins("pack:") || begins("unpack:"))
        r = {begins("pack") ? Flow::Pack : Flow::Unpack, uint8_t(number('x') / 8 + 16 * number(':'))};
      else if (name == "narrow" || name == "widen:zero" || name == "widen:sign")
        r = {Flow::Widen, uint8_t(4 + (name == "widen:sign" ? 16 : 0))};
      else if (name == "widen:sign16" || name == "mask16")
        r = {Flow::Widen, uint8_t(2 + (name == "mask16" ? 0 : 16))};
      else if (begins("shl.b"))
        r = {Flow::ShiftLeft, uint8_t(std::atoi(full.c_str() + 5) / 8)};
      else if (begins("shr."))
        r = {Flow::ShiftRight, uint8_t(std::atoi(full.c_str() + 5) / 8 + (name[4] == 's' ? 16 : 0))};
      else if (name == "prmt.b32")
        r.flow = Flow::Permute;
      else if (begins("shfl."))
        r.flow = Flow::Shuffle;
      else if (begins("vote.") || begins("match.") || begins("redux.") || begins("elect."))
        r = {Flow::Collective, uint8_t(begins("elect.") ? 0 : 1)};
      else if (begins("mma:"))
        r.flow = Flow::Matrix;
      else if (begins("atom:"))
        r.flow = Flow::Matters;
      else if (begins("cvt.") && name.size() > 6 && name.substr(name.size() - 6) == "x2.f32")
        r.flow = Flow::PackHalves;
      else if (begins("cvt.u") || begins("cvt.s")) { // cvt.u32.s16
        size_t dot = name.find('.', 4);
        std::string_view to = name.substr(4, dot - 4), from = name.substr(dot + 1);
        bool integers = (to[0] == 'u' || to[0] == 's') && (from[0] == 'u' || from[0] == 's') && to != "sat" &&
                        from.find('.') == from.npos;
        if (!integers)
          continue;
        uint8_t bytes = std::min(bytesOf(to), bytesOf(from));
        bool extended = from[0] == 's' ? bytesOf(to) > bytes : to[0] == 's' && bytes < 4;
        r = {Flow::Widen, uint8_t(bytes + (extended ? 16 : 0))};
      } else if (name.find("16x2") != name.npos && !begins("set"))
        r.flow = Flow::Halves;
      else
        continue;
      rules[handlers().find(full)->fn] = r;
    }
    return rules;
  }();
  if (auto it = known.find(i.fn); it != known.end())
    return it->second;
  if (i.fn == execWgmma)
    return {Flow::Wgmma, 0};
  if (isProduct(i))
    return {Flow::Product, 0};
  bool effect = i.cls == Class::Memory || i.cls == Class::Control || i.cls == Class::Barrier ||
                i.cls == Class::AsyncCopy || i.atomic;
  return {effect ? Flow::Matters : Flow::Any, 0};
}

} // namespace attune::sim
