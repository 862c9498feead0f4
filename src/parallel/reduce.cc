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
constexpr size_t kChunkBytes = 128 * 1024;
// A thread is worth waking for this much.
constexpr size_t kSliceBytes = 64 * 1024;

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

struct Reducer::Job {
  const Reducer* reducer;
  In residual;
  size_t rows;
  std::byte* result;
  bool saturate;
  uint64_t fp_mode;
  std::mutex mutex;  // of `failure`
  Status failure;
};

Status Reducer::Prepare(const char* api, const NormArgs& norm, size_t ranks, DType partial, size_t rows, const Executor& executor) {
  api_ = api;
  norm_ = norm;
  ranks_ = ranks;
  addends_.reset(new (std::nothrow) In[ranks]);
  if (!addends_) return Status::Error(Code::kInternal, "%s: no memory for the partial sums of %zu ranks", api, ranks);
  const size_t row_bytes = norm.cols * SizeOf(DType::kF32);
  chunk_rows_ = std::max<size_t>(1, kChunkBytes / std::max<size_t>(1, row_bytes));
  const size_t bytes = rows * norm.cols * (ranks * SizeOf(partial) + SizeOf(norm.residual.dtype) + 2 * SizeOf(norm.y.dtype));
  const size_t most = std::min(std::max<size_t>(1, rows), bytes / kSliceBytes);
  const size_t threads = most < 2 ? 1 : std::max<size_t>(1, executor.concurrency(executor.context));
  slices_ = threads == 1 ? 1 : std::min(most, 4 * threads);
  // Two partials and the residual are one sum of three: only more ranks need a place to add.
  scratch_floats_ = ranks < 3 ? 0 : std::min(chunk_rows_, std::max<size_t>(1, rows)) * norm.cols;
  return scratch_.Allocate(api, "sums over ranks", slices_ * scratch_floats_ * sizeof(float));
}

Status Reducer::Run(size_t first_row, size_t rows, std::byte* result, bool saturate, const Executor& executor) {
  Job job{this, From(norm_.residual, first_row), rows, result, saturate, FpMode(), {}, {}};
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

// ((p_0 + p_1) + p_2) + ... + residual, three addends a time: the first two sums of a forward's h. The last one is normalised.
Status Reducer::RunChunk(const Job& job, size_t begin, size_t end, float* scratch) const {
  const int64_t shape[] = {static_cast<int64_t>(end - begin), static_cast<int64_t>(norm_.cols)}, column[] = {shape[1]};
  int64_t strides[4][2];
  size_t used = 0;
  const auto view = [&](const In& in) {
    strides[used][0] = in.row_stride;
    strides[used][1] = 1;
    return TensorView{const_cast<void*>(in.data), in.dtype, shape, strides[used++]};
  };
  const In residual = From(job.residual, begin);
  const In sum{scratch, static_cast<ptrdiff_t>(norm_.cols), DType::kF32};
  In first = From(addends_[0], begin);
  size_t next = 1;  // of ranks_ + 1 addends, the residual being the last
  for (; ranks_ + 1 - next > 2; next += 2) {
    used = 0;
    ForwardProblem add;
    add.api = api_;
    add.norm.kind = NormKind::kRms;
    add.pre.x0 = view(first);
    add.pre.residual = view(From(addends_[next], begin));
    add.pre.prebias = view(From(addends_[next + 1], begin));
    add.prenorm = view(sum);
    if (Status status = Forward(add, SerialExecutor()); !status.ok()) return status;
    first = sum;
  }
  used = 0;
  const size_t row_bytes = norm_.cols * SizeOf(norm_.y.dtype), offset = begin * row_bytes, plane = job.rows * row_bytes;
  ForwardProblem last;
  last.api = api_;
  last.norm = {NormKind::kRms, norm_.epsilon, false};
  last.pre.x0 = view(first);
  last.pre.residual = next == ranks_ ? view(residual) : view(From(addends_[next], begin));
  if (next < ranks_) last.pre.prebias = view(residual);
  last.weight = {const_cast<void*>(norm_.gamma.data), norm_.gamma.dtype, column, {}};
  last.prenorm = {job.result + offset, norm_.y.dtype, shape, {}};
  last.y = {job.result + plane + offset, norm_.y.dtype, shape, {}};
  if (Status status = Forward(last, SerialExecutor()); !status.ok()) return status;
  if (job.saturate && norm_.y.dtype == DType::kF16) {
    Saturate(job.result + offset, static_cast<size_t>(shape[0] * shape[1]));
    Saturate(job.result + plane + offset, static_cast<size_t>(shape[0] * shape[1]));
  }
  return Status();
}

}  // namespace addnorm
