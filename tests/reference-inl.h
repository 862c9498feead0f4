// SPDX-License-Identifier: Apache-2.0
// What the forward and the backward reference share: operand access, number types, the pre-norm value. Included by those two only.
#ifndef ADDNORM_TESTS_REFERENCE_INL_H_
#define ADDNORM_TESTS_REFERENCE_INL_H_

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "addnorm/addnorm.h"
#include "tests/numbers.h"
#include "tests/philox.h"
#include "tests/reference.h"

namespace addnorm::test {

__extension__ typedef __float128 Quad;

inline long double SquareRoot(long double value) { return std::sqrt(value); }
inline Quad SquareRoot(Quad value) {
  Quad root = static_cast<Quad>(std::sqrt(static_cast<long double>(value)));
  if (!(root > 0) || root - root != 0) return root;              // 0, NaN, Inf
  for (int i = 0; i < 2; ++i) root = (root + value / root) / 2;  // Newton: 64, 128 bits
  return root;
}
template <class W>
W Abs(W value) {
  return value < 0 ? -value : value;
}
template <class W>
bool IsFinite(W value) {
  return value - value == 0;
}

inline size_t Product(std::span<const int64_t> shape) {
  size_t product = 1;
  for (const int64_t dim : shape) product *= static_cast<size_t>(dim);
  return product;
}
// Element offsets of all indices over shape[first, last), row-major.
inline std::vector<ptrdiff_t> Offsets(const TensorView& view, size_t first, size_t last) {
  std::vector<ptrdiff_t> offsets(1, 0);
  for (size_t d = first; d < last; ++d) {
    ptrdiff_t stride = 1;
    if (view.strides.empty()) {
      for (size_t k = d + 1; k < view.shape.size(); ++k) stride *= static_cast<ptrdiff_t>(view.shape[k]);
    } else {
      stride = static_cast<ptrdiff_t>(view.strides[d]);
    }
    std::vector<ptrdiff_t> next;
    next.reserve(offsets.size() * static_cast<size_t>(view.shape[d]));
    for (const ptrdiff_t base : offsets) {
      for (int64_t i = 0; i < view.shape[d]; ++i) next.push_back(base + i * stride);
    }
    offsets = std::move(next);
  }
  return offsets;
}

// The [rows, cols] matrix that a problem is about.
struct Extent {
  size_t lead = 0, rank = 0, rows = 0, cols = 0;  // lead = rank of A.., rank = that of A.., R..
  Extent(const TensorView& view, int normalized_rank)
      : lead(view.shape.size() - static_cast<size_t>(normalized_rank)), rank(view.shape.size()) {
    rows = Product(view.shape.first(lead));
    cols = Product(view.shape.subspan(lead));
  }
};

// One operand, read by (row, column) whatever its rank. Absent operands are false.
class Field {
 public:
  enum Kind { kFull, kPerRow, kPerColumn };
  Field() = default;
  Field(const TensorView& view, const Extent& extent, Kind kind) : view_(view), present_(static_cast<bool>(view)) {
    if (!present_) return;
    if (kind == kFull && view.shape.size() < extent.rank) kind = kPerColumn;
    row_ = kind == kPerColumn ? std::vector<ptrdiff_t>{0} : Offsets(view, 0, extent.lead);
    col_ = kind == kPerRow ? std::vector<ptrdiff_t>{0} : Offsets(view, kind == kPerColumn ? 0 : extent.lead, view.shape.size());
  }
  explicit operator bool() const { return present_; }
  DType dtype() const { return view_.dtype; }
  long double At(size_t row, size_t col) const {
    return Load(view_.dtype, view_.data, row_[row_.size() == 1 ? 0 : row] + col_[col_.size() == 1 ? 0 : col]);
  }
  long double Or(long double absent, size_t row, size_t col) const { return present_ ? At(row, col) : absent; }

 private:
  TensorView view_;
  bool present_ = false;
  std::vector<ptrdiff_t> row_, col_;
};

// h of one problem. C: the precision that defines it. W: wider.
template <class C, class W>
class PreNormReference {
 public:
  PreNormReference(const PreNormTensors& pre, const Extent& extent, Fault fault)
      : fault_(fault),
        cols_(extent.cols),
        x0(pre.x0, extent, Field::kFull),
        residual(pre.residual, extent, Field::kFull),
        rowscale(pre.rowscale, extent, Field::kPerRow),
        layerscale(pre.layerscale, extent, Field::kPerColumn),
        prebias(pre.prebias, extent, Field::kFull),
        mask_(Faulty(pre.dropout, fault), extent.cols) {
    scale_ = fault == Fault::kScaleMissing && mask_.threshold() ? C{1} : static_cast<C>(mask_.scale());
  }

  bool Keep(size_t r, size_t j) {
    const bool keep = mask_.Keep(r, fault_ == Fault::kMaskShifted ? j + 1 : j);
    return fault_ == Fault::kMaskInverted ? !keep : keep;
  }
  C Rho(size_t r) const { return fault_ == Fault::kRowscaleMissing ? C{1} : static_cast<C>(rowscale.Or(1, r, 0)); }
  C Lambda(size_t j) const {
    if (fault_ == Fault::kLayerscaleMissing) return C{1};
    return static_cast<C>(layerscale.Or(1, 0, fault_ == Fault::kLayerscaleShifted ? (j + 1) % cols_ : j));
  }
  C Scale() const { return scale_; }

  // The definition: every step rounded to C.
  C Value(size_t r, size_t j) {
    C h = static_cast<C>(x0.At(r, j));
    h = h * Rho(r);
    h = h * Lambda(j);
    h = Keep(r, j) ? h * scale_ : C{0};
    if (residual && fault_ != Fault::kResidualMissing) {
      C other = static_cast<C>(residual.At(r, j));
      if (fault_ == Fault::kResidualScaled) other = other * Rho(r);
      h = h + other;
    }
    if (prebias && fault_ != Fault::kPrebiasMissing) h = h + static_cast<C>(prebias.At(r, j));
    return h;
  }
  // The same without rounding, and the scale and floor of the bound of what Value rounded.
  W Exact(size_t r, size_t j, double* scale, double* floor) {
    const double tiny = static_cast<double>(std::numeric_limits<C>::denorm_min());
    const W branch = Keep(r, j) ? W(static_cast<C>(x0.At(r, j))) * W(Rho(r)) * W(Lambda(j)) * W(scale_) : W(0);
    const W other = fault_ == Fault::kResidualMissing ? W(0) : W(static_cast<C>(residual.Or(0, r, j)));
    const W bias = fault_ == Fault::kPrebiasMissing ? W(0) : W(static_cast<C>(prebias.Or(0, r, j)));
    *scale = static_cast<double>(Abs(branch) + Abs(other) + Abs(bias));
    *floor = tiny * (1 + std::fabs(static_cast<double>(scale_))) * (1 + std::fabs(static_cast<double>(Lambda(j))));
    return branch + other + bias;
  }

 private:
  static Dropout Faulty(Dropout dropout, Fault fault) {
    if (fault == Fault::kOffsetIgnored) dropout.offset = 0;
    if (fault == Fault::kRowBaseIgnored) dropout.row_base = 0;
    if (fault == Fault::kColBaseIgnored) dropout.col_base = 0;
    if (fault == Fault::kColsTotalIgnored) dropout.cols_total = 0;
    if (fault == Fault::kSeedHighIgnored) dropout.seed &= 0xFFFFFFFFu;
    return dropout;
  }
  Fault fault_;
  size_t cols_;

 public:
  Field x0, residual, rowscale, layerscale, prebias;

 private:
  ReferenceMask mask_;
  C scale_;
};

// Mean and 1/sqrt(variance + eps) of one row, exactly (or as `fault` has them).
template <class W>
struct RowStatistics {
  W mean = 0, rstd = 0, sigma = 0;
};
template <class C, class W>
RowStatistics<W> StatisticsOf(const std::vector<W>& h, const NormSpec& norm, Fault fault) {
  const bool centred = (norm.kind == NormKind::kLayer) != (fault == Fault::kNormSwapped);
  const size_t used = fault == Fault::kTailMissing && h.size() > 1 ? h.size() - 1 : h.size();
  RowStatistics<W> row;
  W sum = 0, squares = 0;
  for (size_t j = 0; j < used; ++j) sum += h[j];
  if (centred) row.mean = sum / W(h.size());
  for (size_t j = 0; j < used; ++j) squares += (h[j] - row.mean) * (h[j] - row.mean);
  W variance = squares / W(fault == Fault::kVarianceUnbiased && h.size() > 1 ? h.size() - 1 : h.size());
  if (fault == Fault::kVarianceUncentred && centred) {
    C moment = 0, total = 0;
    for (const W value : h) moment += static_cast<C>(value) * static_cast<C>(value), total += static_cast<C>(value);
    const C mean = total / static_cast<C>(h.size());
    variance = W(std::max(C{0}, moment / static_cast<C>(h.size()) - mean * mean));
  }
  row.sigma = SquareRoot(variance);
  if (fault == Fault::kMeanLoMissing) row.mean = W(static_cast<C>(row.mean));
  const W eps = fault == Fault::kEpsMissing ? W(0) : W(norm.eps);
  row.rstd = fault == Fault::kEpsOutside ? 1 / (row.sigma + eps) : 1 / SquareRoot(variance + eps);
  return row;
}

// Above this an intermediate of precision C may overflow on one legitimate order of evaluation and not on another.
template <class C>
double SafeLimit() {
  return static_cast<double>(std::numeric_limits<C>::max()) / 16;
}
inline constexpr double kAnything = std::numeric_limits<double>::infinity();

// Reserves one output of `count` elements.
inline void Want(Expected* out, const TensorView& view, const Rule& rule, double unit, size_t count, double floor) {
  if (!view) return;
  out->rule = &rule;
  out->unit = unit;
  out->value.assign(count, 0);
  out->scale.assign(count, 0);
  out->floor.assign(count, floor);
}

}  // namespace addnorm::test
#endif  // ADDNORM_TESTS_REFERENCE_INL_H_
