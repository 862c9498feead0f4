// SPDX-License-Identifier: Apache-2.0
// The matmul kernels: within the bound, exact for int8, the same bits on every target and however the work is cut.
#include <gtest/gtest.h>

#include <cfenv>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "src/cpu/matmul_dot.h"
#include "tests/matmul_problem.h"
#include "tests/threads.h"

namespace addnorm::test {
namespace {

// A sanitizer's build does one in this many of the random cases, and shorter long rows.
#ifndef ADDNORM_TEST_SHARE
#define ADDNORM_TEST_SHARE 1
#endif
constexpr uint64_t kShare = ADDNORM_TEST_SHARE;

constexpr DType kFloats[] = {DType::kF32, DType::kF16, DType::kBF16};

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
  // A touched guard page ends the process, so say first what is being done.
  SCOPED_TRACE(Describe(options));
  const MatmulProblem problem(options);
  const std::vector<float> first = problem.Run({.target = Targets()[0]});
  ASSERT_EQ(problem.Check(first), "");
  for (const Target* target : Targets()) {
    for (const bool packed : {false, true}) {
      ASSERT_EQ(Difference(first, problem.Run({.target = target, .packed = packed})), "")
          << Targets()[0]->name << " unpacked and " << target->name << (packed ? " packed" : " unpacked");
    }
  }
}

TEST(Matmul, RandomProblems) {
  for (uint64_t seed = 0; seed < 700; seed += kShare) {
    CheckEverywhere(RandomMatmulOptions(seed));
    if (HasFatalFailure()) return;
  }
}

// Every n with every k, every m and every mix of types in turn.
TEST(Matmul, Sizes) {
  const size_t sizes[] = {1, 2, 3, 7, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 257};
  uint64_t seed = 0;
  for (const size_t n : sizes) {
    for (const size_t k : sizes) {
      MatmulOptions o = RandomMatmulOptions(++seed + 10000);
      o.m = sizes[seed % std::size(sizes)], o.n = n, o.k = k;
      const size_t mix = seed % 13;
      o.x1 = mix == 12 ? DType::kI8 : kFloats[mix % 3], o.x2 = mix >= 9 ? DType::kI8 : kFloats[mix / 3];
      if (o.group > k) o.group = 1 + seed % k;
      CheckEverywhere(o);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(Matmul, Empty) {
  for (const size_t m : {size_t{0}, size_t{3}}) {
    for (const DType dtype : {DType::kF32, DType::kBF16, DType::kI8}) {
      const MatmulProblem problem({.m = m, .n = m == 0 ? size_t{5} : size_t{0}, .k = 9, .x1 = dtype, .x2 = dtype});
      for (const Target* target : Targets()) {
        EXPECT_TRUE(problem.Run({.target = target}).empty());
        EXPECT_TRUE(problem.Run({.target = target, .packed = true}).empty());
      }
    }
  }
}

TEST(Matmul, NothingToSum) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kI8}) CheckEverywhere({.m = 3, .n = 5, .k = 0, .x1 = dtype, .x2 = dtype});
}

// Sums at the ends of int32, beyond 2^24 where fp32 has holes, and beyond int32.
TEST(Matmul, Int8IsExact) {
  uint64_t seed = 0;
  for (const size_t k : {size_t{1040}, size_t{65535}, size_t{131071}, size_t{131072}, size_t{262145}}) {
    for (const Values values : {Values::kLowest, Values::kExtreme, Values::kNormal}) {
      MatmulOptions o = {.seed = ++seed, .m = 3, .n = 35, .k = k, .x1 = DType::kI8, .x2 = DType::kI8};
      o.transposed = seed % 2 == 0, o.values = values, o.per_column = seed % 3 != 0;
      CheckEverywhere(o);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(Matmul, LongRows) {
  uint64_t seed = 500;
  for (const DType x1 : kFloats) {
    for (const DType x2 : {x1, DType::kI8}) {
      MatmulOptions o = {.seed = ++seed, .m = 3, .n = 34, .k = 131073 / kShare, .x1 = x1, .x2 = x2};
      o.transposed = seed % 2 == 0, o.values = Values::kWide, o.group = seed % 3 == 0 ? 128 : 0;
      CheckEverywhere(o);
      if (HasFatalFailure()) return;
    }
  }
}

// The worst case of the bound: 1, and then terms of just less than half of its last bit. They are lost in the block of the 1 and
// nowhere else, so blocks of more than 64 would miss the bound.
TEST(Matmul, BlocksOf64) {
  constexpr size_t kK = 1000;
  for (const bool quantised : {false, true}) {
    std::vector<float> x1(kK, 0x1.fffffep-25f), weights(kK, 1.0f);
    const std::vector<int8_t> q(kK, 1);
    for (size_t i = 0; i < kK; i += 256) x1[i + 1] = 1.0f;  // the odd one of a pair comes first
    const float one = 1.0f;
    MatmulArgs args = {.m = 1, .n = 1, .k = kK, .x1 = {x1.data(), kK, DType::kF32}, .x2 = {weights.data(), 1, 1, DType::kF32}};
    if (quantised) args.x2 = {q.data(), 1, 1, DType::kI8}, args.antiquant.scale = &one;
    long double sum = 0;
    for (const float x : x1) sum += static_cast<long double>(x);
    for (const Target* target : Targets()) {
      float got = 0;
      std::vector<std::byte> workspace(MatmulWorkspaceBytes(*target, args, false, SerialExecutor()));
      RunMatmul(*target, args, nullptr, {0, 1}, &got, 1, workspace, SerialExecutor());
      // The bound is for the sum of magnitudes, 4; what is lost follows each of the four 1s.
      EXPECT_LE(std::fabs(static_cast<long double>(got) - sum), (kK / 64.0L + 4 * 64) * 0x1p-24L) << target->name;
      EXPECT_NE(static_cast<long double>(got), sum);
    }
  }
}

// More rows than a group has, more columns than a strip.
TEST(Matmul, Large) {
  const DType mixes[][2] = {{DType::kF32, DType::kF32}, {DType::kBF16, DType::kBF16}, {DType::kF16, DType::kI8}, {DType::kI8, DType::kI8}};
  for (const auto& mix : mixes) {
    const MatmulProblem problem({.seed = 7, .m = 300, .n = 300, .k = 700, .x1 = mix[0], .x2 = mix[1], .transposed = true});
    const std::vector<float> first = problem.Run({.target = Targets()[0], .packed = true});
    ASSERT_EQ(problem.Check(first), "");
    for (const Target* target : Targets()) ASSERT_EQ(Difference(first, problem.Run({.target = target})), "") << target->name;
  }
}

TEST(Matmul, ThreadsAndRowBlocksDoNotMatter) {
  size_t loops = 0;
  for (uint64_t seed = 0; seed < 80; ++seed) {
    MatmulOptions o = RandomMatmulOptions(seed + 20000);
    if (seed % 2 == 0) o.m = 20 + seed * 3, o.n = 40 + seed * 5, o.k = 150 + seed;  // enough for threads
    if (seed % 8 == 0) o.n = 20;                                                    // few strips: tasks share one
    o.group = std::min(o.group, o.k);
    SCOPED_TRACE(Describe(o));
    const MatmulProblem problem(o);
    const Target* target = Targets()[seed % Targets().size()];
    const std::vector<float> whole = problem.Run({.target = target});
    for (const size_t threads : {1, 2, 3, 7}) {
      RandomThreads pool(threads, seed);
      const Executor executor = pool.executor();
      const size_t rows = seed % 3 == 0 ? 0 : 1 + seed * threads % 37;
      for (const bool packed : {false, true}) {
        ASSERT_EQ(Difference(whole, problem.Run({.target = target, .packed = packed, .rows_at_once = rows, .executor = &executor})), "")
            << threads << " threads, " << rows << " rows at once, " << target->name;
      }
      loops += pool.loops();
    }
  }
  EXPECT_GE(loops, 300u);
}

TEST(Matmul, GuardPages) {
  for (const Placement placement : {Placement::kGuardAfter, Placement::kGuardBefore}) {
    for (uint64_t seed = 0; seed < 200; seed += kShare) {
      MatmulOptions o = RandomMatmulOptions(seed + 30000);
      o.placement = placement;
      CheckEverywhere(o);
      if (HasFatalFailure()) return;
    }
  }
}

// bf16 at the edge of what vdpbf16ps can do: sums just above and just below the smallest normal number.
TEST(Matmul, DotProductsOfTheCpu) {
  for (const Target* target : Targets()) {
    const MatmulDots& dots = MatmulDotsOf(target->name);
    std::printf("%s: dot products of bf16 %s, of int8 %s\n", target->name, dots.bf16 ? "used" : "not used",
                dots.int8 ? "used" : "not used");
  }
  for (uint64_t seed = 0; seed < 120; seed += kShare) {
    for (const DType x2 : {DType::kBF16, DType::kI8}) {
      MatmulOptions o = RandomMatmulOptions(seed + 40000);
      o.x1 = DType::kBF16, o.x2 = x2, o.values = Values::kBoundary, o.has_bias = false, o.scale = DType::kF32;
      CheckEverywhere(o);
      if (HasFatalFailure()) return;
    }
  }
}

// Another rounding mode, and flushed subnormals: every thread computes as the caller would. Targets that emulate the fused
// multiply-add do so for round to nearest only.
TEST(Matmul, FollowsTheCallersMode) {
  if (Targets().size() < 2 || std::strcmp(Targets()[1]->name, "AVX2") != 0) GTEST_SKIP() << "needs two targets with a fused multiply-add";
  size_t differ = 0;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    MatmulOptions o = RandomMatmulOptions(seed + 50000);
    o.m = 40, o.n = 300, o.k = 100, o.group = 0, o.values = Values::kNormal;
    if (seed % 2 == 0) o.x1 = DType::kBF16, o.x2 = seed % 4 == 0 ? DType::kBF16 : DType::kI8;
    const MatmulProblem problem(o);
    // On the pool, whose threads began in round to nearest.
    const std::vector<float> nearest = problem.Run({.target = Targets()[0], .executor = &DefaultExecutor()});
    std::fesetround(FE_UPWARD);
    const std::vector<float> up = problem.Run({.target = Targets()[0], .executor = &DefaultExecutor()});
    const std::vector<float> same = problem.Run({.target = Targets()[1]});
    std::fesetround(FE_TONEAREST);
    ASSERT_EQ(Difference(up, same), "") << Describe(o);
    differ += Difference(nearest, up).empty() ? 0 : 1;
  }
  EXPECT_GE(differ, 20u);
}

}  // namespace
}  // namespace addnorm::test
