// SPDX-License-Identifier: Apache-2.0
#include "doors/aclnn/src/view.h"

#include <algorithm>
#include <utility>

namespace addnorm::aclnn {
namespace {

// One unknown of  sum_k stride_k d_k = target,  low_k <= d_k <= high_k.
struct Term {
  int64_t stride, low, high;
};

// Depth-first search over terms in the order of falling strides; at each the range is cut to what the remaining ones can make up for.
// Strides are positive; extents are at most 2^46 elements of 8 bytes, so no sum overflows.
class Search {
 public:
  // Terms of the same stride are one: the sums of two ranges of whole numbers are a range.
  void Add(int64_t stride, int64_t low, int64_t high) {
    for (int k = 0; k < count_; ++k) {
      if (terms_[k].stride == stride) {
        terms_[k].low += low;
        terms_[k].high += high;
        return;
      }
    }
    terms_[count_++] = {stride, low, high};
  }

  // Whether there is a solution; with `nonzero`, one other than all zeros.
  bool Solvable(int64_t target, bool nonzero) {
    std::sort(terms_, terms_ + count_, [](const Term& a, const Term& b) { return a.stride > b.stride; });
    rest_low_[count_] = rest_high_[count_] = 0;
    for (int k = count_; k-- > 0;) {
      rest_low_[k] = rest_low_[k + 1] + terms_[k].stride * terms_[k].low;
      rest_high_[k] = rest_high_[k + 1] + terms_[k].stride * terms_[k].high;
    }
    return Visit(0, target, nonzero);
  }

 private:
  static int64_t FloorDiv(int64_t a, int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }

  bool Visit(int k, int64_t target, bool nonzero) {
    if (k == count_) return target == 0 && !nonzero;
    if (++steps_ > kMaxSteps) return true;
    const Term& term = terms_[k];
    const int64_t low = std::max(term.low, -FloorDiv(rest_high_[k + 1] - target, term.stride));
    const int64_t high = std::min(term.high, FloorDiv(target - rest_low_[k + 1], term.stride));
    for (int64_t d = low; d <= high; ++d) {
      if (Visit(k + 1, target - d * term.stride, nonzero && d == 0)) return true;
    }
    return false;
  }

  static constexpr int kMaxSteps = 20000;
  Term terms_[2 * kMaxRank + 2];
  int64_t rest_low_[2 * kMaxRank + 3], rest_high_[2 * kMaxRank + 3];
  int count_ = 0, steps_ = 0;
};

bool IsEmpty(const View& view) {
  return std::any_of(view.shape, view.shape + view.rank, [](int64_t n) { return n == 0; });
}

}  // namespace

int64_t CountElements(const int64_t* shape, int count) noexcept {
  int64_t product = 1;
  bool too_many = false;
  for (int i = 0; i < count; ++i) {
    if (shape[i] == 0) return 0;
    too_many = too_many || __builtin_mul_overflow(product, shape[i], &product) || product > kMaxElements;
  }
  return too_many ? -1 : product;
}

int64_t Extent(const View& view) noexcept {
  int64_t last = 0;
  if (IsEmpty(view)) return 0;
  for (int i = 0; i < view.rank; ++i) {
    int64_t reach;
    if (__builtin_mul_overflow(view.shape[i] - 1, view.strides[i], &reach) || reach >= kMaxElements) return -1;
    last += reach;
    if (last >= kMaxElements) return -1;
  }
  return last + 1;
}

Folded Fold(const int64_t* shape, const int64_t* strides, int rank) noexcept {
  Folded folded;
  for (int i = 0; i < rank; ++i) {
    if (shape[i] == 1) continue;
    const int last = folded.rank - 1;
    int64_t run;
    if (last >= 0 && !__builtin_mul_overflow(strides[i], shape[i], &run) && folded.strides[last] == run) {
      folded.shape[last] *= shape[i];
      folded.strides[last] = strides[i];
    } else {
      folded.shape[folded.rank] = shape[i];
      folded.strides[folded.rank++] = strides[i];
    }
  }
  return folded;
}

bool OverlapsItself(const View& view) noexcept {
  if (IsEmpty(view)) return false;
  Search search;
  for (int i = 0; i < view.rank; ++i) {
    if (view.shape[i] == 1) continue;
    if (view.strides[i] == 0) return true;
    for (int j = 0; j < i; ++j) {
      if (view.shape[j] != 1 && view.strides[j] == view.strides[i]) return true;
    }
    search.Add(view.strides[i], 1 - view.shape[i], view.shape[i] - 1);
  }
  return search.Solvable(0, true);
}

bool RangesMeet(const View& a, const View& b) noexcept {
  if (IsEmpty(a) || IsEmpty(b)) return false;
  const auto begin_a = reinterpret_cast<uintptr_t>(a.data), begin_b = reinterpret_cast<uintptr_t>(b.data);
  const auto bytes_a = static_cast<uintptr_t>(Extent(a) * a.element_bytes), bytes_b = static_cast<uintptr_t>(Extent(b) * b.element_bytes);
  return begin_a < begin_b ? begin_b - begin_a < bytes_a : begin_a - begin_b < bytes_b;
}

bool Intersect(const View& a, const View& b) noexcept {
  if (!RangesMeet(a, b)) return false;
  Search search;  // address in a - address in b = 0, byte by byte
  const Folded fold_a = Fold(a.shape, a.strides, a.rank), fold_b = Fold(b.shape, b.strides, b.rank);
  for (int i = 0; i < fold_a.rank; ++i) {
    if (fold_a.strides[i] != 0) search.Add(fold_a.strides[i] * a.element_bytes, 0, fold_a.shape[i] - 1);
  }
  for (int i = 0; i < fold_b.rank; ++i) {
    if (fold_b.strides[i] != 0) search.Add(fold_b.strides[i] * b.element_bytes, 1 - fold_b.shape[i], 0);
  }
  search.Add(1, 1 - b.element_bytes, a.element_bytes - 1);
  return search.Solvable(b.data - a.data, false);
}

bool SameMemory(const View& a, const View& b) noexcept {
  if (a.data != b.data || a.element_bytes != b.element_bytes) return false;
  const Folded fold_a = Fold(a.shape, a.strides, a.rank), fold_b = Fold(b.shape, b.strides, b.rank);
  return fold_a.rank == fold_b.rank && std::equal(fold_a.shape, fold_a.shape + fold_a.rank, fold_b.shape) &&
         std::equal(fold_a.strides, fold_a.strides + fold_a.rank, fold_b.strides);
}

}  // namespace addnorm::aclnn
