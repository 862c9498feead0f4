// SPDX-License-Identifier: Apache-2.0
// The operands of one problem, every buffer initialised and placed on purpose.
#ifndef ADDNORM_BENCH_OPERANDS_H_
#define ADDNORM_BENCH_OPERANDS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "addnorm/addnorm.h"

namespace addnorm::bench {

/// Where the full tensors start.
enum class Placement {
  kStaggered,  // at different offsets within a page: no store is mistaken for a load 4 KiB away
  kAligned,    // all at multiples of 2 MiB, as big allocations often are
};

/// One tensor [rows, cols], [cols] or [rows] and its shape.
struct Tensor {
  std::byte* data = nullptr;
  DType dtype = DType::kF32;
  std::array<int64_t, 2> shape = {};
  size_t rank = 0;

  TensorView view() const { return {data, dtype, {shape.data(), rank}, {}}; }
  size_t count() const { return static_cast<size_t>(shape[0]) * (rank == 2 ? static_cast<size_t>(shape[1]) : 1); }
  size_t bytes() const { return count() * SizeOf(dtype); }
  /// Element i of the data, exactly.
  double at(size_t i) const;
  void set(size_t i, double value);  // rounded to nearest even
};

/// Memory for the full tensors of the largest problem, taken once.
class Arena {
 public:
  static constexpr size_t kSlots = 6;
  explicit Arena(size_t slot_bytes);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  std::byte* Slot(size_t k, Placement placement) const;
  size_t slot_bytes() const { return slot_bytes_; }

 private:
  size_t slot_bytes_, stride_;
  std::byte* memory_;
};

class Operands {
 public:
  Operands(const Arena& arena, Placement placement, DType dtype, int64_t rows, int64_t cols);
  Operands(const Operands&) = delete;
  Operands& operator=(const Operands&) = delete;

  /// x1, x2, weight, bias -> sum, y. p > 0: with dropout of x1.
  ForwardProblem Forward(NormKind kind, double p = 0) const;
  /// dy, sum, weight -> dx, dweight, dbias (LayerNorm). Statistics as saved, or derived again from the sum.
  BackwardProblem Backward(NormKind kind, bool saved_statistics) const;
  /// Fills mean, mean_lo and rstd with those of the sum as it lies in memory.
  Status SaveStatistics(NormKind kind) const;

  Tensor x1, x2, sum, y, dy, dx;        // [rows, cols]
  Tensor weight, bias, dweight, dbias;  // [cols]
  Tensor mean, mean_lo, rstd;           // [rows]
  double eps = 1e-5;

 private:
  Tensor Small(size_t index, DType dtype, int64_t size);
  std::vector<std::byte> small_[7];
};

}  // namespace addnorm::bench
#endif  // ADDNORM_BENCH_OPERANDS_H_
