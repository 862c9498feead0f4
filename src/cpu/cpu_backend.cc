// SPDX-License-Identifier: Apache-2.0
#include "src/core/backend.h"

#include <algorithm>
#include <bit>
#include <cstdint>

#include "src/base/cache_size.h"
#include "src/base/fp_mode.h"

namespace addnorm {
namespace {

// A thread is worth waking for this many bytes of operands.
constexpr size_t kBytesPerSlice = 64 * 1024;
// Scratch up to this size lies on the stack of the thread that works.
constexpr size_t kStackBytes = 64 * 1024;

size_t DivUp(size_t n, size_t d) { return (n + d - 1) / d; }
size_t RoundUp(size_t n) { return DivUp(n, kScratchAlign) * kScratchAlign; }

std::byte* Aligned(std::byte* p) { return p + (kScratchAlign - reinterpret_cast<uintptr_t>(p) % kScratchAlign) % kScratchAlign; }

// Bytes of the full operands of one row: what moves.
size_t RowBytes(const ForwardArgs& a) {
  const auto size = [](const auto& operand) { return operand.data ? SizeOf(operand.dtype) : 0; };
  return a.shape.cols * (size(a.pre.x) + size(a.pre.residual) + size(a.y) + size(a.sum) + size(a.keep));
}
size_t RowBytes(const BackwardArgs& a) {
  const auto size = [](const auto& operand) { return operand.data ? SizeOf(operand.dtype) : 0; };
  return a.shape.cols *
         (size(a.dy) + size(a.sum) + size(a.pre.x) + size(a.pre.residual) + size(a.dsum) + size(a.dx) + size(a.dresidual) + size(a.xhat));
}

// A call that moves a large share of what the last cache level holds writes around the caches: who reads its outputs has to share that
// level with everybody else. The backward gains most, and the next reader of its outputs is furthest away.
bool Streams(const ForwardArgs& a) { return RowBytes(a) * a.shape.rows > LastLevelCacheBytes() / 2; }
bool Streams(const BackwardArgs& a) { return RowBytes(a) * a.shape.rows > LastLevelCacheBytes() / 4; }

// Slices worth making of `units` equal units of work; asks the executor only where there is enough.
size_t CountSlices(size_t units, size_t total_bytes, const Executor& executor) {
  const size_t most = std::min(units, total_bytes / kBytesPerSlice);
  if (most < 2) return 1;
  const size_t threads = std::max<size_t>(1, executor.concurrency(executor.context));
  return threads == 1 ? 1 : std::min(most, 4 * threads);  // several per thread: they are not equally fast
}

void Parallel(const Executor& executor, size_t count, void (*task)(void*, size_t, size_t), void* arg) {
  if (count == 1) return task(arg, 0, 1);
  executor.parallel_for(executor.context, count, task, arg);
}

// ---- Forward ----

struct ForwardJob {
  const Target& target;
  const ForwardArgs& args;
  size_t slices, scratch_bytes;
  std::byte* scratch;  // null: on the stack
  uint64_t fp_mode;
};

void ForwardSlices(const ForwardJob& job, size_t begin, size_t end, std::byte* scratch) {
  const size_t rows = job.args.shape.rows;
  for (size_t s = begin; s < end; ++s) {
    const RowRange range = {rows / job.slices * s + std::min(s, rows % job.slices),
                            rows / job.slices * (s + 1) + std::min(s + 1, rows % job.slices)};
    job.target.forward(job.args, range, scratch);
  }
}

// Apart, so that only calls that need it pay for the stack.
__attribute__((noinline)) void ForwardSlicesOnStack(const ForwardJob& job, size_t begin, size_t end) {
  alignas(kScratchAlign) std::byte scratch[kStackBytes];
  ForwardSlices(job, begin, end, scratch);
}

void ForwardTask(void* arg, size_t begin, size_t end) {
  const ForwardJob& job = *static_cast<const ForwardJob*>(arg);
  const ScopedFpMode mode(job.fp_mode);
  if (job.scratch == nullptr) return ForwardSlicesOnStack(job, begin, end);
  ForwardSlices(job, begin, end, job.scratch + begin * job.scratch_bytes);
}

// ---- Backward ----

// Blocks of kBlockRows rows are the leaves of a binary tree: node(l, i) = node(l-1, 2i) + node(l-1, 2i+1), a missing right child
// passes through. A task owns an aligned subtree of 2^level leaves, so the sums do not depend on how many tasks there are.
struct Split {
  size_t blocks = 1, level = 0, tasks = 1;
  size_t scratch_bytes = 0;  // per task
  size_t node_bytes = 0;     // one set of column partials
  bool on_stack = false;     // everything of the single task fits there

  size_t task_nodes() const { return node_bytes ? level + 2 : 0; }  // pending nodes of levels 0..level, and the current block
  size_t task_bytes() const { return RoundUp(scratch_bytes) + task_nodes() * node_bytes; }
  size_t bytes() const { return on_stack ? 0 : tasks * task_bytes() + kScratchAlign; }
};

Split SplitBackward(const Target& target, const BackwardArgs& a, const Executor& executor) {
  Split split;
  split.blocks = std::max<size_t>(1, DivUp(a.shape.rows, kBlockRows));
  split.node_bytes = RoundUp(PartialBytes(a));
  split.scratch_bytes = target.backward_scratch(a);
  const size_t slices = CountSlices(split.blocks, RowBytes(a) * a.shape.rows, executor);
  while ((split.blocks - 1) >> split.level >= slices) ++split.level;
  split.tasks = DivUp(split.blocks, size_t{1} << split.level);
  split.on_stack = split.tasks == 1 && split.task_bytes() <= kStackBytes;
  return split;
}

struct BackwardJob {
  const Target& target;
  const BackwardArgs& args;
  const Split& split;
  std::byte* memory;
  uint64_t fp_mode;
};

// The nodes that wait for their right sibling, one per level.
class PendingNodes {
 public:
  PendingNodes(const BackwardJob& job, std::byte* nodes)
      : target_(job.target), n_(job.split.node_bytes / PartialElementBytes(job.args)), wide_(job.args.wide) {
    for (size_t l = 0; l <= job.split.level + 1; ++l) nodes_[l] = nodes + l * job.split.node_bytes;
    current_ = nodes_[job.split.level + 1];
  }
  std::byte* current() { return current_; }

  // Takes `current` as the next leaf.
  void Push() {
    size_t level = 0;
    for (; count_ >> level & 1; ++level) {
      target_.add(nodes_[level], current_, n_, wide_);
      std::swap(nodes_[level], current_);
    }
    std::swap(nodes_[level], current_);
    ++count_;
  }
  // The root of what has been pushed.
  std::byte* Root() {
    std::byte* root = nullptr;
    for (size_t level = 0; count_ >> level; ++level) {
      if (!(count_ >> level & 1)) continue;
      if (root) target_.add(nodes_[level], root, n_, wide_);
      root = nodes_[level];
    }
    return root;
  }

 private:
  const Target& target_;
  const size_t n_;
  const bool wide_;
  std::byte* nodes_[66];
  std::byte* current_;
  size_t count_ = 0;
};

// Leaves the task's root at the start of its nodes.
void BackwardOneTask(const BackwardJob& job, size_t task, std::byte* memory) {
  std::byte* const nodes = memory + RoundUp(job.split.scratch_bytes);
  const bool sums = job.split.node_bytes != 0;
  PendingNodes pending(job, nodes);
  const size_t first = task << job.split.level, last = std::min(job.split.blocks, (task + 1) << job.split.level);
  for (size_t block = first; block < last; ++block) {
    const RowRange range = {block * kBlockRows, std::min(job.args.shape.rows, (block + 1) * kBlockRows)};
    job.target.backward(job.args, range, memory, sums ? pending.current() : nullptr);
    if (sums) pending.Push();
  }
  if (!sums) return;
  const std::byte* root = pending.Root();
  if (root != nodes) std::copy_n(root, job.split.node_bytes, nodes);
}

void BackwardTask(void* arg, size_t begin, size_t end) {
  const BackwardJob& job = *static_cast<const BackwardJob*>(arg);
  const ScopedFpMode mode(job.fp_mode);
  for (size_t task = begin; task < end; ++task) BackwardOneTask(job, task, job.memory + task * job.split.task_bytes());
}

// The tree over the roots of the tasks, then the one rounding into the outputs.
void StoreColumns(const BackwardJob& job) {
  const Split& split = job.split;
  const BackwardArgs& a = job.args;
  const size_t element = PartialElementBytes(a);
  const auto node = [&](size_t task) { return job.memory + task * split.task_bytes() + RoundUp(split.scratch_bytes); };
  for (size_t step = 1; step < split.tasks; step *= 2) {
    for (size_t i = 0; i + step < split.tasks; i += 2 * step) job.target.add(node(i), node(i + step), split.node_bytes / element, a.wide);
  }
  const std::byte* from = node(0);
  for (const Out* out : {&a.dweight, &a.dbias, &a.dcol_scale}) {
    if (!*out) continue;
    job.target.store(*out, from, a.shape.cols, a.wide);
    from += PaddedCols(a.shape.cols) * element;
  }
}

__attribute__((noinline)) void BackwardOnStack(BackwardJob job) {
  alignas(kScratchAlign) std::byte memory[kStackBytes];
  job.memory = memory;
  BackwardTask(&job, 0, 1);
  if (job.split.node_bytes) StoreColumns(job);
}

}  // namespace

size_t ForwardWorkspace(const Target& target, const ForwardArgs& args, const Executor& executor) {
  const size_t scratch = RoundUp(target.forward_scratch(args));
  if (scratch <= kStackBytes) return 0;
  return CountSlices(args.shape.rows, RowBytes(args) * args.shape.rows, executor) * scratch + kScratchAlign;
}

void RunForward(const Target& target, const ForwardArgs& given, std::span<std::byte> workspace, const Executor& executor) {
  if (given.shape.rows == 0 || (given.shape.cols == 0 && !given.mean && !given.mean_lo && !given.rstd)) return;
  ForwardArgs args = given;
  args.stream = Streams(args);
  const size_t scratch = RoundUp(target.forward_scratch(args));
  ForwardJob job = {target,
                    args,
                    CountSlices(args.shape.rows, RowBytes(args) * args.shape.rows, executor),
                    scratch,
                    scratch <= kStackBytes ? nullptr : Aligned(workspace.data()),
                    FpMode()};
  Parallel(executor, job.slices, ForwardTask, &job);
}

size_t BackwardWorkspace(const Target& target, const BackwardArgs& args, const Executor& executor) {
  return SplitBackward(target, args, executor).bytes();
}

void RunBackward(const Target& target, const BackwardArgs& given, std::span<std::byte> workspace, const Executor& executor) {
  if (given.shape.cols == 0 && (given.shape.rows == 0 || !given.drow_scale)) return;
  BackwardArgs args = given;
  args.stream = Streams(args);
  const Split split = SplitBackward(target, args, executor);
  BackwardJob job = {target, args, split, nullptr, FpMode()};
  if (split.on_stack) return BackwardOnStack(job);
  job.memory = Aligned(workspace.data());
  Parallel(executor, split.tasks, BackwardTask, &job);
  if (split.node_bytes) StoreColumns(job);
}

}  // namespace addnorm
