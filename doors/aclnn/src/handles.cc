// SPDX-License-Identifier: Apache-2.0
// handle = kind (4 bits) | generation (36) | slot (24);  slot word = kind | generation | pins (24).
// With its kind in the top bits a handle is no canonical address: a program that dereferences one faults at once.
#include "doors/aclnn/src/handles.h"

#include <atomic>
#include <chrono>
#include <mutex>
#include <new>
#include <thread>

namespace addnorm::aclnn {
namespace {

static_assert(sizeof(void*) == 8, "handles need 64 bits");

constexpr int kLowBits = 24, kKindShift = 60;
constexpr uint64_t kLowMask = (uint64_t{1} << kLowBits) - 1;
constexpr uint64_t kLastGeneration = (uint64_t{1} << (kKindShift - kLowBits)) - 1;
constexpr uint32_t kChunkSlots = 1 << 12, kChunks = 1 << (kLowBits - 12);

struct Slot {
  std::atomic<uint64_t> word{0};
  void* object = nullptr;
  uint32_t next_free = 0;
};

struct Table {
  std::mutex mutex;  // guards the free list and growth
  uint32_t free_head = 0;
  uint32_t used = 1;  // slot 0 is never given out: no handle is null
  std::atomic<Slot*> chunks[kChunks] = {};
};
// Never destroyed: handles may be used until the process ends.
constinit Table table;

Slot* At(uint64_t slot) {
  Slot* chunk = table.chunks[slot / kChunkSlots].load(std::memory_order_acquire);
  return chunk == nullptr ? nullptr : chunk + slot % kChunkSlots;
}
Slot* Of(const void* handle) { return At(reinterpret_cast<uint64_t>(handle) & kLowMask); }
uint64_t KeyOf(uint64_t bits) { return bits >> kLowBits; }  // kind and generation
Kind KindOf(uint64_t bits) { return static_cast<Kind>(bits >> kKindShift); }

bool Grow(uint32_t slot) {
  auto& chunk = table.chunks[slot / kChunkSlots];
  if (chunk.load(std::memory_order_relaxed) != nullptr) return true;
  Slot* fresh = new (std::nothrow) Slot[kChunkSlots];
  if (fresh == nullptr) return false;
  chunk.store(fresh, std::memory_order_release);
  return true;
}

}  // namespace

void* AddHandle(Kind kind, void* object) noexcept {
  uint32_t index;
  {
    std::lock_guard lock(table.mutex);
    if (table.free_head != 0) {
      index = table.free_head;
      table.free_head = At(index)->next_free;
    } else {
      if (table.used > kLowMask || !Grow(table.used)) return nullptr;
      index = table.used++;
    }
  }
  Slot* slot = At(index);
  const uint64_t generation = ((slot->word.load(std::memory_order_relaxed) >> kLowBits) & kLastGeneration) + 1;
  const uint64_t key = (static_cast<uint64_t>(kind) << kKindShift) | (generation << kLowBits);
  slot->object = object;
  slot->word.store(key, std::memory_order_release);
  return reinterpret_cast<void*>(key | index);  // NOLINT(performance-no-int-to-ptr): a handle is no address
}

void* PinHandle(const void* handle, Kind kind) noexcept {
  const auto bits = reinterpret_cast<uint64_t>(handle);
  Slot* slot = Of(handle);
  if (slot == nullptr || KindOf(bits) != kind) return nullptr;
  uint64_t word = slot->word.load(std::memory_order_relaxed);
  do {
    if (KeyOf(word) != KeyOf(bits) || (word & kLowMask) == kLowMask) return nullptr;
  } while (!slot->word.compare_exchange_weak(word, word + 1, std::memory_order_acquire, std::memory_order_relaxed));
  return slot->object;
}

void UnpinHandle(const void* handle) noexcept { Of(handle)->word.fetch_sub(1, std::memory_order_release); }

void* RetireHandle(const void* handle, Kind kind, uint32_t own_pins) noexcept {
  const auto bits = reinterpret_cast<uint64_t>(handle);
  Slot* slot = Of(handle);
  if (slot == nullptr || KindOf(bits) != kind) return nullptr;
  constexpr uint64_t kAlive = ~(uint64_t{15} << kKindShift);
  uint64_t word = slot->word.load(std::memory_order_relaxed);
  do {
    if (KeyOf(word) != KeyOf(bits)) return nullptr;
  } while (!slot->word.compare_exchange_weak(word, word & kAlive, std::memory_order_acquire, std::memory_order_relaxed));
  for (int round = 0; ((word = slot->word.load(std::memory_order_acquire)) & kLowMask) > own_pins; ++round) {
    round < 64 ? std::this_thread::yield() : std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  void* object = slot->object;
  slot->word.store(word & ~kLowMask, std::memory_order_relaxed);
  if (((word >> kLowBits) & kLastGeneration) != kLastGeneration) {
    std::lock_guard lock(table.mutex);
    slot->next_free = table.free_head;
    table.free_head = static_cast<uint32_t>(bits & kLowMask);
  }
  return object;
}

void* NextHandle(Kind kind, uint32_t* cursor) noexcept {
  for (;;) {
    const uint32_t index = ++*cursor;
    Slot* slot = index > kLowMask ? nullptr : At(index);
    if (slot == nullptr) return nullptr;
    const uint64_t word = slot->word.load(std::memory_order_relaxed);
    if (KindOf(word) == kind) return reinterpret_cast<void*>((word & ~kLowMask) | index);  // NOLINT(performance-no-int-to-ptr)
  }
}

const char* NameOf(Kind kind) noexcept {
  switch (kind) {
#define ADDNORM_X(name, text) \
  case Kind::name:            \
    return text;
    ADDNORM_ACLNN_HANDLES(ADDNORM_X)
#undef ADDNORM_X
    default:
      return "nothing";
  }
}

const char* DescribeHandle(const void* handle) noexcept {
  const auto bits = reinterpret_cast<uint64_t>(handle);
  Slot* slot = Of(handle);
  if (slot == nullptr || KindOf(bits) == Kind::kNone || KeyOf(slot->word.load(std::memory_order_relaxed)) != KeyOf(bits)) {
    return "a destroyed or foreign handle";
  }
  switch (KindOf(bits)) {
#define ADDNORM_X(name, text) \
  case Kind::name:            \
    return "a live " text;
    ADDNORM_ACLNN_HANDLES(ADDNORM_X)
#undef ADDNORM_X
    default:
      return "a destroyed or foreign handle";
  }
}

}  // namespace addnorm::aclnn
