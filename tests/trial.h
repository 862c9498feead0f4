// SPDX-License-Identifier: Apache-2.0
// One case: a problem, forward then backward, on every SIMD target of this machine.
#ifndef ADDNORM_TESTS_TRIAL_H_
#define ADDNORM_TESTS_TRIAL_H_

#include <string>
#include <vector>

#include "tests/compare.h"
#include "tests/problems.h"

namespace addnorm::test {

/// Asserts, in this order: the calls succeed; inputs and the bytes between rows are untouched; all targets give the same bits;
/// the values are within the bounds. Empty = all well; otherwise what is wrong, ending in `repro`.
std::string RunTrial(Problem* problem, Comparator* comparator, const std::string& repro);

/// The two halves of the judgement alone, on outputs that are already there.
std::string JudgeForward(const Problem& problem, Fault fault, Comparator* comparator, const std::string& repro);
std::string JudgeBackward(const Problem& problem, Fault fault, Comparator* comparator, const std::string& repro);

/// The bytes of some operands at one moment.
class Snapshot {
 public:
  explicit Snapshot(const std::vector<Operand*>& operands);
  /// Empty if every operand still has these elements (NaN = NaN); otherwise which one has not, and where.
  std::string Difference() const;

 private:
  std::vector<Operand*> operands_;
  std::vector<std::vector<std::byte>> bytes_;
};

}  // namespace addnorm::test
#endif  // ADDNORM_TESTS_TRIAL_H_
