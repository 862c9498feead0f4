// SPDX-License-Identifier: Apache-2.0
// What shares memory with what: two elements of one view, two views.
//
// Both are the question whether  sum_k stride_k d_k = target  has a solution in whole numbers low_k <= d_k <= high_k. Terms stand in the
// order of falling strides. Of a run of terms it is known
//   - which sums are in reach: multiples of the greatest common divisor of the strides, between the sums of the lows and of the highs;
//   - whether all of those are sums (`dense`): so it is where each stride is at most one step more than what the smaller ones cover.
// The terms are cut into groups: what comes after a group covers so little that few sums of the group are candidates, mostly one or two.
// In a group, the values of a term that the rest can make up for are an interval in one residue class. They are tried one by one, but the
// first will do if the rest is dense, as it always is in a group of one or two. A dimension of two slices of a tensor is such a group.
#include <algorithm>
#include <numeric>
#include <utility>

#include "doors/aclnn/src/view.h"

namespace addnorm::aclnn {
namespace {

__extension__ typedef __int128 Wide;

// b^-1 modulo m, for b in [0, m) without a common divisor; 0 if m = 1.
int64_t Inverse(int64_t b, int64_t m) {
  int64_t r0 = m, r1 = b, t0 = 0, t1 = 1;
  while (r1 > 1) {
    const int64_t q = r0 / r1;
    r0 = std::exchange(r1, r0 - q * r1);
    t0 = std::exchange(t1, t0 - q * t1);
  }
  return m == 1 ? 0 : t1 < 0 ? t1 + m : t1;
}
int64_t FloorDiv(int64_t a, int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }
int64_t CeilDiv(int64_t a, int64_t b) { return a / b + (a % b > 0 ? 1 : 0); }
int64_t Mod(int64_t a, int64_t m) { return a % m < 0 ? a % m + m : a % m; }

struct Term {
  int64_t stride, low, high;
};

// What is known of the sums of a run of terms.
struct Sums {
  int64_t low = 0, high = 0, divisor = 0;
  bool dense = true;

  // With another term, of a stride that is not smaller.
  Sums And(const Term& t) const {
    const int64_t common = std::gcd(t.stride, divisor);
    return {low + t.stride * t.low, high + t.stride * t.high, common,
            dense && (divisor == 0 || (common == divisor && t.stride <= high - low + common))};
  }
  bool Excludes(int64_t target) const { return target < low || target > high || (divisor == 0 ? target : target % divisor) != 0; }
};

// Extents are at most 2^46 elements of 4 bytes, so no sum overflows.
class Equation {
 public:
  // Terms of the same stride are one: the sums of two ranges of whole numbers are a range. stride > 0.
  void Add(int64_t stride, int64_t low, int64_t high) {
    for (int k = 0; k < count_; ++k) {
      if (terms_[k].stride == stride) {
        terms_[k].low += low;
        terms_[k].high += high;
        return;
      }
    }
    terms_[count_++] = {stride, low, high};
  }

  // After the last Add.
  void Prepare() {
    Sort();
    from_[count_] = {};
    for (int k = count_; k-- > 0;) from_[k] = from_[k + 1].And(terms_[k]);
    for (int begin = 0, end = 0; begin < count_; begin = end) {
      int64_t divisor = 0;
      do {
        divisor = std::gcd(divisor, terms_[end++].stride);
      } while ((from_[end].high - from_[end].low) / divisor > kFewCandidates);
      Sums sums;
      for (int k = end; k-- > begin; sums = steps_of_[k].sums) {
        Step& step = steps_of_[k];
        step.end = end;
        step.rest = sums;
        step.sums = sums.And(terms_[k]);
        step.period = sums.divisor == 0 ? 1 : sums.divisor / step.sums.divisor;
        step.inverse = Inverse(terms_[k].stride / step.sums.divisor % step.period, step.period);
      }
    }
  }

  // After Prepare.
  Sharing Solve(int64_t target) { return Solve(0, target); }

  // For ranges that are symmetric: whether 0 is a sum in more ways than one. Of two solutions of opposite sign the one that begins with a
  // positive value is looked for.
  Sharing SolveNonzero() {
    if (Nested()) return Sharing::kNone;
    Prepare();
    Sharing worst = Sharing::kNone;
    for (int k = 0; k < count_ && worst != Sharing::kSome; ++k) {
      worst = std::max(worst, SolveGroups(k, 0, [&](int64_t sum) { return Try(k, 1, sum); }));
    }
    return worst;
  }

 private:
  struct Step {
    int end;          // of the group
    Sums rest, sums;  // of the terms of the group behind this one, and with it
    int64_t period;   // values differ by multiples of it if the rest of the group is to make up for them
    int64_t inverse;
  };

  void Sort() {
    std::sort(terms_, terms_ + count_, [](const Term& a, const Term& b) { return a.stride > b.stride; });
  }
  // Each stride reaches beyond all that the smaller ones cover, as in every slice of a tensor. Cheap, and most often all there is to do.
  bool Nested() {
    Sort();
    int64_t covered = 0;
    for (int k = count_; k-- > 0; covered += terms_[k].stride * terms_[k].high) {
      if (terms_[k].stride <= covered) return false;
    }
    return true;
  }

  // All terms from k on, where a group begins.
  Sharing Solve(int k, int64_t target) {
    if (from_[k].Excludes(target)) return Sharing::kNone;
    return from_[k].dense ? Sharing::kSome : SolveGroups(k, target, [&](int64_t sum) { return SolveGroup(k, sum); });
  }

  // Splits the target into what the group of term k gives and what the groups behind it give. solve(sum): whether the group gives `sum`.
  template <class GroupSolver>
  Sharing SolveGroups(int k, int64_t target, GroupSolver solve) {
    const Step& step = steps_of_[k];
    const Sums& behind = from_[step.end];
    const int64_t divisor = step.sums.divisor, first = CeilDiv(target - behind.high, divisor) * divisor;
    Sharing worst = Sharing::kNone;
    for (int64_t sum = first; sum <= target - behind.low && worst != Sharing::kSome; sum += divisor) {
      if (++steps_ > kMaxSteps) return Sharing::kUnknown;
      const Sharing rest = Solve(step.end, target - sum);
      if (rest != Sharing::kNone) worst = std::max(worst, std::min(rest, solve(sum)));
    }
    return worst;
  }

  // The terms of a group from k on.
  Sharing SolveGroup(int k, int64_t target) {
    const Sums& sums = steps_of_[k].sums;
    if (sums.Excludes(target)) return Sharing::kNone;
    return sums.dense ? Sharing::kSome : Try(k, terms_[k].low, target);
  }

  // The values of term k from `low` on, from the middle outwards: the sums of the rest lie closest there.
  Sharing Try(int k, int64_t low, int64_t target) {
    const Term& t = terms_[k];
    const Step& step = steps_of_[k];
    if (target % step.sums.divisor != 0) return Sharing::kNone;
    low = std::max(low, CeilDiv(target - step.rest.high, t.stride));
    const int64_t high = std::min(t.high, FloorDiv(target - step.rest.low, t.stride));
    const int64_t quotient = Mod(target / step.sums.divisor, step.period);
    low += Mod(static_cast<int64_t>(static_cast<Wide>(quotient) * step.inverse % step.period) - low, step.period);
    if (low > high) return Sharing::kNone;
    if (step.rest.dense) return Sharing::kSome;
    const int64_t values = (high - low) / step.period + 1, middle = (values - 1) / 2;
    Sharing worst = Sharing::kNone;
    for (int64_t i = 0; i < values && worst != Sharing::kSome; ++i) {
      if (++steps_ > kMaxSteps) return Sharing::kUnknown;
      const int64_t d = low + (i % 2 == 0 ? middle - i / 2 : middle + (i + 1) / 2) * step.period;
      worst = std::max(worst, SolveGroup(k + 1, target - d * t.stride));
    }
    return worst;
  }

  static constexpr int kFewCandidates = 2;
  static constexpr int kMaxSteps = 1 << 18;  // some milliseconds
  Term terms_[2 * kMaxRank];
  Sums from_[2 * kMaxRank + 1];
  Step steps_of_[2 * kMaxRank];
  int count_ = 0, steps_ = 0;
};

}  // namespace

Sharing OverlapsItself(const View& view) noexcept {
  if (CountElements(view.shape, view.rank) == 0) return Sharing::kNone;
  const Folded fold = Fold(view.shape, view.strides, view.rank);
  Equation equation;  // index of one element - index of the other = 0
  for (int i = 0; i < fold.rank; ++i) {
    if (fold.strides[i] == 0) return Sharing::kSome;
    for (int j = 0; j < i; ++j) {
      if (fold.strides[j] == fold.strides[i]) return Sharing::kSome;
    }
    equation.Add(fold.strides[i], 1 - fold.shape[i], fold.shape[i] - 1);
  }
  return equation.SolveNonzero();
}

bool RangesMeet(const View& a, const View& b) noexcept {
  const int64_t extent_a = Extent(a), extent_b = Extent(b);
  if (extent_a == 0 || extent_b == 0) return false;
  const auto begin_a = reinterpret_cast<uintptr_t>(a.data), begin_b = reinterpret_cast<uintptr_t>(b.data);
  const auto bytes_a = static_cast<uintptr_t>(extent_a * a.element_bytes), bytes_b = static_cast<uintptr_t>(extent_b * b.element_bytes);
  return begin_a < begin_b ? begin_b - begin_a < bytes_a : begin_a - begin_b < bytes_b;
}

Sharing Intersect(const View& a, const View& b) noexcept {
  if (!RangesMeet(a, b)) return Sharing::kNone;
  Equation equation;  // offset in a - offset in b = distance, in bytes
  const Folded fold_a = Fold(a.shape, a.strides, a.rank), fold_b = Fold(b.shape, b.strides, b.rank);
  for (int i = 0; i < fold_a.rank; ++i) {
    if (fold_a.strides[i] != 0) equation.Add(fold_a.strides[i] * a.element_bytes, 0, fold_a.shape[i] - 1);
  }
  for (int i = 0; i < fold_b.rank; ++i) {
    if (fold_b.strides[i] != 0) equation.Add(fold_b.strides[i] * b.element_bytes, 1 - fold_b.shape[i], 0);
  }
  equation.Prepare();
  Sharing worst = Sharing::kNone;
  for (int byte = 1 - a.element_bytes; byte < b.element_bytes && worst != Sharing::kSome; ++byte) {
    worst = std::max(worst, equation.Solve(b.data - a.data + byte));
  }
  return worst;
}

}  // namespace addnorm::aclnn
