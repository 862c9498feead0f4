// SPDX-License-Identifier: Apache-2.0
// AVX512_BF16 and AVX512_VNNI beside the AVX3 target: Highway 1.0.3 has neither. One function per tile, as the attribute that allows
// an instruction does not reach into functions called.
#include "src/cpu/matmul_dot.h"

#include <bit>
#include <cmath>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace addnorm {
#if defined(__x86_64__)
namespace {

constexpr size_t kPanel = 32, kVector = 16, kTileRows = 14;  // those of the AVX3 target

#define ADDNORM_BF16_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))
#define ADDNORM_VNNI_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))

template <size_t kRows>
ADDNORM_BF16_TARGET void TileBF16(const MatmulTile& tile) {
  uintptr_t next = tile.next;
  for (const MatmulBlock& block : tile.blocks) {
    const auto* a = static_cast<const uint32_t*>(tile.a) + block.begin * kRows;
    const auto* b = static_cast<const uint32_t*>(tile.b) + block.begin * kPanel;
    __m512 sums[kRows][2];
#pragma GCC unroll 16
    for (size_t r = 0; r < kRows; ++r) sums[r][0] = sums[r][1] = _mm512_setzero_ps();
    for (size_t k = block.size; k != 0; --k, a += kRows, b += kPanel, next += static_cast<uintptr_t>(tile.next_step)) {
      __builtin_prefetch(reinterpret_cast<const void*>(next), 0, 2);
      const __m512bh b0 = reinterpret_cast<__m512bh>(_mm512_loadu_si512(b)),
                     b1 = reinterpret_cast<__m512bh>(_mm512_loadu_si512(b + kVector));
#pragma GCC unroll 16
      for (size_t r = 0; r < kRows; ++r) {
        const __m512bh x = reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(a[r])));
        sums[r][0] = _mm512_dpbf16_ps(sums[r][0], x, b0);
        sums[r][1] = _mm512_dpbf16_ps(sums[r][1], x, b1);
      }
    }
    auto* c = static_cast<float*>(tile.c);
    if (block.scale == nullptr) {
#pragma GCC unroll 16
      for (size_t r = 0; r < kRows; ++r, c += kPanel) {
        _mm512_storeu_ps(c, _mm512_add_ps(_mm512_loadu_ps(c), sums[r][0]));
        _mm512_storeu_ps(c + kVector, _mm512_add_ps(_mm512_loadu_ps(c + kVector), sums[r][1]));
      }
      continue;
    }
    const __m512 s0 = _mm512_loadu_ps(block.scale), s1 = _mm512_loadu_ps(block.scale + kVector);
#pragma GCC unroll 16
    for (size_t r = 0; r < kRows; ++r, c += kPanel) {
      _mm512_storeu_ps(c, _mm512_fmadd_ps(s0, sums[r][0], _mm512_loadu_ps(c)));
      _mm512_storeu_ps(c + kVector, _mm512_fmadd_ps(s1, sums[r][1], _mm512_loadu_ps(c + kVector)));
    }
  }
}

template <size_t kRows>
ADDNORM_VNNI_TARGET void TileInt8(const MatmulTile& tile) {
  uintptr_t next = tile.next;
  for (const MatmulBlock& block : tile.blocks) {
    const auto* a = static_cast<const uint32_t*>(tile.a) + block.begin * kRows;
    const auto* b = static_cast<const uint32_t*>(tile.b) + block.begin * kPanel;
    auto* c = static_cast<int32_t*>(tile.c);
    __m512i sums[kRows][2];
#pragma GCC unroll 16
    for (size_t r = 0; r < kRows; ++r) {
      sums[r][0] = _mm512_loadu_si512(c + r * kPanel);
      sums[r][1] = _mm512_loadu_si512(c + r * kPanel + kVector);
    }
    for (size_t k = block.size; k != 0; --k, a += kRows, b += kPanel, next += static_cast<uintptr_t>(tile.next_step)) {
      __builtin_prefetch(reinterpret_cast<const void*>(next), 0, 2);
      const __m512i b0 = _mm512_loadu_si512(b), b1 = _mm512_loadu_si512(b + kVector);
#pragma GCC unroll 16
      for (size_t r = 0; r < kRows; ++r) {
        const __m512i x = _mm512_set1_epi32(static_cast<int>(a[r]));
        sums[r][0] = _mm512_dpbusd_epi32(sums[r][0], x, b0);
        sums[r][1] = _mm512_dpbusd_epi32(sums[r][1], x, b1);
      }
    }
#pragma GCC unroll 16
    for (size_t r = 0; r < kRows; ++r) {
      _mm512_storeu_si512(c + r * kPanel, sums[r][0]);
      _mm512_storeu_si512(c + r * kPanel + kVector, sums[r][1]);
    }
  }
}

template <template <size_t> class Tile, size_t kRows = kTileRows>
void Run(size_t rows, const MatmulTile& tile) {
  if constexpr (kRows != 0) {
    if (rows == kRows) return Tile<kRows>::Run(tile);
    Run<Tile, kRows - 1>(rows, tile);
  }
}
template <size_t kRows>
struct BF16 {
  static void Run(const MatmulTile& tile) { TileBF16<kRows>(tile); }
};
template <size_t kRows>
struct Int8 {
  static void Run(const MatmulTile& tile) { TileInt8<kRows>(tile); }
};

ADDNORM_VNNI_TARGET void ColumnSums(const uint32_t* words, size_t count, int32_t* sums) {
  const __m512i ones = _mm512_set1_epi8(1);
  __m512i s0 = _mm512_loadu_si512(sums), s1 = _mm512_loadu_si512(sums + kVector);
  for (size_t w = 0; w < count; ++w, words += kPanel) {
    s0 = _mm512_dpbusd_epi32(s0, ones, _mm512_loadu_si512(words));
    s1 = _mm512_dpbusd_epi32(s1, ones, _mm512_loadu_si512(words + kVector));
  }
  _mm512_storeu_si512(sums, s0);
  _mm512_storeu_si512(sums + kVector, s1);
}

// Whether this CPU's vdpbf16ps adds the product of the odd elements and then that of the even ones, rounding after each: Intel's
// manual says so, and 2 * 10^8 cases on an AMD Zen 5 agree. A CPU that does it otherwise must not change results.
bool AddsOddThenEven() {
  constexpr size_t kWords = 8;
  alignas(64) float c[kPanel];
  alignas(64) uint32_t a[kWords], b[kWords * kPanel];
  uint32_t state = 1;
  const auto next = [&state] { return state = state * 1664525u + 1013904223u; };
  const auto bf16 = [&] { return (next() >> 16 & 0x807Fu) | (120 + (next() >> 28)) << 7; };  // 2^-7 .. 2^9
  const auto low = [](uint32_t word) { return std::bit_cast<float>(word << 16); };
  const auto high = [](uint32_t word) { return std::bit_cast<float>(word & 0xFFFF0000u); };
  for (int round = 0; round < 4; ++round) {
    for (uint32_t& word : a) word = bf16() | bf16() << 16;
    for (uint32_t& word : b) word = bf16() | bf16() << 16;
    float want[kPanel];
    for (size_t j = 0; j < kPanel; ++j) {
      float sum = c[j] = 0.0f;
      for (size_t w = 0; w < kWords; ++w) {
        const uint32_t word = b[w * kPanel + j];
        sum = std::fma(low(a[w]), low(word), std::fma(high(a[w]), high(word), sum));
      }
      want[j] = sum;
    }
    const MatmulBlock block = {0, kWords, nullptr};
    TileBF16<1>({a, b, c, {&block, 1}});
    if (std::memcmp(c, want, sizeof(c)) != 0) return false;
  }
  return true;
}

}  // namespace

const MatmulDots& MatmulDotsOf(const char* target) {
  static const MatmulDots kNone;
  static const MatmulDots kDots = [] {
    MatmulDots dots;
    if (__builtin_cpu_supports("avx512vnni")) dots.int8 = Run<Int8>, dots.column_sums = ColumnSums;
    if (__builtin_cpu_supports("avx512bf16") && AddsOddThenEven()) dots.bf16 = Run<BF16>;
    return dots;
  }();
  return std::strcmp(target, "AVX3") == 0 ? kDots : kNone;
}
#else
const MatmulDots& MatmulDotsOf(const char*) {
  static const MatmulDots kNone;
  return kNone;
}
#endif

}  // namespace addnorm
