// SPDX-License-Identifier: Apache-2.0
// Weights into panels of words, and panels of words into what the inner loops read.

#include <cstring>

#include "hwy/highway.h"
#include "src/cpu/codec-inl.h"
#include "src/cpu/matmul_kernels.h"
#include "src/cpu/matmul_tile-inl.h"

#if defined(ADDNORM_CPU_MATMUL_PACK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ADDNORM_CPU_MATMUL_PACK_INL_H_
#undef ADDNORM_CPU_MATMUL_PACK_INL_H_
#else
#define ADDNORM_CPU_MATMUL_PACK_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace addnorm {
namespace HWY_NAMESPACE {

constexpr size_t SizeOfStatic(DType dtype) { return dtype == DType::kF32 ? 4 : dtype == DType::kI8 ? 1 : 2; }
template <size_t kBytes>
using Bits = hwy::UnsignedFromSize<kBytes>;

// One row of words from 4 / kBytes rows of elements, kPanel of each.
template <size_t kBytes>
HWY_INLINE void InterleaveRows(const std::byte* const* rows, uint32_t* HWY_RESTRICT words) {
  const Tag<uint32_t> d;
  const hn::Rebind<Bits<kBytes>, Tag<uint32_t>> de;
  for (size_t j = 0; j < kPanel; j += kLanes<uint32_t>) {
    const auto load = [&](size_t i) HWY_ATTR {
      if constexpr (kBytes == 4) {
        return hn::LoadU(d, reinterpret_cast<const uint32_t*>(rows[i]) + j);
      } else {
        return hn::PromoteTo(d, hn::LoadU(de, reinterpret_cast<const Bits<kBytes>*>(rows[i]) + j));
      }
    };
    auto word = load(0);
    if constexpr (kBytes == 2) word = hn::Or(word, hn::ShiftLeft<16>(load(1)));
    if constexpr (kBytes == 1) {
      word = hn::Or(word, hn::ShiftLeft<8>(load(1)));
      word = hn::Or(word, hn::Or(hn::ShiftLeft<16>(load(2)), hn::ShiftLeft<24>(load(3))));
    }
    hn::StoreU(word, d, words + j);
  }
}

// Rows outside, panels inside: a row of all the panels is contiguous, and the rows may lie pages apart.
template <size_t kBytes>
void PackPlain(const WeightPart& part, uint32_t* HWY_RESTRICT words, size_t panel_words) {
  constexpr size_t kPerWord = 4 / kBytes;
  constexpr ptrdiff_t kAhead = 16;
  alignas(64) std::byte edge[kPerWord][kPanel * kBytes] = {};
  const ptrdiff_t stride = part.k_stride * static_cast<ptrdiff_t>(kBytes);
  for (size_t k = part.k_begin; k < part.k_end; k += kPerWord, words += kPanel) {
    const std::byte* first = part.data + static_cast<ptrdiff_t>(k) * stride;
    uint32_t* to = words;
    for (size_t j = 0; j < part.cols; j += kPanel, to += panel_words) {
      const size_t cols = HWY_MIN(kPanel, part.cols - j);
      const std::byte* rows[kPerWord];
      for (size_t i = 0; i < kPerWord; ++i) {
        const std::byte* row = first + static_cast<ptrdiff_t>(i) * stride + j * kBytes;
        const auto ahead = reinterpret_cast<uintptr_t>(row) + static_cast<uintptr_t>(kAhead * stride);
        for (size_t line = 0; line < kPanel * kBytes; line += 64) __builtin_prefetch(reinterpret_cast<const void*>(ahead + line));
        rows[i] = row;
        if (HWY_LIKELY(cols == kPanel && k + i < part.k_end)) continue;
        rows[i] = edge[i];
        if (k + i < part.k_end) {
          std::memcpy(edge[i], row, cols * kBytes);
        } else {
          std::memset(edge[i], 0, kPanel * kBytes);
        }
      }
      InterleaveRows<kBytes>(rows, to);
    }
  }
}

#if HWY_TARGET != HWY_SCALAR
// Four words of each of kLanes columns, `stride` bytes apart, as four rows. Block b of vector c is column 4 b + c, so that what is
// left is a transpose inside blocks.
HWY_INLINE void TransposeFourWords(const std::byte* column, ptrdiff_t stride, uint32_t* HWY_RESTRICT words) {
  const Tag<uint32_t> d;
  const hn::Repartition<uint64_t, Tag<uint32_t>> d64;
  Vec<uint32_t> v[4];
  for (ptrdiff_t c = 0; c < 4; ++c) {
    const auto at = [&](ptrdiff_t block) { return column + (4 * block + c) * stride; };
#if HWY_TARGET == HWY_AVX3
    const auto load = [&](ptrdiff_t block) HWY_ATTR { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at(block))); };
    __m512i blocks = _mm512_castsi128_si512(load(0));
    blocks = _mm512_inserti32x4(blocks, load(1), 1);
    blocks = _mm512_inserti32x4(blocks, load(2), 2);
    v[c] = Vec<uint32_t>{_mm512_inserti32x4(blocks, load(3), 3)};
#elif HWY_TARGET == HWY_AVX2
    const auto load = [&](ptrdiff_t block) HWY_ATTR { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at(block))); };
    v[c] = Vec<uint32_t>{_mm256_inserti128_si256(_mm256_castsi128_si256(load(0)), load(1), 1)};
#else
    v[c] = hn::BitCast(d, hn::LoadU(Tag<uint8_t>(), reinterpret_cast<const uint8_t*>(at(0))));
#endif
  }
  const auto low01 = hn::BitCast(d64, hn::InterleaveLower(d, v[0], v[1])), high01 = hn::BitCast(d64, hn::InterleaveUpper(d, v[0], v[1]));
  const auto low23 = hn::BitCast(d64, hn::InterleaveLower(d, v[2], v[3])), high23 = hn::BitCast(d64, hn::InterleaveUpper(d, v[2], v[3]));
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(d64, low01, low23)), d, words);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(d64, low01, low23)), d, words + kPanel);
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(d64, high01, high23)), d, words + 2 * kPanel);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(d64, high01, high23)), d, words + 3 * kPanel);
}
#endif

// Columns [j, j + n), n <= kLanes of one panel, word by word.
void PackColumns(const std::byte* column, ptrdiff_t stride, size_t n, size_t from_word, size_t bytes, uint32_t* HWY_RESTRICT words) {
  for (size_t j = 0; j < n; ++j, column += stride) {
    for (size_t at = 4 * from_word; at < bytes; at += 4) {
      uint32_t word = 0;
      std::memcpy(&word, column + at, HWY_MIN(size_t{4}, bytes - at));
      words[at / 4 * kPanel + j] = word;
    }
  }
}

void PackTransposed(const WeightPart& part, uint32_t* HWY_RESTRICT words, size_t panel_words) {
  const size_t bytes = (part.k_end - part.k_begin) * part.element_bytes;
  const ptrdiff_t stride = part.n_stride * static_cast<ptrdiff_t>(part.element_bytes);
  const std::byte* first = part.data + static_cast<ptrdiff_t>(part.k_begin * part.element_bytes);
  const size_t padded = (part.cols + kPanel - 1) / kPanel * kPanel;
  for (size_t j = 0; j < padded; j += kLanes<uint32_t>) {
    uint32_t* to = words + j / kPanel * panel_words + j % kPanel;
    const std::byte* column = first + static_cast<ptrdiff_t>(j) * stride;
    const size_t n = j < part.cols ? HWY_MIN(kLanes<uint32_t>, part.cols - j) : 0;
    size_t w = 0;
#if HWY_TARGET != HWY_SCALAR
    for (; n == kLanes<uint32_t> && 4 * w + 16 <= bytes; w += 4) {
      // A quarter of the next columns' lines for each quarter of a line here.
      for (size_t i = w / 4 % 4; i < kLanes<uint32_t>; i += 4) {
        const uintptr_t ahead = reinterpret_cast<uintptr_t>(column) + (kLanes<uint32_t> + i) * static_cast<uintptr_t>(stride);
        __builtin_prefetch(reinterpret_cast<const void*>(ahead + 4 * w));
      }
      TransposeFourWords(column + 4 * w, stride, to + w * kPanel);
    }
#endif
    PackColumns(column, stride, n, w, bytes, to);
    for (size_t at = 0; n < kLanes<uint32_t> && at < bytes; at += 4)
      std::memset(to + at / 4 * kPanel + n, 0, (kLanes<uint32_t> - n) * sizeof(uint32_t));
  }
}

void Pack(const WeightPart& part, uint32_t* words, size_t panel_words) {
  if (part.n_stride != 1) return PackTransposed(part, words, panel_words);
  if (part.element_bytes == 4) return PackPlain<4>(part, words, panel_words);
  if (part.element_bytes == 2) return PackPlain<2>(part, words, panel_words);
  PackPlain<1>(part, words, panel_words);
}

uint32_t SmallestBF16(const uint32_t* words, size_t count) {
  const Tag<uint32_t> d;
  const Tag<int32_t> di;
  // Less one, so that zero comes last; halves of a word apart, as not every target has 16-bit lanes.
  const auto magnitude = hn::Set(d, 0x7FFFu), one = hn::Set(d, 1u), bits = hn::Set(d, 0xFFFFu);
  auto smallest = hn::Set(di, 0xFFFF);
  size_t i = 0;
  const auto add = [&](Vec<uint32_t> word) HWY_ATTR {
    const auto low = hn::And(hn::Sub(hn::And(word, magnitude), one), bits);
    const auto high = hn::And(hn::Sub(hn::And(hn::ShiftRight<16>(word), magnitude), one), bits);
    smallest = hn::Min(smallest, hn::Min(hn::BitCast(di, low), hn::BitCast(di, high)));
  };
  for (; i + kLanes<uint32_t> <= count; i += kLanes<uint32_t>) add(hn::LoadU(d, words + i));
  for (; i < count; ++i) add(hn::Set(d, words[i]));
  alignas(64) int32_t lanes[kLanes<int32_t>];
  hn::Store(smallest, di, lanes);
  int32_t result = lanes[0];
  for (const int32_t lane : lanes) result = HWY_MIN(result, lane);
  return static_cast<uint32_t>(result) + 1;
}

HWY_INLINE Vec<float> FromLowF16(Vec<uint32_t> v) {
#if HWY_TARGET == HWY_SCALAR
  return hn::Set(Tag<float>(), FloatFromF16(static_cast<uint16_t>(hn::GetLane(v))));
#else
  alignas(64) uint16_t bits[kLanes<float>];
  hn::StoreU(Low16(v), hn::Rebind<uint16_t, Tag<float>>(), bits);
  return FromF16(bits);
#endif
}

// Element kIndex of each word.
template <DType kType, size_t kIndex>
HWY_INLINE Vec<float> ElementOf(Vec<uint32_t> word) {
  const Tag<float> d;
  const Tag<uint32_t> du;
  if constexpr (kType == DType::kBF16)
    return hn::BitCast(d, kIndex == 0 ? hn::ShiftLeft<16>(word) : hn::And(word, hn::Set(du, 0xFFFF0000u)));
  if constexpr (kType == DType::kF16) return FromLowF16(kIndex == 0 ? hn::And(word, hn::Set(du, 0xFFFFu)) : hn::ShiftRight<16>(word));
  if constexpr (kType == DType::kI8) {
    const auto top = hn::BitCast(Tag<int32_t>(), kIndex == 3 ? word : hn::ShiftLeft < kIndex == 3 ? 0 : 24 - 8 * kIndex > (word));
    return hn::ConvertTo(d, hn::ShiftRight<24>(top));
  }
  if constexpr (kType == DType::kF32) return hn::BitCast(d, word);
}

// Row kIndex of what the words at `row` hold.
template <DType kType, size_t kIndex>
HWY_INLINE void WidenOne(const uint32_t* HWY_RESTRICT row, const float* offset, float* HWY_RESTRICT out) {
  const Tag<float> d;
  for (size_t j = 0; j < kPanel; j += kLanes<float>) {
    auto v = ElementOf<kType, kIndex>(hn::LoadU(Tag<uint32_t>(), row + j));
    if (offset != nullptr) v = hn::Add(v, hn::LoadU(d, offset + j));
    hn::StoreU(v, d, out + j);
  }
}
template <DType kType, size_t kIndex = 0>
HWY_INLINE void WidenAt(size_t index, const uint32_t* HWY_RESTRICT row, const float* offset, float* HWY_RESTRICT out) {
  if (index == kIndex) return WidenOne<kType, kIndex>(row, offset, out);
  if constexpr (kIndex + 1 < 4 / SizeOfStatic(kType)) WidenAt<kType, kIndex + 1>(index, row, offset, out);
}
template <DType kType>
void WidenOf(const uint32_t* words, size_t first, size_t count, const float* offset, float* HWY_RESTRICT out) {
  constexpr size_t kPerWord = 4 / SizeOfStatic(kType);
  const size_t end = first + count;
  for (size_t k = first; k < end;) {
    const uint32_t* row = words + k / kPerWord * kPanel;
    if (k % kPerWord != 0 || k + kPerWord > end) {
      WidenAt<kType>(k++ % kPerWord, row, offset, out), out += kPanel;
      continue;
    }
    WidenOne<kType, 0>(row, offset, out);
    if constexpr (kPerWord >= 2) WidenOne<kType, 1>(row, offset, out + kPanel);
    if constexpr (kPerWord == 4) WidenOne<kType, 2>(row, offset, out + 2 * kPanel), WidenOne<kType, 3>(row, offset, out + 3 * kPanel);
    k += kPerWord, out += kPerWord * kPanel;
  }
}
void Widen(const uint32_t* words, DType dtype, size_t first, size_t count, const float* offset, float* out) {
  if (dtype == DType::kBF16) return WidenOf<DType::kBF16>(words, first, count, offset, out);
  if (dtype == DType::kF16) return WidenOf<DType::kF16>(words, first, count, offset, out);
  if (dtype == DType::kI8) return WidenOf<DType::kI8>(words, first, count, offset, out);
  WidenOf<DType::kF32>(words, first, count, offset, out);
}

// Elements kIndex and kIndex + 1 of int8 words as two bf16; lone: the second one is beyond the end, and 0.
template <size_t kIndex>
HWY_INLINE void WidenPair(const uint32_t* HWY_RESTRICT row, const float* offset, bool lone, uint32_t* HWY_RESTRICT out) {
  const Tag<float> d;
  const Tag<uint32_t> du;
  for (size_t j = 0; j < kPanel; j += kLanes<float>) {
    const auto word = hn::LoadU(du, row + j);
    auto low = ElementOf<DType::kI8, kIndex>(word), high = ElementOf<DType::kI8, kIndex + 1>(word);
    if (offset != nullptr) low = hn::Add(low, hn::LoadU(d, offset + j)), high = hn::Add(high, hn::LoadU(d, offset + j));
    const auto low_bits = hn::ShiftRight<16>(hn::BitCast(du, low));
    hn::StoreU(lone ? low_bits : hn::Or(low_bits, hn::BitCast(du, high)), du, out + j);
  }
}
void WidenBF16(const uint32_t* words, size_t first, size_t count, const float* offset, uint32_t* HWY_RESTRICT out) {
  const size_t end = first + count;
  for (size_t k = first; k < end; k += 2, out += kPanel) {
    const uint32_t* row = words + k / 4 * kPanel;
    k % 4 == 0 ? WidenPair<0>(row, offset, k + 1 == end, out) : WidenPair<2>(row, offset, k + 1 == end, out);
  }
}

void Split(const uint32_t* words, size_t count, uint32_t* HWY_RESTRICT out) {
  for (size_t w = 0; w < count; ++w, words += kPanel, out += 2 * kPanel) {
    for (size_t j = 0; j < kPanel; j += kLanes<uint32_t>) {
      const Tag<uint32_t> d;
      const Tag<int32_t> di;
      const auto word = hn::LoadU(d, words + j);
      // Each half of a word holds two int8: sign-extend the low ones, then the high ones.
      const auto high_mask = hn::Set(d, 0xFFFF0000u), low_mask = hn::Set(d, 0x0000FFFFu);
      const auto sext = [&](Vec<uint32_t> low_at_top, Vec<uint32_t> high_at_top) HWY_ATTR {
        const auto low = hn::BitCast(d, hn::ShiftRight<24>(hn::BitCast(di, low_at_top)));
        const auto high = hn::BitCast(d, hn::ShiftRight<8>(hn::BitCast(di, high_at_top)));
        return hn::Or(hn::And(low, low_mask), hn::And(high, high_mask));
      };
      hn::StoreU(sext(hn::ShiftLeft<24>(word), hn::ShiftLeft<8>(word)), d, out + j);
      hn::StoreU(sext(hn::ShiftLeft<16>(word), word), d, out + kPanel + j);
    }
  }
}

void WidenRow(const void* from, DType dtype, size_t n, float* HWY_RESTRICT out) {
  const auto* p = static_cast<const std::byte*>(from);
  size_t i = 0;
  for (; i + kPair<float> <= n; i += kPair<float>)
    StorePair<float>(out + i, StaticType<DType::kF32>(), LoadPair<float>(p + i * SizeOf(dtype), AnyType(dtype)));
  if (i < n) StorePart<float>(out + i, DType::kF32, LoadPart<float>(p + i * SizeOf(dtype), dtype, n - i), n - i);
}

}  // namespace HWY_NAMESPACE
}  // namespace addnorm
HWY_AFTER_NAMESPACE();

#endif  // ADDNORM_CPU_MATMUL_PACK_INL_H_
