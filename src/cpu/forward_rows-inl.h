// SPDX-License-Identifier: Apache-2.0
// The forward row kernel:
//   1  h = stages(x0, residual);  f = mean of the first columns;  d = h - f;  D = sum d, Q = sum d^2     (RMSNorm: f = D = 0)
//      V = max(0, Q/H - (D/H)^2);  where 9 (D/H)^2 > V, or 64 (D/H)^2 > V if H < 256 or in fp64: once more with f + D/H in place of f
//      m + lo = f + D/H,  rstd = 1/sqrt(V + eps)
//   2  xhat = ((h - m) - lo) * rstd;  y = xhat * weight + bias

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

// Pass 2 of one row, some columns at a time. y null: nothing.
template <class R>
struct FinishRow {
  using T = typename R::Real;
  RealRow<T> h;
  typename R::Par weight, bias;
  typename R::ActOut y;
  Vec<T> mean, lo, rstd;

  FinishRow() = default;
  HWY_INLINE FinishRow(const ForwardArgs& a, size_t row, const T* row_of_h, const RowStatistics<T>& s)
      : h(RealRowAt(row_of_h)), weight(a.weight, 0), bias(a.bias, 0), y(a.y, row, a.stream) {
    const Tag<T> d;
    mean = hn::Set(d, s.mean);
    lo = hn::Set(d, s.lo);
    rstd = hn::Set(d, s.rstd);
  }
  // Columns [c, c + kFoldLanes).
  HWY_INLINE void Columns(size_t c) const {
    if (!y) return;
    if (weight && bias) return Steps<true, true>(c);
    if (weight) return Steps<true, false>(c);
    Steps<false, true>(c);
  }
  // Columns [i, i + n). By value: a row whose address others know does not live in registers.
  static HWY_NOINLINE void Rest(FinishRow row, size_t i, size_t n) {
    if (!row.y) return;
    const size_t end = i + n;
    for (; i + kPair<T> <= end; i += kPair<T>) row.template Step<false, true>(i, Whole());
    if (i < end) row.template Step<false, true>(i, Part{end - i});
  }

 private:
  template <bool kWeight, bool kMayBias>
  HWY_INLINE void Steps(size_t c) const {
    ADDNORM_UNROLL_COLUMNS
    for (size_t p = 0; p < kFoldLanes; p += kPair<T>) Step<kWeight, kMayBias>(c + p, Whole());
  }
  template <bool kWeight, bool kMayBias, class M>
  HWY_INLINE void Step(size_t i, M m) const {
    Pair<T> v = ((h.Load(i, m) - mean) - lo) * rstd;
    if (kWeight || weight) v = v * weight.Load(i, m);
    if (kMayBias && (kWeight || bias)) v = v + bias.Load(i, m);
    y.Store(i, m, v);
  }
};
struct FinishNothing {
  HWY_INLINE void Columns(size_t) const {}
  static HWY_INLINE void Rest(FinishNothing, size_t, size_t) {}
};

// The mean of the first columns, as many as a power of two gives, up to 64: near the mean of the row, and of equal elements exact.
template <class T, class Row>
HWY_INLINE T FirstMean(const Row& row, size_t cols) {
  const Tag<T> d;
  if (HWY_LIKELY(cols >= kFoldLanes)) {
    Pair<T> sums[kFoldLanes / kPair<T>];
    ADDNORM_UNROLL_COLUMNS
    for (size_t p = 0; p < kFoldLanes / kPair<T>; ++p) sums[p] = row.Load(p * kPair<T>, Whole());
    ADDNORM_UNROLL_COLUMNS
    for (size_t s = kFoldLanes / kPair<T> / 2; s != 0; s /= 2) {
      ADDNORM_UNROLL_COLUMNS
      for (size_t p = 0; p < s; ++p) sums[p] = sums[p] + sums[p + s];
    }
    return SumHalves(d, hn::Add(sums[0].a, sums[0].b)) * static_cast<T>(1.0 / kFoldLanes);
  }
  alignas(64) T first[kFoldLanes] = {};
  size_t n = kFoldLanes;
  while (n > cols) n /= 2;
  for (size_t i = 0; i < n; i += kPair<T>) StorePair<T>(first + i, StaticType<kTypeOf<T>>(), row.Load(i, Part{HWY_MIN(kPair<T>, n - i)}));
  for (size_t s = n / 2; s != 0; s /= 2) {
    for (size_t i = 0; i < s; ++i) first[i] += first[i + s];
  }
  return n ? first[0] / static_cast<T>(n) : 0;
}

// What pass 1 sums: d and its square; kSquares: the square of h alone.
template <class T, bool kSquares>
struct Moments {
  static constexpr size_t kSums = kSquares ? 1 : 2;
  static constexpr unsigned kFine = kSquares ? 1 : 2;
  Vec<T> first = hn::Zero(Tag<T>());
  template <class M>
  HWY_INLINE void Of(M m, const Pair<T>& h, Pair<T>* terms) const {
    const Pair<T> d = kSquares ? h : Inside(m, h - first);
    if (!kSquares) terms[0] = d;
    terms[kSums - 1] = d * d;
  }
};

// How far ahead of itself pass 1 asks for rows that come from memory.
inline constexpr size_t kAheadBytes = 3072;

// Pass 1. Before columns are read the row before leaves their place in the scratch: so reads and writes of memory alternate, and the
// scratch is one row.
template <class R, bool kSquares, bool kStages>
struct GatherPass {
  using T = typename R::Real;
  FinishRow<R> before;
  PreNormRow<R, kStages> pre;
  T* HWY_RESTRICT scratch;  // null: the sum output keeps h
  typename R::ResOut sum;
  uint8_t* keep;
  size_t cols;
  bool from_memory;
  Moments<T, kSquares> moments = {};
  HWY_INLINE void Begin(size_t c, size_t n) {
    pre.Begin(c, n);
    if (kStages && keep) pre.branch().StoreKeep(keep, c, n);
    if (!kSquares && c == 0) moments.first = hn::Set(Tag<T>(), FirstMean<T>(pre, cols));
  }
  HWY_INLINE void Before(size_t c) {
    before.Columns(c);
    if (from_memory) pre.PrefetchOnce(c, kFoldLanes, kAheadBytes);
  }
  HWY_INLINE void BeforePart(size_t c, size_t n) { FinishRow<R>::Rest(before, c, n); }
  template <class M>
  HWY_INLINE void Terms(size_t i, M m, Pair<T>* terms) {
    const Pair<T> h = Inside(m, pre.Load(i, m));
    if (sum) sum.Store(i, m, h);
    if (scratch) StorePair<T>(scratch + i, StaticType<kTypeOf<T>>(), h);
    moments.Of(m, h, terms);
  }
};

// Pass 1 where h already lies in memory.
template <class T, bool kSquares, class Finish>
struct SumPass {
  Finish before;
  RealRow<T> h;
  bool from_memory;
  Moments<T, kSquares> moments = {};
  HWY_INLINE void Begin(size_t, size_t) {}
  HWY_INLINE void Before(size_t c) {
    before.Columns(c);
    if (from_memory) h.PrefetchOnce(c, kFoldLanes, kAheadBytes);
  }
  HWY_INLINE void BeforePart(size_t c, size_t n) { Finish::Rest(before, c, n); }
  template <class M>
  HWY_INLINE void Terms(size_t i, M m, Pair<T>* terms) {
    moments.Of(m, h.Load(i, m), terms);
  }
};

// What pass 1 finds: f, D, Q.
template <class T>
struct RowSums {
  T first = 0;
  double d = 0, squares = 0;
};

template <class T, bool kSquares, class Pass>
HWY_INLINE RowSums<T> SumOf(size_t cols, Pass& pass) {
  using M = Moments<T, kSquares>;
  double sums[M::kSums];
  Fold<T, M::kSums, M::kFine>(cols, pass, sums);
  return {hn::GetLane(pass.moments.first), kSquares ? 0 : sums[0], sums[M::kSums - 1]};
}

// Pass 1 of a row in memory, and pass 2 of the row before. first: in place of the mean of the first columns.
template <class T, bool kSquares, class Finish = FinishNothing>
HWY_NOINLINE RowSums<T> SumRow(const T* x, size_t cols, const Finish& before = {}, bool from_memory = false, const T* first = nullptr) {
  SumPass<T, kSquares, Finish> pass{before, RealRowAt(x), from_memory};
  if (!kSquares) pass.moments.first = hn::Set(Tag<T>(), first ? *first : FirstMean<T>(pass.h, cols));
  return SumOf<T, kSquares>(cols, pass);
}

// Below this, lanes of squares may have underflowed.
template <class T>
inline constexpr double kSmallSquares = sizeof(T) == 8 ? 0x1p-800 : 0x1p-100;

// Row scalars in fp64 from the sums of pass 1. False if they cannot be trusted and the row must be rescued.
template <class T>
HWY_INLINE bool Statistics(const NormSpec& norm, size_t cols, const T* h, RowSums<T> sums, RowStatistics<T>* s) {
  const double count = static_cast<double>(cols);
  double delta = sums.d / count, variance = sums.squares / count - delta * delta;
  // The first columns were not like the others, so that a difference has lost digits; in short rows no errors average out.
  const double far = sizeof(T) == 8 || cols < kFineChunk ? 64 : 9;
  if (norm.kind == NormKind::kLayer && HWY_UNLIKELY(!(far * delta * delta <= variance))) {
    const T nearer = static_cast<T>(static_cast<double>(sums.first) + delta);
    sums = SumRow<T, false>(h, cols, {}, false, &nearer);
    delta = sums.d / count;
    variance = sums.squares / count - delta * delta;
  }
  if (variance < 0) variance = 0;  // not max(): a NaN must stay
  // The mean in two words: TwoSum (Knuth).
  const double first = static_cast<double>(sums.first);
  s->mean = static_cast<T>(first + delta);
  const double mean = static_cast<double>(s->mean), moved = mean - first;
  s->lo = static_cast<T>((first - (mean - moved)) + (delta - moved));
  s->rstd = static_cast<T>(1.0 / std::sqrt(variance + norm.eps));
  if (HWY_LIKELY(sums.squares >= kSmallSquares<T> && sums.squares <= std::numeric_limits<double>::max() && std::isfinite(s->rstd) &&
                 s->rstd >= std::numeric_limits<T>::min())) {
    return true;
  }
  if (sums.squares != 0) return false;
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

// Pass 1 of one row, pass 2 of the row before. Tells where h lies.
template <class R, bool kSquares, bool kStages>
HWY_NOINLINE RowSums<typename R::Real> GatherRow(const ForwardArgs& a, size_t row, const FinishRow<R>& before, typename R::Real* scratch,
                                                 const typename R::Real** h) {
  using T = typename R::Real;
  const bool kept_in_sum = a.sum && a.sum.dtype == kTypeOf<T> && !a.stream;
  uint8_t* keep = a.keep ? static_cast<uint8_t*>(a.keep.data) + static_cast<ptrdiff_t>(row) * a.keep.row_stride : nullptr;
  GatherPass<R, kSquares, kStages> pass{before,
                                        PreNormRow<R, kStages>(a.pre, a.norm.from_rounded, a.stored, row),
                                        kept_in_sum ? nullptr : scratch,
                                        typename R::ResOut(a.sum, row, a.stream),
                                        keep,
                                        a.shape.cols,
                                        a.stream};
  *h = kept_in_sum ? static_cast<const T*>(a.sum.data) + static_cast<ptrdiff_t>(row) * a.sum.row_stride : scratch;
  return SumOf<T, kSquares>(a.shape.cols, pass);
}

template <class R, bool kSquares>
HWY_INLINE RowSums<typename R::Real> Gather(const ForwardArgs& a, size_t row, const FinishRow<R>& before, typename R::Real* scratch,
                                            const typename R::Real** h) {
  using T = typename R::Real;
  const bool round = a.norm.from_rounded && a.stored != kTypeOf<T>;
  if (IsPlain<T>(a.pre, round) && !a.sum && !a.keep) {
    *h = static_cast<const T*>(a.pre.x.data) + static_cast<ptrdiff_t>(row) * a.pre.x.row_stride;
    return SumRow<T, kSquares>(*h, a.shape.cols, before, a.stream);
  }
  if (NeedsStages(a.pre, round) || a.keep) return GatherRow<R, kSquares, true>(a, row, before, scratch, h);
  return GatherRow<R, kSquares, false>(a, row, before, scratch, h);
}

template <class R, bool kSquares>
HWY_INLINE void ForwardRowsOfKind(const ForwardArgs& a, RowRange range, typename R::Real* const scratch) {
  using T = typename R::Real;
  FinishRow<R> before;
  for (size_t row = range.begin; row < range.end; ++row) {
    const T* h;
    const RowSums<T> sums = Gather<R, kSquares>(a, row, before, scratch, &h);
    RowStatistics<T> s;
    const bool trusted = Statistics<T>(a.norm, a.shape.cols, h, sums, &s);
    if (HWY_UNLIKELY(!trusted) && RescueNorm<T>(h, a.shape.cols, a.norm, scratch, &s)) {
      StoreStatistics(a, row, s);
      h = scratch;  // xhat itself: the identity is applied to it
      s = {0, 0, 1};
    } else {
      StoreStatistics(a, row, s);
    }
    before = FinishRow<R>(a, row, h, s);
  }
  FinishRow<R>::Rest(before, 0, a.shape.cols);
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
