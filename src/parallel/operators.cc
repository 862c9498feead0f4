// SPDX-License-Identifier: Apache-2.0
// The operators: check, decode, choose a source of partial sums, run the pipeline.
#include "addnorm/parallel.h"

#include <cstring>

#include "src/core/matmul.h"
#include "src/core/target.h"
#include "src/parallel/buffer.h"
#include "src/parallel/check.h"
#include "src/parallel/pipeline.h"
#include "src/parallel/prepared.h"
#include "src/parallel/reduce.h"
#include "src/parallel/scales.h"

namespace addnorm {
namespace {

constexpr uint32_t kMatmulOperation = 1, kReduceOperation = 2;

Deadline DeadlineOf(std::chrono::nanoseconds timeout) {
  const auto now = std::chrono::steady_clock::now();
  if (timeout.count() <= 0) timeout = std::chrono::seconds(30);  // refused, and the others must hear of it
  const auto most = Deadline::max() - now;
  return timeout < most ? now + std::chrono::duration_cast<Deadline::duration>(timeout) : Deadline::max();
}

Status CheckCall(const char* api, std::chrono::nanoseconds timeout, const Executor& executor) {
  if (executor.parallel_for == nullptr || executor.concurrency == nullptr) {
    return Status::Error(Code::kNullArg, "%s: argument 'executor' has a null function, expected parallel_for and concurrency", api);
  }
  if (timeout.count() <= 0) {
    return Status::Error(Code::kBadValue, "%s: argument 'timeout' is %lld ns, expected > 0", api, static_cast<long long>(timeout.count()));
  }
  return Status();
}

// Numbers the scenario and the types that all ranks must have alike; those of x2 and bias only follow.
uint32_t ScenarioNumber(uint32_t kind, DType x1, DType residual, bool per_rank_residual) {
  return uint32_t{per_rank_residual} << 24 | kind << 16 | static_cast<uint32_t>(x1) << 8 | static_cast<uint32_t>(residual);
}

// x1 @ x2 + bias of this rank.
class Matmul {
 public:
  Status Prepare(const MatmulAllReduceAddRmsNormProblem& p, const MatmulOperatorArgs& args, size_t block_rows, const Executor& executor) {
    executor_ = &executor;
    comm_dtype_ = p.comm_dtype;
    if (Status status = ChooseTarget(p.api, &target_); !status.ok()) return status;
    args_.m = args.norm.rows;
    args_.n = args.weights.n;
    args_.k = args.weights.k;
    args_.x1 = args.x1;
    args_.bias = args.bias;
    args_.x2 = args.weights.x2;
    if (p.prepared != nullptr) {
      target_ = &p.prepared->target();
      packed_ = p.prepared->packed();
      args_.antiquant = p.prepared->antiquant();
    } else if (Status status = DecodeAntiquant(p.api, args.weights, false, &antiquant_, &args_.antiquant); !status.ok()) {
      return status;
    }
    if (args.dequant_scale) {
      if (Status status = DecodeDequantScale(p.api, args.dequant_scale, args_.n, p.ascend, &dequant_); !status.ok()) return status;
      args_.dequant_scale = reinterpret_cast<const float*>(dequant_.data());
      args_.dequant_stride = args.dequant_scale.col_stride == 0 ? 0 : 1;
    }
    if (args_.m == 0 || args_.n == 0) return Status();
    if (Status status = workspace_.Allocate(p.api, "the matmul", MatmulWorkspaceBytes(*target_, args_, packed_ != nullptr, executor));
        !status.ok()) {
      return status;
    }
    if (comm_dtype_ == DType::kF32) return Status();
    return wide_.Allocate(p.api, "fp32 partial sums", block_rows * args_.n * sizeof(float));
  }

  PartialSource source() const { return {comm_dtype_, &Write, this, {}}; }

 private:
  static void Write(const void* self, RowRange rows, std::byte* out) {
    const Matmul& m = *static_cast<const Matmul*>(self);
    const bool narrow = m.comm_dtype_ != DType::kF32;
    auto* sums = reinterpret_cast<float*>(narrow ? m.wide_.data() : out);
    RunMatmul(*m.target_, m.args_, m.packed_, rows, sums, m.args_.n, m.workspace_.span(), *m.executor_);
    if (narrow) m.target_->store({out, 0, m.comm_dtype_}, sums, (rows.end - rows.begin) * m.args_.n, false);
  }

  MatmulArgs args_;
  DType comm_dtype_ = DType::kF32;
  const Target* target_ = nullptr;
  const std::byte* packed_ = nullptr;
  const Executor* executor_ = nullptr;
  Buffer dequant_, antiquant_, workspace_, wide_;
};

// Partial sums that the caller has.
void WriteExisting(const void* self, RowRange rows, std::byte* out) {
  const ReduceOperatorArgs& args = *static_cast<const ReduceOperatorArgs*>(self);
  const size_t row_bytes = args.norm.cols * SizeOf(args.partial.dtype), count = rows.end - rows.begin;
  const In from = From(args.partial, rows.begin);
  if (count < 2 || from.row_stride == static_cast<ptrdiff_t>(args.norm.cols)) {
    std::memcpy(out, from.data, count * row_bytes);
    return;
  }
  for (size_t r = 0; r < count; ++r) std::memcpy(out + r * row_bytes, From(from, r).data, row_bytes);
}

}  // namespace

Status MatmulAllReduceAddRmsNorm(const MatmulAllReduceAddRmsNormProblem& p, Communicator& communicator, std::chrono::nanoseconds timeout,
                                 const Executor& executor) {
  const Deadline deadline = DeadlineOf(timeout);
  MatmulOperatorArgs args;
  Matmul matmul;
  Status status = CheckCall(p.api, timeout, executor);
  if (status.ok()) status = Check(p, &args);
  if (status.ok()) {
    const size_t blocks = CountBlocks(args.norm.rows, args.norm.cols * SizeOf(p.comm_dtype), communicator.size(), p.comm_turn);
    status = matmul.Prepare(p, args, args.norm.rows / blocks + 1, executor);
  }
  if (!status.ok()) return RefuseOnAllRanks(status, kMatmulOperation, communicator, deadline);
  PipelineArgs pipeline;
  pipeline.api = p.api;
  pipeline.operation = kMatmulOperation;
  pipeline.scenario = ScenarioNumber(1 + static_cast<uint32_t>(args.weights.scenario), p.x1.dtype, p.residual.dtype, p.per_rank_residual);
  pipeline.norm = args.norm;
  pipeline.comm_turn = p.comm_turn;
  pipeline.per_rank_residual = p.per_rank_residual;
  pipeline.saturate = p.ascend;
  pipeline.source = matmul.source();
  return RunPipeline(pipeline, communicator, deadline, executor);
}

Status AllReduceAddRmsNorm(const AllReduceAddRmsNormProblem& p, Communicator& communicator, std::chrono::nanoseconds timeout,
                           const Executor& executor) {
  const Deadline deadline = DeadlineOf(timeout);
  ReduceOperatorArgs args;
  Status status = CheckCall(p.api, timeout, executor);
  if (status.ok()) status = Check(p, &args);
  if (!status.ok()) return RefuseOnAllRanks(status, kReduceOperation, communicator, deadline);
  PipelineArgs pipeline;
  pipeline.api = p.api;
  pipeline.operation = kReduceOperation;
  pipeline.scenario = ScenarioNumber(0, p.partial.dtype, p.residual.dtype, p.per_rank_residual);
  pipeline.norm = args.norm;
  pipeline.comm_turn = p.comm_turn;
  pipeline.per_rank_residual = p.per_rank_residual;
  pipeline.source = {p.partial.dtype, &WriteExisting, &args, args.partial};
  return RunPipeline(pipeline, communicator, deadline, executor);
}

}  // namespace addnorm
