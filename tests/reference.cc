// SPDX-License-Identifier: Apache-2.0
// The forward reference; the backward one is in reference_backward.cc.
#include "tests/reference.h"

#include "tests/reference-inl.h"

namespace addnorm::test {
namespace {

template <class C, class W>
ForwardExpected ForwardReference(const ForwardProblem& problem, Fault fault) {
  const Extent extent(problem.pre.x0, problem.normalized_rank);
  const size_t rows = extent.rows, cols = extent.cols, count = rows * cols;
  const double unit = static_cast<double>(std::numeric_limits<C>::epsilon()) / 2;
  const double tiny = static_cast<double>(std::numeric_limits<C>::denorm_min());
  const DType stored_dtype = problem.prenorm ? problem.prenorm.dtype : problem.prenorm_dtype;
  PreNormReference<C, W> pre(problem.pre, extent, fault);
  const Field weight(problem.weight, extent, Field::kPerColumn), bias(problem.bias, extent, Field::kPerColumn);

  ForwardExpected out;
  Want(&out.y, problem.y, kYRule, unit, count, 0);
  Want(&out.prenorm, problem.prenorm, kPreNormRule, unit, count, 0);
  Want(&out.stored, problem.prenorm, kStoredRule, unit, count, 0);
  Want(&out.mean, problem.mean, kMeanRule, unit, rows, tiny);
  Want(&out.repeated_mean, problem.mean, kRepeatedMeanRule, unit, rows, tiny);
  Want(&out.rstd, problem.rstd, kRstdRule, unit, rows, tiny);
  if (problem.keep) out.keep.assign(count, 1);

  std::vector<W> h(cols);
  for (size_t r = 0; r < rows; ++r) {
    for (size_t j = 0; j < cols; ++j) {
      const size_t i = r * cols + j;
      const C value = pre.Value(r, j);
      const bool rounded = problem.norm.from_rounded != (fault == Fault::kRoundedPreNorm);
      h[j] = rounded ? W(Round(stored_dtype, static_cast<long double>(value))) : W(value);
      if (problem.keep) out.keep[i] = pre.Keep(r, j);
      if (!problem.prenorm) continue;
      out.stored.value[i] = Round(stored_dtype, static_cast<long double>(value));
      const W exact = pre.Exact(r, j, &out.prenorm.scale[i], &out.prenorm.floor[i]);
      // Where a step of the definition overflows, overflow is the definition.
      out.prenorm.value[i] = IsFinite(value) ? static_cast<long double>(exact) : static_cast<long double>(value);
    }
    const RowStatistics<W> row = StatisticsOf<C, W>(h, problem.norm, fault);
    if (problem.mean) {
      // A row with an Inf is a NaN row as a whole.
      out.mean.value[r] = IsFinite(row.mean) ? static_cast<long double>(row.mean) : std::numeric_limits<long double>::quiet_NaN();
      out.mean.scale[r] = static_cast<double>(row.sigma);
      out.repeated_mean.value[r] = out.mean.value[r];
      W deviations = 0;
      for (size_t j = 0; j < cols; ++j) deviations += Abs(h[j] - row.mean) / W(cols);
      out.repeated_mean.scale[r] = static_cast<double>(deviations);
    }
    if (problem.rstd) {
      out.rstd.value[r] = static_cast<long double>(row.rstd);
      out.rstd.scale[r] = static_cast<double>(row.rstd);
    }
    if (!problem.y) continue;
    for (size_t j = 0; j < cols; ++j) {
      const size_t i = r * cols + j;
      W xhat = (h[j] - row.mean) * row.rstd;
      if (fault == Fault::kXhatRounded) xhat = W(Round(problem.y.dtype, static_cast<long double>(xhat)));
      W gamma = fault == Fault::kWeightMissing ? W(1) : W(static_cast<C>(weight.Or(1, 0, j)));
      if (fault == Fault::kWeightZeroCentred) gamma += 1;
      const W beta = fault == Fault::kBiasMissing ? W(0) : W(static_cast<C>(bias.Or(0, 0, j)));
      out.y.value[i] = static_cast<long double>(gamma * xhat + beta);
      out.y.scale[i] = static_cast<double>(Abs(gamma) * (1 + Abs(xhat)) + Abs(beta));
      if (static_cast<double>(Abs(gamma * xhat)) > SafeLimit<C>()) out.y.scale[i] = kAnything;
      out.y.floor[i] = tiny * (2 + static_cast<double>(Abs(gamma)));
    }
  }
  return out;
}

}  // namespace

ForwardExpected Reference(const ForwardProblem& problem, Fault fault) {
  return problem.pre.x0.dtype == DType::kF64 ? ForwardReference<double, Quad>(problem, fault)
                                             : ForwardReference<float, long double>(problem, fault);
}

const char* NameOf(Fault fault) {
  static const char* const names[] = {
      "none",
      "mask inverted",
      "mask shifted",
      "1/(1-p) missing",
      "offset ignored",
      "row_base ignored",
      "col_base ignored",
      "cols_total ignored",
      "seed's high word ignored",
      "rowscale missing",
      "layerscale missing",
      "layerscale shifted",
      "residual missing",
      "residual scaled",
      "prebias missing",
      "rounded pre-norm",
      "eps outside the root",
      "eps missing",
      "variance over H-1",
      "mean_lo missing",
      "E[x^2]-mean^2",
      "tail lane missing",
      "LayerNorm and RMSNorm swapped",
      "weight missing",
      "bias missing",
      "zero-centred weight",
      "xhat rounded",
      "c1 missing",
      "c2 missing",
      "c2 in RMSNorm",
      "dsum missing",
      "dsum scaled by rstd",
      "weight missing in c1",
      "dweight of w",
      "dbias of w",
      "dweight without the last row",
      "dx0 unmasked",
      "dx0 without 1/(1-p)",
      "dresidual masked",
      "dx0 without layerscale",
      "dlayerscale without rowscale",
      "dlayerscale of the scaled x0",
      "drowscale without layerscale",
      "given statistics ignored",
      "variance term missing",
      "variance term in AddLayerNormGrad",
      "dweight summed in its own type",
  };
  static_assert(sizeof(names) / sizeof(names[0]) == static_cast<size_t>(Fault::kCount));
  return names[static_cast<size_t>(fault)];
}

}  // namespace addnorm::test
