//===- Trace.cpp - the instructions of one warp with their values ---------===//
#include "simulator/Exec.h"

namespace attune::sim {

static void take(const Warp &w, const Program::Operand &o, TraceValue &value) {
  for (uint32_t l = 0; l < 32; ++l)
    value.lanes[l] = o.type == Type::Pred     ? w.preds[o.offset] >> l & 1
                     : typeBytes(o.type) == 8 ? reinterpret_cast<const uint64_t *>(w.regs + o.offset)[l]
                                              : reinterpret_cast<const uint32_t *>(w.regs + o.offset)[l];
}

void runTraced(Warp &w, uint64_t budget) {
  const Program &program = *w.program;
  const Launch &launch = *w.worker->launch;
  w.stop = false;
  for (; budget && !w.stop; --budget) {
    if (w.pc >= w.joinPc)
      reconverge(w);
    uint32_t pc = w.pc++;
    const Inst &i = program.code[pc];
    const Program::Line &line = program.statements[i.statement];
    ++w.worker->classCounts[size_t(i.cls)];
    ++w.executed;
    w.mask = w.active & (w.preds[i.guard] ^ i.guardNeg);
    TraceStep step;
    step.ptxLine = line.ptxLine;
    step.instruction = line.text;
    if (auto file = launch.module->ast.files.find(line.sourceFile);
        line.sourceFile && file != launch.module->ast.files.end()) {
      step.sourceFile = file->second;
      step.sourceLine = line.sourceLine;
    }
    step.active = w.active;
    step.executed = w.mask;
    for (uint32_t o = program.firstOperand[pc]; o < program.firstOperand[pc + 1]; ++o) {
      const Program::Operand &operand = program.operands[o];
      step.values.push_back({operand.name, typeName(operand.type), operand.def, {}});
      take(w, operand, step.values.back());
    }
    if (w.tracked && (w.mask || i.runsEmpty || (w.undefined->predicates[i.guard] & w.active)))
      executeUndefined(w, i);
    else if (w.mask || i.runsEmpty)
      i.fn(w, i);
    for (uint32_t o = program.firstOperand[pc]; o < program.firstOperand[pc + 1]; ++o)
      if (program.operands[o].def)
        take(w, program.operands[o], step.values[o - program.firstOperand[pc]]);
    launch.config->trace.see(step);
  }
}

} // namespace attune::sim
