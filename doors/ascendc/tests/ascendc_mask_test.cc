// SPDX-License-Identifier: Apache-2.0
// Which lanes take part: bit masks, const or not, and the mask register with isSetMask = false, in normal and counter mode.
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <vector>

#include "addnorm/ascendc/launch.h"
#include "kernel_operator.h"

namespace {

using namespace AscendC;  // NOLINT(google-build-using-namespace): as kernels do
using addnorm::ascendc::LaunchResult;

constexpr uint32_t kLength = 256;
constexpr float kUntouched = 77;

// a = 0, 1, 2, ...; b = 2; out = kUntouched.
struct Desk {
  TPipe pipe;
  TBuf<> buffers[4];
  LocalTensor<float> a, b, out, work;
  Desk() {
    for (auto& buffer : buffers) pipe.InitBuffer(buffer, kLength * sizeof(float));
    a = buffers[0].Get<float>();
    b = buffers[1].Get<float>();
    out = buffers[2].Get<float>();
    work = buffers[3].Get<float>();
    for (uint32_t i = 0; i < kLength; ++i) a.SetValue(i, static_cast<float>(i));
    Duplicate(b, 2.0f, kLength);
    Reset();
  }
  void Reset() { Duplicate(out, kUntouched, kLength); }
};

LaunchResult RunBody(const std::function<void(Desk&)>& body) {
  auto entry = [](const std::function<void(Desk&)>* f) {
    Desk desk;
    (*f)(desk);
  };
  return addnorm::ascendc::Launch({}, static_cast<void (*)(const std::function<void(Desk&)>*)>(entry), &body);
}
void ExpectRuns(const std::function<void(Desk&)>& body) {
  const LaunchResult result = RunBody(body);
  EXPECT_TRUE(result.ok()) << result.first.file << ":" << result.first.line << ": " << result.first.text;
}

// Lanes 1 and 40 of each of two repeats.
constexpr uint64_t kBits = uint64_t{1} << 1 | uint64_t{1} << 40;

using Call = void (*)(Desk&, const uint64_t* mask);
struct Operation {
  const char* name;
  Call set;  // with this mask
  Call reg;  // isSetMask = false
  float (*want)(float a, float out);
};

const UnaryRepeatParams kUnary(1, 1, 8, 8);
const BinaryRepeatParams kBinary(1, 1, 1, 8, 8, 8);

#define BINARY(Name, expression)                                                                                \
  {                                                                                                             \
#Name, [](Desk& d, const uint64_t* mask) { Name<float, true>(d.out, d.a, d.b, mask, 2, kBinary); },           \
   [](Desk& d, const uint64_t*) { Name<float, false>(d.out, d.a, d.b, MASK_PLACEHOLDER, 2, kBinary); },          \
   [](float a, [[maybe_unused]] float out) { return float(expression); } \
  }
#define SCALAR(Name, expression)                                                                                \
  {                                                                                                             \
#Name, [](Desk& d, const uint64_t* mask) { Name<float, true>(d.out, d.a, 2.0f, mask, 2, kUnary); },           \
   [](Desk& d, const uint64_t*) { Name<float, false>(d.out, d.a, 2.0f, MASK_PLACEHOLDER, 2, kUnary); },          \
   [](float a, [[maybe_unused]] float out) { return float(expression); } \
  }
#define UNARY(Name, expression)                                                                                 \
  {                                                                                                             \
#Name, [](Desk& d, const uint64_t* mask) { Name<float, true>(d.out, d.a, mask, 2, kUnary); },                 \
   [](Desk& d, const uint64_t*) { Name<float, false>(d.out, d.a, MASK_PLACEHOLDER, 2, kUnary); },                \
   [](float a, [[maybe_unused]] float out) { return float(expression); } \
  }

const Operation kOperations[] = {
    BINARY(Add, a + 2),
    BINARY(Sub, a - 2),
    BINARY(Mul, a * 2),
    BINARY(Div, a / 2),
    BINARY(Max, a > 2 ? a : 2),
    BINARY(Min, a < 2 ? a : 2),
    SCALAR(Adds, a + 2),
    SCALAR(Muls, a * 2),
    SCALAR(Maxs, a > 2 ? a : 2),
    SCALAR(Mins, a < 2 ? a : 2),
    UNARY(Sqrt, std::sqrt(a)),
    UNARY(Abs, a),
    UNARY(Relu, a),
    UNARY(Reciprocal, 1 / a),
    UNARY(Rsqrt, static_cast<float>(1 / std::sqrt(double{a}))),
    UNARY(Ln, static_cast<float>(std::log(double{a}))),
    {"Axpy", [](Desk& d, const uint64_t* mask) { Axpy<float, float, true>(d.out, d.a, 2.0f, mask, 2, kUnary); },
     [](Desk& d, const uint64_t*) { Axpy<float, float, false>(d.out, d.a, 2.0f, MASK_PLACEHOLDER, 2, kUnary); },
     [](float a, float out) { return out + 2 * a; }},
    {"Cast", [](Desk& d, const uint64_t* mask) { Cast<float, float, true>(d.out, d.a, RoundMode::CAST_RINT, mask, 2, kUnary); },
     [](Desk& d, const uint64_t*) { Cast<float, float, false>(d.out, d.a, RoundMode::CAST_RINT, MASK_PLACEHOLDER, 2, kUnary); },
     [](float a, float) { return a; }},
    {"Duplicate", [](Desk& d, const uint64_t* mask) { Duplicate<float, true>(d.out, 5.0f, mask, 2, 1, 8); },
     [](Desk& d, const uint64_t*) { Duplicate<float, false>(d.out, 5.0f, MASK_PLACEHOLDER, 2, 1, 8); }, [](float, float) { return 5.0f; }},
};

// The active elements have the result, the others what they had.
void ExpectLanes(const Desk& d, const Operation& operation, const std::function<bool(uint32_t)>& active) {
  for (uint32_t i = 0; i < kLength; ++i) {
    const float want = active(i) ? operation.want(static_cast<float>(i), kUntouched) : kUntouched;
    EXPECT_EQ(d.out.GetValue(i), want) << operation.name << " " << i;
  }
}

TEST(Mask, BitsOfEveryOperation) {
  const auto active = [](uint32_t i) { return i < 128 && (kBits >> (i % 64) & 1) != 0; };
  for (const Operation& operation : kOperations) {
    ExpectRuns([&](Desk& d) {
      const uint64_t constant[2] = {kBits, 0};
      operation.set(d, constant);
      ExpectLanes(d, operation, active);
      d.Reset();
      uint64_t changing[2] = {kBits, 0};
      operation.set(d, changing);
      ExpectLanes(d, operation, active);
    });
  }
}
TEST(Mask, RegisterOfEveryOperation) {
  for (const Operation& operation : kOperations) {
    ExpectRuns([&](Desk& d) {
      SetMaskNorm();
      SetVectorMask<float, MaskMode::NORMAL>(0, kBits);
      operation.reg(d, nullptr);
      ExpectLanes(d, operation, [](uint32_t i) { return i < 128 && (kBits >> (i % 64) & 1) != 0; });
    });
    ExpectRuns([&](Desk& d) {
      SetVectorMask<float>(5);  // the first lanes
      operation.reg(d, nullptr);
      ExpectLanes(d, operation, [](uint32_t i) { return i < 128 && i % 64 < 5; });
    });
    ExpectRuns([&](Desk& d) {  // all lanes until somebody says otherwise
      operation.reg(d, nullptr);
      ExpectLanes(d, operation, [](uint32_t i) { return i < 128; });
    });
    // In counter mode the number of elements decides, not the number of repeats.
    ExpectRuns([&](Desk& d) {
      SetMaskCount();
      SetVectorMask<float, MaskMode::COUNTER>(150);
      operation.reg(d, nullptr);
      SetMaskNorm();
      ResetMask();
      ExpectLanes(d, operation, [](uint32_t i) { return i < 150; });
    });
  }
}
TEST(Mask, CounterModeWithItsOwnMaskAndStrides) {
  ExpectRuns([](Desk& d) {
    SetMaskCount();
    Adds(d.out, d.a, 1.0f, uint64_t{70}, 1, {1, 1, 16, 8});  // the second repeat 128 elements on
    SetMaskNorm();
    for (uint32_t i = 0; i < kLength; ++i) {
      const bool first = i < 64, second = i >= 128 && i < 134;
      EXPECT_EQ(d.out.GetValue(i), first ? float(i) + 1 : second ? float(i) - 64 + 1 : kUntouched) << i;
    }
  });
}
TEST(Mask, AnOperationLeavesItsMask) {
  ExpectRuns([](Desk& d) {
    Adds(d.work, d.a, 0.0f, uint64_t{3}, 1, kUnary);
    Adds<float, false>(d.out, d.a, 1.0f, MASK_PLACEHOLDER, 1, kUnary);
    EXPECT_EQ(d.out.GetValue(2), 3.0f);
    EXPECT_EQ(d.out.GetValue(3), kUntouched);
    Adds(d.work, d.a, 0.0f, 3);  // by count: the register is reset
    Adds<float, false>(d.out, d.a, 1.0f, MASK_PLACEHOLDER, 1, kUnary);
    EXPECT_EQ(d.out.GetValue(63), 64.0f);
  });
}
TEST(Mask, NothingSelectedIsRefused) {
  for (const bool counter : {false, true}) {
    const LaunchResult result = RunBody([=](Desk& d) {
      if (counter) SetMaskCount();
      SetVectorMask<float>(0, 0);
      Adds<float, false>(d.out, d.a, 1.0f, MASK_PLACEHOLDER, 1, kUnary);
    });
    EXPECT_STREQ(NameOf(result.first.rule), "parameter");
  }
}

TEST(Mask, HalfHasBothWords) {
  ExpectRuns([](Desk& d) {
    LocalTensor<half> a = d.work.ReinterpretCast<half>(), out = d.out.ReinterpretCast<half>();
    Duplicate(a, half(3), 128);
    Duplicate(out, half(0), 128);
    const uint64_t mask[2] = {1, 2};
    Muls<half, true>(out, a, half(2), mask, 1, kUnary);
    for (uint32_t i = 0; i < 128; ++i) EXPECT_EQ(static_cast<float>(out.GetValue(i)), i == 0 || i == 65 ? 6.0f : 0.0f) << i;
    SetVectorMask<half>(0, 4);
    Muls<half, false>(out, a, half(1), MASK_PLACEHOLDER, 1, kUnary);
    EXPECT_EQ(static_cast<float>(out.GetValue(2)), 3.0f);
  });
}

TEST(Mask, Reductions) {
  ExpectRuns([](Desk& d) {
    const uint64_t mask[2] = {kBits, 0};
    ReduceSum<float, true>(d.out, d.a, d.work, mask, 2, 8);
    EXPECT_EQ(d.out.GetValue(0), 1.0f + 40 + 65 + 104);
    ReduceMax(d.out, d.a, d.work, mask, 2, 8);
    EXPECT_EQ(d.out.GetValue(0), 104.0f);
    ReduceMin(d.out, d.a, d.work, mask, 2, 8);
    EXPECT_EQ(d.out.GetValue(0), 1.0f);
    WholeReduceSum<float, true>(d.out, d.a, mask, 2, 1, 1, 8);
    EXPECT_EQ(d.out.GetValue(0), 41.0f);
    EXPECT_EQ(d.out.GetValue(1), 169.0f);
    SetVectorMask<float>(0, kBits);
    WholeReduceSum<float, false>(d.out, d.a[64], MASK_PLACEHOLDER, 2, 1, 1, 8);
    EXPECT_EQ(d.out.GetValue(1), 129.0f + 168);
    d.Reset();
    BlockReduceSum<float, true>(d.out, d.a, 1, mask, 1, 1, 8);
    EXPECT_EQ(d.out.GetValue(0), 1.0f);
    EXPECT_EQ(d.out.GetValue(1), kUntouched);  // no lane of this block
    EXPECT_EQ(d.out.GetValue(5), 40.0f);
    BlockReduceMax(d.out, d.a, 1, 64, 1, 1, 8);
    EXPECT_EQ(d.out.GetValue(7), 63.0f);
  });
}
TEST(Mask, WholeReduceWithIndex) {
  ExpectRuns([](Desk& d) {
    const auto index = [&](uint32_t i) { return d.out.ReinterpretCast<uint32_t>().GetValue(i); };
    const uint64_t mask[2] = {kBits, 0};
    WholeReduceMax(d.out, d.a, mask, 2, 1, 1, 8);
    EXPECT_EQ(d.out.GetValue(2), 104.0f);
    EXPECT_EQ(index(3), 40u);
    WholeReduceMin<float>(d.out, d.a, 64, 2, 1, 1, 8, ReduceOrder::ORDER_INDEX_VALUE);
    EXPECT_EQ(index(2), 0u);
    EXPECT_EQ(d.out.GetValue(3), 64.0f);
    WholeReduceMax(d.out, d.a, 64, 2, 1, 1, 8, ReduceOrder::ORDER_ONLY_VALUE);
    EXPECT_EQ(d.out.GetValue(1), 127.0f);
    WholeReduceMax(d.out, d.a, 64, 2, 1, 1, 8, ReduceOrder::ORDER_ONLY_INDEX);
    EXPECT_EQ(index(1), 63u);
  });
}

TEST(Mask, AxpyFromHalfIntoFloat) {
  ExpectRuns([](Desk& d) {
    LocalTensor<half> a = d.work.ReinterpretCast<half>();
    Duplicate(a, half(0.5), 128);
    Axpy(d.out, a, half(4), 100);
    EXPECT_EQ(d.out.GetValue(99), kUntouched + 2);
    EXPECT_EQ(d.out.GetValue(100), kUntouched);
  });
}
TEST(Mask, CastFromIntegersWithAScale) {
  ExpectRuns([](Desk& d) {
    LocalTensor<int32_t> a = d.a.ReinterpretCast<int32_t>();
    LocalTensor<half> out = d.out.ReinterpretCast<half>();
    Duplicate(a, 3000, 16);
    Cast(out, a, RoundMode::CAST_NONE, 16);
    EXPECT_EQ(static_cast<float>(out.GetValue(0)), 3000.0f);
    SetDeqScale(half(0.5));
    Cast(out, a, RoundMode::CAST_NONE, 16);
    EXPECT_EQ(static_cast<float>(out.GetValue(15)), 1500.0f);
  });
}

}  // namespace
