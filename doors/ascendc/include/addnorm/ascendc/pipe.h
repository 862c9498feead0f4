// SPDX-License-Identifier: Apache-2.0
// TPipe hands out the buffers of UB; TQue passes them between copying and computing; TBuf is memory without a queue.
// A queue's buffer goes FREE -> AllocTensor -> EnQue -> DeQue -> FreeTensor -> FREE; EnQue is also allowed after DeQue.
#ifndef ADDNORM_ASCENDC_PIPE_H_
#define ADDNORM_ASCENDC_PIPE_H_

#include "addnorm/ascendc/tensor.h"

enum pipe_t { PIPE_S = 0, PIPE_V, PIPE_M, PIPE_MTE1, PIPE_MTE2, PIPE_MTE3, PIPE_ALL, PIPE_FIX = 10 };
enum event_t { EVENT_ID0 = 0, EVENT_ID1, EVENT_ID2, EVENT_ID3, EVENT_ID4, EVENT_ID5, EVENT_ID6, EVENT_ID7 };

namespace AscendC {

using TEventID = int8_t;
enum class HardEvent : uint8_t { MTE2_V, V_MTE2, MTE3_V, V_MTE3, MTE2_MTE3, MTE3_MTE2, S_V, V_S, S_MTE2, MTE2_S, S_MTE3, MTE3_S, V_V, MAX };

}  // namespace AscendC

namespace addnorm::ascendc::internal {
struct Event {
  pipe_t from, to;
};
constexpr Event EventOf(AscendC::HardEvent event) {
  constexpr Event kEvents[] = {{PIPE_MTE2, PIPE_V},    {PIPE_V, PIPE_MTE2},    {PIPE_MTE3, PIPE_V}, {PIPE_V, PIPE_MTE3},
                               {PIPE_MTE2, PIPE_MTE3}, {PIPE_MTE3, PIPE_MTE2}, {PIPE_S, PIPE_V},    {PIPE_V, PIPE_S},
                               {PIPE_S, PIPE_MTE2},    {PIPE_MTE2, PIPE_S},    {PIPE_S, PIPE_MTE3}, {PIPE_MTE3, PIPE_S},
                               {PIPE_V, PIPE_V}};
  return kEvents[static_cast<uint8_t>(event)];
}
}  // namespace addnorm::ascendc::internal

namespace AscendC {

/// A queue of local tensors from `source` to `target`. `depth` = how many tensors may be enqueued at once; 0 = in place.
template <TPosition source, TPosition target, int32_t depth, auto mask = 0>
class TQueBind {
 public:
  static_assert(depth >= 0, "the depth of a queue is 0 or more");

  /// A free buffer, its content undefined. The oldest one of those that are free.
  template <typename T>
  LocalTensor<T> AllocTensor(addnorm::ascendc::Here here = {}) {
    return LocalTensor<T>(addnorm::ascendc::AllocTensor(queue_, here));
  }
  template <typename T>
  void AllocTensor(LocalTensor<T>& tensor, addnorm::ascendc::Here here = {}) {
    tensor = AllocTensor<T>(here);
  }
  template <typename T>
  bool EnQue(const LocalTensor<T>& tensor, addnorm::ascendc::Here here = {}) {
    addnorm::ascendc::EnQue(queue_, tensor.view(), here);
    return true;
  }
  /// The tensor that was enqueued first.
  template <typename T>
  LocalTensor<T> DeQue(addnorm::ascendc::Here here = {}) {
    addnorm::ascendc::LocalView view = addnorm::ascendc::DeQue(queue_, here);
    if (target != TPosition::GM) view.position = target;
    return LocalTensor<T>(view);
  }
  /// In a queue of both directions, users name the direction; here either hands over all that was done.
  template <TPosition from, TPosition to, typename T>
  bool EnQue(const LocalTensor<T>& tensor, addnorm::ascendc::Here here = {}) {
    return EnQue(tensor, here);
  }
  template <TPosition from, TPosition to, typename T>
  LocalTensor<T> DeQue(addnorm::ascendc::Here here = {}) {
    return DeQue<T>(here);
  }
  template <typename T>
  void DeQue(LocalTensor<T>& tensor, addnorm::ascendc::Here here = {}) {
    tensor = DeQue<T>(here);
  }
  template <typename T>
  void FreeTensor(const LocalTensor<T>& tensor, addnorm::ascendc::Here here = {}) {
    addnorm::ascendc::FreeTensor(queue_, tensor.view(), here);
  }
  bool HasTensorInQue(addnorm::ascendc::Here here = {}) const { return addnorm::ascendc::TensorsInQueue(queue_, here) != 0; }
  int32_t GetTensorCountInQue(addnorm::ascendc::Here here = {}) const {
    return static_cast<int32_t>(addnorm::ascendc::TensorsInQueue(queue_, here));
  }
  bool HasIdleBuffer(addnorm::ascendc::Here here = {}) const { return addnorm::ascendc::IdleBuffers(queue_, here) != 0; }
  bool VacantInQue(addnorm::ascendc::Here here = {}) const { return GetTensorCountInQue(here) < (depth == 0 ? 1 : depth); }

 private:
  friend class TPipe;
  static constexpr addnorm::ascendc::Engine kHandsOver = source == TPosition::GM   ? addnorm::ascendc::Engine::kCopyIn
                                                         : target == TPosition::GM ? addnorm::ascendc::Engine::kVector
                                                                                   : addnorm::ascendc::Engine::kNone;
  uint32_t queue_ = 0;
};

/// VECOUT: from vector operations to a copy out. VECIN and the others: from a copy in to vector operations.
template <TPosition position, int32_t depth, auto mask = 0>
class TQue : public TQueBind<position == TPosition::VECOUT ? position : TPosition::GM,
                             position == TPosition::VECOUT ? TPosition::GM : position, depth, mask> {};

/// A buffer that lives as long as its pipe.
template <TPosition position = TPosition::LCM>
class TBuf {
 public:
  template <typename T>
  LocalTensor<T> Get(addnorm::ascendc::Here here = {}) {
    return LocalTensor<T>(addnorm::ascendc::ViewBuffer(buffer_, 0, addnorm::ascendc::BufferBytes(buffer_, here), here));
  }
  /// The first `size` elements.
  template <typename T>
  LocalTensor<T> Get(uint32_t size, addnorm::ascendc::Here here = {}) {
    return LocalTensor<T>(addnorm::ascendc::ViewBuffer(buffer_, 0, size * static_cast<uint32_t>(sizeof(T)), here));
  }
  /// `size` elements from byte `offset_bytes` on.
  template <typename T>
  LocalTensor<T> GetWithOffset(uint32_t size, uint32_t offset_bytes, addnorm::ascendc::Here here = {}) {
    return LocalTensor<T>(addnorm::ascendc::ViewBuffer(buffer_, offset_bytes, size * static_cast<uint32_t>(sizeof(T)), here));
  }
  uint32_t GetBufLen(addnorm::ascendc::Here here = {}) const { return addnorm::ascendc::BufferBytes(buffer_, here); }

 private:
  friend class TPipe;
  uint32_t buffer_ = 0;
};

/// Owner of UB. One at a time per core.
class TPipe {
 public:
  explicit TPipe(addnorm::ascendc::Here here = {}) { addnorm::ascendc::OpenPipe(this, __NPU_ARCH__, here); }
  /// Outside a launch a tensor that was not freed is a Violation for the caller, unless an exception is on its way already.
  ~TPipe() noexcept(false) { addnorm::ascendc::ClosePipe(this); }
  TPipe(const TPipe&) = delete;
  TPipe& operator=(const TPipe&) = delete;

  /// `num` buffers of `len` bytes, rounded up to 32. num is in 1..64, and a pipe has at most 64 buffers in all.
  template <TPosition source, TPosition target, int32_t depth, auto mask>
  bool InitBuffer(TQueBind<source, target, depth, mask>& queue, uint32_t num, uint32_t len, addnorm::ascendc::Here here = {}) {
    constexpr TPosition kPosition = source == TPosition::GM ? target : source;
    queue.queue_ = addnorm::ascendc::InitQueue({kPosition, depth, num, len, queue.kHandsOver}, here);
    return true;
  }
  template <TPosition position>
  bool InitBuffer(TBuf<position>& buffer, uint32_t len, addnorm::ascendc::Here here = {}) {
    buffer.buffer_ = addnorm::ascendc::InitBuffer(position, len, here);
    return true;
  }
  void Reset(addnorm::ascendc::Here here = {}) { addnorm::ascendc::ResetPipe(here); }
  void Destroy() { addnorm::ascendc::ClosePipe(this); }
  /// An id that AllocEventID did not give. As on the device it is not reserved: the next call gives the same.
  TEventID FetchEventID(HardEvent event, addnorm::ascendc::Here here = {}) {
    const addnorm::ascendc::internal::Event e = addnorm::ascendc::internal::EventOf(event);
    return static_cast<TEventID>(addnorm::ascendc::AllocEvent(e.from, e.to, false, here));
  }
  template <HardEvent event>
  TEventID FetchEventID(addnorm::ascendc::Here here = {}) {
    return FetchEventID(event, here);
  }
  /// One of 8 ids of its event, until ReleaseEventID.
  template <HardEvent event>
  TEventID AllocEventID(addnorm::ascendc::Here here = {}) {
    constexpr addnorm::ascendc::internal::Event kEvent = addnorm::ascendc::internal::EventOf(event);
    return static_cast<TEventID>(addnorm::ascendc::AllocEvent(kEvent.from, kEvent.to, true, here));
  }
  template <HardEvent event>
  void ReleaseEventID(TEventID id) {
    constexpr addnorm::ascendc::internal::Event kEvent = addnorm::ascendc::internal::EventOf(event);
    addnorm::ascendc::ReleaseEvent(kEvent.from, kEvent.to, id);
  }
};

inline TPipe* GetTPipePtr(addnorm::ascendc::Here here = {}) { return static_cast<TPipe*>(addnorm::ascendc::CurrentPipe(here)); }

// Instructions run in order, one at a time: barriers and flags have nothing to wait for, they only hand over.
template <pipe_t pipe>
void PipeBarrier() {
  if (pipe == PIPE_ALL) addnorm::ascendc::HandOverAll();
}
template <HardEvent event>
void SetFlag(int32_t id, addnorm::ascendc::Here here = {}) {
  constexpr addnorm::ascendc::internal::Event kEvent = addnorm::ascendc::internal::EventOf(event);
  addnorm::ascendc::SetFlag(kEvent.from, kEvent.to, id, here);
}
template <HardEvent event>
void WaitFlag(int32_t id, addnorm::ascendc::Here here = {}) {
  constexpr addnorm::ascendc::internal::Event kEvent = addnorm::ascendc::internal::EventOf(event);
  addnorm::ascendc::WaitFlag(kEvent.from, kEvent.to, id, here);
}

}  // namespace AscendC

// The spelling of older kernels.
inline void pipe_barrier(pipe_t pipe) {
  if (pipe == PIPE_ALL) addnorm::ascendc::HandOverAll();
}
inline void set_flag(pipe_t from, pipe_t to, int id, addnorm::ascendc::Here here = {}) { addnorm::ascendc::SetFlag(from, to, id, here); }
inline void wait_flag(pipe_t from, pipe_t to, int id, addnorm::ascendc::Here here = {}) { addnorm::ascendc::WaitFlag(from, to, id, here); }

#endif  // ADDNORM_ASCENDC_PIPE_H_
