// SPDX-License-Identifier: Apache-2.0
// No byte outside an operand is read or written: every operand ends, or begins, at a page that must not be touched.
#include <gtest/gtest.h>

#include <cstdio>

#include "addnorm/addnorm.h"
#include "tests/trial.h"

namespace addnorm::test {
namespace {

// Every width of a row up to two vectors of the widest target and beyond, and the edges of the chunks of 256 columns.
std::vector<size_t> Columns() {
  std::vector<size_t> columns;
  for (size_t cols = 1; cols <= 130; ++cols) columns.push_back(cols);
  for (const size_t cols : {191, 192, 193, 255, 256, 257, 300, 511, 512, 513, 769, 1023, 1024, 1025, 2047}) columns.push_back(cols);
  return columns;
}

void RunAgainst(Placement placement) {
  Comparator comparator;
  size_t cases = 0;
  for (const size_t cols : Columns()) {
    for (uint64_t variant = 0; variant < 12; ++variant) {
      Options options = RandomOptions(Mix(cols, variant));
      options.cols = cols;
      options.rows = 1 + variant % 6;  // groups of four rows, and what is left of them
      options.placement = placement;
      options.wide = variant == 11;
      if (options.data == Data::kHuge) options.data = Data::kNormal;
      options.x0 = static_cast<DType>(variant % 3), options.residual = static_cast<DType>(variant / 3 % 3);
      options.weight = static_cast<DType>((variant + cols) % 3), options.prenorm = static_cast<DType>((variant + cols / 3) % 3);
      options.has_y = true;
      Settle(&options);
      const auto problem = MakeProblem(options);
      // A touched page ends the process, so say first what is being done.
      SCOPED_TRACE(Describe(options));
      ASSERT_EQ(RunTrial(problem.get(), &comparator, "build/tests/guard_test"), "") << Describe(options);
      ++cases;
    }
  }
  std::printf("%zu cases x %zu targets\n", cases, AvailableTargets().size());
}

TEST(Guard, PagesAfterEveryOperand) { RunAgainst(Placement::kGuardAfter); }
TEST(Guard, PagesBeforeEveryOperand) { RunAgainst(Placement::kGuardBefore); }

// The guard itself works: one element more than there is ends the process.
TEST(GuardDeathTest, TheGuardIsThere) {
  const Operand operand(DType::kF32, {17}, {}, false, Placement::kGuardAfter);
  const TensorView view = operand.view();
  EXPECT_EQ(Load(view.dtype, view.data, 16), 0);
  EXPECT_DEATH(std::printf("%Lg", Load(view.dtype, view.data, 17)), "");
  const Operand before(DType::kF32, {17}, {}, false, Placement::kGuardBefore);
  EXPECT_DEATH(std::printf("%Lg", Load(DType::kF32, before.view().data, -1)), "");
}

// The workspace of a plan, too: exactly the bytes asked for, at every alignment.
TEST(Guard, Workspace) {
  size_t needed = 0;
  for (uint64_t seed = 0; seed < 36; ++seed) {
    Options options = RandomOptions(seed);
    options.gradients |= kDweight | kDbias;
    options.rows = 1 + seed * 7 % 150;
    if (seed % 3 == 0) options.rows = 1 + seed % 2 * 4, options.cols = 9000 + seed * 37;  // beyond what lies on the stack
    Settle(&options);
    const auto problem = MakeProblem(options);
    ASSERT_TRUE(Forward(problem->forward, SerialExecutor()).ok());
    ASSERT_TRUE(Backward(problem->backward, SerialExecutor()).ok());
    std::vector<Operand*> outputs = problem->ForwardOutputs();
    for (Operand* output : problem->BackwardOutputs()) outputs.push_back(output);
    const Snapshot truth(outputs);
    for (int direction = 0; direction < 2; ++direction) {
      Plan plan;
      ASSERT_TRUE((direction ? MakePlan(problem->backward, &plan) : MakePlan(problem->forward, &plan)).ok());
      const size_t bytes = plan.workspace_bytes(SerialExecutor());
      needed += bytes != 0;
      for (const Placement placement : {Placement::kGuardAfter, Placement::kGuardBefore}) {
        const Operand memory(DType::kBool, {static_cast<int64_t>(bytes)}, {}, false, placement);
        ASSERT_TRUE(plan.Run({memory.bytes(), bytes}, SerialExecutor()).ok());
      }
    }
    ASSERT_EQ(truth.Difference(), "");
  }
  EXPECT_GE(needed, 10u);
}

}  // namespace
}  // namespace addnorm::test
