// SPDX-License-Identifier: Apache-2.0
// The dropout words of a chunk of columns (docs/numerics.md): blocks of Philox4x32-10 side by side, one per 32-bit lane.

#include "hwy/highway.h"
#include "src/base/philox.h"
#include "src/cpu/codec-inl.h"
#include "src/cpu/fold-inl.h"

#if defined(ADDNORM_CPU_DROPOUT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ADDNORM_CPU_DROPOUT_INL_H_
#undef ADDNORM_CPU_DROPOUT_INL_H_
#else
#define ADDNORM_CPU_DROPOUT_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace addnorm {
namespace HWY_NAMESPACE {

#if HWY_TARGET != HWY_SCALAR
using Words = Vec<uint32_t>;

// All 32 x 32 -> 64 bit products with one multiplier, split into high and low words.
HWY_INLINE void MulWide(Words x, Words multiplier, Words& high, Words& low) {
  const Tag<uint32_t> du;
  const Tag<uint64_t> dq;
  const auto even = hn::MulEven(x, multiplier);
  const auto odd = hn::MulEven(hn::BitCast(du, hn::ShiftRight<32>(hn::BitCast(dq, x))), multiplier);
  high = hn::OddEven(hn::BitCast(du, odd), hn::BitCast(du, hn::ShiftRight<32>(even)));
  low = hn::OddEven(hn::BitCast(du, hn::ShiftLeft<32>(odd)), hn::BitCast(du, even));
}

// Words of kLanes consecutive blocks, in column order, to `words`.
template <size_t kGroups>
HWY_INLINE void PhiloxBlocks(uint64_t seed, uint64_t offset, uint64_t block, uint32_t* HWY_RESTRICT words) {
  const Tag<uint32_t> du;
  constexpr size_t kN = kLanes<uint32_t>;
  const Words m0 = hn::Set(du, kPhiloxM0), m1 = hn::Set(du, kPhiloxM1);
  Words c0[kGroups], c1[kGroups], c2[kGroups], c3[kGroups];
  for (size_t g = 0; g < kGroups; ++g) {
    const uint64_t first = block + g * kN;
    const auto low = hn::Set(du, static_cast<uint32_t>(first));
    c0[g] = hn::Set(du, static_cast<uint32_t>(offset));
    c1[g] = hn::Set(du, static_cast<uint32_t>(offset >> 32));
    c2[g] = hn::Add(low, hn::Iota(du, 0));
    c3[g] = hn::Set(du, static_cast<uint32_t>(first >> 32));
    const auto carry = hn::Lt(hn::BitCast(Tag<int32_t>(), hn::Xor(c2[g], hn::Set(du, 0x80000000u))),
                              hn::BitCast(Tag<int32_t>(), hn::Xor(low, hn::Set(du, 0x80000000u))));
    c3[g] = hn::Add(c3[g], hn::IfThenElseZero(hn::RebindMask(du, carry), hn::Set(du, 1u)));
  }
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < kPhiloxRounds; ++round) {
    for (size_t g = 0; g < kGroups; ++g) {
      Words high0, low0, high1, low1;
      MulWide(c0[g], m0, high0, low0);
      MulWide(c2[g], m1, high1, low1);
      c0[g] = hn::Xor(hn::Xor(high1, c1[g]), hn::Set(du, k0));
      c1[g] = low1;
      c2[g] = hn::Xor(hn::Xor(high0, c3[g]), hn::Set(du, k1));
      c3[g] = low0;
    }
    k0 += kPhiloxW0;
    k1 += kPhiloxW1;
  }
  for (size_t g = 0; g < kGroups; ++g) hn::StoreInterleaved4(c0[g], c1[g], c2[g], c3[g], du, words + 4 * g * kN);
}
#endif  // HWY_TARGET != HWY_SCALAR

// The words of one chunk of one row.
class DropoutWords {
 public:
  // Fills the words of columns [c, c + n), n <= kFoldChunk, c a multiple of 4.
  HWY_NOINLINE void Fill(const DropoutStage& dropout, size_t row, size_t c, size_t n) {
    const uint64_t column = dropout.col_base + c;
    const uint64_t block = (dropout.row_base + row) * dropout.blocks_per_row + (column >> 2);
    shift_ = column & 3;
    const size_t blocks = (n + shift_ + 3) / 4;
#if HWY_TARGET == HWY_SCALAR
    for (size_t b = 0; b < blocks; ++b) {
      const auto words = Philox(dropout.seed, dropout.offset, block + b);
      for (size_t w = 0; w < 4; ++w) words_[4 * b + w] = words[w];
    }
#else
    constexpr size_t kN = kLanes<uint32_t>;
    size_t b = 0;
    for (; b + kN < blocks; b += 2 * kN) PhiloxBlocks<2>(dropout.seed, dropout.offset, block + b, words_ + 4 * b);
    for (; b < blocks; b += kN) PhiloxBlocks<1>(dropout.seed, dropout.offset, block + b, words_ + 4 * b);
#endif
    threshold_ = dropout.threshold;
    start_ = c;
  }

  HWY_INLINE bool Kept(size_t i) const { return words_[shift_ + i - start_] < threshold_; }

  // v where kept, 0 where dropped. Select, not multiply: a dropped Inf or NaN gives 0.
  HWY_INLINE Pair<float> Select(size_t i, const Pair<float>& v) const {
    return {hn::IfThenElseZero(Mask(i), v.a), hn::IfThenElseZero(Mask(i + kLanes<float>), v.b)};
  }
  HWY_INLINE Pair<double> Select(size_t i, const Pair<double>& v) const {
    alignas(64) double buffer[kPair<double>];
    const Tag<double> d;
    hn::Store(v.a, d, buffer);
    hn::Store(v.b, d, buffer + kLanes<double>);
    for (size_t k = 0; k < kPair<double>; ++k) buffer[k] = Kept(i + k) ? buffer[k] : 0.0;
    return {hn::Load(d, buffer), hn::Load(d, buffer + kLanes<double>)};
  }

 private:
  HWY_INLINE hn::Mask<Tag<float>> Mask(size_t i) const {
    const Tag<uint32_t> du;
    const Tag<int32_t> di;
    const auto flip = hn::Set(du, 0x80000000u);  // unsigned comparison by signed
    const auto word = hn::BitCast(di, hn::Xor(hn::LoadU(du, words_ + shift_ + i - start_), flip));
    return hn::RebindMask(Tag<float>(), hn::Lt(word, hn::BitCast(di, hn::Xor(hn::Set(du, threshold_), flip))));
  }

  // One block more than the columns need (col_base % 4), rounded up to two vectors of blocks, and a pair read past a partial row.
  alignas(64) uint32_t words_[kFoldChunk + 4 * 2 * kLanes<uint32_t> + 4 + kPair<uint32_t>];
  size_t shift_ = 0, start_ = 0;
  uint32_t threshold_ = 0;
};

}  // namespace HWY_NAMESPACE
}  // namespace addnorm
HWY_AFTER_NAMESPACE();

#endif  // ADDNORM_CPU_DROPOUT_INL_H_
