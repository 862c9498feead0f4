// SPDX-License-Identifier: Apache-2.0
#include "bench/stream.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace addnorm::bench {
namespace {

enum class Store { kRegular, kNonTemporal };

using Run = void (*)(const StreamBuffers&, size_t begin, size_t end);

struct Kind {
  const char* name;
  Run one, two;  // outputs
};

// c = a + b, d = a ^ b in 64-bit words: the compiler's own vectors.
template <bool kTwo>
void Plain(const StreamBuffers& s, size_t begin, size_t end) {
  const auto* a = reinterpret_cast<const uint64_t*>(s.a);
  const auto* b = reinterpret_cast<const uint64_t*>(s.b);
  auto* __restrict c = reinterpret_cast<uint64_t*>(s.c);
  auto* __restrict d = reinterpret_cast<uint64_t*>(s.d);
  for (size_t i = begin / 8; i < end / 8; ++i) {
    c[i] = a[i] + b[i];
    if (kTwo) d[i] = a[i] ^ b[i];
  }
}

#if defined(__x86_64__)
// How far ahead the prefetching variants ask, in bytes.
constexpr size_t kAhead = 2048;

template <bool kTwo, Store kStore, bool kPrefetch>
[[gnu::target("avx512f")]] void Avx512(const StreamBuffers& s, size_t begin, size_t end) {
  for (size_t i = begin; i < end; i += 256) {
    for (size_t k = i; k < i + 256; k += 64) {
      if (kPrefetch) {
        _mm_prefetch(reinterpret_cast<const char*>(s.a + k + kAhead), _MM_HINT_T0);
        _mm_prefetch(reinterpret_cast<const char*>(s.b + k + kAhead), _MM_HINT_T0);
      }
      const __m512i a = _mm512_load_si512(s.a + k), b = _mm512_load_si512(s.b + k);
      const __m512i c = _mm512_add_epi64(a, b), d = _mm512_xor_si512(a, b);
      if (kStore == Store::kRegular) {
        _mm512_store_si512(s.c + k, c);
        if (kTwo) _mm512_store_si512(s.d + k, d);
      } else {
        _mm512_stream_si512(reinterpret_cast<__m512i*>(s.c + k), c);
        if (kTwo) _mm512_stream_si512(reinterpret_cast<__m512i*>(s.d + k), d);
      }
    }
  }
  if (kStore == Store::kNonTemporal) _mm_sfence();
}

template <bool kTwo, Store kStore, bool kPrefetch>
[[gnu::target("avx2")]] void Avx2(const StreamBuffers& s, size_t begin, size_t end) {
  for (size_t i = begin; i < end; i += 256) {
    for (size_t k = i; k < i + 256; k += 32) {
      if (kPrefetch && k % 64 == 0) {
        _mm_prefetch(reinterpret_cast<const char*>(s.a + k + kAhead), _MM_HINT_T0);
        _mm_prefetch(reinterpret_cast<const char*>(s.b + k + kAhead), _MM_HINT_T0);
      }
      const __m256i a = _mm256_load_si256(reinterpret_cast<const __m256i*>(s.a + k));
      const __m256i b = _mm256_load_si256(reinterpret_cast<const __m256i*>(s.b + k));
      const __m256i c = _mm256_add_epi64(a, b), d = _mm256_xor_si256(a, b);
      if (kStore == Store::kRegular) {
        _mm256_store_si256(reinterpret_cast<__m256i*>(s.c + k), c);
        if (kTwo) _mm256_store_si256(reinterpret_cast<__m256i*>(s.d + k), d);
      } else {
        _mm256_stream_si256(reinterpret_cast<__m256i*>(s.c + k), c);
        if (kTwo) _mm256_stream_si256(reinterpret_cast<__m256i*>(s.d + k), d);
      }
    }
  }
  if (kStore == Store::kNonTemporal) _mm_sfence();
}

// The last output goes by way of `scratch`, one row in pieces: each makes room for the same piece of the next row.
constexpr size_t kPiece = 256, kFarAhead = 3072;

template <bool kTwo, Store kStore>
[[gnu::target("avx512f")]] void RowOrder512(const StreamBuffers& s, size_t row_bytes, std::byte* scratch) {
  const auto store = [](std::byte * p, __m512i v) __attribute__((target("avx512f"))) {
    if (kStore == Store::kRegular) {
      _mm512_store_si512(p, v);
    } else {
      _mm512_stream_si512(reinterpret_cast<__m512i*>(p), v);
    }
  };
  std::byte* const last = kTwo ? s.d : s.c;
  const size_t rows = s.bytes / row_bytes;
  for (size_t row = 0; row <= rows; ++row) {
    const size_t at = row * row_bytes;
    for (size_t begin = 0; begin < row_bytes; begin += kPiece) {
      for (size_t i = begin; row > 0 && i < begin + kPiece; i += 64) store(last + at - row_bytes + i, _mm512_load_si512(scratch + i));
      for (size_t i = begin; row < rows && i < begin + kPiece; i += 64) {
        if (kStore == Store::kNonTemporal) {
          _mm_prefetch(reinterpret_cast<const char*>(s.a + at + i + kFarAhead), _MM_HINT_NTA);
          _mm_prefetch(reinterpret_cast<const char*>(s.b + at + i + kFarAhead), _MM_HINT_NTA);
        }
        const __m512i a = _mm512_load_si512(s.a + at + i), b = _mm512_load_si512(s.b + at + i);
        if (kTwo) store(s.c + at + i, _mm512_add_epi64(a, b));
        _mm512_store_si512(scratch + i, kTwo ? _mm512_xor_si512(a, b) : _mm512_add_epi64(a, b));
      }
    }
  }
  if (kStore == Store::kNonTemporal) _mm_sfence();
}

constexpr Kind kAvx512[] = {
    {"stream, regular", Avx512<false, Store::kRegular, false>, Avx512<true, Store::kRegular, false>},
    {"stream, regular, prefetch", Avx512<false, Store::kRegular, true>, Avx512<true, Store::kRegular, true>},
    {"stream, non-temporal", Avx512<false, Store::kNonTemporal, false>, Avx512<true, Store::kNonTemporal, false>},
    {"stream, non-temporal, prefetch", Avx512<false, Store::kNonTemporal, true>, Avx512<true, Store::kNonTemporal, true>},
};
constexpr Kind kAvx2[] = {
    {"stream, regular", Avx2<false, Store::kRegular, false>, Avx2<true, Store::kRegular, false>},
    {"stream, regular, prefetch", Avx2<false, Store::kRegular, true>, Avx2<true, Store::kRegular, true>},
    {"stream, non-temporal", Avx2<false, Store::kNonTemporal, false>, Avx2<true, Store::kNonTemporal, false>},
    {"stream, non-temporal, prefetch", Avx2<false, Store::kNonTemporal, true>, Avx2<true, Store::kNonTemporal, true>},
};
#endif
constexpr Kind kPlain[] = {{"stream, regular", Plain<false>, Plain<true>}};

std::span<const Kind> Kinds() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return kAvx512;
  if (__builtin_cpu_supports("avx2")) return kAvx2;
#endif
  return kPlain;
}

// Ranges of whole steps, several per thread as the operators make them.
struct Job {
  StreamBuffers buffers;
  Run run;
  size_t slices;
};

void RunSlices(void* arg, size_t begin, size_t end) {
  const Job& job = *static_cast<const Job*>(arg);
  const size_t steps = job.buffers.bytes / 256;
  job.run(job.buffers, steps * begin / job.slices * 256, steps * end / job.slices * 256);
}

}  // namespace

std::vector<Variant> StreamVariants(const StreamBuffers& buffers, const Executor& executor) {
  std::vector<Variant> variants;
  const size_t threads = executor.concurrency(executor.context);
  for (const Kind& kind : Kinds()) {
    const Job job = {buffers, buffers.d ? kind.two : kind.one, threads == 1 ? 1 : 4 * threads};
    variants.push_back({kind.name, [job, executor] {
                          Job mine = job;
                          executor.parallel_for(executor.context, mine.slices, RunSlices, &mine);
                        }});
  }
  return variants;
}

std::vector<Variant> RowOrderVariants(const StreamBuffers& buffers, size_t row_bytes) {
  std::vector<Variant> variants;
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("avx512f") || row_bytes % kPiece != 0 || buffers.bytes % row_bytes != 0) return variants;
  using RowOrder = void (*)(const StreamBuffers&, size_t, std::byte*);
  const auto scratch = std::make_shared<std::vector<std::byte>>(row_bytes + 64);
  std::byte* const aligned = scratch->data() + (64 - reinterpret_cast<uintptr_t>(scratch->data()) % 64) % 64;
  const auto add = [&](const char* name, RowOrder one, RowOrder two) {
    const RowOrder run = buffers.d ? two : one;
    variants.push_back({name, [=] { return (void)scratch, run(buffers, row_bytes, aligned); }});
  };
  add("row order, regular", RowOrder512<false, Store::kRegular>, RowOrder512<true, Store::kRegular>);
  add("row order, non-temporal", RowOrder512<false, Store::kNonTemporal>, RowOrder512<true, Store::kNonTemporal>);
#endif
  return variants;
}

const char* StreamTarget() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return "AVX-512";
  if (__builtin_cpu_supports("avx2")) return "AVX2";
#endif
  return "plain loop";
}

bool StreamsAreRight(const StreamBuffers& s) {
  for (const Kind& kind : Kinds()) {
    std::memset(s.c, 0x5a, s.bytes);
    if (s.d) std::memset(s.d, 0x5a, s.bytes);
    (s.d ? kind.two : kind.one)(s, 0, s.bytes);
    for (size_t i = 0; i < s.bytes; i += 8) {
      uint64_t a, b, c, d = 0;
      std::memcpy(&a, s.a + i, 8);
      std::memcpy(&b, s.b + i, 8);
      std::memcpy(&c, s.c + i, 8);
      if (s.d) std::memcpy(&d, s.d + i, 8);
      if (c != a + b || (s.d && d != (a ^ b))) return false;
    }
  }
  return true;
}

}  // namespace addnorm::bench
