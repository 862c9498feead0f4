// SPDX-License-Identifier: Apache-2.0
// Every fault at every phase of a call, in processes: each survivor ends with success and complete outputs, or with an error that names the
// culprit and outputs untouched; the next group works; nothing is left behind. fault_storm does the same at random, and measures time.
#include <gtest/gtest.h>

#include "tests/comm_trial.h"

namespace addnorm::test {
namespace {

/// For machines that are busy with other things; fault_storm --strict allows none.
constexpr double kSlack = 2.0;

void Expect(const Trial& trial) { EXPECT_EQ(JudgeTrial(trial, RunTrial(trial), kSlack), ""); }

class CommFault : public testing::TestWithParam<bool> {
 protected:
  Trial Base(Fault fault) const { return {.messages = GetParam(), .fault = fault}; }
  /// At each phase; by the first, a middle and the last rank in turn.
  void AtEachPhase(Trial trial) const {
    for (int phase = 0; phase < kPhases; ++phase) {
      trial.phase = static_cast<Phase>(phase);
      const bool in_block = trial.phase == Phase::kInMatmul || trial.phase == Phase::kAfterPublish || trial.phase == Phase::kInReduce;
      for (trial.block = 0; trial.block < (in_block ? trial.blocks : 1); ++trial.block) {
        trial.victim = (phase + static_cast<int>(trial.block)) % trial.ranks;
        Expect(trial);
      }
    }
  }
};

TEST_P(CommFault, NoFaultNoError) { Expect(Base(Fault::kNone)); }

TEST_P(CommFault, Kill) {
  for (const int ranks : {2, 3, 4, 8}) {
    Trial trial = Base(Fault::kKill);
    trial.ranks = ranks;
    AtEachPhase(trial);
  }
}

TEST_P(CommFault, KillWithManyBlocks) {
  Trial trial = Base(Fault::kKill);
  trial.blocks = 5;
  trial.rows = 4;  // fewer than blocks: some shares are empty
  AtEachPhase(trial);
}

TEST_P(CommFault, Exit) { AtEachPhase(Base(Fault::kExit)); }

TEST_P(CommFault, Stop) {
  Trial trial = Base(Fault::kStop);
  trial.deadline = std::chrono::milliseconds(200);
  AtEachPhase(trial);
}

TEST_P(CommFault, StopThenContinueLate) {
  Trial trial = Base(Fault::kStopThenContinue);
  trial.deadline = std::chrono::milliseconds(200);
  AtEachPhase(trial);
}

TEST_P(CommFault, Skip) {
  Trial trial = Base(Fault::kSkip);
  trial.deadline = std::chrono::milliseconds(200);
  for (trial.victim = 0; trial.victim < trial.ranks; ++trial.victim) Expect(trial);
}

TEST_P(CommFault, LateIsNoFault) {
  Trial trial = Base(Fault::kLate);
  trial.deadline = std::chrono::milliseconds(3000);
  trial.phase = Phase::kInMatmul;
  Expect(trial);
}

TEST_P(CommFault, Mismatch) {
  for (int field = 0; field < kTrialFields; ++field) {
    Trial trial = Base(Fault::kMismatch);
    trial.field = field;
    trial.victim = field % trial.ranks;
    Expect(trial);
  }
}

TEST_P(CommFault, Refuse) {
  Trial trial = Base(Fault::kRefuse);
  for (trial.victim = 0; trial.victim < trial.ranks; ++trial.victim) Expect(trial);
}

TEST_P(CommFault, Abort) {
  Trial trial = Base(Fault::kAbort);
  for (const Phase phase : {Phase::kInMatmul, Phase::kAfterPublish, Phase::kInReduce}) {
    trial.phase = phase;
    trial.victim = static_cast<int>(phase) % trial.ranks;
    Expect(trial);
  }
}

INSTANTIATE_TEST_SUITE_P(All, CommFault, testing::Values(false, true),
                         [](const auto& info) { return info.param ? std::string("Messages") : std::string("SharedMemory"); });

}  // namespace
}  // namespace addnorm::test
