// SPDX-License-Identifier: Apache-2.0
// What a benchmark prints, and the same as JSON.
#ifndef ADDNORM_BENCH_REPORT_H_
#define ADDNORM_BENCH_REPORT_H_

#include <string>
#include <vector>

#include "bench/timing.h"

namespace addnorm::bench {

/// Options that every program takes: --json FILE, --filter TEXT (in the problem's name), --target NAME (SIMD), --seconds S (per problem).
struct Options {
  std::string json, filter, target;
  double seconds = 0;
};
/// False, with a line on stderr, if the command line is not understood or the target is not there.
bool ParseOptions(int argc, char** argv, Options* options);

class Report {
 public:
  Report(std::string program, Options options) : program_(std::move(program)), options_(std::move(options)) {}
  bool Wanted(const std::string& problem) const { return problem.find(options_.filter) != std::string::npos; }

  /// One line per variant. `bytes`: that must move in one call, for GB/s; 0 = does not matter.
  void Add(const std::string& problem, const std::vector<Times>& times, double bytes);
  /// A ratio and where it should lie: at least or at most `limit`; limit 0 = only shown.
  struct Goal {
    std::string name;
    double ratio, limit;
    bool at_least;
    bool met() const { return limit == 0 || (at_least ? ratio >= limit : ratio <= limit); }
  };
  void Add(Goal goal);
  /// A wrong result: makes Finish return 1.
  void Fail(const std::string& problem, const std::string& what);
  /// Prints the goals, writes the JSON. The exit code: a missed goal is no failure, a wrong result is.
  int Finish() const;

 private:
  struct Line {
    std::string problem;
    Times times;
    double bytes;
  };
  bool WriteJson() const;
  std::string program_;
  Options options_;
  std::vector<Line> lines_;
  std::vector<Goal> goals_;
  std::vector<std::string> failures_;
};

}  // namespace addnorm::bench
#endif  // ADDNORM_BENCH_REPORT_H_
