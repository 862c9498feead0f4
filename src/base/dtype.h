// SPDX-License-Identifier: Apache-2.0
// Scalar element access: exact conversions of fp16 and bf16, round to nearest even. Integer operations only, so that the
// bits do not depend on what the CPU offers. The vector twin is src/cpu/codec-inl.h.
#ifndef ADDNORM_SRC_BASE_DTYPE_H_
#define ADDNORM_SRC_BASE_DTYPE_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "addnorm/types.h"

namespace addnorm {

inline float FloatFromBF16(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

inline uint16_t BF16FromFloat(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);  // keep it a NaN
  return static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

inline float FloatFromF16(uint16_t bits) {
  const uint32_t sign = uint32_t{bits & 0x8000u} << 16;
  uint32_t magnitude = bits & 0x7FFFu;
  if (magnitude >= 0x7C00u) return std::bit_cast<float>(sign | 0x7F800000u | (magnitude << 13));  // Inf, NaN
  if (magnitude >= 0x0400u) return std::bit_cast<float>(sign | ((magnitude << 13) + (112u << 23)));
  if (magnitude == 0) return std::bit_cast<float>(sign);
  uint32_t exponent = 113;  // subnormal: shift the leading one into place
  while ((magnitude & 0x0400u) == 0) {
    magnitude <<= 1;
    --exponent;
  }
  return std::bit_cast<float>(sign | (exponent << 23) | ((magnitude & 0x03FFu) << 13));
}

inline uint16_t F16FromFloat(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return static_cast<uint16_t>(sign | 0x7E00u);
  if (magnitude >= 0x477FF000u) return static_cast<uint16_t>(sign | 0x7C00u);  // >= 65520 rounds to Inf
  if (magnitude >= 0x38800000u) {
    const uint32_t rounded = magnitude - (112u << 23) + 0x0FFFu + ((magnitude >> 13) & 1u);
    return static_cast<uint16_t>(sign | (rounded >> 13));
  }
  if (magnitude < 0x33000000u) return static_cast<uint16_t>(sign);  // below half the smallest subnormal
  const uint32_t shift = 126u - (magnitude >> 23);                  // 14 .. 24
  const uint32_t mantissa = (magnitude & 0x007FFFFFu) | 0x00800000u;
  const uint32_t half = 1u << (shift - 1), rest = mantissa & ((1u << shift) - 1);
  uint32_t result = mantissa >> shift;
  result += (rest > half || (rest == half && (result & 1u))) ? 1u : 0u;
  return static_cast<uint16_t>(sign | result);
}

template <class Bits>
inline Bits LoadBits(const void* base, size_t index) {
  Bits bits;
  std::memcpy(&bits, static_cast<const char*>(base) + index * sizeof(Bits), sizeof(Bits));
  return bits;
}
template <class Bits>
inline void StoreBits(void* base, size_t index, Bits bits) {
  std::memcpy(static_cast<char*>(base) + index * sizeof(Bits), &bits, sizeof(Bits));
}

// Any element as fp64: exact.
inline double LoadElement(const void* base, DType dtype, size_t index) {
  switch (dtype) {
    case DType::kF32:
      return static_cast<double>(LoadBits<float>(base, index));
    case DType::kF16:
      return static_cast<double>(FloatFromF16(LoadBits<uint16_t>(base, index)));
    case DType::kBF16:
      return static_cast<double>(FloatFromBF16(LoadBits<uint16_t>(base, index)));
    case DType::kF64:
      return LoadBits<double>(base, index);
    case DType::kBool:
      return LoadBits<uint8_t>(base, index) ? 1.0 : 0.0;
    case DType::kI8:
      return LoadBits<int8_t>(base, index);
    case DType::kI32:
      return LoadBits<int32_t>(base, index);
    case DType::kI64:
    case DType::kU64:
      break;  // packed words, not numbers
  }
  return 0.0;
}

// Rounds to fp32 first for the 16-bit types: an output is rounded once, from an fp32 value (docs/numerics.md).
inline void StoreElement(void* base, DType dtype, size_t index, double value) {
  switch (dtype) {
    case DType::kF32:
      return StoreBits(base, index, static_cast<float>(value));
    case DType::kF16:
      return StoreBits(base, index, F16FromFloat(static_cast<float>(value)));
    case DType::kBF16:
      return StoreBits(base, index, BF16FromFloat(static_cast<float>(value)));
    case DType::kF64:
      return StoreBits(base, index, value);
    case DType::kBool:
      return StoreBits(base, index, static_cast<uint8_t>(value != 0.0));
    case DType::kI8:
    case DType::kI32:
    case DType::kI64:
    case DType::kU64:
      return;  // never an output
  }
}

// The value after a trip through `dtype`.
inline double RoundThrough(DType dtype, double value) {
  unsigned char bytes[8];
  StoreElement(bytes, dtype, 0, value);
  return LoadElement(bytes, dtype, 0);
}

}  // namespace addnorm
#endif  // ADDNORM_SRC_BASE_DTYPE_H_
