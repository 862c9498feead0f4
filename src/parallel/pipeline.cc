// SPDX-License-Identifier: Apache-2.0
#include "src/parallel/pipeline.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <utility>

#include "src/parallel/buffer.h"
#include "src/parallel/fingerprint.h"
#include "src/parallel/reduce.h"

namespace addnorm {
namespace {

// A block of partial sums of this size is still in the caches when it is reduced, and pays for meeting the others once more.
constexpr size_t kBlockBytes = size_t{8} << 20;
constexpr size_t kMaxBlocks = 64;
// A thread is worth waking to copy this much.
constexpr size_t kCopyBytes = size_t{256} << 10;

class Run {
 public:
  Run(const PipelineArgs& args, Communicator& communicator, const Executor& executor)
      : args_(args), communicator_(communicator), executor_(executor), ranks_(static_cast<size_t>(communicator.size())) {
    const NormArgs& norm = args.norm;
    const size_t partial_row = norm.cols * SizeOf(args.source.dtype);
    layout_ = {norm.rows,
               norm.cols,
               CountBlocks(norm.rows, partial_row, communicator.size(), args.comm_turn),
               partial_row,
               2 * norm.cols * SizeOf(norm.y.dtype),  // y and norm_out: never less than a sum in fp32
               communicator.size()};
  }

  // Everything that may fail for want of memory, before the others rely on this rank.
  Status Prepare() {
    parts_ = Parts(ranks_);
    if (!parts_) return Status::Error(Code::kInternal, "%s: no memory for %zu pointers", args_.api, ranks_);
    const Reduction reduction = {args_.api, args_.norm, ranks_, args_.source.dtype, args_.per_rank_residual, args_.saturate};
    if (Status status = reducer_.Prepare(reduction, MaxShare(communicator_.rank()), executor_); !status.ok()) return status;
    if (!args_.per_rank_residual) return Status();
    size_t most = 0;
    for (int q = 0; q < communicator_.size(); ++q) most = std::max(most, MaxShare(q));
    return reducer_.PrepareFinish(most, executor_);
  }

  Status Agree(Deadline deadline) {
    CallHeader header;
    header.operation = args_.operation;
    header.scenario = args_.scenario;
    header.rows = layout_.rows;
    header.cols = layout_.cols;
    header.blocks = layout_.blocks;
    header.epsilon_bits = std::bit_cast<uint64_t>(args_.norm.epsilon);
    header.partial_type = static_cast<uint32_t>(args_.source.dtype);
    header.result_type = static_cast<uint32_t>(args_.norm.y.dtype);
    if (!args_.per_rank_residual) header.replicated = Fingerprint(args_.norm);
    return communicator_.Begin(header, layout_, deadline);
  }

  // The reduction of a block comes after the partial sums of the next: what it waits for has had that long to arrive.
  Status Compute() {
    for (size_t b = 0; b <= layout_.blocks; ++b) {
      if (b < layout_.blocks) {
        if (Status status = MakePartial(b); !status.ok()) return status;
      }
      if (b > 0) {
        if (Status status = Reduce(b - 1); !status.ok()) return status;
      }
    }
    return communicator_.Commit();
  }

  // All ranks have committed: outputs may be written.
  Status TakeResults() {
    const NormArgs& norm = args_.norm;
    const size_t row_bytes = layout_.result_row_bytes / 2;
    for (size_t b = 0; b < layout_.blocks; ++b) {
      for (size_t q = 0; q < ranks_; ++q) {
        const CallLayout::Range share = layout_.Share(b, static_cast<int>(q));
        if (share.size() == 0 || row_bytes == 0) continue;
        const std::byte* from = communicator_.ResultOf(b, static_cast<int>(q));
        if (args_.per_rank_residual) {
          if (Status status = reducer_.Finish(share.begin, share.size(), from, executor_); !status.ok()) return status;
          continue;
        }
        CopyRows(from, norm.y, share, row_bytes);
        CopyRows(from + share.size() * row_bytes, norm.norm_out, share, row_bytes);
      }
    }
    return Status();
  }

 private:
  using Part = const std::byte*;
  struct Parts {
    Parts() = default;
    explicit Parts(size_t count) : data(new (std::nothrow) Part[count]), size(count) {}
    explicit operator bool() const { return data != nullptr; }
    std::unique_ptr<Part[]> data;
    size_t size = 0;
  };

  size_t MaxShare(int rank) const {
    size_t most = 0;
    for (size_t b = 0; b < layout_.blocks; ++b) most = std::max(most, layout_.Share(b, rank).size());
    return most;
  }

  Status MakePartial(size_t b) {
    const CallLayout::Range block = layout_.Block(b), mine = layout_.Share(b, communicator_.rank());
    std::byte* out = communicator_.Partial(b);
    const auto write = [&](size_t begin, size_t end) {
      if (begin == end || layout_.cols == 0 || out == nullptr) return;
      args_.source.write(args_.source.self, {begin, end}, out + (begin - block.begin) * layout_.partial_row_bytes);
    };
    if (args_.source.existing) {
      write(block.begin, mine.begin);
      write(mine.end, block.end);
    } else {
      write(block.begin, block.end);
    }
    return communicator_.PublishPartial(b);
  }

  Status Reduce(size_t b) {
    if (Status status = communicator_.CollectPartials(b, {parts_.data.get(), parts_.size}); !status.ok()) return status;
    const CallLayout::Range share = layout_.Share(b, communicator_.rank());
    if (share.size() != 0 && layout_.cols != 0) {
      for (size_t q = 0; q < ranks_; ++q) {
        reducer_.SetPart(q, {parts_.data[q], static_cast<ptrdiff_t>(layout_.cols), args_.source.dtype});
      }
      if (args_.source.existing) reducer_.SetPart(static_cast<size_t>(communicator_.rank()), From(args_.source.existing, share.begin));
      if (Status status = reducer_.Run(share.begin, share.size(), communicator_.Result(b), executor_); !status.ok()) {
        communicator_.Abort(status);
        return status;
      }
    }
    return communicator_.PublishResult(b);
  }

  void CopyRows(const std::byte* from, const Out& out, CallLayout::Range rows, size_t row_bytes) const {
    struct Job {
      const std::byte* from;
      std::byte* to;
      ptrdiff_t stride_bytes;
      size_t row_bytes;
    } job{from, nullptr, out.row_stride * static_cast<ptrdiff_t>(SizeOf(out.dtype)), row_bytes};
    job.to = static_cast<std::byte*>(out.data) + static_cast<ptrdiff_t>(rows.begin) * job.stride_bytes;
    const auto copy = [](void* arg, size_t begin, size_t end) {
      const Job& j = *static_cast<const Job*>(arg);
      if (j.stride_bytes == static_cast<ptrdiff_t>(j.row_bytes)) {
        std::memcpy(j.to + begin * j.row_bytes, j.from + begin * j.row_bytes, (end - begin) * j.row_bytes);
        return;
      }
      for (size_t r = begin; r < end; ++r)
        std::memcpy(j.to + static_cast<ptrdiff_t>(r) * j.stride_bytes, j.from + r * j.row_bytes, j.row_bytes);
    };
    if (rows.size() * row_bytes < kCopyBytes) return copy(&job, 0, rows.size());
    executor_.parallel_for(executor_.context, rows.size(), copy, &job);
  }

  const PipelineArgs& args_;
  Communicator& communicator_;
  const Executor& executor_;
  const size_t ranks_;
  CallLayout layout_;
  Parts parts_;
  Reducer reducer_;
};

}  // namespace

size_t CountBlocks(size_t rows, size_t partial_row_bytes, int ranks, int64_t comm_turn) {
  const size_t most = std::max<size_t>(1, std::min(rows, kMaxBlocks));
  if (comm_turn > 0) return std::min(static_cast<size_t>(comm_turn), most);
  // Alone there is nobody to wait for. A block has a few rows for every rank.
  if (ranks == 1) return 1;
  const size_t by_bytes = rows * partial_row_bytes / kBlockBytes, by_rows = rows / (static_cast<size_t>(ranks) * 4);
  return std::clamp<size_t>(std::min(by_bytes, by_rows), 1, most);
}

Status RunPipeline(const PipelineArgs& args, Communicator& communicator, Deadline deadline, const Executor& executor) {
  Run run(args, communicator, executor);
  if (Status status = run.Prepare(); !status.ok()) return RefuseOnAllRanks(status, args.operation, communicator, deadline);
  if (Status status = run.Agree(deadline); !status.ok()) return status;
  if (Status status = run.Compute(); !status.ok()) return status;
  const Status status = run.TakeResults();
  communicator.End();
  return status;
}

Status RefuseOnAllRanks(const Status& why, uint32_t operation, Communicator& communicator, Deadline deadline) {
  CallHeader header;
  header.operation = operation;
  header.refused = static_cast<uint32_t>(why.code());
  CallLayout layout;
  layout.ranks = communicator.size();
  (void)communicator.Begin(header, layout, deadline);  // it fails, as it must: `why` says more
  return why;
}

}  // namespace addnorm
