// SPDX-License-Identifier: Apache-2.0
// Element types <-> pairs of vectors of the compute type T (float or double). The only per-target file that knows types.
// A pair is the unit of decision: one 16-bit vector in memory is two fp32 vectors in registers.

#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "src/base/dtype.h"
#include "src/core/args.h"

#if defined(ADDNORM_CPU_CODEC_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ADDNORM_CPU_CODEC_INL_H_
#undef ADDNORM_CPU_CODEC_INL_H_
#else
#define ADDNORM_CPU_CODEC_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace addnorm {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

template <class T>
using Tag = hn::ScalableTag<T>;
template <class T>
using Vec = hn::Vec<Tag<T>>;
// Lanes of one vector. Constant: the targets in use have fixed-size vectors.
template <class T>
inline constexpr size_t kLanes = hn::MaxLanes(Tag<T>());
template <class T>
inline constexpr size_t kPair = 2 * kLanes<T>;

// Two vectors of consecutive elements.
template <class T>
struct Pair {
  Vec<T> a, b;
};

// How much of a pair is inside the row: all of it (a type, so that the test vanishes), or the first `n` < kPair elements.
struct Whole {};
struct Part {
  size_t n;
};

// An element type that is known when compiling, or when running.
template <DType kType>
struct StaticType {
  StaticType() = default;
  explicit HWY_INLINE StaticType(DType) {}
  constexpr operator DType() const { return kType; }
};
struct AnyType {
  DType type = DType::kF32;
  AnyType() = default;
  explicit HWY_INLINE AnyType(DType t) : type(t) {}
  HWY_INLINE operator DType() const { return type; }
};

HWY_INLINE Vec<float> FromF16(const uint16_t* p) {
#if HWY_TARGET == HWY_SCALAR
  return hn::Set(Tag<float>(), FloatFromF16(LoadBits<uint16_t>(p, 0)));
#elif HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON
  const hn::Rebind<hwy::float16_t, Tag<float>> dh;
  return hn::PromoteTo(Tag<float>(), hn::LoadU(dh, reinterpret_cast<const hwy::float16_t*>(p)));
#else
  // Highway 1.0.3 is wrong for 2,048 values here. Scaling by 2^112 is exact, for subnormals too.
  const Tag<uint32_t> du;
  const Tag<float> df;
  const hn::Rebind<uint16_t, Tag<uint32_t>> dh;
  const auto bits = hn::PromoteTo(du, hn::LoadU(dh, p));
  const auto sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(du, 0x8000u)));
  const auto magnitude = hn::And(bits, hn::Set(du, 0x7FFFu));
  const auto shifted = hn::ShiftLeft<13>(magnitude);
  const auto scaled = hn::BitCast(du, hn::Mul(hn::BitCast(df, shifted), hn::Set(df, 0x1p112f)));
  const Tag<int32_t> di;
  const auto special = hn::Gt(hn::BitCast(di, magnitude), hn::Set(di, 0x7BFF));
  const auto value = hn::IfThenElse(hn::RebindMask(du, special), hn::Or(shifted, hn::Set(du, 0x7F800000u)), scaled);
  return hn::BitCast(df, hn::Or(value, sign));
#endif
}

#if HWY_TARGET != HWY_SCALAR
// One vector rounded to a 16-bit type: half a vector of bits.
using HalfBits = hn::Vec<hn::Rebind<uint16_t, Tag<float>>>;

// The low 16 bits of each 32-bit lane, which must be all that is set.
HWY_INLINE HalfBits Low16(Vec<uint32_t> v) {
  const hn::Rebind<uint16_t, Tag<uint32_t>> dh;
#if HWY_TARGET == HWY_AVX3
  return hn::TruncateTo(dh, v);
#else
  return hn::DemoteTo(dh, hn::BitCast(Tag<int32_t>(), v));
#endif
}

HWY_INLINE HalfBits ToF16(Vec<float> v) {
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON
  const hn::Rebind<hwy::float16_t, Tag<float>> dh;
  return hn::BitCast(hn::Rebind<uint16_t, Tag<float>>(), hn::DemoteTo(dh, v));
#else
  const Tag<uint32_t> du;
  const Tag<int32_t> di;
  const Tag<float> df;
  const auto bits = hn::BitCast(du, v);
  const auto sign = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 0x8000u));
  const auto magnitude = hn::And(bits, hn::Set(du, 0x7FFFFFFFu));
  const auto signed_magnitude = hn::BitCast(di, magnitude);
  // Normal results: re-bias, round to nearest even, shift.
  const auto odd = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(du, 1u));
  const auto normal = hn::ShiftRight<13>(hn::Add(hn::Sub(magnitude, hn::Set(du, 112u << 23)), hn::Add(odd, hn::Set(du, 0x0FFFu))));
  // Subnormal results: one ulp of 0.5f is the spacing of fp16 subnormals, so the addition rounds.
  const auto small = hn::Sub(hn::BitCast(du, hn::Add(hn::BitCast(df, magnitude), hn::Set(df, 0.5f))), hn::Set(du, 0x3F000000u));
  auto value = hn::IfThenElse(hn::RebindMask(du, hn::Lt(signed_magnitude, hn::Set(di, 0x38800000))), small, normal);
  const auto huge = hn::Gt(signed_magnitude, hn::Set(di, 0x477FEFFF));
  value = hn::IfThenElse(hn::RebindMask(du, huge), hn::Set(du, 0x7C00u), value);
  value = hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(v)), hn::Set(du, 0x7E00u), value);
  return Low16(hn::Or(value, sign));
#endif
}
#endif

template <class T>
HWY_INLINE Pair<T> Zeros() {
  return {hn::Zero(Tag<T>()), hn::Zero(Tag<T>())};
}

#if HWY_TARGET == HWY_AVX3
// One permutation of words takes the place of a widening and a shift, or of two shifts, two narrowings and a store.
HWY_INLINE Pair<float> PairFromBF16(const uint16_t* p) {
  alignas(64) static constexpr uint16_t kFirst[32] = {0, 0, 0, 1, 0, 2,  0, 3,  0, 4,  0, 5,  0, 6,  0, 7,
                                                      0, 8, 0, 9, 0, 10, 0, 11, 0, 12, 0, 13, 0, 14, 0, 15};
  const __m512i words = _mm512_loadu_si512(p), first = _mm512_load_si512(kFirst);
  const __m512i second = _mm512_or_si512(first, _mm512_set1_epi32(16 << 16));
  constexpr __mmask32 kHigh = 0xAAAAAAAA;
  return {Vec<float>{_mm512_castsi512_ps(_mm512_maskz_permutexvar_epi16(kHigh, first, words))},
          Vec<float>{_mm512_castsi512_ps(_mm512_maskz_permutexvar_epi16(kHigh, second, words))}};
}

// The words of two vectors rounded to nearest even.
template <class Type>
HWY_INLINE Vec<uint16_t> PairToBF16(const Pair<float>& v, Type) {
  alignas(64) static constexpr uint16_t kHighWords[32] = {1,  3,  5,  7,  9,  11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31,
                                                          33, 35, 37, 39, 41, 43, 45, 47, 49, 51, 53, 55, 57, 59, 61, 63};
  const auto rounded = [](__m512 x) HWY_ATTR {
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i sum = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7FFF)), odd);
    return _mm512_mask_or_epi32(sum, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), bits, _mm512_set1_epi32(0x400000));  // keep it a NaN
  };
  return {_mm512_permutex2var_epi16(rounded(v.a.raw), _mm512_load_si512(kHighWords), rounded(v.b.raw))};
}

// The same by AVX512_BF16, where there: one instruction that is exact but takes subnormal numbers for 0. By its name, as Highway 1.0.3
// has no target with it, and an attribute that allows it would not reach into the functions that call this one. Types known when
// compiling are those of most calls: there it pays.
HWY_INLINE Vec<uint16_t> PairToBF16(const Pair<float>& v, StaticType<DType::kBF16>) {
  constexpr int kSubnormal = 0x20;
  const __mmask16 subnormal = _kor_mask16(_mm512_fpclass_ps_mask(v.a.raw, kSubnormal), _mm512_fpclass_ps_mask(v.b.raw, kSubnormal));
  if (HWY_UNLIKELY(!__builtin_cpu_supports("avx512bf16") || subnormal != 0)) return PairToBF16(v, AnyType());
  __m512i words;
  __asm__("vcvtne2ps2bf16 %2, %1, %0" : "=v"(words) : "v"(v.b.raw), "v"(v.a.raw));
  return {words};
}
#elif HWY_TARGET == HWY_SCALAR
HWY_INLINE Pair<float> PairFromBF16(const uint16_t* p) {
  const auto wide = [p](size_t i) HWY_ATTR { return hn::Set(Tag<float>(), FloatFromBF16(LoadBits<uint16_t>(p, i))); };
  return {wide(0), wide(1)};
}
#else
HWY_INLINE Vec<float> FromBF16(const uint16_t* p) {
  const Tag<uint32_t> du;
  const hn::Rebind<uint16_t, Tag<uint32_t>> dh;
  return hn::BitCast(Tag<float>(), hn::ShiftLeft<16>(hn::PromoteTo(du, hn::LoadU(dh, p))));
}
HWY_INLINE Pair<float> PairFromBF16(const uint16_t* p) { return {FromBF16(p), FromBF16(p + kLanes<float>)}; }

HWY_INLINE HalfBits ToBF16(Vec<float> v) {
  // Round to nearest even in integers: Highway 1.0.3 truncates, and vcvtneps2bf16 flushes subnormals.
  const Tag<uint32_t> du;
  const auto bits = hn::BitCast(du, v);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1u));
  const auto rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7FFFu))));
  const auto nan = hn::Or(hn::ShiftRight<16>(bits), hn::Set(du, 0x40u));
  return Low16(hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(v)), nan, rounded));
}
template <class Type>
HWY_INLINE Vec<uint16_t> PairToBF16(const Pair<float>& v, Type) {
  return hn::Combine(Tag<uint16_t>(), ToBF16(v.b), ToBF16(v.a));
}
#endif

// kPair elements from element index 0 of `p`.
template <class T, class Type>
HWY_INLINE Pair<T> LoadPair(const void* p, Type type) {
  constexpr size_t kN = kLanes<T>;
  if constexpr (sizeof(T) == 8) {
    const auto* q = static_cast<const T*>(p);
    return {hn::LoadU(Tag<T>(), q), hn::LoadU(Tag<T>(), q + kN)};
  } else {
    if (type == DType::kF32) {
      const auto* q = static_cast<const float*>(p);
      return {hn::LoadU(Tag<T>(), q), hn::LoadU(Tag<T>(), q + kN)};
    }
    const auto* q = static_cast<const uint16_t*>(p);
    if (type == DType::kBF16) return PairFromBF16(q);
    return {FromF16(q), FromF16(q + kN)};
  }
}

// kStream: around the caches, to an address that is aligned to a vector.
template <class T, bool kStream = false, class Type>
HWY_INLINE void StorePair(void* p, Type type, const Pair<T>& v) {
  constexpr size_t kN = kLanes<T>;
  if (sizeof(T) == 8 || type == DType::kF32) {
    auto* q = static_cast<T*>(p);
    if (kStream) {
      hn::Stream(v.a, Tag<T>(), q);
      hn::Stream(v.b, Tag<T>(), q + kN);
    } else {
      hn::StoreU(v.a, Tag<T>(), q);
      hn::StoreU(v.b, Tag<T>(), q + kN);
    }
    return;
  }
  if constexpr (sizeof(T) == 4) {
    auto* q = static_cast<uint16_t*>(p);
#if HWY_TARGET == HWY_SCALAR
    const auto bits = [type](Vec<float> x)
                          HWY_ATTR { return type == DType::kBF16 ? BF16FromFloat(hn::GetLane(x)) : F16FromFloat(hn::GetLane(x)); };
    const uint16_t words[] = {bits(v.a), bits(v.b)};
    std::memcpy(q, words, sizeof(words));
#else
    const Tag<uint16_t> dw;
    const Vec<uint16_t> words = type == DType::kBF16 ? PairToBF16(v, type) : hn::Combine(dw, ToF16(v.b), ToF16(v.a));
    if (kStream) return hn::Stream(words, dw, q);
    hn::StoreU(words, dw, q);
#endif
  }
}

template <class T>
HWY_INLINE size_t TypeBytes(DType type) {
  return sizeof(T) == 8 ? 8 : (type == DType::kF32 ? 4 : 2);
}

// The partial pair at the end of a row goes through a buffer: no byte outside the row is touched.
template <class T>
HWY_NOINLINE Pair<T> LoadPart(const void* p, DType type, size_t n) {
  alignas(64) unsigned char buffer[kPair<T> * sizeof(T)] = {};
  std::memcpy(buffer, p, n * TypeBytes<T>(type));
  return LoadPair<T>(buffer, AnyType(type));
}
template <class T>
HWY_NOINLINE void StorePart(void* p, DType type, const Pair<T>& v, size_t n) {
  alignas(64) unsigned char buffer[kPair<T> * sizeof(T)];
  StorePair<T>(buffer, AnyType(type), v);
  std::memcpy(p, buffer, n * TypeBytes<T>(type));
}

// One row of an input operand. A null row is an absent stage.
template <class T, class Type>
class InRow {
 public:
  InRow() = default;
  HWY_INLINE InRow(const In& in, size_t row) : type_(in.dtype) {
    if (in) p_ = static_cast<const unsigned char*>(in.data) + static_cast<ptrdiff_t>(row) * in.row_stride * Bytes();
  }
  explicit HWY_INLINE operator bool() const { return p_ != nullptr; }
  HWY_INLINE Pair<T> Load(size_t i, Whole) const { return LoadPair<T>(At(i), type_); }
  // Asks for the n elements from i on. Past the end of the row it does no harm.
  HWY_INLINE void Prefetch(size_t i, size_t n) const {
    const unsigned char* p = At(i);
    for (ptrdiff_t b = 0; b < static_cast<ptrdiff_t>(n) * Bytes(); b += 64) __builtin_prefetch(p + b);
  }
  // The same `distance` bytes further on, for one use: the caches are not to keep it.
  HWY_INLINE void PrefetchOnce(size_t i, size_t n, size_t distance) const {
    const unsigned char* p = At(i) + distance;
    for (ptrdiff_t b = 0; b < static_cast<ptrdiff_t>(n) * Bytes(); b += 64) __builtin_prefetch(p + b, 0, 0);
  }
  HWY_INLINE Pair<T> Load(size_t i, Part part) const { return LoadPart<T>(At(i), type_, part.n); }

 private:
  HWY_INLINE ptrdiff_t Bytes() const { return static_cast<ptrdiff_t>(TypeBytes<T>(type_)); }
  HWY_INLINE const unsigned char* At(size_t i) const { return p_ + static_cast<ptrdiff_t>(i) * Bytes(); }
  const unsigned char* p_ = nullptr;
  Type type_;
};

template <class T, class Type>
class OutRow {
 public:
  OutRow() = default;
  // stream: a large output that nobody reads soon goes around the caches, if its rows are aligned.
  HWY_INLINE OutRow(const Out& out, size_t row, bool stream = false) : type_(out.dtype) {
    if (out) p_ = static_cast<unsigned char*>(out.data) + static_cast<ptrdiff_t>(row) * out.row_stride * Bytes();
    stream_ = stream && HWY_TARGET != HWY_SCALAR && reinterpret_cast<uintptr_t>(p_) % 64 == 0;
  }
  explicit HWY_INLINE operator bool() const { return p_ != nullptr; }
  HWY_INLINE void Store(size_t i, Whole, const Pair<T>& v) const {
    if (stream_) return StorePair<T, true>(At(i), type_, v);
    StorePair<T>(At(i), type_, v);
  }
  HWY_INLINE void Store(size_t i, Part part, const Pair<T>& v) const { StorePart<T>(At(i), type_, v, part.n); }

 private:
  HWY_INLINE ptrdiff_t Bytes() const { return static_cast<ptrdiff_t>(TypeBytes<T>(type_)); }
  HWY_INLINE unsigned char* At(size_t i) const { return p_ + static_cast<ptrdiff_t>(i) * Bytes(); }
  unsigned char* p_ = nullptr;
  bool stream_ = false;
  Type type_;
};

// A per-row scalar, exact.
HWY_INLINE double RowScalar(const In& in, size_t row, double absent) {
  if (!in) return absent;
  const size_t index = static_cast<size_t>(static_cast<ptrdiff_t>(row) * in.row_stride);
  if (HWY_LIKELY(in.dtype == DType::kF32)) return static_cast<double>(static_cast<const float*>(in.data)[index]);
  return LoadElement(in.data, in.dtype, index);
}
HWY_INLINE void StoreRowScalar(const Out& out, size_t row, double value) {
  if (!out) return;
  const size_t index = static_cast<size_t>(static_cast<ptrdiff_t>(row) * out.row_stride);
  if (HWY_LIKELY(out.dtype == DType::kF32)) {
    static_cast<float*>(out.data)[index] = static_cast<float>(value);
  } else {
    StoreElement(out.data, out.dtype, index, value);
  }
}

// The value after a trip through a 16-bit type (norm.from_rounded).
template <class T>
HWY_NOINLINE Pair<T> RoundPair(DType type, const Pair<T>& v) {
  if (sizeof(T) == 8 || type == DType::kF32) return v;
  alignas(64) unsigned char buffer[kPair<T> * sizeof(T)];
  StorePair<T>(buffer, AnyType(type), v);
  return LoadPair<T>(buffer, AnyType(type));
}

// Elementwise arithmetic of pairs: one rounding per operation, never contracted.
template <class T>
HWY_INLINE Pair<T> operator+(const Pair<T>& x, const Pair<T>& y) {
  return {hn::Add(x.a, y.a), hn::Add(x.b, y.b)};
}
template <class T>
HWY_INLINE Pair<T> operator-(const Pair<T>& x, const Pair<T>& y) {
  return {hn::Sub(x.a, y.a), hn::Sub(x.b, y.b)};
}
template <class T>
HWY_INLINE Pair<T> operator*(const Pair<T>& x, const Pair<T>& y) {
  return {hn::Mul(x.a, y.a), hn::Mul(x.b, y.b)};
}
template <class T>
HWY_INLINE Pair<T> operator-(const Pair<T>& x, Vec<T> y) {
  return {hn::Sub(x.a, y), hn::Sub(x.b, y)};
}
template <class T>
HWY_INLINE Pair<T> operator*(const Pair<T>& x, Vec<T> y) {
  return {hn::Mul(x.a, y), hn::Mul(x.b, y)};
}

// Zeroes what lies outside the row.
template <class T>
HWY_INLINE Pair<T> Inside(Whole, const Pair<T>& v) {
  return v;
}
template <class T>
HWY_INLINE Pair<T> Inside(Part part, const Pair<T>& v) {
  const Tag<T> d;
  constexpr size_t kN = kLanes<T>;
  const auto first = hn::FirstN(d, HWY_MIN(part.n, kN));
  const auto second = hn::FirstN(d, part.n > kN ? part.n - kN : 0);
  return {hn::IfThenElseZero(first, v.a), hn::IfThenElseZero(second, v.b)};
}

}  // namespace HWY_NAMESPACE
}  // namespace addnorm
HWY_AFTER_NAMESPACE();

#endif  // ADDNORM_CPU_CODEC_INL_H_
