// SPDX-License-Identifier: Apache-2.0
// Would the grid notice? Every wrong formula of reference.h is put in the place of the right one, and the (right) outputs of the core
// are judged against it: for the comparator it is the same whether the core or the reference is wrong. All must be told apart.
#include <gtest/gtest.h>

#include <cstdio>
#include <set>

#include "addnorm/addnorm.h"
#include "tests/grid.h"
#include "tests/trial.h"

namespace addnorm::test {
namespace {

constexpr size_t kSample = 1500;  // of the grid's cases, at most

TEST(Mutants, EveryWrongFormulaIsNoticed) {
  std::set<Fault> alive;
  for (size_t fault = 1; fault < static_cast<size_t>(Fault::kCount); ++fault) alive.insert(static_cast<Fault>(fault));
  const size_t total = alive.size();
  ASSERT_GE(total, 40u);
  Comparator comparator;
  for (size_t i = 0; i < kSample && !alive.empty(); ++i) {
    const Options options = i % 2 ? FlagCase(i * 13 % kFlagCases) : RandomCase(i);
    const auto problem = MakeProblem(options);
    ASSERT_TRUE(Forward(problem->forward, SerialExecutor()).ok());
    ASSERT_TRUE(Backward(problem->backward, SerialExecutor()).ok());
    // The truth passes: what is noticed below is the fault and nothing else.
    ASSERT_EQ(JudgeForward(*problem, Fault::kNone, &comparator, "") + JudgeBackward(*problem, Fault::kNone, &comparator, ""), "")
        << Describe(options);
    for (auto fault = alive.begin(); fault != alive.end();) {
      std::string seen = JudgeForward(*problem, *fault, &comparator, "");
      if (seen.empty()) seen = JudgeBackward(*problem, *fault, &comparator, "");
      if (seen.empty()) {
        ++fault;
        continue;
      }
      std::printf("%-36s case %4zu: %s\n", NameOf(*fault), i, seen.substr(0, seen.find(';')).c_str());
      fault = alive.erase(fault);
    }
  }
  std::printf("%zu of %zu wrong formulas noticed\n", total - alive.size(), total);
  for (const Fault fault : alive) ADD_FAILURE() << "not noticed: " << NameOf(fault);
}

// The same from the other side: one number of a right result is changed by three times its bound.
TEST(Mutants, OneWrongElementIsNoticed) {
  Comparator comparator;
  size_t noticed = 0;
  for (size_t i = 0; i < 400; ++i) {
    Options options = RandomCase(i);
    options.data = Data::kNormal, options.has_y = true, options.gradients |= kDx0, options.eps = 1e-5;
    if (options.rows * options.cols == 0) continue;
    Settle(&options);
    const auto problem = MakeProblem(options);
    ASSERT_TRUE(Forward(problem->forward, SerialExecutor()).ok());
    const TensorView y = problem->y.view();
    if (!y.strides.empty()) continue;
    const Expected want = Reference(problem->forward).y;
    const size_t at = Mix(7, i) % want.value.size();
    const long double bound =
        static_cast<long double>(want.rule->units * want.unit * want.scale[at] + want.floor[at]) + Ulp(y.dtype, want.value[at]);
    Store(y.dtype, y.data, static_cast<ptrdiff_t>(at), want.value[at] + 3 * bound);
    EXPECT_NE(JudgeForward(*problem, Fault::kNone, &comparator, ""), "") << Describe(options);
    ++noticed;
  }
  EXPECT_GE(noticed, 80u);
}

}  // namespace
}  // namespace addnorm::test
