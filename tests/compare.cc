// SPDX-License-Identifier: Apache-2.0
#include "tests/compare.h"

#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <limits>

#include "tests/numbers.h"
#include "tests/reference-inl.h"

namespace addnorm::test {
namespace {

__attribute__((format(printf, 1, 2))) std::string Text(const char* format, ...) {
  char text[512];
  va_list values;
  va_start(values, format);
  std::vsnprintf(text, sizeof(text), format, values);
  va_end(values);
  return text;
}

// |error| / bound of one element. NaN must meet NaN; an infinity one of the same sign, unless the bound reaches into overflow.
double Ratio(long double got, long double want, double slack, bool half_ulp, DType dtype) {
  const double wrong = std::numeric_limits<double>::infinity();
  if (std::isnan(want)) return std::isnan(got) ? 0 : wrong;
  if (std::isnan(got)) return wrong;
  if (std::isinf(want)) return got == want ? 0 : wrong;
  // The ulp of whatever number within the slack was rounded.
  const long double reach = std::fabs(want) + static_cast<long double>(slack);
  const long double bound = static_cast<long double>(slack) + (half_ulp ? Ulp(dtype, reach) / 2 : 0.0L);
  if (std::isinf(got)) {
    const long double towards = std::signbit(got) ? bound - want : bound + want;  // how far the bound reaches on that side
    return towards >= Largest(dtype) + Ulp(dtype, Largest(dtype)) / 2 ? 0 : wrong;
  }
  const long double error = std::fabs(got - want);
  if (error == 0) return 0;
  return bound == 0 ? wrong : static_cast<double>(error / bound);
}

std::vector<ptrdiff_t> AllOffsets(const TensorView& view) { return Offsets(view, 0, view.shape.size()); }

}  // namespace

Verdict Comparator::Check(const TensorView& got, const Expected& want, const std::string& repro, const TensorView& low) {
  Verdict verdict;
  const std::vector<ptrdiff_t> at = AllOffsets(got), low_at = low ? AllOffsets(low) : std::vector<ptrdiff_t>{};
  if (want.rule == nullptr || at.size() != want.value.size()) {
    verdict = {false, at.size(), std::numeric_limits<double>::infinity(), "the reference has another size: " + repro};
    return verdict;
  }
  const DType dtype = got.dtype, finer = low ? low.dtype : got.dtype;
  Tally& tally = tallies_[Text("%-15s %-8s u=2^%d", want.rule->name, NameOf(dtype), std::ilogb(want.unit))];
  const bool small_type = dtype == DType::kF16 || dtype == DType::kBF16;
  size_t worst = 0;
  for (size_t i = 0; i < at.size(); ++i) {
    const long double value = want.value[i];
    if (std::isinf(want.scale[i]) && std::isfinite(value)) {
      ++tally.unjudged;
      continue;
    }
    long double result = Load(dtype, got.data, at[i]);
    if (low) result += Load(low.dtype, low.data, low_at[i]);
    double slack = want.rule->units * want.unit * want.scale[i] + want.floor[i];
    bool half_ulp = want.rule->half_ulp;
    if (low) {  // two words: what is left is the rounding of the second
      slack += static_cast<double>(Ulp(finer, Load(finer, low.data, low_at[i])) / 2);
      half_ulp = false;
    }
    const double ratio = Ratio(result, value, slack, half_ulp, dtype);
    ++tally.elements;
    if (ratio > 1) ++verdict.failures;
    if (ratio > verdict.ratio) verdict.ratio = ratio, worst = i;
    if (!std::isfinite(value) || !std::isfinite(result)) continue;
    const double error = static_cast<double>(std::fabs(result - value));
    const double rounding = half_ulp ? static_cast<double>(Ulp(dtype, value) / 2) : 0;
    const double unit_error = (error - rounding - want.floor[i]) / (want.unit * want.scale[i]);
    if (want.scale[i] > 0 && unit_error > tally.worst_units) tally.worst_units = unit_error;
    tally.worst_error = std::max(tally.worst_error, error);
    if (small_type && result != Round(dtype, value)) ++tally.misrounded;
  }
  if (verdict.ratio > tally.worst_ratio) tally.worst_ratio = verdict.ratio, tally.worst_case = repro;
  verdict.ok = verdict.failures == 0;
  if (!verdict.ok) {
    verdict.message = Text("%s %s: %zu of %zu elements out of bounds; worst at [%zu]: got %.17Lg", want.rule->name, NameOf(dtype),
                           verdict.failures, at.size(), worst, Load(dtype, got.data, at[worst]));
    if (low) verdict.message += Text(" + %.9Lg", Load(low.dtype, low.data, low_at[worst]));
    verdict.message += Text(", expected %.17Lg, |error| = %.3g bounds (scale %.6g, floor %.3g)\n  again: ", want.value[worst],
                            verdict.ratio, want.scale[worst], want.floor[worst]) +
                       repro;
  }
  return verdict;
}

Verdict Comparator::CheckMask(const TensorView& got, const std::vector<uint8_t>& want, const std::string& repro) {
  Verdict verdict;
  const std::vector<ptrdiff_t> at = AllOffsets(got);
  const auto* bytes = static_cast<const uint8_t*>(got.data);
  Tally& tally = tallies_["mask"];
  tally.elements += want.size();
  for (size_t i = 0; i < want.size() && at.size() == want.size(); ++i) {
    if (bytes[at[i]] == want[i]) continue;
    if (verdict.failures++ == 0) {
      verdict.message = Text("mask: [%zu] is %d, expected %d\n  again: ", i, int{bytes[at[i]]}, int{want[i]}) + repro;
    }
  }
  if (at.size() != want.size()) verdict.failures = 1, verdict.message = "mask: the reference has another size: " + repro;
  verdict.ok = verdict.failures == 0;
  if (!verdict.ok) verdict.ratio = tally.worst_ratio = std::numeric_limits<double>::infinity();
  return verdict;
}

std::string Comparator::Report() const {
  std::string text = "output          type     of problem    elements  unjudged  misrounded  |error|/bound  units of u*scale\n";
  for (const auto& [name, tally] : tallies_) {
    text += Text("%-34s %12llu %9llu %10.4f%% %14.4f %17.3f  %s\n", name.c_str(), static_cast<unsigned long long>(tally.elements),
                 static_cast<unsigned long long>(tally.unjudged),
                 tally.elements ? 100.0 * static_cast<double>(tally.misrounded) / static_cast<double>(tally.elements) : 0.0,
                 tally.worst_ratio, tally.worst_units, tally.worst_case.c_str());
  }
  return text;
}

bool SameBits(const TensorView& a, const TensorView& b, size_t* where) {
  const size_t size = SizeOf(a.dtype);
  const size_t count = Product(a.shape);
  if (a.strides.empty() && b.strides.empty() && (count == 0 || std::memcmp(a.data, b.data, count * size) == 0)) return true;
  const std::vector<ptrdiff_t> at = AllOffsets(a), bt = AllOffsets(b);
  for (size_t i = 0; i < at.size(); ++i) {
    const char* x = static_cast<const char*>(a.data) + at[i] * static_cast<ptrdiff_t>(size);
    const char* y = static_cast<const char*>(b.data) + bt[i] * static_cast<ptrdiff_t>(size);
    if (std::memcmp(x, y, size) == 0) continue;
    if (a.dtype != DType::kBool && std::isnan(Load(a.dtype, a.data, at[i])) && std::isnan(Load(b.dtype, b.data, bt[i]))) continue;
    *where = i;
    return false;
  }
  return true;
}

}  // namespace addnorm::test
