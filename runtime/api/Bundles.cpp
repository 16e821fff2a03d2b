//===- Bundles.cpp - bundles of the C interface ---------------------------===//
#include "runtime/api/Facts.h"
#include "runtime/api/States.h"
#include "runtime/io/JsonObject.h"

using namespace attune;
using namespace attune::api;

static std::string programFacts(const Bundle::Item &item) {
  EntryFacts facts = attune::factsOf(item.head);
  JsonObject parts;
  for (const auto &[name, bytes] : item.head.parts)
    parts.whole(name, int64_t(bytes));
  JsonObject object;
  object.text("name", item.name).text("kernel", facts.kernel).text("arch", facts.arch);
  object.text("target", facts.target).raw("schedule", api::factsOf(facts.schedule));
  if (facts.spec)
    object.raw("spec", toJson(*facts.spec));
  return object.whole("bytes", int64_t(item.bytes)).raw("parts", parts.str()).str();
}

std::string attune::api::factsOf(const Bundle &bundle) {
  std::vector<std::string> programs, plans;
  for (const Bundle::Item &item : bundle.items())
    programs.push_back(programFacts(item));
  for (const BundlePlan &plan : bundle.plans())
    plans.push_back(toJson(plan));
  return JsonObject()
      .text("path", bundle.path())
      .text("made_by", bundle.madeBy())
      .whole("bytes", int64_t(bundle.bytes()))
      .raw("programs", jsonList(programs))
      .raw("plans", jsonList(plans))
      .str();
}

attune_status attune_bundle_open(const char *path, attune_bundle **bundle) {
  if (attune_status status = checkPlace(bundle, "bundle"))
    return status;
  return guarded([&] {
    if (!path)
      return fail(ATTUNE_NULL_POINTER, std::string("expected the path of a bundle, got null"));
    Result<std::shared_ptr<const Bundle>> opened = Bundle::open(path);
    if (!opened)
      return fail(ATTUNE_INVALID_BUNDLE, opened.error());
    auto state = std::make_shared<BundleState>();
    state->bundle = std::move(*opened);
    state->facts = factsOf(*state->bundle);
    *bundle = Shells<attune_bundle>::make(std::move(state));
    return ATTUNE_OK;
  });
}

const char *attune_bundle_facts(const attune_bundle *bundle) {
  return check(bundle) ? nullptr : bundle->state->facts.c_str();
}

void attune_bundle_destroy(attune_bundle *bundle) {
  guarded([&] {
    Shells<attune_bundle>::destroy(bundle);
    return ATTUNE_OK;
  });
}
