// SPDX-License-Identifier: Apache-2.0
// Shared words that no rank can have written: an error, whatever they hold; no hang, no wild access, no output.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>

#include "src/comm/board_ranks.h"
#include "tests/comm_call.h"
#include "tests/comm_group.h"

namespace addnorm::test {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

/// Ranks whose words the test can reach.
class CommDamage : public testing::Test {
 protected:
  class Heap final : public comm::Arenas {
   public:
    Heap(std::vector<std::vector<std::byte>>* memory, size_t rank) : memory_(*memory), rank_(rank) {}
    const char* transport() const override { return "test words"; }
    Status Reserve(size_t bytes) override {
      if (memory_[rank_].size() < bytes) memory_[rank_].resize(bytes);
      return Status();
    }
    Status Attach(size_t, std::span<std::byte*> arenas) override {
      for (size_t q = 0; q < arenas.size(); ++q) arenas[q] = memory_[q].data();
      return Status();
    }

   private:
    std::vector<std::vector<std::byte>>& memory_;
    const size_t rank_;
  };

  CommDamage() : memory_(2) {
    words_ = std::aligned_alloc(64, comm::Board::Bytes(2));
    std::memset(words_, 0, comm::Board::Bytes(2));
    for (int r = 0; r < 2; ++r) {
      group_.push_back(comm::MakeBoardRanks(std::make_unique<Heap>(&memory_, static_cast<size_t>(r)), words_, 2, r, {}));
    }
  }
  ~CommDamage() override {
    group_.clear();
    std::free(words_);
  }
  comm::RankWords& WordsOf(int q) {
    return *reinterpret_cast<comm::RankWords*>(static_cast<std::byte*>(words_) + 64 + static_cast<size_t>(q) * sizeof(comm::RankWords));
  }
  /// Rank 0 calls while rank 1's words are as the test has made them; returns the error.
  Status CallOfRank0() {
    std::vector<float> output = {-1.0f};
    const Status status = RunTestCall(*group_[0], {.deadline = In(milliseconds(300))}, &output);
    EXPECT_EQ(output, std::vector<float>{-1.0f});
    return status;
  }

  std::vector<std::vector<std::byte>> memory_;
  void* words_;
  Ranks group_;
};

TEST_F(CommDamage, ProgressOutOfRange) {
  WordsOf(1).headers = 77;
  EXPECT_THAT(CallOfRank0().message(), HasSubstr("rank 1's progress is damaged"));
}

TEST_F(CommDamage, HeaderThatIsNone) {
  WordsOf(1).headers = 1;
  EXPECT_THAT(CallOfRank0().message(), HasSubstr("rank 1's header is damaged"));
}

TEST_F(CommDamage, HeaderOfAnotherCall) {
  WordsOf(1).posted[1] = comm::Post({.rows = 5, .cols = 7, .blocks = 2},
                                    {.rows = 5, .cols = 7, .blocks = 2, .partial_row_bytes = 28, .result_row_bytes = 32}, 3);
  WordsOf(1).headers = 1;
  EXPECT_THAT(CallOfRank0().message(), HasSubstr("call number is 3 on rank 1 and 1 on rank 0"));
}

TEST_F(CommDamage, EachBitOfAHeader) {
  const CallLayout layout = {.rows = 5, .cols = 7, .blocks = 2, .partial_row_bytes = 28, .result_row_bytes = 32};
  const comm::PostedHeader good = comm::Post({.rows = 5}, layout, 9);
  ASSERT_TRUE(comm::Intact(good));
  for (size_t bit = 0; bit < sizeof(good) * 8; ++bit) {
    comm::PostedHeader bad = good;
    reinterpret_cast<unsigned char*>(&bad)[bit / 8] ^= static_cast<unsigned char>(1 << bit % 8);
    EXPECT_FALSE(comm::Intact(bad)) << "bit " << bit;
  }
}

TEST_F(CommDamage, PoisonOfRanksThatAreNot) {
  for (const uint64_t poison : {~uint64_t{0}, uint64_t{200}, uint64_t{1} | uint64_t{9} << 8, uint64_t{1} | uint64_t{7} << 32}) {
    *static_cast<std::atomic<uint64_t>*>(words_) = poison;
    const Status status = CallOfRank0();
    EXPECT_EQ(status.code(), Code::kPeer);
    EXPECT_THAT(status.message(), HasSubstr("the record of the failure is damaged"));
  }
}

TEST_F(CommDamage, TextWithoutEnd) {
  std::memset(WordsOf(1).text, '\x07', sizeof(WordsOf(1).text));
  *static_cast<std::atomic<uint64_t>*>(words_) = uint64_t{1} | uint64_t{1} << 8 | uint64_t{1} << 32;
  const std::string text = CallOfRank0().message();
  EXPECT_THAT(text, HasSubstr("????"));
  EXPECT_EQ(text.find('\x07'), std::string::npos);
}

TEST_F(CommDamage, HistoryOfNonsense) {
  WordsOf(1).moments = ~uint64_t{0};
  for (auto& moment : WordsOf(1).history) moment.what = ~uint64_t{0}, moment.when = INT64_MIN;
  EXPECT_THAT(group_[0]->History(), HasSubstr("rank 1, 0.000000 s ago: in an unknown state"));
}

TEST_F(CommDamage, RandomWordsNeverHang) {
  uint64_t x = 88172645463325252;
  for (int i = 0; i < 300; ++i) {
    Ranks fresh;
    std::memset(words_, 0, comm::Board::Bytes(2));
    for (int r = 0; r < 2; ++r)
      fresh.push_back(comm::MakeBoardRanks(std::make_unique<Heap>(&memory_, static_cast<size_t>(r)), words_, 2, r, {}));
    auto* bytes = reinterpret_cast<unsigned char*>(&WordsOf(1));
    for (size_t b = 0; b < sizeof(comm::RankWords); ++b) {
      x ^= x << 13, x ^= x >> 7, x ^= x << 17;
      if (i % 3 == 0 || x % 16 == 0) bytes[b] = static_cast<unsigned char>(x >> 32);
    }
    std::vector<float> output = {-1.0f};
    const Status status = RunTestCall(*fresh[0], {.deadline = In(milliseconds(20))}, &output);
    EXPECT_FALSE(status.ok());
    EXPECT_EQ(output, std::vector<float>{-1.0f});
  }
}

}  // namespace
}  // namespace addnorm::test
