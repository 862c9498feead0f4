// SPDX-License-Identifier: Apache-2.0
// Vector operations, reductions, Cast and copies, against plain loops.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <vector>

#include "addnorm/ascendc/launch.h"
#include "kernel_operator.h"

namespace {

using namespace AscendC;  // as kernels do
using addnorm::ascendc::Here;
using addnorm::ascendc::LaunchResult;

// Runs `body` as a kernel on one core.
void RunKernel(const std::function<void()>& body) {
  auto entry = [](const std::function<void()>* f) { (*f)(); };
  const LaunchResult result = addnorm::ascendc::Launch({}, static_cast<void (*)(const std::function<void()>*)>(entry), &body);
  EXPECT_TRUE(result.ok()) << result.first.file << ":" << result.first.line << ": " << result.first.text;
}

template <typename T>
std::vector<T> Random(size_t count, double low, double high, unsigned seed) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<double> uniform(low, high);
  std::vector<T> values(count);
  for (T& value : values) value = static_cast<T>(uniform(engine));
  return values;
}
template <typename T>
void Fill(const LocalTensor<T>& tensor, const std::vector<T>& values) {
  for (uint32_t i = 0; i < values.size(); ++i) tensor.SetValue(i, values[i]);
}

constexpr uint32_t kLength = 512;

// Three buffers of kLength elements.
template <typename T>
struct Desk {
  TPipe pipe;
  TBuf<> buffers[3];
  LocalTensor<T> a, b, out;
  Desk() {
    for (auto& buffer : buffers) pipe.InitBuffer(buffer, kLength * sizeof(T));
    a = buffers[0].template Get<T>();
    b = buffers[1].template Get<T>();
    out = buffers[2].template Get<T>();
  }
};

// What one element must be: computed exactly enough in double, rounded once to T.
template <typename T>
bool Same(T got, double exact) {
  const T expected = std::is_integral_v<T> ? static_cast<T>(static_cast<int64_t>(exact)) : static_cast<T>(exact);
  // Bits, so that the sign of a zero counts.
  return std::memcmp(&got, &expected, sizeof(T)) == 0;  // NOLINT(bugprone-suspicious-memory-comparison)
}

using Exact2 = double (*)(double, double);
template <typename T>
struct Binary {
  const char* name;
  void (*count)(const LocalTensor<T>&, const LocalTensor<T>&, const LocalTensor<T>&, const int32_t&, Here);
  void (*mask)(const LocalTensor<T>&, const LocalTensor<T>&, const LocalTensor<T>&, uint64_t, const uint8_t, const BinaryRepeatParams&,
               Here);
  void (*bits)(const LocalTensor<T>&, const LocalTensor<T>&, const LocalTensor<T>&, const uint64_t[], const uint8_t,
               const BinaryRepeatParams&, Here);
  Exact2 exact;
};

template <typename T>
void CheckBinary(const Binary<T>& op) {
  SCOPED_TRACE(op.name);
  const std::vector<T> a = Random<T>(kLength, -100, 100, 1), b = Random<T>(kLength, 1, 90, 2);
  const auto exact = [&](uint32_t i) { return op.exact(static_cast<double>(a[i]), static_cast<double>(b[i])); };
  RunKernel([&] {
    Desk<T> desk;
    Fill(desk.a, a);
    Fill(desk.b, b);
    op.count(desk.out, desk.a, desk.b, 301, Here());
    for (uint32_t i = 0; i < 301; ++i) EXPECT_TRUE(Same(desk.out.GetValue(i), exact(i))) << i;
    // A mask of 5 lanes, blocks of src1 two apart, 2 repeats: lane i of repeat r.
    constexpr uint32_t kPerBlock = 32 / sizeof(T), kPerRepeat = 256 / sizeof(T);
    op.mask(desk.out, desk.a, desk.b, kPerBlock + 5, 2, {1, 1, 2, 8, 8, 4}, Here());
    for (uint32_t r = 0; r < 2; ++r) {
      for (uint32_t i = 0; i < kPerBlock + 5; ++i) {
        const uint32_t from = r * kPerRepeat + i, other = (r * 4 + i / kPerBlock * 2) * kPerBlock + i % kPerBlock;
        const double expected = op.exact(static_cast<double>(a[from]), static_cast<double>(b[other]));
        EXPECT_TRUE(Same(desk.out.GetValue(from), expected)) << r << " " << i;
      }
    }
    // Every third lane; the others keep what they had.
    Duplicate(desk.out, T(3), kLength);
    uint64_t mask[2] = {0x9249249249249249u, sizeof(T) == 2 ? 0x2492492492492492u : 0u};
    op.bits(desk.out, desk.a, desk.b, mask, 1, {1, 1, 1, 8, 8, 8}, Here());
    for (uint32_t i = 0; i < kPerRepeat; ++i) {
      const bool active = (mask[i / 64] >> i % 64 & 1) != 0;
      EXPECT_TRUE(Same(desk.out.GetValue(i), active ? exact(i) : 3.0)) << i;
    }
  });
}

template <typename T>
void CheckBinaries() {
#define OP(Name) #Name, &Name < T>, &Name < T>, &Name < T>
  CheckBinary<T>({OP(Add), [](double x, double y) { return x + y; }});
  CheckBinary<T>({OP(Sub), [](double x, double y) { return x - y; }});
  CheckBinary<T>({OP(Mul), [](double x, double y) { return x * y; }});
  CheckBinary<T>({OP(Max), [](double x, double y) { return std::max(x, y); }});
  CheckBinary<T>({OP(Min), [](double x, double y) { return std::min(x, y); }});
  if constexpr (!std::is_integral_v<T>) CheckBinary<T>({OP(Div), [](double x, double y) { return x / y; }});
#undef OP
}
TEST(Vector, TwoTensors) {
  CheckBinaries<float>();
  CheckBinaries<half>();
  CheckBinaries<int16_t>();
  CheckBinaries<int32_t>();
}

template <typename T>
void CheckUnary(void (*op)(const LocalTensor<T>&, const LocalTensor<T>&, const int32_t&, Here), double (*exact)(double), double low) {
  const std::vector<T> a = Random<T>(kLength, low, 9, 3);
  RunKernel([&] {
    Desk<T> desk;
    Fill(desk.a, a);
    op(desk.out, desk.a, 77, Here());
    op(desk.a, desk.a, 77, Here());  // in place
    for (uint32_t i = 0; i < 77; ++i) {
      const double expected = exact(static_cast<double>(a[i]));
      // Correctly rounded through float: half may differ where float rounds to a tie of half, which Add and the like cannot.
      const T once = static_cast<T>(static_cast<float>(expected));
      EXPECT_EQ(static_cast<float>(desk.out.GetValue(i)), static_cast<float>(once)) << i;
      EXPECT_EQ(static_cast<float>(desk.a.GetValue(i)), static_cast<float>(once)) << i;
    }
  });
}
template <typename T>
void CheckUnaries() {
  CheckUnary<T>(
      &Sqrt<T>, [](double x) { return std::sqrt(x); }, 0);
  CheckUnary<T>(
      &Rsqrt<T>, [](double x) { return 1 / std::sqrt(x); }, 0.01);
  CheckUnary<T>(
      &Exp<T>, [](double x) { return std::exp(x); }, -9);
  CheckUnary<T>(
      &Ln<T>, [](double x) { return std::log(x); }, 0.01);
  CheckUnary<T>(
      &Abs<T>, [](double x) { return std::abs(x); }, -9);
  CheckUnary<T>(
      &Relu<T>, [](double x) { return std::max(x, 0.0); }, -9);
  CheckUnary<T>(
      &Reciprocal<T>, [](double x) { return 1 / x; }, 0.01);
}
TEST(Vector, OneTensor) {
  CheckUnaries<float>();
  CheckUnaries<half>();
}

template <typename T>
void CheckScalars() {
  const std::vector<T> a = Random<T>(kLength, -50, 50, 4);
  RunKernel([&] {
    Desk<T> desk;
    Fill(desk.a, a);
    const double s = 3;
    const auto expect = [&](const char* name, const std::function<double(double)>& exact) {
      for (uint32_t i = 0; i < 100; ++i) EXPECT_TRUE(Same(desk.out.GetValue(i), exact(static_cast<double>(a[i])))) << name << i;
    };
    Adds(desk.out, desk.a, 3, 100);
    expect("Adds", [=](double x) { return x + s; });
    Muls(desk.out, desk.a, 3, 100);
    expect("Muls", [=](double x) { return x * s; });
    Maxs(desk.out, desk.a, 3, 100);
    expect("Maxs", [=](double x) { return std::max(x, s); });
    Mins(desk.out, desk.a, 3, 100);
    expect("Mins", [=](double x) { return std::min(x, s); });
    Duplicate(desk.out, T(3), 100);
    expect("Duplicate", [=](double) { return s; });
  });
}
TEST(Vector, TensorAndScalar) {
  CheckScalars<float>();
  CheckScalars<half>();
  CheckScalars<int16_t>();
  CheckScalars<int32_t>();
}
TEST(Vector, AxpyAddsToDst) {
  RunKernel([] {
    Desk<float> desk;
    Duplicate(desk.a, 2.0f, 16);
    Duplicate(desk.out, 1.0f, 16);
    Axpy(desk.out, desk.a, 0.5f, 16);
    EXPECT_EQ(desk.out.GetValue(15), 2.0f);
  });
}
TEST(Vector, IntegersWrap) {
  RunKernel([] {
    Desk<int16_t> desk;
    Duplicate(desk.a, int16_t{32767}, 16);
    Adds(desk.out, desk.a, 1, 16);
    EXPECT_EQ(desk.out.GetValue(3), -32768);
  });
}

TEST(Reduce, SumMaxMin) {
  const std::vector<float> a = Random<float>(kLength, -10, 10, 5);
  RunKernel([&] {
    Desk<float> desk;
    Fill(desk.a, a);
    double sum = 0;
    for (int i = 0; i < 333; ++i) sum += double{a[static_cast<size_t>(i)]};
    ReduceSum(desk.out, desk.a, desk.b, 333);
    EXPECT_EQ(desk.out.GetValue(0), static_cast<float>(sum));
    const auto most = std::max_element(a.begin(), a.begin() + 333), least = std::min_element(a.begin(), a.begin() + 333);
    ReduceMax(desk.out, desk.a, desk.b, 333, true);
    EXPECT_EQ(desk.out.GetValue(0), *most);
    EXPECT_EQ(desk.out.ReinterpretCast<uint32_t>().GetValue(1), most - a.begin());
    ReduceMin(desk.out, desk.a, desk.b, 333);
    EXPECT_EQ(desk.out.GetValue(0), *least);
    // 40 lanes of each of 3 repeats.
    ReduceSum(desk.out, desk.a, desk.b, 40, 3, 8);
    double masked = 0;
    for (size_t i = 0; i < 192; ++i) masked += i % 64 < 40 ? double{a[i]} : 0;
    EXPECT_EQ(desk.out.GetValue(0), static_cast<float>(masked));
  });
}
TEST(Reduce, PerRepeatAndPerBlock) {
  const std::vector<half> a = Random<half>(kLength, -10, 10, 6);
  RunKernel([&] {
    Desk<half> desk;
    Fill(desk.a, a);
    const auto sum = [&](size_t begin, size_t count) {
      double total = 0;
      for (size_t i = begin; i < begin + count; ++i) total += static_cast<double>(a[i]);
      return static_cast<float>(half(total));
    };
    WholeReduceSum(desk.out, desk.a, 100, 4, 2, 1, 8);
    for (uint32_t r = 0; r < 4; ++r) EXPECT_EQ(static_cast<float>(desk.out.GetValue(r * 2)), sum(size_t{r} * 128, 100)) << r;
    BlockReduceSum(desk.out, desk.a, 4, 128, 1, 1, 8);
    for (uint32_t block = 0; block < 32; ++block)
      EXPECT_EQ(static_cast<float>(desk.out.GetValue(block)), sum(size_t{block} * 16, 16)) << block;
    BlockReduceMax(desk.out, desk.a, 1, 128, 1, 1, 8);
    EXPECT_EQ(static_cast<float>(desk.out.GetValue(1)), static_cast<float>(*std::max_element(a.begin() + 16, a.begin() + 32)));
  });
}
TEST(Reduce, NanStays) {
  RunKernel([] {
    Desk<float> desk;
    Duplicate(desk.a, 1.0f, 16);
    desk.a.SetValue(3, NAN);
    ReduceMax(desk.out, desk.a, desk.b, 16);
    EXPECT_TRUE(std::isnan(desk.out.GetValue(0)));
    Maxs(desk.out, desk.a, 0.0f, 16);
    EXPECT_TRUE(std::isnan(desk.out.GetValue(3)));
  });
}
TEST(Brcb, OneElementPerBlock) {
  RunKernel([] {
    Desk<float> desk;
    for (uint32_t i = 0; i < 16; ++i) desk.a.SetValue(i, static_cast<float>(i));
    Brcb(desk.out, desk.a, 2, {1, 8});
    for (uint32_t i = 0; i < 128; ++i) EXPECT_EQ(static_cast<uint32_t>(desk.out.GetValue(i)), i / 8);
    Brcb(desk.out, desk.a, 1, {2, 16});
    EXPECT_EQ(desk.out.GetValue(3 * 16 + 7), 3.0f);
  });
}

}  // namespace
