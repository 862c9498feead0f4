// SPDX-License-Identifier: Apache-2.0
// The one definition of a row sum (contract C4): 64 fixed lanes (lane = column mod 64) in T over chunks of 256 columns; at the
// end of a chunk each lane is added to its own wide accumulator (fp64 for fp32 rows, a compensated pair for fp64 rows); at the
// end a fixed binary tree over the 64 wide lanes. The order does not know the width of a vector, so all targets agree.

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
inline constexpr size_t kFoldChunk = 256;

template <class T>
struct WideLanes;

template <>
struct WideLanes<float> {
  alignas(64) double sum[kFoldLanes];

  // Lanes [at, at + N) = or += v. The first chunk stores: its sums started from +0, so 0 + v would be the same bits.
  HWY_INLINE void Add(size_t at, Vec<float> v, bool first) {
    const Tag<double> dd;
#if HWY_TARGET == HWY_SCALAR
    AddHalf(dd, sum + at, hn::PromoteTo(dd, v), first);
#else
    const hn::Half<Tag<float>> dh;
    AddHalf(dd, sum + at, hn::PromoteTo(dd, hn::LowerHalf(dh, v)), first);
    AddHalf(dd, sum + at + kLanes<double>, hn::PromoteTo(dd, hn::UpperHalf(dh, v)), first);
#endif
  }
  HWY_INLINE double Total() {
    for (size_t s = kFoldLanes / 2; s >= kLanes<double>; s /= 2) {
      for (size_t i = 0; i < s; i += kLanes<double>) {
        const Tag<double> d;
        hn::Store(hn::Add(hn::Load(d, sum + i), hn::Load(d, sum + i + s)), d, sum + i);
      }
    }
    for (size_t s = kLanes<double> / 2; s != 0; s /= 2) {
      for (size_t i = 0; i < s; ++i) sum[i] += sum[i + s];
    }
    return sum[0];
  }

 private:
  static HWY_INLINE void AddHalf(Tag<double> dd, double* to, Vec<double> v, bool first) {
    hn::Store(first ? v : hn::Add(hn::Load(dd, to), v), dd, to);
  }
};

template <>
struct WideLanes<double> {
  alignas(64) double sum[kFoldLanes];
  alignas(64) double error[kFoldLanes];

  HWY_INLINE void Add(size_t at, Vec<double> v, bool first) {
    const Tag<double> d;
    if (first) {
      hn::Store(v, d, sum + at);
      return hn::Store(hn::Zero(d), d, error + at);
    }
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

// Sums kSums quantities over a row. body.Begin(c, n) is called before the columns [c, c + n) of a chunk;
// body.Add(i, part, sums) adds what columns [i, i + kPair) contribute to sums[0..kSums); columns outside the row must add 0.
template <class T, size_t kSums, class Body>
HWY_INLINE void Fold(size_t cols, Body& body, double* HWY_RESTRICT totals) {
  WideLanes<T> lanes[kSums];
  for (size_t c = 0; c == 0 || c < cols; c += kFoldChunk) {
    const size_t n = HWY_MIN(kFoldChunk, cols - c);
    body.Begin(c, n);
    for (size_t lane = 0; lane < kFoldLanes; lane += kPair<T>) {
      Pair<T> sums[kSums];
      for (size_t k = 0; k < kSums; ++k) sums[k] = Zeros<T>();
      if (HWY_LIKELY(n == kFoldChunk)) {
        body.Add(c + lane, Whole(), sums);
        body.Add(c + lane + 64, Whole(), sums);
        body.Add(c + lane + 128, Whole(), sums);
        body.Add(c + lane + 192, Whole(), sums);
      } else {
        for (size_t i = lane; i < n; i += kFoldLanes) {
          if (n - i >= kPair<T>) {
            body.Add(c + i, Whole(), sums);
          } else {
            body.Add(c + i, Part{n - i}, sums);
          }
        }
      }
      for (size_t k = 0; k < kSums; ++k) {
        lanes[k].Add(lane, sums[k].a, c == 0);
        lanes[k].Add(lane + kLanes<T>, sums[k].b, c == 0);
      }
    }
  }
  for (size_t k = 0; k < kSums; ++k) totals[k] = lanes[k].Total();
}

}  // namespace HWY_NAMESPACE
}  // namespace addnorm
HWY_AFTER_NAMESPACE();

#endif  // ADDNORM_CPU_FOLD_INL_H_
