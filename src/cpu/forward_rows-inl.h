// SPDX-License-Identifier: Apache-2.0
// The forward row kernel:
//   1  h = stages(x0, residual);  m = fl(mean h)                         (RMSNorm: m = 0, Q = sum h^2)
//   2  d = h - m;  D = sum d, Q = sum d^2;  lo = D/H,  rstd = 1/sqrt(max(0, Q/H - lo^2) + eps)
//   3  xhat = ((h - m) - lo) * rstd;  y = xhat * weight + bias

#include "hwy/highway.h"
#include "src/core/rows.h"
#include "src/cpu/prenorm-inl.h"
#include "src/cpu/rescue.h"

#if defined(ADDNORM_CPU_FORWARD_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ADDNORM_CPU_FORWARD_ROWS_INL_H_
#undef ADDNORM_CPU_FORWARD_ROWS_INL_H_
#else
#define ADDNORM_CPU_FORWARD_ROWS_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace addnorm {
namespace HWY_NAMESPACE {

template <class T>
inline constexpr DType kTypeOf = sizeof(T) == 8 ? DType::kF64 : DType::kF32;
// A row of h in the compute type, wherever it lies.
template <class T>
using RealRow = InRow<T, StaticType<kTypeOf<T>>>;

template <class T>
HWY_INLINE RealRow<T> RealRowAt(const T* p) {
  return RealRow<T>(In{p, 0, kTypeOf<T>}, 0);
}

// Pass 1. Sums h, or h^2 for RMSNorm.
template <class R, bool kSquares>
struct GatherPass {
  using T = typename R::Real;
  PreNormRow<R>& pre;
  T* HWY_RESTRICT scratch;  // null: the sum output keeps h
  typename R::ResOut sum;
  uint8_t* keep;
  HWY_INLINE void Begin(size_t c, size_t n) {
    pre.Begin(c, n);
    if (keep) pre.branch().StoreKeep(keep, c, n);
  }
  template <class M>
  HWY_INLINE void Add(size_t i, M m, Pair<T>* sums) {
    const Pair<T> h = Inside(m, pre.Load(i, m));
    if (sum) sum.Store(i, m, h);
    if (scratch) StorePair<T>(scratch + i, StaticType<kTypeOf<T>>(), h);
    sums[0] = sums[0] + (kSquares ? h * h : h);
  }
};

// Pass 1 where h already lies in memory.
template <class T, bool kSquares>
struct SumPass {
  RealRow<T> h;
  HWY_INLINE void Begin(size_t, size_t) {}
  template <class M>
  HWY_INLINE void Add(size_t i, M m, Pair<T>* sums) {
    const Pair<T> v = h.Load(i, m);
    sums[0] = sums[0] + (kSquares ? v * v : v);
  }
};

// Pass 2.
template <class T>
struct MomentsPass {
  RealRow<T> h;
  Vec<T> mean;
  HWY_INLINE void Begin(size_t, size_t) {}
  template <class M>
  HWY_INLINE void Add(size_t i, M m, Pair<T>* sums) {
    const Pair<T> d = Inside(m, h.Load(i, m) - mean);
    sums[0] = sums[0] + d;
    sums[1] = sums[1] + d * d;
  }
};

// Below this, lanes of squares may have underflowed.
template <class T>
inline constexpr double kSmallSquares = sizeof(T) == 8 ? 0x1p-800 : 0x1p-100;

// Row scalars in fp64 from the sum of pass 1. False if they cannot be trusted and the row must be rescued.
template <class T>
HWY_INLINE bool Statistics(const NormSpec& norm, size_t cols, const T* h, double first, RowStatistics<T>* s) {
  const double count = static_cast<double>(cols);
  double squares = first, delta = 0;
  s->mean = 0;
  if (norm.kind == NormKind::kLayer) {
    s->mean = static_cast<T>(first / count);
    MomentsPass<T> moments{RealRowAt(h), hn::Set(Tag<T>(), s->mean)};
    double sums[2];
    Fold<T, 2>(cols, moments, sums);
    delta = sums[0] / count;
    squares = sums[1];
  }
  double variance = squares / count - delta * delta;
  if (variance < 0) variance = 0;  // not max(): a NaN must stay
  s->lo = static_cast<T>(delta);
  s->rstd = static_cast<T>(1.0 / std::sqrt(variance + norm.eps));
  if (HWY_LIKELY(squares >= kSmallSquares<T> && squares <= std::numeric_limits<double>::max() && std::isfinite(s->rstd) &&
                 s->rstd >= std::numeric_limits<T>::min())) {
    return true;
  }
  if (squares != 0) return false;
  for (size_t j = 0; j < cols; ++j) {
    if (h[j] != s->mean) return false;
  }
  return true;  // constant row: everything above is exact
}

template <class T>
HWY_INLINE void StoreStatistics(const ForwardArgs& a, size_t row, const RowStatistics<T>& s) {
  const double mean = static_cast<double>(s.mean), lo = static_cast<double>(s.lo);
  StoreRowScalar(a.mean, row, a.mean_lo ? mean : mean + lo);
  StoreRowScalar(a.mean_lo, row, lo);
  StoreRowScalar(a.rstd, row, static_cast<double>(s.rstd));
}

// Pass 3.
template <class R>
class ApplyPass {
 public:
  using T = typename R::Real;
  HWY_INLINE ApplyPass(const ForwardArgs& a, size_t row, const T* h, const RowStatistics<T>& s)
      : h_(RealRowAt(h)), weight_(a.weight, 0), bias_(a.bias, 0), y_(a.y, row) {
    const Tag<T> d;
    mean_ = hn::Set(d, s.mean);
    lo_ = hn::Set(d, s.lo);
    rstd_ = hn::Set(d, s.rstd);
  }
  HWY_INLINE void Run(size_t cols) {
    size_t i = 0;
    for (; i + kPair<T> <= cols; i += kPair<T>) Step(i, Whole());
    if (i < cols) Step(i, Part{cols - i});
  }

 private:
  template <class M>
  HWY_INLINE void Step(size_t i, M m) {
    Pair<T> y = ((h_.Load(i, m) - mean_) - lo_) * rstd_;
    if (weight_) y = y * weight_.Load(i, m);
    if (bias_) y = y + bias_.Load(i, m);
    y_.Store(i, m, y);
  }
  RealRow<T> h_;
  typename R::Par weight_, bias_;
  typename R::ActOut y_;
  Vec<T> mean_, lo_, rstd_;
};

// Pass 1 of one row. Returns where h lies and its first sum.
template <class R, bool kSquares>
HWY_INLINE const typename R::Real* Gather(const ForwardArgs& a, size_t row, typename R::Real* scratch, double* first) {
  using T = typename R::Real;
  const size_t cols = a.shape.cols;
  if (IsPlain<T>(a.pre) && !a.sum && !a.keep && !(a.norm.from_rounded && a.stored != kTypeOf<T>)) {
    const T* x = static_cast<const T*>(a.pre.x.data) + static_cast<ptrdiff_t>(row) * a.pre.x.row_stride;
    SumPass<T, kSquares> pass{RealRowAt(x)};
    Fold<T, 1>(cols, pass, first);
    return x;
  }
  const bool kept_in_sum = a.sum && a.sum.dtype == kTypeOf<T>;
  uint8_t* keep = a.keep ? static_cast<uint8_t*>(a.keep.data) + static_cast<ptrdiff_t>(row) * a.keep.row_stride : nullptr;
  PreNormRow<R> pre(a.pre, a.norm.from_rounded, a.stored, row);
  GatherPass<R, kSquares> pass{pre, kept_in_sum ? nullptr : scratch, typename R::ResOut(a.sum, row), keep};
  Fold<T, 1>(cols, pass, first);
  return kept_in_sum ? static_cast<const T*>(a.sum.data) + static_cast<ptrdiff_t>(row) * a.sum.row_stride : scratch;
}

template <class R>
HWY_NOINLINE void ForwardRowsOf(const ForwardArgs& args, RowRange range, std::byte* scratch_bytes) {
  using T = typename R::Real;
  const ForwardArgs a = args;
  T* scratch = reinterpret_cast<T*>(scratch_bytes);
  for (size_t row = range.begin; row < range.end; ++row) {
    double first;
    const T* h = a.norm.kind == NormKind::kLayer ? Gather<R, false>(a, row, scratch, &first) : Gather<R, true>(a, row, scratch, &first);
    RowStatistics<T> s;
    const bool trusted = Statistics<T>(a.norm, a.shape.cols, h, first, &s);
    if (HWY_UNLIKELY(!trusted) && RescueNorm<T>(h, a.shape.cols, a.norm, scratch, &s)) {
      StoreStatistics(a, row, s);
      h = scratch;  // xhat itself: the identity is applied to it
      s = {0, 0, 1};
    } else {
      StoreStatistics(a, row, s);
    }
    if (a.y) ApplyPass<R>(a, row, h, s).Run(a.shape.cols);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace addnorm
HWY_AFTER_NAMESPACE();

#endif  // ADDNORM_CPU_FORWARD_ROWS_INL_H_
