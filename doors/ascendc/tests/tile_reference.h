// SPDX-License-Identifier: Apache-2.0
// The document's formula of LayerNormGrad, line by line, in long double, and the contract's bounds. Shares nothing with the door.
#ifndef ADDNORM_DOORS_ASCENDC_TESTS_TILE_REFERENCE_H_
#define ADDNORM_DOORS_ASCENDC_TESTS_TILE_REFERENCE_H_

#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <vector>

namespace tile_test {

/// Sizes of a tile: rows = B * S, of cols stored columns the first real_cols are meant.
struct Sizes {
  uint32_t b = 2, s = 32, h = 16, original_h = 16;
  size_t rows() const { return size_t{b} * s; }
  size_t count() const { return rows() * h; }
};

template <typename T>
struct Data {
  std::vector<T> x, dy, variance, mean, gamma, beta;
  float epsilon = 1e-5f;
};

/// How far the given statistics are from the true ones, and what the pads of x and dy hold.
struct Recipe {
  double mean_shift = 0;
  double variance_factor = 1;
  float pad = 0;
  unsigned seed = 1;
};

template <typename T>
Data<T> MakeData(const Sizes& sizes, const Recipe& recipe) {
  std::mt19937 engine(recipe.seed);
  std::normal_distribution<float> normal;
  Data<T> data;
  for (size_t i = 0; i < sizes.count(); ++i) {
    const bool real = i % sizes.h < sizes.original_h;
    data.x.push_back(T(real ? normal(engine) + 0.5f : recipe.pad));
    data.dy.push_back(T(real ? normal(engine) : recipe.pad));
  }
  for (size_t j = 0; j < sizes.h; ++j) {
    data.gamma.push_back(T(normal(engine)));
    data.beta.push_back(T(normal(engine)));
  }
  for (size_t r = 0; r < sizes.rows(); ++r) {
    double mean = 0, variance = 0;
    for (size_t j = 0; j < sizes.original_h; ++j) mean += double{static_cast<float>(data.x[r * sizes.h + j])} / sizes.original_h;
    for (size_t j = 0; j < sizes.original_h; ++j) {
      variance += std::pow(double{static_cast<float>(data.x[r * sizes.h + j])} - mean, 2) / sizes.original_h;
    }
    data.mean.push_back(T(mean + recipe.mean_shift * normal(engine)));
    data.variance.push_back(T(variance * recipe.variance_factor));
  }
  return data;
}

struct Expected {
  std::vector<long double> value, bound;  // bound: without the rounding of the output
};
struct Gradients {
  Expected dx, xhat;
};

inline constexpr long double kUnit = 0x1p-24L;

template <typename T>
Gradients Reference(const Sizes& sizes, const Data<T>& data) {
  Gradients result;
  for (Expected* e : {&result.dx, &result.xhat}) {
    e->value.assign(sizes.count(), 0.0L);
    e->bound.assign(sizes.count(), 0.0L);
  }
  const long double h = sizes.original_h;
  auto wide = [](T v) { return static_cast<long double>(static_cast<float>(v)); };
  for (size_t r = 0; r < sizes.rows(); ++r) {
    const long double shifted = wide(data.variance[r]) + data.epsilon;
    const long double mean = wide(data.mean[r]);
    long double pd_var = 0, pd_mean = 0, minus_two = 0, average = 0;
    for (size_t j = 0; j < sizes.original_h; ++j) {
      const size_t i = r * sizes.h + j;
      const long double pd_xl = wide(data.dy[i]) * wide(data.gamma[j]);
      const long double d = wide(data.x[i]) - mean;
      pd_var += -0.5L * pd_xl * d * std::pow(shifted, -1.5L);
      pd_mean += -pd_xl * std::pow(shifted, -0.5L);
      minus_two += -2.0L * d;
      average += std::abs(pd_xl) * (1 + std::abs(d) * std::pow(shifted, -0.5L)) / h;
    }
    pd_mean += pd_var * (1.0L / h) * minus_two;
    for (size_t j = 0; j < sizes.original_h; ++j) {
      const size_t i = r * sizes.h + j;
      const long double pd_xl = wide(data.dy[i]) * wide(data.gamma[j]);
      const long double d = wide(data.x[i]) - mean;
      const long double q = std::pow(shifted, -0.5L);
      result.dx.value[i] = pd_xl * q + pd_var * (2.0L / h) * d + pd_mean * (1.0L / h);
      result.xhat.value[i] = d * q;
      result.dx.bound[i] = 6 * kUnit * q * (std::abs(pd_xl) + (1 + std::abs(d * q)) * average);
      result.xhat.bound[i] = 5 * kUnit * (1 + std::abs(d * q));
    }
  }
  return result;
}

/// Half an ulp at `value` of a type with `bits` of significand and the given exponent of its smallest normal number.
inline long double HalfUlp(long double value, int bits, int min_exponent) {
  const int exponent = value == 0 ? min_exponent : std::max(std::ilogb(value), min_exponent);
  return std::ldexp(0.5L, exponent - (bits - 1));
}
template <typename T>
long double HalfUlp(long double value) {
  return sizeof(T) == 2 ? HalfUlp(value, 11, -14) : HalfUlp(value, 24, -126);
}

/// The largest error over half an ulp plus the bound; a NaN in `got` is infinite.
template <typename T>
double WorstError(const std::vector<T>& got, const Expected& expected) {
  if (got.size() != expected.value.size()) return std::numeric_limits<double>::infinity();
  double worst = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const long double error = std::abs(static_cast<long double>(static_cast<float>(got[i])) - expected.value[i]);
    const auto ratio = static_cast<double>(error / (HalfUlp<T>(expected.value[i]) + expected.bound[i]));
    worst = std::isnan(ratio) ? std::numeric_limits<double>::infinity() : std::max(worst, ratio);
  }
  return worst;
}

}  // namespace tile_test
#endif  // ADDNORM_DOORS_ASCENDC_TESTS_TILE_REFERENCE_H_
