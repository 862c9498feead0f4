// SPDX-License-Identifier: Apache-2.0
#include "src/core/layout.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace addnorm {

std::optional<size_t> Numel(Dims shape) {
  if (std::any_of(shape.begin(), shape.end(), [](int64_t n) { return n < 0; })) return std::nullopt;
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
  int64_t product = 1;
  for (const int64_t n : shape) {
    if (__builtin_mul_overflow(product, n, &product)) return std::nullopt;
  }
  int64_t bytes;
  if (__builtin_mul_overflow(product, int64_t{8}, &bytes)) return std::nullopt;
  return static_cast<size_t>(product);
}

std::optional<ptrdiff_t> CollapsedStride(Dims shape, Dims strides, ptrdiff_t innermost) {
  if (strides.empty()) return innermost;
  bool found = false;
  ptrdiff_t stride = innermost;
  int64_t expected = 0;
  for (size_t i = shape.size(); i-- > 0;) {
    if (shape[i] == 1) continue;  // its stride is never used
    if (!found) {
      stride = strides[i];
      found = true;
    } else if (strides[i] != expected) {
      return std::nullopt;
    }
    if (__builtin_mul_overflow(strides[i], shape[i], &expected)) return std::nullopt;
  }
  return stride;
}

ShapeText::ShapeText(Dims shape) {
  size_t used = 1;
  text_[0] = '[';
  for (size_t i = 0; i < shape.size(); ++i) {
    if (used + 28 > sizeof(text_)) {
      used += static_cast<size_t>(std::snprintf(text_ + used, sizeof(text_) - used, "..."));
      break;
    }
    used += static_cast<size_t>(std::snprintf(text_ + used, sizeof(text_) - used, i ? ", %lld" : "%lld", static_cast<long long>(shape[i])));
  }
  text_[used] = ']';
  text_[used + 1] = '\0';
}

const char* NameOfField(std::span<const ArgName> names, const char* field) {
  for (const ArgName& entry : names) {
    if (std::strcmp(entry.field, field) == 0) return entry.name;
  }
  return field;
}

Status CheckMemory(const char* api, const char* name, const TensorView& view, size_t numel) {
  if (!view.strides.empty() && view.strides.size() != view.shape.size()) {
    return Status::Error(Code::kBadShape, "%s: argument '%s' has %zu strides, expected %zu, one per dimension", api, name,
                         view.strides.size(), view.shape.size());
  }
  if (view.data == nullptr && numel != 0) {
    return Status::Error(Code::kNullArg, "%s: argument '%s' has null data, expected %zu elements", api, name, numel);
  }
  if (reinterpret_cast<uintptr_t>(view.data) % SizeOf(view.dtype) != 0) {
    return Status::Error(Code::kBadValue, "%s: argument '%s' is at address %p, expected a multiple of %zu, the size of %s", api, name,
                         view.data, SizeOf(view.dtype), NameOf(view.dtype));
  }
  return Status();
}

namespace {

struct Range {
  uintptr_t begin, end;
};

Range Bounds(const Extent& e) {
  const ptrdiff_t last = static_cast<ptrdiff_t>(e.rows - 1) * e.stride_bytes;
  const uintptr_t base = reinterpret_cast<uintptr_t>(e.begin);
  return {base + static_cast<uintptr_t>(std::min<ptrdiff_t>(0, last)),
          base + static_cast<uintptr_t>(std::max<ptrdiff_t>(0, last)) + e.width_bytes};
}

bool Empty(const Extent& e) { return e.begin == nullptr || e.rows == 0 || e.width_bytes == 0; }

}  // namespace

bool OverlapsItself(const Extent& a) {
  if (Empty(a) || a.rows == 1) return false;
  return static_cast<size_t>(std::abs(a.stride_bytes)) < a.width_bytes;
}

bool Overlap(const Extent& a, const Extent& b) {
  if (Empty(a) || Empty(b)) return false;
  const Range x = Bounds(a), y = Bounds(b);
  if (x.end <= y.begin || y.end <= x.begin) return false;
  // Columns of one buffer: rows interleave without touching.
  if (a.stride_bytes == b.stride_bytes && a.stride_bytes > 0) {
    const uintptr_t stride = static_cast<uintptr_t>(a.stride_bytes);
    const uintptr_t apart =
        (reinterpret_cast<uintptr_t>(b.begin) % stride + stride - reinterpret_cast<uintptr_t>(a.begin) % stride) % stride;
    if (apart >= a.width_bytes && apart + b.width_bytes <= stride) return false;
  }
  return true;
}

}  // namespace addnorm
