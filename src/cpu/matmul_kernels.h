// SPDX-License-Identifier: Apache-2.0
// The matmul kernels of one SIMD target, as a table. src/cpu/matmul.cc drives them.
//
// Weights lie in panels of `cols` columns. A panel is rows of 32-bit words, one word per column: 1 fp32, 2 fp16 or bf16, or 4 int8
// that follow each other in k. So packing knows only the size of an element, and one kind of transpose serves every type.
#ifndef ADDNORM_SRC_CPU_MATMUL_KERNELS_H_
#define ADDNORM_SRC_CPU_MATMUL_KERNELS_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "addnorm/types.h"

namespace addnorm {

// The part [k_begin, k_end) x [0, cols) of x2, cols of any number of panels; k_begin is the first k of a word.
struct WeightPart {
  const std::byte* data = nullptr;  // element (0, first column)
  ptrdiff_t k_stride = 0, n_stride = 0;
  size_t element_bytes = 0;
  size_t k_begin = 0, k_end = 0, cols = 0;
};

// A run of k that is summed from zero and then added to the running sum: c = scale * sum + c, rounded once. scale null: 1.
struct MatmulBlock {
  size_t begin = 0, size = 0;    // within the chunk; in words of k where a word holds more than one
  const float* scale = nullptr;  // one per column
};

// Running sums of a few rows in one panel.
struct MatmulTile {
  const void* a = nullptr;  // x1: [k][rows]
  const void* b = nullptr;  // weights: [k][cols]
  void* c = nullptr;        // [rows][cols], fp32 or int32
  std::span<const MatmulBlock> blocks;
  // What to fetch into the L2 cache meanwhile: one line per row of words.
  uintptr_t next = 0;
  ptrdiff_t next_step = 0;
};
using TileKernel = void (*)(size_t rows, const MatmulTile& tile);

// One panel of the result. cols: how many there are in out.
struct MatmulFinish {
  const void* c = nullptr;
  size_t rows = 0, cols = 0;
  const float* bias = nullptr;  // fp32 sums: added, unless null
  // int32 sums: fp32((fp64(c - shift) + bias) * scale), each one per column.
  const int32_t* shift = nullptr;
  const double* wide_bias = nullptr;
  const double* wide_scale = nullptr;
  float* out = nullptr;
  size_t out_stride = 0;
};

struct MatmulKernels {
  const char* name;
  size_t cols;      // of a panel
  size_t max_rows;  // of a tile
  // Panel after panel, panel_words apart.
  void (*pack)(const WeightPart& part, uint32_t* words, size_t panel_words);
  // Of bf16 in pairs, the smallest bits of a nonzero magnitude; 0x10000 if there is none.
  uint32_t (*smallest_bf16)(const uint32_t* words, size_t count);
  // k = first .. first + count - 1 of a panel of words as fp32 [count][cols]; int8 plus offset (one per column, null = 0), rounded once.
  void (*widen)(const uint32_t* words, DType dtype, size_t first, size_t count, const float* offset, float* out);
  // The same k of int8 words, first even, as words of two bf16: [count / 2 rounded up][cols]. Exact if offset is integers up to 128.
  void (*widen_bf16)(const uint32_t* words, size_t first, size_t count, const float* offset, uint32_t* out);
  // int8 words as words of two int16: elements 0 and 2, then 1 and 3.
  void (*split)(const uint32_t* words, size_t count, uint32_t* out);
  // n elements of a float type as fp32.
  void (*widen_row)(const void* from, DType dtype, size_t n, float* out);
  TileKernel f32;    // k in pairs, the odd one of a pair first, as vdpbf16ps has it; fused multiply-add
  TileKernel int16;  // words of two int16
  void (*finish_f32)(const MatmulFinish& finish);
  void (*finish_int32)(const MatmulFinish& finish);
};

// The kernels of the target of this name.
const MatmulKernels& MatmulKernelsOf(const char* target);

}  // namespace addnorm
#endif  // ADDNORM_SRC_CPU_MATMUL_KERNELS_H_
