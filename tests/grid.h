// SPDX-License-Identifier: Apache-2.0
// The grid of cases that rows_test runs and mutants_test samples: numbered, so that one number brings a case back.
#ifndef ADDNORM_TESTS_GRID_H_
#define ADDNORM_TESTS_GRID_H_

#include <cstddef>
#include <vector>

#include "tests/problems.h"

namespace addnorm::test {

/// All 2^10 combinations of flags, at five p: everything else is drawn anew for each of kFlagRounds rounds. Small sizes.
inline constexpr size_t kFlagCombinations = 1024 * 5, kFlagRounds = 4;
inline constexpr size_t kFlagCases = kFlagCombinations * kFlagRounds;
Options FlagCase(size_t index);

/// Everything drawn, layouts and shapes included. Small sizes.
inline constexpr size_t kRandomCases = 10000;
Options RandomCase(size_t index);

/// Every pair of values of any two of: columns (1 .. 262144), rows (0 .. 65537), the 27 type triples and fp64, each flag, p, eps,
/// data class, weights, layout, where statistics come from. Pairs of more than kMostElements elements apart.
inline constexpr size_t kMostElements = size_t{1} << 18;
std::vector<Options> CoveringCases();
/// 0, unless the construction is broken.
size_t CoveringViolations();

}  // namespace addnorm::test
#endif  // ADDNORM_TESTS_GRID_H_
