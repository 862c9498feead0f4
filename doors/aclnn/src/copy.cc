// SPDX-License-Identifier: Apache-2.0
// The door's one strided copy. Work is cut into blocks of kTile x (last dimension), where the other dimension of the block is the one in
// which the view is densest: both sides are then read and written line by line, for transposed views too.
#include <algorithm>
#include <cstring>

#include "addnorm/types.h"
#include "doors/aclnn/src/view.h"

namespace addnorm::aclnn {
namespace {

constexpr int64_t kTile = 64;
constexpr int64_t kThreadedElements = 1 << 17;  // below this a copy costs less than waking a thread

struct Copy {
  std::byte* view;
  std::byte* dense;
  bool to_view;
  int rank;
  int64_t shape[kMaxRank], view_strides[kMaxRank], dense_strides[kMaxRank];
  int partner;  // the other dimension of a block; -1 if there is one dimension only
  int64_t partner_blocks;
};

template <int kBytes>
void CopyElement(const Copy& c, std::byte* view, std::byte* dense) {
  if (c.to_view) {
    std::memcpy(view, dense, kBytes);
  } else {
    std::memcpy(dense, view, kBytes);
  }
}

template <int kBytes>
void CopyBlock(const Copy& c, std::byte* view, std::byte* dense, int64_t partner_count) {
  const int last = c.rank - 1;
  const int64_t n = c.shape[last], step = c.view_strides[last] * kBytes;
  const int64_t view_pitch = c.partner < 0 ? 0 : c.view_strides[c.partner] * kBytes;
  const int64_t dense_pitch = c.partner < 0 ? 0 : c.dense_strides[c.partner] * kBytes;
  if (step == kBytes) {
    for (int64_t p = 0; p < partner_count; ++p, view += view_pitch, dense += dense_pitch) {
      std::memcpy(c.to_view ? view : dense, c.to_view ? dense : view, static_cast<size_t>(n * kBytes));
    }
    return;
  }
  for (int64_t begin = 0; begin < n; begin += kTile) {
    const int64_t end = std::min(n, begin + kTile);
    for (int64_t p = 0; p < partner_count; ++p) {
      for (int64_t i = begin; i < end; ++i) {
        CopyElement<kBytes>(c, view + p * view_pitch + i * step, dense + p * dense_pitch + i * kBytes);
      }
    }
  }
}

template <int kBytes>
void CopyBlocks(void* arg, size_t begin, size_t end) {
  const Copy& c = *static_cast<const Copy*>(arg);
  for (size_t unit = begin; unit < end; ++unit) {
    int64_t rest = static_cast<int64_t>(unit), count = 1;
    std::byte *view = c.view, *dense = c.dense;
    if (c.partner >= 0) {
      const int64_t first = rest % c.partner_blocks * kTile;
      rest /= c.partner_blocks;
      count = std::min(kTile, c.shape[c.partner] - first);
      view += first * c.view_strides[c.partner] * kBytes;
      dense += first * c.dense_strides[c.partner] * kBytes;
    }
    for (int d = c.rank - 2; d >= 0; --d) {
      if (d == c.partner) continue;
      view += rest % c.shape[d] * c.view_strides[d] * kBytes;
      dense += rest % c.shape[d] * c.dense_strides[d] * kBytes;
      rest /= c.shape[d];
    }
    CopyBlock<kBytes>(c, view, dense, count);
  }
}

void Run(const View& view, std::byte* dense, bool to_view) noexcept {
  const Folded folded = Fold(view.shape, view.strides, view.rank);
  Copy c;
  c.view = view.data;
  c.dense = dense;
  c.to_view = to_view;
  c.rank = std::max(folded.rank, 1);
  c.shape[0] = c.view_strides[0] = 1;  // a single element folds to no dimension at all
  std::copy(folded.shape, folded.shape + folded.rank, c.shape);
  std::copy(folded.strides, folded.strides + folded.rank, c.view_strides);
  c.partner = c.rank - 2;
  int64_t elements = 1, units = 1;
  for (int d = c.rank - 1; d >= 0; --d) {
    c.dense_strides[d] = elements;
    elements *= c.shape[d];
    if (d < c.rank - 1 && c.view_strides[d] < c.view_strides[c.partner]) c.partner = d;
  }
  if (elements == 0) return;
  for (int d = 0; d < c.rank - 1; ++d) units *= d == c.partner ? (c.shape[d] + kTile - 1) / kTile : c.shape[d];
  c.partner_blocks = c.partner < 0 ? 1 : (c.shape[c.partner] + kTile - 1) / kTile;
  const auto task = view.element_bytes == 2 ? CopyBlocks<2> : CopyBlocks<4>;
  if (elements < kThreadedElements || units == 1) {
    task(&c, 0, static_cast<size_t>(units));
  } else {
    const addnorm::Executor& executor = DefaultExecutor();
    executor.parallel_for(executor.context, static_cast<size_t>(units), task, &c);
  }
}

}  // namespace

void Gather(const View& view, std::byte* contiguous) noexcept { Run(view, contiguous, false); }
void Scatter(const std::byte* contiguous, const View& view) noexcept { Run(view, const_cast<std::byte*>(contiguous), true); }

}  // namespace addnorm::aclnn
