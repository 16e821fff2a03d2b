//===- abi.c - what programs and the library agree on ---------------------===//
//
// Prints the size of each struct, the place of each member and the number of each enumerator, as abi.txt has
// them.
//
//===----------------------------------------------------------------------===//
#include <attune/attune.h>

#include <stdio.h>

#define STRUCT(type) printf("struct %s %zu\n", #type, sizeof(type))
#define MEMBER(type, name) printf("  %s %zu\n", #name, offsetof(type, name))
#define NUMBER(name) printf("%s %d\n", #name, (int)name)

int main(void) {
  STRUCT(attune_context_options);
  MEMBER(attune_context_options, size);
  MEMBER(attune_context_options, device);
  MEMBER(attune_context_options, arch);
  MEMBER(attune_context_options, cache_folder);
  MEMBER(attune_context_options, bundle);
  MEMBER(attune_context_options, compiler);
  MEMBER(attune_context_options, simulator);
  MEMBER(attune_context_options, advisor);
  MEMBER(attune_context_options, policy);
  MEMBER(attune_context_options, target);
  MEMBER(attune_context_options, most_programs);
  MEMBER(attune_context_options, cuda_driver);
  MEMBER(attune_context_options, sim_mode);
  MEMBER(attune_context_options, sim_threads);
  MEMBER(attune_context_options, sim_seed);
  MEMBER(attune_context_options, sim_unchecked);
  MEMBER(attune_context_options, sim_multiprocessors);
  STRUCT(attune_request);
  MEMBER(attune_request, size);
  MEMBER(attune_request, spec);
  MEMBER(attune_request, spec_name);
  MEMBER(attune_request, batch);
  MEMBER(attune_request, heads_q);
  MEMBER(attune_request, heads_kv);
  MEMBER(attune_request, length_q);
  MEMBER(attune_request, length_kv);
  MEMBER(attune_request, stage);
  MEMBER(attune_request, stage_text);
  MEMBER(attune_request, stage_name);
  STRUCT(attune_array);
  MEMBER(attune_array, name);
  MEMBER(attune_array, data);
  MEMBER(attune_array, dtype);
  MEMBER(attune_array, rank);
  MEMBER(attune_array, shape);
  MEMBER(attune_array, strides);
  STRUCT(attune_scalar);
  MEMBER(attune_scalar, name);
  MEMBER(attune_scalar, value);
  STRUCT(attune_arguments);
  MEMBER(attune_arguments, size);
  MEMBER(attune_arguments, stream);
  MEMBER(attune_arguments, arrays);
  MEMBER(attune_arguments, array_count);
  MEMBER(attune_arguments, scalars);
  MEMBER(attune_arguments, scalar_count);
  MEMBER(attune_arguments, workspace);
  NUMBER(ATTUNE_OK);
  NUMBER(ATTUNE_INVALID_OPTIONS);
  NUMBER(ATTUNE_INVALID_SPEC);
  NUMBER(ATTUNE_INVALID_SHAPE);
  NUMBER(ATTUNE_INVALID_STRIDES);
  NUMBER(ATTUNE_INVALID_ARGUMENT);
  NUMBER(ATTUNE_NULL_POINTER);
  NUMBER(ATTUNE_MISALIGNED);
  NUMBER(ATTUNE_EMPTY_HANDLE);
  NUMBER(ATTUNE_NO_DEVICE);
  NUMBER(ATTUNE_NOT_CACHED);
  NUMBER(ATTUNE_TOOL_MISSING);
  NUMBER(ATTUNE_COMPILE_FAILED);
  NUMBER(ATTUNE_LOAD_FAILED);
  NUMBER(ATTUNE_LAUNCH_FAILED);
  NUMBER(ATTUNE_KERNEL_FAULT);
  NUMBER(ATTUNE_OUT_OF_MEMORY);
  NUMBER(ATTUNE_DEVICE_FAILED);
  NUMBER(ATTUNE_NOT_READY);
  NUMBER(ATTUNE_INVALID_BUNDLE);
  NUMBER(ATTUNE_INTERNAL);
  NUMBER(ATTUNE_POLICY_DEFAULT);
  NUMBER(ATTUNE_POLICY_COMPILE_IF_MISSING);
  NUMBER(ATTUNE_POLICY_CACHE_ONLY);
  NUMBER(ATTUNE_POLICY_RECOMPILE);
  NUMBER(ATTUNE_TARGET_DEFAULT);
  NUMBER(ATTUNE_TARGET_PTX);
  NUMBER(ATTUNE_TARGET_CUDA);
  NUMBER(ATTUNE_SIM_EAGER);
  NUMBER(ATTUNE_SIM_LAZY);
  NUMBER(ATTUNE_SIM_RANDOM);
  NUMBER(ATTUNE_F16);
  NUMBER(ATTUNE_BF16);
  NUMBER(ATTUNE_F32);
  NUMBER(ATTUNE_I32);
  NUMBER(ATTUNE_U8);
  return 0;
}
