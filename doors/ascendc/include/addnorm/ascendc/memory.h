// SPDX-License-Identifier: Apache-2.0
// The bridge between the kernel headers and the library: untyped views of local and global memory, and the calls that
// allocate, hand over, check and copy them. Kernels use the typed names of tensor.h, pipe.h and data_copy.h.
#ifndef ADDNORM_ASCENDC_MEMORY_H_
#define ADDNORM_ASCENDC_MEMORY_H_

#include "addnorm/ascendc/scalars.h"

namespace AscendC {

/// Logical places of memory. Vector operands live in VECIN, VECOUT or VECCALC (= LCM), which are all UB.
enum class TPosition : uint8_t {
  GM,
  A1,
  A2,
  B1,
  B2,
  C1,
  C2,
  CO1,
  CO2,
  VECIN,
  VECOUT,
  VECCALC,
  LCM = VECCALC,
  SPM,
  SHM = SPM,
  TSCM,
  C2PIPE2GM,
  MAX,
};
using QuePosition = TPosition;

}  // namespace AscendC

namespace addnorm::ascendc {

using AscendC::TPosition;

/// A range of local memory. `buffer` and `generation` name the allocation it belongs to, so that a stale view is recognised.
struct LocalView {
  uint8_t* data = nullptr;
  uint32_t bytes = 0;
  uint32_t buffer = 0;
  uint32_t generation = 0;
  TPosition position = TPosition::MAX;
};

/// A range of global memory; `sized` = the kernel gave its length.
struct GlobalView {
  uint8_t* data = nullptr;
  uint64_t bytes = 0;
  bool sized = false;
};

/// Who works on local memory, each at its own pace: copies from GM, vector operations (and the scalar unit), copies to GM.
/// What one of them did is there for another only after a hand-over: EnQue and DeQue, FreeTensor and AllocTensor, or a flag.
enum class Engine : uint8_t { kNone, kCopyIn, kVector, kCopyOut };

struct QueueSpec {
  TPosition position;  // of its tensors
  int depth;
  uint32_t buffers;
  uint32_t buffer_bytes;
  Engine hands_over;  // whose work EnQue and DeQue hand over; kNone = anybody's
};

// ---- Pipe and queues; a queue and a buffer are named by numbers that the core hands out, 0 = none. --------------------
/// `architecture` counts outside a launch; a launch has its own.
ADDNORM_ASCENDC_API void OpenPipe(void* pipe, uint32_t architecture, Here here);
ADDNORM_ASCENDC_API void ClosePipe(const void* pipe);
ADDNORM_ASCENDC_API void ResetPipe(Here here);
ADDNORM_ASCENDC_API uint32_t InitQueue(const QueueSpec& spec, Here here);
ADDNORM_ASCENDC_API uint32_t InitBuffer(TPosition position, uint32_t bytes, Here here);
ADDNORM_ASCENDC_API LocalView AllocTensor(uint32_t queue, Here here);
ADDNORM_ASCENDC_API void EnQue(uint32_t queue, const LocalView& tensor, Here here);
ADDNORM_ASCENDC_API LocalView DeQue(uint32_t queue, Here here);
ADDNORM_ASCENDC_API void FreeTensor(uint32_t queue, const LocalView& tensor, Here here);
ADDNORM_ASCENDC_API uint32_t TensorsInQueue(uint32_t queue, Here here);
ADDNORM_ASCENDC_API uint32_t IdleBuffers(uint32_t queue, Here here);
ADDNORM_ASCENDC_API LocalView ViewBuffer(uint32_t buffer, uint32_t offset_bytes, uint32_t bytes, Here here);
ADDNORM_ASCENDC_API uint32_t BufferBytes(uint32_t buffer, Here here);
/// All of UB that no buffer holds, until the next call that allocates or asks for it.
ADDNORM_ASCENDC_API LocalView RemainingLocal(Here here);
/// PipeBarrier<PIPE_ALL>: everybody's work so far is there for everybody.
ADDNORM_ASCENDC_API void HandOverAll();
/// What the engine `from` (a pipe_t) did before SetFlag is there for `to` after the WaitFlag of the same id.
ADDNORM_ASCENDC_API void SetFlag(int from, int to, int id, Here here);
ADDNORM_ASCENDC_API void WaitFlag(int from, int to, int id, Here here);
/// The lowest id that AllocEventID did not give; `keep`: AllocEventID itself.
ADDNORM_ASCENDC_API int AllocEvent(int from, int to, bool keep, Here here);
ADDNORM_ASCENDC_API void ReleaseEvent(int from, int to, int id);

// ---- Single elements ----------------------------------------------------------------------------------------------------
/// kReference: the kernel may read or write through it later; the element counts as written once its content has changed.
enum class Access : uint8_t { kRead, kWrite, kReference };
/// Checks one element; a write marks it as written.
ADDNORM_ASCENDC_API void TouchLocal(const LocalView& view, uint64_t offset_bytes, uint32_t bytes, Access access, Here here);
ADDNORM_ASCENDC_API void TouchGlobal(const GlobalView& view, uint64_t offset_bytes, uint32_t bytes, Access access, Here here);
/// For looking, not for computing: checks that the element is in a live tensor, says whether it was written. Hand-overs do not matter.
ADDNORM_ASCENDC_API bool IsWritten(const LocalView& view, uint64_t offset_bytes, uint32_t bytes, Here here);
/// The kernel takes the address: its writes are not seen from now on. Elements of `bytes` bytes count as written once their content has
/// changed; bytes 0: all of the view counts as written.
ADDNORM_ASCENDC_API void ExposeLocal(const LocalView& view, uint32_t bytes, Here here);

// ---- Copies -------------------------------------------------------------------------------------------------------------
/// `blocks` runs of `block_bytes` bytes; the gaps follow each run. A padded copy rounds each run in UB up to 32 bytes.
struct CopyShape {
  const char* api;
  uint32_t blocks;
  uint64_t block_bytes;
  uint64_t source_gap_bytes;
  uint64_t target_gap_bytes;
  bool padded = false;
  bool fill = false;  // padded, into UB: the elements around each run get `fill_value`; else they stay unwritten
  uint32_t left_bytes = 0;
  uint32_t right_bytes = 0;
  uint32_t element_bytes = 0;
  uint64_t fill_value = 0;
};
ADDNORM_ASCENDC_API void CopyIn(const LocalView& target, const GlobalView& source, const CopyShape& shape, Here here);
ADDNORM_ASCENDC_API void CopyOut(const GlobalView& target, const LocalView& source, const CopyShape& shape, Here here);
ADDNORM_ASCENDC_API void CopyLocal(const LocalView& target, const LocalView& source, const CopyShape& shape, Here here);
/// While not kNone, copies to GM add to what is there; such writes of several cores do not conflict.
enum class Atomic : uint8_t { kNone, kAdd };
ADDNORM_ASCENDC_API void SetAtomic(Atomic mode, Type type);

// ---- The core that runs -------------------------------------------------------------------------------------------------
enum class CoreType : uint8_t { kMix, kAic, kAiv };
struct CoreId {
  int64_t block_index = 0;
  int64_t block_count = 1;
  int64_t sub_block = 0;
  int64_t sub_blocks = 1;
  CoreType type = CoreType::kAiv;
};
ADDNORM_ASCENDC_API const CoreId& CurrentCore();
ADDNORM_ASCENDC_API void* CurrentPipe(Here here);
/// Reports a rule that a header found broken.
[[noreturn]] ADDNORM_ASCENDC_API void Fail(Rule rule, Here here, const char* format, ...) __attribute__((format(printf, 3, 4)));

}  // namespace addnorm::ascendc
#endif  // ADDNORM_ASCENDC_MEMORY_H_
