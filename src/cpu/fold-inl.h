// SPDX-License-Identifier: Apache-2.0
// The one definition of a row sum (docs/numerics.md): 64 fixed lanes (lane = column mod 64) in T over chunks of 256 columns (fine) or
// 512 columns (coarse); at the end of a chunk each lane is added to its own wide accumulator (fp64 for fp32 rows, a compensated
// pair for fp64 rows); at the end a fixed binary tree over the 64 wide lanes. The order does not know the width of a vector, so
// all targets agree. Coarse is for the mean of LayerNorm: deviations are smaller than what they deviate from.

#include <cmath>

#include "hwy/highway.h"
#include "src/cpu/codec-inl.h"

#if defined(ADDNORM_CPU_FOLD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ADDNORM_CPU_FOLD_INL_H_
#undef ADDNORM_CPU_FOLD_INL_H_
#else
#define ADDNORM_CPU_FOLD_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace addnorm {
namespace HWY_NAMESPACE {

inline constexpr size_t kFoldLanes = 64;
inline constexpr size_t kFineChunk = 256;
inline constexpr size_t kFoldChunk = 512;
// Lanes that are summed together: four vectors per sum, which fit the registers of every target.
template <class T>
inline constexpr size_t kLaneGroup = HWY_MIN(kFoldLanes, 2 * kPair<T>);

// Constant trip counts: the sums of a group must live in registers.
#if HWY_COMPILER_CLANG
#define ADDNORM_UNROLL _Pragma("unroll")
#define ADDNORM_NO_UNROLL _Pragma("nounroll")
#else
#define ADDNORM_UNROLL _Pragma("GCC unroll 32")
#define ADDNORM_NO_UNROLL _Pragma("GCC unroll 1")
#endif

// Of kFoldLanes columns: on the scalar target they are too many to lay out one by one.
#undef ADDNORM_UNROLL_COLUMNS
#if HWY_TARGET == HWY_SCALAR
#define ADDNORM_UNROLL_COLUMNS ADDNORM_NO_UNROLL
#else
#define ADDNORM_UNROLL_COLUMNS ADDNORM_UNROLL
#endif

// The sum of one vector's lanes: half + half, down to one.
template <class D>
HWY_INLINE hn::TFromD<D> SumHalves([[maybe_unused]] D d, hn::Vec<D> v) {
#if HWY_TARGET != HWY_SCALAR
  if constexpr (hn::MaxLanes(d) > 1) {
    const hn::Half<D> half;
    return SumHalves(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  }
#endif
  return hn::GetLane(v);
}

template <class T>
struct WideLanes;

template <>
struct WideLanes<float> {
  static constexpr size_t kN = kLanes<double>;
  Vec<double> sum[kFoldLanes / kN];

  HWY_INLINE WideLanes() {
    ADDNORM_UNROLL
    for (auto& v : sum) v = hn::Zero(Tag<double>());
  }
  // Lanes [at, at + N) += v.
  HWY_INLINE void Add(size_t at, Vec<float> v) {
    const Tag<double> dd;
#if HWY_TARGET == HWY_SCALAR
    sum[at] = hn::Add(sum[at], hn::PromoteTo(dd, v));
#else
    const hn::Half<Tag<float>> dh;
    sum[at / kN] = hn::Add(sum[at / kN], hn::PromoteTo(dd, hn::LowerHalf(dh, v)));
    sum[at / kN + 1] = hn::Add(sum[at / kN + 1], hn::PromoteTo(dd, hn::UpperHalf(dh, v)));
#endif
  }
  HWY_INLINE double Total() {
    const Tag<double> d;
    ADDNORM_UNROLL
    for (size_t s = kFoldLanes / kN / 2; s != 0; s /= 2) {
      ADDNORM_UNROLL
      for (size_t i = 0; i < s; ++i) sum[i] = hn::Add(sum[i], sum[i + s]);
    }
    return SumHalves(d, sum[0]);
  }
};

template <>
struct WideLanes<double> {
  alignas(64) double sum[kFoldLanes] = {};
  alignas(64) double error[kFoldLanes] = {};

  HWY_INLINE void Add(size_t at, Vec<double> v) {
    const Tag<double> d;
    const auto old = hn::Load(d, sum + at);
    const auto next = hn::Add(old, v);
    const auto moved = hn::Sub(next, old);  // TwoSum (Knuth)
    const auto lost = hn::Add(hn::Sub(old, hn::Sub(next, moved)), hn::Sub(v, moved));
    hn::Store(next, d, sum + at);
    hn::Store(hn::Add(hn::Load(d, error + at), lost), d, error + at);
  }
  HWY_INLINE double Total() {
    for (size_t s = kFoldLanes / 2; s != 0; s /= 2) {
      for (size_t i = 0; i < s; ++i) {
        const double next = sum[i] + sum[i + s], moved = next - sum[i];
        error[i] = (error[i] + error[i + s]) + ((sum[i] - (next - moved)) + (sum[i + s] - moved));
        sum[i] = next;
      }
    }
    return std::isfinite(sum[0]) ? sum[0] + error[0] : sum[0];
  }
};

// What one group of lanes gathers of each sum.
template <class T, size_t kSums>
struct LaneSums {
  static constexpr size_t kPairs = kLaneGroup<T> / kPair<T>;
  Pair<T> pairs[kSums][kPairs];

  HWY_INLINE LaneSums() {
    ADDNORM_UNROLL
    for (auto& sum : pairs) {
      ADDNORM_UNROLL
      for (auto& pair : sum) pair = Zeros<T>();
    }
  }
  // Empties the sums of the set bits of `which` into their wide lanes.
  HWY_INLINE void MoveTo(WideLanes<T>* lanes, size_t lane, unsigned which) {
    ADDNORM_UNROLL
    for (size_t k = 0; k < kSums; ++k) {
      if (!(which >> k & 1)) continue;
      ADDNORM_UNROLL
      for (size_t p = 0; p < kPairs; ++p) {
        lanes[k].Add(lane + p * kPair<T>, pairs[k][p].a);
        lanes[k].Add(lane + p * kPair<T> + kLanes<T>, pairs[k][p].b);
        pairs[k][p] = Zeros<T>();
      }
    }
  }
  // Adds columns [i, i + kLaneGroup) of which `left` are inside the row.
  template <class Body>
  HWY_INLINE void Add(Body& body, size_t i, size_t left) {
    ADDNORM_UNROLL
    for (size_t p = 0; p < kPairs; ++p) {
      Pair<T> terms[kSums];
      const size_t at = p * kPair<T>;
      if (left >= at + kPair<T>) {
        body.Terms(i + at, Whole(), terms);
      } else if (left > at) {
        body.Terms(i + at, Part{left - at}, terms);
      } else {
        return;
      }
      ADDNORM_UNROLL
      for (size_t k = 0; k < kSums; ++k) pairs[k][p] = pairs[k][p] + terms[k];
    }
  }
};

// Sums kSums quantities over a row; bit k of kFine set: sum k is fine, else coarse.
// body.Begin(c, n) is called before the columns [c, c + n) of a chunk, body.Before(i) before the next kFoldLanes of them,
// body.BeforePart(i, n) before fewer;
// body.Terms(i, part, terms) gives what columns [i, i + kPair) contribute to each sum; columns outside the row must give 0.
template <class T, size_t kSums, unsigned kFine, class Body>
HWY_INLINE void Fold(size_t cols, Body& body, double* HWY_RESTRICT totals) {
  constexpr unsigned kAll = (1u << kSums) - 1;
  WideLanes<T> lanes[kSums];
  for (size_t c = 0; c < cols; c += kFoldChunk) {
    const size_t end = HWY_MIN(cols, c + kFoldChunk);
    body.Begin(c, end - c);
    for (size_t lane = 0; lane < kFoldLanes; lane += kLaneGroup<T>) {
      LaneSums<T, kSums> sums;
      size_t q = c;
      for (; q + kFineChunk <= end; q += kFineChunk) {
        ADDNORM_NO_UNROLL
        for (size_t i = q; i < q + kFineChunk; i += kFoldLanes) {
          if (lane == 0) body.Before(i);
          sums.Add(body, i + lane, kLaneGroup<T>);
        }
        sums.MoveTo(lanes, lane, kFine);
      }
      for (; q < end; q += kFoldLanes) {
        if (lane == 0 && end - q >= kFoldLanes) body.Before(q);
        if (lane == 0 && end - q < kFoldLanes) body.BeforePart(q, end - q);
        if (q + lane < end) sums.Add(body, q + lane, end - q - lane);
      }
      sums.MoveTo(lanes, lane, (end - c) % kFineChunk ? kAll : kAll & ~kFine);
    }
  }
  ADDNORM_UNROLL
  for (size_t k = 0; k < kSums; ++k) totals[k] = lanes[k].Total();
}

}  // namespace HWY_NAMESPACE
}  // namespace addnorm
HWY_AFTER_NAMESPACE();

#endif  // ADDNORM_CPU_FOLD_INL_H_
