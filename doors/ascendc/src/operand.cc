// SPDX-License-Identifier: Apache-2.0
// What every operand in local memory must be: alive, not in a queue, in UB, aligned, inside its buffer, and written before it is read.
#include <algorithm>
#include <cstring>

#include "doors/ascendc/src/core.h"

namespace addnorm::ascendc {

Buffer& Core::Resolve(const LocalView& view, Access access, const Use& use) {
  const bool known = view.buffer != 0 && view.buffer <= buffers_.size() && buffers_[view.buffer - 1].generation == view.generation;
  if (!known || BufferAt(view.buffer).state == Buffer::State::kFree || BufferAt(view.buffer).state == Buffer::State::kDead) {
    const char* what = view.buffer == 0 ? "was never allocated" : "is freed or its pipe is gone";
    Fail(Rule::kUseAfterFree, use.here, "%s: argument '%s' %s, expected a live tensor", use.api, use.name, what);
  }
  Buffer& buffer = BufferAt(view.buffer);
  // In a queue, a tensor belongs to whoever takes it out. Only a vector read of an output would be harmless on the device.
  const bool passing = std::strcmp(use.api, "EnQue") == 0 || std::strcmp(use.api, "FreeTensor") == 0;
  if (buffer.state == Buffer::State::kQueued && !passing && (access != Access::kRead || buffer.hands_over == Engine::kCopyIn)) {
    Fail(Rule::kQueueState, use.here, "%s: argument '%s' is in its queue, expected DeQue before it is %s", use.api, use.name,
         access == Access::kRead ? "read" : "written");
  }
  return buffer;
}

void Core::CheckOperand(const LocalView& view, uint64_t bytes, Access access, const Use& use, uint32_t alignment) {
  const Buffer& buffer = Resolve(view, access, use);
  if (!IsUb(view.position)) {
    Fail(Rule::kPosition, use.here, "%s: argument '%s' position is %s, expected VECIN, VECCALC or VECOUT", use.api, use.name,
         NameOf(view.position));
  }
  const auto offset = static_cast<uint64_t>(view.data - buffer.data);
  const uint64_t address = static_cast<uint64_t>(view.data - MemoryOf(buffer.data).base);
  if (address % alignment != 0) {
    Fail(Rule::kAlignment, use.here, "%s: argument '%s' address is %llu in UB, expected a multiple of %u bytes", use.api, use.name,
         static_cast<unsigned long long>(address), alignment);
  }
  const uint64_t room = offset <= buffer.bytes ? std::min<uint64_t>(view.bytes, buffer.bytes - offset) : 0;
  if (bytes > room) {
    Fail(Rule::kLocalBounds, use.here, "%s: argument '%s' is accessed up to byte %llu, expected at most its %llu bytes", use.api, use.name,
         static_cast<unsigned long long>(bytes), static_cast<unsigned long long>(room));
  }
}

bool Core::IsWritten(const uint8_t* data, size_t bytes) { return MemoryOf(data).WrittenBytes(data, bytes) == bytes; }

void Core::SetWritten(const uint8_t* data, size_t bytes, bool written) { std::memset(MemoryOf(data).Shadow(data), written ? 1 : 0, bytes); }

void Core::RequireWritten(const LocalView& view, uint64_t offset, size_t bytes, const Use& use) {
  const size_t written = MemoryOf(view.data).WrittenBytes(view.data + offset, bytes);
  if (written == bytes) return;
  const unsigned long long byte = offset + written;
  Fail(Rule::kUninitialised, use.here, "%s: argument '%s' byte %llu was never written or is undefined by now, expected a value", use.api,
       use.name, byte);
}

void TouchLocal(const LocalView& view, uint64_t offset_bytes, uint32_t bytes, Access access, Here here) {
  Core& core = Core::Current();
  const Use use{access == Access::kRead ? "GetValue" : access == Access::kWrite ? "SetValue" : "operator()", "tensor", here};
  const Buffer& buffer = core.Resolve(view, access, use);
  const auto start = static_cast<uint64_t>(view.data - buffer.data);
  const uint64_t room = start <= buffer.bytes ? std::min<uint64_t>(view.bytes, buffer.bytes - start) : 0;
  if (offset_bytes + bytes > room) {
    Fail(Rule::kLocalBounds, here, "%s: argument 'index' is %llu, expected less than %llu", use.api,
         static_cast<unsigned long long>(offset_bytes / bytes), static_cast<unsigned long long>(room / bytes));
  }
  // A reference to what nobody wrote is there to be written.
  const bool read = access == Access::kRead || (access == Access::kReference && core.IsWritten(view.data + offset_bytes, bytes));
  core.Work(view, offset_bytes, bytes, Engine::kVector, use, read ? Access::kRead : Access::kWrite);
  if (access == Access::kRead) {
    core.RequireWritten(view, offset_bytes, bytes, use);
  } else if (access == Access::kWrite) {
    core.SetWritten(view.data + offset_bytes, bytes);
  } else {
    core.MemoryOf(view.data).Expose(view.data + offset_bytes, bytes);
  }
}

bool IsWritten(const LocalView& view, uint64_t offset_bytes, uint32_t bytes, Here here) {
  Core& core = Core::Current();
  core.CheckOperand(view, offset_bytes + bytes, Access::kRead, {"DumpTensor", "tensor", here}, 1);
  return core.IsWritten(view.data + offset_bytes, bytes);
}

void ExposeLocal(const LocalView& view, uint32_t bytes, Here here) {
  Core& core = Core::Current();
  const Buffer& buffer = core.Resolve(view, Access::kRead, {"GetPhyAddr", "tensor", here});
  const auto start = static_cast<uint64_t>(view.data - buffer.data);
  const uint64_t room = start < buffer.bytes ? std::min<uint64_t>(view.bytes, buffer.bytes - start) : 0;
  if (bytes == 0) return core.SetWritten(view.data, room);
  for (uint64_t at = 0; at + bytes <= room; at += bytes) core.MemoryOf(view.data).Expose(view.data + at, bytes);
}

}  // namespace addnorm::ascendc
