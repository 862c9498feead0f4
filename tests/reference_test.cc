// SPDX-License-Identifier: Apache-2.0
// The tests' own tools, tested without the core: formats, Philox, the reference (its gradients by central differences), the comparator.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "tests/compare.h"
#include "tests/numbers.h"
#include "tests/philox.h"
#include "tests/problems.h"
#include "tests/reference.h"

namespace addnorm::test {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

TEST(Numbers, EverySixteenBitPatternSurvivesARoundTrip) {
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    for (uint32_t bits = 0; bits < 65536; ++bits) {
      const uint16_t in = static_cast<uint16_t>(bits);
      uint16_t out = 0;
      const long double value = Load(dtype, &in, 0);
      Store(dtype, &out, 0, value);
      if (std::isnan(value)) {
        EXPECT_TRUE(std::isnan(Load(dtype, &out, 0)));
      } else {
        ASSERT_EQ(in, out) << NameOf(dtype);
      }
    }
  }
}

TEST(Numbers, RoundingIsToNearestEven) {
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    for (uint32_t bits = 0; bits + 1 < (dtype == DType::kF16 ? 0x7C00u : 0x7F80u); ++bits) {
      const uint16_t low_bits = static_cast<uint16_t>(bits), high_bits = static_cast<uint16_t>(bits + 1);
      const long double low = Load(dtype, &low_bits, 0);
      const bool top = bits + 1 == (dtype == DType::kF16 ? 0x7C00u : 0x7F80u);
      const long double high = top ? low + Ulp(dtype, low) : Load(dtype, &high_bits, 0), middle = (low + high) / 2;
      ASSERT_EQ(Round(dtype, middle), bits % 2 ? high : low);
      ASSERT_EQ(Round(dtype, std::nextafter(middle, low)), low);
      ASSERT_EQ(Round(dtype, std::nextafter(middle, high)), high);
      ASSERT_EQ(Round(dtype, -middle), bits % 2 ? -high : -low);
    }
  }
  EXPECT_EQ(Round(DType::kF16, 65519.0L), 65504.0L);
  EXPECT_EQ(Round(DType::kF16, 65520.0L), static_cast<long double>(kInf));
}

TEST(Numbers, FormatsAreThoseOfTheLanguage) {
  EXPECT_EQ(Largest(DType::kF32), static_cast<long double>(std::numeric_limits<float>::max()));
  EXPECT_EQ(Smallest(DType::kF32), static_cast<long double>(std::numeric_limits<float>::denorm_min()));
  EXPECT_EQ(Largest(DType::kF64), static_cast<long double>(std::numeric_limits<double>::max()));
  EXPECT_EQ(Smallest(DType::kF64), static_cast<long double>(std::numeric_limits<double>::denorm_min()));
  EXPECT_EQ(Ulp(DType::kF32, 1.0L), static_cast<long double>(std::numeric_limits<float>::epsilon()));
  EXPECT_EQ(Largest(DType::kF16), 65504.0L);
}

// Random123 1.09, tests/kat_vectors, philox4x32 10.
TEST(Philox, KnownAnswers) {
  using Words = std::array<uint32_t, 4>;
  EXPECT_EQ(Philox4x32({0, 0, 0, 0}, {0, 0}), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}), (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

// ---- The reference's backward is the derivative of its forward. ------------------------------------------------------

// L = sum y g + sum h e + sum 0 xhat, as the reference's forward sees the problem.
long double Loss(const Problem& problem) {
  const ForwardExpected out = Reference(problem.forward);
  long double loss = 0;
  const TensorView dy = problem.dy.view(), dsum = problem.dsum.view();
  for (size_t i = 0; i < out.y.value.size(); ++i) {
    loss += out.y.value[i] * Load(dy.dtype, dy.data, static_cast<ptrdiff_t>(i));
    if (dsum) loss += out.prenorm.value[i] * Load(dsum.dtype, dsum.data, static_cast<ptrdiff_t>(i));
  }
  return loss;
}

void CheckGradient(Problem* problem, const Operand& operand, const Expected& gradient, const char* name) {
  if (!operand || gradient.rule == nullptr) return;
  const TensorView view = operand.view();
  auto* data = static_cast<double*>(view.data);
  for (size_t i = 0; i < gradient.value.size(); ++i) {
    const double saved = data[i], step = 0x1p-20;
    data[i] = saved + step;
    const long double up = Loss(*problem), up_at = static_cast<long double>(data[i]);
    data[i] = saved - step;
    const long double down = Loss(*problem), numeric = (up - down) / (up_at - static_cast<long double>(data[i]));
    data[i] = saved;
    ASSERT_NEAR(static_cast<double>(numeric), static_cast<double>(gradient.value[i]), 2e-8 * (1 + gradient.scale[i]))
        << name << "[" << i << "] " << Describe(problem->options);
  }
}

TEST(Reference, GradientsAreCentralDifferences) {
  for (uint64_t seed = 0; seed < 400; ++seed) {
    Options options = RandomOptions(seed);
    options.rows = 1 + seed % 4, options.cols = 1 + seed % 9;
    options.wide = true, options.data = Data::kNormal, options.layout = Layout::kContiguous, options.from_rounded = false;
    options.eps = 1e-2, options.weights = seed % 5 ? Weights::kNormal : Weights::kAbsent,
    options.p = seed % 3 == 0   ? 0
                : seed % 3 == 1 ? .37
                                : 1,
    options.saved = Saved::kDerived;
    options.has_y = options.has_prenorm = options.form_again = true, options.gradients = kAllGradients;
    Settle(&options);
    const auto problem = MakeProblem(options);
    if (problem->prebias && problem->prebias.view().shape.size() != problem->x0.view().shape.size()) continue;
    for (Operand* gradient : {&problem->dy, &problem->dsum, &problem->residual}) {  // no bad rows, no extreme sizes
      if (!*gradient) continue;
      Random random(seed);
      for (size_t i = 0; i < options.rows * options.cols; ++i) static_cast<double*>(gradient->view().data)[i] = random.Normal();
    }
    const BackwardExpected gradients = Reference(problem->backward);
    CheckGradient(problem.get(), problem->x0, gradients.dx0, "dx0");
    CheckGradient(problem.get(), problem->residual, gradients.dresidual, "dresidual");
    CheckGradient(problem.get(), problem->rowscale, gradients.drowscale, "drowscale");
    CheckGradient(problem.get(), problem->layerscale, gradients.dlayerscale, "dlayerscale");
    CheckGradient(problem.get(), problem->weight, gradients.dweight, "dweight");
    CheckGradient(problem.get(), problem->bias, gradients.dbias, "dbias");
    if (HasFatalFailure()) return;
  }
}

// Spec 002's and Ascend C's literal formulas, written out once more from their documents, on given statistics.
TEST(Reference, GivenStatisticsFollowTheirDocuments) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    Options options = RandomOptions(seed);
    options.rows = 3, options.cols = 1 + seed % 11, options.wide = true, options.rms = false, options.data = Data::kNormal, options.p = 0;
    options.layout = Layout::kContiguous, options.has_rowscale = options.has_layerscale = false, options.form_again = true;
    options.saved = seed % 2 ? Saved::kGiven : Saved::kVariance, options.gradients = kDresidual, options.from_rounded = false;
    Settle(&options);
    const auto problem = MakeProblem(options);
    const BackwardExpected out = Reference(problem->backward);
    const size_t cols = options.cols;
    const auto at = [](const Operand& operand, size_t i, double absent) {
      return operand ? static_cast<const double*>(operand.view().data)[i] : absent;
    };
    if (problem->prebias && problem->prebias.view().shape.size() != problem->x0.view().shape.size()) continue;
    for (size_t r = 0; r < 3; ++r) {
      const long double mean = at(problem->given_mean, r, 0), given = at(problem->given_rstd, r, 0), eps = options.eps;
      const long double q = options.saved == Saved::kGiven ? given : 1 / std::sqrt(given + eps);
      long double pd_var = 0, pd_mean = 0, shift = 0;
      const auto h = [&](size_t j) {
        return static_cast<long double>(at(problem->x0, r * cols + j, 0) + at(problem->residual, r * cols + j, 0) +
                                        at(problem->prebias, r * cols + j, 0));
      };
      const auto dxl = [&](size_t j) {
        return static_cast<long double>(at(problem->dy, r * cols + j, 0)) * static_cast<long double>(at(problem->weight, j, 1));
      };
      for (size_t j = 0; j < cols; ++j) {
        pd_var += -0.5L * dxl(j) * (h(j) - mean) * q * q * q;
        pd_mean += -dxl(j) * q;
        shift += -2 * (h(j) - mean) / static_cast<long double>(cols);
      }
      if (options.saved == Saved::kVariance) pd_mean += pd_var * shift;
      for (size_t j = 0; j < cols; ++j) {
        const long double n = static_cast<long double>(cols), e = at(problem->dsum, r * cols + j, 0);
        const long double dx = dxl(j) * q + pd_var * 2 / n * (h(j) - mean) + pd_mean / n + e;
        const Expected& got = out.dresidual;
        if (std::isnan(dx)) continue;  // a bad row of dy
        ASSERT_NEAR(static_cast<double>(dx), static_cast<double>(got.value[r * cols + j]), 1e-12 * (1 + got.scale[r * cols + j]))
            << Describe(options);
      }
    }
  }
}

// ---- The comparator catches what it should. --------------------------------------------------------------------------

struct Vector {
  explicit Vector(std::vector<float> values) : data(std::move(values)), shape{static_cast<int64_t>(data.size())} {}
  TensorView view() { return {data.data(), DType::kF32, shape, {}}; }
  std::vector<float> data;
  std::vector<int64_t> shape;
};

Expected Want32(const std::vector<float>& values, const Rule& rule, double scale) {
  Expected want;
  want.rule = &rule;
  want.unit = 0x1p-24;
  for (const float value : values) want.value.push_back(static_cast<long double>(value));
  want.scale.assign(values.size(), scale);
  want.floor.assign(values.size(), 0);
  return want;
}

Verdict Judge(float got, float want) {
  Comparator comparator;
  Vector vector({1, got, 2});
  return comparator.Check(vector.view(), Want32({1, want, 2}, kYRule, 1), "self test");
}

TEST(Comparator, NanAndInfinity) {
  const float inf = static_cast<float>(kInf), nan = static_cast<float>(kNan);
  EXPECT_TRUE(Judge(nan, nan).ok);
  EXPECT_TRUE(Judge(-nan, nan).ok);
  EXPECT_FALSE(Judge(nan, 0).ok);
  EXPECT_FALSE(Judge(0, nan).ok);
  EXPECT_FALSE(Judge(nan, inf).ok);
  EXPECT_TRUE(Judge(inf, inf).ok);
  EXPECT_FALSE(Judge(-inf, inf).ok);
  EXPECT_FALSE(Judge(inf, 1).ok);
  EXPECT_FALSE(Judge(3.4e38f, inf).ok);
}

TEST(Comparator, OverflowIsAllowedOnlyWithinTheBound) {
  Comparator comparator;
  Vector inf({static_cast<float>(kInf)});
  Expected want = Want32({std::numeric_limits<float>::max()}, kYRule, 3.4e38);
  EXPECT_TRUE(comparator.Check(inf.view(), want, "").ok);
  want.value[0] = -want.value[0];
  EXPECT_FALSE(comparator.Check(inf.view(), want, "").ok);
  want.value[0] = 3.3e38L;
  EXPECT_FALSE(comparator.Check(inf.view(), want, "").ok);
}

TEST(Comparator, OneWrongElementInAMillion) {
  std::vector<float> values(1000000, 1.5f);
  Vector got(values);
  const Expected want = Want32(values, kYRule, 1);
  Comparator comparator;
  EXPECT_TRUE(comparator.Check(got.view(), want, "").ok);
  got.data[765432] = 1.50001f;
  const Verdict verdict = comparator.Check(got.view(), want, "the command");
  EXPECT_FALSE(verdict.ok);
  EXPECT_EQ(verdict.failures, 1u);
  EXPECT_NE(verdict.message.find("765432"), std::string::npos) << verdict.message;
  EXPECT_NE(verdict.message.find("the command"), std::string::npos);
}

TEST(Comparator, TheBoundIsSharp) {
  for (const Rule* rule : {&kYRule, &kMeanRule, &kRstdRule, &kDxRule, &kColumnRule}) {
    const double scale = 4096, bound = (rule->half_ulp ? 0x1p-24 : 0) + rule->units * 0x1p-24 * scale;  // 1/2 ulp of 1 is 2^-24
    Comparator comparator;
    Vector got({static_cast<float>(1 + bound)});
    Expected want = Want32({1.0f}, *rule, scale);
    want.value[0] = static_cast<long double>(got.data[0]) - static_cast<long double>(bound) * 0.999L;
    EXPECT_TRUE(comparator.Check(got.view(), want, "").ok) << rule->name;
    want.value[0] = static_cast<long double>(got.data[0]) - static_cast<long double>(bound) * 1.001L;
    EXPECT_FALSE(comparator.Check(got.view(), want, "").ok) << rule->name;
  }
}

TEST(Comparator, StoredBitsHaveNoSlack) {
  Comparator comparator;
  Vector got({1.0f, std::nextafter(2.0f, 3.0f)});
  EXPECT_FALSE(comparator.Check(got.view(), Want32({1, 2}, kStoredRule, 1), "").ok);
  got.data[1] = 2;
  EXPECT_TRUE(comparator.Check(got.view(), Want32({1, 2}, kStoredRule, 1), "").ok);
}

TEST(Comparator, AnotherSizeIsAFailure) {
  Comparator comparator;
  Vector got({1, 2, 3});
  EXPECT_FALSE(comparator.Check(got.view(), Want32({1, 2}, kYRule, 1), "").ok);
  EXPECT_FALSE(comparator.Check(got.view(), Expected{}, "").ok);
}

TEST(Comparator, UnjudgedElementsAreCounted) {
  Comparator comparator;
  Vector got({1, 2, 3});
  EXPECT_TRUE(comparator.Check(got.view(), Want32({9, 9, 9}, kYRule, kInf), "").ok);
  EXPECT_EQ(comparator.tallies().begin()->second.unjudged, 3u);
  EXPECT_EQ(comparator.tallies().begin()->second.elements, 0u);
}

TEST(Comparator, MaskAndBits) {
  std::vector<uint8_t> mask = {1, 0, 1};
  const std::vector<int64_t> shape = {3};
  Comparator comparator;
  EXPECT_TRUE(comparator.CheckMask({mask.data(), DType::kBool, shape, {}}, {1, 0, 1}, "").ok);
  EXPECT_FALSE(comparator.CheckMask({mask.data(), DType::kBool, shape, {}}, {1, 1, 1}, "").ok);
  mask[0] = 2;  // true is 1, as in numpy and torch
  EXPECT_FALSE(comparator.CheckMask({mask.data(), DType::kBool, shape, {}}, {1, 0, 1}, "").ok);
  Vector a({0.0f, 1, static_cast<float>(kNan)}), b({0.0f, 1, -static_cast<float>(kNan)});
  size_t where = 9;
  EXPECT_TRUE(SameBits(a.view(), b.view(), &where));
  b.data[0] = -0.0f;
  EXPECT_FALSE(SameBits(a.view(), b.view(), &where));
  EXPECT_EQ(where, 0u);
}

}  // namespace
}  // namespace addnorm::test
