//===- attune.cuh - everything that a printed kernel uses -------*- CUDA -*-===//
#pragma once
#include "copy.cuh"
#include "mask.cuh"
#include "mma.cuh"
#include "params.cuh"
#include "shared.cuh"
#include "softmax.cuh"
#include "store.cuh"
#include "vec.cuh"
