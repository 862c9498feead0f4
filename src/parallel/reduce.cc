// SPDX-License-Identifier: Apache-2.0
#include "src/parallel/reduce.h"

#include <algorithm>
#include <cstring>
#include <mutex>

#include "addnorm/addnorm.h"
#include "src/base/fp_mode.h"

namespace addnorm {
namespace {

// Rows that are summed before they are normalised stay in the second-level cache.
constexpr size_t kChunkBytes = size_t{128} << 10;
// A thread is worth waking for this much.
constexpr size_t kSliceBytes = size_t{64} << 10;

constexpr uint16_t kF16Infinity = 0x7C00, kF16Max = 0x7BFF;

// Where Ascend's vector unit writes float16, there is no infinity.
void Saturate(std::byte* values, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    uint16_t bits;
    std::memcpy(&bits, values + 2 * i, 2);
    if ((bits & 0x7FFF) == kF16Infinity) bits = static_cast<uint16_t>((bits & 0x8000) | kF16Max);
    std::memcpy(values + 2 * i, &bits, 2);
  }
}

}  // namespace

In From(const In& in, size_t row) {
  if (!in) return in;
  const ptrdiff_t offset = static_cast<ptrdiff_t>(row) * in.row_stride * static_cast<ptrdiff_t>(SizeOf(in.dtype));
  return {static_cast<const char*>(in.data) + offset, in.row_stride, in.dtype};
}

// `out` from row `row` on.
static Out From(const Out& out, size_t row) {
  const In in = From(In{out.data, out.row_stride, out.dtype}, row);
  return {const_cast<void*>(in.data), in.row_stride, in.dtype};
}

struct Reducer::Job {
  const Reducer* reducer;
  In residual;
  size_t rows;
  std::byte* result;
  uint64_t fp_mode;
  std::mutex mutex;  // of `failure`
  Status failure;
};

Status Reducer::Prepare(const Reduction& reduction, size_t rows, const Executor& executor) {
  reduction_ = reduction;
  const NormArgs& norm = reduction_.norm;
  const size_t ranks = reduction_.ranks;
  addends_.reset(new (std::nothrow) In[ranks + 1]);
  if (!addends_) return Status::Error(Code::kInternal, "%s: no memory for the partial sums of %zu ranks", reduction_.api, ranks);
  const size_t row_bytes = norm.cols * SizeOf(DType::kF32);
  chunk_rows_ = std::max<size_t>(1, kChunkBytes / std::max<size_t>(1, row_bytes));
  const size_t bytes = rows * norm.cols * (ranks * SizeOf(reduction_.partial) + SizeOf(norm.residual.dtype) + 2 * SizeOf(norm.y.dtype));
  const size_t most = std::min(std::max<size_t>(1, rows), bytes / kSliceBytes);
  const size_t threads = most < 2 ? 1 : std::max<size_t>(1, executor.concurrency(executor.context));
  slices_ = threads == 1 ? 1 : std::min(most, 4 * threads);
  // Two partials and the residual are one sum of three: only more ranks need a place to add.
  scratch_floats_ = ranks < 3 ? 0 : std::min(chunk_rows_, std::max<size_t>(1, rows)) * norm.cols;
  return scratch_.Allocate(reduction_.api, "sums over ranks", slices_ * scratch_floats_ * sizeof(float));
}

Status Reducer::Run(size_t first_row, size_t rows, std::byte* result, const Executor& executor) {
  Job job{this, From(reduction_.norm.residual, first_row), rows, result, FpMode(), {}, {}};
  const auto task = [](void* arg, size_t begin, size_t end) {
    Job& j = *static_cast<Job*>(arg);
    const Reducer& self = *j.reducer;
    const ScopedFpMode mode(j.fp_mode);
    for (size_t s = begin; s < end; ++s) {
      const size_t each = j.rows / self.slices_, rest = j.rows % self.slices_;
      const size_t first = s * each + std::min(s, rest), last = first + each + (s < rest ? 1 : 0);
      float* scratch = reinterpret_cast<float*>(self.scratch_.data()) + s * self.scratch_floats_;
      if (Status status = self.RunRows(j, first, last, scratch); !status.ok()) {
        const std::lock_guard<std::mutex> lock(j.mutex);
        j.failure = status;
      }
    }
  };
  if (slices_ == 1) {
    task(&job, 0, 1);
  } else {
    executor.parallel_for(executor.context, slices_, task, &job);
  }
  return job.failure;
}

Status Reducer::RunRows(const Job& job, size_t begin, size_t end, float* scratch) const {
  for (size_t row = begin; row < end; row += chunk_rows_) {
    if (Status status = RunChunk(job, row, std::min(end, row + chunk_rows_), scratch); !status.ok()) return status;
  }
  return Status();
}

// Rows of a [rows, cols] problem as the forward takes them, with the arrays that its views refer to.
class Reducer::Rows {
 public:
  Rows(const Reduction& reduction, size_t rows)
      : shape_{static_cast<int64_t>(rows), static_cast<int64_t>(reduction.norm.cols)}, column_{shape_[1]} {
    problem.api = reduction.api;
    problem.norm = {NormKind::kRms, reduction.norm.epsilon, false};
  }
  TensorView View(const void* data, ptrdiff_t row_stride, DType dtype) {
    strides_[used_][0] = row_stride;
    strides_[used_][1] = 1;
    return {const_cast<void*>(data), dtype, shape_, strides_[used_++]};
  }
  TensorView View(const In& in) { return View(in.data, in.row_stride, in.dtype); }
  TensorView View(const Out& out) { return View(out.data, out.row_stride, out.dtype); }
  TensorView Column(const In& in) const { return {const_cast<void*>(in.data), in.dtype, column_, {}}; }

  ForwardProblem problem;

 private:
  const int64_t shape_[2], column_[1];
  int64_t strides_[6][2];
  size_t used_ = 0;
};

// ((p_0 + p_1) + p_2) + ... (+ residual), three addends a time: the first two sums of a forward's h.
Status Reducer::RunChunk(const Job& job, size_t begin, size_t end, float* scratch) const {
  const NormArgs& norm = reduction_.norm;
  const auto cols = static_cast<ptrdiff_t>(norm.cols);
  const size_t addends = reduction_.ranks + (reduction_.only_sums ? 0 : 1), rows = end - begin;
  const auto addend = [&](size_t i) { return From(i < reduction_.ranks ? addends_[i] : job.residual, begin); };
  In first = addend(0);
  size_t next = 1;
  for (; addends - next > 2; next += 2) {
    Rows add(reduction_, rows);
    add.problem.pre.x0 = add.View(first);
    add.problem.pre.residual = add.View(addend(next));
    add.problem.pre.prebias = add.View(addend(next + 1));
    first = In{scratch, cols, DType::kF32};
    add.problem.prenorm = add.View(first);
    if (Status status = Forward(add.problem, SerialExecutor()); !status.ok()) return status;
  }
  Rows last(reduction_, rows);
  ForwardProblem& p = last.problem;
  p.pre.x0 = last.View(first);
  if (next < addends) p.pre.residual = last.View(addend(next));
  if (next + 1 < addends) p.pre.prebias = last.View(addend(next + 1));
  if (reduction_.only_sums) {
    p.prenorm = last.View(job.result + begin * norm.cols * sizeof(float), cols, DType::kF32);
    return Forward(p, SerialExecutor());
  }
  const size_t row_bytes = norm.cols * SizeOf(norm.y.dtype);
  std::byte *const y = job.result + begin * row_bytes, *const norm_out = y + job.rows * row_bytes;
  p.weight = last.Column(norm.gamma);
  p.prenorm = last.View(y, cols, norm.y.dtype);
  p.y = last.View(norm_out, cols, norm.y.dtype);
  if (Status status = Forward(p, SerialExecutor()); !status.ok()) return status;
  if (reduction_.saturate && norm.y.dtype == DType::kF16) {
    Saturate(y, rows * norm.cols);
    Saturate(norm_out, rows * norm.cols);
  }
  return Status();
}

Status Reducer::PlanFinish(size_t first_row, size_t rows, const In& sums, Plan* plan) const {
  const NormArgs& norm = reduction_.norm;
  Rows last(reduction_, rows);
  ForwardProblem& p = last.problem;
  p.pre.x0 = last.View(sums);
  p.pre.residual = last.View(From(norm.residual, first_row));
  p.weight = last.Column(norm.gamma);
  p.prenorm = last.View(From(norm.y, first_row));
  p.y = last.View(From(norm.norm_out, first_row));
  return MakePlan(p, plan);
}

Status Reducer::PrepareFinish(size_t rows, const Executor& executor) {
  if (rows == 0 || reduction_.norm.cols == 0) return Status();
  Buffer sums;  // one row stands for all: only its place in memory is not that of the sums to come
  Plan plan;
  if (Status status = sums.Allocate(reduction_.api, "a row of sums", reduction_.norm.cols * sizeof(float)); !status.ok()) return status;
  if (Status status = PlanFinish(0, rows, {sums.data(), 0, DType::kF32}, &plan); !status.ok()) return status;
  return workspace_.Allocate(reduction_.api, "the norm", plan.workspace_bytes(executor));
}

Status Reducer::Finish(size_t first_row, size_t rows, const std::byte* sums, const Executor& executor) const {
  const NormArgs& norm = reduction_.norm;
  Plan plan;
  const In from = {sums, static_cast<ptrdiff_t>(norm.cols), DType::kF32};
  if (Status status = PlanFinish(first_row, rows, from, &plan); !status.ok()) return status;
  // An executor that has more threads than it had: one will do.
  const bool enough = plan.workspace_bytes(executor) <= workspace_.bytes();
  if (Status status = plan.Run(workspace_.span(), enough ? executor : SerialExecutor()); !status.ok()) return status;
  if (reduction_.saturate && norm.y.dtype == DType::kF16) {
    for (const Out& out : {From(norm.y, first_row), From(norm.norm_out, first_row)}) {
      for (size_t r = 0; r < rows; ++r)
        Saturate(static_cast<std::byte*>(out.data) + static_cast<ptrdiff_t>(2 * r) * out.row_stride, norm.cols);
    }
  }
  return Status();
}

}  // namespace addnorm
