// SPDX-License-Identifier: Apache-2.0
// Random faults in groups of processes, over shared memory and over messages. Every survivor must end as promised (tests/comm_judge.cc);
// prints how long survivors took. Usage: fault_storm [--trials N] [--seed S] [--strict]; --strict: no time beyond the promised 0.1 s.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "tests/comm_trial.h"

namespace addnorm::test {
namespace {

Trial RandomTrial(std::mt19937_64& random) {
  const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  constexpr Fault kFaults[] = {Fault::kKill, Fault::kKill, Fault::kKill,     Fault::kStop,   Fault::kStopThenContinue,
                               Fault::kExit, Fault::kSkip, Fault::kMismatch, Fault::kRefuse, Fault::kAbort,
                               Fault::kLate, Fault::kNone};
  constexpr int kRanks[] = {2, 3, 3, 4, 8};
  Trial trial;
  trial.messages = below(3) == 0;
  trial.ranks = kRanks[below(std::size(kRanks))];
  trial.victim = static_cast<int>(below(static_cast<size_t>(trial.ranks)));
  trial.fault = kFaults[below(std::size(kFaults))];
  trial.phase = static_cast<Phase>(below(kPhases));
  trial.field = static_cast<int>(below(kTrialFields));
  trial.rows = below(4) == 0 ? below(8) : below(300);
  trial.cols = 1 + below(64);
  trial.blocks = 1 + below(5);
  const bool in_block = trial.phase == Phase::kInMatmul || trial.phase == Phase::kAfterPublish || trial.phase == Phase::kInReduce;
  trial.block = in_block ? below(trial.blocks) : 0;
  if (trial.fault == Fault::kAbort && !in_block) trial.phase = Phase::kInMatmul;
  const bool late = trial.fault == Fault::kStop || trial.fault == Fault::kStopThenContinue || trial.fault == Fault::kSkip;
  trial.deadline = std::chrono::milliseconds(late ? 200 + below(200) : 10000);
  if (trial.fault == Fault::kLate) trial.deadline = std::chrono::milliseconds(2000);  // of which it takes half, once
  return trial;
}

struct Times {
  const char* what;
  std::vector<double> seconds = {};

  double At(double part) const {
    return seconds[std::min(seconds.size() - 1, static_cast<size_t>(part * static_cast<double>(seconds.size())))];
  }
  void Print() {
    if (seconds.empty()) return;
    std::ranges::sort(seconds);
    std::printf("%-44s %4zu trials: median %6.1f ms, p99 %6.1f ms, max %6.1f ms\n", what, seconds.size(), At(0.5) * 1e3, At(0.99) * 1e3,
                seconds.back() * 1e3);
  }
};

int Storm(int trials, uint64_t seed, bool strict) {
  std::mt19937_64 random(seed);
  Times died[2] = {{"SIGKILL, exit: error after, shared memory"}, {"SIGKILL, exit: error after, messages"}};
  Times late[2] = {{"SIGSTOP, skip: beyond deadline, shared memory"}, {"SIGSTOP, skip: beyond deadline, messages"}};
  int broken = 0, survivors = 0, errors = 0, counts[10] = {};
  std::printf("fault_storm --trials %d --seed %llu%s\n", trials, static_cast<unsigned long long>(seed), strict ? " --strict" : "");
  for (int i = 0; i < trials; ++i) {
    const Trial trial = RandomTrial(random);
    const TrialResult result = RunTrial(trial);
    const std::string wrong = JudgeTrial(trial, result, strict ? 0.0 : 2.0);
    if (!wrong.empty()) std::printf("trial %d: %s", i, wrong.c_str());
    broken += !wrong.empty();
    counts[static_cast<size_t>(trial.fault)] += 1;
    for (int r = 0; r < trial.ranks; ++r) {
      survivors += result.Survives(trial, r);
      errors += result.Survives(trial, r) && result.ranks[static_cast<size_t>(r)].code != Code::kOk;
    }
    const double slowest = SlowestReturn(trial, result);
    if (slowest < 0.0) continue;
    if (trial.fault == Fault::kKill || trial.fault == Fault::kExit) died[trial.messages].seconds.push_back(slowest);
    if (trial.fault == Fault::kStop || trial.fault == Fault::kStopThenContinue || trial.fault == Fault::kSkip) {
      late[trial.messages].seconds.push_back(slowest);
    }
  }
  for (Times* times : {&died[0], &died[1], &late[0], &late[1]}) times->Print();
  std::printf(
      "%d trials (%d SIGKILL, %d SIGSTOP, %d SIGSTOP then SIGCONT, %d exit, %d skip, %d late, %d mismatch, %d refuse, %d abort, %d none)\n",
      trials, counts[1], counts[2], counts[3], counts[4], counts[5], counts[6], counts[7], counts[8], counts[9], counts[0]);
  std::printf("%d survivors, %d of them with an error, the others with complete outputs; %d trials broke a promise\n", survivors, errors,
              broken);
  return broken == 0 ? 0 : 1;
}

}  // namespace
}  // namespace addnorm::test

int main(int argc, char** argv) {
  int trials = 500;
  uint64_t seed = std::random_device()();
  bool strict = false;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--trials") == 0 && i + 1 < argc) {
      trials = std::atoi(argv[++i]);
    } else if (std::strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
      seed = std::strtoull(argv[++i], nullptr, 10);
    } else if (std::strcmp(argv[i], "--strict") == 0) {
      strict = true;
    } else {
      std::fprintf(stderr, "usage: fault_storm [--trials N] [--seed S] [--strict]; got '%s'\n", argv[i]);
      return 2;
    }
  }
  setvbuf(stdout, nullptr, _IOLBF, 0);
  return addnorm::test::Storm(trials, seed, strict);
}
