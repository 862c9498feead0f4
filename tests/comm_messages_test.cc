// SPDX-License-Identifier: Apache-2.0
// What the communicator over messages makes of engines that lack or break things.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <utility>

#include "tests/comm_call.h"
#include "tests/comm_group.h"

namespace addnorm::test {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

TEST(CommMessages, RefusesAnEngineThatLacksAnything) {
  int released = 0;
  MessageEngine good = {.context = &released,
                        .start = [](void*, const MessageExchange*, int64_t, uint64_t*, char*, size_t) { return 0; },
                        .wait = [](void*, uint64_t, int64_t, char*, size_t) { return 0; },
                        .release = [](void* context) { return ++*static_cast<int*>(context), 0; }};
  const auto refused = [&](const char* text, auto&& change) {
    MessageEngine bad = good;
    change(bad);
    std::unique_ptr<Communicator> rank;
    const Status status = MakeMessageRanks(bad, &rank);
    EXPECT_THAT(status.message(), HasSubstr(text));
    EXPECT_EQ(std::exchange(released, 0), 1) << "the context has been given up";
  };
  refused("engine.start is null", [](MessageEngine& bad) { bad.start = nullptr; });
  refused("engine.wait is null", [](MessageEngine& bad) { bad.wait = nullptr; });
  refused("engine.name is null", [](MessageEngine& bad) { bad.name = nullptr; });
  refused("rank 1 of 1 ranks", [](MessageEngine& bad) { bad.rank = 1; });
  refused("rank -1 of 1 ranks", [](MessageEngine& bad) { bad.rank = -1; });
  refused("rank 0 of 0 ranks", [](MessageEngine& bad) { bad.ranks = 0; });
}

TEST(CommMessages, AnEngineNeedNotTellOthers) {
  Ranks group(2);
  const auto mesh = MakeMesh(2);
  for (int r = 0; r < 2; ++r) {
    MessageEngine engine = MakeSocketEngine(mesh[static_cast<size_t>(r)], r);
    engine.fail = nullptr;
    engine.roll_call = nullptr;
    ASSERT_TRUE(MakeMessageRanks(engine, &group[static_cast<size_t>(r)]).ok());
  }
  ForRanks(2, [&](int r) {
    std::vector<float> output;
    EXPECT_TRUE(RunTestCall(*group[static_cast<size_t>(r)], {}, &output).ok());
  });
  std::vector<float> output = {-1.0f};
  const Status status = RunTestCall(*group[0], {.deadline = In(milliseconds(50))}, &output);
  EXPECT_EQ(status.code(), Code::kTimeout);
  EXPECT_THAT(status.message(), HasSubstr("no answer before the deadline from rank 1"));
  EXPECT_EQ(output, std::vector<float>{-1.0f});
}

/// An engine that fails at its n-th call: no step may succeed after it, and no output may be touched.
TEST(CommMessages, EveryFailureOfAnEngineIsAnError) {
  struct Counting {
    int left;
    MessageEngine inner;
  };
  int failed = 0;
  for (int n = 0; n < 40; ++n) {
    Counting counting = {n, MakeSocketEngine(MakeMesh(1)[0], 0)};
    const MessageEngine engine = {.context = &counting,
                                  .name = "counting",
                                  .start = [](void* context, const MessageExchange* exchange, int64_t timeout, uint64_t* ticket,
                                              char* error, size_t bytes) -> int32_t {
                                    auto& self = *static_cast<Counting*>(context);
                                    if (self.left-- == 0) return std::memcpy(error, "at start", 9), kMessageFailed;
                                    return self.inner.start(self.inner.context, exchange, timeout, ticket, error, bytes);
                                  },
                                  .wait = [](void* context, uint64_t ticket, int64_t timeout, char* error, size_t bytes) -> int32_t {
                                    auto& self = *static_cast<Counting*>(context);
                                    if (self.left-- == 0) return std::memset(error, 'x', bytes), kMessageFailed;  // and no end
                                    return self.inner.wait(self.inner.context, ticket, timeout, error, bytes);
                                  },
                                  .release =
                                      [](void* context) {
                                        auto& self = *static_cast<Counting*>(context);
                                        return self.inner.release(self.inner.context);
                                      }};
    std::unique_ptr<Communicator> rank;
    ASSERT_TRUE(MakeMessageRanks(engine, &rank).ok());
    std::vector<float> output = {-1.0f};
    const Status status = RunTestCall(*rank, {.rows = 20, .blocks = 4}, &output);
    if (status.ok()) {
      EXPECT_EQ(output, ExpectedOutput(1, {.rows = 20, .blocks = 4}));
      continue;
    }
    ++failed;
    EXPECT_EQ(status.code(), Code::kPeer);
    EXPECT_EQ(output, std::vector<float>{-1.0f});
    EXPECT_THAT(status.message(), testing::AnyOf(HasSubstr("at start"), HasSubstr("xxxxxx")));
    EXPECT_STREQ(RunTestCall(*rank, {}, &output).message(), status.message());
  }
  EXPECT_EQ(failed, 2 * (1 + 4 + 4 + 1));  // the headers, partials and results of 4 blocks, the agreement
}

}  // namespace
}  // namespace addnorm::test
