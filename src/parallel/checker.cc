// SPDX-License-Identifier: Apache-2.0
#include "src/parallel/checker.h"

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace addnorm {

void Checker::Require(const char* field, const TensorView& view, const char* why) {
  if (!view) Fail(Status::Error(Code::kNullArg, "%s: argument '%s' is absent, expected a tensor%s", api_, Name(field), why));
}

void Checker::Refuse(const char* field, const TensorView& view, const char* why) {
  if (view) Fail(Status::Error(Code::kBadValue, "%s: argument '%s' is given, expected none: %s", api_, Name(field), why));
}

void Checker::Type(const char* field, const TensorView& view, std::initializer_list<DType> accepted, const char* expected) {
  if (!view || std::find(accepted.begin(), accepted.end(), view.dtype) != accepted.end()) return;
  Fail(Status::Error(Code::kBadDType, "%s: argument '%s' is %s, expected %s", api_, Name(field), NameOf(view.dtype), expected));
}

void Checker::FloatType(const char* field, const TensorView& view) {
  Type(field, view, {DType::kF32, DType::kF16, DType::kBF16}, "float32, float16 or bfloat16");
}

void Checker::Epsilon(double epsilon) {
  if (std::isfinite(epsilon) && epsilon >= 0) return;
  Fail(Status::Error(Code::kBadValue, "%s: argument '%s' is %g, expected a finite number >= 0", api_, Name("epsilon"), epsilon));
}

void Checker::NotNegative(const char* field, int64_t value) {
  if (value >= 0) return;
  Fail(Status::Error(Code::kBadValue, "%s: argument '%s' is %lld, expected >= 0", api_, Name(field), static_cast<long long>(value)));
}

void Checker::BadShape(const char* field, const TensorView& view, const char* format, ...) {
  char expected[160];
  va_list args;
  va_start(args, format);
  // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): clang-tidy 14 does not see va_start here
  std::vsnprintf(expected, sizeof(expected), format, args);
  va_end(args);
  Fail(Status::Error(Code::kBadShape, "%s: argument '%s' has shape %s, expected %s", api_, Name(field), ShapeText(view.shape).c_str(),
                     expected));
}

// What holds for every operand, whatever its role.
bool Checker::Common(const char* field, const TensorView& view) {
  if (!ok() || !view) return false;
  const auto numel = Numel(view.shape);
  if (view.shape.empty() || !numel) {
    BadShape(field, view, "at least one dimension, all >= 0, whose product fits in memory");
  } else {
    Fail(CheckMemory(api_, Name(field), view, *numel));
  }
  return ok();
}

void Checker::Add(const char* field, const TensorView& view, ptrdiff_t row_stride, size_t rows, size_t cols) {
  const size_t size = SizeOf(view.dtype);
  ptrdiff_t stride_bytes = 0, span = 0;
  if (__builtin_mul_overflow(row_stride, static_cast<ptrdiff_t>(size), &stride_bytes) ||
      __builtin_mul_overflow(stride_bytes, static_cast<ptrdiff_t>(rows), &span)) {
    return Fail(Status::Error(Code::kBadShape, "%s: argument '%s' has a row stride of %td elements, expected its extent to fit in memory",
                              api_, Name(field), row_stride));
  }
  if (count_ == kMaxOperands) return Fail(Status::Error(Code::kInternal, "%s: more operands than the checker holds", api_));
  operands_[count_++] = {field, {static_cast<const char*>(view.data), rows, cols * size, stride_bytes}, view.dtype};
}

In Checker::Rows(const char* field, const TensorView& view, size_t* rows, size_t* cols) {
  if (!Common(field, view)) return {};
  const Dims lead = view.shape.first(view.shape.size() - 1);
  const auto count = Numel(lead);
  if (!count) {
    BadShape(field, view, "dimensions whose product fits in memory");
    return {};
  }
  *rows = *count;
  *cols = static_cast<size_t>(view.shape.back());
  const auto stride = CollapsedStride(lead, view.strides.empty() ? view.strides : view.strides.first(lead.size()), view.shape.back());
  const bool contiguous_row = view.strides.empty() || *cols < 2 || view.strides.back() == 1;
  if (*rows * *cols != 0 && (!stride || !contiguous_row)) {
    Fail(Status::Error(Code::kBadShape,
                       "%s: argument '%s' has strides %s for shape %s, expected a contiguous row and one stride between rows", api_,
                       Name(field), ShapeText(view.strides).c_str(), ShapeText(view.shape).c_str()));
    return {};
  }
  const ptrdiff_t row_stride = *rows > 1 && stride ? *stride : 0;
  Add(field, view, row_stride, *rows, *cols);
  return {view.data, row_stride, view.dtype};
}

void Checker::Matrix(const char* field, const TensorView& view, bool unit, ptrdiff_t* row_stride, ptrdiff_t* col_stride) {
  if (!Common(field, view)) return;
  if (view.shape.size() != 2) return BadShape(field, view, "2 dimensions");
  const auto rows = static_cast<size_t>(view.shape[0]), cols = static_cast<size_t>(view.shape[1]);
  *row_stride = view.strides.empty() ? view.shape[1] : view.strides[0];
  *col_stride = view.strides.empty() ? 1 : view.strides[1];
  // The stride of a dimension of one element is never used.
  if (cols < 2) *col_stride = 1;
  if (rows < 2 && *col_stride != 1) *row_stride = 1;
  if (unit && *row_stride != 1 && *col_stride != 1) {
    return Fail(Status::Error(Code::kBadShape,
                              "%s: argument '%s' has strides %s, expected a matrix or a transposed view of one: one stride 1", api_,
                              Name(field), ShapeText(view.strides).c_str()));
  }
  if (*col_stride == 1) {
    Add(field, view, *row_stride, rows, cols);
  } else {
    Add(field, view, *col_stride, cols, rows);
  }
}

In Checker::Columns(const char* field, const TensorView& view, size_t cols) {
  if (!Common(field, view)) return {};
  if (view.shape.size() != 1 || static_cast<size_t>(view.shape[0]) != cols) {
    BadShape(field, view, "[%zu]", cols);
    return {};
  }
  if (cols > 1 && !view.strides.empty() && view.strides[0] != 1) {
    Fail(Status::Error(Code::kBadShape, "%s: argument '%s' has strides %s, expected contiguous", api_, Name(field),
                       ShapeText(view.strides).c_str()));
    return {};
  }
  Add(field, view, 0, 1, cols);
  return {view.data, 0, view.dtype};
}

Out Checker::RowsOut(const char* field, const TensorView& view, const TensorView& like, size_t rows, size_t cols) {
  if (ok() && view && view.dtype != like.dtype) {
    Fail(Status::Error(Code::kBadDType, "%s: argument '%s' is %s, expected %s, the type of 'residual'", api_, Name(field),
                       NameOf(view.dtype), NameOf(like.dtype)));
  }
  if (ok() && view && !std::equal(view.shape.begin(), view.shape.end(), like.shape.begin(), like.shape.end())) {
    BadShape(field, view, "%s, the shape of 'residual'", ShapeText(like.shape).c_str());
  }
  const In rows_in = Rows(field, view, &rows, &cols);
  if (ok() && count_ != 0 && OverlapsItself(operands_[count_ - 1].extent)) {
    Fail(Status::Error(Code::kBadShape, "%s: output '%s' overlaps itself: its rows are %td elements apart, expected at least %zu", api_,
                       Name(field), rows_in.row_stride, cols));
  }
  return {const_cast<void*>(rows_in.data), rows_in.row_stride, rows_in.dtype};
}

void Checker::Overlaps(const char* field, const char* same) {
  const auto is = [](const Operand& operand, const char* name) { return std::strcmp(operand.field, name) == 0; };
  const Operand* const out = std::find_if(operands_, operands_ + count_, [&](const Operand& operand) { return is(operand, field); });
  for (size_t i = 0; ok() && i < count_; ++i) {
    const Operand& other = operands_[i];
    if (&other == out || out == operands_ + count_ || !Overlap(out->extent, other.extent)) continue;
    const bool allowed = same != nullptr && is(other, same);
    if (allowed && out->extent.begin == other.extent.begin && out->extent.stride_bytes == other.extent.stride_bytes &&
        out->dtype == other.dtype) {
      continue;
    }
    Fail(Status::Error(Code::kBadShape, "%s: output '%s' overlaps '%s' in memory, expected separate memory%s", api_, Name(out->field),
                       Name(other.field), allowed ? ", or exactly the same elements and type" : ""));
  }
}

}  // namespace addnorm
