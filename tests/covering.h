// SPDX-License-Identifier: Apache-2.0
// Covering arrays: few rows in which every pair of values of every two factors occurs.
#ifndef ADDNORM_TESTS_COVERING_H_
#define ADDNORM_TESTS_COVERING_H_

#include <cstddef>
#include <functional>
#include <vector>

namespace addnorm::test {

/// May value `a` of factor `i` occur together with value `b` of factor `j`?
using PairRule = std::function<bool(size_t i, size_t a, size_t j, size_t b)>;

/// levels[i] = number of values of factor i. Greedy and deterministic: row after row takes the values that cover the most
/// pairs not yet covered. Every allowed pair occurs in some row, no forbidden one in any.
std::vector<std::vector<size_t>> CoveringArray(const std::vector<size_t>& levels, const PairRule& allowed);

/// Number of allowed pairs that do not occur, and of forbidden ones that do: 0 for a covering array.
size_t CountViolations(const std::vector<std::vector<size_t>>& rows, const std::vector<size_t>& levels, const PairRule& allowed);

}  // namespace addnorm::test
#endif  // ADDNORM_TESTS_COVERING_H_
