// SPDX-License-Identifier: Apache-2.0
// The stages before the norm, and their transpose:
//   h = dropout(((x * row_scale) * col_scale) * scale) + residual + bias        (each a plain branch, absent = skipped)
//   dx = dropout(((t * row_scale) * col_scale) * scale)
// The order of rounding is this order.

#include "hwy/highway.h"
#include "src/cpu/dropout-inl.h"

#if defined(ADDNORM_CPU_PRENORM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ADDNORM_CPU_PRENORM_INL_H_
#undef ADDNORM_CPU_PRENORM_INL_H_
#else
#define ADDNORM_CPU_PRENORM_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace addnorm {
namespace HWY_NAMESPACE {

// Which operand types are known when compiling: activations (x, y, dy, dx), the residual stream (residual, sum, dsum,
// dresidual), parameters (weight, bias). A recipe is a matter of speed and never of features: Any takes every mixture.
template <class T, class ActType, class ResType, class ParType>
struct Recipe {
  using Real = T;
  using Act = InRow<T, ActType>;
  using Res = InRow<T, ResType>;
  using Par = InRow<T, ParType>;
  using ActOut = OutRow<T, ActType>;
  using ResOut = OutRow<T, ResType>;
};

// The factors of one row's branch. Begin must be called for each chunk before Scale where a mask is drawn.
template <class T>
class BranchRow {
 public:
  BranchRow() = default;
  HWY_INLINE BranchRow(const PreNorm& pre, size_t row)
      : dropout_(&pre.dropout),
        row_(row),
        has_row_scale_(pre.row_scale.data != nullptr),
        row_scale_(static_cast<T>(RowScalar(pre.row_scale, row, 1.0))),
        col_scale_(pre.col_scale, 0) {}

  HWY_INLINE void Begin(size_t c, size_t n) {
    if (dropout_->mode == DropoutStage::Mode::kDraw) words_.Fill(*dropout_, row_, c, n);
  }
  // select(((v * row_scale) * col_scale) * scale)
  template <class M>
  HWY_INLINE Pair<T> Scale(size_t i, M m, Pair<T> v) const {
    if (has_row_scale_) v = v * hn::Set(Tag<T>(), row_scale_);
    if (col_scale_) v = v * col_scale_.Load(i, m);
    return Drop(i, v);
  }
  // The same without col_scale (its own gradient) or without row_scale.
  HWY_INLINE Pair<T> ScaleRowOnly(size_t i, Pair<T> v, const Pair<T>& x) const {
    if (has_row_scale_) v = v * hn::Set(Tag<T>(), row_scale_);
    return Drop(i, v * x);
  }
  template <class M>
  HWY_INLINE Pair<T> ScaleColumnOnly(size_t i, M m, Pair<T> v, const Pair<T>& x) const {
    if (col_scale_) v = v * col_scale_.Load(i, m);
    return Drop(i, v * x);
  }
  HWY_INLINE bool Identity() const { return !has_row_scale_ && !col_scale_ && dropout_->mode == DropoutStage::Mode::kNone; }
  HWY_INLINE void StoreKeep(uint8_t* keep, size_t c, size_t n) const {
    const bool all = dropout_->mode != DropoutStage::Mode::kDropAll;
    for (size_t i = c; i < c + n; ++i) keep[i] = dropout_->mode == DropoutStage::Mode::kDraw ? words_.Kept(i) : all;
  }

 private:
  HWY_INLINE Pair<T> Drop(size_t i, const Pair<T>& v) const {
    if (dropout_->mode == DropoutStage::Mode::kNone) return v;
    if (dropout_->mode == DropoutStage::Mode::kDropAll) return Zeros<T>();
    return words_.Select(i, v * hn::Set(Tag<T>(), static_cast<T>(dropout_->scale)));
  }
  const DropoutStage* dropout_ = nullptr;
  size_t row_ = 0;
  bool has_row_scale_ = false;
  T row_scale_ = 1;
  InRow<T, AnyType> col_scale_;
  DropoutWords words_;
};

// h of one row. Without kStages it is x + residual: what most calls are, in few registers.
template <class R, bool kStages>
class PreNormRow {
 public:
  using T = typename R::Real;
  HWY_INLINE PreNormRow(const PreNorm& pre, bool round, DType stored, size_t row)
      : x_(pre.x, row), residual_(pre.residual, row), round_(round), stored_(stored) {
    if (!kStages) return;
    branch_ = BranchRow<T>(pre, row);
    bias_ = InRow<T, AnyType>(pre.bias, row);
  }

  HWY_INLINE void Begin(size_t c, size_t n) {
    if (kStages) branch_.Begin(c, n);
  }
  HWY_INLINE void PrefetchOnce(size_t i, size_t n, size_t distance) const {
    x_.PrefetchOnce(i, n, distance);
    if (residual_) residual_.PrefetchOnce(i, n, distance);
  }
  template <class M>
  HWY_INLINE Pair<T> Load(size_t i, M m) const {
    Pair<T> h = x_.Load(i, m);
    if (kStages) h = branch_.Scale(i, m, h);
    if (residual_) h = h + residual_.Load(i, m);
    if (kStages && bias_) h = h + bias_.Load(i, m);
    if (kStages && round_) h = RoundPair<T>(stored_, h);
    return h;
  }
  HWY_INLINE const BranchRow<T>& branch() const { return branch_; }

 private:
  BranchRow<T> branch_;
  typename R::Act x_;
  typename R::Res residual_;
  InRow<T, AnyType> bias_;
  bool round_;
  DType stored_;
};

// True if h needs more than x + residual.
HWY_INLINE bool NeedsStages(const PreNorm& pre, bool round) {
  return pre.row_scale || pre.col_scale || pre.dropout.mode != DropoutStage::Mode::kNone || pre.bias || round;
}

// True if h is x itself, element for element in the type T: nothing to gather.
template <class T>
HWY_INLINE bool IsPlain(const PreNorm& pre, bool round) {
  return !NeedsStages(pre, round) && !pre.residual && pre.x.dtype == (sizeof(T) == 8 ? DType::kF64 : DType::kF32);
}

}  // namespace HWY_NAMESPACE
}  // namespace addnorm
HWY_AFTER_NAMESPACE();

#endif  // ADDNORM_CPU_PRENORM_INL_H_
