// SPDX-License-Identifier: Apache-2.0
// The inner loops: up to kTileRows rows of x1 against one panel of weights, sums in registers; and what follows the last k.

#include "hwy/highway.h"
#include "src/cpu/matmul_fma-inl.h"
#include "src/cpu/matmul_kernels.h"

#if defined(ADDNORM_CPU_MATMUL_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ADDNORM_CPU_MATMUL_TILE_INL_H_
#undef ADDNORM_CPU_MATMUL_TILE_INL_H_
#else
#define ADDNORM_CPU_MATMUL_TILE_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace addnorm {
namespace HWY_NAMESPACE {

// A panel is two vectors wide, so that one broadcast of x1 serves two multiply-adds. Rows: what the register file holds.
inline constexpr size_t kPanel = kPair<float>;
inline constexpr size_t kTileRows = HWY_TARGET == HWY_AVX3 ? 14 : HWY_TARGET == HWY_NEON ? 12 : 6;

// Words of two int16: a0 * b0 + a1 * b1 + sum, exact.
HWY_INLINE Vec<int32_t> DotInt16(Vec<int32_t> a, Vec<int32_t> b, Vec<int32_t> sum) {
#if HWY_TARGET == HWY_AVX3
  return Vec<int32_t>{_mm512_add_epi32(sum.raw, _mm512_madd_epi16(a.raw, b.raw))};
#elif HWY_TARGET == HWY_AVX2
  return Vec<int32_t>{_mm256_add_epi32(sum.raw, _mm256_madd_epi16(a.raw, b.raw))};
#elif HWY_TARGET == HWY_SSE4
  return Vec<int32_t>{_mm_add_epi32(sum.raw, _mm_madd_epi16(a.raw, b.raw))};
#elif HWY_TARGET == HWY_NEON
  const int16x8_t x = vreinterpretq_s16_s32(a.raw), y = vreinterpretq_s16_s32(b.raw);
  return Vec<int32_t>{vaddq_s32(sum.raw, vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)), vmull_high_s16(x, y)))};
#else
  const auto half = [](Vec<int32_t> v, int shift) { return int32_t{static_cast<int16_t>(hn::GetLane(v) >> shift)}; };
  const int32_t dot = half(a, 0) * half(b, 0) + half(a, 16) * half(b, 16);
  return hn::Set(Tag<int32_t>(), static_cast<int32_t>(static_cast<uint32_t>(hn::GetLane(sum)) + static_cast<uint32_t>(dot)));
#endif
}

template <size_t kRows, class T>
struct Sums {
  Vec<T> v[kRows][2];
};

struct FloatStep {
  using Type = float;
  static HWY_INLINE Vec<float> Dot(Vec<float> a, Vec<float> b, Vec<float> sum) { return Fma(a, b, sum); }
};
struct Int16Step {
  using Type = int32_t;
  static HWY_INLINE Vec<int32_t> Dot(Vec<int32_t> a, Vec<int32_t> b, Vec<int32_t> sum) { return DotInt16(a, b, sum); }
};

template <size_t kRows, class Step, class T = typename Step::Type>
HWY_INLINE void AddStep(const T* HWY_RESTRICT a, const T* HWY_RESTRICT b, Sums<kRows, T>& sums) {
  const Tag<T> d;
  const auto b0 = hn::LoadU(d, b), b1 = hn::LoadU(d, b + kLanes<T>);
#pragma GCC unroll 16
  for (size_t r = 0; r < kRows; ++r) {
    const auto x = hn::Set(d, a[r]);
    sums.v[r][0] = Step::Dot(x, b0, sums.v[r][0]);
    sums.v[r][1] = Step::Dot(x, b1, sums.v[r][1]);
  }
}

template <size_t kRows>
HWY_INLINE void AddToRunning(const Sums<kRows, float>& sums, const float* HWY_RESTRICT scale, float* HWY_RESTRICT c) {
  const Tag<float> d;
  constexpr size_t kN = kLanes<float>;
  if (scale == nullptr) {
#pragma GCC unroll 16
    for (size_t r = 0; r < kRows; ++r) {
      hn::StoreU(hn::Add(hn::LoadU(d, c + r * kPanel), sums.v[r][0]), d, c + r * kPanel);
      hn::StoreU(hn::Add(hn::LoadU(d, c + r * kPanel + kN), sums.v[r][1]), d, c + r * kPanel + kN);
    }
    return;
  }
  const auto s0 = hn::LoadU(d, scale), s1 = hn::LoadU(d, scale + kN);
#pragma GCC unroll 16
  for (size_t r = 0; r < kRows; ++r) {
    hn::StoreU(Fma(s0, sums.v[r][0], hn::LoadU(d, c + r * kPanel)), d, c + r * kPanel);
    hn::StoreU(Fma(s1, sums.v[r][1], hn::LoadU(d, c + r * kPanel + kN)), d, c + r * kPanel + kN);
  }
}
template <size_t kRows>
HWY_INLINE void AddToRunning(const Sums<kRows, int32_t>& sums, const float*, int32_t* HWY_RESTRICT c) {
  const Tag<int32_t> d;
  constexpr size_t kN = kLanes<int32_t>;
#pragma GCC unroll 16
  for (size_t r = 0; r < kRows; ++r) {
    hn::StoreU(hn::Add(hn::LoadU(d, c + r * kPanel), sums.v[r][0]), d, c + r * kPanel);
    hn::StoreU(hn::Add(hn::LoadU(d, c + r * kPanel + kN), sums.v[r][1]), d, c + r * kPanel + kN);
  }
}

template <size_t kRows, class Step>
HWY_NOINLINE void TileOf(const MatmulTile& tile) {
  using T = typename Step::Type;
  uintptr_t next = tile.next;
  const auto fetch = [&next, &tile] {
    __builtin_prefetch(reinterpret_cast<const void*>(next), 0, 2);
    next += static_cast<uintptr_t>(tile.next_step);
  };
  for (const MatmulBlock& block : tile.blocks) {
    const T* HWY_RESTRICT a = static_cast<const T*>(tile.a) + block.begin * kRows;
    const T* HWY_RESTRICT b = static_cast<const T*>(tile.b) + block.begin * kPanel;
    Sums<kRows, T> sums;
#pragma GCC unroll 16
    for (size_t r = 0; r < kRows; ++r) sums.v[r][0] = sums.v[r][1] = hn::Zero(Tag<T>());
    for (size_t pairs = block.size / 2; pairs != 0; --pairs, a += 2 * kRows, b += 2 * kPanel) {
      fetch();
      AddStep<kRows, Step>(a + kRows, b + kPanel, sums);  // the odd one first: see MatmulKernels::f32
      fetch();
      AddStep<kRows, Step>(a, b, sums);
    }
    if (block.size % 2 != 0) AddStep<kRows, Step>(a, b, sums);
    AddToRunning<kRows>(sums, block.scale, static_cast<T*>(tile.c));
  }
}

template <class Step, size_t kRows = kTileRows>
void Tile(size_t rows, const MatmulTile& tile) {
  if constexpr (kRows != 0) {
    if (rows == kRows) return TileOf<kRows, Step>(tile);
    Tile<Step, kRows - 1>(rows, tile);
  }
}

// Lanes beyond the result's last column stay in the panel.
HWY_INLINE void StoreResult(Vec<float> v, size_t i, size_t cols, float* HWY_RESTRICT out) {
  const Tag<float> d;
  if (HWY_LIKELY(i + kLanes<float> <= cols)) return hn::StoreU(v, d, out + i);
  alignas(64) float lanes[kLanes<float>];
  hn::Store(v, d, lanes);
  for (size_t j = i; j < cols; ++j) out[j] = lanes[j - i];
}

void FinishFloat(const MatmulFinish& f) {
  const Tag<float> d;
  // The sign and payload of a NaN depend on the order of operands that the compiler chose. One NaN for all.
  const auto nan = hn::BitCast(d, hn::Set(Tag<uint32_t>(), 0x7FC00000u));
  for (size_t r = 0; r < f.rows; ++r) {
    const float* HWY_RESTRICT c = static_cast<const float*>(f.c) + r * kPanel;
    for (size_t i = 0; i < f.cols; i += kLanes<float>) {
      auto v = hn::LoadU(d, c + i);
      if (f.bias != nullptr) v = hn::Add(v, hn::LoadU(d, f.bias + i));
      StoreResult(hn::IfThenElse(hn::IsNaN(v), nan, v), i, f.cols, f.out + r * f.out_stride);
    }
  }
}

void FinishInt32(const MatmulFinish& f) {
  const Tag<int32_t> di;
  const Tag<float> df;
  const Tag<double> dd;
  for (size_t r = 0; r < f.rows; ++r) {
    const int32_t* HWY_RESTRICT c = static_cast<const int32_t*>(f.c) + r * kPanel;
    float* HWY_RESTRICT out = f.out + r * f.out_stride;
    for (size_t i = 0; i < f.cols; i += kLanes<float>) {
      const auto sum = hn::Sub(hn::LoadU(di, c + i), hn::LoadU(di, f.shift + i));  // wraps, and wraps back
      const auto result = [&](auto half, size_t j) HWY_ATTR {
        const auto wide = hn::Add(hn::PromoteTo(dd, half), hn::LoadU(dd, f.wide_bias + j));  // exact: 33 bits
        return hn::Mul(wide, hn::LoadU(dd, f.wide_scale + j));
      };
#if HWY_TARGET == HWY_SCALAR
      const double wide = static_cast<double>(hn::GetLane(sum)) + f.wide_bias[i];
      StoreResult(hn::Set(df, static_cast<float>(wide * f.wide_scale[i])), i, f.cols, out);
      (void)result, (void)dd;
#else
      const hn::Half<Tag<int32_t>> dh;
      const hn::Half<Tag<float>> dhf;
      const auto low = hn::DemoteTo(dhf, result(hn::LowerHalf(dh, sum), i));
      const auto high = hn::DemoteTo(dhf, result(hn::UpperHalf(dh, sum), i + kLanes<double>));
      StoreResult(hn::Combine(df, high, low), i, f.cols, out);
#endif
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace addnorm
HWY_AFTER_NAMESPACE();

#endif  // ADDNORM_CPU_MATMUL_TILE_INL_H_
