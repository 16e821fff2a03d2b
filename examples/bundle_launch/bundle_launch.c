// Runs a kernel of a bundle: bundle_launch BUNDLE SPEC_JSON LENGTH. It has the simulated GPU for machines
// without one.
#include <attune/attune.h>

#include <stdio.h>
#include <stdlib.h>

static void need(attune_status status) {
  if (status == ATTUNE_OK)
    return;
  fprintf(stderr, "%s: %s\n", attune_status_name(status), attune_last_error());
  exit(1);
}

int main(int argc, char **argv) {
  if (argc != 4)
    return 2;
  attune_bundle *bundle;
  need(attune_bundle_open(argv[1], &bundle));
  attune_context_options options = ATTUNE_CONTEXT_OPTIONS_INIT;
  options.simulator = attune_simulator();
  options.bundle = bundle;
  options.cache_folder = ""; // nothing but the bundle
  attune_context *context;
  need(attune_context_open(&options, &context));
  attune_bundle_destroy(bundle); // the context has it

  attune_request request = ATTUNE_REQUEST_INIT;
  request.spec = argv[2];
  request.length_q = request.length_kv = atoi(argv[3]);
  attune_plan *plan;
  need(attune_plan_create(context, &request, &plan));
  printf("%s", attune_plan_describe(plan));

  // Each row of O is a mean of rows of V: ones give ones.
  size_t count = (size_t)request.length_q * 256; // the longest head
  uint16_t *ones = malloc(count * sizeof *ones), *o = calloc(count, sizeof *o);
  for (size_t i = 0; i < count; ++i)
    ones[i] = 0x3F80;
  attune_array arrays[] = {{.name = "q", .data = ones, .dtype = ATTUNE_BF16},
                           {.name = "k", .data = ones, .dtype = ATTUNE_BF16},
                           {.name = "v", .data = ones, .dtype = ATTUNE_BF16},
                           {.name = "o", .data = o, .dtype = ATTUNE_BF16}};
  attune_arguments arguments = ATTUNE_ARGUMENTS_INIT;
  arguments.arrays = arrays;
  arguments.array_count = 4;
  need(attune_run(plan, &arguments, NULL));
  printf("O begins with 0x%04x: %s\n", o[0], o[0] == 0x3F80 ? "right" : "wrong");
  int status = o[0] != 0x3F80;
  attune_plan_destroy(plan);
  attune_context_destroy(context);
  free(ones), free(o);
  return status;
}
