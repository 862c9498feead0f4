// SPDX-License-Identifier: Apache-2.0
// The grid (grid.h), forward and backward, on every SIMD target: same bits from all, values within the published bounds.
// ADDNORM_CASE=flags:123 (random:123, covering:123) runs that case alone.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>

#include "tests/compare.h"
#include "tests/grid.h"
#include "tests/trial.h"

namespace addnorm::test {
namespace {

constexpr size_t kShards = 16;
static_assert(kFlagCases + kRandomCases >= 30000);

class Rows : public ::testing::TestWithParam<size_t> {
 protected:
  static void TearDownTestSuite() {
    std::printf("%zu cases x %zu targets\n%s", cases_, AvailableTargets().size(), comparator_->Report().c_str());
    uint64_t judged = 0, unjudged = 0;
    for (const auto& [name, tally] : comparator_->tallies()) judged += tally.elements, unjudged += tally.unjudged;
    std::printf("%llu elements judged, %llu not (an fp32 intermediate may overflow there)\n", static_cast<unsigned long long>(judged),
                static_cast<unsigned long long>(unjudged));
    // A grid that judges nothing finds nothing.
    if (cases_ >= 1000 && unjudged > judged / 50) ADD_FAILURE() << "more than 2 % of the elements were not judged";
    delete comparator_;
  }
  static void SetUpTestSuite() { comparator_ = new Comparator; }

  // Every kShards-th case of a suite.
  void Run(const char* suite, size_t count, const std::function<Options(size_t)>& make) {
    size_t failures = 0;
    const char* only = std::getenv("ADDNORM_CASE");
    for (size_t i = GetParam(); i < count && failures < 3; i += kShards) {
      const std::string name = std::string(suite) + ":" + std::to_string(i);
      if (only != nullptr && name != only) continue;
      const Options options = make(i);
      const auto problem = MakeProblem(options);
      const std::string wrong = RunTrial(problem.get(), comparator_, "ADDNORM_CASE=" + name + " build/tests/rows_test");
      ++cases_;
      if (wrong.empty()) continue;
      ++failures;
      ADD_FAILURE() << wrong << "\n  case: " << Describe(options);
    }
  }

  static inline Comparator* comparator_ = nullptr;
  static inline size_t cases_ = 0;
};

TEST_P(Rows, AllFlags) { Run("flags", kFlagCases, FlagCase); }

TEST_P(Rows, Random) { Run("random", kRandomCases, RandomCase); }

TEST_P(Rows, Covering) {
  const std::vector<Options> cases = CoveringCases();
  EXPECT_EQ(CoveringViolations(), 0u);
  Run("covering", cases.size(), [&](size_t i) { return cases[i]; });
}

INSTANTIATE_TEST_SUITE_P(Shard, Rows, ::testing::Range(size_t{0}, kShards));

}  // namespace
}  // namespace addnorm::test
