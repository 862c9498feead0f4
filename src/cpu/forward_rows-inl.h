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
template <class R, bool kSquares, bool kStages>
struct GatherPass {
  using T = typename R::Real;
  PreNormRow<R, kStages> pre;
  T* HWY_RESTRICT scratch;  // null: the sum output keeps h
  typename R::ResOut sum;
  uint8_t* keep;
  HWY_INLINE void Begin(size_t c, size_t n) {
    pre.Begin(c, n);
    if (kStages && keep) pre.branch().StoreKeep(keep, c, n);
  }
  HWY_INLINE void Ahead(size_t, size_t) {}
  template <class M>
  HWY_INLINE void Terms(size_t i, M m, Pair<T>* terms) {
    const Pair<T> h = Inside(m, pre.Load(i, m));
    if (sum) sum.Store(i, m, h);
    if (scratch) StorePair<T>(scratch + i, StaticType<kTypeOf<T>>(), h);
    terms[0] = kSquares ? h * h : h;
  }
};

// Pass 1 where h already lies in memory.
template <class T, bool kSquares>
struct SumPass {
  RealRow<T> h;
  HWY_INLINE void Begin(size_t, size_t) {}
  HWY_INLINE void Ahead(size_t, size_t) {}
  template <class M>
  HWY_INLINE void Terms(size_t i, M m, Pair<T>* terms) {
    const Pair<T> v = h.Load(i, m);
    terms[0] = kSquares ? v * v : v;
  }
};

// Pass 2.
template <class T, class Next>
struct MomentsPass {
  RealRow<T> h;
  Next next;  // a row that is read soon
  Vec<T> mean;
  HWY_INLINE void Begin(size_t, size_t) {}
  HWY_INLINE void Ahead(size_t i, size_t n) {
    if (next) next.Prefetch(i, n);
  }
  template <class M>
  HWY_INLINE void Terms(size_t i, M m, Pair<T>* terms) {
    terms[0] = Inside(m, (h.Load(i, m) - mean));
    terms[1] = terms[0] * terms[0];
  }
};

// Below this, lanes of squares may have underflowed.
template <class T>
inline constexpr double kSmallSquares = sizeof(T) == 8 ? 0x1p-800 : 0x1p-100;

// Row scalars in fp64 from the sum of pass 1. False if they cannot be trusted and the row must be rescued.
template <class T, class Next>
HWY_NOINLINE bool Statistics(const NormSpec& norm, size_t cols, const T* h, double first, Next next, RowStatistics<T>* s) {
  const double count = static_cast<double>(cols);
  double squares = first, delta = 0;
  s->mean = 0;
  if (norm.kind == NormKind::kLayer) {
    s->mean = static_cast<T>(first / count);
    MomentsPass<T, Next> moments{RealRowAt(h), next, hn::Set(Tag<T>(), s->mean)};
    double sums[2];
    Fold<T, 2, 2>(cols, moments, sums);
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

// Pass 3. Everything in locals: a store of y could alias a member.
template <class R, class M>
HWY_INLINE void ApplyStep(size_t i, M m, const RealRow<typename R::Real>& h, const typename R::Par& weight, const typename R::Par& bias,
                          const typename R::ActOut& y, Vec<typename R::Real> mean, Vec<typename R::Real> lo, Vec<typename R::Real> rstd) {
  Pair<typename R::Real> v = ((h.Load(i, m) - mean) - lo) * rstd;
  if (weight) v = v * weight.Load(i, m);
  if (bias) v = v + bias.Load(i, m);
  y.Store(i, m, v);
}

// x, residual: of a row that is read soon.
template <class R>
HWY_NOINLINE void Apply(const ForwardArgs& a, size_t row, const typename R::Real* row_of_h, typename R::Act x, typename R::Res residual,
                        const RowStatistics<typename R::Real>& s) {
  using T = typename R::Real;
  const Tag<T> d;
  const size_t cols = a.shape.cols;
  const RealRow<T> h = RealRowAt(row_of_h);
  const typename R::Par weight(a.weight, 0), bias(a.bias, 0);
  const typename R::ActOut y(a.y, row, a.stream);
  const Vec<T> mean = hn::Set(d, s.mean), lo = hn::Set(d, s.lo), rstd = hn::Set(d, s.rstd);
  size_t i = 0;
  for (; i + kFoldLanes <= cols; i += kFoldLanes) {
    if (x) x.Prefetch(i, kFoldLanes);
    if (residual) residual.Prefetch(i, kFoldLanes);
    ADDNORM_UNROLL
    for (size_t p = 0; p < kFoldLanes; p += kPair<T>) ApplyStep<R>(i + p, Whole(), h, weight, bias, y, mean, lo, rstd);
  }
  for (; i + kPair<T> <= cols; i += kPair<T>) ApplyStep<R>(i, Whole(), h, weight, bias, y, mean, lo, rstd);
  if (i < cols) ApplyStep<R>(i, Part{cols - i}, h, weight, bias, y, mean, lo, rstd);
}

// Pass 1 of one row. Returns where h lies and its first sum.
template <class R, bool kSquares, bool kStages>
HWY_NOINLINE const typename R::Real* GatherRow(const ForwardArgs& a, size_t row, typename R::Real* scratch, double* first) {
  using T = typename R::Real;
  const bool kept_in_sum = a.sum && a.sum.dtype == kTypeOf<T> && !a.stream;
  uint8_t* keep = a.keep ? static_cast<uint8_t*>(a.keep.data) + static_cast<ptrdiff_t>(row) * a.keep.row_stride : nullptr;
  GatherPass<R, kSquares, kStages> pass{PreNormRow<R, kStages>(a.pre, a.norm.from_rounded, a.stored, row), kept_in_sum ? nullptr : scratch,
                                        typename R::ResOut(a.sum, row, a.stream), keep};
  Fold<T, 1, kSquares ? 1 : 0>(a.shape.cols, pass, first);
  return kept_in_sum ? static_cast<const T*>(a.sum.data) + static_cast<ptrdiff_t>(row) * a.sum.row_stride : scratch;
}

template <class T, bool kSquares>
HWY_NOINLINE void SumRow(const T* x, size_t cols, double* first) {
  SumPass<T, kSquares> pass{RealRowAt(x)};
  Fold<T, 1, kSquares ? 1 : 0>(cols, pass, first);
}

template <class R, bool kSquares>
HWY_INLINE const typename R::Real* Gather(const ForwardArgs& a, size_t row, typename R::Real* scratch, double* first) {
  using T = typename R::Real;
  const bool round = a.norm.from_rounded && a.stored != kTypeOf<T>;
  if (IsPlain<T>(a.pre, round) && !a.sum && !a.keep) {
    const T* x = static_cast<const T*>(a.pre.x.data) + static_cast<ptrdiff_t>(row) * a.pre.x.row_stride;
    SumRow<T, kSquares>(x, a.shape.cols, first);
    return x;
  }
  if (NeedsStages(a.pre, round) || a.keep) return GatherRow<R, kSquares, true>(a, row, scratch, first);
  return GatherRow<R, kSquares, false>(a, row, scratch, first);
}

template <class R, bool kSquares>
HWY_INLINE void ForwardRowsOfKind(const ForwardArgs& a, RowRange range, typename R::Real* const scratch) {
  using T = typename R::Real;
  const size_t cols = a.shape.cols, padded = PaddedCols(cols);
  // A pass 1 of few instructions reaches far enough ahead by itself; from memory, asking for more only takes the place of that.
  const bool ask = !(a.stream && a.pre.x.dtype == kTypeOf<T> && !NeedsStages(a.pre, a.norm.from_rounded));
  double first;
  const T* h = Gather<R, kSquares>(a, range.begin, scratch, &first);
  for (size_t row = range.begin; row < range.end; ++row) {
    T* const mine = scratch + (row - range.begin) % 2 * padded;
    RowStatistics<T> s;
    const size_t soon = HWY_MIN(row + 1, range.end - 1), later = HWY_MIN(row + 2, range.end - 1);
    const bool trusted = Statistics<T>(a.norm, cols, h, first, ask ? typename R::Res(a.pre.residual, soon) : typename R::Res(), &s);
    // The next row's pass 1 fills the time that this row's division and root take.
    T* const next = scratch + (row + 1 - range.begin) % 2 * padded;
    const T* next_h = row + 1 < range.end ? Gather<R, kSquares>(a, row + 1, next, &first) : nullptr;
    if (HWY_UNLIKELY(!trusted) && RescueNorm<T>(h, cols, a.norm, mine, &s)) {
      StoreStatistics(a, row, s);
      h = mine;  // xhat itself: the identity is applied to it
      s = {0, 0, 1};
    } else {
      StoreStatistics(a, row, s);
    }
    // RMSNorm has no pass 2 that could ask for the residual.
    const typename R::Act x = ask ? typename R::Act(a.pre.x, later) : typename R::Act();
    const typename R::Res residual = ask && kSquares ? typename R::Res(a.pre.residual, later) : typename R::Res();
    if (a.y) Apply<R>(a, row, h, x, residual, s);
    h = next_h;
  }
}

template <class R>
HWY_NOINLINE void ForwardRowsOf(const ForwardArgs& args, RowRange range, std::byte* scratch) {
  const ForwardArgs a = args;
  auto* rows = reinterpret_cast<typename R::Real*>(scratch);
  if (a.norm.kind == NormKind::kLayer) {
    ForwardRowsOfKind<R, false>(a, range, rows);
  } else {
    ForwardRowsOfKind<R, true>(a, range, rows);
  }
  if (a.stream) hwy::FlushStream();
}

}  // namespace HWY_NAMESPACE
}  // namespace addnorm
HWY_AFTER_NAMESPACE();

#endif  // ADDNORM_CPU_FORWARD_ROWS_INL_H_
