// SPDX-License-Identifier: Apache-2.0
#include "src/cpu/rescue.h"

#include <algorithm>
#include <cmath>

#include "src/base/dtype.h"

namespace addnorm {
namespace {

// Neumaier's compensated sum: the range is scaled, so it never overflows here.
class Sum {
 public:
  void Add(double v) {
    const double next = sum_ + v;
    error_ += std::abs(sum_) >= std::abs(v) ? (sum_ - next) + v : (v - next) + sum_;
    sum_ = next;
  }
  double value() const { return sum_ + error_; }

 private:
  double sum_ = 0, error_ = 0;
};

// h' = h * 2^-scale; everything below is in this scale: xhat = ((h' - mean) - lo) * rstd.
struct Scaled {
  int scale = 0;
  double mean = 0, lo = 0, rstd = 0;
};

template <class T>
bool LargestMagnitude(const T* h, size_t cols, double* largest) {
  *largest = 0;
  for (size_t j = 0; j < cols; ++j) {
    if (!std::isfinite(h[j])) return false;
    *largest = std::max(*largest, std::abs(static_cast<double>(h[j])));
  }
  return true;
}

template <class T>
Scaled Measure(const T* h, size_t cols, double largest, const NormSpec& norm) {
  Scaled s;
  if (largest > 0) std::frexp(largest, &s.scale);
  if (norm.eps > 0) s.scale = std::max(s.scale, -480);  // eps * 2^(-2 scale) must stay finite
  const double count = static_cast<double>(cols);
  const auto element = [&](size_t j) { return std::ldexp(static_cast<double>(h[j]), -s.scale); };
  Sum sum, deviations, squares;
  if (norm.kind == NormKind::kLayer) {
    for (size_t j = 0; j < cols; ++j) sum.Add(element(j));
    s.mean = sum.value() / count;
  }
  for (size_t j = 0; j < cols; ++j) {
    const double d = element(j) - s.mean;
    deviations.Add(d);
    squares.Add(d * d);
  }
  if (norm.kind == NormKind::kLayer) s.lo = deviations.value() / count;
  const double variance = std::max(0.0, squares.value() / count - s.lo * s.lo);
  if (variance == 0 && norm.eps > 0) {
    s.rstd = std::ldexp(1.0 / std::sqrt(norm.eps), s.scale);
  } else {
    s.rstd = 1.0 / std::sqrt(variance + std::ldexp(norm.eps, -2 * s.scale));
  }
  return s;
}

double Normalized(double h, const Scaled& s) { return ((std::ldexp(h, -s.scale) - s.mean) - s.lo) * s.rstd; }

// The statistics a backward call works with, in the scale of `largest` where they are ours to choose.
template <class T>
Scaled MeasureOrTake(const BackwardArgs& a, size_t row, const T* h, double largest) {
  if (a.stat == Stat::kOurs) return Measure(h, a.shape.cols, largest, a.norm);
  const auto scalar = [row](const In& in) {
    return in ? LoadElement(in.data, in.dtype, static_cast<size_t>(static_cast<ptrdiff_t>(row) * in.row_stride)) : 0.0;
  };
  Scaled s;
  s.mean = scalar(a.mean);
  s.lo = scalar(a.mean_lo);
  const double given = scalar(a.rstd);
  s.rstd = a.stat == Stat::kVariance ? 1.0 / std::sqrt(given + a.norm.eps) : given;
  return s;
}

}  // namespace

template <class T>
bool RescueNorm(const T* h, size_t cols, const NormSpec& norm, T* xhat, RowStatistics<T>* statistics) {
  double largest;
  if (!LargestMagnitude(h, cols, &largest)) return false;
  const Scaled s = Measure(h, cols, largest, norm);
  // The published mean is one number and what rounding it took away: split the exact value.
  const double mean = std::ldexp(s.mean, s.scale);
  statistics->mean = static_cast<T>(mean);
  statistics->lo = static_cast<T>((mean - static_cast<double>(statistics->mean)) + std::ldexp(s.lo, s.scale));
  statistics->rstd = static_cast<T>(std::ldexp(s.rstd, -s.scale));
  for (size_t j = 0; j < cols; ++j) xhat[j] = static_cast<T>(Normalized(static_cast<double>(h[j]), s));
  return true;
}

template <class T>
bool RescueGradient(const BackwardArgs& a, size_t row, const T* h, T* xhat, T* t) {
  const size_t cols = a.shape.cols;
  double largest;
  if (!LargestMagnitude(h, cols, &largest)) return false;
  const Scaled s = MeasureOrTake(a, row, h, largest);
  const auto at = [row](const In& in, size_t j) {
    const ptrdiff_t index = static_cast<ptrdiff_t>(row) * in.row_stride + static_cast<ptrdiff_t>(j);
    return LoadElement(static_cast<const char*>(in.data) + index * static_cast<ptrdiff_t>(SizeOf(in.dtype)), in.dtype, 0);
  };
  // Gradients are scaled too: w may be large where q is small. One that is not finite takes its IEEE course unscaled.
  double largest_w = 0;
  for (size_t j = 0; j < cols; ++j) largest_w = std::max({largest_w, std::abs(at(a.dy, j)), a.weight ? std::abs(at(a.weight, j)) : 1.0});
  int scale_w = 0;
  if (largest_w > 0 && std::isfinite(largest_w)) std::frexp(largest_w, &scale_w);
  const auto w = [&](size_t j) {
    const double g = std::ldexp(at(a.dy, j), -scale_w);
    return a.weight ? g * std::ldexp(at(a.weight, j), -scale_w) : g;
  };
  Sum wx, ws, xs;
  for (size_t j = 0; j < cols; ++j) {
    const double x = Normalized(static_cast<double>(h[j]), s), wj = w(j);
    wx.Add(wj * x);
    ws.Add(wj);
    xs.Add(x);
  }
  const double count = static_cast<double>(cols);
  const double c1 = wx.value() / count, c2 = a.norm.kind == NormKind::kLayer ? ws.value() / count : 0.0;
  const double c3 = a.stat == Stat::kVariance && a.norm.kind == NormKind::kLayer ? xs.value() / count : 0.0;
  const int back = (a.weight ? 2 : 1) * scale_w - s.scale;
  for (size_t j = 0; j < cols; ++j) {
    const double x = Normalized(static_cast<double>(h[j]), s);
    t[j] = static_cast<T>(std::ldexp(s.rstd * ((w(j) - c2) - (x - c3) * c1), back));
    xhat[j] = static_cast<T>(x);
  }
  return true;
}

template bool RescueNorm<float>(const float*, size_t, const NormSpec&, float*, RowStatistics<float>*);
template bool RescueNorm<double>(const double*, size_t, const NormSpec&, double*, RowStatistics<double>*);
template bool RescueGradient<float>(const BackwardArgs&, size_t, const float*, float*, float*);
template bool RescueGradient<double>(const BackwardArgs&, size_t, const double*, double*, double*);

}  // namespace addnorm
