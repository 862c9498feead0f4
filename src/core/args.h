// SPDX-License-Identifier: Apache-2.0
// What a kernel sees: operands of one [rows, cols] problem. Null data = the stage is absent. Filled by core/check only.
#ifndef ADDNORM_SRC_CORE_ARGS_H_
#define ADDNORM_SRC_CORE_ARGS_H_

#include <cstddef>
#include <cstdint>

#include "addnorm/types.h"

namespace addnorm {

// row_stride in elements; 0 repeats one row, which is how a [cols] vector looks. A per-row scalar is at data + r * row_stride.
struct In {
  const void* data = nullptr;
  ptrdiff_t row_stride = 0;
  DType dtype = DType::kF32;
  explicit operator bool() const { return data != nullptr; }
};
struct Out {
  void* data = nullptr;
  ptrdiff_t row_stride = 0;
  DType dtype = DType::kF32;
  explicit operator bool() const { return data != nullptr; }
};

struct Shape {
  size_t rows = 0, cols = 0;
};
struct RowRange {
  size_t begin = 0, end = 0;
};

// What kernels need of a Dropout: `keep` tells whether to draw at all.
struct DropoutStage {
  enum class Mode : uint8_t { kNone, kDraw, kDropAll } mode = Mode::kNone;
  uint32_t threshold = 0;  // kept where word < threshold
  double scale = 1.0;      // 1 / (1 - p), 0 if everything is dropped
  uint64_t seed = 0, offset = 0, row_base = 0, col_base = 0, blocks_per_row = 0;
};

// h = ((x * row_scale) * col_scale) * dropout + residual + bias, in this order of rounding.
struct PreNorm {
  In x, row_scale, col_scale;
  DropoutStage dropout;
  In residual, bias;
};

struct ForwardArgs {
  Shape shape;
  NormSpec norm;
  DType stored = DType::kF32;  // the type h is rounded to under norm.from_rounded
  bool wide = false;           // every operand is float64
  bool stream = false;         // the rows are too large for the caches
  PreNorm pre;
  In weight, bias;
  Out y, sum, keep, mean, mean_lo, rstd;
};

enum class Stat : uint8_t { kOurs, kGiven, kVariance };

struct BackwardArgs {
  Shape shape;
  NormSpec norm;
  DType stored = DType::kF32;
  bool wide = false;
  bool stream = false;
  In sum;                  // the saved h; null: formed again from `pre`
  PreNorm pre;             // x also serves the gradients of the scales
  In mean, mean_lo, rstd;  // rstd null: derived again from h
  Stat stat = Stat::kOurs;
  In dy, weight, dsum;
  Out dx, dresidual, xhat, drow_scale;
  Out dweight, dbias, dcol_scale;  // [cols]: sums over all rows
};

}  // namespace addnorm
#endif  // ADDNORM_SRC_CORE_ARGS_H_
