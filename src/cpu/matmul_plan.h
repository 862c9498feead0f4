// SPDX-License-Identifier: Apache-2.0
// How one matmul is cut: sizes that follow from the arguments, and what the tasks of one group of rows share.
#ifndef ADDNORM_SRC_CPU_MATMUL_PLAN_H_
#define ADDNORM_SRC_CPU_MATMUL_PLAN_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "src/base/dtype.h"
#include "src/core/matmul.h"
#include "src/cpu/matmul_dot.h"
#include "src/cpu/matmul_kernels.h"

namespace addnorm {

inline constexpr size_t kBlock = 64;           // k that are summed from zero: the error bound of src/core/matmul.h
inline constexpr size_t kMostPanelCols = 32;   // on any target
inline constexpr size_t kExactInt32 = 131071;  // k whose int8 products cannot leave int32

inline constexpr size_t kChunkRows = 256;  // of what the inner loop reads of the weights: one k, or a word's worth of them

// What x1 is packed into, and which kernel runs. Bits depend on the types alone: kBF16 gives those of kFloat, kInt8 those of kInt16.
enum class MatmulForm : uint8_t { kFloat, kBF16, kInt16, kInt8 };

inline size_t RoundUp(size_t n, size_t to) { return (n + to - 1) / to * to; }

// The same for packing weights, for the workspace and for running.
struct MatmulPlan {
  const MatmulKernels& kernels;
  const MatmulDots& dots;
  MatmulForm form;
  size_t per_word, k_words;                  // of weights
  size_t panels, panel_words, header_words;  // a packed panel: a header (PanelFacts), and k_words rows
  size_t x1_words;                           // of one packed row
  size_t chunk;                              // k at a time
  size_t most_rows;                          // of a group
  size_t strip_panels, strips, slices;
  size_t chunk_words;                                                               // of one panel, unpacked
  size_t sums_bytes, wide_bytes, words_bytes, b_bytes, columns_bytes, slice_bytes;  // of one slice's scratch

  MatmulPlan(const Target& target, const MatmulArgs& args, size_t rows, const Executor& executor);
  size_t FirstPanel(size_t strip) const { return strip * panels / strips; }
  bool integer() const { return form == MatmulForm::kInt16 || form == MatmulForm::kInt8; }
  size_t x1_bytes() const { return RoundUp(most_rows * x1_words * 4, 64); }
  size_t tiles_bytes() const { return RoundUp(RoundUp(most_rows, kernels.max_rows) / kernels.max_rows * 4, 64); }
  size_t workspace_bytes() const { return x1_bytes() + tiles_bytes() + slices * slice_bytes; }
};

// What the dot-product kernels must know of some weights. int8: the sum of each column. bf16: [0] is what
// MatmulKernels::smallest_bf16 gives.
struct alignas(64) PanelFacts {
  int32_t values[kMostPanelCols];
};

// Whether sums of products of nonzero bf16 of these smallest magnitudes are exactly zero or normal fp32, whatever is added to what.
// Each bf16 is a multiple of 2^(e - 7), e the smallest exponent, so each product and, however it is rounded, each sum is a multiple
// of 2^(e1 - 7 + e2 - 7). That must be at least 2^-126.
inline bool StaysNormal(uint32_t smallest1, uint32_t smallest2) {
  const uint32_t e1 = smallest1 >> 7, e2 = smallest2 >> 7;  // biased by 127; 0 = subnormal
  return e1 != 0 && e2 != 0 && e1 + e2 >= 2 * 127 + 14 - 126;
}

// Rows in tiles of nearly equal height.
struct RowTiles {
  size_t rows, count;
  RowTiles(size_t row_count, size_t most) : rows(row_count), count(RoundUp(row_count, most) / most) {}
  size_t Begin(size_t tile) const { return tile * (rows / count) + std::min(tile, rows % count); }
  size_t Rows(size_t tile) const { return Begin(tile + 1) - Begin(tile); }
};

// One group of rows: its x1 is packed first, then its tasks run, each for a strip of columns and all or some of the row tiles.
struct MatmulGroup {
  const MatmulArgs& args;
  const MatmulPlan& plan;
  const uint32_t* packed;  // weights, or null
  RowRange rows;           // of x1
  float* out;
  size_t out_stride;
  RowTiles tiles;
  uint32_t* x1;             // [tile][k][row of the tile]
  uint32_t* tile_smallest;  // kBF16: the smallest nonzero magnitude of each tile
  std::byte* scratch;
  uint64_t fp_mode;
  size_t row_parts, tasks, slices;
};

// [0, cols) from `column` on, [k.begin, k.end) of x2.
WeightPart PartOf(const MatmulArgs& args, size_t column, size_t cols, RowRange k);
// Of `count` rows of words of a panel.
PanelFacts FactsOf(const MatmulPlan& plan, const uint32_t* words, size_t count);
void RunMatmulTask(const MatmulGroup& group, size_t task, std::byte* scratch);

}  // namespace addnorm
#endif  // ADDNORM_SRC_CPU_MATMUL_PLAN_H_
