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

// Rows that go through pass B together; one at a time where they come from memory and are at most kNarrow columns: of short rows,
// four at once are too many pages to read and write ahead.
inline constexpr size_t kGroup = 4;
inline constexpr size_t kNarrow = 1024;
// How far ahead of itself pass A asks for the columns of rows that come from memory.
inline constexpr size_t kAheadColumns = 1024;

// h of one row: as saved, or gathered into the compute type.
template <class R>
struct SourceRow {
  using T = typename R::Real;
  typename R::Res saved;
  RealRow<T> real;
  HWY_INLINE void Begin(size_t, size_t) {}
  template <class M>
  HWY_INLINE Pair<T> Load(size_t i, M m) const {
    return real ? real.Load(i, m) : saved.Load(i, m);
  }
};

// What pass B needs of one row.
template <class T>
struct RowState {
  T* xhat = nullptr;         // null: pass B forms it again
  const T* given = nullptr;  // rescued rows: t without dsum
  T rstd = 0, c1 = 0, c2 = 0, c3 = 0, mean = 0, lo = 0;
};

// Pass A: sums of w xhat, w, xhat, as many as the norm needs. Leaves xhat behind, which may be where h was, unless xhat is null.
template <class R, size_t kSums>
struct GradientPass {
  using T = typename R::Real;
  SourceRow<R> h;
  typename R::Act dy;
  typename R::Res dsum;  // of pass B, which is to find it in the cache
  typename R::Par weight;
  T* xhat;
  Vec<T> mean, lo, rstd;
  bool from_memory;
  HWY_INLINE void Begin(size_t, size_t) {}
  HWY_INLINE void Before(size_t i) {
    if (!from_memory) return;
    h.saved.Prefetch(i + kAheadColumns, kFoldLanes);
    dy.Prefetch(i + kAheadColumns, kFoldLanes);
    if (dsum) dsum.Prefetch(i, kFoldLanes);
  }
  HWY_INLINE void BeforePart(size_t, size_t) {}
  template <class M>
  HWY_INLINE void Terms(size_t i, M m, Pair<T>* terms) {
    const Pair<T> x = Inside(m, ((h.Load(i, m) - mean) - lo) * rstd);
    if (xhat) StorePair<T>(xhat + i, StaticType<kTypeOf<T>>(), x);
    Pair<T> w = dy.Load(i, m);
    if (weight) w = w * weight.Load(i, m);
    terms[0] = w * x;
    if (kSums > 1) terms[1] = w;
    if (kSums > 2) terms[2] = x;
  }
};

// The sum of a row as it is.
template <class T>
struct PlainSum {
  RealRow<T> row;
  HWY_INLINE void Begin(size_t, size_t) {}
  HWY_INLINE void Before(size_t) {}
  HWY_INLINE void BeforePart(size_t, size_t) {}
  template <class M>
  HWY_INLINE void Terms(size_t i, M m, Pair<T>* terms) {
    terms[0] = row.Load(i, m);
  }
};

// Writes one row in the compute type: pass 1 without its sums.
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
class BackwardBlock {
 public:
  using T = typename R::Real;
  BackwardBlock(const BackwardArgs& args, RowRange range, std::byte* scratch, void* partials)
      : a_(args), range_(range), cols_(args.shape.cols), padded_(PaddedCols(args.shape.cols)), scratch_(reinterpret_cast<T*>(scratch)) {
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

  void Run() {
    size_t row = range_.begin;
    const bool narrow = a_.stream && cols_ <= kNarrow;
    for (; !narrow && row + kGroup <= range_.end; row += kGroup) Rows<kGroup>(row);
    for (; row < range_.end; ++row) Rows<1>(row);
    if (a_.stream) hwy::FlushStream();
  }

  // Per row of a group: xhat, and t if it is rescued; one row of terms of drow_scale.
  static size_t ScratchBytes(const BackwardArgs& args) { return (2 * kGroup + 1) * PaddedCols(args.shape.cols) * sizeof(T); }

 private:
  T* ScratchRow(size_t k) { return scratch_ + k * padded_; }

  template <size_t kRows>
  HWY_INLINE void Rows(size_t row) {
    RowState<T> states[kRows];
    for (size_t g = 0; g < kRows; ++g) Prepare(row + g, g, again_, &states[g]);
    // Stages and rare operands cost registers and memory: most calls have none.
    bool rare = rare_;
    for (size_t g = 0; g < kRows; ++g) rare = rare || states[g].given != nullptr;
    if (stages_) {
      for (size_t g = 0; g < kRows; ++g) Emit<1, true, true, true>(row + g, &states[g]);
    } else if (rare) {
      for (size_t g = 0; g < kRows; ++g) {
        if (again_ && states[g].given == nullptr) Prepare(row + g, g, false, &states[g]);
        Emit<1, false, true, true>(row + g, &states[g]);
      }
    } else if (a_.dsum) {
      EmitPlain<kRows, true>(row, states);
    } else {
      EmitPlain<kRows, false>(row, states);
    }
  }

  template <size_t kRows, bool kSum>
  HWY_INLINE void EmitPlain(size_t row, const RowState<T>* states) {
    if constexpr (kMayFormAgain) {
      if (again_) return Emit<kRows, false, kSum, false, true>(row, states);
    }
    Emit<kRows, false, kSum, false>(row, states);
  }

  // Pass A of one row, number g of its group. again: xhat is not kept, unless the row needs more than the plain pass B.
  HWY_NOINLINE void Prepare(size_t row, size_t g, bool again, RowState<T>* state) {
    T* const xhat = ScratchRow(g);
    T* const t = ScratchRow(kGroup + g);
    *state = {};
    SourceRow<R> h;
    if (a_.sum && a_.rstd) {
      h.saved = typename R::Res(a_.sum, row);
    } else {
      h.real = Gathered(row, xhat);
    }
    RowStatistics<T> s;
    if (TakeStatistics(row, xhat, &s)) {
      state->xhat = again ? nullptr : xhat;
      SumGradients(row, h, s, state);
      if (HWY_LIKELY(std::isfinite(state->c1) && std::isfinite(state->c2) && std::isfinite(state->c3))) return;
    }
    // Pass A may have left xhat where h was.
    state->xhat = xhat;
    h.real = Gathered(row, xhat);
    if (RescueGradient<T>(a_, row, xhat, xhat, t)) {
      state->given = t;
    } else {
      SumGradients(row, h, s, state);  // h is not finite: IEEE arithmetic of the formula as it stands
    }
  }

  // h of a row in the compute type, in `to`.
  HWY_NOINLINE RealRow<T> Gathered(size_t row, T* to) {
    if (a_.sum) {
      SourceRow<R> saved;
      saved.saved = typename R::Res(a_.sum, row);
      CopyRow<T>(saved, cols_, to);
    } else if (NeedsStages(a_.pre, a_.norm.from_rounded)) {
      PreNormRow<R, true> pre(a_.pre, a_.norm.from_rounded, a_.stored, row);
      CopyRow<T>(pre, cols_, to);
    } else {
      PreNormRow<R, false> pre(a_.pre, false, a_.stored, row);
      CopyRow<T>(pre, cols_, to);
    }
    return RealRowAt(to);
  }

  // As given, or from h. False if they cannot be trusted.
  HWY_INLINE bool TakeStatistics(size_t row, const T* h, RowStatistics<T>* s) {
    if (a_.rstd) {
      const double given = RowScalar(a_.rstd, row, 0.0);
      s->mean = static_cast<T>(RowScalar(a_.mean, row, 0.0));
      s->lo = static_cast<T>(RowScalar(a_.mean_lo, row, 0.0));
      s->rstd = static_cast<T>(a_.stat == Stat::kVariance ? 1.0 / std::sqrt(given + a_.norm.eps) : given);
      if (a_.stat != Stat::kOurs) return true;
      return std::isfinite(s->mean) && std::isfinite(s->rstd) && s->rstd >= std::numeric_limits<T>::min();
    }
    const bool layer = a_.norm.kind == NormKind::kLayer;
    return Statistics<T>(a_.norm, cols_, h, layer ? SumRow<T, false>(h, cols_) : SumRow<T, true>(h, cols_), s);
  }

  HWY_INLINE void SumGradients(size_t row, const SourceRow<R>& h, const RowStatistics<T>& s, RowState<T>* state) {
    double sums[3] = {0, 0, 0};
    if (a_.norm.kind == NormKind::kRms) {
      SumGradientsOf<1>(row, h, s, state->xhat, sums);
    } else if (a_.stat == Stat::kVariance) {
      SumGradientsOf<3>(row, h, s, state->xhat, sums);
    } else {
      SumGradientsOf<2>(row, h, s, state->xhat, sums);
    }
    const double count = static_cast<double>(cols_);
    state->mean = s.mean;
    state->lo = s.lo;
    state->rstd = s.rstd;
    state->c1 = static_cast<T>(sums[0] / count);
    state->c2 = static_cast<T>(sums[1] / count);
    state->c3 = static_cast<T>(sums[2] / count);
  }
  template <size_t kSums>
  HWY_NOINLINE void SumGradientsOf(size_t row, const SourceRow<R>& h, const RowStatistics<T>& s, T* xhat, double* sums) {
    const Tag<T> d;
    GradientPass<R, kSums> pass{h,
                                typename R::Act(a_.dy, row),
                                typename R::Res(a_.dsum, row),
                                weight_,
                                xhat,
                                hn::Set(d, s.mean),
                                hn::Set(d, s.lo),
                                hn::Set(d, s.rstd),
                                ask_ && h.saved};
    Fold<T, kSums, 7>(cols_, pass, sums);
  }

  // One row's operands in pass B.
  struct EmitRow {
    EmitRow() = default;
    HWY_INLINE EmitRow(const BackwardArgs& a, size_t row, const RowState<T>& state)
        : xhat(RealRowAt<T>(state.xhat)),
          h(a.sum, row),
          dy(a.dy, row),
          dsum(a.dsum, row),
          dx(a.dx, row, a.stream),
          dresidual(a.dresidual, row, a.stream),
          xhat_out(a.xhat, row) {
      const Tag<T> d;
      if (state.given) given = RealRowAt(state.given);
      mean = hn::Set(d, state.mean);
      lo = hn::Set(d, state.lo);
      rstd = hn::Set(d, state.rstd);
      c1 = hn::Set(d, state.c1);
      c2 = hn::Set(d, state.c2);
      c3 = hn::Set(d, state.c3);
    }
    RealRow<T> xhat, given;
    typename R::Res h;
    typename R::Act dy;
    typename R::Res dsum;
    typename R::ActOut dx;
    typename R::ResOut dresidual;
    OutRow<T, AnyType> xhat_out;
    Vec<T> mean, lo, rstd, c1, c2, c3;
  };

  // Pass B of kRows rows. kStages: dx goes back through the branch. kRare: xhat, rescued rows, an inexact mean. kAgain: xhat from h.
  template <size_t kRows, bool kStages, bool kSum, bool kRare, bool kAgain = false>
  HWY_NOINLINE void Emit(size_t row, const RowState<T>* states) {
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
    const Columns columns = {weight_, dweight_, dbias_, dcol_scale_, a_.stat == Stat::kVariance};
    for (size_t c = 0; c < cols_; c += kFoldChunk) {
      const size_t n = HWY_MIN(kFoldChunk, cols_ - c);
      if (kStages) branch.Begin(c, n);
      size_t i = c;
      for (; i + kPair<T> <= c + n; i += kPair<T>) Step<kRows, kStages, kSum, kRare, kAgain>(i, Whole(), rows, columns, branch, x, terms);
      if (i < c + n) Step<kRows, kStages, kSum, kRare, kAgain>(i, Part{c + n - i}, rows, columns, branch, x, terms);
    }
    if (kStages && terms) {
      PlainSum<T> pass{RealRowAt<T>(terms)};
      double sum;
      Fold<T, 1, 1>(cols_, pass, &sum);
      StoreRowScalar(a_.drow_scale, row, sum);
    }
  }

  // The operands that all rows share, in locals: a store could alias a member.
  struct Columns {
    typename R::Par weight;
    T *dweight, *dbias, *dcol_scale;
    bool inexact_mean;
  };

  template <size_t kRows, bool kStages, bool kSum, bool kRare, bool kAgain, class M>
  static HWY_INLINE void Step(size_t i, M m, const EmitRow* rows, const Columns& k, const BranchRow<T>& branch, const typename R::Act& x,
                              T* terms) {
    const StaticType<kTypeOf<T>> real;
    const Pair<T> weight = k.weight ? k.weight.Load(i, m) : Zeros<T>();
    Pair<T> dweight = k.dweight ? LoadPair<T>(k.dweight + i, real) : Zeros<T>();
    Pair<T> dbias = k.dbias ? LoadPair<T>(k.dbias + i, real) : Zeros<T>();
    ADDNORM_UNROLL
    for (size_t g = 0; g < kRows; ++g) {
      const EmitRow& r = rows[g];
      // Every load before any store: outputs may be inputs.
      const Pair<T> dy = r.dy.Load(i, m), xhat = kAgain ? ((r.h.Load(i, m) - r.mean) - r.lo) * r.rstd : r.xhat.Load(i, m);
      const Pair<T> x0 = kStages && (terms || k.dcol_scale) ? x.Load(i, m) : Zeros<T>();
      dweight = dweight + dy * xhat;
      dbias = dbias + dy;
      Pair<T> t;
      if (kRare && r.given) {
        t = r.given.Load(i, m);
      } else {
        const Pair<T> w = k.weight ? dy * weight : dy;
        t = ((w - r.c2) - (kRare && k.inexact_mean ? xhat - r.c3 : xhat) * r.c1) * r.rstd;
      }
      if (kSum && r.dsum) t = t + r.dsum.Load(i, m);
      if (r.dresidual) r.dresidual.Store(i, m, t);
      if (kRare && r.xhat_out) r.xhat_out.Store(i, m, xhat);
      if (kStages) {
        if (terms) StorePair<T>(terms + i, real, Inside(m, branch.ScaleColumnOnly(i, m, t, x0)));
        if (k.dcol_scale) StorePair<T>(k.dcol_scale + i, real, LoadPair<T>(k.dcol_scale + i, real) + branch.ScaleRowOnly(i, t, x0));
        if (r.dx) r.dx.Store(i, m, branch.Scale(i, m, t));
      } else if (r.dx) {
        r.dx.Store(i, m, t);
      }
    }
    if (k.dweight) StorePair<T>(k.dweight + i, real, dweight);
    if (k.dbias) StorePair<T>(k.dbias + i, real, dbias);
  }

  const BackwardArgs a_;
  const RowRange range_;
  const size_t cols_, padded_;
  T* const scratch_;
  T *dweight_ = nullptr, *dbias_ = nullptr, *dcol_scale_ = nullptr;
  typename R::Par weight_;
  const bool stages_ = GoesBackThroughStages(a_);
  const bool rare_ = a_.xhat || a_.stat == Stat::kVariance;
  // Of one short row at a time the hardware reads ahead by itself, as long as no third row is asked for.
  const bool ask_ = a_.stream && !(a_.dsum && cols_ <= kNarrow);
  // Of long rows from memory the second level keeps h and dy; to write xhat and read it back is more than to form it again.
  static constexpr bool kMayFormAgain = std::is_same_v<typename R::Res, RealRow<T>>;
  const bool again_ = kMayFormAgain && a_.stream && cols_ > kNarrow&& a_.sum&& a_.rstd && !stages_ && !rare_;

  static bool GoesBackThroughStages(const BackwardArgs& a) {
    const bool scaled = a.pre.row_scale || a.pre.col_scale || a.pre.dropout.mode != DropoutStage::Mode::kNone;
    return (a.dx && scaled) || a.drow_scale || a.dcol_scale;
  }
};

template <class R>
HWY_NOINLINE void BackwardRowsOf(const BackwardArgs& args, RowRange range, std::byte* scratch, void* partials) {
  BackwardBlock<R>(args, range, scratch, partials).Run();
}

}  // namespace HWY_NAMESPACE
}  // namespace addnorm
HWY_AFTER_NAMESPACE();

#endif  // ADDNORM_CPU_BACKWARD_ROWS_INL_H_
