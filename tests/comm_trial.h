// SPDX-License-Identifier: Apache-2.0
// One injected fault: a group of processes, one of which misbehaves at a chosen point of a call, and what the promises say of all others.
#ifndef ADDNORM_TESTS_COMM_TRIAL_H_
#define ADDNORM_TESTS_COMM_TRIAL_H_

#include <string>
#include <vector>

#include "tests/comm_call.h"

namespace addnorm::test {

enum class Fault { kNone, kKill, kStop, kStopThenContinue, kExit, kSkip, kLate, kMismatch, kRefuse, kAbort };

struct Trial {
  bool messages = false;  // else shared memory
  int ranks = 3, victim = 1;
  Fault fault = Fault::kKill;
  Phase phase = Phase::kInMatmul;
  size_t block = 0;
  int field = 0;  // of a mismatch, 0 to kTrialFields - 1
  size_t rows = 17, cols = 5, blocks = 2;
  std::chrono::milliseconds deadline{10000};
};
constexpr int kTrialFields = 11;

/// Times are in seconds of the steady clock.
struct RankReport {
  bool returned = false;  // from the call with the fault
  Code code = Code::kOk;
  char text[384] = "";
  bool untouched = false, right = false;
  double begun = 0, ended = 0, deadline = 0;
  Code again_code = Code::kOk;  // of the next call in the same group
  char again_text[384] = "";
  bool again_right = false;
  double again_took = 0;
  int leaked_descriptors = 0, leaked_maps = 0;
  bool next_group_right = false;
  bool done = false;
  char broken[384] = "";  // what went wrong where nothing may
};

struct TrialResult {
  std::vector<RankReport> ranks;
  double struck = 0;   // when the fault happened
  std::string broken;  // of the trial itself: hung ranks, leaks of the parent
  bool Survives(const Trial& trial, int rank) const;
};

TrialResult RunTrial(const Trial& trial);
/// "" if every promise was kept, with `slack` seconds for the machine's own delays beyond 0.1 s.
std::string JudgeTrial(const Trial& trial, const TrialResult& result, double slack);
std::string Describe(const Trial& trial);
/// Seconds by which the slowest survivor returned after the fault (SIGKILL, exit) or after its deadline (SIGSTOP, skip). Negative: none
/// did.
double SlowestReturn(const Trial& trial, const TrialResult& result);

}  // namespace addnorm::test
#endif  // ADDNORM_TESTS_COMM_TRIAL_H_
