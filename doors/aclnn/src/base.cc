// SPDX-License-Identifier: Apache-2.0
// Element sizes and half precision.
#include <bit>
#include <cmath>
#include <cstdint>

#include "acl/acl_base.h"

extern "C" {

size_t aclDataTypeSize(aclDataType dataType) noexcept {
  switch (static_cast<int>(dataType)) {
    case ACL_INT8:
    case ACL_UINT8:
    case ACL_BOOL:
    case ACL_HIFLOAT8:
    case ACL_FLOAT8_E5M2:
    case ACL_FLOAT8_E4M3FN:
    case ACL_FLOAT8_E8M0:
      return 1;
    case ACL_FLOAT16:
    case ACL_BF16:
    case ACL_INT16:
    case ACL_UINT16:
      return 2;
    case ACL_FLOAT:
    case ACL_INT32:
    case ACL_UINT32:
    case ACL_COMPLEX32:
      return 4;
    case ACL_INT64:
    case ACL_UINT64:
    case ACL_DOUBLE:
    case ACL_COMPLEX64:
      return 8;
    case ACL_COMPLEX128:
      return 16;
    default:
      return 0;
  }
}

float aclFloat16ToFloat(aclFloat16 value) noexcept {
  const int exponent = value >> 10 & 31, fraction = value & 1023;
  // Every exponent but 0 is an ordinary one, 31 too.
  const float magnitude =
      exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24) : std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
  return (value & 0x8000) != 0 ? -magnitude : magnitude;
}

aclFloat16 aclFloatToFloat16(float value) noexcept {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  constexpr uint32_t kLargest = 0x7bff;
  if (magnitude >= 0x47800000) return static_cast<aclFloat16>(sign | kLargest);  // 65536 and above, infinity, NaN
  const int exponent = static_cast<int>(magnitude >> 23) - 127;
  if (exponent < -25) return static_cast<aclFloat16>(sign);
  // Bits below the last one kept: 13 for a normal half, one more for each power of two below 2^-14.
  const int dropped = exponent >= -14 ? 13 : -1 - exponent;
  const uint32_t significand = exponent >= -14 ? magnitude - (112u << 23) : (magnitude & 0x7fffff) | 0x800000;
  const uint32_t half = 1u << (dropped - 1), kept = significand >> dropped, rest = significand & (2 * half - 1);
  const uint32_t rounded = kept + (rest > half || (rest == half && (kept & 1) != 0) ? 1 : 0);
  return static_cast<aclFloat16>(sign | (rounded > kLargest ? kLargest : rounded));
}

}  // extern "C"
