// SPDX-License-Identifier: Apache-2.0
// The words of the Ascend C language that are not library calls (attributes, GM_ADDR) and its scalar types half and bfloat16_t.
#ifndef ADDNORM_ASCENDC_SCALARS_H_
#define ADDNORM_ASCENDC_SCALARS_H_

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "addnorm/ascendc/report.h"

// On the host every attribute of the language is empty.
#define __global__
#define __aicore__
#define __host_aicore__
#define __gm__
#define __ubuf__
#define __cbuf__
#define __ca__
#define __cb__
#define __cc__
#define __fbuf__
#define __ssbuf__
#define __vector__
#define __cube__
#define __mix__(aic, aiv)
#define __sync_noalias__
#define __sync_alias__
#define __check_sync_alias__
#define __inout_pipe__(...)
#define __in_pipe__(...)
#define __out_pipe__(...)
#define GM_ADDR __gm__ uint8_t*
#define KERNEL_TASK_TYPE_DEFAULT(type)
#define KERNEL_TASK_TYPE(key, type)

#ifndef ASCENDC_CPU_DEBUG
#define ASCENDC_CPU_DEBUG 1
#endif
#ifndef __NPU_ARCH__
#define __NPU_ARCH__ 2201  // Atlas A2 and A3
#endif

namespace addnorm::ascendc {

namespace internal {
/// The 16 bits of `value` rounded once to nearest even, in integer operations: exact on every machine, whatever its instructions do.
/// `min_exponent`: of normal numbers.
constexpr uint16_t Narrow(double value, int fraction_bits, int min_exponent) {
  const uint64_t bits = __builtin_bit_cast(uint64_t, value);
  const uint16_t sign = static_cast<uint16_t>(bits >> 63 << 15);
  const uint16_t infinity = static_cast<uint16_t>(((1u << (15 - fraction_bits)) - 1) << fraction_bits);
  const int exponent = static_cast<int>(bits >> 52 & 0x7ff) - 1023;
  uint64_t fraction = bits & ((uint64_t{1} << 52) - 1);
  if (exponent == 1024) {
    const uint16_t quiet = fraction != 0 ? static_cast<uint16_t>(1u << (fraction_bits - 1)) : uint16_t{0};
    return static_cast<uint16_t>(sign | infinity | quiet);
  }
  if (exponent < min_exponent - fraction_bits - 1) return sign;
  fraction |= uint64_t{1} << 52;  // doubles below the normal ones returned above
  const int below = exponent < min_exponent ? min_exponent - exponent : 0;
  const int drop = 52 - fraction_bits + below;
  const uint64_t half_unit = uint64_t{1} << (drop - 1);
  uint64_t kept = fraction >> drop;
  const uint64_t rest = fraction & ((uint64_t{1} << drop) - 1);
  if (rest > half_unit || (rest == half_unit && (kept & 1) != 0)) ++kept;
  // The hidden bit carries into the exponent field, also where rounding carries.
  const int field = below > 0 ? 0 : exponent - min_exponent;
  const uint64_t magnitude = (static_cast<uint64_t>(field) << fraction_bits) + kept;
  return static_cast<uint16_t>(sign | (magnitude >= infinity ? infinity : magnitude));
}
}  // namespace internal

/// Conversions, exact or rounded once to nearest even; overflow gives infinity, NaN stays NaN.
constexpr uint16_t HalfFromDouble(double value) { return internal::Narrow(value, 10, -14); }
constexpr uint16_t Bfloat16FromDouble(double value) { return internal::Narrow(value, 7, -126); }
constexpr float HalfToFloat(uint16_t bits) {
  const uint32_t sign = uint32_t{bits} >> 15 << 31;
  const uint32_t field = bits >> 10 & 0x1f;
  const uint32_t fraction = bits & 0x3ff;
  if (field == 0x1f) return __builtin_bit_cast(float, sign | 0x7f800000u | (fraction != 0 ? 0x400000u : 0u));
  if (field != 0) return __builtin_bit_cast(float, sign | (field + 112) << 23 | fraction << 13);
  const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
  return sign != 0 ? -magnitude : magnitude;
}
constexpr float Bfloat16ToFloat(uint16_t bits) { return __builtin_bit_cast(float, static_cast<uint32_t>(bits) << 16); }

// A 16-bit storage type. Arithmetic is done in float, which for + - * / and a final rounding is the correctly rounded result
// in both formats (24 >= 2 * 11 + 2 bits).
template <uint16_t (*From)(double), float (*To)(uint16_t)>
class Float16 {
 public:
  Float16() = default;
  template <typename A, typename = std::enable_if_t<std::is_arithmetic_v<A>>>
  constexpr Float16(A value) : bits_(From(static_cast<double>(value))) {}  // NOLINT: implicit, as kernels write `half x = 1.0f`
  template <uint16_t (*From2)(double), float (*To2)(uint16_t)>
  constexpr explicit Float16(Float16<From2, To2> other) : Float16(static_cast<float>(other)) {}
  constexpr operator float() const { return To(bits_); }  // NOLINT: implicit, so that operators of float apply
  constexpr Float16& operator+=(float other) { return *this = Float16(static_cast<float>(*this) + other); }
  constexpr Float16& operator-=(float other) { return *this = Float16(static_cast<float>(*this) - other); }
  constexpr Float16& operator*=(float other) { return *this = Float16(static_cast<float>(*this) * other); }
  constexpr Float16& operator/=(float other) { return *this = Float16(static_cast<float>(*this) / other); }
  constexpr Float16& operator++() { return *this += 1.0f; }
  constexpr Float16& operator--() { return *this -= 1.0f; }
  constexpr Float16 operator++(int) {
    const Float16 before = *this;
    ++*this;
    return before;
  }
  constexpr Float16 operator--(int) {
    const Float16 before = *this;
    --*this;
    return before;
  }

 private:
  uint16_t bits_;
};

/// Element types in UB and GM: X(C++ type, enumerator, name in messages).
#define ADDNORM_ASCENDC_TYPES(X)     \
  X(float, kF32, "float")            \
  X(half, kF16, "half")              \
  X(bfloat16_t, kBF16, "bfloat16_t") \
  X(int8_t, kI8, "int8_t")           \
  X(uint8_t, kU8, "uint8_t")         \
  X(int16_t, kI16, "int16_t")        \
  X(uint16_t, kU16, "uint16_t")      \
  X(int32_t, kI32, "int32_t")        \
  X(uint32_t, kU32, "uint32_t")      \
  X(int64_t, kI64, "int64_t")        \
  X(uint64_t, kU64, "uint64_t")

enum class Type : uint8_t {
#define ADDNORM_X(type, name, text) name,
  ADDNORM_ASCENDC_TYPES(ADDNORM_X)
#undef ADDNORM_X
};

}  // namespace addnorm::ascendc

using half = addnorm::ascendc::Float16<addnorm::ascendc::HalfFromDouble, addnorm::ascendc::HalfToFloat>;
using bfloat16_t = addnorm::ascendc::Float16<addnorm::ascendc::Bfloat16FromDouble, addnorm::ascendc::Bfloat16ToFloat>;
using float16_t = half;
static_assert(sizeof(half) == 2 && std::is_trivial_v<half>, "half is a storage type");

namespace addnorm::ascendc {
template <typename T>
struct TypeOf;  // undefined for types that tensors cannot hold
#define ADDNORM_X(type, name, text)           \
  template <>                                 \
  struct TypeOf<type> {                       \
    static constexpr Type kType = Type::name; \
  };
ADDNORM_ASCENDC_TYPES(ADDNORM_X)
#undef ADDNORM_X
}  // namespace addnorm::ascendc

#endif  // ADDNORM_ASCENDC_SCALARS_H_
