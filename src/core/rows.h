// SPDX-License-Identifier: Apache-2.0
// THE WAIST. Everything above turns a call into ForwardArgs / BackwardArgs, everything below computes rows.
// Nothing here allocates, throws, logs, locks or starts threads.
#ifndef ADDNORM_SRC_CORE_ROWS_H_
#define ADDNORM_SRC_CORE_ROWS_H_

#include <cstddef>
#include <span>

#include "src/core/args.h"

namespace addnorm {

// Column gradients are summed over blocks of this many rows, blocks over a fixed binary tree (docs/numerics.md).
inline constexpr size_t kBlockRows = 64;
inline constexpr size_t kScratchAlign = 64;

// One element of a column-gradient partial: fp32, or fp64 where the operands are.
inline size_t PartialElementBytes(const BackwardArgs& args) { return args.wide ? 8 : 4; }
// Columns of a row of scratch or of one gradient's partial: whole vectors on every target.
inline size_t PaddedCols(size_t cols) { return (cols + 63) / 64 * 64; }
inline size_t CountPartials(const BackwardArgs& args) {
  return size_t{args.dweight.data != nullptr} + size_t{args.dbias.data != nullptr} + size_t{args.dcol_scale.data != nullptr};
}
inline size_t PartialBytes(const BackwardArgs& args) {
  return CountPartials(args) * PaddedCols(args.shape.cols) * PartialElementBytes(args);
}

// The kernels of one SIMD target. All targets give the same bits.
struct Target {
  const char* name;
  bool (*supported)();
  // Scratch that one call of forward / backward needs: kScratchAlign-aligned, any content. 0 where none is needed.
  size_t (*forward_scratch)(const ForwardArgs&);
  size_t (*backward_scratch)(const BackwardArgs&);
  // Row outputs of [range.begin, range.end).
  void (*forward)(const ForwardArgs&, RowRange, std::byte* scratch);
  // One block: at most kBlockRows rows. Row outputs, and the block's partial of each wanted column gradient
  // (dweight, dbias, dcol_scale in this order, PaddedCols apart), written with `=`; null if none is wanted.
  void (*backward)(const BackwardArgs&, RowRange, std::byte* scratch, void* partials);
  // into[i] += from[i], n elements of `wide` ? fp64 : fp32.
  void (*add)(void* into, const void* from, size_t n, bool wide);
  // out[i] = round(from[i]).
  void (*store)(Out out, const void* from, size_t n, bool wide);
};

// Targets compiled into this build, best first.
std::span<const Target* const> BuiltTargets();

}  // namespace addnorm
#endif  // ADDNORM_SRC_CORE_ROWS_H_
