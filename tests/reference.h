// SPDX-License-Identifier: Apache-2.0
// THE reference: the master formulas in wider precision, one naive loop per formula, straight from the operands' bits.
// Shares no code with src/. 16-bit and fp32 problems are computed in 80-bit (or wider) long double, fp64 problems in binary128.
//
// h itself is part of the definition (an fp32 value, or fp64: ((x0 * rowscale) * layerscale) * scale + residual + prebias, each step
// rounded), so statistics and everything after them are those of that h, in exact arithmetic.
// With each element comes the scale of its error bound, so that the comparator needs no knowledge of the formulas.
#ifndef ADDNORM_TESTS_REFERENCE_H_
#define ADDNORM_TESTS_REFERENCE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "addnorm/addnorm.h"

namespace addnorm::test {

/// The bound of one kind of output: |error| <= (half_ulp ? 1/2 ulp of the output type : 0) + units * u * scale + floor,
/// u = 2^-24, or 2^-53 where the problem is fp64. The figures are the published contract (docs/numerics.md).
struct Rule {
  const char* name;
  double units;
  bool half_ulp;
};
inline constexpr Rule kYRule{"y", 5, true};                   // scale S = |weight| (1 + |xhat|) + |bias|
inline constexpr Rule kXhatRule{"xhat", 5, true};             // scale 1 + |xhat|
inline constexpr Rule kPreNormRule{"prenorm", 5, true};       // scale |scale x0 rowscale layerscale| + |residual| + |prebias|
inline constexpr Rule kStoredRule{"prenorm bits", 0, false};  // h rounded once: nothing else is right
inline constexpr Rule kMeanRule{"mean", 1, true};             // scale sigma
// Rows of a few repeated values (alternating, or constant with dropout) are another matter: all lanes round alike, so nothing averages
// out, and 2.6 u sigma was seen. What can be proved for 512 columns in 64 lanes, 8 terms each, is 7 u mean|d| of the d that are summed,
// which is mean|h - m| and at most a third of sigma more.
inline constexpr Rule kRepeatedMeanRule{"mean, repeated", 7, true};
inline constexpr Rule kRstdRule{"rstd", 4, false};  // scale rstd
inline constexpr Rule kDxRule{"dx", 6, true};       // scale K = q (|w| + (1 + |xhat|) mean(|w| (1 + |xhat|))) + |dsum|
// Given statistics are not those of the row, so t = q (w - c2 - xhat c1) may consist of its last product alone, with none of the
// cancellation that keeps the rule above far from its worst case. Roundings of that product: xhat 2, twice; w; w xhat; c1; c3; two
// differences; two products; and three more on the way to dx0.
inline constexpr Rule kGivenDxRule{"dx, given", 14, true};
inline constexpr Rule kColumnRule{"column gradient", 16, true};  // scale sum |terms|, and what the terms themselves may be off by
inline constexpr Rule kRowRule{"drowscale", 16, true};           // the same over a row

/// What one output tensor should hold, element by element in row-major order.
struct Expected {
  const Rule* rule = nullptr;  // null: not wanted
  double unit = 0;             // u
  std::vector<long double> value;
  /// Infinite where an intermediate of the problem's own precision may overflow: any result is allowed there, and counted.
  std::vector<double> scale;
  /// Underflow: a few of the smallest fp32 (fp64) numbers, amplified as the formula amplifies them. A bound that is relative
  /// to a magnitude cannot hold where products lose bits to denormals, and nothing in the contract asks for more than fp32 range.
  std::vector<double> floor;
};

struct ForwardExpected {
  Expected y, prenorm, stored, mean, repeated_mean, rstd;  // the two means: one value, two bounds
  std::vector<uint8_t> keep;
};
struct BackwardExpected {
  Expected dx0, dresidual, xhat, drowscale, dweight, dbias, dlayerscale;
};

/// Wrong formulas. A test suite that cannot tell the truth from any one of these is not worth its time (mutants_test).
enum class Fault : uint8_t {
  kNone,
  // Forward.
  kMaskInverted,
  kMaskShifted,
  kScaleMissing,
  kOffsetIgnored,
  kRowBaseIgnored,
  kColBaseIgnored,
  kColsTotalIgnored,
  kSeedHighIgnored,
  kRowscaleMissing,
  kLayerscaleMissing,
  kLayerscaleShifted,
  kResidualMissing,
  kResidualScaled,
  kPrebiasMissing,
  kRoundedPreNorm,
  kEpsOutside,
  kEpsMissing,
  kVarianceUnbiased,
  kMeanLoMissing,
  kVarianceUncentred,
  kTailMissing,
  kNormSwapped,
  kWeightMissing,
  kBiasMissing,
  kWeightZeroCentred,
  kXhatRounded,
  // Backward.
  kC1Missing,
  kC2Missing,
  kC2InRms,
  kDsumMissing,
  kDsumScaled,
  kWeightMissingInC1,
  kDweightOfW,
  kDbiasOfW,
  kDweightLastRowMissing,
  kDx0Unmasked,
  kDx0Unscaled,
  kDresidualMasked,
  kDx0WithoutLayerscale,
  kDlayerscaleWithoutRowscale,
  kDlayerscaleOfScaled,
  kDrowscaleWithoutLayerscale,
  kGivenStatisticsIgnored,
  kVarianceTermMissing,
  kVarianceTermAlways,
  kDenseDweightRounding,
  kCount,
};
const char* NameOf(Fault fault);

/// Only views of inputs are read; outputs say what is wanted and may point anywhere.
ForwardExpected Reference(const ForwardProblem& problem, Fault fault = Fault::kNone);
/// repeats: rows of a few repeated values, whose mean has a rule of its own.
BackwardExpected Reference(const BackwardProblem& problem, Fault fault = Fault::kNone, bool repeats = false);

}  // namespace addnorm::test
#endif  // ADDNORM_TESTS_REFERENCE_H_
