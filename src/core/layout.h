// SPDX-License-Identifier: Apache-2.0
// From n-dimensional views to the [rows, cols] operands of a kernel, or why not.
#ifndef ADDNORM_SRC_CORE_LAYOUT_H_
#define ADDNORM_SRC_CORE_LAYOUT_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "addnorm/addnorm.h"

namespace addnorm {

using Dims = std::span<const int64_t>;

// Product of the dimensions; nothing if one is negative or the bytes of that many fp64 elements overflow.
// A zero dimension makes it 0 whatever the others are.
std::optional<size_t> Numel(Dims shape);

// The one stride, in elements, between consecutive elements of these dimensions in row-major order; nothing if there is none.
// Empty strides mean contiguous with `innermost` elements below. Fewer than two elements: 0 strides are as good as any, gives `innermost`.
std::optional<ptrdiff_t> CollapsedStride(Dims shape, Dims strides, ptrdiff_t innermost);

// "[2, 3]", cut with "..." where it is long.
class ShapeText {
 public:
  explicit ShapeText(Dims shape);
  const char* c_str() const { return text_; }

 private:
  char text_[96];
};

// What messages call the operand `field`.
const char* NameOfField(std::span<const ArgName> names, const char* field);
// The rules on any operand's memory: one stride per dimension, data where there are `numel` > 0 elements, and their alignment.
Status CheckMemory(const char* api, const char* name, const TensorView& view, size_t numel);

// Which bytes an operand of `rows` rows of `width` bytes touches.
struct Extent {
  const char* begin = nullptr;
  size_t rows = 0, width_bytes = 0;
  ptrdiff_t stride_bytes = 0;
};
bool Overlap(const Extent& a, const Extent& b);
// Rows of one operand that touch each other.
bool OverlapsItself(const Extent& a);

}  // namespace addnorm
#endif  // ADDNORM_SRC_CORE_LAYOUT_H_
