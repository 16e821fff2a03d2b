//===- Machine.cpp - what the assembler makes of PTX, for the clock -------===//
#include "simulator/clock/Machine.h"

#include <algorithm>
#include <charconv>

namespace attune::sim {

std::string_view opcodeOf(std::string_view text) {
  auto skip = [&] {
    while (!text.empty() && (text[0] == ' ' || text[0] == '\t' || text[0] == '\n' || text[0] == '{'))
      text.remove_prefix(1);
  };
  skip();
  if (!text.empty() && text[0] == '@') {
    text.remove_prefix(std::min(text.find_first_of(" \t\n"), text.size()));
    skip();
  }
  return text.substr(0, text.find_first_of(" \t\n;"));
}

namespace {

/// Issue slots of a MUFU instruction and of a conversion of floats, as the measured mixes of softmax say.
constexpr uint8_t kMufuSlots = 2, kPackSlots = 2;

/// An opcode taken apart.
struct Opcode {
  std::string_view all, root;
  explicit Opcode(std::string_view text) : all(text), root(text.substr(0, text.find('.'))) {}
  bool has(std::string_view mod) const {
    for (size_t at = all.find(mod, root.size()); at != all.npos; at = all.find(mod, at + 1))
      if (all[at - 1] == '.' &&
          (at + mod.size() == all.size() || all[at + mod.size()] == '.' || all[at + mod.size()] == ':'))
        return true;
    return false;
  }
  bool is(std::initializer_list<std::string_view> roots) const {
    return std::find(roots.begin(), roots.end(), root) != roots.end();
  }
  bool wide() const { return has("u64") || has("s64") || has("b64") || has("f64"); }
  bool isFloat() const {
    return has("f32") || has("f16") || has("bf16") || has("f16x2") || has("bf16x2") || has("f32x2");
  }
};

/// The number behind "m", "n" or "k" of a shape: "m16n8k16".
uint32_t shapeNumber(std::string_view opcode, char letter) {
  size_t m = opcode.find(".m");
  while (m != opcode.npos && !(m + 2 < opcode.size() && opcode[m + 2] >= '0' && opcode[m + 2] <= '9'))
    m = opcode.find(".m", m + 1);
  if (m == opcode.npos)
    return 0;
  std::string_view shape = opcode.substr(m + 1, opcode.find('.', m + 1) - m - 1);
  size_t at = shape.find(letter);
  uint32_t value = 0;
  if (at != shape.npos)
    std::from_chars(shape.data() + at + 1, shape.data() + shape.size(), value);
  return value;
}

} // namespace

Machine::Machine(const Program &program, const GpuFigures &gpu) : program(program), gpu(gpu) {
  steps.resize(program.code.size());
  operands();
  for (uint32_t pc = 0; pc < steps.size();) { // the instructions of a statement
    uint32_t end = pc + 1, statement = program.code[pc].statement;
    while (end < steps.size() && program.code[end].statement == statement)
      ++end;
    uint32_t main = pc; // the one that stands for it
    for (uint32_t k = pc; k < end; ++k)
      if (program.code[k].cls != Class::Move && program.code[k].cls != Class::None)
        main = k;
    for (uint32_t k = pc; k < end; ++k)
      classify(k, opcodeOf(program.statements[statement].text), k == main);
    pc = end;
  }
  foldAddresses();
  cutRegions();
}

void Machine::operands() {
  std::unordered_map<const char *, uint32_t> numbers; // a register is where its name is declared
  for (uint32_t pc = 0; pc < steps.size(); ++pc) {
    Step &s = steps[pc];
    for (bool def : {false, true}) {
      uint32_t first = uint32_t(registers.size());
      for (uint32_t o = program.firstOperand[pc]; o < program.firstOperand[pc + 1]; ++o)
        if (const Program::Operand &operand = program.operands[o]; operand.def == def)
          registers.push_back(
              numbers.try_emplace(operand.name.data(), uint32_t(numbers.size())).first->second);
      (def ? s.firstDef : s.firstUse) = first;
      (def ? s.defs : s.uses) = uint32_t(registers.size()) - first;
    }
  }
  registerCount = uint32_t(numbers.size());
}

/// Rates and latencies of a statement's instruction; its others take nothing.
void Machine::classify(uint32_t pc, std::string_view text, bool main) {
  Step &s = steps[pc];
  const Inst &inst = program.code[pc];
  if (!main) {
    s.slots = 0;
    return;
  }
  Opcode op(text);
  auto clocksOf = [](double perSm) { return float(4 / perSm); };
  auto on = [&](Pipe pipe, double rate, double latency, uint8_t instructions = 1) {
    s.pipe = pipe;
    s.slots = instructions;
    s.busy = clocksOf(rate) * instructions;
    s.latency = float(latency) * instructions;
  };
  auto fma = [&](uint8_t n = 1) { on(Pipe::Fma, gpu.fma, gpu.fmaLatency, n); };
  auto alu = [&](uint8_t n = 1) { on(Pipe::Alu, gpu.alu, gpu.aluLatency, n); };
  auto mufu = [&](uint8_t n = 1) {
    on(Pipe::Mufu, gpu.mufu, gpu.mufuLatency, n);
    s.slots = uint8_t(kMufuSlots * n);
  };
  auto port = [&](Act act, double latency) {
    s.act = act;
    s.pipe = Pipe::Shared;
    s.busy = 1;
    s.latency = float(latency);
    s.dynamic = true;
  };
  auto fixed = [&](Act act, double latency, bool dynamic = false) {
    s.act = act;
    s.latency = float(latency);
    s.anchor = true;
    s.dynamic = dynamic;
  };
  auto global = [&](Act act) {
    s.act = act;
    s.pipe = Pipe::Shared;
    s.busy = 1;
    s.dynamic = true;
  };
  bool memory = op.is({"ld", "ldu", "st", "atom", "red"});
  if (memory) {
    bool loads = op.root == "ld" || op.root == "ldu" || op.root == "atom";
    if (op.has("param") && op.root == "ld") {
      s.slots = 0; // a constant bank is an operand
      return;
    }
    s.reads = loads;
    s.writes = op.root != "ld" && op.root != "ldu";
    if (inst.order) // volatile and stronger ones stay where they are
      s.anchor = true;
    if (op.has("const"))
      return on(Pipe::Shared, 4, gpu.sharedLatency);
    bool shared = op.all.find(".shared") != op.all.npos;
    if (shared && op.all.find("::cluster") == op.all.npos)
      return port(Act::Shared, loads ? gpu.sharedLatency : 0);
    if (op.has("local"))
      return on(Pipe::Shared, 4, gpu.l1Latency);
    return global(op.root == "atom" ? Act::Atomic : loads ? Act::Load : Act::Store);
  }
  if (op.is({"ldmatrix", "stmatrix", "movmatrix"})) {
    s.reads = op.root == "ldmatrix";
    s.writes = op.root == "stmatrix";
    return port(Act::Shared, op.root == "stmatrix" ? 0 : gpu.sharedLatency + 7);
  }
  if (op.root == "shfl") {
    s.pipe = Pipe::Shared;
    s.busy = 1 / float(gpu.shuffle);
    s.latency = float(gpu.shuffleLatency);
    return;
  }
  if (op.root == "cp") {
    if (op.has("bulk")) {
      if (op.has("commit_group"))
        return fixed(Act::BulkCommit, 2);
      if (op.has("wait_group")) {
        s.number = uint32_t(inst.imm);
        return fixed(Act::BulkWait, 2);
      }
      if (op.has("prefetch"))
        return fixed(Act::BulkPrefetch, 20, true);
      const Bulk &bulk = program.bulks[size_t(inst.imm)];
      bool out = bulk.kind == BulkKind::Store;
      return fixed(out ? Act::BulkStore : Act::BulkLoad, 20, true);
    }
    if (op.has("mbarrier"))
      return fixed(Act::CopyArrive, 20, true);
    if (op.has("commit_group"))
      return fixed(Act::CopyCommit, 2);
    if (op.has("wait_group") || op.has("wait_all")) {
      s.number = uint32_t(inst.imm);
      return fixed(Act::CopyWait, 2);
    }
    s.writes = true;
    return global(Act::CopyAsync);
  }
  if (op.root == "mbarrier") {
    bool waits = op.has("try_wait") || op.has("test_wait");
    if (op.has("pending_count"))
      return alu();
    return fixed(waits ? Act::MbarrierWait : Act::MbarrierArrive, 0.4 * gpu.mbarrierHandOver, true);
  }
  if (op.is({"bar", "barrier"})) {
    if (op.has("cluster"))
      return fixed(op.has("arrive") ? Act::ClusterArrive : Act::ClusterWait,
                   op.has("arrive") && !op.has("relaxed") ? gpu.clusterBarrier - 40 : 40, true);
    if (op.has("warp"))
      return fixed(Act::Fixed, 2);
    return fixed(op.has("arrive") ? Act::BarrierArrive : Act::BarrierSync,
                 inst.count ? gpu.namedHandOver - 12 : gpu.blockBarrier - 11, true);
  }
  if (op.root == "wgmma") {
    if (op.has("fence"))
      return fixed(Act::MatrixFence, 4);
    if (op.has("commit_group"))
      return fixed(Act::MatrixCommit, 2);
    if (op.has("wait_group")) {
      s.number = uint32_t(inst.imm);
      return fixed(Act::MatrixWait, 2);
    }
    const Wgmma &what = program.wgmmas[size_t(inst.imm)];
    fixed(Act::Matrix, 2);
    s.number = what.columns;
    s.matrixRegisters = what.aRegisters;
    // 64 rows of 32 bytes of k, whatever the type: tf32's k is 8, that of 8-bit types 32.
    s.matrixShared = float(((what.aRegisters ? 0 : 64) + what.columns) * 32 / gpu.sharedBytes);
    double rate = gpu.wgmma > 0 ? gpu.wgmma : gpu.mmaSync;
    s.matrixClocks = std::max(float(64.0 * what.columns * 16 / rate), s.matrixShared);
    return;
  }
  if (op.is({"mma", "wmma"})) {
    if (op.root == "wmma" && (op.has("load") || op.has("store"))) {
      s.reads = op.has("load");
      s.writes = op.has("store");
      return on(Pipe::Shared, 1, gpu.sharedLatency, 4);
    }
    double macs = double(shapeNumber(op.all, 'm')) * shapeNumber(op.all, 'n') * shapeNumber(op.all, 'k');
    bool eight = op.all.find(".s8") != op.all.npos || op.all.find(".u8") != op.all.npos;
    s.pipe = Pipe::MmaSync;
    s.busy = float(4 * macs / (gpu.mmaSync * (eight ? 2 : 1)));
    s.latency = float(std::max<double>(gpu.mmaLatency, s.busy + gpu.mmaLatency - 4 * 2048 / gpu.mmaSync));
    return;
  }
  if (op.root == "setmaxnreg")
    return fixed(Act::Fixed, 52);
  if (op.is({"fence", "membar"})) {
    bool proxy = op.all.find("proxy") != op.all.npos;
    return fixed(Act::Fixed, proxy ? 33 : op.has("cta") ? 10 : 200);
  }
  if (op.is({"bra", "brx", "ret", "exit", "call", "trap", "brkpt"})) {
    s.act = Act::Branch;
    s.anchor = true;
    s.latency = 0;
    return;
  }
  if (op.is({"pmevent", "nanosleep", "griddepcontrol", "discard", "applypriority", "prefetch", "prefetchu"}))
    return fixed(Act::Fixed, 2);
  if (op.is({"tensormap", "st.async", "multimem", "elect"}))
    return fixed(Act::Fixed, 20);
  if (op.is({"vote", "activemask", "match"})) {
    alu();
    s.latency = 13;
    return;
  }
  if (op.root == "redux") {
    mufu();
    s.latency = 44;
    return;
  }
  if (op.is({"mov", "cvta", "mapa", "isspacep", "createpolicy", "getctarank", "alloca"})) {
    s.slots = 0;
    if (op.root == "mov" && text.find("%clock") != text.npos)
      s.slots = 1;
    return;
  }
  if (op.root == "ex2" || op.root == "lg2" || op.root == "rcp" || op.root == "tanh" || op.root == "rsqrt" ||
      op.root == "sin" || op.root == "cos" || op.root == "sqrt") {
    if (op.has("rn") || op.has("rz") || op.has("rm") || op.has("rp")) { // a routine
      mufu();
      s.slots = 8;
      s.latency = 60;
      return;
    }
    if (op.has("f16x2") || op.has("bf16x2")) {
      mufu(2);
      s.latency = float(gpu.mufuLatency);
      return;
    }
    mufu();
    bool ranged = op.is({"sin", "cos"});
    if ((!op.has("ftz") && op.root != "tanh" && !op.has("f16") && !op.has("bf16")) || ranged) {
      // Small arguments are scaled before and after.
      s.slots = ranged ? 2 : 4;
      s.latency += ranged ? 4 : 12;
    }
    return;
  }
  if (op.root == "div") {
    mufu();
    if (op.has("approx") || op.has("full")) {
      s.slots = 6;
      s.latency = 40;
    } else {
      s.slots = op.isFloat() ? 12 : 24;
      s.latency = op.isFloat() ? 90 : 150;
    }
    return;
  }
  if (op.root == "rem") {
    mufu();
    s.slots = 26;
    s.latency = 160;
    return;
  }
  if (op.root == "cvt") {
    bool eight = op.all.find("e4m3") != op.all.npos || op.all.find("e5m2") != op.all.npos;
    if (eight)
      return alu(2);
    if (op.isFloat()) {
      bool integer = op.all.find(".s") != op.all.npos || op.all.find(".u") != op.all.npos || op.has("rni") ||
                     op.has("rzi") || op.has("rmi") || op.has("rpi");
      if (integer)
        return on(Pipe::Mufu, gpu.mufu, gpu.mufuLatency);
      alu();
      s.slots = kPackSlots;
      return;
    }
    s.slots = 0; // widths of integers: a register is what it is
    if (op.has("s64") && op.has("s32"))
      alu();
    return;
  }
  if (op.is({"neg", "abs"}) && op.isFloat()) {
    s.slots = 0; // a modifier of an operand
    return;
  }
  if (op.is({"fma", "mad"}) || (op.is({"add", "sub", "mul"}) && op.isFloat())) {
    if (op.isFloat()) {
      fma();
      if (op.has("f32x2"))
        s.busy *= 2;
      else if (!op.has("f32"))
        s.latency *= 2; // packed and 16-bit ones
      return;
    }
    bool wide = op.wide() && !op.has("wide");
    on(Pipe::Fma, gpu.alu, gpu.fmaLatency, wide ? 3 : 1); // IMAD: half the rate, on the multiplier's pipe
    return;
  }
  if (op.root == "mul") {
    on(Pipe::Fma, gpu.alu, gpu.fmaLatency, op.wide() && !op.has("wide") ? 3 : 1);
    return;
  }
  if (op.has("f64")) {
    fma(2);
    s.latency = 16;
    return;
  }
  if (op.is({"min", "max"}) && (op.has("bf16x2") || op.has("f16x2"))) {
    on(Pipe::Alu, 2 * gpu.alu, gpu.aluLatency);
    return;
  }
  if (op.is({"popc", "clz", "bfind", "brev", "fns"}))
    return mufu();
  // Integers, logic, comparisons, selections, bytes.
  alu(op.wide() && !op.is({"setp", "selp", "set", "slct"}) ? 2 : 1);
}

/// An addition of a constant whose result is only an address, or the base of such additions, stands in the
/// address itself.
void Machine::foldAddresses() {
  std::vector<bool> elsewhere(registerCount, false); // used as other than an address
  auto mark = [&](uint32_t pc, uint32_t address) {
    bool any = false;
    const Step &s = steps[pc];
    for (uint32_t u = 0; u < s.uses; ++u) {
      uint32_t r = registers[s.firstUse + u];
      any |= r != address && !elsewhere[r];
      if (r != address)
        elsewhere[r] = true;
    }
    return any;
  };
  std::vector<uint32_t> passed; // moves and such additions: what uses their results decides
  std::vector<bool> adds(steps.size(), false);
  for (uint32_t pc = 0; pc < steps.size(); ++pc) {
    const Step &s = steps[pc];
    Opcode op(opcodeOf(program.statements[program.code[pc].statement].text));
    adds[pc] = s.slots && op.root == "add" && !op.isFloat() && s.uses == 1 && s.defs == 1;
    if (adds[pc] || !s.slots) {
      passed.push_back(pc);
      continue;
    }
    uint32_t address = kFull, used = 0;
    if (s.pipe == Pipe::Shared && s.act != Act::Plain)
      for (uint32_t o = program.firstOperand[pc]; o < program.firstOperand[pc + 1]; ++o)
        if (!program.operands[o].def) {
          if (program.operands[o].offset == program.code[pc].a && program.operands[o].type != Type::Pred)
            address = registers[s.firstUse + used];
          ++used;
        }
    mark(pc, address);
  }
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t k = passed.size(); k-- > 0;) {
      const Step &s = steps[passed[k]];
      for (uint32_t d = 0; d < s.defs; ++d)
        if (elsewhere[registers[s.firstDef + d]]) {
          changed |= mark(passed[k], kFull);
          break;
        }
    }
  }
  for (uint32_t pc : passed)
    if (adds[pc] && !elsewhere[registers[steps[pc].firstDef]]) {
      steps[pc].slots = 0;
      steps[pc].pipe = Pipe::None;
      steps[pc].busy = steps[pc].latency = 0;
    }
}

} // namespace attune::sim
