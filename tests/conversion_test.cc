// SPDX-License-Identifier: Apache-2.0
// Every conversion of the 16-bit types through the forward kernel, on every target: all 2^16 values widened, and for each pair of
// neighbours their midpoint, what lies next to it on both sides, and the values themselves, rounded.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "addnorm/addnorm.h"
#include "tests/numbers.h"

namespace addnorm::test {
namespace {

constexpr DType kSixteen[] = {DType::kF16, DType::kBF16};
// Rows with a partial vector at their end on every target.
constexpr int64_t kCols = 1000;

// The prenorm output of x0 + 0 alone is x0 converted. `from` and `to` are whole rows.
void Convert(DType from_type, const void* from, DType to_type, void* to, int64_t rows) {
  const int64_t shape[] = {rows, kCols};
  ForwardProblem p;
  p.pre.x0 = {const_cast<void*>(from), from_type, shape, {}};
  p.prenorm = {to, to_type, shape, {}};
  const Status status = Forward(p, SerialExecutor());
  ASSERT_TRUE(status.ok()) << status.message();
}

// The same through the kernels that know bfloat16 when compiling: 1 scaled by a column's factor is that factor.
void ConvertByScale(const float* from, uint16_t* to, int64_t rows) {
  const int64_t shape[] = {1, kCols};
  const std::vector<uint16_t> ones(kCols, 0x3F80u);
  for (int64_t row = 0; row < rows; ++row) {
    ForwardProblem p;
    p.pre.x0 = {const_cast<uint16_t*>(ones.data()), DType::kBF16, shape, {}};
    p.pre.layerscale = {const_cast<float*>(from + row * kCols), DType::kF32, {shape + 1, 1}, {}};
    p.prenorm = {to + row * kCols, DType::kBF16, shape, {}};
    const Status status = Forward(p, SerialExecutor());
    ASSERT_TRUE(status.ok()) << status.message();
  }
}

int64_t RowsFor(size_t n) { return static_cast<int64_t>((n + kCols - 1) / kCols); }

TEST(Conversion, WidensEveryValue) {
  const int64_t rows = RowsFor(1 << 16);
  for (const DType type : kSixteen) {
    std::vector<uint16_t> bits(static_cast<size_t>(rows * kCols));
    for (size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<uint16_t>(i);
    for (const char* target : AvailableTargets()) {
      ASSERT_TRUE(SetThreadTarget(target).ok());
      std::vector<float> wide(bits.size());
      Convert(type, bits.data(), DType::kF32, wide.data(), rows);
      for (size_t i = 0; i < bits.size(); ++i) {
        const long double exact = Load(type, bits.data(), static_cast<ptrdiff_t>(i));
        if (std::isnan(exact)) {
          ASSERT_TRUE(std::isnan(wide[i])) << NameOf(type) << " 0x" << std::hex << bits[i] << " on " << target;
        } else {
          ASSERT_EQ(static_cast<long double>(wide[i]), exact) << NameOf(type) << " 0x" << std::hex << bits[i] << " on " << target;
          ASSERT_EQ(std::signbit(wide[i]), std::signbit(exact)) << NameOf(type) << " 0x" << std::hex << bits[i] << " on " << target;
        }
      }
    }
  }
  ASSERT_TRUE(SetThreadTarget(nullptr).ok());
}

// fp32 numbers around every decision of the rounding to `type`.
std::vector<float> Decisions(DType type) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  std::vector<float> values = {0.0f,
                               -0.0f,
                               kInf,
                               -kInf,
                               std::numeric_limits<float>::quiet_NaN(),
                               -std::numeric_limits<float>::quiet_NaN(),
                               std::numeric_limits<float>::signaling_NaN(),
                               std::numeric_limits<float>::max(),
                               std::numeric_limits<float>::min(),
                               std::numeric_limits<float>::denorm_min()};
  // A NaN whose payload lies in the bits that go, and only there.
  const uint32_t low_nan = 0x7F800001u;
  float nan;
  std::memcpy(&nan, &low_nan, sizeof(nan));
  values.push_back(nan);
  for (uint32_t i = 0; i < 0x8000u; ++i) {
    const uint16_t pair[] = {static_cast<uint16_t>(i), static_cast<uint16_t>(i + 1)};
    const long double below = Load(type, pair, 0);
    long double above = i == 0x7FFFu ? below : Load(type, pair, 1);
    if (std::isnan(below) || std::isnan(above) || std::isinf(below)) continue;
    if (std::isinf(above)) above = below + Ulp(type, below);  // where an infinity begins
    const float middle = static_cast<float>((below + above) / 2);
    for (const float sign : {1.0f, -1.0f}) {
      for (const float v : {static_cast<float>(below), middle, std::nextafter(middle, 0.0f), std::nextafter(middle, kInf)}) {
        values.push_back(sign * v);
      }
    }
  }
  values.resize(static_cast<size_t>(RowsFor(values.size()) * kCols), 1.0f);
  return values;
}

void ExpectRounded(DType type, const std::vector<float>& values, const std::vector<uint16_t>& rounded, const char* target) {
  for (size_t i = 0; i < values.size(); ++i) {
    const long double got = Load(type, rounded.data(), static_cast<ptrdiff_t>(i));
    const long double want = Round(type, static_cast<long double>(values[i]));
    if (std::isnan(values[i])) {
      ASSERT_TRUE(std::isnan(got)) << NameOf(type) << " of NaN, item " << i << " on " << target;
    } else {
      ASSERT_EQ(got, want) << NameOf(type) << " of " << std::hexfloat << values[i] << " on " << target;
      ASSERT_EQ(std::signbit(got), std::signbit(values[i])) << NameOf(type) << " of " << std::hexfloat << values[i] << " on " << target;
    }
  }
}

TEST(Conversion, RoundsAroundEveryTie) {
  for (const DType type : kSixteen) {
    const std::vector<float> values = Decisions(type);
    ASSERT_GT(values.size(), 8u * 0x7000u);
    const int64_t rows = static_cast<int64_t>(values.size()) / kCols;
    for (const char* target : AvailableTargets()) {
      ASSERT_TRUE(SetThreadTarget(target).ok());
      std::vector<uint16_t> rounded(values.size());
      Convert(DType::kF32, values.data(), type, rounded.data(), rows);
      ExpectRounded(type, values, rounded, target);
      if (type != DType::kBF16) continue;
      ConvertByScale(values.data(), rounded.data(), rows);
      ExpectRounded(type, values, rounded, target);
    }
  }
  ASSERT_TRUE(SetThreadTarget(nullptr).ok());
}

}  // namespace
}  // namespace addnorm::test
