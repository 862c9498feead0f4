// SPDX-License-Identifier: Apache-2.0
// LayerNormGrad, LayerNormGradBeta and LayerNorm inside kernels, against the document's formula.
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "addnorm/addnorm.h"
#include "addnorm/ascendc/launch.h"
#include "doors/ascendc/tests/tile_kernel.h"
#include "doors/ascendc/tests/tile_reference.h"
#include "tiling/tiling_api.h"

namespace tile_test {
namespace {

using addnorm::ascendc::InGm;
using addnorm::ascendc::Launch;
using addnorm::ascendc::LaunchOptions;
using addnorm::ascendc::LaunchResult;
using addnorm::ascendc::ObjectInGm;

// The tiling of one block's part.
template <typename T>
TileTiling MakeTiling(const Sizes& sizes, bool reuse, bool shared, uint32_t b) {
  const ge::Shape shape({b, sizes.s, sizes.h, sizes.original_h});
  TileTiling tiling{};
  uint32_t most = 0, least = 0;
  AscendC::GetLayerNormGradMaxMinTmpSize(shape, sizeof(T), reuse, most, least);
  // Whole groups of rows, so that the vendor's rounding up does not exceed the buffer.
  const uint32_t group = (sizeof(T) == 2 ? 16u : 8u) * sizes.h * (sizeof(T) == 2 ? 9 : reuse ? 4 : 6) * 4;
  const uint32_t stack = std::max(least / group, 1u) * group;
  AscendC::GetLayerNormGradNDTilingInfo(shape, stack, sizeof(T), reuse, tiling.grad);
  AscendC::GetLayerNormGradBetaMaxMinTmpSize(shape, sizeof(T), reuse, most, least);
  AscendC::GetLayerNormGradBetaNDTilingInfo(shape, std::max(least, sizes.h * 16), sizeof(T), reuse, tiling.beta);
  AscendC::GetLayerNormMaxMinTmpSize(shape, sizeof(T), reuse, most, least);
  AscendC::GetLayerNormNDTilingInfo(shape, least, sizeof(T), reuse, tiling.norm);
  tiling.tmp_bytes = shared ? std::max({stack, tiling.beta.stackBufferSize * 4, tiling.norm.tmpBufSize * 4}) : 0;
  tiling.epsilon = 1e-5f;
  return tiling;
}

struct Case {
  Sizes sizes;
  Recipe recipe;
  Place dx = Place::kOwn, xhat = Place::kOwn;
  bool shared = false;
  uint32_t blocks = 1, threads = 1;
};

template <typename T>
struct Outputs {
  std::vector<T> dx, xhat;
};

template <typename T, bool kReuse>
Outputs<T> RunGrad(const Case& test, Data<T>* data) {
  TileTiling tiling = MakeTiling<T>(test.sizes, kReuse, test.shared, test.sizes.b / test.blocks);
  tiling.dx = test.dx;
  tiling.xhat = test.xhat;
  Outputs<T> out{std::vector<T>(test.sizes.count(), T(99)), std::vector<T>(test.sizes.count(), T(99))};
  LaunchOptions options;
  options.blocks = test.blocks;
  options.threads = test.threads;
  const LaunchResult result = Launch(options, GradKernel<T, kReuse>, InGm(data->x), InGm(data->dy), InGm(data->variance), InGm(data->mean),
                                     InGm(data->gamma), InGm(out.dx), InGm(out.xhat), ObjectInGm(tiling));
  EXPECT_TRUE(result.ok()) << result.first.file << ":" << result.first.line << ": " << result.first.text;
  return out;
}

template <typename T, bool kReuse>
void ExpectRight(const Case& test) {
  Data<T> data = MakeData<T>(test.sizes, test.recipe);
  // A half kernel gets its epsilon as half.
  data.epsilon = static_cast<float>(static_cast<T>(1e-5f));
  const Gradients expected = Reference(test.sizes, data);
  const Outputs<T> got = RunGrad<T, kReuse>(test, &data);
  EXPECT_LE(WorstError(got.dx, expected.dx), 1.0);
  EXPECT_LE(WorstError(got.xhat, expected.xhat), 1.0);
}

const std::vector<Sizes> kSizes = {{2, 32, 16, 16}, {2, 16, 32, 32}, {1, 16, 64, 57}, {1, 16, 16, 1}, {3, 16, 48, 47}, {1, 16, 128, 128}};

template <typename T, bool kReuse>
void EverySizeAndStatistic() {
  unsigned seed = 0;
  for (const Sizes& sizes : kSizes) {
    for (double shift : {0.0, 0.3, 30.0}) {
      for (double factor : {1.0, 0.2, 7.0}) {
        for (float pad : {0.0f, 11.0f, std::numeric_limits<float>::quiet_NaN()}) {
          SCOPED_TRACE(testing::Message() << sizes.b << "x" << sizes.s << "x" << sizes.h << "/" << sizes.original_h << " shift " << shift
                                          << " factor " << factor << " pad " << pad);
          ExpectRight<T, kReuse>({sizes, {shift, factor, pad, ++seed}, Place::kOwn, Place::kOwn, seed % 2 == 0});
        }
      }
    }
  }
}

TEST(LayerNormGrad, FloatWithAnyStatisticsAndPads) { EverySizeAndStatistic<float, false>(); }
TEST(LayerNormGrad, FloatReuseSource) { EverySizeAndStatistic<float, true>(); }
TEST(LayerNormGrad, HalfWithAnyStatisticsAndPads) { EverySizeAndStatistic<half, false>(); }
TEST(LayerNormGrad, HalfReuseSourceMeansNothing) { EverySizeAndStatistic<half, true>(); }

template <typename T, bool kReuse>
void EveryAliasing() {
  for (bool shared : {false, true}) {
    for (Place dx : {Place::kOwn, Place::kX, Place::kDy}) {
      for (Place xhat : {Place::kOwn, Place::kX, Place::kDy}) {
        if (dx == xhat && dx != Place::kOwn) continue;
        SCOPED_TRACE(testing::Message() << "dx " << int(dx) << " xhat " << int(xhat) << " shared " << shared);
        ExpectRight<T, kReuse>({{2, 16, 48, 41}, {0.1, 1.5, 3.0f, 77}, dx, xhat, shared});
      }
    }
  }
}
TEST(LayerNormGrad, OutputsMayBeInputs) {
  EveryAliasing<float, false>();
  EveryAliasing<float, true>();
  EveryAliasing<half, false>();
  EveryAliasing<half, true>();
}

TEST(LayerNormGrad, PadsOfTheOutputsAreZero) {
  Case test{{1, 16, 64, 57}, {0.1, 1.0, 5.0f, 3}};
  Data<float> data = MakeData<float>(test.sizes, test.recipe);
  const Outputs<float> got = RunGrad<float, false>(test, &data);
  for (size_t i = 0; i < got.dx.size(); ++i) {
    if (i % 64 < 57) continue;
    EXPECT_EQ(got.dx[i], 0.0f);
    EXPECT_EQ(got.xhat[i], 0.0f);
  }
}

// One task for each block, on threads and one after another: the same bits, and those of one block alone.
TEST(LayerNormGrad, EightBlocksOnThreads) {
  const Sizes sizes{8, 32, 32, 32};
  Case test{sizes, {0.2, 1.0, 0, 5}, Place::kOwn, Place::kOwn, true, 8, 1};
  Data<float> data = MakeData<float>(sizes, test.recipe);
  const Gradients expected = Reference(sizes, data);
  const Outputs<float> alone = RunGrad<float, false>(test, &data);
  EXPECT_LE(WorstError(alone.dx, expected.dx), 1.0);
  for (uint32_t threads : {2u, 8u}) {
    test.threads = threads;
    const Outputs<float> got = RunGrad<float, false>(test, &data);
    EXPECT_EQ(0, std::memcmp(got.dx.data(), alone.dx.data(), got.dx.size() * sizeof(float)));
    EXPECT_EQ(0, std::memcmp(got.xhat.data(), alone.xhat.data(), got.xhat.size() * sizeof(float)));
  }
}

TEST(LayerNormGrad, WrongFormulaIsSeen) {
  // The comparator has teeth: without the mean correction, or with one wrong element, the result is outside the bounds.
  const Sizes sizes;
  Data<float> data = MakeData<float>(sizes, {0.3, 1.0, 0, 9});
  const Gradients expected = Reference(sizes, data);
  Outputs<float> got = RunGrad<float, false>({sizes, {}}, &data);
  ASSERT_LE(WorstError(got.dx, expected.dx), 1.0);
  got.dx[100] += static_cast<float>(2.5L * (expected.dx.bound[100] + HalfUlp<float>(expected.dx.value[100])));
  EXPECT_GT(WorstError(got.dx, expected.dx), 1.0);
  Data<float> exact = data;
  for (size_t r = 0; r < sizes.rows(); ++r) {
    double mean = 0;
    for (size_t j = 0; j < sizes.h; ++j) mean += double{data.x[r * sizes.h + j]} / sizes.h;
    exact.mean[r] = static_cast<float>(mean);
  }
  EXPECT_GT(WorstError(RunGrad<float, false>({sizes, {}}, &exact).dx, expected.dx), 1.0);
}

// dgamma and dbeta: float in the contract's bounds of the sums of the true terms, and those of the core's own backward.
template <typename T>
void ExpectBetaRight(const Sizes& sizes, bool shared) {
  Data<T> data = MakeData<T>(sizes, {0.1, 1.2, 4.0f, 21});
  data.epsilon = static_cast<float>(static_cast<T>(1e-5f));
  TileTiling tiling = MakeTiling<T>(sizes, false, shared, sizes.b);
  std::vector<T> xhat(sizes.count()), dgamma(sizes.h, T(99)), dbeta(sizes.h, T(99));
  const LaunchResult result = Launch({}, BetaKernel<T>, InGm(data.x), InGm(data.dy), InGm(data.variance), InGm(data.mean), InGm(data.gamma),
                                     InGm(xhat), InGm(dgamma), InGm(dbeta), ObjectInGm(tiling));
  ASSERT_TRUE(result.ok()) << result.first.line << result.first.text;

  // The core's backward of the same problem. It knows xhat unrounded.
  const int64_t shape[] = {static_cast<int64_t>(sizes.rows()), sizes.original_h}, strides[] = {sizes.h, 1};
  const addnorm::DType type = sizeof(T) == 2 ? addnorm::DType::kF16 : addnorm::DType::kF32;
  std::vector<float> core_gamma(sizes.original_h), core_beta(sizes.original_h);
  addnorm::BackwardProblem problem;
  problem.norm.eps = data.epsilon;
  problem.statistics = addnorm::BackwardProblem::Statistics::kVariance;
  problem.dy = {data.dy.data(), type, shape, strides};
  problem.prenorm = {data.x.data(), type, shape, strides};
  problem.mean = {data.mean.data(), type, std::span(shape).first(1), {}};
  problem.rstd = {data.variance.data(), type, std::span(shape).first(1), {}};
  problem.dweight = {core_gamma.data(), addnorm::DType::kF32, std::span(shape).last(1), {}};
  problem.dbias = {core_beta.data(), addnorm::DType::kF32, std::span(shape).last(1), {}};
  const addnorm::Status status = addnorm::Backward(problem);
  ASSERT_TRUE(status.ok()) << status.message();

  const Gradients reference = Reference(sizes, data);
  for (size_t j = 0; j < sizes.h; ++j) {
    long double gamma = 0, beta = 0, gamma_bound = 0, beta_bound = 0;
    for (size_t r = 0; r < sizes.rows() && j < sizes.original_h; ++r) {
      const size_t i = r * sizes.h + j;
      const long double dy = static_cast<float>(data.dy[i]);
      const long double term = dy * reference.xhat.value[i];
      gamma += term;
      beta += dy;
      gamma_bound += 16 * kUnit * std::abs(term);
      // In half, each term takes resForGamma as it was rounded.
      if (sizeof(T) == 2) gamma_bound += std::abs(dy) * HalfUlp<T>(reference.xhat.value[i]);
      beta_bound += 16 * kUnit * std::abs(dy);
    }
    EXPECT_LE(std::abs(static_cast<float>(dgamma[j]) - gamma), gamma_bound + HalfUlp<T>(gamma)) << j;
    EXPECT_LE(std::abs(static_cast<float>(dbeta[j]) - beta), beta_bound + HalfUlp<T>(beta)) << j;
    if (j >= sizes.original_h) continue;
    EXPECT_LE(std::abs(static_cast<float>(dgamma[j]) - core_gamma[j]), gamma_bound + HalfUlp<T>(gamma)) << j;
    EXPECT_LE(std::abs(static_cast<float>(dbeta[j]) - core_beta[j]), beta_bound + HalfUlp<T>(beta)) << j;
  }
}

TEST(LayerNormGradBeta, EqualsTheCore) {
  for (bool shared : {false, true}) {
    for (const Sizes& sizes : kSizes) {
      SCOPED_TRACE(testing::Message() << sizes.b << "x" << sizes.s << "x" << sizes.h << "/" << sizes.original_h << " shared " << shared);
      ExpectBetaRight<float>(sizes, shared);
      ExpectBetaRight<half>(sizes, shared);
    }
  }
}

template <typename T>
void ExpectNormRight(const Sizes& sizes, bool shared) {
  Data<T> data = MakeData<T>(sizes, {0, 1, 6.0f, 31});
  const auto epsilon = static_cast<long double>(static_cast<float>(static_cast<T>(1e-5f)));
  TileTiling tiling = MakeTiling<T>(sizes, false, shared, sizes.b);
  std::vector<T> y(sizes.count()), mean(sizes.rows()), variance(sizes.rows());
  const LaunchResult result =
      Launch({}, NormKernel<T>, InGm(data.x), InGm(data.gamma), InGm(data.beta), InGm(y), InGm(mean), InGm(variance), ObjectInGm(tiling));
  ASSERT_TRUE(result.ok()) << result.first.line << result.first.text;
  for (size_t r = 0; r < sizes.rows(); ++r) {
    long double exact_mean = 0, exact_variance = 0;
    auto x = [&](size_t j) { return static_cast<long double>(static_cast<float>(data.x[r * sizes.h + j])); };
    for (size_t j = 0; j < sizes.original_h; ++j) exact_mean += x(j) / sizes.original_h;
    for (size_t j = 0; j < sizes.original_h; ++j) exact_variance += (x(j) - exact_mean) * (x(j) - exact_mean) / sizes.original_h;
    EXPECT_LE(std::abs(static_cast<float>(mean[r]) - exact_mean), HalfUlp<T>(exact_mean) + kUnit * std::sqrt(exact_variance));
    EXPECT_LE(std::abs(static_cast<float>(variance[r]) - exact_variance), HalfUlp<T>(exact_variance) + kUnit * exact_variance);
    for (size_t j = 0; j < sizes.h; ++j) {
      const bool real = j < sizes.original_h;
      const long double xhat = real ? (x(j) - exact_mean) / std::sqrt(exact_variance + epsilon) : 0;
      const long double gamma = real ? static_cast<float>(data.gamma[j]) : 0, beta = real ? static_cast<float>(data.beta[j]) : 0;
      const long double bound = 5 * kUnit * (std::abs(gamma) * (1 + std::abs(xhat)) + std::abs(beta));
      EXPECT_LE(std::abs(static_cast<float>(y[r * sizes.h + j]) - (xhat * gamma + beta)), bound + HalfUlp<T>(xhat * gamma + beta));
    }
  }
}

TEST(LayerNorm, OutputMeanAndVariance) {
  for (bool shared : {false, true}) {
    for (const Sizes& sizes : kSizes) {
      SCOPED_TRACE(testing::Message() << sizes.b << "x" << sizes.s << "x" << sizes.h << "/" << sizes.original_h << " shared " << shared);
      ExpectNormRight<float>(sizes, shared);
      ExpectNormRight<half>(sizes, shared);
    }
  }
}

}  // namespace
}  // namespace tile_test
