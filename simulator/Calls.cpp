//===- Calls.cpp - calls of functions that have bodies of their own -------===//
#include "simulator/Decode.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <fmt/format.h>

namespace attune::sim {

//===----------------------------------------------------------------------===//
// Execution
//===----------------------------------------------------------------------===//

namespace {

struct Destination {
  uint32_t pc, mask;
};

void add(std::vector<Destination> &to, uint32_t pc, uint32_t lane) {
  for (Destination &d : to)
    if (d.pc == pc) {
      d.mask |= 1u << lane;
      return;
    }
  to.push_back({pc, 1u << lane});
}

/// The executing lanes go on where `to` says; the others behind this.
void go(Warp &w, std::vector<Destination> &to) {
  if (uint32_t others = w.active & ~w.mask)
    w.fragments.push_back({w.pc, others, 0});
  for (size_t k = 1; k < to.size(); ++k)
    w.fragments.push_back({to[k].pc, to[k].mask, 0});
  w.pc = to[0].pc;
  w.active = to[0].mask;
  updateJoin(w);
}

/// Copies bytes of a lane's local memory, and which of them are defined.
void copyLocal(Warp &w, uint32_t lane, uint64_t to, uint64_t from, uint32_t bytes) {
  uint64_t base = lane * uint64_t(w.program->info.localBytes);
  std::memmove(w.local + base + to, w.local + base + from, bytes);
  for (uint64_t b = 0; b < bytes; ++b) {
    uint64_t source = base + from + b, target = base + to + b;
    uint8_t bit = uint8_t(1u << (target & 7));
    bool defined = w.localInit[source >> 3] >> (source & 7) & 1;
    w.localInit[target >> 3] = uint8_t((w.localInit[target >> 3] & ~bit) | (defined ? bit : 0));
  }
}

uint64_t *frames(Warp &w, const Inst &i) { return reinterpret_cast<uint64_t *>(w.regs + i.d); }

bool fits(const std::vector<FramePlace> &a, const std::vector<FramePlace> &b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const FramePlace &x, const FramePlace &y) { return x.bytes == y.bytes; });
}

void abort(Warp &w, const Inst &i, FindingKind kind, uint32_t lane, uint64_t address, std::string message) {
  report(w, i, kind, lane, address, std::move(message));
  w.cta->aborted = w.stop = true;
}

/// The function that a lane calls, or null after a finding.
const Callee *calleeOf(Warp &w, const Inst &i, const CallSite &site, uint32_t lane) {
  const std::vector<Callee> &all = w.program->functions;
  if (!site.indirect)
    return &all[site.targets[0]];
  uint64_t address = reinterpret_cast<const uint64_t *>(w.regs + i.a)[lane];
  for (uint32_t t : site.targets)
    if (all[t].address == address)
      return &all[t];
  std::string what = fmt::format("0x{:x}, where no function is", address);
  const std::vector<Function> &functions = w.worker->launch->module->ast.functions;
  uint64_t number = (address - kFunctionWindow) / 16 - 1;
  if (address > kFunctionWindow && address % 16 == 0 && number < functions.size())
    what = fmt::format("'{}', which takes other arguments or gives other results", functions[number].name);
  abort(w, i, FindingKind::BadOperand, lane, address,
        fmt::format("expected the address of a function that takes what this call gives, got {}", what));
  return nullptr;
}

void save(Warp &w, const SavedRegister &r, uint32_t lane, std::vector<uint32_t> &stack) {
  uint32_t bytes = 0;
  if (w.tracked)
    bytes = undefinedBytes(w, r.offset, r.predicate, r.wide, lane);
  if (r.predicate) {
    stack.push_back(w.preds[r.offset] >> lane & 1);
  } else if (r.wide) {
    uint64_t v = reinterpret_cast<const uint64_t *>(w.regs + r.offset)[lane];
    stack.push_back(uint32_t(v));
    stack.push_back(uint32_t(v >> 32));
  } else {
    stack.push_back(reinterpret_cast<const uint32_t *>(w.regs + r.offset)[lane]);
  }
  stack.push_back(bytes);
}

void restore(Warp &w, const SavedRegister &r, uint32_t lane, std::vector<uint32_t> &stack) {
  auto pop = [&] {
    uint32_t v = stack.back();
    stack.pop_back();
    return v;
  };
  uint32_t bytes = pop();
  if (r.predicate) {
    w.preds[r.offset] = (w.preds[r.offset] & ~(1u << lane)) | pop() << lane;
  } else if (r.wide) {
    uint64_t high = pop();
    reinterpret_cast<uint64_t *>(w.regs + r.offset)[lane] = high << 32 | pop();
  } else {
    reinterpret_cast<uint32_t *>(w.regs + r.offset)[lane] = pop();
  }
  if (w.tracked || bytes)
    setUndefinedBytes(w, r.offset, r.predicate, r.wide, lane, bytes);
}

} // namespace

void execBeginCalls(Warp &w, const Inst &i) {
  w.calls = std::make_unique<CallStacks>(); // the block before may have been aborted in a call
  std::fill(frames(w, i), frames(w, i) + 32, 0);
}

void execCall(Warp &w, const Inst &i) {
  const Program &p = *w.program;
  const CallSite &site = p.calls[size_t(i.imm)];
  uint32_t pc = w.pc - 1;
  std::vector<Destination> to;
  for (uint32_t m = w.mask; m; m &= m - 1) {
    uint32_t l = uint32_t(std::countr_zero(m));
    const Callee *callee = calleeOf(w, i, site, l);
    if (!callee)
      return;
    uint64_t from = frames(w, i)[l], frame = from + site.frameBytes;
    if (frame + p.frameBytes > p.info.localBytes)
      return abort(w, i, FindingKind::StackOverflow, l, 0,
                   fmt::format("the call of '{}' is deeper than a thread's stack of {} bytes, which holds {} "
                               "nested calls (frames of {} bytes)",
                               callee->name, kStackBytes, kStackBytes / p.frameBytes, p.frameBytes));
    uint64_t base = l * uint64_t(p.info.localBytes) + frame;
    for (uint64_t b = base; b < base + p.frameBytes; ++b)
      w.localInit[b >> 3] &= uint8_t(~(1u << (b & 7)));
    for (size_t k = 0; k < site.arguments.size(); ++k)
      copyLocal(w, l, frame + callee->params[k].offset, from + site.arguments[k].offset,
                callee->params[k].bytes);
    std::vector<uint32_t> &stack = w.calls->lanes[l];
    for (const SavedRegister &r : site.saved)
      save(w, r, l, stack);
    stack.push_back(uint32_t(callee - p.functions.data()));
    stack.push_back(pc);
    frames(w, i)[l] = frame;
    add(to, callee->entry, l);
  }
  go(w, to);
}

void execReturn(Warp &w, const Inst &i) {
  const Program &p = *w.program;
  std::vector<Destination> to;
  for (uint32_t m = w.mask; m; m &= m - 1) {
    uint32_t l = uint32_t(std::countr_zero(m));
    std::vector<uint32_t> &stack = w.calls->lanes[l];
    uint32_t pc = stack.back();
    stack.pop_back();
    const Callee &callee = p.functions[stack.back()];
    stack.pop_back();
    const CallSite &site = p.calls[size_t(p.code[pc].imm)];
    uint64_t frame = frames(w, i)[l], caller = frame - site.frameBytes;
    for (size_t k = 0; k < site.results.size(); ++k)
      copyLocal(w, l, caller + site.results[k].offset, frame + callee.results[k].offset,
                callee.results[k].bytes);
    for (size_t k = site.saved.size(); k-- > 0;)
      restore(w, site.saved[k], l, stack);
    frames(w, i)[l] = caller;
    add(to, pc + 1, l);
  }
  go(w, to);
}

//===----------------------------------------------------------------------===//
// Decoding
//===----------------------------------------------------------------------===//

FramePlace Decoder::framePlace(uint32_t variable, bool inFunction) const {
  const Variable &v = ast.variables[variable];
  return {uint32_t(inFunction ? v.frameOffset : v.offset), uint32_t(v.size)};
}

/// The functions that the kernel calls, and where their frames are.
void Decoder::beginCalls() {
  if (function.called.empty())
    return;
  for (const Function::Called &c : function.called) {
    const Function &f = ast.functions[c.function];
    Callee callee;
    callee.address = functionAddress(c.function);
    callee.name = f.name;
    for (uint32_t v : f.params)
      callee.params.push_back(framePlace(v, true));
    for (uint32_t v : f.results)
      callee.results.push_back(framePlace(v, true));
    program.functions.push_back(std::move(callee));
  }
  frameRegister = int32_t(temporary(Type::B64));
  current = &function.body[0];
  guard = -1;
  emit(execBeginCalls, Class::Control);
  fix(Fixup::Register, Field::D, true, uint32_t(frameRegister));
}

/// call (results), function, (arguments): one that Inline.cpp has left.
void Decoder::call() {
  const std::vector<Operand> &ops = current->operands;
  size_t at = 0;
  CallSite site;
  auto places = [&](std::vector<FramePlace> &to) {
    if (at < ops.size() && ops[at].kind == OperandKind::List)
      for (const Operand &o : ops[at++].elements)
        to.push_back(framePlace(o.index, current->frame != 0));
  };
  places(site.results);
  const Operand &target = ops[at++];
  places(site.arguments);
  site.frameBytes = current->frame ? program.frameBytes : kernelFrameBytes;
  int64_t number = int64_t(program.calls.size());
  const SystemFunction *system = target.kind == OperandKind::Name && !ast.bodies.contains(target.text)
                                     ? findSystemFunction(target.text)
                                     : nullptr;
  if (system) {
    auto sizes = [](const std::vector<FramePlace> &places, const std::vector<uint32_t> &expected) {
      return std::equal(places.begin(), places.end(), expected.begin(), expected.end(),
                        [](const FramePlace &p, uint32_t bytes) { return p.bytes >= bytes; });
    };
    if (!sizes(site.arguments, system->arguments) ||
        (!site.results.empty() && !sizes(site.results, system->results))) {
      error(target, fmt::format("expected {} arguments and {} results of '{}' with the sizes that CUDA gives "
                                "them, got {} and {}",
                                system->arguments.size(), system->results.size(), target.text,
                                site.arguments.size(), site.results.size()));
      return;
    }
    program.communicates |= target.text == "malloc" || target.text == "free"; // one heap for all
    emit(system->fn, Class::Control).imm = number;
    if (current->frame)
      fix(Fixup::Register, Field::B, false, uint32_t(frameRegister));
    else
      fix(Fixup::Constant, Field::B, false, constant(0, true));
    program.calls.push_back(std::move(site));
    return;
  }
  site.indirect = target.kind != OperandKind::Name;
  for (uint32_t k = 0; k < function.called.size(); ++k) {
    const Callee &c = program.functions[k];
    if (site.indirect ? fits(c.params, site.arguments) && fits(c.results, site.results)
                      : function.called[k].function == ast.bodies.at(target.text))
      site.targets.push_back(k);
  }
  emit(execCall, Class::Control).imm = number;
  if (site.indirect && !source(target, Field::A, 'q'))
    return;
  fix(Fixup::Register, Field::B, false, uint32_t(frameRegister));
  fix(Fixup::Register, Field::D, true, uint32_t(frameRegister));
  program.calls.push_back(std::move(site));
}

void Decoder::returnFromCall() {
  emit(execReturn, Class::Control);
  fix(Fixup::Register, Field::B, false, uint32_t(frameRegister));
  fix(Fixup::Register, Field::D, true, uint32_t(frameRegister));
}

/// The address of a variable of a function's frame.
void Decoder::frameAddress(const Operand &dst, const Operand &src, char width) {
  uint32_t sum = width == 'q' && dst.kind == OperandKind::Register ? dst.index : temporary(Type::B64);
  emitNamed("add.u64");
  fix(Fixup::Register, Field::A, false, uint32_t(frameRegister));
  fix(Fixup::Constant, Field::B, false,
      constant(ast.variables[src.index].frameOffset + uint64_t(src.value), true));
  if (width == 'q') {
    destination(dst, Field::D, 'q');
    return;
  }
  fix(Fixup::Register, Field::D, true, sum);
  emitNamed("narrow");
  fix(Fixup::Register, Field::A, false, sum);
  destination(dst, Field::D, 'w');
}

//===----------------------------------------------------------------------===//
// Registers
//===----------------------------------------------------------------------===//

/// What is put aside at each call: registers of functions that are read behind it.
void Allocator::saveAtCalls() {
  if (p.calls.empty() || p.functions.empty())
    return;
  std::vector<bool> ofFunctions(registers);
  for (const Fixup &f : d.fixups)
    if (f.kind == Fixup::Register && f.def && d.function.body[p.code[f.inst].statement].frame)
      ofFunctions[f.index] = true;
  ofFunctions[uint32_t(d.frameRegister)] = false;
  for (uint32_t i = 0; i < p.code.size(); ++i) {
    if (p.code[i].fn != execCall)
      continue;
    const std::vector<uint64_t> &live = graph[blockOf[i + 1]].in;
    for (uint32_t r = 0; r < registers; ++r)
      if (ofFunctions[r] && (live[r / 64] >> (r % 64) & 1))
        p.calls[size_t(p.code[i].imm)].saved.push_back(
            {offset[r], isPredicate(r), typeBytes(d.registerType(r)) == 8});
  }
}

/// Where the instruction goes on besides the next one, if it is a call or the end of one.
std::vector<uint32_t> Allocator::callSuccessors(uint32_t i) const {
  std::vector<uint32_t> to;
  if (p.code[i].fn == execCall) {
    for (uint32_t t : p.calls[size_t(p.code[i].imm)].targets)
      to.push_back(p.functions[t].entry);
  } else if (p.code[i].fn == execReturn) {
    uint32_t own = d.function.body[p.code[i].statement].frame - 1;
    for (uint32_t k = 0; k < p.code.size(); ++k)
      if (p.code[k].fn == execCall) {
        const std::vector<uint32_t> &targets = p.calls[size_t(p.code[k].imm)].targets;
        if (std::find(targets.begin(), targets.end(), own) != targets.end())
          to.push_back(k + 1);
      }
  }
  return to;
}

} // namespace attune::sim
