// SPDX-License-Identifier: Apache-2.0
// The backward reference. Letters as in docs/numerics.md: g = dy, e = dsum, w = weight g, q = rstd, t = dL/dh.
#include "tests/reference.h"

#include "tests/reference-inl.h"

namespace addnorm::test {
namespace {

template <class C, class W>
class BackwardReference {
 public:
  BackwardReference(const BackwardProblem& problem, Fault fault, bool repeats)
      : problem_(problem),
        fault_(fault),
        repeats_(repeats),
        extent_(problem.dy, problem.normalized_rank),
        pre_(problem.pre, extent_, fault),
        saved_(problem.prenorm, extent_, Field::kFull),
        dy_(problem.dy, extent_, Field::kFull),
        dsum_(problem.dsum, extent_, Field::kFull),
        weight_(problem.weight, extent_, Field::kPerColumn),
        mean_(problem.mean, extent_, Field::kPerRow),
        mean_lo_(problem.mean_lo, extent_, Field::kPerRow),
        rstd_(problem.rstd, extent_, Field::kPerRow) {}

  BackwardExpected Run() {
    const size_t rows = extent_.rows, cols = extent_.cols;
    const Rule& dx_rule = problem_.statistics == BackwardProblem::Statistics::kOurs ? kDxRule : kGivenDxRule;
    Want(&out_.dx0, problem_.dx0, dx_rule, unit_, rows * cols, 0);
    Want(&out_.dresidual, problem_.dresidual, dx_rule, unit_, rows * cols, 0);
    Want(&out_.xhat, problem_.xhat, kXhatRule, unit_, rows * cols, 2 * tiny_);
    Want(&out_.drowscale, problem_.drowscale, kRowRule, unit_, rows, tiny_);
    Want(&out_.dweight, problem_.dweight, kColumnRule, unit_, cols, tiny_);
    Want(&out_.dbias, problem_.dbias, kColumnRule, unit_, cols, tiny_);
    Want(&out_.dlayerscale, problem_.dlayerscale, kColumnRule, unit_, cols, tiny_);
    h_.resize(cols), g_.resize(cols), w_.resize(cols), xhat_.resize(cols);
    dweight_.assign(cols, 0), dbias_.assign(cols, 0), dlayerscale_.assign(cols, 0);
    for (size_t r = 0; r < rows; ++r) Row(r);
    for (size_t j = 0; j < cols; ++j) {
      if (problem_.dweight) out_.dweight.value[j] = static_cast<long double>(dweight_[j]);
      if (problem_.dbias) out_.dbias.value[j] = static_cast<long double>(dbias_[j]);
      if (problem_.dlayerscale) out_.dlayerscale.value[j] = static_cast<long double>(dlayerscale_[j]);
    }
    return std::move(out_);
  }

 private:
  bool centred() const { return (problem_.norm.kind == NormKind::kLayer) != (fault_ == Fault::kNormSwapped); }
  bool given() const { return problem_.statistics != BackwardProblem::Statistics::kOurs && fault_ != Fault::kGivenStatisticsIgnored; }

  void LoadRow(size_t r) {
    for (size_t j = 0; j < extent_.cols; ++j) {
      if (saved_) {
        h_[j] = W(static_cast<C>(saved_.At(r, j)));
      } else {
        const C value = pre_.Value(r, j);
        const bool rounded = problem_.norm.from_rounded != (fault_ == Fault::kRoundedPreNorm);
        h_[j] = rounded ? W(Round(problem_.prenorm_dtype, static_cast<long double>(value))) : W(value);
      }
      g_[j] = W(static_cast<C>(dy_.At(r, j)));
      w_[j] = fault_ == Fault::kWeightMissing ? g_[j] : g_[j] * W(static_cast<C>(weight_.Or(1, 0, j)));
    }
  }

  RowStatistics<W> Statistics(size_t r) const {
    if (!given()) return StatisticsOf<C, W>(h_, problem_.norm, fault_);
    RowStatistics<W> row;
    if (centred()) row.mean = W(mean_.Or(0, r, 0)) + W(mean_lo_.Or(0, r, 0));
    row.rstd = W(rstd_.At(r, 0));
    // The rstd that stands for a given variance is one rounded number, as in the forward: fl((variance + eps)^-1/2), from fp64.
    if (problem_.statistics == BackwardProblem::Statistics::kVariance) {
      row.rstd = W(static_cast<C>(1.0 / std::sqrt(static_cast<double>(row.rstd) + problem_.norm.eps)));
    }
    return row;
  }

  void Row(size_t r) {
    const size_t cols = extent_.cols;
    LoadRow(r);
    const RowStatistics<W> row = Statistics(r);
    const W q = row.rstd, n = W(cols);
    W c1 = 0, c2 = 0, mean_xhat = 0, mean_abs_xhat = 0, mean_abs = 0, peak = 0;
    for (size_t j = 0; j < cols; ++j) {
      xhat_[j] = (h_[j] - row.mean) * q;
      c1 += (fault_ == Fault::kWeightMissingInC1 ? g_[j] : w_[j]) * xhat_[j] / n;
      c2 += w_[j] / n;
      mean_xhat += xhat_[j] / n;
      mean_abs_xhat += Abs(xhat_[j]) / n;
      mean_abs += Abs(w_[j]) * (1 + Abs(xhat_[j])) / n;
      peak = std::max(peak, Abs(w_[j]) * (1 + Abs(xhat_[j])));
    }
    if (fault_ == Fault::kC1Missing) c1 = 0;
    if (!centred() && fault_ != Fault::kC2InRms) c2 = 0;
    if (fault_ == Fault::kC2Missing) c2 = 0;
    // Ascend C LayerNormGrad alone keeps the term that vanishes for an exact mean (contract 1.4).
    bool keeps_term = centred() && problem_.statistics == BackwardProblem::Statistics::kVariance && fault_ != Fault::kVarianceTermMissing;
    keeps_term = keeps_term || (fault_ == Fault::kVarianceTermAlways && centred() && given());
    // The published K has no such term. A mean is as good as the mean of the absolute values lets it be.
    const double spread = static_cast<double>(mean_abs_xhat);
    if (!keeps_term) mean_xhat = mean_abs_xhat = 0;
    const bool overflows = static_cast<double>(peak) * static_cast<double>(n) > SafeLimit<C>();

    // Our own mean may be off by 1 u sigma, which is 1 u of xhat, or by what the rule of repeated values says; saved, its low word may
    // be off by half the smallest number.
    const double own_mean = !centred() || given() ? 0 : repeats_ ? std::max(1.0, kRepeatedMeanRule.units * spread) : 1;
    const double xhat_floor = own_mean > 0 && rstd_ ? tiny_ * static_cast<double>(Abs(q)) : 0;
    W drowscale = 0, drowscale_scale = 0;
    for (size_t j = 0; j < cols; ++j) {
      const W e = fault_ == Fault::kDsumMissing ? W(0) : W(static_cast<C>(dsum_.Or(0, r, j))) * (fault_ == Fault::kDsumScaled ? q : W(1));
      const W t = q * (w_[j] - c2 - (xhat_[j] - mean_xhat) * c1) + e;
      double k = static_cast<double>(Abs(q) * (Abs(w_[j]) + (1 + Abs(xhat_[j]) + mean_abs_xhat) * mean_abs) + Abs(e));
      if (overflows || k > SafeLimit<C>()) k = kAnything;
      const double amplified = (1 + static_cast<double>(Abs(xhat_[j]))) * (3 + static_cast<double>(mean_abs));
      Element(r, j, t, k, tiny_ * (1 + static_cast<double>(Abs(q)) * (2 + amplified)), own_mean, xhat_floor, &drowscale, &drowscale_scale);
    }
    if (problem_.drowscale) {
      out_.drowscale.value[r] = static_cast<long double>(drowscale);
      out_.drowscale.scale[r] = static_cast<double>(drowscale_scale);
    }
  }

  // What one element gives to every output. k, floor: scale and floor of t's bound.
  void Element(size_t r, size_t j, W t, double k, double floor, double own_mean, double xhat_floor, W* drowscale, W* drowscale_scale) {
    const size_t i = r * extent_.cols + j;
    const bool last_row = r + 1 == extent_.rows;
    if (problem_.xhat) {
      out_.xhat.value[i] = static_cast<long double>(xhat_[j]);
      out_.xhat.scale[i] = 1 + static_cast<double>(Abs(xhat_[j]));
      out_.xhat.floor[i] += xhat_floor;
    }
    const bool keep = pre_.Keep(r, j);
    if (problem_.dresidual) Put(&out_.dresidual, i, fault_ == Fault::kDresidualMasked && !keep ? W(0) : t, k, floor);
    const W rho = W(pre_.Rho(r)), lambda = W(pre_.Lambda(j));
    const W scale = fault_ == Fault::kDx0Unscaled ? W(1) : W(pre_.Scale());
    if (problem_.dx0 && (keep || fault_ == Fault::kDx0Unmasked)) {
      const W factor = scale * rho * (fault_ == Fault::kDx0WithoutLayerscale ? W(1) : lambda);
      const double size = static_cast<double>(Abs(factor));
      const double steps = tiny_ * (2 + static_cast<double>(Abs(scale)) * (1 + static_cast<double>(Abs(lambda))));
      Put(&out_.dx0, i, factor * t, Times(k, std::max(size, static_cast<double>(Abs(rho)))), floor * size + steps);
      // The bound is K times the factors; the larger scale above only decides whether a step may overflow.
      if (out_.dx0.scale[i] != kAnything) out_.dx0.scale[i] = Times(k, size);
    }
    if (problem_.dweight && !(fault_ == Fault::kDweightLastRowMissing && last_row)) {
      const W term = (fault_ == Fault::kDweightOfW ? w_[j] : g_[j]) * xhat_[j];
      dweight_[j] += term;
      if (fault_ == Fault::kDenseDweightRounding) dweight_[j] = W(Round(problem_.dweight.dtype, static_cast<long double>(dweight_[j])));
      Add(&out_.dweight, j, static_cast<double>(Abs(term)) + own_mean * static_cast<double>(Abs(g_[j])) / kColumnRule.units,
          (tiny_ + xhat_floor) * (2 + static_cast<double>(Abs(g_[j]))));
    }
    if (problem_.dbias) {
      const W term = fault_ == Fault::kDbiasOfW ? w_[j] : g_[j];
      dbias_[j] += term;
      Add(&out_.dbias, j, static_cast<double>(Abs(term)), 0);
    }
    if (!keep || !pre_.x0) return;
    const W x0 = W(static_cast<C>(pre_.x0.At(r, j)));
    if (problem_.dlayerscale) {
      W factor = W(pre_.Scale()) * (fault_ == Fault::kDlayerscaleWithoutRowscale ? W(1) : rho) * x0;
      if (fault_ == Fault::kDlayerscaleOfScaled) factor *= lambda;
      dlayerscale_[j] += factor * t;
      const double size = static_cast<double>(Abs(factor));
      Add(&out_.dlayerscale, j, static_cast<double>(Abs(factor * t)) + Times(k, size) * kDxRule.units / kColumnRule.units,
          floor * size + Steps(x0, rho, t));
    }
    if (problem_.drowscale) {
      const W factor = W(pre_.Scale()) * (fault_ == Fault::kDrowscaleWithoutLayerscale ? W(1) : lambda) * x0;
      const double size = static_cast<double>(Abs(factor));
      *drowscale += factor * t;
      *drowscale_scale += Abs(factor * t) + W(Times(k, size) * kDxRule.units / kRowRule.units);
      out_.drowscale.floor[r] += floor * size + Steps(x0, lambda, t);
    }
  }

  // Underflow of the products scale * t * other * x0, in whatever order.
  double Steps(W x0, W other, W t) const {
    const double a = static_cast<double>(Abs(x0)), b = static_cast<double>(Abs(other)), c = static_cast<double>(Abs(t));
    const double s = std::fabs(static_cast<double>(pre_.Scale()));
    return tiny_ * (1 + s) * (1 + a) * (1 + b) * (1 + std::min(c, 1.0));
  }
  static double Times(double k, double size) {
    if (k == kAnything) return kAnything;
    return k * size > SafeLimit<C>() ? kAnything : k * size;
  }
  static void Put(Expected* out, size_t i, W value, double scale, double floor) {
    out->value[i] = static_cast<long double>(value);
    out->scale[i] = scale;
    out->floor[i] = floor;
  }
  static void Add(Expected* out, size_t j, double scale, double floor) {
    out->scale[j] += scale > SafeLimit<C>() ? kAnything : scale;
    out->floor[j] += floor;
  }

  const BackwardProblem& problem_;
  const Fault fault_;
  const bool repeats_;
  const Extent extent_;
  const double unit_ = static_cast<double>(std::numeric_limits<C>::epsilon()) / 2;
  const double tiny_ = static_cast<double>(std::numeric_limits<C>::denorm_min());
  PreNormReference<C, W> pre_;
  const Field saved_, dy_, dsum_, weight_, mean_, mean_lo_, rstd_;
  std::vector<W> h_, g_, w_, xhat_, dweight_, dbias_, dlayerscale_;
  BackwardExpected out_;
};

}  // namespace

BackwardExpected Reference(const BackwardProblem& problem, Fault fault, bool repeats) {
  return problem.dy.dtype == DType::kF64 ? BackwardReference<double, Quad>(problem, fault, repeats).Run()
                                         : BackwardReference<float, long double>(problem, fault, repeats).Run();
}

}  // namespace addnorm::test
