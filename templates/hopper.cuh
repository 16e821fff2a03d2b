//===- hopper.cuh - what kernels for sm_90a use besides ---------*- CUDA -*-===//
#pragma once
#include "attune.cuh"
#include "barrier.cuh"
#include "roles.cuh"
#include "wgmma.cuh"
