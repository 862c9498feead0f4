// SPDX-License-Identifier: Apache-2.0
#include "tests/problems.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

namespace addnorm::test {
namespace {

constexpr DType kFloats[] = {DType::kF32, DType::kF16, DType::kBF16};
constexpr size_t kSmallCols[] = {1,  2,  3,  4,   5,   7,   8,   9,   15,  16,  17,  31,  32,  33,
                                 63, 64, 65, 100, 111, 127, 129, 192, 255, 256, 257, 300, 512, 1023};

// The shape of a run of one row: what distinguishes the data classes.
struct RowStyle {
  Data kind = Data::kNormal;
  double centre = 0, spread = 1;
  size_t special = 0;
};

RowStyle DrawStyle(Data data, DType dtype, size_t cols, Random* random) {
  RowStyle style;
  style.kind = data;
  if (data == Data::kMixed) style.kind = static_cast<Data>(random->Below(static_cast<uint64_t>(Data::kMixed)));
  style.special = cols ? random->Below(cols) : 0;
  const bool half = dtype == DType::kF16;
  switch (style.kind) {
    case Data::kOffset: {
      static constexpr double offsets[] = {1, 1e2, 1e4, -1e4, 1e6};
      style.centre = random->Pick(offsets);
      if (half) style.centre = std::min(style.centre, 1e4);
      break;
    }
    case Data::kConstant: {
      static constexpr double constants[] = {0, 0.1, 14, 1000.3, 1234, 3e4, -7.25};
      style.centre = random->Pick(constants);
      style.spread = 0;
      break;
    }
    case Data::kMagnitude:
      style.spread = std::pow(10.0, half ? 4.0 - static_cast<double>(random->Below(9)) : static_cast<double>(random->Below(61)) - 30.0);
      break;
    case Data::kHuge:
      style.spread = static_cast<double>(Largest(half ? DType::kF16 : DType::kBF16));
      break;
    case Data::kDenormal:
      style.spread = half ? 1e-7 : 1e-39;
      break;
    case Data::kAlternating:
      style.spread = half ? 1e4 : std::pow(10.0, static_cast<double>(random->Below(16)));
      break;
    case Data::kStep:
      style.spread = half ? 1e3 : std::pow(10.0, static_cast<double>(random->Below(7)));
      break;
    default:
      break;
  }
  if (dtype == DType::kF64 && style.kind == Data::kHuge) style.spread = 1e120;  // squares must stay finite: nothing is wider
  if (dtype == DType::kF64 && style.kind == Data::kDenormal) style.spread = 1e-120;
  return style;
}

double DrawValue(const RowStyle& style, size_t col, Random* random) {
  switch (style.kind) {
    case Data::kConstant:
      return style.centre;
    case Data::kHuge:
      return style.spread * (2 * random->Uniform() - 1);
    case Data::kOutlier:
      return random->Normal() * (col == style.special ? 1e4 : 1.0);
    case Data::kHeavyTail: {
      const double normal = random->Normal();
      return normal * std::fabs(normal) / (0.01 + random->Uniform());
    }
    case Data::kAlternating:
      return (col % 2 ? -style.spread : style.spread) + random->Normal();
    case Data::kStep:  // columns that say nothing of those that follow
      return (col < style.special ? style.spread : 0) + random->Normal();
    case Data::kNanRow:
      return col == style.special ? std::numeric_limits<double>::quiet_NaN() : random->Normal();
    case Data::kInfRow:
      if (col != style.special) return random->Normal();
      return random->OneIn(2) ? std::numeric_limits<double>::infinity() : -std::numeric_limits<double>::infinity();
    default:
      return style.centre + style.spread * random->Normal();
  }
}

// Splits n into `rank` factors.
std::vector<int64_t> Split(size_t n, size_t rank, Random* random) {
  std::vector<int64_t> dims(rank, 1);
  if (rank == 0) return dims;
  if (n == 0) {
    for (auto& dim : dims) dim = static_cast<int64_t>(random->Below(4));
    dims[random->Below(rank)] = 0;
    return dims;
  }
  size_t rest = n;
  for (size_t d = 0; d + 1 < rank; ++d) {
    for (int attempt = 0; attempt < 4; ++attempt) {
      const size_t factor = 1 + random->Below(9);
      if (rest % factor != 0) continue;
      dims[d] = static_cast<int64_t>(factor);
      rest /= factor;
      break;
    }
  }
  dims[rank - 1] = static_cast<int64_t>(rest);
  return dims;
}

class Builder {
 public:
  Builder(const Options& options, Problem* problem) : o_(options), random_(Mix(options.seed, 1)), problem_(*problem) {
    lead_ = Split(o_.rows, o_.rows == 1 ? random_.Below(4) : 1 + random_.Below(4), &random_);
    norm_ = Split(o_.cols, 1 + (random_.OneIn(3) ? 1 + random_.Below(2) : 0), &random_);
    full_ = lead_;
    full_.insert(full_.end(), norm_.begin(), norm_.end());
  }

  void Inputs();
  void Outputs();
  void Connect();

 private:
  DType Drawn() { return o_.wide ? DType::kF64 : o_.same_types ? o_.x0 : random_.Pick(kFloats); }
  DType Or64(DType dtype) const { return o_.wide ? DType::kF64 : dtype; }

  // A [A.., R..] operand in the layout asked for.
  Operand Full(DType dtype, bool input) {
    int64_t cols = static_cast<int64_t>(o_.cols), row_stride = cols;
    const bool mixed = o_.layout == Layout::kMixed;
    const bool padded = o_.layout == Layout::kPadded || (mixed && random_.OneIn(2));
    const bool unaligned = o_.layout == Layout::kUnaligned || (mixed && random_.OneIn(3));
    if (padded)
      row_stride += random_.OneIn(3) ? cols * static_cast<int64_t>(1 + random_.Below(2)) : static_cast<int64_t>(1 + random_.Below(9));
    if (mixed && input && random_.OneIn(12)) row_stride = 0;
    if (mixed && input && random_.OneIn(12)) row_stride = -row_stride;
    if (row_stride == cols && random_.OneIn(2)) return Operand(dtype, full_, {}, unaligned, o_.placement);
    std::vector<int64_t> strides(full_.size());
    int64_t stride = 1;
    for (size_t d = full_.size(); d-- > 0;) {
      if (d + 1 == lead_.size()) stride = row_stride;
      strides[d] = stride;
      stride *= full_[d];
    }
    return Operand(dtype, full_, strides, unaligned, o_.placement);
  }
  Operand Column(DType dtype) { return Operand(dtype, norm_, {}, Unaligned(), o_.placement); }
  Operand PerRow(DType dtype, bool ones_form, bool strided) {
    std::vector<int64_t> shape = lead_, strides;
    if (ones_form && random_.OneIn(2)) shape.resize(full_.size(), 1);
    if (strided && o_.layout == Layout::kMixed && random_.OneIn(3) && !shape.empty()) {
      strides.resize(shape.size());
      int64_t stride = 3;
      for (size_t d = shape.size(); d-- > 0;) strides[d] = stride, stride *= shape[d];
    }
    return Operand(dtype, shape, strides, Unaligned(), o_.placement);
  }
  bool Unaligned() { return o_.layout == Layout::kUnaligned || (o_.layout == Layout::kMixed && random_.OneIn(2)); }

  void FillRows(const Operand& operand, Data data);
  template <class Draw>
  void FillEach(const Operand& operand, Draw draw) {
    const TensorView view = operand.view();
    size_t count = 1;
    for (const int64_t dim : view.shape) count *= static_cast<size_t>(dim);
    const ptrdiff_t stride = view.strides.empty() ? 1 : static_cast<ptrdiff_t>(view.strides.back());
    for (size_t i = 0; i < count; ++i) Store(view.dtype, view.data, static_cast<ptrdiff_t>(i) * stride, draw());
  }

  const Options& o_;
  Random random_;
  Problem& problem_;
  std::vector<int64_t> lead_, norm_, full_;
};

void Builder::FillRows(const Operand& operand, Data data) {
  const TensorView view = operand.view();
  ptrdiff_t row_stride = static_cast<ptrdiff_t>(o_.cols);
  if (!view.strides.empty() && !lead_.empty()) row_stride = static_cast<ptrdiff_t>(view.strides[lead_.size() - 1]);
  // A NaN or Inf in some rows only: the others must not notice.
  const bool poison = data == Data::kNanRow || data == Data::kInfRow;
  const size_t poisoned = o_.rows ? random_.Below(o_.rows) : 0;
  for (size_t r = 0; r < o_.rows; ++r) {
    const RowStyle style = DrawStyle(poison && r != poisoned ? Data::kNormal : data, view.dtype, o_.cols, &random_);
    for (size_t j = 0; j < o_.cols; ++j) {
      Store(view.dtype, view.data, static_cast<ptrdiff_t>(r) * row_stride + static_cast<ptrdiff_t>(j),
            static_cast<long double>(DrawValue(style, j, &random_)));
    }
  }
}

void Builder::Inputs() {
  Problem& p = problem_;
  Random& random = random_;
  const bool tame = o_.data <= Data::kConstant;
  FillRows(p.x0 = Full(Or64(o_.x0), true), o_.data);
  if (o_.has_residual)
    FillRows(p.residual = Full(Or64(o_.residual), true), random.OneIn(2) ? o_.data : tame ? Data::kConstant : Data::kNormal);
  if (o_.has_prebias)
    FillEach(
        p.prebias = random.OneIn(2) || o_.layout == Layout::kMixed ? Column(Drawn()) : Operand(Drawn(), full_, {}, false, o_.placement),
        [&] { return random.Normal(); });
  if (o_.has_rowscale) FillEach(p.rowscale = PerRow(Drawn(), false, true), [&] { return random.OneIn(16) ? 0.0 : 2 * random.Normal(); });
  const double gain = random.OneIn(4) ? 1e-3 : 1.0;
  if (o_.has_layerscale) FillEach(p.layerscale = Column(Drawn()), [&] { return random.OneIn(32) ? 0.0 : gain * random.Normal(); });
  if (o_.weights != Weights::kAbsent) {
    const double size = o_.weights == Weights::kLarge ? 1e4 : o_.weights == Weights::kTiny ? 1e-6 : o_.weights == Weights::kZeros ? 0 : 1;
    FillEach(p.weight = Column(Or64(o_.weight)), [&] { return o_.weights == Weights::kOnes ? 1.0 : size * random.Normal(); });
  }
  if (o_.has_bias) FillEach(p.bias = Column(Drawn()), [&] { return random.Normal(); });
  // Gradients of ordinary and of very small size; sometimes with a bad row of their own.
  static constexpr double sizes[] = {1, 1, 1, 1e-4, 1e-8, 1e2};
  const double size = random.Pick(sizes), dsum_size = random.Pick(sizes);
  FillRows(p.dy = Full(Drawn(), true), random.OneIn(24) ? Data::kNanRow : random.OneIn(4) ? Data::kOffset : Data::kNormal);
  if (size != 1 && p.dy.view().dtype != DType::kF16) {
    const TensorView view = p.dy.view();
    for (ptrdiff_t i = 0, n = static_cast<ptrdiff_t>(p.dy.byte_count() / SizeOf(view.dtype)); i < n; ++i) {
      Store(view.dtype, p.dy.bytes(), i, Load(view.dtype, p.dy.bytes(), i) * static_cast<long double>(size));
    }
  }
  if (o_.has_dsum) {
    FillRows(p.dsum = Full(Drawn(), true), Data::kNormal);
    const TensorView view = p.dsum.view();
    for (ptrdiff_t i = 0, n = static_cast<ptrdiff_t>(p.dsum.byte_count() / SizeOf(view.dtype)); i < n; ++i) {
      Store(view.dtype, p.dsum.bytes(), i, Load(view.dtype, p.dsum.bytes(), i) * static_cast<long double>(dsum_size));
    }
  }
  if (o_.saved == Saved::kGiven || o_.saved == Saved::kVariance) {
    const double centre = o_.data == Data::kOffset ? 100 : 0;
    FillEach(p.given_rstd = PerRow(Drawn(), true, false), [&] { return 0.05 + 5 * random.Uniform(); });
    if (!o_.rms) FillEach(p.given_mean = PerRow(Drawn(), true, false), [&] { return centre + 10 * random.Uniform() - 5; });
  }
}

void Builder::Outputs() {
  Problem& p = problem_;
  const DType scalar = Or64(DType::kF32);
  if (o_.has_y) p.y = Full(Drawn(), false);
  if (o_.has_prenorm) p.prenorm = Full(Or64(o_.prenorm), false);
  if (o_.has_keep) p.keep = Full(DType::kBool, false);
  if (o_.has_statistics) {
    p.rstd = PerRow(scalar, true, false);
    if (!o_.rms) p.mean = PerRow(scalar, true, false);
    if (!o_.rms && (o_.saved == Saved::kSaved || random_.OneIn(2))) p.mean_lo = PerRow(scalar, true, false);
  }
  if (o_.gradients & kDx0) p.dx0 = Full(Drawn(), false);
  if (o_.gradients & kDresidual) p.dresidual = Full(Drawn(), false);
  if (o_.gradients & kXhat) p.xhat = Full(Drawn(), false);
  if (o_.gradients & kDrowscale) p.drowscale = PerRow(Drawn(), false, false);
  if (o_.gradients & kDweight) p.dweight = Column(Drawn());
  if (o_.gradients & kDbias) p.dbias = Column(Drawn());
  if (o_.gradients & kDlayerscale) p.dlayerscale = Column(Drawn());
}

void Builder::Connect() {
  Problem& p = problem_;
  Dropout dropout{.p = o_.p, .seed = random_.Bits(), .offset = random_.Bits()};
  if (o_.shard) {
    dropout.row_base = random_.OneIn(2) ? random_.Below(1000) : (uint64_t{1} << 40) + random_.Below(1000);
    dropout.col_base = random_.Below(70);
    dropout.cols_total = dropout.col_base + o_.cols + random_.Below(70);
    if (dropout.cols_total == 0) dropout.cols_total = 1;
  }
  const NormSpec norm{o_.rms ? NormKind::kRms : NormKind::kLayer, o_.eps, o_.from_rounded};
  const PreNormTensors pre{p.x0.view(), p.residual.view(), p.rowscale.view(), p.layerscale.view(), p.prebias.view(), dropout};
  const int rank = static_cast<int>(norm_.size());
  p.forward = {.normalized_rank = rank,
               .norm = norm,
               .pre = pre,
               .weight = p.weight.view(),
               .bias = p.bias.view(),
               .y = p.y.view(),
               .prenorm = p.prenorm.view(),
               .keep = p.keep.view(),
               .mean = p.mean.view(),
               .mean_lo = p.mean_lo.view(),
               .rstd = p.rstd.view(),
               .prenorm_dtype = Or64(o_.prenorm)};
  BackwardProblem& b = p.backward;
  b = {.normalized_rank = rank,
       .norm = norm,
       .dy = p.dy.view(),
       .pre = pre,
       .prenorm_dtype = Or64(o_.prenorm),
       .weight = p.weight.view(),
       .dsum = p.dsum.view(),
       .dx0 = p.dx0.view(),
       .dresidual = p.dresidual.view(),
       .xhat = p.xhat.view(),
       .drowscale = p.drowscale.view(),
       .dweight = p.dweight.view(),
       .dbias = p.dbias.view(),
       .dlayerscale = p.dlayerscale.view()};
  if (!o_.form_again) {
    b.prenorm = p.prenorm.view();
    b.pre.residual = b.pre.prebias = {};
    if (!(o_.gradients & (kDrowscale | kDlayerscale))) b.pre.x0 = {};
  }
  using Statistics = BackwardProblem::Statistics;
  if (o_.saved == Saved::kSaved) {
    b.rstd = p.rstd.view(), b.mean = p.mean.view(), b.mean_lo = p.mean_lo.view();
  } else if (o_.saved != Saved::kDerived) {
    b.statistics = o_.saved == Saved::kGiven ? Statistics::kGiven : Statistics::kVariance;
    b.rstd = p.given_rstd.view(), b.mean = p.given_mean.view();
  }
}

std::vector<Operand*> Present(std::initializer_list<Operand*> all) {
  std::vector<Operand*> present;
  for (Operand* operand : all) {
    if (*operand) present.push_back(operand);
  }
  return present;
}

}  // namespace

Options RandomOptions(uint64_t seed) {
  Random random(Mix(seed, 0));
  Options o;
  o.seed = seed;
  o.cols = random.OneIn(64) ? 0 : random.OneIn(4) ? 1 + random.Below(400) : random.Pick(kSmallCols);
  static constexpr size_t rows[] = {1, 1, 2, 3, 7, 8, 63, 64, 65, 71, 130, 199};
  o.rows = random.OneIn(64) ? 0 : random.Pick(rows);
  while (o.rows * o.cols > 8192) o.rows = (o.rows + 1) / 2;
  o.wide = random.OneIn(10);
  o.same_types = random.OneIn(4);
  o.x0 = random.Pick(kFloats), o.residual = random.Pick(kFloats), o.weight = random.Pick(kFloats), o.prenorm = random.Pick(kFloats);
  o.rms = random.OneIn(2), o.from_rounded = random.OneIn(4);
  o.has_residual = !random.OneIn(3), o.has_bias = random.OneIn(2), o.has_rowscale = random.OneIn(3), o.has_layerscale = random.OneIn(3);
  o.has_prebias = random.OneIn(4), o.has_y = !random.OneIn(8), o.has_prenorm = !random.OneIn(3), o.has_keep = random.OneIn(3);
  o.has_statistics = !random.OneIn(4), o.has_dsum = random.OneIn(2), o.form_again = random.OneIn(2);
  o.weights = static_cast<Weights>(random.Below(static_cast<uint64_t>(Weights::kCount)));
  o.data = static_cast<Data>(random.Below(static_cast<uint64_t>(Data::kCount)));
  o.layout = static_cast<Layout>(random.Below(static_cast<uint64_t>(Layout::kCount)));
  static constexpr double ps[] = {0, 0, .1, .37, .9, 1}, epss[] = {0, 1e-12, 1e-6, 1e-5, 1e-5, .3};
  o.p = random.Pick(ps), o.eps = random.Pick(epss);
  o.shard = random.OneIn(3);
  o.saved = static_cast<Saved>(random.Below(static_cast<uint64_t>(Saved::kCount)));
  o.gradients = random.OneIn(2) ? kAllGradients : static_cast<unsigned>(1 + random.Below(kAllGradients));
  Settle(&o);
  return o;
}

void Settle(Options* o) {
  if (o->wide) o->x0 = o->residual = o->weight = o->prenorm = DType::kF64;
  if (!o->has_prenorm) o->form_again = true;
  if (!o->has_rowscale) o->gradients &= ~static_cast<unsigned>(kDrowscale);
  if (!o->has_layerscale) o->gradients &= ~static_cast<unsigned>(kDlayerscale);
  if (o->gradients == 0) o->gradients = kDx0;
  // The saved h is exact where it is formed again, was rounded before it was used, or was not rounded at all.
  const bool exact = o->form_again || o->from_rounded || o->prenorm == DType::kF32 || o->prenorm == DType::kF64;
  if (o->saved == Saved::kSaved && !(exact && o->has_statistics)) o->saved = Saved::kDerived;
  if ((o->saved == Saved::kGiven || o->saved == Saved::kVariance) && o->data != Data::kNormal && o->data != Data::kConstant &&
      o->data != Data::kOutlier) {
    o->data = Data::kOffset;  // statistics of another distribution: xhat is large, yet not beyond fp32
  }
  if (!o->has_y && !o->has_prenorm && !o->has_keep && !o->has_statistics) o->has_y = true;
}

std::string Describe(const Options& o) {
  static const char* const data[] = {"normal", "offset",      "constant", "magnitude", "huge", "denormal", "outlier",
                                     "heavy",  "alternating", "step",     "nan",       "inf",  "mixed"};
  static const char* const weights[] = {"none", "ones", "zeros", "normal", "large", "tiny"};
  static const char* const saved[] = {"saved", "derived", "given", "variance"};
  char text[512];
  std::snprintf(text, sizeof(text),
                "%zux%zu %s+%s*%s%s %s%s%s%s%s%s%s prenorm=%s%s weights=%s data=%s layout=%d p=%g eps=%g%s %s%s%s grads=%u seed=%llu",
                o.rows, o.cols, NameOf(o.x0), o.has_residual ? NameOf(o.residual) : "-", NameOf(o.weight), o.same_types ? " same" : "",
                o.rms ? "rms" : "layer", o.from_rounded ? " rounded" : "", o.has_bias ? " bias" : "", o.has_rowscale ? " rowscale" : "",
                o.has_layerscale ? " layerscale" : "", o.has_prebias ? " prebias" : "", o.has_keep ? " keep" : "",
                o.has_prenorm ? "" : "no ", NameOf(o.prenorm), weights[static_cast<int>(o.weights)], data[static_cast<int>(o.data)],
                static_cast<int>(o.layout), o.p, o.eps, o.shard ? " shard" : "", saved[static_cast<int>(o.saved)],
                o.form_again ? " again" : "", o.has_dsum ? " dsum" : "", o.gradients, static_cast<unsigned long long>(o.seed));
  return text;
}

std::vector<Operand*> Problem::Inputs() {
  return Present({&x0, &residual, &rowscale, &layerscale, &prebias, &weight, &bias, &dy, &dsum, &given_mean, &given_rstd});
}
std::vector<Operand*> Problem::ForwardOutputs() { return Present({&y, &prenorm, &keep, &mean, &mean_lo, &rstd}); }
std::vector<Operand*> Problem::BackwardOutputs() { return Present({&dx0, &dresidual, &xhat, &drowscale, &dweight, &dbias, &dlayerscale}); }

std::unique_ptr<Problem> MakeProblem(const Options& options) {
  auto problem = std::make_unique<Problem>();
  problem->options = options;
  Builder builder(problem->options, problem.get());
  builder.Inputs();
  builder.Outputs();
  builder.Connect();
  return problem;
}

}  // namespace addnorm::test
