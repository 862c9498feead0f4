// SPDX-License-Identifier: Apache-2.0
#include "doors/aclnn/src/view.h"

#include <algorithm>

namespace addnorm::aclnn {
namespace {

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

int64_t StorageElements(const Tensor& tensor) noexcept {
  if (tensor.storage_rank == 0) return -1;
  const bool sensible = std::all_of(tensor.storage, tensor.storage + tensor.storage_rank, [](int64_t n) { return n >= 0; });
  return sensible ? CountElements(tensor.storage, static_cast<int>(tensor.storage_rank)) : 0;
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

bool SameMemory(const View& a, const View& b) noexcept {
  if (a.data != b.data || a.element_bytes != b.element_bytes) return false;
  const Folded fold_a = Fold(a.shape, a.strides, a.rank), fold_b = Fold(b.shape, b.strides, b.rank);
  return fold_a.rank == fold_b.rank && std::equal(fold_a.shape, fold_a.shape + fold_a.rank, fold_b.shape) &&
         std::equal(fold_a.strides, fold_a.strides + fold_a.rank, fold_b.strides);
}

}  // namespace addnorm::aclnn
