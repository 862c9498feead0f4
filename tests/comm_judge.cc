// SPDX-License-Identifier: Apache-2.0
// What each fault may and must do to the other ranks.
#include <algorithm>
#include <array>
#include <cstring>

#include "tests/comm_trial.h"

namespace addnorm::test {
namespace {

constexpr std::array kFaultNames = {"none",     "SIGKILL", "SIGSTOP", "SIGSTOP, SIGCONT late", "exit", "skip", "late",
                                    "mismatch", "refuse",  "abort"};
constexpr std::array kPhaseNames = {"before the header", "in the matmul",     "after a partial",
                                    "in a reduction",    "before the commit", "after the commit"};

/// What the call with the fault ends with on ranks that live.
enum class Expected { kSuccess, kError, kEither };

Expected ExpectedOf(const Trial& trial) {
  switch (trial.fault) {
    case Fault::kNone:
    case Fault::kLate:
      return Expected::kSuccess;
    case Fault::kSkip:
    case Fault::kMismatch:
    case Fault::kRefuse:
      return Expected::kError;
    default:
      break;
  }
  if (trial.phase == Phase::kAfterCommit) return Expected::kSuccess;
  if (trial.phase != Phase::kBeforeCommit || trial.messages) return Expected::kError;
  // Its results lie in shared memory: the others need no more of it. An abort may come before or after they see that.
  return trial.fault == Fault::kAbort ? Expected::kEither : Expected::kSuccess;
}

bool Late(Fault fault) { return fault == Fault::kStop || fault == Fault::kStopThenContinue || fault == Fault::kSkip; }

/// Whether `text` blames the victim.
bool Blames(const Trial& trial, const char* text) {
  const std::string all = text;
  const std::string who = std::to_string(trial.victim);
  if (trial.fault == Fault::kMismatch) return all.find(" on rank " + who) != std::string::npos;
  // "shared memory, rank 0 of 3: rank 1 died": who says it comes before the colon.
  if (!(trial.messages && Late(trial.fault)) && all.find("rank " + who + " ", std::min(all.find(": "), all.size())) != std::string::npos)
    return true;
  const std::string names = "no word from rank " + who;  // over messages, and no other
  return Late(trial.fault) && all.ends_with(names);
}

class Judgement {
 public:
  Judgement(const Trial& trial, const TrialResult& result, double slack) : trial_(trial), result_(result), slack_(slack) {}

  std::string All() {
    if (!result_.broken.empty()) Say(-1, result_.broken);
    for (int r = 0; r < trial_.ranks; ++r) {
      const RankReport& report = result_.ranks[static_cast<size_t>(r)];
      if (report.broken[0] != '\0') Say(r, report.broken);
      if (result_.Survives(trial_, r)) {
        Survivor(r, report);
      } else if (trial_.fault == Fault::kStopThenContinue) {
        Woken(r, report);
      }
    }
    return text_;
  }

 private:
  void Say(int rank, const std::string& what) { text_ += (rank < 0 ? "" : "rank " + std::to_string(rank) + ": ") + what + "\n"; }
  void Require(int rank, bool condition, const std::string& what) {
    if (!condition) Say(rank, what);
  }

  void Woken(int r, const RankReport& report) {
    Require(r, report.returned && report.done, "did not go on after SIGCONT");
    Require(r, report.code == Code::kOk ? report.right : report.untouched, std::string("woken: wrong output with ") + report.text);
    Require(r, report.leaked_descriptors == 0 && report.leaked_maps == 0, "woken: leaks");
  }

  void Survivor(int r, const RankReport& report) {
    Require(r, report.done, "is not done");
    Require(r, report.leaked_descriptors == 0, std::to_string(report.leaked_descriptors) + " descriptors leaked");
    Require(r, report.leaked_maps == 0, std::to_string(report.leaked_maps) + " mappings leaked");
    Require(r, report.next_group_right, "the next group does not work");
    if (trial_.fault == Fault::kSkip && r == trial_.victim) return;  // it has not called
    Require(r, report.returned, "has not returned");
    const Expected expected = ExpectedOf(trial_);
    const bool ok = report.code == Code::kOk;
    Require(r, expected == Expected::kEither || ok == (expected == Expected::kSuccess), std::string("ended with: ") + report.text);
    Require(r, ok ? report.right : report.untouched, std::string("wrong or touched output with: ") + report.text);
    if (!ok) Error(r, report);
    Again(r, report);
  }

  void Error(int r, const RankReport& report) {
    Require(r, report.code == (Late(trial_.fault) ? Code::kTimeout : Code::kPeer), std::string("wrong code with: ") + report.text);
    Require(r, Blames(trial_, report.text), std::string("does not blame the victim: ") + report.text);
    const double since = Late(trial_.fault) ? report.deadline : std::max(result_.struck, report.begun);
    Require(r, report.ended - since <= 0.1 + slack_,
            "returned " + std::to_string(report.ended - since) + " s after the fault or the deadline");
  }

  void Again(int r, const RankReport& report) {
    const bool healthy = trial_.fault == Fault::kNone || trial_.fault == Fault::kLate || trial_.fault == Fault::kRefuse;
    Require(r, report.again_right, std::string("next call: wrong or touched output with: ") + report.again_text);
    Require(r, (report.again_code == Code::kOk) == healthy, std::string("next call: ended with: ") + report.again_text);
    if (healthy) return;
    if (report.code == Code::kOk) {
      // The fault struck too late for the call itself: the next one finds it, as a call that begins without the victim.
      Require(r, Blames(trial_, report.again_text), std::string("next call: does not blame the victim: ") + report.again_text);
      const double limit = Late(trial_.fault) ? std::chrono::duration<double>(trial_.deadline).count() : 0.0;
      Require(r, report.again_took <= limit + 0.1 + slack_, "next call took " + std::to_string(report.again_took) + " s");
    } else {
      Require(r, std::strcmp(report.again_text, report.text) == 0, std::string("next call: another cause: ") + report.again_text);
      Require(r, report.again_took <= 0.1 + slack_, "next call took " + std::to_string(report.again_took) + " s");
    }
  }

  const Trial& trial_;
  const TrialResult& result_;
  const double slack_;
  std::string text_;
};

}  // namespace

std::string JudgeTrial(const Trial& trial, const TrialResult& result, double slack) {
  const std::string text = Judgement(trial, result, slack).All();
  return text.empty() ? text : Describe(trial) + ":\n" + text;
}

std::string Describe(const Trial& trial) {
  std::string text = std::string(trial.messages ? "messages" : "shared memory") + ", " + std::to_string(trial.ranks) + " ranks, " +
                     kFaultNames[static_cast<size_t>(trial.fault)] + " of rank " + std::to_string(trial.victim);
  if (trial.fault == Fault::kMismatch) text += " in field " + std::to_string(trial.field);
  text += std::string(" ") + kPhaseNames[static_cast<size_t>(trial.phase)] + ", block " + std::to_string(trial.block) + " of " +
          std::to_string(trial.blocks) + ", " + std::to_string(trial.rows) + " rows of " + std::to_string(trial.cols) + ", deadline " +
          std::to_string(trial.deadline.count()) + " ms";
  return text;
}

double SlowestReturn(const Trial& trial, const TrialResult& result) {
  double slowest = -1.0;
  for (int r = 0; r < trial.ranks; ++r) {
    const RankReport& report = result.ranks[static_cast<size_t>(r)];
    if (!result.Survives(trial, r) || !report.returned || report.code == Code::kOk) continue;
    slowest = std::max(slowest, report.ended - (Late(trial.fault) ? report.deadline : std::max(result.struck, report.begun)));
  }
  return slowest;
}

}  // namespace addnorm::test
