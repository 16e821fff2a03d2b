//===- errors.c - every way to misuse the C interface ---------------------===//
//
// Every error path of attune.h, called from C: null, handles that were destroyed or are of another kind,
// sizes of structs, ranks, types, extents, strides, alignment. errors CACHE_FOLDER
//
//===----------------------------------------------------------------------===//
#include <attune/attune.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int checks = 0, failures = 0;

/// Whether the call gave `status` and a message with `part` in it.
static void expect(const char *call, attune_status got, attune_status status, const char *part, int line) {
  const char *message = got == ATTUNE_OK ? "" : attune_last_error();
  ++checks;
  if (got == status && strstr(message, part))
    return;
  ++failures;
  printf("errors.c:%d: %s: expected %s with \"%s\", got %s: %s\n", line, call, attune_status_name(status),
         part, attune_status_name(got), message);
}
#define EXPECT(status, part, call) expect(#call, call, status, part, __LINE__)
#define GOOD(call) EXPECT(ATTUNE_OK, "", call)
static void check(const char *what, int good, int line) {
  ++checks;
  failures += !good;
  if (!good)
    printf("errors.c:%d: %s\n", line, what);
}
#define CHECK(condition) check(#condition, condition, __LINE__)

enum { heads = 2, rows = 20, dim = 16, count = heads * rows * dim };

static const char *const spec =
    "{\"name\": \"small\", \"head_dim\": 16, \"lse\": true, \"scale\": \"runtime\"}";

static attune_request request_of(const char *text) {
  attune_request request = ATTUNE_REQUEST_INIT;
  request.spec = text;
  request.heads_q = request.heads_kv = heads;
  request.length_q = request.length_kv = rows;
  return request;
}

static void contexts(const char *cache) {
  attune_context *context = (attune_context *)1;
  attune_context_options options = ATTUNE_CONTEXT_OPTIONS_INIT, changed;
  options.device = "sim";
  options.cache_folder = cache;
  EXPECT(ATTUNE_NO_DEVICE, "this program has no simulated GPU", attune_context_open(&options, &context));
  CHECK(context == NULL);
  options.simulator = attune_simulator();
  EXPECT(ATTUNE_NULL_POINTER, "a place for the context", attune_context_open(&options, NULL));
  changed = options;
  changed.device = "tpu";
  EXPECT(ATTUNE_INVALID_OPTIONS, "got 'tpu'", attune_context_open(&changed, &context));
  changed.device = "sim";
  changed.arch = "sm_1";
  EXPECT(ATTUNE_INVALID_OPTIONS, "got 'sm_1'", attune_context_open(&changed, &context));
  changed = options;
  changed.device = "cuda";
  changed.cuda_driver = "libno-such-driver.so";
  EXPECT(ATTUNE_NO_DEVICE, "no NVIDIA driver", attune_context_open(&changed, &context));
  changed = options;
  changed.policy = 4;
  EXPECT(ATTUNE_INVALID_OPTIONS, "attune_policy in 0..3, got 4", attune_context_open(&changed, &context));
  changed.policy = -1;
  EXPECT(ATTUNE_INVALID_OPTIONS, "got -1", attune_context_open(&changed, &context));
  changed = options;
  changed.target = 3;
  EXPECT(ATTUNE_INVALID_OPTIONS, "attune_target", attune_context_open(&changed, &context));
  changed = options;
  changed.sim_mode = 9;
  EXPECT(ATTUNE_INVALID_OPTIONS, "attune_sim_mode", attune_context_open(&changed, &context));
  changed = options;
  changed.sim_threads = -1;
  EXPECT(ATTUNE_INVALID_OPTIONS, "sim_threads in 0..1024, got -1", attune_context_open(&changed, &context));
  changed.sim_threads = 100000;
  EXPECT(ATTUNE_INVALID_OPTIONS, "sim_threads", attune_context_open(&changed, &context));
  changed = options;
  changed.sim_multiprocessors = -2;
  EXPECT(ATTUNE_INVALID_OPTIONS, "sim_multiprocessors", attune_context_open(&changed, &context));
  changed = options;
  changed.size = 0;
  EXPECT(ATTUNE_INVALID_ARGUMENT, "the size of the context's options",
         attune_context_open(&changed, &context));
  changed.size = 8;
  EXPECT(ATTUNE_INVALID_ARGUMENT, "got 8", attune_context_open(&changed, &context));
  CHECK(attune_context_facts(NULL) == NULL);
  attune_context_destroy(NULL);

  // A program that was built with a later header: what it does not use of it is no obstacle.
  struct {
    attune_context_options known;
    const char *later;
  } newer = {options, NULL};
  newer.known.size = sizeof newer;
  GOOD(attune_context_open(&newer.known, &context));
  CHECK(strstr(attune_context_facts(context), "\"simulated sm_80\"") != NULL);
  GOOD(attune_context_release(context));
  attune_context_destroy(context);
  newer.later = "used";
  EXPECT(ATTUNE_INVALID_ARGUMENT, "of a later version", attune_context_open(&newer.known, &context));
  CHECK(context == NULL);
}

static void handles(attune_context *context, attune_plan *plan) {
  attune_plan *made = NULL;
  attune_buffer *buffer = NULL;
  attune_request request = request_of(spec);
  attune_arguments arguments = ATTUNE_ARGUMENTS_INIT;
  void *stream = NULL;
  char *text = NULL;
  float value = 0;
  attune_context *wrong = (attune_context *)(void *)plan;
  attune_plan *wrong_plan = (attune_plan *)(void *)context;
  EXPECT(ATTUNE_NULL_POINTER, "expected a context, got null", attune_plan_create(NULL, &request, &made));
  EXPECT(ATTUNE_NULL_POINTER, "expected a request, got null", attune_plan_create(context, NULL, &made));
  EXPECT(ATTUNE_NULL_POINTER, "a place for the plan", attune_plan_create(context, &request, NULL));
  EXPECT(ATTUNE_EMPTY_HANDLE, "of another kind", attune_plan_create(wrong, &request, &made));
  EXPECT(ATTUNE_EMPTY_HANDLE, "expected a plan", attune_launch(wrong_plan, &arguments));
  EXPECT(ATTUNE_NULL_POINTER, "expected a plan, got null", attune_launch(NULL, &arguments));
  EXPECT(ATTUNE_NULL_POINTER, "expected a plan", attune_run(NULL, &arguments, NULL));
  EXPECT(ATTUNE_NULL_POINTER, "expected a plan", attune_plan_wait(NULL, 0));
  EXPECT(ATTUNE_NULL_POINTER, "expected a context", attune_plan_start(NULL, &request, &made));
  EXPECT(ATTUNE_NULL_POINTER, "expected a context", attune_context_release(NULL));
  EXPECT(ATTUNE_NULL_POINTER, "expected a context", attune_buffer_create(NULL, 4, NULL, &buffer));
  EXPECT(ATTUNE_NULL_POINTER, "a place for the buffer", attune_buffer_create(context, 4, NULL, NULL));
  EXPECT(ATTUNE_NULL_POINTER, "expected a context", attune_copy_in(NULL, &value, &value, 4, NULL));
  EXPECT(ATTUNE_NULL_POINTER, "expected a context", attune_copy_out(NULL, &value, &value, 4, NULL));
  EXPECT(ATTUNE_NULL_POINTER, "expected a context", attune_fill(NULL, &value, 0, 4, NULL));
  EXPECT(ATTUNE_NULL_POINTER, "expected a context", attune_synchronize(NULL, NULL));
  EXPECT(ATTUNE_NULL_POINTER, "expected a context", attune_stream_create(NULL, &stream));
  EXPECT(ATTUNE_NULL_POINTER, "a place for the stream", attune_stream_create(context, NULL));
  EXPECT(ATTUNE_NULL_POINTER, "expected a context", attune_stream_destroy(NULL, stream));
  EXPECT(ATTUNE_NULL_POINTER, "the JSON text of a spec", attune_spec_read(NULL, NULL, &text));
  EXPECT(ATTUNE_NULL_POINTER, "a place for the canonical spec", attune_spec_read(spec, NULL, NULL));
  EXPECT(ATTUNE_NULL_POINTER, "a place for the devices", attune_devices(NULL, NULL));
  CHECK(attune_plan_facts(NULL) == NULL);
  CHECK(attune_plan_describe(NULL) == NULL);
  CHECK(attune_plan_workspace_bytes(NULL) == 0);
  CHECK(attune_plan_workspace_bytes(wrong_plan) == 0);
  CHECK(attune_buffer_data(NULL) == NULL);
  CHECK(attune_buffer_size(NULL) == 0);
  attune_plan_destroy(NULL);
  attune_plan_destroy(wrong_plan); // of another kind: nothing
  attune_buffer_destroy(NULL);
  attune_text_free(NULL);
  CHECK(strcmp(attune_status_name((attune_status)1000), "unknown") == 0);
  CHECK(strcmp(attune_status_name(ATTUNE_INTERNAL), "Internal") == 0);

  GOOD(attune_buffer_create(context, 100, "some", &buffer));
  CHECK(attune_buffer_size(buffer) == 100);
  CHECK((uintptr_t)attune_buffer_data(buffer) % 256 == 0);
  GOOD(attune_fill(context, attune_buffer_data(buffer), 0, 100, NULL));
  GOOD(attune_copy_out(context, &value, attune_buffer_data(buffer), sizeof value, NULL));
  EXPECT(ATTUNE_NULL_POINTER, "the addresses of 4 bytes", attune_copy_in(context, NULL, &value, 4, NULL));
  EXPECT(ATTUNE_NULL_POINTER, "the addresses of 4 bytes", attune_copy_in(context, &value, NULL, 4, NULL));
  EXPECT(ATTUNE_NULL_POINTER, "got null",
         attune_copy_out(context, NULL, attune_buffer_data(buffer), 4, NULL));
  EXPECT(ATTUNE_NULL_POINTER, "got null", attune_fill(context, NULL, 0, 4, NULL));
  EXPECT(ATTUNE_DEVICE_FAILED, "", attune_copy_in(context, attune_buffer_data(buffer), spec, 1000000, NULL));
  GOOD(attune_stream_create(context, &stream));
  GOOD(attune_synchronize(context, stream));
  GOOD(attune_stream_destroy(context, stream));
  attune_buffer_destroy(buffer);
  CHECK(attune_buffer_data(buffer) == NULL);
  attune_buffer_destroy(buffer); // once more: nothing

  GOOD(attune_plan_create(context, &request, &made));
  attune_plan_destroy(made);
  EXPECT(ATTUNE_EMPTY_HANDLE, "one that was destroyed", attune_launch(made, &arguments));
  CHECK(attune_plan_facts(made) == NULL);
  attune_plan_destroy(made);
}

static void requests(attune_context *context) {
  attune_plan *plan = NULL;
  attune_prewarm *prewarm = NULL;
  attune_request request = request_of(spec);
  char *text = NULL;
  request.size = 4;
  EXPECT(ATTUNE_INVALID_ARGUMENT, "the size of a request", attune_plan_create(context, &request, &plan));
  request = request_of(NULL);
  EXPECT(ATTUNE_NULL_POINTER, "the JSON text of a spec", attune_plan_create(context, &request, &plan));
  request = request_of("{\"head_dim\": 100}");
  request.spec_name = "mine.json";
  EXPECT(ATTUNE_INVALID_SPEC, "mine.json:1:14: error: expected a multiple of 8",
         attune_plan_create(context, &request, &plan));
  request = request_of("");
  EXPECT(ATTUNE_INVALID_SPEC, "spec:1:1", attune_plan_create(context, &request, &plan));
  EXPECT(ATTUNE_INVALID_SPEC, "mine:1:3", attune_spec_read("{ 5 }", "mine", &text));
  CHECK(text == NULL);
  request = request_of(spec);
  request.heads_q = 3;
  EXPECT(ATTUNE_INVALID_SHAPE, "multiple of heads_kv, got 3 and 2",
         attune_plan_create(context, &request, &plan));
  request = request_of(spec);
  request.length_kv = -1;
  EXPECT(ATTUNE_INVALID_SHAPE, "len_kv", attune_plan_create(context, &request, &plan));
  request = request_of(spec);
  request.stage = "ptx";
  EXPECT(ATTUNE_NULL_POINTER, "got no text", attune_plan_create(context, &request, &plan));
  request.stage_text = "nothing";
  EXPECT(ATTUNE_COMPILE_FAILED, "stage: error: expected a kernel",
         attune_plan_create(context, &request, &plan));
  request.stage = "sass";
  EXPECT(ATTUNE_INVALID_ARGUMENT, "got 'sass'", attune_plan_create(context, &request, &plan));
  CHECK(plan == NULL);

  request = request_of(spec);
  EXPECT(ATTUNE_NULL_POINTER, "a context", attune_prewarm_start(NULL, &request, 1, 0, &prewarm));
  EXPECT(ATTUNE_NULL_POINTER, "a place for the prewarm", attune_prewarm_start(context, &request, 1, 0, NULL));
  EXPECT(ATTUNE_NULL_POINTER, "1 requests", attune_prewarm_start(context, NULL, 1, 0, &prewarm));
  EXPECT(ATTUNE_INVALID_ARGUMENT, "a number of threads",
         attune_prewarm_start(context, &request, 1, -3, &prewarm));
  EXPECT(ATTUNE_NULL_POINTER, "a prewarm", attune_prewarm_wait(NULL, 0));
  EXPECT(ATTUNE_NULL_POINTER, "a prewarm", attune_prewarm_facts(NULL, &text));
  attune_prewarm_destroy(NULL);
  GOOD(attune_prewarm_start(context, &request, 1, 1, &prewarm));
  GOOD(attune_prewarm_wait(prewarm, -1));
  EXPECT(ATTUNE_NULL_POINTER, "a place for the facts", attune_prewarm_facts(prewarm, NULL));
  GOOD(attune_prewarm_facts(prewarm, &text));
  CHECK(text && strcmp(text, "{\"requests\":1,\"ready\":1,\"failed\":0,\"errors\":[]}") == 0);
  attune_text_free(text);
  attune_prewarm_destroy(prewarm);
  EXPECT(ATTUNE_EMPTY_HANDLE, "destroyed", attune_prewarm_wait(prewarm, 0));
}

/// A launch with one thing wrong, on the device's arrays and on the host's.
struct launch {
  attune_array arrays[6];
  attune_scalar scalars[2];
  attune_arguments arguments;
};

static void reset(struct launch *launch, void *const data[5]) {
  static const char *const names[] = {"q", "k", "v", "o", "lse"};
  memset(launch, 0, sizeof *launch);
  for (int i = 0; i < 5; ++i) {
    launch->arrays[i].name = names[i];
    launch->arrays[i].data = data[i];
    launch->arrays[i].dtype = i == 4 ? ATTUNE_F32 : ATTUNE_BF16;
  }
  launch->scalars[0].name = "scale";
  launch->scalars[0].value = 0.25;
  launch->arguments = (attune_arguments)ATTUNE_ARGUMENTS_INIT;
  launch->arguments.arrays = launch->arrays;
  launch->arguments.array_count = 5;
  launch->arguments.scalars = launch->scalars;
  launch->arguments.scalar_count = 1;
}

static void launches(attune_plan *plan, void *const device[5], void *const host[5]) {
  struct launch it;
  const int64_t shape[] = {1, heads, rows, dim}, dense[] = {count, dim, heads * dim, 1};
  char *report = NULL;
#define BOTH(status, part, change)                                                                           \
  do {                                                                                                       \
    reset(&it, device);                                                                                      \
    change;                                                                                                  \
    EXPECT(status, part, attune_launch(plan, &it.arguments));                                                \
    reset(&it, host);                                                                                        \
    change;                                                                                                  \
    EXPECT(status, part, attune_run(plan, &it.arguments, NULL));                                             \
  } while (0)
  BOTH(ATTUNE_OK, "", (void)0);
  BOTH(ATTUNE_OK, "", (it.arrays[1].rank = 4, it.arrays[1].shape = shape, it.arrays[1].strides = dense));
  BOTH(ATTUNE_OK, "", (it.arrays[1].rank = 4, it.arrays[1].shape = shape));
  BOTH(ATTUNE_OK, "", (it.arrays[1].rank = 4, it.arrays[1].strides = dense));
  BOTH(ATTUNE_INVALID_ARGUMENT, "the size of the arguments", it.arguments.size = 7);
  BOTH(ATTUNE_NULL_POINTER, "5 arrays, got null", it.arguments.arrays = NULL);
  BOTH(ATTUNE_NULL_POINTER, "1 scalars, got null", it.arguments.scalars = NULL);
  BOTH(ATTUNE_INVALID_ARGUMENT, "at most 32 arrays, got 33", it.arguments.array_count = 33);
  BOTH(ATTUNE_INVALID_ARGUMENT, "at most 32 scalars, got 99", it.arguments.scalar_count = 99);
  BOTH(ATTUNE_NULL_POINTER, "the device address of k, got null", it.arrays[1].data = NULL);
  BOTH(ATTUNE_NULL_POINTER, "address of lse", it.arguments.array_count = 4);
  BOTH(ATTUNE_INVALID_ARGUMENT, "a name of array 2, got null", it.arrays[2].name = NULL);
  BOTH(ATTUNE_INVALID_ARGUMENT, "no array for values", it.arrays[2].name = "values");
  BOTH(ATTUNE_INVALID_ARGUMENT, "a name of scalar 0", it.scalars[0].name = NULL);
  BOTH(ATTUNE_INVALID_ARGUMENT, "no value for softcap", it.scalars[0].name = "softcap");
  BOTH(ATTUNE_INVALID_ARGUMENT, "a value for scale", it.arguments.scalar_count = 0);
  BOTH(ATTUNE_INVALID_ARGUMENT, "elements of bf16 in v, got fp16", it.arrays[2].dtype = ATTUNE_F16);
  BOTH(ATTUNE_INVALID_ARGUMENT, "an attune_dtype for v, got 5", it.arrays[2].dtype = 5);
  BOTH(ATTUNE_INVALID_ARGUMENT, "an attune_dtype for v, got -1", it.arrays[2].dtype = -1);
  BOTH(ATTUNE_INVALID_ARGUMENT, "elements of f32 in lse", it.arrays[4].dtype = ATTUNE_BF16);
  BOTH(ATTUNE_INVALID_ARGUMENT, "4 axes of v", (it.arrays[2].rank = 3, it.arrays[2].shape = shape));
  BOTH(ATTUNE_INVALID_ARGUMENT, "axes of v", (it.arrays[2].rank = 9, it.arrays[2].shape = shape));
  BOTH(ATTUNE_INVALID_ARGUMENT, "axes of v", (it.arrays[2].rank = -1, it.arrays[2].shape = shape));
  BOTH(ATTUNE_INVALID_ARGUMENT, "axes of v", it.arrays[2].shape = shape);
  const int64_t longer[] = {1, heads, rows + 1, dim};
  BOTH(ATTUNE_INVALID_ARGUMENT, "20 rows in q (len_q), got 21",
       (it.arrays[0].rank = 4, it.arrays[0].shape = longer));
  const int64_t overlapping[] = {count, dim, 0, 1};
  BOTH(ATTUNE_INVALID_STRIDES, "keep its elements apart",
       (it.arrays[3].rank = 4, it.arrays[3].strides = overlapping));
  const int64_t huge[] = {INT64_MAX / 8 * 8, INT64_MAX / 8 * 8, 8, 1};
  BOTH(ATTUNE_INVALID_STRIDES, "64 bits", (it.arrays[1].rank = 4, it.arrays[1].strides = huge));

  // What kernels do not take, and a run on the host's arrays copies into order.
  const int64_t backward[] = {count, dim, -heads * dim, 1}, odd[] = {count, dim, heads * dim + 1, 1},
                apart[] = {2 * count, 2 * dim, 2 * heads * dim, 2};
  reset(&it, device);
  it.arrays[0].rank = 4;
  it.arrays[0].strides = backward;
  EXPECT(ATTUNE_INVALID_STRIDES, "that is not negative", attune_launch(plan, &it.arguments));
  it.arrays[0].strides = odd;
  EXPECT(ATTUNE_INVALID_STRIDES, "a multiple of 8 elements", attune_launch(plan, &it.arguments));
  it.arrays[0].strides = apart;
  EXPECT(ATTUNE_INVALID_STRIDES, "adjacent", attune_launch(plan, &it.arguments));
  reset(&it, device);
  it.arrays[0].data = (char *)device[0] + 8;
  EXPECT(ATTUNE_MISALIGNED, "q at a multiple of 16 bytes", attune_launch(plan, &it.arguments));
  reset(&it, device);
  it.arrays[3].data = device[2];
  EXPECT(ATTUNE_INVALID_ARGUMENT, "o apart from v", attune_launch(plan, &it.arguments));
  reset(&it, device);
  it.arguments.workspace = (void *)16;
  EXPECT(ATTUNE_MISALIGNED, "the workspace at a multiple of 256", attune_launch(plan, &it.arguments));
  reset(&it, host);
  it.arguments.workspace = host[0];
  EXPECT(ATTUNE_INVALID_ARGUMENT, "no workspace", attune_run(plan, &it.arguments, NULL));
  reset(&it, host);
  it.arguments.stream = host[0];
  EXPECT(ATTUNE_INVALID_ARGUMENT, "no stream", attune_run(plan, &it.arguments, NULL));
  EXPECT(ATTUNE_NULL_POINTER, "the arguments of a launch, got null", attune_launch(plan, NULL));
  EXPECT(ATTUNE_NULL_POINTER, "the arguments of a launch, got null", attune_run(plan, NULL, NULL));

  // Every key is the same, so each row of O is the mean of V's rows: ones.
  reset(&it, host);
  memset(host[3], 0, count * sizeof(uint16_t));
  GOOD(attune_run(plan, &it.arguments, &report));
  CHECK(report && strstr(report, "\"warp instructions\":") != NULL);
  attune_text_free(report);
  int wrong = 0;
  for (int i = 0; i < count; ++i)
    wrong += ((uint16_t *)host[3])[i] != 0x3F80;
  CHECK(wrong == 0);
}

static void bundles_and_advisors(attune_context *context) {
  attune_bundle *bundle = NULL;
  attune_advisor *advisor = NULL;
  attune_context *other = NULL;
  attune_context_options options = ATTUNE_CONTEXT_OPTIONS_INIT;
  char *answer = NULL;
  EXPECT(ATTUNE_NULL_POINTER, "the path", attune_bundle_open(NULL, &bundle));
  EXPECT(ATTUNE_NULL_POINTER, "a place", attune_bundle_open("x", NULL));
  EXPECT(ATTUNE_INVALID_BUNDLE, "/nowhere: error: cannot open the bundle",
         attune_bundle_open("/nowhere", &bundle));
  CHECK(attune_bundle_facts(NULL) == NULL);
  attune_bundle_destroy(NULL);
  options.device = "sim";
  options.simulator = attune_simulator();
  options.bundle = (const attune_bundle *)(const void *)context;
  EXPECT(ATTUNE_EMPTY_HANDLE, "expected a bundle", attune_context_open(&options, &other));
  options.bundle = NULL;
  options.advisor = (const attune_advisor *)(const void *)context;
  EXPECT(ATTUNE_EMPTY_HANDLE, "expected an advisor", attune_context_open(&options, &other));
  EXPECT(ATTUNE_NULL_POINTER, "a function that advises", attune_advisor_create(NULL, NULL, NULL, &advisor));
  EXPECT(ATTUNE_INVALID_OPTIONS, "/nowhere", attune_advisor_tuned("/nowhere/store.sqlite", &advisor));
  EXPECT(ATTUNE_NULL_POINTER, "an advisor", attune_advisor_ask(NULL, "{}", &answer));
  GOOD(attune_advisor_tuned(NULL, &advisor));
  EXPECT(ATTUNE_NULL_POINTER, "a question", attune_advisor_ask(advisor, NULL, &answer));
  EXPECT(ATTUNE_INVALID_ARGUMENT, "question: error: ", attune_advisor_ask(advisor, "{}", &answer));
  EXPECT(ATTUNE_INVALID_ARGUMENT, "question: error: ", attune_advisor_ask(advisor, "nonsense", &answer));
  attune_advisor_destroy(advisor);
  EXPECT(ATTUNE_EMPTY_HANDLE, "destroyed", attune_advisor_ask(advisor, "{}", &answer));
}

int main(int argc, char **argv) {
  if (argc != 2)
    return 2;
  CHECK(strcmp(attune_last_error(), "") == 0);
  contexts(argv[1]);
  attune_context_options options = ATTUNE_CONTEXT_OPTIONS_INIT;
  options.device = "sim";
  options.cache_folder = argv[1];
  options.compiler = attune_compiler();
  options.simulator = attune_simulator();
  attune_context *context = NULL;
  attune_plan *plan = NULL;
  attune_request request = request_of(spec);
  GOOD(attune_context_open(&options, &context));
  GOOD(attune_plan_create(context, &request, &plan));
  if (failures) // nothing below would say more
    return 1;
  handles(context, plan);
  requests(context);
  attune_buffer *buffers[5];
  void *device[5], *host[5];
  for (int i = 0; i < 5; ++i) {
    uint16_t *array = calloc(count, sizeof *array);
    for (int n = 0; n < count && i < 3; ++n)
      array[n] = 0x3F80; // 1
    GOOD(attune_buffer_create(context, count * sizeof *array, NULL, &buffers[i]));
    device[i] = attune_buffer_data(buffers[i]);
    host[i] = array;
    GOOD(attune_copy_in(context, device[i], array, count * sizeof *array, NULL));
  }
  launches(plan, device, host);
  bundles_and_advisors(context);
  for (int i = 0; i < 5; ++i) {
    attune_buffer_destroy(buffers[i]);
    free(host[i]);
  }
  attune_context_destroy(context);
  CHECK(attune_plan_facts(plan) != NULL); // the plan keeps what it needs
  attune_plan_destroy(plan);
  attune_context_destroy(context);
  EXPECT(ATTUNE_EMPTY_HANDLE, "one that was destroyed", attune_context_release(context));
  printf("%d checks, %d failed\n", checks, failures);
  return failures != 0;
}
