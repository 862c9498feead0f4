// SPDX-License-Identifier: Apache-2.0
// Rows whose fp32 sums leave the range of fp32 (or fp64 sums that of fp64) are computed again in scaled fp64.
// Rare, scalar, compiled once: the same bits whatever the SIMD target.
#ifndef ADDNORM_SRC_CPU_RESCUE_H_
#define ADDNORM_SRC_CPU_RESCUE_H_

#include <cstddef>

#include "src/core/args.h"

namespace addnorm {

// Row scalars in the compute type; xhat = ((h - mean) - lo) * rstd.
template <class T>
struct RowStatistics {
  T mean = 0, lo = 0, rstd = 0;
};

// Statistics and xhat of one row h[0, cols). xhat may be h. False, and nothing written, if an element is not finite.
template <class T>
bool RescueNorm(const T* h, size_t cols, const NormSpec& norm, T* xhat, RowStatistics<T>* statistics);

// xhat and t = dL/dh without dsum, of one row h[0, cols). xhat may be h. False, and nothing written, if an input is not finite.
template <class T>
bool RescueGradient(const BackwardArgs& args, size_t row, const T* h, T* xhat, T* t);

extern template bool RescueNorm<float>(const float*, size_t, const NormSpec&, float*, RowStatistics<float>*);
extern template bool RescueNorm<double>(const double*, size_t, const NormSpec&, double*, RowStatistics<double>*);
extern template bool RescueGradient<float>(const BackwardArgs&, size_t, const float*, float*, float*);
extern template bool RescueGradient<double>(const BackwardArgs&, size_t, const double*, double*, double*);

}  // namespace addnorm
#endif  // ADDNORM_SRC_CPU_RESCUE_H_
