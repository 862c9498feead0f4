// SPDX-License-Identifier: Apache-2.0
// The backward row kernel, over groups of rows so that the column gradients are loaded and stored once per group:
//   A  xhat = ((h - mean) - lo) * rstd;  w = dy * weight;  c1 = mean(w xhat), c2 = mean(w) (LayerNorm), c3 = mean(xhat) (kVariance)
//   B  t = ((w - c2) - (xhat - c3) c1) * rstd + dsum;  dresidual = t;  dx = stages'(t)
//      dweight += dy xhat,  dbias += dy,  dcol_scale += stages'(t) x / col_scale, row after row, from +0 in each block.

#include "hwy/highway.h"
#include "src/cpu/forward_rows-inl.h"

#if defined(ADDNORM_CPU_BACKWARD_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ADDNORM_CPU_BACKWARD_ROWS_INL_H_
#undef ADDNORM_CPU_BACKWARD_ROWS_INL_H_
#else
#define ADDNORM_CPU_BACKWARD_ROWS_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace addnorm {
namespace HWY_NAMESPACE {

// Rows that go through pass B together.
inline constexpr size_t kGroup = 4;

// h of one row: as saved, or gathered into the compute type.
template <class R>
struct SourceRow {
  using T = typename R::Real;
  typename R::Res saved;
  RealRow<T> real;
  template <class M>
  HWY_INLINE Pair<T> Load(size_t i, M m) const {
    return real ? real.Load(i, m) : saved.Load(i, m);
  }
};

// What pass B needs of one row.
template <class R>
struct RowState {
  using T = typename R::Real;
  SourceRow<R> h;
  RowStatistics<T> s;
  T c1 = 0, c2 = 0, c3 = 0;
  RealRow<T> given;  // rescued rows: t without dsum
};

// Pass A: sums of w xhat, w, xhat, as many as the norm needs.
template <class R, size_t kSums>
struct GradientSums {
  using T = typename R::Real;
  SourceRow<R> h;
  typename R::Act dy;
  typename R::Par weight;
  Vec<T> mean, lo, rstd;
  HWY_INLINE void Begin(size_t, size_t) {}
  HWY_INLINE void Ahead(size_t, size_t) {}
  template <class M>
  HWY_INLINE void Terms(size_t i, M m, Pair<T>* terms) {
    const Pair<T> xhat = Inside(m, ((h.Load(i, m) - mean) - lo) * rstd);
    Pair<T> w = dy.Load(i, m);
    if (weight) w = w * weight.Load(i, m);
    terms[0] = w * xhat;
    if (kSums > 1) terms[1] = w;
    if (kSums > 2) terms[2] = xhat;
  }
};

// Writes h of one row to `to`: pass 1 without its sum.
template <class T, class Row>
HWY_INLINE void CopyRow(Row& from, size_t cols, T* HWY_RESTRICT to) {
  const StaticType<kTypeOf<T>> type;
  for (size_t c = 0; c < cols; c += kFoldChunk) {
    const size_t n = HWY_MIN(kFoldChunk, cols - c);
    from.Begin(c, n);
    size_t i = c;
    for (; i + kPair<T> <= c + n; i += kPair<T>) StorePair<T>(to + i, type, from.Load(i, Whole()));
    if (i < c + n) StorePair<T>(to + i, type, from.Load(i, Part{c + n - i}));
  }
}
template <class R>
struct SavedRow {
  typename R::Res row;
  HWY_INLINE void Begin(size_t, size_t) {}
  template <class M>
  HWY_INLINE Pair<typename R::Real> Load(size_t i, M m) const {
    return row.Load(i, m);
  }
};

template <class R>
class BackwardBlock {
 public:
  using T = typename R::Real;
  BackwardBlock(const BackwardArgs& args, std::byte* scratch, void* partials)
      : a_(args), cols_(args.shape.cols), padded_(PaddedCols(args.shape.cols)), scratch_(reinterpret_cast<T*>(scratch)) {
    T* next = static_cast<T*>(partials);
    const auto take = [&](const Out& out) {
      T* mine = out ? next : nullptr;
      if (out) next += padded_;
      return mine;
    };
    dweight_ = take(a_.dweight);
    dbias_ = take(a_.dbias);
    dcol_scale_ = take(a_.dcol_scale);
    if (next != partials) std::memset(partials, 0, static_cast<size_t>(next - static_cast<T*>(partials)) * sizeof(T));
    weight_ = typename R::Par(a_.weight, 0);
  }

  void Run(RowRange range) {
    size_t row = range.begin;
    for (; row + kGroup <= range.end; row += kGroup) Rows<kGroup>(row);
    for (; row < range.end; ++row) Rows<1>(row);
  }

  // h in the compute type and t, per row of a group; one row of terms of drow_scale.
  static size_t ScratchBytes(const BackwardArgs& args) { return (2 * kGroup + 1) * PaddedCols(args.shape.cols) * sizeof(T); }

 private:
  T* ScratchRow(size_t k) { return scratch_ + k * padded_; }

  template <size_t kRows>
  HWY_INLINE void Rows(size_t row) {
    RowState<R> states[kRows];
    for (size_t g = 0; g < kRows; ++g) Prepare(row + g, ScratchRow(2 * g), ScratchRow(2 * g + 1), &states[g]);
    // The stages of the branch cost registers and memory: most calls have none.
    if (stages_) {
      for (size_t g = 0; g < kRows; ++g) Emit<1, true>(row + g, &states[g]);
    } else {
      Emit<kRows, false>(row, states);
    }
  }

  // Pass A of one row.
  HWY_NOINLINE void Prepare(size_t row, T* real, T* t, RowState<R>* state) {
    Locate(row, real, state);
    bool trusted = TakeStatistics(row, real, state);
    if (HWY_LIKELY(trusted)) {
      double sums[3] = {0, 0, 0};
      if (a_.norm.kind == NormKind::kRms) {
        SumGradients<1>(row, *state, sums);
      } else if (a_.stat == Stat::kVariance) {
        SumGradients<3>(row, *state, sums);
      } else {
        SumGradients<2>(row, *state, sums);
      }
      const double count = static_cast<double>(cols_);
      state->c1 = static_cast<T>(sums[0] / count);
      state->c2 = static_cast<T>(sums[1] / count);
      state->c3 = static_cast<T>(sums[2] / count);
      trusted = std::isfinite(state->c1) && std::isfinite(state->c2) && std::isfinite(state->c3);
    }
    if (HWY_UNLIKELY(!trusted)) Rescue(row, real, t, state);
  }

  // Where h of this row is: saved, or formed again into `real`.
  HWY_INLINE void Locate(size_t row, T* real, RowState<R>* state) {
    if (a_.sum) {
      state->h.saved = typename R::Res(a_.sum, row);
    } else {
      if (NeedsStages(a_.pre, a_.norm.from_rounded)) {
        FormAgain<true>(row, real);
      } else {
        FormAgain<false>(row, real);
      }
      state->h.real = RealRowAt(real);
    }
  }
  template <bool kStages>
  HWY_NOINLINE void FormAgain(size_t row, T* real) {
    PreNormRow<R, kStages> pre(a_.pre, a_.norm.from_rounded, a_.stored, row);
    CopyRow<T>(pre, cols_, real);
  }
  HWY_INLINE void MakeReal(size_t row, T* real, RowState<R>* state) {
    if (state->h.real) return;
    SavedRow<R> saved{typename R::Res(a_.sum, row)};
    CopyRow<T>(saved, cols_, real);
    state->h.real = RealRowAt(real);
  }

  // False if the row must be rescued.
  HWY_INLINE bool TakeStatistics(size_t row, T* real, RowState<R>* state) {
    if (a_.rstd) {
      const double given = RowScalar(a_.rstd, row, 0.0);
      state->s.mean = static_cast<T>(RowScalar(a_.mean, row, 0.0));
      state->s.lo = static_cast<T>(RowScalar(a_.mean_lo, row, 0.0));
      state->s.rstd = static_cast<T>(a_.stat == Stat::kVariance ? 1.0 / std::sqrt(given + a_.norm.eps) : given);
      if (a_.stat != Stat::kOurs) return true;
      return std::isfinite(state->s.mean) && std::isfinite(state->s.rstd) && state->s.rstd >= std::numeric_limits<T>::min();
    }
    MakeReal(row, real, state);
    double first;
    if (a_.norm.kind == NormKind::kLayer) {
      SumRow<T, false>(real, cols_, &first);
    } else {
      SumRow<T, true>(real, cols_, &first);
    }
    return Statistics<T>(a_.norm, cols_, real, first, RealRowAt(real), &state->s);
  }

  template <size_t kSums>
  HWY_INLINE void SumGradients(size_t row, const RowState<R>& state, double* sums) {
    const Tag<T> d;
    GradientSums<R, kSums> pass{
        state.h, typename R::Act(a_.dy, row), weight_, hn::Set(d, state.s.mean), hn::Set(d, state.s.lo), hn::Set(d, state.s.rstd)};
    Fold<T, kSums, 7>(cols_, pass, sums);
  }

  HWY_NOINLINE void Rescue(size_t row, T* real, T* t, RowState<R>* state) {
    MakeReal(row, real, state);
    if (!RescueGradient<T>(a_, row, real, real, t)) {
      // An input is not finite: IEEE arithmetic of the formula as it stands.
      double sums[2] = {0, 0};
      SumGradients<2>(row, *state, sums);
      state->c1 = static_cast<T>(sums[0] / static_cast<double>(cols_));
      state->c2 = a_.norm.kind == NormKind::kLayer ? static_cast<T>(sums[1] / static_cast<double>(cols_)) : T{0};
      return;
    }
    state->s = {0, 0, 1};
    state->given = RealRowAt(t);
  }

  // Pass B of kRows rows. kStages: dx goes back through the branch.
  template <size_t kRows, bool kStages>
  HWY_NOINLINE void Emit(size_t row, const RowState<R>* states) {
    EmitRow rows[kRows];
    for (size_t g = 0; g < kRows; ++g) rows[g] = EmitRow(a_, row + g, states[g]);
    BranchRow<T> branch;
    typename R::Act x;
    T* terms = nullptr;
    if (kStages) {
      branch = BranchRow<T>(a_.pre, row);
      x = typename R::Act(a_.pre.x, row);
      if (a_.drow_scale) terms = ScratchRow(2 * kGroup);
    }
    for (size_t c = 0; c < cols_; c += kFoldChunk) {
      const size_t n = HWY_MIN(kFoldChunk, cols_ - c);
      if (kStages) branch.Begin(c, n);
      size_t i = c;
      for (; i + kPair<T> <= c + n; i += kPair<T>) Step<kRows, kStages>(i, Whole(), rows, branch, x, terms);
      if (i < c + n) Step<kRows, kStages>(i, Part{c + n - i}, rows, branch, x, terms);
    }
    if (kStages && terms) {
      SumPass<T, false> pass{RealRowAt<T>(terms)};
      double sum;
      Fold<T, 1, 1>(cols_, pass, &sum);
      StoreRowScalar(a_.drow_scale, row, sum);
    }
  }

  struct EmitRow {
    EmitRow() = default;
    HWY_INLINE EmitRow(const BackwardArgs& a, size_t row, const RowState<R>& state)
        : h(state.h), given(state.given), dy(a.dy, row), dsum(a.dsum, row), dx(a.dx, row), dresidual(a.dresidual, row), xhat(a.xhat, row) {
      const Tag<T> d;
      mean = hn::Set(d, state.s.mean);
      lo = hn::Set(d, state.s.lo);
      rstd = hn::Set(d, state.s.rstd);
      c1 = hn::Set(d, state.c1);
      c2 = hn::Set(d, state.c2);
      c3 = hn::Set(d, state.c3);
    }
    SourceRow<R> h;
    RealRow<T> given;
    typename R::Act dy;
    typename R::Res dsum;
    typename R::ActOut dx;
    typename R::ResOut dresidual;
    OutRow<T, AnyType> xhat;
    Vec<T> mean, lo, rstd, c1, c2, c3;
  };

  template <size_t kRows, bool kStages, class M>
  HWY_INLINE void Step(size_t i, M m, const EmitRow* rows, const BranchRow<T>& branch, const typename R::Act& x, T* terms) {
    const StaticType<kTypeOf<T>> real;
    const Pair<T> weight = weight_ ? weight_.Load(i, m) : Zeros<T>();
    Pair<T> dweight = dweight_ ? LoadPair<T>(dweight_ + i, real) : Zeros<T>();
    Pair<T> dbias = dbias_ ? LoadPair<T>(dbias_ + i, real) : Zeros<T>();
    for (size_t g = 0; g < kRows; ++g) {
      const EmitRow& r = rows[g];
      const Pair<T> dy = r.dy.Load(i, m);
      const Pair<T> xhat = ((r.h.Load(i, m) - r.mean) - r.lo) * r.rstd;
      dweight = dweight + dy * xhat;
      dbias = dbias + dy;
      const Pair<T> x0 =
          kStages && (terms || dcol_scale_) ? x.Load(i, m) : Zeros<T>();  // every load before any store: outputs may be inputs
      Pair<T> t;
      if (HWY_UNLIKELY(static_cast<bool>(r.given))) {
        t = r.given.Load(i, m);
      } else {
        const Pair<T> w = weight_ ? dy * weight : dy;
        t = ((w - r.c2) - (xhat - r.c3) * r.c1) * r.rstd;
      }
      if (r.dsum) t = t + r.dsum.Load(i, m);
      if (r.dresidual) r.dresidual.Store(i, m, t);
      if (r.xhat) r.xhat.Store(i, m, xhat);
      if (kStages) {
        StoreStages(i, m, r, branch, x0, t, terms);
      } else if (r.dx) {
        r.dx.Store(i, m, t);
      }
    }
    if (dweight_) StorePair<T>(dweight_ + i, real, dweight);
    if (dbias_) StorePair<T>(dbias_ + i, real, dbias);
  }

  template <class M>
  HWY_INLINE void StoreStages(size_t i, M m, const EmitRow& r, const BranchRow<T>& branch, const Pair<T>& x0, const Pair<T>& t, T* terms) {
    const StaticType<kTypeOf<T>> real;
    if (terms) StorePair<T>(terms + i, real, Inside(m, branch.ScaleColumnOnly(i, m, t, x0)));
    if (dcol_scale_) StorePair<T>(dcol_scale_ + i, real, LoadPair<T>(dcol_scale_ + i, real) + branch.ScaleRowOnly(i, t, x0));
    if (r.dx) r.dx.Store(i, m, branch.Scale(i, m, t));
  }

  const BackwardArgs a_;
  const size_t cols_, padded_;
  T* const scratch_;
  T *dweight_ = nullptr, *dbias_ = nullptr, *dcol_scale_ = nullptr;
  typename R::Par weight_;
  const bool stages_ = GoesBackThroughStages(a_);

  static bool GoesBackThroughStages(const BackwardArgs& a) {
    const bool scaled = a.pre.row_scale || a.pre.col_scale || a.pre.dropout.mode != DropoutStage::Mode::kNone;
    return (a.dx && scaled) || a.drow_scale || a.dcol_scale;
  }
};

template <class R>
HWY_NOINLINE void BackwardRowsOf(const BackwardArgs& args, RowRange range, std::byte* scratch, void* partials) {
  BackwardBlock<R>(args, scratch, partials).Run(range);
}

}  // namespace HWY_NAMESPACE
}  // namespace addnorm
HWY_AFTER_NAMESPACE();

#endif  // ADDNORM_CPU_BACKWARD_ROWS_INL_H_
