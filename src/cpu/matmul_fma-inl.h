// SPDX-License-Identifier: Apache-2.0
// a * b + c in fp32, rounded once, on every target.

#include <bit>
#include <cstdint>

#include "hwy/highway.h"
#include "src/cpu/codec-inl.h"

#if defined(ADDNORM_CPU_MATMUL_FMA_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ADDNORM_CPU_MATMUL_FMA_INL_H_
#undef ADDNORM_CPU_MATMUL_FMA_INL_H_
#else
#define ADDNORM_CPU_MATMUL_FMA_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace addnorm {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR
// The product is exact in fp64. The sum is rounded to odd there: a later rounding to fp32 is then right, as 53 >= 24 + 2.
HWY_INLINE float FusedMultiplyAdd(float a, float b, float c) {
  const double product = static_cast<double>(a) * static_cast<double>(b), addend = static_cast<double>(c);
  const double sum = product + addend;
  const double part = sum - product;
  const double error = (product - (sum - part)) + (addend - part);
  uint64_t bits = std::bit_cast<uint64_t>(sum);
  if ((error > 0 || error < 0) && (bits & 1) == 0) bits += (error > 0) == (sum > 0) ? uint64_t{1} : ~uint64_t{0};
  return static_cast<float>(std::bit_cast<double>(bits));
}
HWY_INLINE Vec<float> Fma(Vec<float> a, Vec<float> b, Vec<float> c) {
  return hn::Set(Tag<float>(), FusedMultiplyAdd(hn::GetLane(a), hn::GetLane(b), hn::GetLane(c)));
}
#elif HWY_TARGET == HWY_SSE4
// As above, two lanes at a time.
using HalfFloats = hn::Vec<hn::Half<Tag<float>>>;
HWY_INLINE HalfFloats FusedMultiplyAdd(HalfFloats a, HalfFloats b, HalfFloats c) {
  const Tag<double> d;
  const Tag<int64_t> di;
  const auto product = hn::Mul(hn::PromoteTo(d, a), hn::PromoteTo(d, b)), addend = hn::PromoteTo(d, c);
  const auto sum = hn::Add(product, addend);
  const auto part = hn::Sub(sum, product);
  const auto error = hn::Add(hn::Sub(product, hn::Sub(sum, part)), hn::Sub(addend, part));
  const auto zero = hn::Zero(d);
  const auto wrong = hn::Or(hn::Lt(error, zero), hn::Gt(error, zero));  // false for NaN
  const auto bits = hn::BitCast(di, sum);
  const auto one = hn::Set(di, 1);
  // Away from zero by one if error and sum have the same sign, else towards it.
  const auto differ = hn::Xor(hn::BitCast(di, error), bits);
  const auto step = hn::IfThenElse(hn::Lt(differ, hn::Zero(di)), hn::Set(di, -1), one);
  const auto even = hn::Eq(hn::And(bits, one), hn::Zero(di));
  const auto move = hn::And(even, hn::RebindMask(di, wrong));
  return hn::DemoteTo(hn::Half<Tag<float>>(), hn::BitCast(d, hn::Add(bits, hn::IfThenElseZero(move, step))));
}
HWY_INLINE Vec<float> Fma(Vec<float> a, Vec<float> b, Vec<float> c) {
  const hn::Half<Tag<float>> dh;
  const auto low = FusedMultiplyAdd(hn::LowerHalf(dh, a), hn::LowerHalf(dh, b), hn::LowerHalf(dh, c));
  const auto high = FusedMultiplyAdd(hn::UpperHalf(dh, a), hn::UpperHalf(dh, b), hn::UpperHalf(dh, c));
  return hn::Combine(Tag<float>(), high, low);
}
#else
HWY_INLINE Vec<float> Fma(Vec<float> a, Vec<float> b, Vec<float> c) { return hn::MulAdd(a, b, c); }
#endif

}  // namespace HWY_NAMESPACE
}  // namespace addnorm
HWY_AFTER_NAMESPACE();

#endif  // ADDNORM_CPU_MATMUL_FMA_INL_H_
