// SPDX-License-Identifier: Apache-2.0
// Looks at operand after operand; remembers the first fault and then does nothing.
#ifndef ADDNORM_SRC_PARALLEL_CHECKER_H_
#define ADDNORM_SRC_PARALLEL_CHECKER_H_

#include <initializer_list>
#include <span>

#include "addnorm/addnorm.h"
#include "src/core/args.h"
#include "src/core/layout.h"

namespace addnorm {

class Checker {
 public:
  Checker(const char* api, std::span<const ArgName> names) : api_(api), names_(names) {}

  const Status& status() const { return status_; }
  bool ok() const { return status_.ok(); }
  const char* api() const { return api_; }
  const char* Name(const char* field) const { return NameOfField(names_, field); }
  void Fail(const Status& status) {
    if (ok() && !status.ok()) status_ = status;
  }

  void Require(const char* field, const TensorView& view, const char* why);
  void Refuse(const char* field, const TensorView& view, const char* why);
  void Type(const char* field, const TensorView& view, std::initializer_list<DType> accepted, const char* expected);
  void FloatType(const char* field, const TensorView& view);
  void Epsilon(double epsilon);
  void NotNegative(const char* field, int64_t value);

  // Rows of [A.., cols]; gives numel(A) and, where `cols` is null on entry, the last dimension.
  In Rows(const char* field, const TensorView& view, size_t* rows, size_t* cols);
  // A matrix as its two strides, at least one of them 1 if `unit`.
  void Matrix(const char* field, const TensorView& view, bool unit, ptrdiff_t* row_stride, ptrdiff_t* col_stride);
  // Contiguous [cols].
  In Columns(const char* field, const TensorView& view, size_t cols);
  // [A.., cols] of exactly `like`'s shape and type, its rows apart from each other.
  Out RowsOut(const char* field, const TensorView& view, const TensorView& like, size_t rows, size_t cols);
  // No output may touch another operand, save that output `field` may be exactly operand `same`.
  void Overlaps(const char* field, const char* same);
  void BadShape(const char* field, const TensorView& view, const char* format, ...) __attribute__((format(printf, 4, 5)));

 private:
  struct Operand {
    const char* field = nullptr;
    Extent extent;
    DType dtype = DType::kF32;
  };

  bool Common(const char* field, const TensorView& view);
  void Add(const char* field, const TensorView& view, ptrdiff_t row_stride, size_t rows, size_t cols);

  static constexpr size_t kMaxOperands = 16;
  const char* api_;
  std::span<const ArgName> names_;
  Operand operands_[kMaxOperands];
  size_t count_ = 0;
  Status status_;
};

}  // namespace addnorm
#endif  // ADDNORM_SRC_PARALLEL_CHECKER_H_
