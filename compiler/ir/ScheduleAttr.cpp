//===- ScheduleAttr.cpp - schedules in IR ---------------------------------===//
#include "compiler/ir/ScheduleAttr.h"

#include "compiler/schedule/Family.h"

#include "mlir/IR/Builders.h"

using namespace mlir;

namespace attune {

DictionaryAttr scheduleAttr(MLIRContext *context, const Schedule &schedule) {
  Builder b(context);
  NamedAttrList entries;
  if (!schedule.family.empty())
    entries.set("family", b.getStringAttr(schedule.family));
  for (const auto &[name, value] : schedule.values)
    entries.set(name, b.getI64IntegerAttr(value));
  return entries.getDictionary(context);
}

FailureOr<Schedule> scheduleFrom(DictionaryAttr attr, llvm::function_ref<InFlightDiagnostic()> error) {
  Schedule schedule;
  if (!attr)
    return schedule;
  for (NamedAttribute entry : attr) {
    StringRef name = entry.getName();
    if (name == "family") {
      auto family = dyn_cast<StringAttr>(entry.getValue());
      if (!family)
        return error() << "expected schedule's family to be a string, got " << entry.getValue(), failure();
      schedule.family = family.str();
      continue;
    }
    auto value = dyn_cast<IntegerAttr>(entry.getValue());
    if (!value || value.getType().isIndex() || value.getValue().getBitWidth() > 64 || value.getInt() < 0 ||
        value.getInt() > 1 << 20)
      return error() << "expected schedule's " << name << " to be an integer in 0..1048576, got "
                     << entry.getValue(),
             failure();
    schedule.set(name.str(), int(value.getInt()));
  }
  return ordered(std::move(schedule));
}

} // namespace attune
