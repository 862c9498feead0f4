// SPDX-License-Identifier: Apache-2.0
// Cast with its round modes, and copies with strides and padding.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>
#include <vector>

#include "addnorm/ascendc/launch.h"
#include "kernel_operator.h"

namespace {

using namespace AscendC;  // as kernels do
using addnorm::ascendc::InGm;
using addnorm::ascendc::LaunchResult;

template <typename D, typename S>
D CastOne(S value, RoundMode mode) {
  static D result;
  static S source;
  static RoundMode rounding;
  source = value;
  rounding = mode;
  auto kernel = [] {
    TPipe pipe;
    TBuf<> a, b;
    pipe.InitBuffer(a, 32);
    pipe.InitBuffer(b, 32);
    LocalTensor<S> from = a.Get<S>();
    LocalTensor<D> to = b.Get<D>();
    from.SetValue(0, source);
    Cast(to, from, rounding, 1);
    result = to.GetValue(0);
  };
  const LaunchResult launched = addnorm::ascendc::Launch({}, static_cast<void (*)()>(kernel));
  EXPECT_TRUE(launched.ok()) << launched.first.text;
  return result;
}

TEST(Cast, FloatToIntegers) {
  struct {
    RoundMode mode;
    int32_t results[6];  // of the values below
  } const rows[] = {{RoundMode::CAST_RINT, {2, -2, 4, -3, 2, -1}},
                    {RoundMode::CAST_FLOOR, {2, -3, 3, -3, 1, -1}},
                    {RoundMode::CAST_CEIL, {3, -2, 4, -2, 2, 0}},
                    {RoundMode::CAST_ROUND, {3, -3, 4, -3, 2, -1}},
                    {RoundMode::CAST_TRUNC, {2, -2, 3, -2, 1, 0}}};
  const float values[] = {2.5f, -2.5f, 3.5f, -2.75f, 1.9f, -0.9f};
  for (const auto& row : rows) {
    for (int i = 0; i < 6; ++i) {
      EXPECT_EQ((CastOne<int32_t, float>(values[i], row.mode)), row.results[i]) << int(row.mode) << " " << values[i];
      EXPECT_EQ((CastOne<int16_t, half>(half(values[i]), row.mode)), row.results[i]) << int(row.mode) << " " << values[i];
    }
  }
  EXPECT_EQ((CastOne<int16_t, float>(1e9f, RoundMode::CAST_RINT)), 32767);
  EXPECT_EQ((CastOne<int32_t, float>(-INFINITY, RoundMode::CAST_RINT)), std::numeric_limits<int32_t>::min());
  EXPECT_EQ((CastOne<int32_t, float>(NAN, RoundMode::CAST_RINT)), 0);
  EXPECT_EQ((CastOne<uint8_t, half>(half(-3), RoundMode::CAST_RINT)), 0);
}

TEST(Cast, FloatToHalf) {
  const float low = 1.0f, high = 1.0f + 0x1p-10f, tie = 1.0f + 0x1p-11f, above = 1.0f + 0x1p-11f + 0x1p-20f;
  const auto cast = [](float value, RoundMode mode) { return static_cast<float>(CastOne<half, float>(value, mode)); };
  EXPECT_EQ(cast(tie, RoundMode::CAST_NONE), low);
  EXPECT_EQ(cast(above, RoundMode::CAST_RINT), high);
  EXPECT_EQ(cast(above, RoundMode::CAST_FLOOR), low);
  EXPECT_EQ(cast(-above, RoundMode::CAST_FLOOR), -high);
  EXPECT_EQ(cast(low + 0x1p-20f, RoundMode::CAST_CEIL), high);
  EXPECT_EQ(cast(tie, RoundMode::CAST_ROUND), high);
  EXPECT_EQ(cast(-above, RoundMode::CAST_TRUNC), -low);
  EXPECT_EQ(cast(tie, RoundMode::CAST_ODD), high);  // its last bit is odd
  EXPECT_EQ(cast(70000.0f, RoundMode::CAST_NONE), INFINITY);
  EXPECT_EQ(cast(70000.0f, RoundMode::CAST_TRUNC), 65504.0f);
  EXPECT_EQ(cast(0x1p-26f, RoundMode::CAST_NONE), 0.0f);
  EXPECT_EQ(cast(0x1p-26f, RoundMode::CAST_CEIL), 0x1p-24f);
  EXPECT_EQ(static_cast<float>(CastOne<bfloat16_t, float>(1.0f + 0x1p-8f, RoundMode::CAST_RINT)), 1.0f);
  EXPECT_EQ(static_cast<float>(CastOne<bfloat16_t, float>(1.0f + 0x1p-8f, RoundMode::CAST_ROUND)), 1.0f + 0x1p-7f);
}

TEST(Cast, ExactDirectionsAndIntegersOfOneType) {
  EXPECT_EQ((CastOne<float, half>(half(0.333), RoundMode::CAST_NONE)), static_cast<float>(half(0.333)));
  EXPECT_EQ((CastOne<float, int32_t>(16777217, RoundMode::CAST_RINT)), 16777216.0f);
  EXPECT_EQ((CastOne<float, int32_t>(16777217, RoundMode::CAST_CEIL)), 16777218.0f);
  EXPECT_EQ((CastOne<int32_t, int64_t>(int64_t{1} << 40, RoundMode::CAST_NONE)), std::numeric_limits<int32_t>::max());
  EXPECT_EQ((CastOne<float, float>(2.5f, RoundMode::CAST_RINT)), 2.0f);
}

// ---- Copies ------------------------------------------------------------------------------------------------------------------

std::function<void(GlobalTensor<float>, GlobalTensor<float>, LocalTensor<float>)> g_body;
void CopyKernel(GM_ADDR in, GM_ADDR out) {
  TPipe pipe;
  TBuf<> buf;
  pipe.InitBuffer(buf, 4096);
  GlobalTensor<float> from, to;
  from.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(in));
  to.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(out));
  g_body(from, to, buf.Get<float>());
}
// `out` after the body ran on `in` = 1, 2, 3, ...
std::vector<float> Copied(decltype(g_body) body) {
  std::vector<float> in(256), out(256, 0.0f);
  std::iota(in.begin(), in.end(), 1.0f);
  g_body = std::move(body);
  const LaunchResult result = addnorm::ascendc::Launch({}, CopyKernel, InGm(in), InGm(out));
  EXPECT_TRUE(result.ok()) << result.first.line << ": " << result.first.text;
  return out;
}

TEST(Copy, StridesInBlocksOf32Bytes) {
  const auto out = Copied([](auto in, auto out, auto local) {
    DataCopy(local, in, DataCopyParams(3, 2, 1, 1));   // 16 floats of every 24, to 16 of every 24
    DataCopy(out, local, DataCopyParams(3, 2, 1, 0));  // packed
  });
  for (size_t i = 0; i < 48; ++i) {
    const size_t from = i / 16 * 24 + i % 16 + 1;
    EXPECT_EQ(out[i], static_cast<float>(from));
  }
  EXPECT_EQ(out[48], 0.0f);
}
TEST(Copy, PadFillsAroundEachRun) {
  const auto out = Copied([](auto in, auto out, auto local) {
    // 5 floats of every 7; 2 before and 1 after = 8; then 8 floats of gap.
    DataCopyPad(local, in, DataCopyExtParams(4, 20, 8, 1, 0), DataCopyPadExtParams<float>(true, 2, 1, -7.0f));
    DataCopy(out, local, DataCopyParams(4, 1, 1, 0));
  });
  for (size_t row = 0; row < 4; ++row) {
    for (size_t i = 0; i < 8; ++i) {
      EXPECT_EQ(out[row * 8 + i], i < 2 || i == 7 ? -7.0f : static_cast<float>(row * 7 + i - 2 + 1)) << row << " " << i;
    }
  }
}
TEST(Copy, PadOutWritesOnlyTheRuns) {
  const auto out = Copied([](auto in, auto out, auto local) {
    DataCopyPad(local, in, DataCopyParams(3, 12, 0, 0), DataCopyPadParams());
    DataCopyPad(out, local, DataCopyParams(3, 12, 0, 8));  // 3 floats, 2 of gap
  });
  const std::vector<float> expected = {1, 2, 3, 0, 0, 4, 5, 6, 0, 0, 7, 8, 9, 0};
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(out[i], expected[i]) << i;
}
TEST(Copy, LocalToLocalAndElements) {
  const auto out = Copied([](auto in, auto out, auto local) {
    DataCopy(local, in, 16);
    DataCopy(local[64], local, 16);
    local[64].SetValue(2, in.GetValue(200));
    local.SetShapeInfo(ShapeInfo());
    EXPECT_EQ(local.GetSize(), 1024u);
    DataCopy(out, local[64], 16);
    out.SetValue(20, 5.0f);
  });
  EXPECT_EQ(out[1], 2.0f);
  EXPECT_EQ(out[2], 201.0f);
  EXPECT_EQ(out[20], 5.0f);
}
TEST(Copy, PointerCountsAsWritten) {
  const auto out = Copied([](auto, auto out, auto local) {
    float* values = local.GetPhyAddr();
    for (int i = 0; i < 8; ++i) values[i] = 4.0f;
    DataCopy(out, local, 8);
  });
  EXPECT_EQ(out[7], 4.0f);
}
TEST(Copy, StackBufferIsTheRestOfUb) {
  Copied([](auto, auto, auto) {
    LocalTensor<uint8_t> rest;
    EXPECT_TRUE(PopStackBuffer(rest));
    EXPECT_EQ(rest.GetSize(), 192u * 1024 - 4096);
  });
}

}  // namespace
