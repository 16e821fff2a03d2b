//===- Module.cpp - PTX files, and the kernels of them that are asked for -===//
//
// The whole file is parsed, so that its errors are told at once; a kernel is decoded when it is asked for.
//
//===----------------------------------------------------------------------===//
#include "simulator/Decode.h"
#include "simulator/Tables.h"

#include <fmt/format.h>

namespace attune::sim {

const HandlerTable &handlers() {
  static const HandlerTable table = [] {
    std::string_view isa = hostInstructionSet();
    return withDeviceTables(isa == "avx512" ? avx512::handlers()
                            : isa == "avx2" ? avx2::handlers()
                                            : baseline::handlers());
  }();
  return table;
}

std::string_view hostInstructionSet() {
  static const std::string_view isa = [] {
    __builtin_cpu_init();
    if (const char *forced = std::getenv("ATTUNE_SIM_ISA"); forced && *forced) {
      std::string_view f = forced;
      if (f == "baseline" || (f == "avx2" && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")))
        return f == "avx2" ? std::string_view("avx2") : std::string_view("baseline");
    }
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512cd"))
      return std::string_view("avx512");
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
        __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("f16c"))
      return std::string_view("avx2");
    return std::string_view("baseline");
  }();
  return isa;
}

Module::Module(std::unique_ptr<const ModuleImpl> impl) : state(std::move(impl)) {}
Module::~Module() = default;
const std::vector<std::string_view> &Module::names() const { return state->names; }
const std::vector<EntryInfo> &Module::entries() const { return state->entries(); }
const std::string &Module::target() const { return state->ast.target; }
const std::string &Module::fileName() const { return state->ast.fileName; }

Result<const EntryInfo *> Module::entry(std::string_view name) const {
  if (const Program *program = state->program(name))
    return &program->info;
  constexpr size_t kMost = 50;
  std::string all;
  for (size_t k = 0; k < std::min(kMost, state->names.size()); ++k)
    all += fmt::format("{}{}", k ? ", " : "", state->names[k]);
  if (state->names.size() > kMost)
    all += fmt::format(" and {} more", state->names.size() - kMost);
  return badInput(fmt::format("{}: error: expected an entry that the file has ({}), got '{}'",
                              state->ast.fileName, all.empty() ? "it has none" : all, name));
}

ModuleImpl::ModuleImpl(std::string_view ptx, std::string_view fileName) {
  ast.text = std::string(ptx);
  while (!ast.text.empty() && ast.text.back() == '\0')
    ast.text.pop_back();
  ast.fileName = std::string(fileName);
}

Status ModuleImpl::parse() {
  Diagnostics diagnostics{ast.fileName};
  sim::parse(ast, diagnostics);
  if (!diagnostics.empty())
    return badInput(diagnostics.text());
  for (uint32_t f = 0; f < ast.functions.size(); ++f)
    if (ast.functions[f].isEntry) {
      index.try_emplace(ast.functions[f].name, names.size());
      names.push_back(ast.functions[f].name);
      functions.push_back(f);
    }
  programs.resize(names.size());
  return success();
}

const Program *ModuleImpl::program(std::string_view name) const {
  auto it = index.find(name);
  return it == index.end() ? nullptr : &program(it->second);
}

const Program &ModuleImpl::program(size_t k) const {
  std::lock_guard guard(lock);
  if (!programs[k]) {
    Function &f = ast.functions[functions[k]];
    Diagnostics diagnostics{ast.fileName};
    inlineCalls(ast, f, diagnostics);
    auto made = std::make_unique<Program>();
    Decoder(ast, f, *made, diagnostics).run();
    made->info.refusal = diagnostics.text();
    f.body = {}; // only its registers' names are needed on
    programs[k] = std::move(made);
  }
  return *programs[k];
}

const std::vector<EntryInfo> &ModuleImpl::entries() const {
  std::call_once(all, [&] {
    for (size_t k = 0; k < names.size(); ++k)
      infos.push_back(program(k).info);
  });
  return infos;
}

Result<std::shared_ptr<const Module>> parseModule(std::string_view ptx, std::string_view fileName) {
  if (const Status &tables = loadDeviceTables(); !tables)
    return tables.error();
  auto impl = std::make_unique<ModuleImpl>(ptx, fileName);
  if (Status good = impl->parse(); !good)
    return good.error();
  return std::make_shared<const Module>(std::move(impl));
}

} // namespace attune::sim
