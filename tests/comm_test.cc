// SPDX-License-Identifier: Apache-2.0
// What every transport promises: the data and its order, agreement, refusals, failures that every rank hears of, and in time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "tests/comm_call.h"
#include "tests/comm_group.h"

namespace addnorm::test {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

class Comm : public testing::TestWithParam<Transport> {
 protected:
  struct Result {
    Status status;
    std::vector<float> output = {-1.0f};  // what an error must leave alone
    double seconds = 0.0;
  };
  using Calls = std::function<TestCall(int rank)>;

  static std::vector<Result> Run(const Ranks& group, const Calls& call_of) {
    std::vector<Result> results(group.size());
    ForRanks(static_cast<int>(group.size()), [&](int r) {
      Result& result = results[static_cast<size_t>(r)];
      const TestCall call = call_of(r);
      const auto start = std::chrono::steady_clock::now();
      result.status = RunTestCall(*group[static_cast<size_t>(r)], call, &result.output);
      result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    });
    return results;
  }
  static void ExpectRight(const Ranks& group, const TestCall& call) {
    for (const Result& result : Run(group, [&](int) { return call; })) {
      EXPECT_TRUE(result.status.ok()) << result.status.message();
      EXPECT_EQ(result.output, ExpectedOutput(static_cast<int>(group.size()), call));
    }
  }
  /// All ranks have failed with this text, have written nothing, and fail again, at once and with the same text.
  static void ExpectEnd(const Ranks& group, const std::vector<Result>& results, Code code, const std::string& text, int but_rank = -1) {
    const std::vector<Result> again = Run(group, [](int) { return TestCall{.deadline = In(std::chrono::seconds(60))}; });
    for (size_t r = 0; r < group.size(); ++r) {
      if (static_cast<int>(r) == but_rank) continue;
      EXPECT_EQ(results[r].status.code(), code) << results[r].status.message();
      EXPECT_THAT(results[r].status.message(), HasSubstr(text)) << "rank " << r;
      EXPECT_EQ(results[r].output, std::vector<float>{-1.0f}) << "rank " << r;
      EXPECT_STREQ(again[r].status.message(), results[r].status.message());
      EXPECT_EQ(again[r].status.code(), code);
      EXPECT_EQ(again[r].output, std::vector<float>{-1.0f});
      EXPECT_LT(again[r].seconds, 30.0);  // not the deadline of that call
    }
  }
};

TEST_P(Comm, DataArrivesWholeAndInOrder) {
  for (const int ranks : {1, 2, 3, 4, 8}) {
    const Ranks group = MakeRanks(GetParam(), ranks);
    for (int r = 0; r < ranks; ++r) {
      EXPECT_EQ(group[static_cast<size_t>(r)]->rank(), r);
      EXPECT_EQ(group[static_cast<size_t>(r)]->size(), ranks);
    }
    uint64_t number = 0;
    // Ever other sizes, so that memory grows; fewer rows than ranks, fewer rows than blocks, none.
    for (const size_t rows : {3, 0, 1, 7, 64, 5, 301}) {
      for (size_t blocks = 1; blocks <= 5; ++blocks) {
        SCOPED_TRACE(testing::Message() << ranks << " ranks, " << rows << " rows, " << blocks << " blocks");
        ExpectRight(group, {.rows = rows, .cols = 1 + rows * 3 % 40, .blocks = blocks, .number = ++number});
      }
    }
    ExpectRight(group, {.rows = 4, .cols = 0, .blocks = 2, .number = ++number});
    ExpectRight(group, {.rows = 40, .cols = 3, .blocks = 40, .number = ++number});
  }
}

TEST_P(Comm, EachRankMayOrderItsStepsAsItLikes) {
  const Ranks group = MakeRanks(GetParam(), 3);
  for (unsigned who = 0; who < 8; ++who) {
    const auto call_of = [&](int r) { return TestCall{.rows = 29, .blocks = 4, .number = who, .overlap = (who >> r & 1) != 0}; };
    for (const Result& result : Run(group, call_of)) {
      EXPECT_TRUE(result.status.ok()) << result.status.message();
      EXPECT_EQ(result.output, ExpectedOutput(3, call_of(0)));
    }
  }
}

TEST_P(Comm, RanksAtDifferentSpeedsStayInStep) {
  const Ranks group = MakeRanks(GetParam(), 4);
  const auto call_of = [&](int r) {
    TestCall call = {.rows = 64, .blocks = 8, .number = 3};
    call.at = [random = std::mt19937(static_cast<unsigned>(r))](Phase, size_t) mutable {
      if (random() % 4 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random() % 3000));
    };
    return call;
  };
  for (int repeat = 0; repeat < 10; ++repeat) {
    for (const Result& result : Run(group, call_of)) {
      EXPECT_TRUE(result.status.ok()) << result.status.message();
      EXPECT_EQ(result.output, ExpectedOutput(4, call_of(0)));
    }
  }
}

TEST_P(Comm, TwoGroupsAtOnceDoNotMix) {
  const Ranks first = MakeRanks(GetParam(), 3), second = MakeRanks(GetParam(), 3);
  ForRanks(3, [&](int r) {
    for (uint64_t i = 0; i < 50; ++i) {
      const TestCall call = {.rows = 11 + i % 7, .blocks = 2, .number = i};
      const Ranks& group = i % 2 == 0 ? first : second;
      std::vector<float> output;
      const Status status = RunTestCall(*group[static_cast<size_t>(r)], call, &output);
      EXPECT_TRUE(status.ok()) << status.message();
      EXPECT_EQ(output, ExpectedOutput(3, call));
    }
  });
}

TEST_P(Comm, EveryRankNamesTheFieldThatDiffers) {
  struct Case {
    const char* field;
    const char* value;
    std::function<void(TestCall*)> change;
  };
  const Case cases[] = {
      {"operation", "1", [](TestCall* call) { call->header.operation = 1; }},
      {"scenario", "2", [](TestCall* call) { call->header.scenario = 2; }},
      {"rows", "6", [](TestCall* call) { call->header.rows = 1; }},
      {"rows", "9", [](TestCall* call) { call->rows = 9; }},
      {"cols", "8", [](TestCall* call) { call->cols = 8; }},
      {"blocks", "3", [](TestCall* call) { call->blocks = 3; }},
      {"epsilon", "0.5", [](TestCall* call) { call->header.epsilon_bits = 0x3fe0000000000000; }},
      {"reduce_op", "1", [](TestCall* call) { call->header.reduce_op = 1; }},
      {"partial_type", "bfloat16", [](TestCall* call) { call->header.partial_type = static_cast<uint32_t>(DType::kBF16); }},
      {"result_type", "float16", [](TestCall* call) { call->header.result_type = static_cast<uint32_t>(DType::kF16); }},
      {"residual and gamma", "000000000000abcd", [](TestCall* call) { call->header.replicated = 0xabcd; }},
  };
  for (const Case& c : cases) {
    for (int odd = 0; odd < 3; ++odd) {
      SCOPED_TRACE(testing::Message() << c.field << " on rank " << odd);
      const Ranks group = MakeRanks(GetParam(), 3);
      ExpectRight(group, {.number = 1});
      const std::vector<Result> results = Run(group, [&](int r) {
        TestCall call;
        if (r == odd) c.change(&call);
        return call;
      });
      // All compare with rank 0, and name the first rank that differs from it.
      ExpectEnd(group, results, Code::kPeer, std::string(c.field) + " is ");
      for (const Result& result : results) {
        EXPECT_THAT(result.status.message(), HasSubstr(c.value + (" on rank " + std::to_string(odd))));
        EXPECT_THAT(result.status.message(), HasSubstr(" on rank " + std::to_string(odd == 0 ? 1 : odd) + " and "));
      }
    }
  }
}

TEST_P(Comm, ARefusalFailsTheCallOnAllRanksAndNoMore) {
  const Ranks group = MakeRanks(GetParam(), 3);
  for (int refuser = 0; refuser < 3; ++refuser) {
    const std::vector<Result> results = Run(group, [&](int r) {
      TestCall call;
      if (r == refuser) call.header = {.rows = 77, .refused = static_cast<uint32_t>(Code::kBadShape)};
      return call;
    });
    for (const Result& result : results) {
      EXPECT_EQ(result.status.code(), Code::kPeer);
      EXPECT_THAT(result.status.message(), HasSubstr("rank " + std::to_string(refuser) + " refused its arguments (bad shape)"));
      EXPECT_EQ(result.output, std::vector<float>{-1.0f});
    }
    ExpectRight(group, {.number = 2});
  }
}

TEST_P(Comm, ALayoutThatCannotBeIsRefused) {
  const Ranks group = MakeRanks(GetParam(), 2);
  const CallLayout good = {.rows = 4, .cols = 4, .blocks = 1, .partial_row_bytes = 16, .result_row_bytes = 16, .ranks = 2};
  CallLayout ranks = good, none = good, many = good, large = good, overflow = good;
  ranks.ranks = 3;
  none.blocks = 0;
  many.blocks = size_t{1} << 20;
  large.rows = size_t{1} << 60;
  overflow.partial_row_bytes = SIZE_MAX / 2;
  struct Case {
    CallLayout layout;
    const char* text;
  };
  const Case cases[] = {{ranks, "layout.ranks is 3, expected 2"},
                        {none, "layout.blocks is 0, expected 1 to"},
                        {many, "layout.blocks is 1048576, expected 1 to 1048575"},
                        {large, "do not fit in memory"},
                        {overflow, "do not fit in memory"}};
  for (const Case& c : cases) {
    Status status[2];
    ForRanks(2, [&](int r) { status[r] = group[static_cast<size_t>(r)]->Begin({}, r == 1 ? c.layout : good, In(milliseconds(30000))); });
    EXPECT_THAT(status[1].message(), HasSubstr(c.text));
    EXPECT_THAT(status[0].message(), HasSubstr("rank 1 refused its arguments"));
    ExpectRight(group, {.number = 5});
  }
}

TEST_P(Comm, AnAbortReachesEveryRank) {
  for (int phase = 1; phase < kPhases - 1; ++phase) {
    for (int victim = 0; victim < 3; ++victim) {
      SCOPED_TRACE(testing::Message() << "phase " << phase << ", rank " << victim);
      const Ranks group = MakeRanks(GetParam(), 3);
      const std::vector<Result> results = Run(group, [&](int r) {
        TestCall call = {.rows = 13, .blocks = 3, .deadline = In(std::chrono::seconds(60))};
        call.at = [&, r](Phase at, size_t b) {
          if (r == victim && static_cast<int>(at) == phase && (b == 1 || at == Phase::kBeforeCommit)) {
            group[static_cast<size_t>(r)]->Abort(Status::Error(Code::kUnsupported, "no memory for a test"));
          }
        };
        return call;
      });
      const bool shared = GetParam() != Transport::kMessages;
      if (shared && phase == static_cast<int>(Phase::kBeforeCommit)) {
        // Its results are there: others may have committed. An error is right, too.
        for (const Result& result : results) EXPECT_TRUE(result.status.ok() || result.status.code() == Code::kPeer);
        continue;
      }
      ExpectEnd(group, results, Code::kPeer, "rank " + std::to_string(victim) + " failed: no memory for a test");
      for (const Result& result : results) EXPECT_LT(result.seconds, 30.0);
    }
  }
}

TEST_P(Comm, ARankThatDoesNotCallIsNamedAtTheDeadline) {
  const Ranks group = MakeRanks(GetParam(), 3);
  ExpectRight(group, {});
  std::vector<Result> results(3);
  const Deadline deadline = In(milliseconds(200));
  ForRanks(2, [&](int r) {  // rank 2 skips the call
    Result& result = results[static_cast<size_t>(r)];
    result.status = RunTestCall(*group[static_cast<size_t>(r)], {.deadline = deadline}, &result.output);
    EXPECT_GE(std::chrono::steady_clock::now(), deadline);
  });
  for (int r = 0; r < 2; ++r) {
    const Result& result = results[static_cast<size_t>(r)];
    EXPECT_EQ(result.status.code(), Code::kTimeout);
    EXPECT_THAT(result.status.message(), testing::ContainsRegex("no answer before the deadline.* rank 2"));
    EXPECT_EQ(result.output, std::vector<float>{-1.0f});
  }
  if (GetParam() != Transport::kMessages) {
    EXPECT_THAT(results[0].status.message(), HasSubstr("last seen after call 1"));
    EXPECT_THAT(group[0]->History(), HasSubstr("waiting for the headers of call 2"));
    EXPECT_STREQ(strchr(results[1].status.message(), ':'), strchr(results[0].status.message(), ':')) << "one record, adopted by all";
  }
}

/// Over messages it is not known what others wait for.
class CommWords : public Comm {};

TEST_P(CommWords, TheRankThatIsWaitedForIsBlamedNotTheOneThatWaits) {
  for (int late = 0; late < 3; ++late) {
    const Ranks group = MakeRanks(GetParam(), 3);
    const std::vector<Result> results = Run(group, [&](int r) {
      TestCall call = {.rows = 9, .blocks = 3, .deadline = In(milliseconds(150))};
      call.at = [r, late](Phase at, size_t b) {
        if (r == late && at == Phase::kInMatmul && b == 2) std::this_thread::sleep_for(milliseconds(400));
      };
      return call;
    });
    for (const Result& result : results) {
      EXPECT_EQ(result.status.code(), Code::kTimeout);
      EXPECT_THAT(result.status.message(), HasSubstr("rank " + std::to_string(late) + " last seen in the matmul of block 2 of call 1"));
      EXPECT_EQ(result.output, std::vector<float>{-1.0f});
    }
  }
}

TEST_P(CommWords, ARankThatItselfWaitsIsNotBlamed) {
  // One row: rank 0's. Rank 2 has nothing to reduce and waits for rank 0's result, rank 0 for the partial of rank 1, which is late.
  const Ranks group = MakeRanks(GetParam(), 3);
  const std::vector<Result> results = Run(group, [&](int r) {
    TestCall call = {.rows = 1, .blocks = 1, .deadline = In(milliseconds(r == 2 ? 100 : 5000))};
    call.at = [r](Phase at, size_t) {
      if (r == 1 && at == Phase::kInMatmul) std::this_thread::sleep_for(milliseconds(300));
    };
    return call;
  });
  for (const Result& result : results) {
    EXPECT_EQ(result.status.code(), Code::kTimeout);
    EXPECT_THAT(result.status.message(), HasSubstr("rank 1 last seen in the matmul of block 0 of call 1"));
    EXPECT_THAT(result.status.message(), testing::Not(HasSubstr("rank 0 last seen")));
  }
}

TEST_P(Comm, SlowIsNotDead) {
  const Ranks group = MakeRanks(GetParam(), 3);
  for (int phase = 0; phase < kPhases; ++phase) {
    const TestCall expected = {.rows = 8, .blocks = 2};
    const std::vector<Result> results = Run(group, [&](int r) {
      TestCall call = expected;
      call.at = [r, phase](Phase at, size_t) {
        if (r == 1 && static_cast<int>(at) == phase) std::this_thread::sleep_for(milliseconds(60));
      };
      return call;
    });
    for (const Result& result : results) {
      EXPECT_TRUE(result.status.ok()) << result.status.message();
      EXPECT_EQ(result.output, ExpectedOutput(3, expected));
    }
  }
}

TEST_P(Comm, ARankThatHasLeftIsNoticed) {
  Ranks group = MakeRanks(GetParam(), 3);
  ExpectRight(group, {});
  group[1].reset();
  std::vector<Result> results(3);
  ForRanks(3, [&](int r) {
    if (r == 1) return;
    Result& result = results[static_cast<size_t>(r)];
    const auto start = std::chrono::steady_clock::now();
    result.status = RunTestCall(*group[static_cast<size_t>(r)], {.deadline = In(std::chrono::seconds(60))}, &result.output);
    result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    EXPECT_EQ(result.status.code(), Code::kPeer) << result.status.message();
    EXPECT_THAT(result.status.message(), HasSubstr("rank 1 has "));  // left the group; closed its connection
    EXPECT_LT(result.seconds, 30.0);
  });
}

TEST_P(Comm, StepsOutOfOrderEndTheGroup) {
  for (int mistake = 0; mistake < 5; ++mistake) {
    SCOPED_TRACE(mistake);
    const Ranks group = MakeRanks(GetParam(), 2);
    const CallLayout layout = {.rows = 4, .cols = 4, .blocks = 3, .partial_row_bytes = 16, .result_row_bytes = 16, .ranks = 2};
    ForRanks(2, [&](int r) {
      Communicator& rank = *group[static_cast<size_t>(r)];
      if (r == 0) {
        std::vector<float> output = {-1.0f};
        const Status status = RunTestCall(rank, {.rows = 4, .cols = 4, .blocks = 3, .deadline = In(std::chrono::seconds(60))}, &output);
        EXPECT_EQ(status.code(), Code::kPeer) << status.message();
        EXPECT_EQ(output, std::vector<float>{-1.0f});
        return;
      }
      const CallLayout same = {.rows = 4, .cols = 4, .blocks = 3, .partial_row_bytes = 16, .result_row_bytes = 20, .ranks = 2};
      EXPECT_TRUE(rank.Begin({.rows = 4, .cols = 4, .blocks = 3}, same, In(std::chrono::seconds(60))).ok());
      const std::byte* parts[2];
      const Status status = mistake == 0   ? rank.PublishPartial(1)
                            : mistake == 1 ? rank.CollectPartials(0, parts)
                            : mistake == 2 ? rank.PublishResult(0)
                            : mistake == 3 ? rank.Commit()
                                           : rank.Begin({}, layout, In(std::chrono::seconds(60)));
      EXPECT_EQ(status.code(), Code::kInternal);
      EXPECT_THAT(status.message(), HasSubstr("is out of order"));
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Shared, CommWords, testing::Values(Transport::kThreads, Transport::kSharedMemory),
                         [](const auto& info) { return NameOf(info.param); });
INSTANTIATE_TEST_SUITE_P(All, Comm, testing::Values(Transport::kThreads, Transport::kSharedMemory, Transport::kMessages),
                         [](const auto& info) { return NameOf(info.param); });

}  // namespace
}  // namespace addnorm::test
