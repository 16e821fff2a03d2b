//===- Devices.cpp - the devices of a machine -----------------------------===//
//
// Apart, since the simulated GPU is among them: a program that does not list devices need not have it.
//
//===----------------------------------------------------------------------===//
#include "runtime/api/Facts.h"
#include "runtime/api/States.h"
#include "runtime/io/JsonObject.h"

using namespace attune;
using namespace attune::api;

attune_status attune_devices(const char *cudaDriver, char **facts) {
  if (attune_status status = checkPlace(facts, "devices"))
    return status;
  return guarded([&] {
    DeviceList list = listDevices(cudaDriver ? cudaDriver : DeviceOptions().cudaDriver);
    std::vector<std::string> devices;
    for (const DeviceInfo &device : list.devices)
      devices.push_back(factsOf(device));
    *facts = textOf(JsonObject().raw("devices", jsonList(devices)).text("note", list.note).str());
    return ATTUNE_OK;
  });
}
