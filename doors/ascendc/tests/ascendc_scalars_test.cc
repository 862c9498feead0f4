// SPDX-License-Identifier: Apache-2.0
// half and bfloat16_t: every value, every midpoint between two neighbours and what lies beside it.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "addnorm/ascendc/scalars.h"

namespace {

struct Format {
  const char* name;
  uint16_t (*from)(double);
  float (*to)(uint16_t);
  uint16_t infinity;
};
const Format kFormats[] = {{"half", addnorm::ascendc::HalfFromDouble, addnorm::ascendc::HalfToFloat, 0x7c00},
                           {"bfloat16_t", addnorm::ascendc::Bfloat16FromDouble, addnorm::ascendc::Bfloat16ToFloat, 0x7f80}};

TEST(Scalars, EveryValueSurvives) {
  for (const Format& format : kFormats) {
    for (uint32_t bits = 0; bits < 0x10000; ++bits) {
      const float value = format.to(static_cast<uint16_t>(bits));
      if ((bits & 0x7fff) > format.infinity) {
        EXPECT_TRUE(std::isnan(value)) << format.name << bits;
        EXPECT_GT(format.from(double{value}) & 0x7fff, format.infinity);
      } else {
        ASSERT_EQ(format.from(double{value}), bits) << format.name;
      }
    }
  }
}

// Neighbours are consecutive integers, so the value of the midpoint needs no knowledge of the format.
TEST(Scalars, TiesGoToEvenAndTheRestToTheNearest) {
  for (const Format& format : kFormats) {
    for (uint32_t bits = 0; bits + 1 < format.infinity; ++bits) {
      const double low = format.to(static_cast<uint16_t>(bits)), high = format.to(static_cast<uint16_t>(bits + 1));
      ASSERT_LT(low, high);
      const double middle = (low + high) / 2;  // exact
      const uint32_t even = bits % 2 == 0 ? bits : bits + 1;
      for (uint32_t sign : {0u, 0x8000u}) {
        const double s = sign == 0 ? 1 : -1;
        ASSERT_EQ(format.from(s * middle), even | sign) << format.name << bits;
        ASSERT_EQ(format.from(s * std::nextafter(middle, 0.0)), bits | sign) << format.name << bits;
        ASSERT_EQ(format.from(s * std::nextafter(middle, 1e300)), (bits + 1) | sign) << format.name << bits;
      }
    }
  }
}

TEST(Scalars, Overflow) {
  for (const Format& format : kFormats) {
    const double largest = format.to(static_cast<uint16_t>(format.infinity - 1));
    const double below = format.to(static_cast<uint16_t>(format.infinity - 2));
    const double limit = largest + (largest - below) / 2;
    EXPECT_EQ(format.from(limit), format.infinity);
    EXPECT_EQ(format.from(std::nextafter(limit, 0.0)), format.infinity - 1);
    EXPECT_EQ(format.from(1e300), format.infinity);
    EXPECT_EQ(format.from(-INFINITY), format.infinity | 0x8000);
    EXPECT_EQ(format.from(1e-300), 0);
    EXPECT_EQ(format.from(-0.0), 0x8000);
  }
}

// As the device's built-in types: constants, counting.
constexpr half kThird = 1.0f / 3;
static_assert(kThird > 0.333f && kThird < 0.3334f && half(-2.5f) == -2.5f && half(0x1p-24) > 0.0f, "in a constant expression");
static_assert(half(1e9f) > 65504.0f && static_cast<float>(bfloat16_t(half(-3))) == -3.0f, "in a constant expression");
template <typename T>
constexpr float Count() {
  T value = 1.5f;
  const float before = value++;
  ++value;
  value--;
  return before * 100 + --value;
}
static_assert(Count<half>() == 151.5f && Count<bfloat16_t>() == 151.5f, "++ and --");
TEST(Scalars, CountsWhereOneIsNoStep) {
  half large = 2048;
  EXPECT_EQ(static_cast<float>(++large), 2048.0f);  // 2049 is a tie, to even
  EXPECT_EQ(static_cast<float>(--large), 2047.0f);
}

TEST(Scalars, KernelArithmetic) {
  half a = 1.5, b = 2;
  half sum = a + b;
  EXPECT_EQ(static_cast<float>(sum), 3.5f);
  sum += 1;
  sum *= half(2);
  EXPECT_EQ(static_cast<float>(sum), 9.0f);
  EXPECT_TRUE(a < b);
  EXPECT_EQ(static_cast<float>(static_cast<bfloat16_t>(half(1.0009765625))), 1.0f);
  EXPECT_EQ(static_cast<int>(half(7.9)), 7);
  EXPECT_EQ(static_cast<float>(half(2049)), 2048.0f);
  // One rounding from an integer or double, not two through float.
  EXPECT_EQ(static_cast<float>(half(1.0 + 0x1p-11 + 0x1p-40)), 1.0f + 0x1p-10f);
}

}  // namespace
