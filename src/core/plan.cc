// SPDX-License-Identifier: Apache-2.0
#include "addnorm/plan.h"

#include <memory>
#include <new>
#include <type_traits>

#include "addnorm/addnorm.h"
#include "addnorm/version.h"
#include "src/core/check.h"
#include "src/core/target.h"
#include "src/core/backend.h"

namespace addnorm {
namespace {

template <class Args>
const Args& As(const std::byte* bytes) {
  return *std::launder(reinterpret_cast<const Args*>(bytes));
}

bool Usable(const Executor& executor) { return executor.parallel_for != nullptr && executor.concurrency != nullptr; }

template <class Problem>
Status RunOnce(const Problem& problem, const Executor& executor) {
  Plan plan;
  if (Status status = MakePlan(problem, &plan); !status.ok()) return status;
  if (!Usable(executor)) return plan.Run({}, executor);
  const size_t bytes = plan.workspace_bytes(executor);
  if (bytes == 0) return plan.Run({}, executor);
  const std::unique_ptr<std::byte[]> workspace(new (std::nothrow) std::byte[bytes]);
  if (!workspace) return Status::Error(Code::kInternal, "%s: a workspace of %zu bytes could not be allocated", problem.api, bytes);
  return plan.Run({workspace.get(), bytes}, executor);
}

}  // namespace

Status MakePlan(const ForwardProblem& problem, Plan* plan) {
  static_assert(sizeof(ForwardArgs) <= sizeof(Plan::args_) && std::is_trivially_copyable_v<ForwardArgs>);
  const Target* target;
  if (Status status = ChooseTarget(problem.api, &target); !status.ok()) return status;
  ForwardArgs args;
  if (Status status = Check(problem, &args); !status.ok()) return status;
  new (plan->args_) ForwardArgs(args);
  plan->target_ = target;
  plan->api_ = problem.api;
  plan->kind_ = Plan::Kind::kForward;
  return Status();
}

Status MakePlan(const BackwardProblem& problem, Plan* plan) {
  static_assert(sizeof(BackwardArgs) <= sizeof(Plan::args_) && std::is_trivially_copyable_v<BackwardArgs>);
  const Target* target;
  if (Status status = ChooseTarget(problem.api, &target); !status.ok()) return status;
  BackwardArgs args;
  if (Status status = Check(problem, &args); !status.ok()) return status;
  new (plan->args_) BackwardArgs(args);
  plan->target_ = target;
  plan->api_ = problem.api;
  plan->kind_ = Plan::Kind::kBackward;
  return Status();
}

size_t Plan::workspace_bytes(const Executor& executor) const {
  if (kind_ == Kind::kEmpty || !Usable(executor)) return 0;
  const Target& target = *static_cast<const Target*>(target_);
  return kind_ == Kind::kForward ? ForwardWorkspace(target, As<ForwardArgs>(args_), executor)
                                 : BackwardWorkspace(target, As<BackwardArgs>(args_), executor);
}

Status Plan::Run(std::span<std::byte> workspace, const Executor& executor) const {
  if (kind_ == Kind::kEmpty) return Status::Error(Code::kBadValue, "%s: Run on an empty plan, expected one made by MakePlan", api_);
  if (!Usable(executor)) {
    return Status::Error(Code::kNullArg, "%s: argument 'executor' has a null function, expected parallel_for and concurrency", api_);
  }
  const size_t needed = workspace_bytes(executor);
  if (workspace.size() < needed || (needed != 0 && workspace.data() == nullptr)) {
    return Status::Error(Code::kBadValue, "%s: argument 'workspace' has %zu bytes, expected at least %zu", api_, workspace.size(), needed);
  }
  const Target& target = *static_cast<const Target*>(target_);
  if (kind_ == Kind::kForward) {
    RunForward(target, As<ForwardArgs>(args_), workspace, executor);
  } else {
    RunBackward(target, As<BackwardArgs>(args_), workspace, executor);
  }
  return Status();
}

Status Forward(const ForwardProblem& problem, const Executor& executor) { return RunOnce(problem, executor); }
Status Backward(const BackwardProblem& problem, const Executor& executor) { return RunOnce(problem, executor); }

const char* Version() { return ADDNORM_VERSION_STRING; }

}  // namespace addnorm
