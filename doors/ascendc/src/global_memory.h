// SPDX-License-Identifier: Apache-2.0
// Which host memory counts as GM, and which core of a launch wrote which bytes of it.
#ifndef ADDNORM_DOORS_ASCENDC_GLOBAL_MEMORY_H_
#define ADDNORM_DOORS_ASCENDC_GLOBAL_MEMORY_H_

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "addnorm/ascendc/launch.h"

namespace addnorm::ascendc {

/// The GM of one launch. Thread-safe.
class GlobalMemory {
 public:
  /// strict: only `ranges` and what AllocateGm gave may be touched. Otherwise unknown memory is let through.
  GlobalMemory(const GmRange* ranges, uint32_t count, bool strict, uint32_t cores);

  /// The known allocation that [data, data + bytes) starts in; data null if there is none.
  GmRange Find(const uint8_t* data) const;
  bool strict() const { return strict_; }

  struct Write {
    uintptr_t begin, end;
    uint32_t core;
    bool atomic;
    Here here;
  };
  /// Notes a write. Returns an earlier one of another core that touches the same bytes, unless both are atomic.
  std::optional<Write> Note(const Write& write);
  /// Held while a core adds to GM.
  std::mutex& atomic_mutex() { return atomic_mutex_; }

 private:
  struct Span {
    uintptr_t end;
    Here here;
  };
  using Spans = std::map<uintptr_t, Span>;  // disjoint, by begin
  static const Span* Touches(const Spans& spans, uintptr_t begin, uintptr_t end);
  static void Insert(Spans* spans, const Write& write);

  std::vector<GmRange> ranges_;
  bool strict_;
  mutable std::mutex mutex_;
  std::mutex atomic_mutex_;
  struct Written {
    Spans plain, atomic;
  };
  std::vector<Written> written_;  // by core
};

/// The allocation of AllocateGm that holds `data`; data null if there is none.
GmRange FindAllocated(const void* data);

}  // namespace addnorm::ascendc
#endif  // ADDNORM_DOORS_ASCENDC_GLOBAL_MEMORY_H_
