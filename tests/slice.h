// SPDX-License-Identifier: Apache-2.0
// A problem as two-dimensional views, and consecutive rows of it: what a caller does who splits a batch.
#ifndef ADDNORM_TESTS_SLICE_H_
#define ADDNORM_TESTS_SLICE_H_

#include <array>
#include <cstdint>
#include <deque>

#include "tests/problems.h"

namespace addnorm::test {

class Slice {
 public:
  Slice(const Problem& problem, size_t first, size_t rows) : problem_(problem), first_(first), rows_(rows) {}

  ForwardProblem forward() {
    ForwardProblem p = problem_.forward;
    p.normalized_rank = 1;
    Parts(&p.pre);
    p.weight = Column(p.weight), p.bias = Column(p.bias);
    for (TensorView* view : {&p.y, &p.prenorm, &p.keep}) *view = Full(*view);
    for (TensorView* view : {&p.mean, &p.mean_lo, &p.rstd}) *view = PerRow(*view);
    return p;
  }
  BackwardProblem backward() {
    BackwardProblem p = problem_.backward;
    p.normalized_rank = 1;
    Parts(&p.pre);
    for (TensorView* view : {&p.weight, &p.dweight, &p.dbias, &p.dlayerscale}) *view = Column(*view);
    for (TensorView* view : {&p.dy, &p.prenorm, &p.dsum, &p.dx0, &p.dresidual, &p.xhat}) *view = Full(*view);
    for (TensorView* view : {&p.mean, &p.mean_lo, &p.rstd, &p.drowscale}) *view = PerRow(*view);
    return p;
  }

 private:
  size_t Lead() const { return problem_.dy.view().shape.size() - static_cast<size_t>(problem_.forward.normalized_rank); }
  int64_t RowStride(const TensorView& view, int64_t contiguous) const {
    return view.strides.empty() || Lead() == 0 ? contiguous : view.strides[Lead() - 1];
  }
  TensorView At(TensorView view, int64_t row_stride, std::array<int64_t, 2> shape, std::array<int64_t, 2> strides, size_t rank) {
    const auto offset = static_cast<int64_t>(first_) * row_stride * static_cast<int64_t>(SizeOf(view.dtype));
    view.data = static_cast<std::byte*>(view.data) + offset;
    view.shape = std::span<const int64_t>(keep_.emplace_back(shape)).first(rank);
    view.strides = std::span<const int64_t>(keep_.emplace_back(strides)).first(rank);
    return view;
  }
  TensorView Full(const TensorView& view) {
    if (!view) return {};
    const int64_t cols = static_cast<int64_t>(problem_.options.cols), stride = RowStride(view, cols);
    return At(view, stride, {static_cast<int64_t>(rows_), cols}, {stride, 1}, 2);
  }
  TensorView PerRow(const TensorView& view) {
    if (!view) return {};
    const int64_t stride = RowStride(view, 1);
    return At(view, stride, {static_cast<int64_t>(rows_), 0}, {stride, 0}, 1);
  }
  TensorView Column(const TensorView& view) {
    if (!view) return {};
    return At(view, 0, {static_cast<int64_t>(problem_.options.cols), 0}, {1, 0}, 1);
  }
  void Parts(PreNormTensors* pre) {
    for (TensorView* view : {&pre->x0, &pre->residual}) *view = Full(*view);
    pre->rowscale = PerRow(pre->rowscale);
    pre->layerscale = Column(pre->layerscale);
    const bool full = pre->prebias.shape.size() == problem_.dy.view().shape.size() && Lead() > 0;
    pre->prebias = full ? Full(pre->prebias) : Column(pre->prebias);
    pre->dropout.row_base += first_;
  }

  const Problem& problem_;
  const size_t first_, rows_;
  std::deque<std::array<int64_t, 2>> keep_;
};

}  // namespace addnorm::test
#endif  // ADDNORM_TESTS_SLICE_H_
