// SPDX-License-Identifier: Apache-2.0
// How near the operators come to what the memory can do: forward and backward beside the benchmark's own stream with the same reads,
// writes and types, in one run. In L2 (32x1024, one thread) and out of cache (4096x4096, one thread and all).
// The ratios are those of the p10 times with staggered buffers and the best stream of each problem. One thread is timed by its own CPU
// time, all threads by the wall clock.
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "bench/operands.h"
#include "bench/report.h"
#include "bench/stream.h"
#include "bench/timing.h"
#include "bench/verify.h"

namespace addnorm::bench {
namespace {

constexpr double kDropout = 0.1;
constexpr const char* kDropoutName = "dropout+add+LayerNorm";

struct Setting {
  int64_t rows = 0, cols = 0;
  bool in_cache = false;
  DType dtype = DType::kF32;
  bool all_threads = false;
  Placement placement = Placement::kStaggered;

  const Executor& executor() const { return all_threads ? DefaultExecutor() : SerialExecutor(); }
  std::string name(const char* direction) const {
    std::string text = std::to_string(rows) + "x" + std::to_string(cols) + (in_cache ? " in L2, " : " out of cache, ") + NameOf(dtype);
    text += all_threads ? ", all threads, " : ", one thread, ";
    return text + (placement == Placement::kStaggered ? "staggered, " : "aligned, ") + direction;
  }
};

// A plan with its workspace, made before anything is timed.
struct Prepared {
  std::string name;
  bool judged = true;
  Plan plan;
  std::vector<std::byte> workspace;
};

template <class Problem>
std::string Prepare(const char* name, bool judged, const Problem& problem, const Executor& executor, std::vector<Prepared>* list) {
  Prepared prepared;
  prepared.name = name;
  prepared.judged = judged;
  if (const Status status = MakePlan(problem, &prepared.plan); !status.ok()) return status.message();
  prepared.workspace.resize(prepared.plan.workspace_bytes(executor));
  list->push_back(std::move(prepared));
  return "";
}

// Goals of what is judged: at least this share of the stream out of cache, at most this
// multiple of its time in L2. 0 = none.
struct Limits {
  double share, factor;
};

// Times the streams and the prepared plans beside each other.
void Measure(const Setting& s, const char* direction, const StreamBuffers& buffers, std::vector<Prepared>& prepared, Limits limits,
             double seconds, Report* report) {
  const std::string problem = s.name(direction);
  std::vector<Variant> variants = StreamVariants(buffers, s.executor());
  const size_t streams = variants.size();
  if (!s.all_threads) {
    for (Variant& variant : RowOrderVariants(buffers, static_cast<size_t>(s.cols) * SizeOf(s.dtype)))
      variants.push_back(std::move(variant));
  }
  const size_t operators = variants.size();
  for (Prepared& p : prepared) {
    variants.push_back({p.name, [&p, &s] { (void)p.plan.Run(p.workspace, s.executor()); }});
  }
  const std::vector<Times> times = Interleave(variants, s.all_threads ? Clock::kWall : Clock::kThread, seconds);
  report->Add(problem, times, static_cast<double>(buffers.bytes) * (buffers.d ? 4 : 3));
  if (s.placement != Placement::kStaggered) return;
  double best = times[0].p10;
  for (size_t i = 0; i < streams; ++i) best = std::min(best, times[i].p10);
  if (operators > streams) {
    double ordered = times[streams].p10;
    for (size_t i = streams; i < operators; ++i) ordered = std::min(ordered, times[i].p10);
    const char* name = ": the stream in a norm's order";
    if (s.in_cache) report->Add({problem + name + ": time / stream's", ordered / best, 0, false});
    if (!s.in_cache) report->Add({problem + name + ": stream's time / time", best / ordered, 0, true});
  }
  for (size_t i = operators; i < times.size(); ++i) {
    const Times& t = times[i];
    const bool judged = prepared[i - operators].judged;
    if (s.in_cache) report->Add({problem + ", " + t.name + ": time / stream's", t.p10 / best, judged ? limits.factor : 0, false});
    if (!s.in_cache) report->Add({problem + ", " + t.name + ": stream's time / time", best / t.p10, judged ? limits.share : 0, true});
    if (t.name == kDropoutName) report->Add({problem + ", " + t.name + ": time / p=0", t.p10 / times[operators].p10, 0, false});
  }
}

struct Run {
  const Arena& arena;
  double seconds;
  Report* report;

  void Forward(const Setting& s) {
    const std::string problem = s.name("forward");
    if (!report->Wanted(problem)) return;
    const Operands o(arena, s.placement, s.dtype, s.rows, s.cols);
    const StreamBuffers buffers = {o.x1.data, o.x2.data, o.sum.data, o.y.data, o.x1.bytes()};
    if (!CheckStreams(problem, buffers)) return;
    std::vector<Prepared> prepared;
    for (const auto& [name, kind, p] : {std::tuple{"add+LayerNorm", NormKind::kLayer, 0.0},
                                        {"add+RMSNorm", NormKind::kRms, 0.0},
                                        {kDropoutName, NormKind::kLayer, kDropout}}) {
      std::string wrong = VerifyForward(o, kind, p, s.executor());
      if (wrong.empty()) wrong = Prepare(name, p == 0, o.Forward(kind, p), s.executor(), &prepared);
      if (!wrong.empty()) return report->Fail(problem + ": " + name, wrong);
    }
    Measure(s, "forward", buffers, prepared, {0.80, s.dtype == DType::kF32 ? 2.0 : 0}, seconds, report);
  }

  void Backward(const Setting& s) {
    for (const NormKind kind : {NormKind::kLayer, NormKind::kRms}) {
      const char* direction = kind == NormKind::kLayer ? "backward of LayerNorm" : "backward of RMSNorm";
      const std::string problem = s.name(direction);
      if (!report->Wanted(problem)) continue;
      const Operands o(arena, s.placement, s.dtype, s.rows, s.cols);
      const StreamBuffers buffers = {o.dy.data, o.sum.data, o.dx.data, nullptr, o.dy.bytes()};
      std::string wrong = VerifyForward(o, kind, 0, s.executor());
      const Status status = wrong.empty() ? o.SaveStatistics(kind) : Status();
      if (!status.ok()) wrong = status.message();
      std::vector<Prepared> prepared;
      for (const bool saved : {true, false}) {
        if (wrong.empty()) wrong = VerifyBackward(o, kind, saved, s.executor());
        const char* name = saved ? "saved statistics" : "statistics formed again";
        if (wrong.empty()) wrong = Prepare(name, saved, o.Backward(kind, saved), s.executor(), &prepared);
      }
      if (!wrong.empty()) return report->Fail(problem, wrong);
      if (!CheckStreams(problem, buffers)) return;
      Measure(s, direction, buffers, prepared, {0.75, 0}, seconds, report);
    }
  }

  bool CheckStreams(const std::string& problem, const StreamBuffers& buffers) {
    const bool right = StreamsAreRight(buffers);
    if (!right) report->Fail(problem, "a stream of the benchmark's own wrote something else");
    return right;
  }
};

int Main(int argc, char** argv) {
  Options options;
  if (!ParseOptions(argc, argv, &options)) return 2;
  Report report("bench_stream", options);
  const size_t threads = DefaultExecutor().concurrency(DefaultExecutor().context);
  std::printf("operators beside a stream with the same reads and writes; target %s, streams with %s, %zu threads\n", CurrentTarget(),
              StreamTarget(), threads);
  std::printf("GB/s counts the bytes that must move; dropout p = %.1f; 'staggered': buffers at different offsets in their pages\n",
              kDropout);
  const Arena arena(size_t{4096} * 4096 * 4);
  for (const bool in_cache : {true, false}) {
    const double seconds = options.seconds > 0 ? options.seconds : in_cache ? 0.5 : 2;
    Run run{arena, seconds, &report};
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      for (const bool all_threads : {false, true}) {
        if (all_threads && (in_cache || threads < 2)) continue;
        const bool both = !in_cache && !all_threads;
        for (const Placement placement : {Placement::kStaggered, Placement::kAligned}) {
          if (placement == Placement::kAligned && !both) continue;
          Setting s = {.rows = in_cache ? 32 : 4096, .cols = in_cache ? 1024 : 4096, .in_cache = in_cache};
          s.dtype = dtype, s.all_threads = all_threads, s.placement = placement;
          run.Forward(s);
          run.Backward(s);
        }
      }
    }
  }
  return report.Finish();
}

}  // namespace
}  // namespace addnorm::bench

int main(int argc, char** argv) { return addnorm::bench::Main(argc, argv); }
