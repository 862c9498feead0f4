// SPDX-License-Identifier: Apache-2.0
// The dropout mask: Random123's known answers seen through the operator, statistics, shards, and the backward's mask.
// Seeds are fixed: these tests cannot fail by chance, only by a change.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <memory>

#include "addnorm/addnorm.h"
#include "tests/philox.h"
#include "tests/problems.h"

namespace addnorm::test {
namespace {

// The mask of [rows, cols], as Forward gives it.
std::vector<uint8_t> MaskOf(const Dropout& dropout, size_t rows, size_t cols) {
  const std::vector<int64_t> shape = {static_cast<int64_t>(rows), static_cast<int64_t>(cols)}, one_row = {0, 1};
  std::vector<float> x(cols, 1.0f);
  std::vector<uint8_t> keep(rows * cols, 0xFF);
  ForwardProblem problem{.pre = {.x0 = {x.data(), DType::kF32, shape, one_row}, .dropout = dropout},
                         .keep = {keep.data(), DType::kBool, shape, {}}};
  const Status status = Forward(problem, SerialExecutor());
  EXPECT_TRUE(status.ok()) << status.message();
  return keep;
}
std::vector<uint8_t> ReferenceMaskOf(const Dropout& dropout, size_t rows, size_t cols) {
  ReferenceMask mask(dropout, cols);
  std::vector<uint8_t> keep(rows * cols);
  for (size_t i = 0; i < keep.size(); ++i) keep[i] = mask.Keep(i / cols, i % cols);
  return keep;
}

// p whose threshold is exactly `threshold`: (1 - p) 2^32 is exact, as p is a multiple of 2^-32.
double Threshold(uint64_t threshold) { return 1.0 - static_cast<double>(threshold) * 0x1p-32; }

// A word is found bit by bit through the operator: kept where word < T. Each known answer comes out in full.
TEST(Mask, Random123KnownAnswers) {
  struct Answer {
    uint64_t seed, offset, block;
    std::array<uint32_t, 4> words;
  };
  // kat_vectors: counter = {offset, block} and key = seed, low words first.
  const Answer answers[] = {
      {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {~uint64_t{0}, ~uint64_t{0}, ~uint64_t{0}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {0x299f31d0a4093822, 0x85a308d3243f6a88, 0x0370734413198a2e, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  for (const char* target : AvailableTargets()) {
    ASSERT_TRUE(SetThreadTarget(target).ok());
    for (const Answer& answer : answers) {
      std::array<uint32_t, 4> found = {};
      for (size_t word = 0; word < 4; ++word) {
        for (int bit = 31; bit >= 0; --bit) {
          const uint32_t trial = found[word] | uint32_t{1} << bit;  // is the word below it?
          const Dropout dropout{.p = Threshold(trial), .seed = answer.seed, .offset = answer.offset, .row_base = answer.block};
          if (!MaskOf(dropout, 1, 4)[word]) found[word] = trial;
        }
      }
      EXPECT_EQ(found, answer.words) << target;
    }
  }
  ASSERT_TRUE(SetThreadTarget(nullptr).ok());
}

TEST(Mask, EqualsTheDefinition) {
  size_t elements = 0;
  for (const char* target : AvailableTargets()) {
    ASSERT_TRUE(SetThreadTarget(target).ok());
    Random random(17);
    for (int i = 0; i < 400; ++i) {
      static constexpr double ps[] = {0, 1e-9, 1e-6, .001, .1, .37, .5, .9, 1 - 1e-6, 1};
      const size_t rows = 1 + random.Below(9), cols = 1 + random.Below(i % 8 ? 70 : 1100);
      Dropout dropout{.p = random.Pick(ps), .seed = random.Bits(), .offset = random.Bits()};
      if (i % 2) dropout.row_base = random.Bits() >> random.Below(64);
      if (i % 3 == 0) dropout.col_base = random.Below(40), dropout.cols_total = dropout.col_base + cols + random.Below(40);
      ASSERT_EQ(MaskOf(dropout, rows, cols), ReferenceMaskOf(dropout, rows, cols))
          << target << ", " << rows << " x " << cols << ", p " << dropout.p;
      elements += rows * cols;
    }
  }
  ASSERT_TRUE(SetThreadTarget(nullptr).ok());
  EXPECT_GT(elements, 100000u);
}

// Rows whose block index does not fit in 32 bits, next to each other across the edge.
TEST(Mask, RowsBeyondThirtyTwoBits) {
  for (const size_t cols : {1, 3, 4, 7, 64, 513}) {
    const uint64_t blocks = (cols + 3) / 4;
    for (const uint64_t first : {(uint64_t{1} << 32) / blocks - 2, (uint64_t{1} << 33) + 5, ~uint64_t{0} / blocks - 3}) {
      const Dropout dropout{.p = .37, .seed = 3, .offset = 4, .row_base = first};
      EXPECT_EQ(MaskOf(dropout, 5, cols), ReferenceMaskOf(dropout, 5, cols)) << first;
    }
    // Not the mask of the low 32 bits.
    const Dropout low{.p = .5, .seed = 3, .offset = 4}, high{.p = .5, .seed = 3, .offset = 4, .row_base = uint64_t{1} << 32};
    if (cols == 64) {
      EXPECT_NE(MaskOf(low, 5, cols), MaskOf(high, 5, cols));
    }
  }
}

// ln C(n, k) p^k (1-p)^(n-k), summed over the tail that `k` lies in: the exact probability of being so far out, one-sided.
double Tail(double n, double k, double p) {
  const bool upper = k >= n * p;
  double tail = 0;
  for (double i = k; i >= 0 && i <= n; i += upper ? 1 : -1) {
    const double term =
        std::exp(std::lgamma(n + 1) - std::lgamma(i + 1) - std::lgamma(n - i + 1) + i * std::log(p) + (n - i) * std::log1p(-p));
    tail += term;
    if (term < tail * 1e-12) break;
  }
  return tail;
}

constexpr double kOneSidedFiveSigma = 2.9e-7;

TEST(Mask, BinomialCounts) {
  constexpr size_t kRows = 4096, kCols = 2049;  // 8.4 million elements, columns not a multiple of 4
  for (const double p : {1e-6, .001, .01, .1, .37, .5, .9, 1 - 1e-6}) {
    for (uint64_t seed = 1; seed <= 3; ++seed) {
      const std::vector<uint8_t> mask = MaskOf({.p = p, .seed = seed * 0x9E3779B97F4A7C15u, .offset = seed}, kRows, kCols);
      double dropped = 0;
      for (const uint8_t keep : mask) dropped += keep == 0;
      const double n = static_cast<double>(mask.size());
      // p itself is rounded to 2^-32 (at most 1.2e-4 of 1e-6): far below one standard deviation here.
      EXPECT_GT(Tail(n, dropped, p), kOneSidedFiveSigma) << "p " << p << ": " << dropped << " of " << n << " dropped";
      // E[dropout(1)] = 1.
      const double scaled = (n - dropped) / n / (1 - p), deviation = std::sqrt(p / (1 - p) / n);
      if (p > .99) continue;  // a handful of huge terms
      EXPECT_NEAR(scaled, 1, 5 * deviation) << "p " << p;
    }
  }
}

// Chi-square of the dropped counts of all rows, and of all columns, as a normal deviate (Wilson and Hilferty).
double ChiSquareDeviate(const std::vector<double>& counts, double n, double p) {
  double chi = 0;
  for (const double count : counts) chi += (count - n * p) * (count - n * p) / (n * p * (1 - p));
  const double k = static_cast<double>(counts.size());
  return (std::cbrt(chi / k) - (1 - 2 / (9 * k))) / std::sqrt(2 / (9 * k));
}

TEST(Mask, RowsColumnsAndLags) {
  constexpr size_t kRows = 2048, kCols = 1021;
  for (const double p : {.01, .1, .37, .5, .9}) {
    const std::vector<uint8_t> mask = MaskOf({.p = p, .seed = 77, .offset = 5}, kRows, kCols);
    std::vector<double> rows(kRows), cols(kCols);
    for (size_t i = 0; i < mask.size(); ++i) rows[i / kCols] += !mask[i], cols[i % kCols] += !mask[i];
    EXPECT_LT(std::fabs(ChiSquareDeviate(rows, kCols, p)), 5) << "rows, p " << p;
    EXPECT_LT(std::fabs(ChiSquareDeviate(cols, kRows, p)), 5) << "columns, p " << p;
    std::vector<size_t> lags;
    for (size_t lag = 1; lag <= 64; ++lag) lags.push_back(lag);
    for (const size_t lag : {kCols - 1, kCols, kCols + 1, 2 * kCols, 64 * kCols}) lags.push_back(lag);
    for (const size_t lag : lags) {
      double sum = 0;
      const double n = static_cast<double>(mask.size() - lag), keep = 1 - p;
      for (size_t i = 0; i + lag < mask.size(); ++i) sum += (mask[i] - keep) * (mask[i + lag] - keep);
      EXPECT_LT(std::fabs(sum / (p * keep) / std::sqrt(n)), 5) << "lag " << lag << ", p " << p;
    }
  }
}

// Another seed or offset is another mask: Hamming distance 2 p (1 - p) n.
TEST(Mask, CallsDiffer) {
  constexpr size_t kRows = 512, kCols = 513;
  const double p = .37, n = kRows * kCols, expected = 2 * p * (1 - p);
  const auto base = MaskOf({.p = p, .seed = 1, .offset = 1}, kRows, kCols);
  for (const Dropout& other :
       {Dropout{.p = p, .seed = 2, .offset = 1}, Dropout{.p = p, .seed = 1, .offset = 2},
        Dropout{.p = p, .seed = 1, .offset = uint64_t{1} << 32 | 1}, Dropout{.p = p, .seed = uint64_t{1} << 32 | 1, .offset = 1},
        Dropout{.p = p, .seed = 1, .offset = 1, .row_base = kRows}}) {
    const auto mask = MaskOf(other, kRows, kCols);
    double distance = 0;
    for (size_t i = 0; i < mask.size(); ++i) distance += mask[i] != base[i];
    EXPECT_LT(std::fabs(distance - n * expected) / std::sqrt(n * expected * (1 - expected)), 5);
  }
}

// No two of 2^18 rows of 64 are alike (32-bit row seeds would give about 8 pairs).
TEST(Mask, NoTwoRowsAlike) {
  constexpr size_t kRows = size_t{1} << 18, kCols = 64;
  const auto mask = MaskOf({.p = .5, .seed = 5}, kRows, kCols);
  std::vector<uint64_t> rows(kRows);
  for (size_t i = 0; i < mask.size(); ++i) rows[i / kCols] |= uint64_t{mask[i]} << (i % kCols);
  std::sort(rows.begin(), rows.end());
  EXPECT_EQ(std::adjacent_find(rows.begin(), rows.end()), rows.end());
}

TEST(Mask, ShardsAreThePartsOfTheWhole) {
  constexpr size_t kRows = 37, kCols = 203;
  const Dropout whole{.p = .37, .seed = 9, .offset = 8};
  const auto mask = MaskOf(whole, kRows, kCols);
  Random random(4);
  for (int attempt = 0; attempt < 40; ++attempt) {
    for (size_t first = 0; first < kCols;) {
      const size_t cols = 1 + random.Below(std::min<size_t>(kCols - first, 90)), first_row = random.Below(kRows),
                   rows = 1 + random.Below(kRows - first_row);
      Dropout shard = whole;
      shard.row_base = first_row, shard.col_base = first, shard.cols_total = kCols;
      const auto part = MaskOf(shard, rows, cols);
      for (size_t i = 0; i < part.size(); ++i) {
        ASSERT_EQ(part[i], mask[(first_row + i / cols) * kCols + first + i % cols])
            << "shard at row " << first_row << ", column " << first << " of " << cols;
      }
      first += cols;
    }
  }
}

TEST(Mask, ExtremesOfP) {
  EXPECT_EQ(MaskOf({.p = 0, .seed = 1}, 3, 5), std::vector<uint8_t>(15, 1));
  EXPECT_EQ(MaskOf({.p = 1, .seed = 1}, 3, 5), std::vector<uint8_t>(15, 0));
  EXPECT_EQ(MaskOf({.p = 0x1p-34, .seed = 1}, 3, 5), std::vector<uint8_t>(15, 1));      // rounds to p = 0
  EXPECT_EQ(MaskOf({.p = 1 - 0x1p-34, .seed = 1}, 3, 5), std::vector<uint8_t>(15, 0));  // rounds to p = 1
}

// What is dropped is gone, Inf and NaN included, forward and backward; h is then the residual.
TEST(Mask, DroppedElementsContributeNothing) {
  const float inf = std::numeric_limits<float>::infinity();
  for (const double p : {.37, 1.0}) {
    const Dropout dropout{.p = p, .seed = 12};
    constexpr int64_t kRows = 9, kCols = 101;
    const std::vector<int64_t> shape = {kRows, kCols}, row = {kRows}, column = {kCols};
    const auto mask = MaskOf(dropout, kRows, kCols);
    std::vector<float> x(kRows * kCols), residual(x.size()), h(x.size()), dy(x.size()), dx(x.size(), 9), drowscale(kRows),
        dlayerscale(kCols), ones(kCols, 1);
    Random random(2);
    for (size_t i = 0; i < x.size(); ++i) {
      x[i] = mask[i] ? static_cast<float>(random.Normal()) : random.OneIn(2) ? inf : std::nanf("");
      residual[i] = static_cast<float>(random.Normal()), dy[i] = static_cast<float>(random.Normal());
    }
    const auto view = [&](std::vector<float>& data, const std::vector<int64_t>& dims) {
      return TensorView{data.data(), DType::kF32, dims, {}};
    };
    const PreNormTensors pre{.x0 = view(x, shape),
                             .residual = view(residual, shape),
                             .rowscale = view(ones, row),
                             .layerscale = view(ones, column),
                             .dropout = dropout};
    ForwardProblem forward{.pre = pre, .prenorm = view(h, shape)};
    ASSERT_TRUE(Forward(forward).ok());
    BackwardProblem backward{.dy = view(dy, shape),
                             .pre = pre,
                             .dx0 = view(dx, shape),
                             .drowscale = view(drowscale, row),
                             .dlayerscale = view(dlayerscale, column)};
    ASSERT_TRUE(Backward(backward).ok());
    for (size_t i = 0; i < x.size(); ++i) {
      ASSERT_TRUE(std::isfinite(h[i]) && std::isfinite(dx[i]));
      if (mask[i]) continue;
      ASSERT_EQ(h[i], residual[i]);
      ASSERT_EQ(dx[i], 0);
    }
    for (const float value : drowscale) ASSERT_TRUE(std::isfinite(value));
    for (const float value : dlayerscale) ASSERT_TRUE(std::isfinite(value) && (p < 1 || value == 0));
  }
}

// The backward draws the same mask: dx0 / dresidual is 0 or 1/(1-p), where the forward said so.
TEST(Mask, BackwardDrawsTheForwardsMask) {
  for (const char* target : AvailableTargets()) {
    ASSERT_TRUE(SetThreadTarget(target).ok());
    Random random(6);
    for (int i = 0; i < 60; ++i) {
      const int64_t rows = 1 + static_cast<int64_t>(random.Below(70)), cols = 2 + static_cast<int64_t>(random.Below(300));
      const std::vector<int64_t> shape = {rows, cols};
      Dropout dropout{.p = i % 2 ? .5 : .75, .seed = random.Bits(), .offset = random.Bits(), .row_base = random.Below(uint64_t{1} << 40)};
      if (i % 3 == 0) dropout.col_base = 5, dropout.cols_total = static_cast<uint64_t>(cols) + 9;
      std::vector<float> h(static_cast<size_t>(rows * cols)), dy(h.size()), dx(h.size()), t(h.size());
      for (size_t k = 0; k < h.size(); ++k) h[k] = static_cast<float>(random.Normal()), dy[k] = static_cast<float>(random.Normal());
      const auto view = [&](std::vector<float>& data) { return TensorView{data.data(), DType::kF32, shape, {}}; };
      BackwardProblem backward{.dy = view(dy), .prenorm = view(h), .pre = {.dropout = dropout}, .dx0 = view(dx), .dresidual = view(t)};
      ASSERT_TRUE(Backward(backward).ok());
      const auto mask = MaskOf(dropout, static_cast<size_t>(rows), static_cast<size_t>(cols));
      const float scale = i % 2 ? 2.0f : 4.0f;  // exact
      for (size_t k = 0; k < h.size(); ++k) ASSERT_EQ(dx[k], mask[k] ? scale * t[k] : 0.0f) << target << ", element " << k;
    }
  }
  ASSERT_TRUE(SetThreadTarget(nullptr).ok());
}

}  // namespace
}  // namespace addnorm::test
