//===- attune.cuh - everything that a printed kernel uses -------*- CUDA -*-===//
#pragma once
#include "copy.cuh"
#include "elementwise.cuh"
#include "mask.cuh"
#include "mma.cuh"
#include "nonfinite.cuh"
#include "params.cuh"
#include "rows.cuh"
#include "shared.cuh"
#include "store.cuh"
#include "vec.cuh"
