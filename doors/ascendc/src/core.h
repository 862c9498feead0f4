// SPDX-License-Identifier: Apache-2.0
// One core of a launch: its local memory with a shadow byte per byte, the buffers and queues cut from it, and what the
// launch shares between cores. Kernels reach it through addnorm/ascendc/memory.h.
#ifndef ADDNORM_DOORS_ASCENDC_CORE_H_
#define ADDNORM_DOORS_ASCENDC_CORE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "addnorm/ascendc/launch.h"
#include "addnorm/ascendc/memory.h"
#include "doors/ascendc/src/global_memory.h"

namespace addnorm::ascendc {

/// Memory with a shadow byte per byte.
struct LocalMemory {
  std::vector<uint8_t> storage;
  uint8_t* base = nullptr;  // 64-byte aligned, inside storage
  uint32_t bytes = 0;
  uint32_t used = 0;
  std::vector<uint8_t> written;  // 0 = no, 1 = yes, else once the content of its element of so many bytes has changed

  void Open(uint32_t size);
  bool Contains(const uint8_t* data) const { return data >= base && data < base + bytes; }
  /// The shadow of `data`, which Contains.
  uint8_t* Shadow(const uint8_t* data) { return written.data() + (data - base); }
  /// How many of the first `size` bytes are written, up to the first that is not.
  size_t WrittenBytes(const uint8_t* data, size_t size) const;
  /// Marks an element whose writes will not be seen.
  void Expose(const uint8_t* data, uint32_t element_bytes);
  /// Fills with NaNs and forgets that it was written.
  void Forget(uint8_t* data, size_t size);
};

/// Hand-overs are counted. A clock says, for each engine, up to which hand-over its work is known to somebody.
using Clock = std::array<uint32_t, 4>;  // by Engine; 0 = nothing
void Merge(Clock* known, const Clock& learned);

/// Who worked on a byte, after which hand-over.
struct Mark {
  uint32_t copied_out = 0;  // read by the last copy out; 0 = not since it was written
  uint32_t written = 0;
  Engine writer = Engine::kNone;
};

struct Buffer {
  enum class State : uint8_t { kFree, kOccupied, kQueued, kDequeued, kLasting, kDead };
  uint8_t* data = nullptr;
  uint32_t bytes = 0;
  TPosition position = TPosition::MAX;
  State state = State::kFree;
  Engine hands_over = Engine::kNone;                    // whose work its queue hands over
  std::vector<Mark> marks;                              // by byte, where they must be handed over: VECIN and VECOUT queues
  std::array<Clock, 4> known{};                         // what its queue handed over, by the engine that got it
  std::array<Clock, 4> enqueued{};                      // ... and will, when it is taken out of the queue
  uint32_t queue = 0;                                   // 0 = a TBuf, or the rest of UB
  uint32_t generation = 0;                              // new at each allocation, unique in the process
  Here owner{"", 0};                                    // the call that allocated it
  Here last[4] = {{"", 0}, {"", 0}, {"", 0}, {"", 0}};  // the last work of each engine
};
const char* NameOf(Buffer::State state);

struct Queue {
  QueueSpec spec;
  uint32_t first_buffer = 0;
  uint32_t next = 0;  // where AllocTensor looks first
  std::deque<uint32_t> enqueued;
};

/// A SetFlag that waits for its WaitFlag: what its engine knew, in all memory and in single buffers.
struct Flag {
  int from, to, id;
  Here here;
  Clock known;
  std::vector<std::pair<uint32_t, Clock>> buffers;
};

/// Which argument of which call, for messages.
struct Use {
  const char* api;
  const char* name;
  Here here;
};

class Core {
 public:
  Core(const CoreId& id, uint32_t number, uint32_t architecture, GlobalMemory* global, OnViolation on_violation);

  /// The core that runs on this thread: one of a launch, else one that lasts as long as the thread.
  static Core& Current();
  static Core* Exchange(Core* core);

  // ---- Pipe and queues (pipe.cc) ----
  void OpenPipe(void* pipe, Here here);
  /// Takes on the UB of another architecture. Only while no pipe lives.
  void SetArchitecture(uint32_t wanted, Here here);
  void ClosePipe(const void* pipe);
  uint32_t AddQueue(const QueueSpec& spec, Here here);
  uint32_t AddBuffer(TPosition position, uint32_t bytes, Here here);
  Queue& QueueAt(uint32_t number, const char* api, Here here);
  Buffer& BufferAt(uint32_t number) { return buffers_[number - 1]; }
  uint32_t BufferCount() const { return static_cast<uint32_t>(buffers_.size()); }
  LocalView Rest(Here here);
  /// Remembers the first tensor that was not freed; the launch reports it when the kernel has returned.
  void NoteUnfreed() noexcept;
  /// The same for the first SetFlag that nobody waited for.
  void NoteUnwaited() noexcept;
  /// Atomic and mask registers, as a kernel finds them.
  void ResetRegisters();

  // ---- Operands (operand.cc) ----
  /// The buffer of a live view.
  Buffer& Resolve(const LocalView& view, Access access, const Use& use);
  /// A live view with `bytes` bytes, in UB, aligned: what vector operations and copies ask for.
  void CheckOperand(const LocalView& view, uint64_t bytes, Access access, const Use& use, uint32_t alignment = 32);
  LocalMemory& MemoryOf(const uint8_t* data) { return ub_.Contains(data) ? ub_ : l1_; }
  bool IsWritten(const uint8_t* data, size_t bytes);
  void SetWritten(const uint8_t* data, size_t bytes, bool written = true);
  /// Fails with kUninitialised if a byte of the range was never written.
  void RequireWritten(const LocalView& view, uint64_t offset, size_t bytes, const Use& use);
  [[noreturn]] void Raise(Rule rule, Here here, const char* text) const;

  // ---- Hand-overs between copies and vector operations (handover.cc) ----
  /// Refuses bytes that another engine works on; notes that `engine` does now.
  void Work(const LocalView& view, uint64_t offset, uint64_t bytes, Engine engine, const Use& use, Access access);
  bool IsTracked(const LocalView& view) { return !BufferAt(view.buffer).marks.empty(); }
  /// EnQue and DeQue.
  void NoteEnqueued(Buffer* buffer);
  void HandOverDequeued(Buffer* buffer);
  /// PipeBarrier<PIPE_ALL>.
  void HandOverAll();
  void SetFlag(int from, int to, int id, Here here);
  void WaitFlag(int from, int to, int id, Here here);
  int AllocEvent(int from, int to, bool keep, Here here);
  void ReleaseEvent(int from, int to, int id);

  CoreId id;
  GlobalMemory* global;
  uint32_t number;
  uint32_t architecture;
  OnViolation on_violation;
  Atomic atomic = Atomic::kNone;
  Type atomic_type = Type::kF32;
  bool mask_counts = false;                     // SetMaskCount
  uint64_t mask[2] = {UINT64_MAX, UINT64_MAX};  // the mask register
  float cast_scale = 1;
  void* pipe = nullptr;
  std::optional<Violation> unfinished;  // what the end of the kernel found first

 private:
  uint8_t* Reserve(TPosition position, uint32_t count, uint32_t bytes, Here here);
  /// Notes what the end of the kernel found, if it is the first.
  void NoteUnfinished(Rule rule, Here here, const char* text) noexcept;
  bool Races(const Buffer& buffer, const Mark& mark, Engine engine, Access access, Engine* other) const;
  uint32_t NextHandOver();

  LocalMemory ub_, l1_;
  std::vector<Buffer> buffers_;
  std::vector<Queue> queues_;
  std::array<Clock, 4> known_{};  // what flags handed over, by the engine that got it
  uint32_t hand_overs_ = 1;
  std::deque<Flag> flags_;
  std::map<std::pair<int, int>, uint32_t> events_;  // ids given by AllocEventID, as bits, by engines
  uint32_t pipe_buffers_ = 0;                       // of the live pipe
  uint32_t rest_ = 0;                               // the buffer that Rest gave, while nothing was allocated since
};

bool IsUb(TPosition position);
const char* NameOf(TPosition position);
/// Bytes of UB; 0 for an unknown architecture.
uint32_t UbBytes(uint32_t architecture);
uint32_t SizeOf(Type type);
const char* NameOf(Type type);
/// Prints one violation to stderr.
void Print(const Violation& violation);
/// Flushes what was printed and aborts.
[[noreturn]] void EndProcess();

}  // namespace addnorm::ascendc
#endif  // ADDNORM_DOORS_ASCENDC_CORE_H_
