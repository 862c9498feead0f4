// SPDX-License-Identifier: Apache-2.0
// The matmul waist: fp32 partial sums of one rank. Implemented in src/cpu/matmul*.cc. Bits depend on the arguments alone: not on the SIMD
// target, the number of rows computed together, threads, or whether the weights were packed before.
#ifndef ADDNORM_SRC_CORE_MATMUL_H_
#define ADDNORM_SRC_CORE_MATMUL_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "src/core/args.h"
#include "src/core/rows.h"

namespace addnorm {

struct MatmulArgs {
  size_t m = 0, n = 0, k = 0;
  In x1;  // [m, k], row_stride apart
  // [k, n], element (i, j) at i * k_stride + j * n_stride; one of the two is 1 (any other strides are the caller's to copy).
  struct Weights {
    const void* data = nullptr;
    ptrdiff_t k_stride = 0, n_stride = 0;
    DType dtype = DType::kF32;
  } x2;
  In bias;  // [n]; int32 if x1 and x2 are int8, else float
  // int8 x int8: partial = fp32(fp64(sum + bias) * fp64(scale[j])); fp32 values, scale_stride 0 = per tensor, 1 = per column.
  const float* dequant_scale = nullptr;
  size_t dequant_stride = 0;
  // float x int8: W = (x2 + offset) * scale at [i / group, j]; strides in elements, 0 = the same for all.
  struct Antiquant {
    const void* scale = nullptr;
    const void* offset = nullptr;  // null = 0
    DType dtype = DType::kF32;
    ptrdiff_t group_stride = 0, n_stride = 0;
    size_t group = 0;  // 0 = one group
  } antiquant;
};

// Weights packed for one target, in the caller's memory (64-byte aligned). 0 bytes if n or k is 0. Packing reads and writes every weight
// once: worth it for weights that are used again, also by the next row block of the same call.
size_t PackedWeightBytes(const Target& target, const MatmulArgs& args);
void PackWeights(const Target& target, const MatmulArgs& args, std::byte* packed, const Executor& executor);

// out[i, j] (fp32, out_stride elements apart) for rows [rows.begin, rows.end) of x1, written to out row i - rows.begin.
// packed: from PackWeights on the same target and arguments (m, x1 and what is per call apart: bias, scales, offsets), or null: packed on
// the fly, chunk by chunk, in the workspace (64-byte aligned). rows may be at most args.m; fewer need less than MatmulWorkspaceBytes says.
size_t MatmulWorkspaceBytes(const Target& target, const MatmulArgs& args, bool packed, const Executor& executor);
void RunMatmul(const Target& target, const MatmulArgs& args, const std::byte* packed, RowRange rows, float* out, size_t out_stride,
               std::span<std::byte> workspace, const Executor& executor);

}  // namespace addnorm
#endif  // ADDNORM_SRC_CORE_MATMUL_H_
