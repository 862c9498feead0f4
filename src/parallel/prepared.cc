// SPDX-License-Identifier: Apache-2.0
#include "src/parallel/prepared.h"

#include <utility>

#include "src/core/target.h"
#include "src/parallel/scales.h"

namespace addnorm {

Status PreparedWeights::Make(const MatmulAllReduceAddRmsNormProblem& problem, const Executor& executor, PreparedWeightsPtr* made) {
  const Target* target;
  if (Status status = ChooseTarget(problem.api, &target); !status.ok()) return status;
  WeightArgs weights;
  if (Status status = CheckWeights(problem, &weights); !status.ok()) return status;
  auto* prepared = new (std::nothrow) PreparedWeights;
  PreparedWeightsPtr owner(prepared);
  if (prepared == nullptr) return Status::Error(Code::kInternal, "%s: no memory for prepared weights", problem.api);
  prepared->target_ = target;
  if (Status status = DecodeAntiquant(problem.api, weights, true, &prepared->scales_, &prepared->antiquant_); !status.ok()) return status;
  MatmulArgs args;
  args.k = weights.k;
  args.n = weights.n;
  args.x1.dtype = weights.scenario == Scenario::kInt8Weights ? DType::kF32 : weights.x2.dtype;
  args.x2 = weights.x2;
  args.antiquant = prepared->antiquant_;
  if (Status status = prepared->packed_.Allocate(problem.api, "prepared weights", PackedWeightBytes(*target, args)); !status.ok())
    return status;
  if (prepared->packed_.data() != nullptr) PackWeights(*target, args, prepared->packed_.data(), executor);
  weights.x2.data = nullptr;
  weights.antiquant_scale = weights.antiquant_offset = {};
  prepared->shape_ = weights;
  *made = std::move(owner);
  return Status();
}

void PreparedWeightsDelete::operator()(const PreparedWeights* weights) const { delete weights; }

Status PrepareWeights(const MatmulAllReduceAddRmsNormProblem& problem, PreparedWeightsPtr* prepared, const Executor& executor) {
  if (executor.parallel_for == nullptr || executor.concurrency == nullptr) {
    return Status::Error(Code::kNullArg, "%s: argument 'executor' has a null function, expected parallel_for and concurrency", problem.api);
  }
  return PreparedWeights::Make(problem, executor, prepared);
}

int64_t RowsOf(const PreparedWeights& weights) { return static_cast<int64_t>(weights.shape().k); }
int64_t ColumnsOf(const PreparedWeights& weights) { return static_cast<int64_t>(weights.shape().n); }
size_t BytesOf(const PreparedWeights& weights) { return weights.bytes(); }

}  // namespace addnorm
