// Attention over 100 tokens on this machine's GPU, or on the simulated one, checked against a plain
// computation.
#include <attune/attune.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { length = 100, heads = 4, kv_heads = 2, dim = 64 };

// bfloat16 is the upper half of a float.
static float number(uint16_t bits) {
  uint32_t word = (uint32_t)bits << 16;
  float value;
  memcpy(&value, &word, sizeof value);
  return value;
}

static uint16_t *random_array(size_t count) {
  uint16_t *array = malloc(count * sizeof *array);
  for (size_t i = 0; i < count; ++i) {
    float value = (float)rand() / (float)RAND_MAX - 0.5f;
    uint32_t word;
    memcpy(&word, &value, sizeof word);
    array[i] = (uint16_t)(word >> 16);
  }
  return array;
}

// Ends the program with the error's message, if there is one.
static void need(attune_status status) {
  if (status == ATTUNE_OK)
    return;
  fprintf(stderr, "%s: %s\n", attune_status_name(status), attune_last_error());
  exit(1);
}

int main(void) {
  attune_context_options options = ATTUNE_CONTEXT_OPTIONS_INIT;
  options.compiler = attune_compiler();
  options.simulator = attune_simulator();
  attune_context *context;
  need(attune_context_open(&options, &context));

  attune_request request = ATTUNE_REQUEST_INIT;
  request.spec = "{\"head_dim\": 64, \"mask\": \"causal\"}";
  request.heads_q = heads, request.heads_kv = kv_heads;
  request.length_q = request.length_kv = length;
  attune_plan *plan;
  need(attune_plan_start(context, &request,
                         &plan)); // returns at once: a thread compiles, or looks into the cache

  uint16_t *q = random_array(length * heads * dim), *k = random_array(length * kv_heads * dim),
           *v = random_array(length * kv_heads * dim), *o = random_array(length * heads * dim);
  need(attune_plan_wait(plan, -1));
  printf("%s", attune_plan_describe(plan));

  // Arrays of the host; with arrays of the device it is attune_launch, and arguments.stream.
  attune_array arrays[] = {{.name = "q", .data = q, .dtype = ATTUNE_BF16},
                           {.name = "k", .data = k, .dtype = ATTUNE_BF16},
                           {.name = "v", .data = v, .dtype = ATTUNE_BF16},
                           {.name = "o", .data = o, .dtype = ATTUNE_BF16}};
  attune_arguments arguments = ATTUNE_ARGUMENTS_INIT;
  arguments.arrays = arrays;
  arguments.array_count = 4;
  need(attune_run(plan, &arguments, NULL));

  double worst = 0;
  for (int head = 0; head < heads; ++head)
    for (int row = 0; row < length; ++row) {
      double sum[dim] = {0}, weights = 0;
      for (int key = 0; key <= row; ++key) {
        int at = (key * kv_heads + head / (heads / kv_heads)) * dim;
        double score = 0;
        for (int d = 0; d < dim; ++d)
          score += (double)number(q[(row * heads + head) * dim + d]) * number(k[at + d]);
        double weight = exp(score / sqrt(dim));
        weights += weight;
        for (int d = 0; d < dim; ++d)
          sum[d] += weight * number(v[at + d]);
      }
      for (int d = 0; d < dim; ++d)
        worst = fmax(worst, fabs(sum[d] / weights - number(o[(row * heads + head) * dim + d])));
    }
  printf("largest error %.5f: %s\n", worst, worst < 0.01 ? "right" : "wrong");

  attune_plan_destroy(plan);
  attune_context_destroy(context);
  free(q), free(k), free(v), free(o);
  return worst < 0.01 ? 0 : 1;
}
