// SPDX-License-Identifier: Apache-2.0
// Times variants in turns, so that what else the machine does falls on all of them alike.
#ifndef ADDNORM_BENCH_TIMING_H_
#define ADDNORM_BENCH_TIMING_H_

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace addnorm::bench {

struct Variant {
  std::string name;
  std::function<void()> run;
};

/// What counts as time. kThread leaves out what other processes take, and is blind to other threads of this one.
enum class Clock { kWall, kThread };

/// Seconds per call.
struct Times {
  std::string name;
  double p10 = 0, median = 0;
  size_t samples = 0;
};

/// Runs every variant once per round, each round in another order, for about `seconds` and at least 7 rounds.
/// A sample is one call, or as many as fill 50 us.
std::vector<Times> Interleave(std::span<const Variant> variants, Clock clock, double seconds);

}  // namespace addnorm::bench
#endif  // ADDNORM_BENCH_TIMING_H_
