// SPDX-License-Identifier: Apache-2.0
// TPipe, TQue and TBuf: the life of a buffer.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <exception>
#include <utility>

#include "doors/ascendc/src/core.h"

namespace addnorm::ascendc {
namespace {

// Unique in the process, so that a view that outlived its core is recognised too. 0 is never given.
uint32_t NewGeneration() {
  static std::atomic<uint32_t> last{0};
  uint32_t generation = ++last;
  while (generation == 0) generation = ++last;
  return generation;
}

LocalView Whole(const Buffer& buffer, uint32_t number) { return {buffer.data, buffer.bytes, number, buffer.generation, buffer.position}; }

}  // namespace

void Core::OpenPipe(void* new_pipe, Here here) {
  if (pipe != nullptr) Fail(Rule::kPipe, here, "TPipe: a second one is constructed while the first lives, expected one at a time");
  pipe = new_pipe;
  pipe_buffers_ = 0;
  if (flags_.empty()) {  // nothing remembers a hand-over: count afresh
    known_ = {};
    hand_overs_ = 1;
  }
  ub_.used = l1_.used = 0;
}

void Core::SetArchitecture(uint32_t wanted, Here here) {
  if (wanted == architecture) return;
  if (UbBytes(wanted) == 0) {
    Fail(Rule::kLaunch, here, "TPipe: __NPU_ARCH__ is %u, expected 2201 or another one of docs/ascendc.md", wanted);
  }
  architecture = wanted;
  ub_.Open(UbBytes(wanted));
}

void Core::NoteUnfreed() noexcept {
  for (const Buffer& buffer : buffers_) {
    const bool held =
        buffer.state == Buffer::State::kOccupied || buffer.state == Buffer::State::kQueued || buffer.state == Buffer::State::kDequeued;
    if (!held) continue;
    char text[sizeof(Violation::text)];
    std::snprintf(text, sizeof(text), "AllocTensor: the tensor allocated here is %s at the end of its pipe, expected FreeTensor before",
                  NameOf(buffer.state));
    return NoteUnfinished(Rule::kUnfreed, buffer.owner, text);
  }
}

void Core::NoteUnfinished(Rule rule, Here here, const char* text) noexcept {
  if (unfinished) return;
  unfinished.emplace();
  unfinished->rule = rule;
  unfinished->core = static_cast<int>(number);
  unfinished->line = here.line;
  std::snprintf(unfinished->file, sizeof(unfinished->file), "%s", here.file);
  std::snprintf(unfinished->text, sizeof(unfinished->text), "%s", text);
}

void Core::ClosePipe(const void* old_pipe) {
  if (pipe != old_pipe || pipe == nullptr) return;
  if (std::uncaught_exceptions() == 0) NoteUnfreed();
  pipe = nullptr;
  for (Buffer& buffer : buffers_) {
    buffer.state = Buffer::State::kDead;
    buffer.marks = {};
  }
  rest_ = 0;
}

void Core::ResetRegisters() {
  atomic = Atomic::kNone;
  mask_counts = false;
  mask[0] = mask[1] = UINT64_MAX;
  cast_scale = 1;
}

uint32_t Core::AddBuffer(TPosition position, uint32_t bytes, Here here) {
  uint8_t* data = Reserve(position, 1, bytes, here);
  Buffer buffer;
  buffer.data = data;
  buffer.bytes = (bytes + 31) / 32 * 32;
  buffer.position = position;
  buffer.state = Buffer::State::kLasting;
  buffer.generation = NewGeneration();
  buffer.owner = here;
  buffers_.push_back(buffer);
  return BufferCount();
}

uint32_t Core::AddQueue(const QueueSpec& spec, Here here) {
  uint8_t* data = Reserve(spec.position, spec.buffers, spec.buffer_bytes, here);
  Queue queue;
  queue.spec = spec;
  queue.first_buffer = BufferCount() + 1;
  const uint32_t rounded = (spec.buffer_bytes + 31) / 32 * 32;
  for (uint32_t i = 0; i < spec.buffers; ++i) {
    Buffer buffer;
    buffer.data = data + size_t{i} * rounded;
    buffer.bytes = rounded;
    buffer.position = spec.position;
    buffer.hands_over = spec.hands_over;
    if (spec.position == TPosition::VECIN || spec.position == TPosition::VECOUT) buffer.marks.resize(rounded);
    buffer.queue = static_cast<uint32_t>(queues_.size() + 1);
    buffers_.push_back(std::move(buffer));
  }
  queues_.push_back(std::move(queue));
  return static_cast<uint32_t>(queues_.size());
}

Queue& Core::QueueAt(uint32_t queue, const char* api, Here here) {
  if (queue == 0 || queue > queues_.size() || BufferAt(queues_[queue - 1].first_buffer).state == Buffer::State::kDead) {
    Fail(Rule::kQueueState, here, "%s: argument 'queue' has no buffers, expected InitBuffer on a live TPipe before", api);
  }
  return queues_[queue - 1];
}

LocalView Core::Rest(Here here) {
  if (rest_ == 0) {
    (void)here;
    Buffer buffer;
    buffer.data = ub_.base + ub_.used;
    buffer.bytes = ub_.bytes - ub_.used;
    buffer.position = TPosition::VECCALC;
    buffer.state = Buffer::State::kLasting;
    buffer.generation = NewGeneration();
    buffers_.push_back(buffer);
    rest_ = BufferCount();
  }
  Buffer& buffer = BufferAt(rest_);
  ub_.Forget(buffer.data, buffer.bytes);
  return Whole(buffer, rest_);
}

void OpenPipe(void* pipe, uint32_t architecture, Here here) {
  Core& core = Core::Current();
  if (!core.global->strict() && core.pipe == nullptr) core.SetArchitecture(architecture, here);
  core.OpenPipe(pipe, here);
}

void ClosePipe(const void* pipe) {
  Core& core = Core::Current();
  const bool alive = core.pipe == pipe && pipe != nullptr;
  core.ClosePipe(pipe);
  if (!alive || core.global->strict()) return;
  // A kernel outside a launch ends here: nobody looks later, and the next one starts afresh.
  core.ResetRegisters();
  core.NoteUnwaited();
  const std::optional<Violation> unfinished = std::exchange(core.unfinished, std::nullopt);
  if (!unfinished || std::uncaught_exceptions() != 0) return;
  if (core.on_violation == OnViolation::kReport) throw *unfinished;
  Print(*unfinished);
  EndProcess();
}

void ResetPipe(Here here) {
  Core& core = Core::Current();
  void* pipe = core.pipe;
  if (pipe == nullptr) Fail(Rule::kPipe, here, "Reset: argument 'pipe' is destroyed, expected a live TPipe");
  core.ClosePipe(pipe);
  core.OpenPipe(pipe, here);
}

void* CurrentPipe(Here here) {
  Core& core = Core::Current();
  if (core.pipe == nullptr) Fail(Rule::kPipe, here, "GetTPipePtr: there is no TPipe, expected a live one");
  return core.pipe;
}

uint32_t InitQueue(const QueueSpec& spec, Here here) { return Core::Current().AddQueue(spec, here); }
uint32_t InitBuffer(TPosition position, uint32_t bytes, Here here) { return Core::Current().AddBuffer(position, bytes, here); }
LocalView RemainingLocal(Here here) { return Core::Current().Rest(here); }

LocalView AllocTensor(uint32_t number, Here here) {
  Core& core = Core::Current();
  Queue& queue = core.QueueAt(number, "AllocTensor", here);
  for (uint32_t tried = 0; tried < queue.spec.buffers; ++tried) {
    const uint32_t candidate = queue.first_buffer + (queue.next + tried) % queue.spec.buffers;
    Buffer& buffer = core.BufferAt(candidate);
    if (buffer.state != Buffer::State::kFree) continue;
    queue.next = (queue.next + tried + 1) % queue.spec.buffers;
    buffer.state = Buffer::State::kOccupied;
    buffer.generation = NewGeneration();
    buffer.owner = here;
    buffer.known = {};
    std::fill(buffer.marks.begin(), buffer.marks.end(), Mark());
    core.MemoryOf(buffer.data).Forget(buffer.data, buffer.bytes);
    return Whole(buffer, candidate);
  }
  const Buffer& oldest = core.BufferAt(queue.first_buffer);
  Fail(Rule::kQueueDepth, here,
       "AllocTensor: argument 'queue' has %u of its %u buffers in use (the first since %s:%d), expected a free one", queue.spec.buffers,
       queue.spec.buffers, oldest.owner.file, oldest.owner.line);
}

void EnQue(uint32_t number, const LocalView& tensor, Here here) {
  Core& core = Core::Current();
  Queue& queue = core.QueueAt(number, "EnQue", here);
  Buffer& buffer = core.Resolve(tensor, Access::kRead, {"EnQue", "tensor", here});
  if (buffer.queue != number)
    Fail(Rule::kQueueState, here, "EnQue: argument 'tensor' belongs to another queue or buffer, expected one of this queue");
  if (buffer.state == Buffer::State::kQueued) {
    Fail(Rule::kQueueState, here, "EnQue: argument 'tensor' is enqueued already, expected an allocated or dequeued one");
  }
  const size_t most = static_cast<size_t>(std::max(queue.spec.depth, 1));
  if (queue.enqueued.size() >= most) {
    Fail(Rule::kQueueDepth, here, "EnQue: argument 'queue' holds %zu tensors, expected fewer than its depth %d", queue.enqueued.size(),
         queue.spec.depth);
  }
  buffer.state = Buffer::State::kQueued;
  core.NoteEnqueued(&buffer);
  queue.enqueued.push_back(tensor.buffer);
}

LocalView DeQue(uint32_t number, Here here) {
  Core& core = Core::Current();
  Queue& queue = core.QueueAt(number, "DeQue", here);
  if (queue.enqueued.empty()) Fail(Rule::kQueueState, here, "DeQue: argument 'queue' is empty, expected an enqueued tensor");
  const uint32_t first = queue.enqueued.front();
  queue.enqueued.pop_front();
  Buffer& buffer = core.BufferAt(first);
  buffer.state = Buffer::State::kDequeued;
  core.HandOverDequeued(&buffer);
  return Whole(buffer, first);
}

void FreeTensor(uint32_t number, const LocalView& tensor, Here here) {
  Core& core = Core::Current();
  core.QueueAt(number, "FreeTensor", here);
  Buffer& buffer = core.Resolve(tensor, Access::kRead, {"FreeTensor", "tensor", here});
  if (buffer.queue != number) {
    Fail(Rule::kQueueState, here, "FreeTensor: argument 'tensor' belongs to another queue or buffer, expected one of this queue");
  }
  if (buffer.state == Buffer::State::kQueued) {
    Fail(Rule::kQueueState, here, "FreeTensor: argument 'tensor' is enqueued, expected DeQue before");
  }
  buffer.state = Buffer::State::kFree;
}

uint32_t TensorsInQueue(uint32_t number, Here here) {
  return static_cast<uint32_t>(Core::Current().QueueAt(number, "GetTensorCountInQue", here).enqueued.size());
}

uint32_t IdleBuffers(uint32_t number, Here here) {
  Core& core = Core::Current();
  const Queue& queue = core.QueueAt(number, "HasIdleBuffer", here);
  uint32_t idle = 0;
  for (uint32_t i = 0; i < queue.spec.buffers; ++i) idle += core.BufferAt(queue.first_buffer + i).state == Buffer::State::kFree;
  return idle;
}

uint32_t BufferBytes(uint32_t number, Here here) {
  Core& core = Core::Current();
  if (number == 0 || number > core.BufferCount()) Fail(Rule::kQueueState, here, "TBuf: has no memory, expected InitBuffer before");
  return core.BufferAt(number).bytes;
}

LocalView ViewBuffer(uint32_t number, uint32_t offset_bytes, uint32_t bytes, Here here) {
  const uint32_t size = BufferBytes(number, here);
  const Buffer& buffer = Core::Current().BufferAt(number);
  if (buffer.state != Buffer::State::kLasting)
    Fail(Rule::kUseAfterFree, here, "TBuf: its memory is %s, expected a live TPipe", NameOf(buffer.state));
  const unsigned long long end = uint64_t{offset_bytes} + bytes;
  if (end > size) {
    Fail(Rule::kLocalBounds, here, "TBuf: argument 'size' ends at byte %llu, expected at most the buffer's %u bytes", end, size);
  }
  LocalView view = Whole(buffer, number);
  view.data += offset_bytes;
  view.bytes = bytes;
  return view;
}

}  // namespace addnorm::ascendc
