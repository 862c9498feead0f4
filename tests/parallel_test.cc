// SPDX-License-Identifier: Apache-2.0
// The tensor-parallel operator on threads as ranks: values, and the same bits however it is run.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "addnorm/parallel.h"
#include "tests/parallel_problem.h"
#include "tests/threads.h"

namespace addnorm::test {
namespace {

using enum DType;

// How a problem is run; results must not depend on it.
struct Way {
  int64_t comm_turn = 0;
  size_t threads = 1;  // of each rank
  bool prepared = false;
  const char* target = nullptr;
};

Status RunRank(const MatmulAllReduceAddRmsNormProblem& given, Communicator& ranks, const Way& way, uint64_t seed) {
  MatmulAllReduceAddRmsNormProblem problem = given;
  problem.comm_turn = way.comm_turn;
  if (Status status = SetThreadTarget(way.target); !status.ok()) return status;
  PreparedWeightsPtr prepared;
  if (way.prepared) {
    if (Status status = PrepareWeights(problem, &prepared); !status.ok()) return status;
    problem.prepared = prepared.get();
    problem.x2 = problem.antiquant_scale = problem.antiquant_offset = {};
    problem.antiquant_group_size = 0;
  }
  RandomThreads threads(way.threads, seed);
  return MatmulAllReduceAddRmsNorm(problem, ranks, std::chrono::seconds(60), way.threads == 1 ? SerialExecutor() : threads.executor());
}

void RunOn(ParallelProblem& problem, const Way& way = {}) {
  problem.FillOutputs(0xC3);
  const std::vector<Status> statuses = OnRanks(problem.options().ranks, [&](int q, Communicator& ranks) {
    return RunRank(problem.problem(q), ranks, way, static_cast<uint64_t>(q));
  });
  for (const Status& status : statuses) ASSERT_TRUE(status.ok()) << status.message() << " (" << Describe(problem.options()) << ")";
  for (int q = 1; q < problem.options().ranks; ++q)
    ASSERT_EQ(problem.Outputs(q), problem.Outputs(0)) << "ranks " << q << " and 0 differ (" << Describe(problem.options()) << ")";
}

void RunAndCompare(const ParallelOptions& options, const Way& way = {}) {
  ParallelProblem problem(options);
  RunOn(problem, way);
  if (::testing::Test::HasFatalFailure()) return;
  ASSERT_EQ(problem.Compare(problem.Expect(), 0), "");
}

constexpr int kRanks[] = {1, 2, 3, 4, 8};

TEST(Parallel, Int8AgainstExactIntegers) {
  uint64_t seed = 0;
  for (const int ranks : kRanks) {
    for (const Bias bias : {Bias::kNone, Bias::kOneRank, Bias::kAllRanks}) {
      for (const DType scale : {kF32, kBF16, kI64, kU64}) {
        for (const ScaleShape shape : {ScaleShape::kTensor, ScaleShape::kVector, ScaleShape::kMatrix}) {
          ++seed;
          ParallelOptions o{
              .kind = Kind::kInt8, .seed = seed, .ranks = ranks, .x1 = kI8, .x2 = kI8, .scale = scale, .scale_shape = shape, .bias = bias};
          const DType results[] = {kF16, kBF16, kF32};
          o.residual = results[seed % 3], o.gamma = results[seed / 3 % 3];
          o.m = 1 + static_cast<int64_t>(seed % 11), o.n = 1 + static_cast<int64_t>(seed * 7 % 90),
          o.k = 1 + static_cast<int64_t>(seed * 13 % 300);
          o.transposed = seed % 2, o.padded = seed % 5 == 0, o.uneven_k = seed % 3 == 0;
          RunAndCompare(o);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

// Sums beyond 2^24, which fp32 cannot hold, up to the largest that spec 001 allows.
TEST(Parallel, Int8SumsAreExact) {
  for (const int64_t k : {2000, 65535, 140000}) {
    for (const Values values : {Values::kExtreme, Values::kOddLarge}) {
      for (const int ranks : {1, 2}) {
        RunAndCompare({.kind = Kind::kInt8,
                       .seed = 5,
                       .ranks = ranks,
                       .m = 3,
                       .k = k,
                       .n = 5,
                       .x1 = kI8,
                       .x2 = kI8,
                       .scale_shape = ScaleShape::kVector,
                       .bias = Bias::kAllRanks,
                       .values = values,
                       .transposed = k != 2000});
      }
    }
  }
}

TEST(Parallel, FloatWithinTheBounds) {
  uint64_t seed = 100;
  const DType types[] = {kF32, kF16, kBF16};
  for (const int ranks : kRanks) {
    for (const Bias bias : {Bias::kNone, Bias::kOneRank, Bias::kAllRanks}) {
      for (const DType x1 : types) {
        ++seed;
        ParallelOptions o{.seed = seed,
                          .ranks = ranks,
                          .x1 = x1,
                          .x2 = seed % 4 ? x1 : types[seed % 3],
                          .residual = types[seed / 3 % 3],
                          .gamma = types[seed / 9 % 3],
                          .bias = bias};
        o.m = 1 + static_cast<int64_t>(seed % 13), o.n = 1 + static_cast<int64_t>(seed * 7 % 100),
        o.k = 1 + static_cast<int64_t>(seed * 17 % 700);
        o.transposed = seed % 2, o.padded = seed % 5 == 0, o.uneven_k = seed % 3 == 0;
        RunAndCompare(o);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST(Parallel, Int8WeightsWithinTheBounds) {
  uint64_t seed = 200;
  const DType types[] = {kF32, kF16, kBF16};
  for (const int ranks : kRanks) {
    for (const int64_t group : {0, 1, 32, 50, 64, 1000}) {
      for (const bool offset : {false, true}) {
        ++seed;
        ParallelOptions o{.kind = Kind::kInt8Weights,
                          .seed = seed,
                          .ranks = ranks,
                          .k = 70 + static_cast<int64_t>(seed % 100),
                          .x1 = types[seed % 3],
                          .x2 = kI8,
                          .residual = types[seed / 3 % 3],
                          .scale = types[seed / 2 % 3],
                          .offset = offset,
                          .group = group};
        const ScaleShape shapes[] = {ScaleShape::kTensor, ScaleShape::kVector, ScaleShape::kMatrix};
        o.scale_shape = group ? ScaleShape::kGroups : shapes[seed % 3];
        o.transposed = seed % 2, o.padded = seed % 5 == 0, o.bias = seed % 3 ? Bias::kNone : Bias::kAllRanks;
        RunAndCompare(o);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST(Parallel, NarrowPartialSums) {
  for (const DType comm : {kF16, kBF16}) {
    for (const int ranks : {1, 2, 3}) {
      RunAndCompare({.kind = Kind::kInt8, .seed = 7, .ranks = ranks, .m = 9, .k = 40, .x1 = kI8, .x2 = kI8, .comm_dtype = comm});
      RunAndCompare({.seed = 8, .ranks = ranks, .m = 9, .x1 = kBF16, .x2 = kBF16, .comm_dtype = comm}, {.comm_turn = 3});
    }
  }
}

// The same bits for every number of blocks and threads, prepared or not, on every SIMD target.
TEST(Parallel, BitsDoNotDependOnTheWay) {
  const ParallelOptions problems[] = {
      {.seed = 31,
       .ranks = 3,
       .m = 29,
       .k = 333,
       .n = 70,
       .x1 = kBF16,
       .x2 = kBF16,
       .residual = kBF16,
       .gamma = kBF16,
       .bias = Bias::kAllRanks},
      {.seed = 32, .ranks = 4, .m = 17, .k = 200, .n = 40, .transposed = true},
      {.kind = Kind::kInt8, .seed = 33, .ranks = 2, .m = 23, .k = 300, .n = 50, .x1 = kI8, .x2 = kI8, .residual = kF16, .scale = kU64},
      {.kind = Kind::kInt8Weights,
       .seed = 34,
       .ranks = 2,
       .m = 23,
       .k = 300,
       .n = 50,
       .x1 = kF16,
       .x2 = kI8,
       .residual = kF16,
       .scale = kF16,
       .scale_shape = ScaleShape::kGroups,
       .offset = true,
       .group = 48},
  };
  for (const ParallelOptions& options : problems) {
    ParallelProblem problem(options);
    RunOn(problem);
    const std::vector<std::byte> first = problem.Outputs(0);
    ASSERT_EQ(problem.Compare(problem.Expect(), 0), "");
    std::vector<Way> ways;
    for (const int64_t turn : {1, 2, 3, 7, 100}) ways.push_back({.comm_turn = turn});
    for (const size_t threads : {2, 5}) ways.push_back({.comm_turn = 2, .threads = threads});
    ways.push_back({.prepared = true});
    ways.push_back({.comm_turn = 3, .threads = 2, .prepared = true});
    for (const char* target : AvailableTargets()) ways.push_back({.comm_turn = 2, .target = target});
    for (const Way& way : ways) {
      RunOn(problem, way);
      ASSERT_EQ(problem.Outputs(0), first) << "comm_turn " << way.comm_turn << " threads " << way.threads << " prepared " << way.prepared
                                           << " target " << (way.target ? way.target : "default") << " (" << Describe(options) << ")";
    }
  }
}

// Large enough that the automatic layout has several blocks, and every rank several slices of rows.
TEST(Parallel, AutomaticBlocksOverlap) {
  const ParallelOptions options{
      .kind = Kind::kInt8, .seed = 41, .ranks = 3, .m = 530, .k = 3, .n = 8192, .x1 = kI8, .x2 = kI8, .residual = kBF16};
  ParallelProblem problem(options);
  RunOn(problem, {.threads = 2});
  if (HasFatalFailure()) return;
  EXPECT_EQ(problem.Compare(problem.Expect(), 0), "");
}

TEST(Parallel, YMayBeTheResidual) {
  ParallelProblem problem({.kind = Kind::kInt8, .seed = 51, .ranks = 2, .m = 11, .x1 = kI8, .x2 = kI8, .residual = kF16});
  const ParallelExpected expected = problem.Expect();
  for (int q = 0; q < 2; ++q) {  // each rank its own residual, which becomes y
    Operand mine(kF16, {11, 33}, {}, false, Placement::kHeap);
    for (int64_t i = 0; i < 11; ++i) {
      for (int64_t j = 0; j < 33; ++j) Put(mine.view(), i, j, At(problem.of(q).residual.view(), i, j));
    }
    problem.of(q).residual = problem.of(q).y = mine;
  }
  for (const Status& status : OnRanks(2, [&](int q, Communicator&ranks) { return RunRank(problem.problem(q), ranks, {}, 1); }))
    ASSERT_TRUE(status.ok()) << status.message();
  for (int q = 0; q < 2; ++q) EXPECT_EQ(problem.Compare(expected, q), "");
}

// Ranks that add residuals of their own, in place too; where they are alike, the bits are those of the shared result.
TEST(Parallel, ResidualsOfTheirOwn) {
  for (const int ranks : kRanks) {
    ParallelProblem problem({.kind = Kind::kInt8,
                             .seed = 53 + static_cast<uint64_t>(ranks),
                             .ranks = ranks,
                             .m = 21,
                             .x1 = kI8,
                             .x2 = kI8,
                             .residual = kF16,
                             .padded = ranks == 2});
    RunOn(problem);
    if (HasFatalFailure()) return;
    const std::vector<std::byte> shared = problem.Outputs(0);
    const auto run = [&](int64_t comm_turn) {
      for (const Status& status : OnRanks(ranks, [&](int q, Communicator&communicator) {
             MatmulAllReduceAddRmsNormProblem p = problem.problem(q);
             p.per_rank_residual = true;
             p.comm_turn = comm_turn;
             return MatmulAllReduceAddRmsNorm(p, communicator);
           }))
        ASSERT_TRUE(status.ok()) << status.message();
    };
    problem.FillOutputs(0xC3);
    run(0);
    for (int q = 0; q < ranks; ++q) ASSERT_EQ(problem.Outputs(q), shared);
    for (int q = 0; q < ranks; ++q) {
      RankOperands& r = problem.of(q);
      r.gamma = Operand(kF32, {33}, {}, false, Placement::kHeap);
      for (int64_t j = 0; j < 33; ++j) Put(r.gamma.view(), 0, j, q + j);
      for (int64_t i = 0; i < 21; ++i) {
        for (int64_t j = 0; j < 33; ++j) Put(r.y.view(), i, j, q * 33 + i - j);
      }
      r.residual = r.y;
    }
    std::vector<ParallelExpected> expected;
    for (int q = 0; q < ranks; ++q) {
      ParallelProblem as_rank_0 = problem;
      as_rank_0.of(0).residual = problem.of(q).residual;
      as_rank_0.of(0).gamma = problem.of(q).gamma;
      expected.push_back(as_rank_0.Expect());
    }
    run(3);
    for (int q = 0; q < ranks; ++q) ASSERT_EQ(problem.Compare(expected[static_cast<size_t>(q)], q), "");
  }
}

// Leading dimensions, one row, and x1 and the residual with other ones.
TEST(Parallel, AnyLeadingDimensions) {
  ParallelProblem problem({.kind = Kind::kInt8, .seed = 52, .ranks = 2, .m = 12, .x1 = kI8, .x2 = kI8});
  RunOn(problem);
  const std::vector<std::byte> first = problem.Outputs(0);
  const int64_t x1_shape[] = {2, 3, 2, 70}, shape[] = {3, 1, 4, 33};
  problem.FillOutputs(0);
  for (const Status& status : OnRanks(2, [&](int q, Communicator&ranks) {
         MatmulAllReduceAddRmsNormProblem p = problem.problem(q);
         p.x1.shape = x1_shape;
         p.residual.shape = p.y.shape = p.norm_out.shape = shape;
         return MatmulAllReduceAddRmsNorm(p, ranks);
       }))
    ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(problem.Outputs(0), first);
}

TEST(Parallel, PartialSumsGivenByTheCaller) {
  for (const int ranks : kRanks) {
    ParallelProblem problem({.kind = Kind::kInt8,
                             .seed = 60 + static_cast<uint64_t>(ranks),
                             .ranks = ranks,
                             .m = 19,
                             .x1 = kI8,
                             .x2 = kI8,
                             .residual = kBF16,
                             .padded = ranks == 3});
    RunOn(problem);
    const std::vector<std::byte> first = problem.Outputs(0);
    const ParallelExpected expected = problem.Expect();
    for (const bool spaced : {false, true}) {
      problem.FillOutputs(0xC3);
      const std::vector<Status> statuses = OnRanks(ranks, [&](int q, Communicator& communicator) {
        const MatmulAllReduceAddRmsNormProblem p = problem.problem(q);
        const int64_t wide[] = {33 + 5, 1};
        Operand partial(kF32, {19, 33}, spaced ? std::vector<int64_t>(wide, wide + 2) : std::vector<int64_t>{}, false, Placement::kHeap);
        for (int64_t e = 0; e < 19 * 33; ++e)
          Put(partial.view(), e / 33, e % 33, static_cast<long double>(expected.sums[static_cast<size_t>(q)][static_cast<size_t>(e)]));
        return AllReduceAddRmsNorm({.partial = partial.view(),
                                    .residual = p.residual,
                                    .gamma = p.gamma,
                                    .comm_turn = spaced ? 3 : 0,
                                    .y = p.y,
                                    .norm_out = p.norm_out},
                                   communicator);
      });
      for (const Status& status : statuses) ASSERT_TRUE(status.ok()) << status.message();
      for (int q = 0; q < ranks; ++q) EXPECT_EQ(problem.Outputs(q), first) << "rank " << q << " of " << ranks;
    }
  }
}

// The hardware's view of a packed scale has 10 bits of mantissa; its float16 has no infinity.
TEST(Parallel, AscendSemantics) {
  ParallelProblem problem({.kind = Kind::kInt8,
                           .seed = 71,
                           .ranks = 2,
                           .m = 4,
                           .x1 = kI8,
                           .x2 = kI8,
                           .residual = kF16,
                           .scale = kI64,
                           .scale_shape = ScaleShape::kVector});
  const auto run = [&](bool ascend) {
    for (const Status& status : OnRanks(2, [&](int q, Communicator&ranks) {
           MatmulAllReduceAddRmsNormProblem p = problem.problem(q);
           p.ascend = ascend;
           return MatmulAllReduceAddRmsNorm(p, ranks);
         }))
      ASSERT_TRUE(status.ok()) << status.message();
  };
  run(false);
  EXPECT_EQ(problem.Compare(problem.Expect(), 0), "");
  run(true);
  EXPECT_NE(problem.Compare(problem.Expect(), 0), "") << "the low bits of the scale had no effect: the test shows nothing";
  for (int q = 0; q < 2; ++q) {
    auto* words = static_cast<uint64_t*>(problem.of(q).dequant_scale.view().data);
    for (int j = 0; j < 33; ++j) words[j] &= ~uint64_t{0x1FFF};
  }
  EXPECT_EQ(problem.Compare(problem.Expect(), 0), "");

  for (int q = 0; q < 2; ++q) {
    auto* words = static_cast<uint64_t*>(problem.of(q).dequant_scale.view().data);
    for (int j = 0; j < 33; ++j) words[j] = 0x4B000000;  // 2^23: every sum that is not 0 is beyond float16
  }
  run(false);
  bool infinite = false;
  for (int64_t j = 0; j < 33; ++j) infinite = infinite || std::isinf(At(problem.of(0).y.view(), 0, j));
  EXPECT_TRUE(infinite);
  run(true);
  const ParallelExpected expected = problem.Expect();
  for (int64_t e = 0; e < 4 * 33; ++e) {
    const long double want = expected.y[static_cast<size_t>(e)];
    ASSERT_EQ(At(problem.of(0).y.view(), e / 33, e % 33), std::isinf(want) ? std::copysign(65504.0L, want) : want);
  }
}

TEST(Parallel, EmptyProblemsAgreeAndWriteNothing) {
  const int64_t x1[] = {0, 8}, x2[] = {8, 4}, full[] = {0, 4}, column[] = {4}, wide_x1[] = {3, 8}, wide_x2[] = {8, 0}, narrow[] = {3, 0},
                none[] = {0};
  float value[32] = {};
  for (const bool no_rows : {true, false}) {
    const std::vector<Status> statuses = OnRanks(3, [&](int, Communicator& ranks) {
      MatmulAllReduceAddRmsNormProblem p;
      p.x1 = {no_rows ? nullptr : value, kF32, no_rows ? x1 : wide_x1, {}};
      p.x2 = {no_rows ? value : nullptr, kF32, no_rows ? x2 : wide_x2, {}};
      p.residual = p.y = p.norm_out = {nullptr, kF32, no_rows ? full : narrow, {}};
      p.gamma = {no_rows ? value : nullptr, kF32, no_rows ? column : none, {}};
      return MatmulAllReduceAddRmsNorm(p, ranks);
    });
    for (const Status& status : statuses) EXPECT_TRUE(status.ok()) << status.message();
  }
  // One rank has rows and the other has none: they find out.
  const std::vector<Status> statuses = OnRanks(2, [&](int q, Communicator& ranks) {
    float outputs[2][12];
    MatmulAllReduceAddRmsNormProblem p;
    p.x1 = {value, kF32, q ? x1 : wide_x1, {}};
    p.x2 = {value, kF32, x2, {}};
    const int64_t some[] = {3, 4};
    p.residual = {value, kF32, q ? full : some, {}};
    p.y = {outputs[0], kF32, p.residual.shape, {}}, p.norm_out = {outputs[1], kF32, p.residual.shape, {}};
    p.gamma = {value, kF32, column, {}};
    return MatmulAllReduceAddRmsNorm(p, ranks);
  });
  for (const Status& status : statuses) EXPECT_NE(std::string(status.message()).find("rows"), std::string::npos) << status.message();
}

}  // namespace
}  // namespace addnorm::test
