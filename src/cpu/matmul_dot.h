// SPDX-License-Identifier: Apache-2.0
// Dot-product instructions that a CPU may have beyond its SIMD target. Their results are the same bits as those of the target's own
// kernels, so having them or not is a matter of speed only.
#ifndef ADDNORM_SRC_CPU_MATMUL_DOT_H_
#define ADDNORM_SRC_CPU_MATMUL_DOT_H_

#include <cstddef>
#include <cstdint>

#include "src/cpu/matmul_kernels.h"

namespace addnorm {

struct MatmulDots {
  // Words of two bf16: as MatmulKernels::f32, if no operand, product or sum is subnormal (the instruction takes them for zero).
  TileKernel bf16 = nullptr;
  // Words of four: x1 as uint8 (128 more than it is), weights as int8; sums wrap.
  TileKernel int8 = nullptr;
  // sums[column] += all the int8 in `count` words of it.
  void (*column_sums)(const uint32_t* words, size_t count, int32_t* sums) = nullptr;
};

// What this CPU has for the target of this name.
const MatmulDots& MatmulDotsOf(const char* target);

}  // namespace addnorm
#endif  // ADDNORM_SRC_CPU_MATMUL_DOT_H_
