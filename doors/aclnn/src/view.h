// SPDX-License-Identifier: Apache-2.0
// Geometry of strided views: sizes, extents, what collapses, what overlaps, and the copy between a view and contiguous memory.
// Sizes and strides are in elements and not negative here; phase 1 has refused all else.
#ifndef ADDNORM_DOORS_ACLNN_VIEW_H_
#define ADDNORM_DOORS_ACLNN_VIEW_H_

#include <cstddef>
#include <cstdint>

#include "doors/aclnn/src/objects.h"

namespace addnorm::aclnn {

inline constexpr int64_t kMaxElements = int64_t{1} << 46;

struct View {
  int rank = 0;
  int element_bytes = 0;
  int64_t shape[kMaxRank], strides[kMaxRank];
  std::byte* data = nullptr;  // of the first element
};

// The product of `count` sizes; any zero makes it 0, whatever the others. -1 if it exceeds kMaxElements.
int64_t CountElements(const int64_t* shape, int count) noexcept;
// Elements from the first to the last one, both included; 0 if empty, -1 if more than kMaxElements.
int64_t Extent(const View& view) noexcept;

// Elements of a tensor's storage; -1 = not told.
int64_t StorageElements(const Tensor& tensor) noexcept;

// Sizes and strides without dimensions of size 1, neighbours merged where they are one contiguous run.
struct Folded {
  int rank = 0;
  int64_t shape[kMaxRank], strides[kMaxRank];
};
Folded Fold(const int64_t* shape, const int64_t* strides, int rank) noexcept;

// Whether memory is shared. kUnknown: the strides are so irregular that the search was given up; callers refuse then. It
// does not happen to slices, steps, permutations and broadcasts of a tensor, whatever their sizes.
enum class Sharing : uint8_t { kNone, kUnknown, kSome };
// Two elements of the view.
Sharing OverlapsItself(const View& view) noexcept;
// A byte of one view and of the other.
Sharing Intersect(const View& a, const View& b) noexcept;
// Whether their byte ranges meet (they may still interleave without sharing a byte).
bool RangesMeet(const View& a, const View& b) noexcept;
// Whether they are element for element the same memory.
bool SameMemory(const View& a, const View& b) noexcept;

// contiguous[i] = i-th element of view (row-major), and the reverse. Large copies are split over the core's threads.
void Gather(const View& view, std::byte* contiguous) noexcept;
void Scatter(const std::byte* contiguous, const View& view) noexcept;

}  // namespace addnorm::aclnn
#endif  // ADDNORM_DOORS_ACLNN_VIEW_H_
