// SPDX-License-Identifier: Apache-2.0
// The tensor-parallel operator on a rank that runs out of memory: wherever that is, no rank has touched its outputs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <limits>
#include <new>
#include <vector>

#include "addnorm/parallel.h"
#include "tests/parallel_problem.h"

namespace {

constexpr int kNever = std::numeric_limits<int>::max();
thread_local int until_failure = kNever;  // requests that this thread may still make

bool Fails() { return until_failure != kNever && until_failure-- == 0; }

}  // namespace

// Where the operator asks for memory, it asks for a null pointer if there is none.
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  try {
    return Fails() ? nullptr : operator new(bytes);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void* operator new[](size_t bytes, const std::nothrow_t&) noexcept {
  try {
    return Fails() ? nullptr : operator new[](bytes);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void* operator new(size_t bytes, std::align_val_t align, const std::nothrow_t&) noexcept {
  try {
    return Fails() ? nullptr : operator new(bytes, align);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

namespace addnorm::test {
namespace {

TEST(ParallelMemory, NoOutputIsTouchedWhereverItEnds) {
  for (const bool own_residual : {false, true}) {
    // Rows too long for the stack, which a norm then needs a workspace for.
    ParallelProblem problem({.ranks = 2, .m = 3, .k = 2, .n = 20000});
    problem.FillOutputs(0x5A);
    const std::vector<std::byte> untouched[] = {problem.Outputs(0), problem.Outputs(1)};
    int failures = 0;
    for (bool done = false; !done; ++failures) {
      ASSERT_LT(failures, 100);
      problem.FillOutputs(0x5A);
      const std::vector<Status> statuses = OnRanks(2, [&](int q, Communicator& ranks) {
        MatmulAllReduceAddRmsNormProblem mine = problem.problem(q);
        mine.per_rank_residual = own_residual;
        if (q == 1) until_failure = failures;
        const Status status = MatmulAllReduceAddRmsNorm(mine, ranks, std::chrono::seconds(60), SerialExecutor());
        until_failure = kNever;
        return status;
      });
      done = statuses[0].ok() && statuses[1].ok();
      if (done) continue;
      EXPECT_THAT(statuses[1].message(), testing::HasSubstr("the_operator: "));
      EXPECT_THAT(statuses[0].message(), testing::HasSubstr("rank 1")) << "after " << failures << " requests";
      for (int q = 0; q < 2; ++q) EXPECT_EQ(problem.Outputs(q) == untouched[q], true) << "rank " << q << ", " << failures << " requests";
    }
    EXPECT_GE(failures, 4) << "the places that ask for memory were not met";
    EXPECT_EQ(problem.Compare(problem.Expect(), 1), "");
  }
}

}  // namespace
}  // namespace addnorm::test
