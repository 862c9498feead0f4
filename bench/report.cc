// SPDX-License-Identifier: Apache-2.0
#include "bench/report.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string_view>

#include "addnorm/addnorm.h"

namespace addnorm::bench {
namespace {

// Names here are plain ASCII of our own; messages may quote.
std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + '"';
}

}  // namespace

bool ParseOptions(int argc, char** argv, Options* options) {
  for (int i = 1; i < argc; i += 2) {
    const std::string_view name = argv[i];
    std::string* text = name == "--json"     ? &options->json
                        : name == "--filter" ? &options->filter
                        : name == "--target" ? &options->target
                                             : nullptr;
    if ((text == nullptr && name != "--seconds") || i + 1 == argc) {
      std::fprintf(stderr, "%s: '%s': expected --json FILE, --filter TEXT, --target NAME or --seconds S\n", argv[0], argv[i]);
      return false;
    }
    if (text) *text = argv[i + 1];
    if (!text) options->seconds = std::atof(argv[i + 1]);
  }
  if (options->target.empty()) return true;
  const Status status = SetThreadTarget(options->target.c_str());
  if (!status.ok()) std::fprintf(stderr, "%s: %s\n", argv[0], status.message());
  return status.ok();
}

void Report::Add(const std::string& problem, const std::vector<Times>& times, double bytes) {
  std::printf("%s\n", problem.c_str());
  for (const Times& t : times) {
    std::printf("    %-44s p10 %10.2f us   median %10.2f us", t.name.c_str(), t.p10 * 1e6, t.median * 1e6);
    if (bytes > 0) std::printf("   %6.1f GB/s", bytes / t.p10 * 1e-9);
    std::printf("   n %zu\n", t.samples);
    lines_.push_back({problem, t, bytes});
  }
  std::fflush(stdout);
}

void Report::Add(Goal goal) { goals_.push_back(std::move(goal)); }

void Report::Fail(const std::string& problem, const std::string& what) { failures_.push_back(problem + ": " + what); }

int Report::Finish() const {
  size_t missed = 0, judged = 0;
  if (!goals_.empty()) std::printf("\n%-104s %7s %9s\n", "ratio of p10 times", "ratio", "goal");
  for (const Goal& goal : goals_) {
    std::printf("%-104s %7.3f", goal.name.c_str(), goal.ratio);
    if (goal.limit > 0) std::printf("  %s %.2f  %s", goal.at_least ? ">=" : "<=", goal.limit, goal.met() ? "ok" : "MISSED");
    std::printf("\n");
    judged += goal.limit > 0;
    missed += !goal.met();
  }
  if (missed) std::printf("%zu of %zu goals MISSED\n", missed, judged);
  for (const std::string& failure : failures_) std::printf("WRONG RESULT: %s\n", failure.c_str());
  return (WriteJson() && failures_.empty()) ? 0 : 1;
}

bool Report::WriteJson() const {
  if (options_.json.empty()) return true;
  std::ofstream out(options_.json);
  out << "{\"program\": " << Quoted(program_) << ", \"version\": " << Quoted(Version()) << ", \"target\": " << Quoted(CurrentTarget());
  out << ",\n \"measurements\": [";
  for (size_t i = 0; i < lines_.size(); ++i) {
    const Line& line = lines_[i];
    out << (i ? ",\n  " : "\n  ") << "{\"problem\": " << Quoted(line.problem) << ", \"variant\": " << Quoted(line.times.name)
        << ", \"p10_s\": " << line.times.p10 << ", \"median_s\": " << line.times.median << ", \"samples\": " << line.times.samples
        << ", \"bytes\": " << line.bytes << "}";
  }
  out << "],\n \"goals\": [";
  for (size_t i = 0; i < goals_.size(); ++i) {
    const Goal& goal = goals_[i];
    out << (i ? ",\n  " : "\n  ") << "{\"name\": " << Quoted(goal.name) << ", \"ratio\": " << goal.ratio << ", \"limit\": " << goal.limit
        << ", \"at_least\": " << (goal.at_least ? "true" : "false") << ", \"met\": " << (goal.met() ? "true" : "false") << "}";
  }
  out << "],\n \"failures\": [";
  for (size_t i = 0; i < failures_.size(); ++i) out << (i ? ", " : "") << Quoted(failures_[i]);
  out << "]}\n";
  out.close();
  if (!out) std::fprintf(stderr, "cannot write %s\n", options_.json.c_str());
  return static_cast<bool>(out);
}

}  // namespace addnorm::bench
