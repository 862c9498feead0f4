// SPDX-License-Identifier: Apache-2.0
#include "bench/timing.h"

#include <time.h>

#include <algorithm>
#include <cmath>

namespace addnorm::bench {
namespace {

constexpr double kSampleSeconds = 50e-6;
constexpr size_t kFewestRounds = 7, kMostRounds = 4000;

double Now(Clock clock) {
  timespec now = {};
  clock_gettime(clock == Clock::kThread ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

double Sample(const Variant& variant, Clock clock, size_t calls) {
  const double start = Now(clock);
  for (size_t i = 0; i < calls; ++i) variant.run();
  return (Now(clock) - start) / static_cast<double>(calls);
}

// Calls per sample, from the faster of a few runs that also warm up.
size_t Calibrate(const Variant& variant, Clock clock) {
  double once = Sample(variant, clock, 1);
  for (int i = 0; i < 3 && once < kSampleSeconds; ++i) once = std::min(once, Sample(variant, clock, 8));
  return std::max<size_t>(1, static_cast<size_t>(std::ceil(kSampleSeconds / once)));
}

}  // namespace

std::vector<Times> Interleave(std::span<const Variant> variants, Clock clock, double seconds) {
  const size_t n = variants.size();
  std::vector<size_t> calls(n);
  for (size_t v = 0; v < n; ++v) calls[v] = Calibrate(variants[v], clock);
  std::vector<std::vector<double>> samples(n);
  const double end = Now(Clock::kWall) + seconds;
  for (size_t round = 0; round < kMostRounds && (round < kFewestRounds || Now(Clock::kWall) < end); ++round) {
    for (size_t k = 0; k < n; ++k) {
      const size_t v = (round + k) % n;
      samples[v].push_back(Sample(variants[v], clock, calls[v]));
    }
  }
  std::vector<Times> times(n);
  for (size_t v = 0; v < n; ++v) {
    std::vector<double>& s = samples[v];
    std::sort(s.begin(), s.end());
    times[v] = {variants[v].name, s[s.size() / 10], s[s.size() / 2], s.size()};
  }
  return times;
}

}  // namespace addnorm::bench
