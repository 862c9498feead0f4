// SPDX-License-Identifier: Apache-2.0
#include "tests/numbers.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <vector>

namespace addnorm::test {
namespace {

// sign, exponent field and fraction of a 16-bit pattern, read as the format's definition says.
float Value16(uint16_t bits, int fraction_bits, int bias) {
  const int exponent_bits = 15 - fraction_bits;
  const int field = (bits >> fraction_bits) & ((1 << exponent_bits) - 1);
  const int fraction = bits & ((1 << fraction_bits) - 1);
  float magnitude;
  if (field == (1 << exponent_bits) - 1) {
    magnitude = fraction ? std::numeric_limits<float>::quiet_NaN() : std::numeric_limits<float>::infinity();
  } else if (field == 0) {
    magnitude = std::ldexp(static_cast<float>(fraction), 1 - bias - fraction_bits);
  } else {
    magnitude = std::ldexp(static_cast<float>(fraction + (1 << fraction_bits)), field - bias - fraction_bits);
  }
  return (bits & 0x8000u) ? -magnitude : magnitude;
}

std::vector<float> Table16(int fraction_bits, int bias) {
  std::vector<float> table(1u << 16);
  for (uint32_t bits = 0; bits < table.size(); ++bits) table[bits] = Value16(static_cast<uint16_t>(bits), fraction_bits, bias);
  return table;
}
const std::vector<float>& TableOf(DType dtype) {
  static const std::vector<float> half = Table16(10, 15), bfloat = Table16(7, 127);
  return dtype == DType::kF16 ? half : bfloat;
}

// The pattern of a number that the format holds exactly.
uint16_t Bits16(DType dtype, long double value) {
  const int fraction_bits = dtype == DType::kF16 ? 10 : 7, bias = dtype == DType::kF16 ? 15 : 127;
  const uint16_t sign = std::signbit(value) ? 0x8000u : 0u;
  const uint16_t infinity = static_cast<uint16_t>(((1 << (15 - fraction_bits)) - 1) << fraction_bits);
  if (std::isnan(value)) return static_cast<uint16_t>(sign | infinity | (1 << (fraction_bits - 1)));
  if (std::isinf(value)) return static_cast<uint16_t>(sign | infinity);
  if (value == 0) return sign;
  const int exponent = std::max(std::ilogb(value), FormatOf(dtype).min_exponent);
  const int scaled = static_cast<int>(std::ldexp(std::fabs(value), fraction_bits - exponent));  // integer by assumption
  const int field = scaled >> fraction_bits ? exponent + bias : 0;
  return static_cast<uint16_t>(sign | (field << fraction_bits) | (scaled & ((1 << fraction_bits) - 1)));
}

template <class T>
T ReadAs(const void* data, ptrdiff_t index) {
  T value;
  std::memcpy(&value, static_cast<const char*>(data) + index * static_cast<ptrdiff_t>(sizeof(T)), sizeof(T));
  return value;
}
template <class T>
void WriteAs(void* data, ptrdiff_t index, T value) {
  std::memcpy(static_cast<char*>(data) + index * static_cast<ptrdiff_t>(sizeof(T)), &value, sizeof(T));
}

}  // namespace

Format FormatOf(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return {24, -126, 127};
    case DType::kF16:
      return {11, -14, 15};
    case DType::kBF16:
      return {8, -126, 127};
    case DType::kF64:
      return {53, -1022, 1023};
    default:
      break;
  }
  std::abort();  // a fault of the test
}

long double Load(DType dtype, const void* data, ptrdiff_t index) {
  switch (dtype) {
    case DType::kF32:
      return static_cast<long double>(ReadAs<float>(data, index));
    case DType::kF64:
      return static_cast<long double>(ReadAs<double>(data, index));
    case DType::kBool:
      return static_cast<long double>(ReadAs<uint8_t>(data, index));
    case DType::kF16:
    case DType::kBF16:
      return static_cast<long double>(TableOf(dtype)[ReadAs<uint16_t>(data, index)]);
    default:
      break;
  }
  std::abort();
}

void Store(DType dtype, void* data, ptrdiff_t index, long double value) {
  switch (dtype) {
    case DType::kF32:
      return WriteAs(data, index, static_cast<float>(value));
    case DType::kF64:
      return WriteAs(data, index, static_cast<double>(value));
    case DType::kBool:
      return WriteAs(data, index, static_cast<uint8_t>(value != 0));
    case DType::kF16:
    case DType::kBF16:
      return WriteAs(data, index, Bits16(dtype, Round(dtype, value)));
    default:
      break;
  }
}

long double Round(DType dtype, long double value) {
  if (dtype == DType::kF32) return static_cast<long double>(static_cast<float>(value));
  if (dtype == DType::kF64) return static_cast<long double>(static_cast<double>(value));
  if (value == 0 || !std::isfinite(value)) return value;
  const long double ulp = Ulp(dtype, value);
  const long double rounded = std::nearbyint(value / ulp) * ulp;  // value / ulp is exact: ulp is a power of two
  if (std::fabs(rounded) > Largest(dtype)) return std::copysign(std::numeric_limits<long double>::infinity(), value);
  return rounded == 0 ? std::copysign(0.0L, value) : rounded;
}

long double Ulp(DType dtype, long double value) {
  const Format format = FormatOf(dtype);
  int exponent = format.min_exponent;
  if (std::isfinite(value) && value != 0) exponent = std::min(std::max(std::ilogb(value), exponent), format.max_exponent);
  return std::ldexp(1.0L, exponent - format.precision + 1);
}

long double Largest(DType dtype) {
  const Format format = FormatOf(dtype);
  return std::ldexp(2.0L - std::ldexp(1.0L, 1 - format.precision), format.max_exponent);
}

long double Smallest(DType dtype) { return Ulp(dtype, 0); }

uint64_t Random::Bits() {
  uint64_t z = state_ += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

double Random::Normal() {
  static const std::vector<double> table = [] {
    std::vector<double> values(1u << 16);
    Random random(20);
    for (size_t i = 0; i < values.size(); i += 2) {  // Box-Muller
      const double radius = std::sqrt(-2.0 * std::log(1.0 - random.Uniform())), angle = 6.283185307179586 * random.Uniform();
      values[i] = radius * std::cos(angle);
      values[i + 1] = radius * std::sin(angle);
    }
    return values;
  }();
  const uint64_t bits = Bits();
  return table[bits >> 48] * (1.0 + static_cast<double>(bits & 0xFFFFFFFFFFu) * 0x1p-48);
}

uint64_t Mix(uint64_t seed, uint64_t index) {
  Random random(seed ^ (index * 0xD6E8FEB86659FD93u));
  random.Bits();
  return random.Bits();
}

}  // namespace addnorm::test
