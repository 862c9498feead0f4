// SPDX-License-Identifier: Apache-2.0
// The matmul kernels: within the bound, exact for int8, the same bits on every target and however the work is cut.
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "tests/matmul_problem.h"
#include "tests/threads.h"

namespace addnorm::test {
namespace {

std::vector<const Target*> Targets() {
  std::vector<const Target*> targets;
  for (const Target* target : BuiltTargets()) {
    if (target->supported()) targets.push_back(target);
  }
  return targets;
}

// "" if all bits are equal.
std::string Difference(const std::vector<float>& a, const std::vector<float>& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::memcmp(&a[i], &b[i], 4) == 0) continue;
    char text[100];
    std::snprintf(text, sizeof(text), "element %zu: %a and %a", i, a[i], b[i]);
    return text;
  }
  return "";
}

// Every target, packed and not: the same bits, and right.
void CheckEverywhere(const MatmulOptions& options) {
  const MatmulProblem problem(options);
  const std::vector<float> first = problem.Run({.target = Targets()[0]});
  ASSERT_EQ(problem.Check(first), "") << Describe(options);
  for (const Target* target : Targets()) {
    for (const bool packed : {false, true}) {
      ASSERT_EQ(Difference(first, problem.Run({.target = target, .packed = packed})), "")
          << Targets()[0]->name << " unpacked and " << target->name << (packed ? " packed: " : " unpacked: ") << Describe(options);
    }
  }
}

TEST(Matmul, RandomProblems) {
  for (uint64_t seed = 0; seed < 600; ++seed) {
    CheckEverywhere(RandomMatmulOptions(seed));
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace addnorm::test
