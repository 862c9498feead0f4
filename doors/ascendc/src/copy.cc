// SPDX-License-Identifier: Apache-2.0
// DataCopy and DataCopyPad between GM and UB, and single elements of GM.
#include <algorithm>
#include <cstring>

#include "doors/ascendc/src/core.h"

namespace addnorm::ascendc {
namespace {

using ull = unsigned long long;  // for %llu

uint64_t RoundUp32(uint64_t bytes) { return (bytes + 31) / 32 * 32; }

// From the start of the first run to the end of the last.
uint64_t Extent(uint32_t runs, uint64_t run_bytes, uint64_t gap_bytes) {
  return runs == 0 ? 0 : (runs - 1) * (run_bytes + gap_bytes) + run_bytes;
}

void CheckGlobal(const GlobalView& view, uint64_t offset, uint64_t bytes, const Use& use) {
  const Core& core = Core::Current();
  if (view.data == nullptr) Fail(Rule::kGlobalBounds, use.here, "%s: argument '%s' is null, expected global memory", use.api, use.name);
  // Neither sum may wrap: a negative index arrives here as a huge offset.
  if (!view.sized && offset > INT64_MAX) {
    Fail(Rule::kGlobalBounds, use.here, "%s: argument '%s' is accessed at byte %llu, expected an offset in its allocation", use.api,
         use.name, ull{offset});
  }
  if (view.sized && (offset > view.bytes || bytes > view.bytes - offset)) {
    Fail(Rule::kGlobalBounds, use.here,
         "%s: argument '%s' is accessed up to byte %llu, expected at most the %llu bytes of its SetGlobalBuffer", use.api, use.name,
         ull{offset + std::min(bytes, UINT64_MAX - offset)}, ull{view.bytes});
  }
  const uint8_t* begin = view.data + offset;
  const GmRange range = core.global->Find(begin);
  if (range.data == nullptr) {
    if (!core.global->strict()) return;
    Fail(Rule::kGlobalBounds, use.here, "%s: argument '%s' address is %p, expected memory of GmAlloc or of the launch", use.api, use.name,
         static_cast<const void*>(begin));
  }
  const uint64_t room = range.bytes - static_cast<uint64_t>(begin - static_cast<const uint8_t*>(range.data));
  if (bytes > room) {
    Fail(Rule::kGlobalBounds, use.here, "%s: argument '%s' takes %llu bytes, expected at most the %llu that its allocation has from there",
         use.api, use.name, ull{bytes}, ull{room});
  }
}

void NoteWrite(const uint8_t* data, uint64_t bytes, bool atomic, const Use& use) {
  Core& core = Core::Current();
  const auto begin = reinterpret_cast<uintptr_t>(data);
  const auto other = core.global->Note({begin, begin + bytes, core.number, atomic, use.here});
  if (!other) return;
  Fail(Rule::kBlockConflict, use.here, "%s: argument '%s' bytes are also written by core %u (%s:%d), expected one core for each byte",
       use.api, use.name, other->core, other->here.file, other->here.line);
}

template <typename T>
void AddElements(uint8_t* target, const uint8_t* source, uint64_t bytes) {
  for (uint64_t at = 0; at + sizeof(T) <= bytes; at += sizeof(T)) {
    T a, b;
    std::memcpy(&a, target + at, sizeof(T));
    std::memcpy(&b, source + at, sizeof(T));
    T sum;
    if constexpr (std::is_same_v<T, half> || std::is_same_v<T, float>) {
      sum = T(static_cast<float>(a) + static_cast<float>(b));
    } else {
      sum = static_cast<T>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b));
    }
    std::memcpy(target + at, &sum, sizeof(T));
  }
}

void Store(uint8_t* target, const uint8_t* source, uint64_t bytes, const Use& use) {
  Core& core = Core::Current();
  if (core.atomic == Atomic::kNone) {
    std::memcpy(target, source, bytes);
    return;
  }
  const std::lock_guard<std::mutex> lock(core.global->atomic_mutex());
  switch (core.atomic_type) {
    case Type::kF32:
      return AddElements<float>(target, source, bytes);
    case Type::kF16:
      return AddElements<half>(target, source, bytes);
    case Type::kI16:
      return AddElements<int16_t>(target, source, bytes);
    case Type::kI32:
      return AddElements<int32_t>(target, source, bytes);
    default:
      Fail(Rule::kParameter, use.here, "SetAtomicAdd: argument 'T' is %s, expected half, float, int16_t or int32_t",
           NameOf(core.atomic_type));
  }
}

void CheckShape(const CopyShape& shape, Here here) {
  if (shape.blocks == 0 || shape.blocks > 4095) {
    Fail(Rule::kParameter, here, "%s: argument 'blockCount' is %u, expected 1 to 4095", shape.api, shape.blocks);
  }
  if (shape.block_bytes == 0) Fail(Rule::kCopyLength, here, "%s: argument 'length' is 0 bytes, expected at least 1", shape.api);
  if (!shape.padded && shape.block_bytes % 32 != 0) {
    Fail(Rule::kCopyLength, here,
         "%s: argument 'count' is %llu bytes, expected a multiple of 32 (the device drops the rest; or use DataCopyPad)", shape.api,
         ull{shape.block_bytes});
  }
  if (shape.left_bytes > 32 || shape.right_bytes > 32) {
    Fail(Rule::kParameter, here, "%s: argument 'leftPadding' or 'rightPadding' is %u bytes, expected at most 32", shape.api,
         std::max(shape.left_bytes, shape.right_bytes));
  }
}

void Fill(uint8_t* data, uint64_t bytes, const CopyShape& shape) {
  for (uint64_t at = 0; at + shape.element_bytes <= bytes; at += shape.element_bytes)
    std::memcpy(data + at, &shape.fill_value, shape.element_bytes);
}

}  // namespace

void TouchGlobal(const GlobalView& view, uint64_t offset_bytes, uint32_t bytes, Access access, Here here) {
  const Use use{access == Access::kRead ? "GetValue" : "SetValue", "GlobalTensor", here};
  CheckGlobal(view, offset_bytes, bytes, use);
  // Scalar writes are plain ones, whatever SetAtomicAdd says about copies.
  if (access == Access::kWrite) NoteWrite(view.data + offset_bytes, bytes, false, use);
}

void CopyIn(const LocalView& target, const GlobalView& source, const CopyShape& shape, Here here) {
  Core& core = Core::Current();
  CheckShape(shape, here);
  const uint64_t run = shape.padded ? RoundUp32(shape.left_bytes + shape.block_bytes + shape.right_bytes) : shape.block_bytes;
  core.CheckOperand(target, Extent(shape.blocks, run, shape.target_gap_bytes), Access::kWrite, {shape.api, "dst", here});
  CheckGlobal(source, 0, Extent(shape.blocks, shape.block_bytes, shape.source_gap_bytes), {shape.api, "src", here});
  for (uint32_t block = 0; block < shape.blocks; ++block) {
    const uint64_t place = block * (run + shape.target_gap_bytes);
    uint8_t* to = target.data + place;
    core.Work(target, place, run, Engine::kCopyIn, {shape.api, "dst", here}, Access::kWrite);
    core.SetWritten(to, run, !shape.padded);
    if (shape.fill) {
      // The padding asked for, and what completes the last 32 bytes.
      Fill(to, run, shape);
      core.SetWritten(to, run);
    }
    std::memcpy(to + shape.left_bytes, source.data + block * (shape.block_bytes + shape.source_gap_bytes), shape.block_bytes);
    core.SetWritten(to + shape.left_bytes, shape.block_bytes);
  }
}

void CopyOut(const GlobalView& target, const LocalView& source, const CopyShape& shape, Here here) {
  Core& core = Core::Current();
  const Use to{shape.api, "dst", here};
  const Use from{shape.api, "src", here};
  CheckShape(shape, here);
  const uint64_t run = shape.padded ? RoundUp32(shape.block_bytes) : shape.block_bytes;
  core.CheckOperand(source, Extent(shape.blocks, run, shape.source_gap_bytes), Access::kRead, from);
  if (core.BufferAt(source.buffer).state == Buffer::State::kQueued) {
    Fail(Rule::kQueueState, here, "%s: argument 'src' is in its queue, expected DeQue before it is copied out", shape.api);
  }
  CheckGlobal(target, 0, Extent(shape.blocks, shape.block_bytes, shape.target_gap_bytes), to);
  for (uint32_t block = 0; block < shape.blocks; ++block) {
    const uint64_t start = block * (run + shape.source_gap_bytes);
    uint8_t* out = target.data + block * (shape.block_bytes + shape.target_gap_bytes);
    core.Work(source, start, shape.block_bytes, Engine::kCopyOut, from, Access::kRead);
    core.RequireWritten(source, start, shape.block_bytes, from);
    NoteWrite(out, shape.block_bytes, core.atomic != Atomic::kNone, to);
    Store(out, source.data + start, shape.block_bytes, to);
  }
}

void CopyLocal(const LocalView& target, const LocalView& source, const CopyShape& shape, Here here) {
  Core& core = Core::Current();
  CheckShape(shape, here);
  const uint64_t target_bytes = Extent(shape.blocks, shape.block_bytes, shape.target_gap_bytes);
  const uint64_t source_bytes = Extent(shape.blocks, shape.block_bytes, shape.source_gap_bytes);
  core.CheckOperand(target, target_bytes, Access::kWrite, {shape.api, "dst", here});
  core.CheckOperand(source, source_bytes, Access::kRead, {shape.api, "src", here});
  if (target.data < source.data + source_bytes && source.data < target.data + target_bytes) {
    Fail(Rule::kOverlap, here, "%s: argument 'dst' overlaps 'src', expected disjoint memory", shape.api);
  }
  for (uint32_t block = 0; block < shape.blocks; ++block) {
    const uint64_t target_place = block * (shape.block_bytes + shape.target_gap_bytes);
    const uint64_t source_place = block * (shape.block_bytes + shape.source_gap_bytes);
    core.Work(source, source_place, shape.block_bytes, Engine::kVector, {shape.api, "src", here}, Access::kRead);
    core.Work(target, target_place, shape.block_bytes, Engine::kVector, {shape.api, "dst", here}, Access::kWrite);
    uint8_t* to = target.data + target_place;
    const uint8_t* from = source.data + source_place;
    std::memcpy(to, from, shape.block_bytes);
    for (uint64_t i = 0; i < shape.block_bytes; ++i) core.SetWritten(to + i, 1, core.IsWritten(from + i, 1));
  }
}

}  // namespace addnorm::ascendc
