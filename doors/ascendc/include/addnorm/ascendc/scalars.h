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

/// Conversions, exact or rounded once to nearest even; overflow gives infinity, NaN stays NaN.
ADDNORM_ASCENDC_API uint16_t HalfFromDouble(double value);
ADDNORM_ASCENDC_API float HalfToFloat(uint16_t bits);
ADDNORM_ASCENDC_API uint16_t Bfloat16FromDouble(double value);
inline float Bfloat16ToFloat(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float value;
  __builtin_memcpy(&value, &wide, sizeof(value));
  return value;
}

// A 16-bit storage type. Arithmetic is done in float, which for + - * / and a final rounding is the correctly rounded result
// in both formats (24 >= 2 * 11 + 2 bits).
template <uint16_t (*From)(double), float (*To)(uint16_t)>
class Float16 {
 public:
  Float16() = default;
  template <typename A, typename = std::enable_if_t<std::is_arithmetic_v<A>>>
  Float16(A value) : bits_(From(static_cast<double>(value))) {}  // NOLINT: implicit, as kernels write `half x = 1.0f`
  template <uint16_t (*From2)(double), float (*To2)(uint16_t)>
  explicit Float16(Float16<From2, To2> other) : Float16(static_cast<float>(other)) {}
  operator float() const { return To(bits_); }  // NOLINT: implicit, so that operators of float apply
  Float16& operator+=(float other) { return *this = Float16(static_cast<float>(*this) + other); }
  Float16& operator-=(float other) { return *this = Float16(static_cast<float>(*this) - other); }
  Float16& operator*=(float other) { return *this = Float16(static_cast<float>(*this) * other); }
  Float16& operator/=(float other) { return *this = Float16(static_cast<float>(*this) / other); }

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
