// SPDX-License-Identifier: Apache-2.0
// The allocations behind GM_ADDR, and the map of what each core wrote.
#include "doors/ascendc/src/global_memory.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include "doors/ascendc/src/core.h"

namespace addnorm::ascendc {
namespace {

// GmAlloc and GmFree are free functions in the vendor's interface, so their table is one per process.
struct Allocations {
  std::mutex mutex;
  std::map<const uint8_t*, uint64_t> sizes;  // by address
};
Allocations& All() {
  static Allocations all;
  return all;
}

// As Fail. A host main calls these and may have nobody who catches: the text comes in any case, and then std::terminate.
[[noreturn]] __attribute__((format(printf, 3, 4))) void Refuse(Rule rule, Here here, const char* format, ...) {
  char text[sizeof(Violation::text)];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  try {
    Fail(rule, here, "%s", text);
  } catch (const Violation& violation) {
    Print(violation);
    throw;
  }
}

bool Holds(const GmRange& range, const uint8_t* data) {
  const auto* begin = static_cast<const uint8_t*>(range.data);
  return begin != nullptr && data >= begin && data < begin + range.bytes;
}

}  // namespace

GmRange FindAllocated(const void* data) {
  const auto* address = static_cast<const uint8_t*>(data);
  Allocations& all = All();
  const std::lock_guard<std::mutex> lock(all.mutex);
  auto after = all.sizes.upper_bound(address);
  if (after == all.sizes.begin()) return {};
  --after;
  if (address >= after->first + after->second) return {};
  return {const_cast<uint8_t*>(after->first), after->second};
}

void* AllocateGm(size_t bytes, Here here) {
  const size_t rounded = bytes == 0 ? 64 : (bytes + 63) / 64 * 64;
  void* data = rounded < bytes ? nullptr : std::aligned_alloc(64, rounded);
  if (data == nullptr) Refuse(Rule::kLaunch, here, "GmAlloc: argument 'bytes' is %zu, expected a size that this machine has", bytes);
  std::memset(data, 0, rounded);
  Allocations& all = All();
  const std::lock_guard<std::mutex> lock(all.mutex);
  all.sizes[static_cast<const uint8_t*>(data)] = bytes;
  return data;
}

void FreeGm(void* data, Here here) {
  if (data == nullptr) return;
  Allocations& all = All();
  bool known = false;
  {
    const std::lock_guard<std::mutex> lock(all.mutex);
    known = all.sizes.erase(static_cast<const uint8_t*>(data)) != 0;
  }
  if (!known) {
    Refuse(Rule::kGlobalArgument, here, "GmFree: argument 'data' is %p, expected a pointer that GmAlloc gave and nobody freed", data);
  }
  std::free(data);
}

GlobalMemory::GlobalMemory(const GmRange* ranges, uint32_t count, bool strict, uint32_t cores) : strict_(strict), written_(cores) {
  for (uint32_t i = 0; i < count; ++i) {
    if (ranges[i].data != nullptr && ranges[i].bytes != 0) ranges_.push_back(ranges[i]);
  }
}

GmRange GlobalMemory::Find(const uint8_t* data) const {
  for (const GmRange& range : ranges_) {
    if (Holds(range, data)) return range;
  }
  return FindAllocated(data);
}

const GlobalMemory::Span* GlobalMemory::Touches(const Spans& spans, uintptr_t begin, uintptr_t end) {
  auto next = spans.lower_bound(end);  // the first span that starts at or after the end
  if (next == spans.begin()) return nullptr;
  --next;
  return next->second.end > begin ? &next->second : nullptr;
}

void GlobalMemory::Insert(Spans* spans, const Write& write) {
  Write mine = write;
  auto next = spans->lower_bound(mine.begin);
  if (next != spans->begin() && std::prev(next)->second.end >= mine.begin) --next;
  while (next != spans->end() && next->first <= mine.end) {
    const Write old{next->first, next->second.end, 0, false, next->second.here};
    next = spans->erase(next);
    // One line's writes are one span, piece by piece; another line's stay apart, so that a conflict names the line that wrote.
    if (old.here.line == mine.here.line && std::strcmp(old.here.file, mine.here.file) == 0) {
      mine.begin = std::min(mine.begin, old.begin);
      mine.end = std::max(mine.end, old.end);
      continue;
    }
    if (old.begin < mine.begin) spans->emplace(old.begin, Span{std::min(old.end, mine.begin), old.here});
    if (old.end > mine.end) spans->emplace(std::max(old.begin, mine.end), Span{old.end, old.here});
  }
  spans->emplace(mine.begin, Span{mine.end, mine.here});
}

std::optional<GlobalMemory::Write> GlobalMemory::Note(const Write& write) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (uint32_t core = 0; core < written_.size(); ++core) {
    if (core == write.core) continue;
    const Span* plain = Touches(written_[core].plain, write.begin, write.end);
    if (plain != nullptr) return Write{write.begin, plain->end, core, false, plain->here};
    const Span* atomic = write.atomic ? nullptr : Touches(written_[core].atomic, write.begin, write.end);
    if (atomic != nullptr) return Write{write.begin, atomic->end, core, true, atomic->here};
  }
  Written& mine = written_[write.core];
  Insert(write.atomic ? &mine.atomic : &mine.plain, write);
  return std::nullopt;
}

}  // namespace addnorm::ascendc
