// SPDX-License-Identifier: Apache-2.0
// What one small call costs in C++: check, plan and run; and the run alone.
#include <cstdio>
#include <string>
#include <vector>

#include "bench/operands.h"
#include "bench/report.h"
#include "bench/timing.h"
#include "bench/verify.h"

namespace addnorm::bench {
namespace {

struct Shape {
  int64_t rows, cols;
};

template <class Problem>
bool AddVariants(const std::string& name, const Problem& problem, Plan* plan, std::vector<std::byte>* workspace,
                 std::vector<Variant>* variants) {
  if (!MakePlan(problem, plan).ok()) return false;
  workspace->resize(plan->workspace_bytes(DefaultExecutor()));
  variants->push_back({name + ": run a plan", [plan, workspace] { (void)plan->Run(*workspace, DefaultExecutor()); }});
  variants->push_back({name + ": make a plan", [problem] {
                         Plan fresh;
                         (void)MakePlan(problem, &fresh);
                       }});
  variants->push_back({name + ": call (check, plan and run)", [problem] {
                         if constexpr (std::is_same_v<Problem, ForwardProblem>) {
                           (void)Forward(problem);
                         } else {
                           (void)Backward(problem);
                         }
                       }});
  return true;
}

void Measure(const Arena& arena, Shape shape, double seconds, Report* report) {
  const std::string problem = std::to_string(shape.rows) + "x" + std::to_string(shape.cols) + " float32";
  if (!report->Wanted(problem)) return;
  const Operands o(arena, Placement::kStaggered, DType::kF32, shape.rows, shape.cols);
  const NormKind kind = NormKind::kLayer;
  std::string wrong = VerifyForward(o, kind, 0, DefaultExecutor());
  if (wrong.empty()) {
    const Status status = o.SaveStatistics(kind);
    wrong = status.ok() ? VerifyBackward(o, kind, true, DefaultExecutor()) : status.message();
  }
  if (!wrong.empty()) return report->Fail(problem, wrong);
  Plan plans[3];
  std::vector<std::byte> workspaces[3];
  std::vector<Variant> variants;
  if (!AddVariants("add+LayerNorm", o.Forward(kind), &plans[0], &workspaces[0], &variants) ||
      !AddVariants("add+RMSNorm", o.Forward(NormKind::kRms), &plans[1], &workspaces[1], &variants) ||
      !AddVariants("backward of add+LayerNorm", o.Backward(kind, true), &plans[2], &workspaces[2], &variants)) {
    return report->Fail(problem, "no plan");
  }
  report->Add(problem, Interleave(variants, Clock::kThread, seconds), 0);
}

int Main(int argc, char** argv) {
  Options options;
  if (!ParseOptions(argc, argv, &options)) return 2;
  std::printf("cost of one call in C++, target %s, default executor\n", CurrentTarget());
  Report report("bench_call", options);
  const Arena arena(size_t{1} << 20);
  for (const Shape shape : {Shape{1, 64}, Shape{8, 768}}) Measure(arena, shape, options.seconds > 0 ? options.seconds : 1.5, &report);
  return report.Finish();
}

}  // namespace
}  // namespace addnorm::bench

int main(int argc, char** argv) { return addnorm::bench::Main(argc, argv); }
