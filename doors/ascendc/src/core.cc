// SPDX-License-Identifier: Apache-2.0
// A core's memories and the question which core runs on this thread.
#include "doors/ascendc/src/core.h"

#include <algorithm>
#include <memory>

namespace addnorm::ascendc {
namespace {

constexpr uint32_t kL1Bytes = 512 * 1024;
constexpr uint32_t kKiB = 1024;

Core*& Running() {
  thread_local Core* core = nullptr;
  return core;
}

// What memory holds that nobody wrote: 0xffe5ffe5..., a NaN in every floating type, so that garbage shows, and none that arithmetic gives.
uint8_t Untouched(uint64_t offset) { return offset % 2 == 0 ? 0xe5 : 0xff; }

}  // namespace

void LocalMemory::Open(uint32_t size) {
  storage.resize(size + 64);
  base = storage.data() + (64 - reinterpret_cast<uintptr_t>(storage.data()) % 64) % 64;
  bytes = size;
  used = 0;
  written.resize(size);
  Forget(base, size);
}

void LocalMemory::Forget(uint8_t* data, size_t size) {
  const auto start = static_cast<uint64_t>(data - base);
  for (size_t i = 0; i < size; ++i) data[i] = Untouched(start + i);
  std::fill_n(Shadow(data), size, uint8_t{0});
}

void LocalMemory::Expose(const uint8_t* data, uint32_t element_bytes) {
  const bool aligned = static_cast<uint64_t>(data - base) % element_bytes == 0;
  uint8_t* shadow = Shadow(data);
  for (uint32_t i = 0; i < element_bytes; ++i) {
    if (shadow[i] == 0) shadow[i] = aligned ? static_cast<uint8_t>(element_bytes) : uint8_t{1};
  }
}

size_t LocalMemory::WrittenBytes(const uint8_t* data, size_t size) const {
  const auto start = static_cast<uint64_t>(data - base);
  const auto changed = [this](uint64_t offset, uint8_t element_bytes) {
    const uint64_t element = offset - offset % element_bytes;
    for (uint64_t i = element; i < element + element_bytes; ++i) {
      if (base[i] != Untouched(i)) return true;
    }
    return false;
  };
  for (uint64_t offset = start; offset < start + size; ++offset) {
    const uint8_t shadow = written[offset];
    if (shadow == 1 || (shadow != 0 && changed(offset, shadow))) continue;
    return offset - start;
  }
  return size;
}

// Usable bytes: where the vendor keeps the top 8 KiB for itself (256 KiB parts), they are not counted.
uint32_t UbBytes(uint32_t architecture) {
  switch (architecture) {
    case 2201:
      return 192 * kKiB;
    case 1001:
    case 2002:
    case 3002:
    case 3102:
    case 3510:
    case 5102:
      return 248 * kKiB;
    case 3003:
    case 3113:
      return 118 * kKiB;
    default:
      return 0;
  }
}

bool IsUb(TPosition position) { return position == TPosition::VECIN || position == TPosition::VECOUT || position == TPosition::VECCALC; }

const char* NameOf(TPosition position) {
  static constexpr const char* kNames[] = {"GM",  "A1",    "A2",     "B1",      "B2",  "C1",   "C2",       "CO1",
                                           "CO2", "VECIN", "VECOUT", "VECCALC", "SPM", "TSCM", "C2PIPE2GM"};
  const auto index = static_cast<size_t>(position);
  return index < std::size(kNames) ? kNames[index] : "no memory";
}

const char* NameOf(Buffer::State state) {
  static constexpr const char* kNames[] = {"free", "allocated", "enqueued", "dequeued", "a TBuf", "gone with its pipe"};
  return kNames[static_cast<size_t>(state)];
}

Core::Core(const CoreId& core_id, uint32_t core_number, uint32_t core_architecture, GlobalMemory* global_memory, OnViolation action)
    : id(core_id), global(global_memory), number(core_number), architecture(core_architecture), on_violation(action) {
  ub_.Open(UbBytes(architecture));
}

Core* Core::Exchange(Core* core) {
  Core* before = Running();
  Running() = core;
  return before;
}

Core& Core::Current() {
  if (Running() != nullptr) return *Running();
  // A kernel called as a plain function: one block, any host memory is GM.
  thread_local GlobalMemory global(nullptr, 0, false, 1);
  thread_local Core alone(CoreId{}, 0, __NPU_ARCH__, &global, GetOnViolation());
  alone.on_violation = GetOnViolation();
  return alone;
}

const CoreId& CurrentCore() { return Core::Current().id; }
void SetAtomic(Atomic mode, Type type) {
  Core& core = Core::Current();
  core.atomic = mode;
  core.atomic_type = type;
}

uint8_t* Core::Reserve(TPosition position, uint32_t count, uint32_t bytes, Here here) {
  const bool in_ub = IsUb(position);
  if (!in_ub && position != TPosition::A1 && position != TPosition::B1 && position != TPosition::TSCM) {
    Fail(Rule::kPosition, here, "InitBuffer: argument 'buffer' position is %s, expected VECIN, VECOUT, VECCALC, A1, B1 or TSCM",
         NameOf(position));
  }
  LocalMemory& memory = in_ub ? ub_ : l1_;
  if (pipe == nullptr) Fail(Rule::kPipe, here, "InitBuffer: argument 'pipe' is destroyed, expected a live TPipe");
  if (!in_ub && memory.base == nullptr) memory.Open(kL1Bytes);
  if (bytes == 0) Fail(Rule::kPipe, here, "InitBuffer: argument 'len' is 0, expected at least 1 byte");
  if (count < 1 || count > 64) Fail(Rule::kPipe, here, "InitBuffer: argument 'num' is %u, expected 1 to 64", count);
  if (pipe_buffers_ + count > 64) {
    Fail(Rule::kPipe, here, "InitBuffer: argument 'num' is %u after %u buffers, expected at most 64 buffers in a TPipe", count,
         pipe_buffers_);
  }
  const uint64_t rounded = (uint64_t{bytes} + 31) / 32 * 32;
  const uint64_t total = memory.used + count * rounded;
  if (total > memory.bytes) {
    Fail(Rule::kCapacity, here,
         "InitBuffer: argument 'len' is %u, %u buffers of it after %u bytes make %llu bytes, expected at most %u bytes of %s (architecture "
         "%u)",
         bytes, count, memory.used, static_cast<unsigned long long>(total), memory.bytes, in_ub ? "UB" : "L1", architecture);
  }
  uint8_t* data = memory.base + memory.used;
  memory.Forget(data, count * rounded);
  memory.used = static_cast<uint32_t>(total);
  pipe_buffers_ += count;
  if (in_ub && rest_ != 0) {
    BufferAt(rest_).state = Buffer::State::kDead;
    rest_ = 0;
  }
  return data;
}

}  // namespace addnorm::ascendc
