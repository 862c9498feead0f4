// SPDX-License-Identifier: Apache-2.0
#include "doors/ascendc/src/elements.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace addnorm::ascendc {
namespace {

template <typename T>
T Read(const uint8_t* data) {
  T value;
  std::memcpy(&value, data, sizeof(T));
  return value;
}
template <typename T>
void Write(uint8_t* data, T value) {
  std::memcpy(data, &value, sizeof(T));
}

struct Precision {
  int bits;          // of the significand
  int min_exponent;  // of normal numbers
  long double max;
};
Precision PrecisionOf(Type type) {
  if (type == Type::kF16) return {11, -14, 65504.0L};
  if (type == Type::kBF16) return {8, -126, std::ldexp(255.0L, 120)};
  return {24, -126, std::numeric_limits<float>::max()};
}

long double RoundToInteger(long double value, Rounding rounding) {
  switch (rounding) {
    case Rounding::kFloor:
      return std::floor(value);
    case Rounding::kCeil:
      return std::ceil(value);
    case Rounding::kRound:
      return std::round(value);
    case Rounding::kTrunc:
      return std::trunc(value);
    case Rounding::kOdd: {
      const long double low = std::floor(value);
      if (low == value) return value;
      return std::fmod(low, 2.0L) != 0 ? low : low + 1;
    }
    default: {
      const long double low = std::floor(value);
      const long double rest = value - low;
      if (rest != 0.5L) return rest < 0.5L ? low : low + 1;
      return std::fmod(low, 2.0L) == 0 ? low : low + 1;
    }
  }
}

// `value` rounded to the precision of `type`, subnormals included; still a long double.
long double RoundToFormat(long double value, Type type, Rounding rounding) {
  if (value == 0 || !std::isfinite(value)) return value;
  const Precision precision = PrecisionOf(type);
  const int exponent = std::max(std::ilogb(value), precision.min_exponent) - (precision.bits - 1);
  const long double rounded = std::ldexp(RoundToInteger(std::ldexp(value, -exponent), rounding), exponent);
  if (std::abs(rounded) <= precision.max) return rounded == 0 ? std::copysign(0.0L, value) : rounded;
  const bool inward = rounding == Rounding::kTrunc || rounding == Rounding::kOdd || (rounding == Rounding::kFloor && value > 0) ||
                      (rounding == Rounding::kCeil && value < 0);
  return std::copysign(inward ? precision.max : std::numeric_limits<long double>::infinity(), value);
}

template <typename T>
void StoreSaturated(uint8_t* data, long double value) {
  constexpr auto kLow = static_cast<long double>(std::numeric_limits<T>::min());
  constexpr auto kHigh = static_cast<long double>(std::numeric_limits<T>::max());
  if (std::isnan(value)) return Write(data, T{0});
  if (value <= kLow) return Write(data, std::numeric_limits<T>::min());
  if (value >= kHigh) return Write(data, std::numeric_limits<T>::max());
  Write(data, static_cast<T>(value));
}

template <typename T>
void StoreWrapped(uint8_t* data, long double value) {
  Write(data, static_cast<T>(static_cast<int64_t>(value)));
}

}  // namespace

Lanes FirstLanes(uint64_t mask, uint32_t repeats) {
  const auto ones = [](uint64_t n) { return n >= 64 ? ~uint64_t{0} : (uint64_t{1} << n) - 1; };
  Lanes lanes;
  lanes.kind = Lanes::Kind::kMask;
  lanes.count = static_cast<uint32_t>(std::min<uint64_t>(mask, UINT32_MAX));
  lanes.repeats = repeats;
  if (mask > 128) return lanes;  // no lanes: refused by TakeLanes, but in counter mode
  lanes.mask[0] = ones(mask);
  lanes.mask[1] = mask > 64 ? ones(mask - 64) : 0;
  return lanes;
}

Lanes TakeLanes(const Lanes& asked, uint32_t per_repeat, const char* api, Here here) {
  using Kind = Lanes::Kind;
  Core& core = Core::Current();
  Lanes lanes = asked;
  if (asked.kind == Kind::kCount) {
    core.mask_counts = false;  // the device takes the register for these, and leaves it reset
    core.mask[0] = core.mask[1] = UINT64_MAX;
  } else if (asked.kind == Kind::kMask) {
    core.mask[0] = core.mask_counts ? asked.count : asked.mask[0];
    core.mask[1] = core.mask_counts ? 0 : asked.mask[1];
  }
  if (asked.kind != Kind::kCount && core.mask_counts) {
    lanes.kind = Kind::kCounter;
    lanes.count = static_cast<uint32_t>(std::min<uint64_t>(core.mask[0], UINT32_MAX));
    lanes.repeats = (lanes.count + per_repeat - 1) / per_repeat;
  } else if (asked.kind == Kind::kRegister) {
    // All lanes are on until somebody sets a mask: of wide types the upper ones do not exist.
    lanes.kind = Kind::kMask;
    lanes.mask[0] = core.mask[0];
    lanes.mask[1] = per_repeat > 64 ? core.mask[1] : 0;
  }
  if (lanes.kind != Kind::kMask) {
    if (lanes.count != 0 && lanes.count <= INT32_MAX) return lanes;
    const bool count = asked.kind == Kind::kCount;
    Fail(Rule::kParameter, here, "%s: argument '%s' is %d, expected at least 1", api, count ? "count" : "mask", lanes.count == 0 ? 0 : -1);
  }
  if (lanes.repeats < 1 || lanes.repeats > 255) {
    Fail(Rule::kParameter, here, "%s: argument 'repeatTime' is %d, expected 1 to 255", api, static_cast<int>(lanes.repeats));
  }
  bool beyond = (lanes.mask[0] | lanes.mask[1]) == 0;
  for (uint32_t lane = per_repeat; lane < 128; ++lane) beyond = beyond || IsActive(lanes, lane);
  if (beyond)
    Fail(Rule::kParameter, here, "%s: argument 'mask' selects no lane or one above the last, expected lanes 0 to %u", api, per_repeat - 1);
  return lanes;
}

uint64_t OffsetOf(const VectorOperand& operand, const Lanes& lanes, uint32_t repeat, uint32_t lane) {
  const uint32_t size = SizeOf(operand.type);
  if (lanes.kind == Lanes::Kind::kCount) return uint64_t{lane} * size;
  const uint32_t per_block = kBlockBytes / size;
  const uint64_t blocks = uint64_t{repeat} * operand.repeat_stride + uint64_t{lane / per_block} * operand.block_stride;
  return blocks * kBlockBytes + uint64_t{lane % per_block} * size;
}

uint64_t ExtentOf(const VectorOperand& operand, const Lanes& lanes, uint32_t per_repeat) {
  const uint32_t size = SizeOf(operand.type);
  if (lanes.kind == Lanes::Kind::kCount) return uint64_t{lanes.count} * size;
  uint64_t extent = 0;
  ForEach(lanes, per_repeat, [&](uint32_t repeat, uint32_t lane) {
    if (repeat + 2 >= lanes.repeats) extent = std::max(extent, OffsetOf(operand, lanes, repeat, lane) + size);
  });
  return extent;
}

void Work(const VectorOperand& operand, const Lanes& lanes, uint32_t per_repeat, Access access, const Use& use) {
  Core& core = Core::Current();
  if (!core.IsTracked(operand.view)) return;
  const uint32_t size = SizeOf(operand.type);
  if (lanes.kind == Lanes::Kind::kCount) {
    return core.Work(operand.view, 0, uint64_t{lanes.count} * size, Engine::kVector, use, access);
  }
  ForEach(lanes, per_repeat, [&](uint32_t repeat, uint32_t lane) {
    core.Work(operand.view, OffsetOf(operand, lanes, repeat, lane), size, Engine::kVector, use, access);
  });
}

bool IsFloating(Type type) { return type == Type::kF32 || type == Type::kF16 || type == Type::kBF16; }

long double Load(Type type, const uint8_t* data) {
  switch (type) {
#define ADDNORM_X(cpp, name, text) \
  case Type::name:                 \
    return static_cast<long double>(Read<cpp>(data));
    ADDNORM_ASCENDC_TYPES(ADDNORM_X)
#undef ADDNORM_X
  }
  return 0;
}

void StoreElement(Type type, uint8_t* data, long double value) {
  switch (type) {
    case Type::kF32:
      return Write(data, static_cast<float>(value));
    case Type::kF16:
    case Type::kBF16:
      // A long double may have more bits than the double that the conversion takes.
      value = RoundToFormat(value, type, Rounding::kRint);
      return Write(data, type == Type::kF16 ? HalfFromDouble(static_cast<double>(value)) : Bfloat16FromDouble(static_cast<double>(value)));
    case Type::kI8:
    case Type::kU8:
      return StoreWrapped<uint8_t>(data, value);
    case Type::kI16:
    case Type::kU16:
      return StoreWrapped<uint16_t>(data, value);
    case Type::kI32:
    case Type::kU32:
      return StoreWrapped<uint32_t>(data, value);
    case Type::kI64:
    case Type::kU64:
      return StoreWrapped<uint64_t>(data, value);
  }
}

void StoreCast(Type type, uint8_t* data, long double value, Type from, Rounding rounding) {
  if (IsFloating(type)) {
    // Between equal types the modes round to integers.
    const bool to_integer = type == from && rounding != Rounding::kNone;
    value = to_integer ? RoundToInteger(value, rounding) : RoundToFormat(value, type, rounding);
    return StoreElement(type, data, value);
  }
  if (std::isfinite(value)) value = RoundToInteger(value, rounding);
  switch (type) {
#define ADDNORM_X(cpp, name, text)                                           \
  case Type::name:                                                           \
    if constexpr (std::is_integral_v<cpp>) StoreSaturated<cpp>(data, value); \
    return;
    ADDNORM_ASCENDC_TYPES(ADDNORM_X)
#undef ADDNORM_X
  }
}

}  // namespace addnorm::ascendc
