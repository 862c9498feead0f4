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

template <size_t kBytes>
void PackPlain(const WeightPart& part, uint32_t* HWY_RESTRICT words) {
  constexpr size_t kPerWord = 4 / kBytes;
  alignas(64) std::byte edge[kPerWord][kPanel * kBytes] = {};
  for (size_t k = part.k_begin; k < part.k_end; k += kPerWord, words += kPanel) {
    const std::byte* rows[kPerWord];
    for (size_t i = 0; i < kPerWord; ++i) {
      const std::byte* row = part.data + static_cast<ptrdiff_t>(k + i) * part.k_stride * static_cast<ptrdiff_t>(kBytes);
      if (HWY_LIKELY(part.cols == kPanel && k + i < part.k_end)) {
        rows[i] = row;
        continue;
      }
      if (k + i < part.k_end) {
        std::memcpy(edge[i], row, part.cols * kBytes);
      } else {
        std::memset(edge[i], 0, kPanel * kBytes);
      }
      rows[i] = edge[i];
    }
    InterleaveRows<kBytes>(rows, words);
  }
}

void PackTransposed(const WeightPart& part, uint32_t* HWY_RESTRICT words) {
  const size_t per_word = 4 / part.element_bytes, count = (part.k_end - part.k_begin + per_word - 1) / per_word;
  const size_t whole = (part.k_end - part.k_begin) / per_word;
  for (size_t j = 0; j < kPanel; ++j) {
    if (j >= part.cols) {
      for (size_t w = 0; w < count; ++w) words[w * kPanel + j] = 0;
      continue;
    }
    const std::byte* column = part.data + (static_cast<ptrdiff_t>(j) * part.n_stride + static_cast<ptrdiff_t>(part.k_begin)) *
                                              static_cast<ptrdiff_t>(part.element_bytes);
    for (size_t w = 0; w < whole; ++w) std::memcpy(words + w * kPanel + j, column + 4 * w, 4);
    if (whole < count) {
      uint32_t word = 0;
      std::memcpy(&word, column + 4 * whole, (part.k_end - part.k_begin) * part.element_bytes - 4 * whole);
      words[whole * kPanel + j] = word;
    }
  }
}

void Pack(const WeightPart& part, uint32_t* words) {
  if (part.n_stride != 1) return PackTransposed(part, words);
  if (part.element_bytes == 4) return PackPlain<4>(part, words);
  if (part.element_bytes == 2) return PackPlain<2>(part, words);
  PackPlain<1>(part, words);
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

// Element `i` of each word.
HWY_INLINE Vec<float> ElementOf(Vec<uint32_t> word, DType dtype, size_t i) {
  const Tag<float> d;
  const Tag<uint32_t> du;
  const Tag<int32_t> di;
  switch (dtype) {
    case DType::kBF16:
      return hn::BitCast(d, i == 0 ? hn::ShiftLeft<16>(word) : hn::And(word, hn::Set(du, 0xFFFF0000u)));
    case DType::kF16:
      return FromLowF16(i == 0 ? hn::And(word, hn::Set(du, 0xFFFFu)) : hn::ShiftRight<16>(word));
    case DType::kI8: {
      const auto top = i == 0 ? hn::ShiftLeft<24>(word) : i == 1 ? hn::ShiftLeft<16>(word) : i == 2 ? hn::ShiftLeft<8>(word) : word;
      return hn::ConvertTo(d, hn::ShiftRight<24>(hn::BitCast(di, top)));
    }
    default:
      return hn::BitCast(d, word);
  }
}

void Widen(const uint32_t* words, DType dtype, size_t first, size_t count, const float* offset, float* HWY_RESTRICT out) {
  const Tag<float> d;
  const size_t per_word = 4 / SizeOf(dtype);
  for (size_t k = first; k < first + count; ++k, out += kPanel) {
    const uint32_t* HWY_RESTRICT row = words + k / per_word * kPanel;
    for (size_t j = 0; j < kPanel; j += kLanes<float>) {
      auto v = ElementOf(hn::LoadU(Tag<uint32_t>(), row + j), dtype, k % per_word);
      if (offset != nullptr) v = hn::Add(v, hn::LoadU(d, offset + j));
      hn::StoreU(v, d, out + j);
    }
  }
}

void WidenBF16(const uint32_t* words, size_t first, size_t count, const float* offset, uint32_t* HWY_RESTRICT out) {
  const Tag<float> d;
  const Tag<uint32_t> du;
  for (size_t k = first; k < first + count; k += 2, out += kPanel) {
    const uint32_t* HWY_RESTRICT row = words + k / 4 * kPanel;
    for (size_t j = 0; j < kPanel; j += kLanes<float>) {
      const auto word = hn::LoadU(du, row + j);
      const auto plus = offset == nullptr ? hn::Zero(d) : hn::LoadU(d, offset + j);
      const auto low = hn::BitCast(du, hn::Add(ElementOf(word, DType::kI8, k % 4), plus));
      auto high = hn::Zero(du);  // a lone last element: + 0 * 0
      if (k + 1 < first + count) high = hn::BitCast(du, hn::Add(ElementOf(word, DType::kI8, k % 4 + 1), plus));
      hn::StoreU(hn::Or(hn::ShiftRight<16>(low), high), du, out + j);
    }
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
