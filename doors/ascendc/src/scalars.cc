// SPDX-License-Identifier: Apache-2.0
// half and bfloat16_t, in integer operations: exact on every machine, whatever its instructions do.
#include "addnorm/ascendc/scalars.h"

#include <cmath>
#include <cstring>

#include "doors/ascendc/src/core.h"

namespace addnorm::ascendc {
namespace {

struct Format {
  int fraction_bits;
  int min_exponent;  // of normal numbers
  int max_exponent;
};
constexpr Format kHalf{10, -14, 15};
constexpr Format kBfloat16{7, -126, 127};

// The 16 bits of `value` rounded once to nearest even.
uint16_t Narrow(double value, const Format& format) {
  uint64_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  const uint16_t sign = static_cast<uint16_t>(bits >> 63 << 15);
  const uint16_t infinity = static_cast<uint16_t>(((1u << (15 - format.fraction_bits)) - 1) << format.fraction_bits);
  const int exponent = static_cast<int>(bits >> 52 & 0x7ff) - 1023;
  uint64_t fraction = bits & ((uint64_t{1} << 52) - 1);
  if (exponent == 1024) {
    const uint16_t quiet = fraction != 0 ? static_cast<uint16_t>(1u << (format.fraction_bits - 1)) : uint16_t{0};
    return static_cast<uint16_t>(sign | infinity | quiet);
  }
  if (exponent < format.min_exponent - format.fraction_bits - 1) return sign;
  fraction |= uint64_t{1} << 52;  // doubles below the normal ones returned above
  const int below = exponent < format.min_exponent ? format.min_exponent - exponent : 0;
  const int drop = 52 - format.fraction_bits + below;
  const uint64_t half_unit = uint64_t{1} << (drop - 1);
  uint64_t kept = fraction >> drop;
  const uint64_t rest = fraction & ((uint64_t{1} << drop) - 1);
  if (rest > half_unit || (rest == half_unit && (kept & 1) != 0)) ++kept;
  // The hidden bit carries into the exponent field, also where rounding carries.
  const int field = below > 0 ? 0 : exponent - format.min_exponent;
  const uint64_t magnitude = (static_cast<uint64_t>(field) << format.fraction_bits) + kept;
  return static_cast<uint16_t>(sign | (magnitude >= infinity ? infinity : magnitude));
}

}  // namespace

uint16_t HalfFromDouble(double value) { return Narrow(value, kHalf); }
uint16_t Bfloat16FromDouble(double value) { return Narrow(value, kBfloat16); }

float HalfToFloat(uint16_t bits) {
  const int field = bits >> 10 & 0x1f;
  const int fraction = bits & 0x3ff;
  const float sign = (bits & 0x8000) != 0 ? -1.0f : 1.0f;
  if (field == 0x1f) return std::copysign(fraction != 0 ? NAN : INFINITY, sign);
  if (field == 0) return sign * std::ldexp(static_cast<float>(fraction), -24);
  return sign * std::ldexp(static_cast<float>(fraction | 0x400), field - 25);
}

uint32_t SizeOf(Type type) {
  switch (type) {
#define ADDNORM_X(cpp, name, text) \
  case Type::name:                 \
    return sizeof(cpp);
    ADDNORM_ASCENDC_TYPES(ADDNORM_X)
#undef ADDNORM_X
  }
  return 0;
}

const char* NameOf(Type type) {
  switch (type) {
#define ADDNORM_X(cpp, name, text) \
  case Type::name:                 \
    return text;
    ADDNORM_ASCENDC_TYPES(ADDNORM_X)
#undef ADDNORM_X
  }
  return "invalid";
}

}  // namespace addnorm::ascendc
