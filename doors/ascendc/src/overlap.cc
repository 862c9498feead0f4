// SPDX-License-Identifier: Apache-2.0
// Operands that share memory. A repeat reads all of its sources before it writes; what it writes must not be a source of a later repeat.
#include <algorithm>
#include <vector>

#include "doors/ascendc/src/elements.h"

namespace addnorm::ascendc {
namespace {

[[noreturn]] void FailOverlap(const char* api, const char* how, Here here) {
  Fail(Rule::kOverlap, here, "%s: argument 'dst' overlaps a source %s, expected the same memory or disjoint memory", api, how);
}

// Which repeat wrote a byte of dst last, and which lane of it.
struct Writer {
  uint32_t repeat = UINT32_MAX;
  uint32_t lane = 0;
};

}  // namespace

void CheckOverlap(const char* api, const VectorOperand& dst, const VectorOperand& source, const Lanes& lanes, uint32_t per_repeat,
                  Here here) {
  const uint32_t dst_size = SizeOf(dst.type), source_size = SizeOf(source.type);
  const uint64_t dst_bytes = ExtentOf(dst, lanes, per_repeat), source_bytes = ExtentOf(source, lanes, per_repeat);
  const uint8_t* const begin = dst.view.data;
  if (begin + dst_bytes <= source.view.data || source.view.data + source_bytes <= begin) return;
  if (lanes.kind == Lanes::Kind::kCount) {
    // Element i of a narrower dst ends before element i of the source, so that in place is safe.
    if (begin == source.view.data && dst_size <= source_size) return;
    FailOverlap(api, "by a part", here);
  }
  // Adding up over repeats in place: each repeat takes what the one before left at the same place.
  const bool accumulates = begin == source.view.data && dst_size == source_size && dst.repeat_stride == 0 && source.repeat_stride == 0 &&
                           dst.block_stride == source.block_stride;
  std::vector<Writer> writers(dst_bytes);
  const auto writer = [&](uint32_t repeat, uint32_t lane, uint32_t byte) {
    const uint8_t* const data = source.view.data + OffsetOf(source, lanes, repeat, lane) + byte;
    return data >= begin && data < begin + dst_bytes ? writers[static_cast<size_t>(data - begin)] : Writer();
  };
  const auto check = [&](uint32_t repeat, uint32_t lane) {
    for (uint32_t byte = 0; byte < source_size; ++byte) {
      const Writer by = writer(repeat, lane, byte);
      if (by.repeat == UINT32_MAX) continue;
      if (by.repeat < repeat && !accumulates) FailOverlap(api, "that a later repeat reads", here);
      if (by.repeat == repeat && by.lane != lane && dst_size >= source_size) FailOverlap(api, "by a part", here);
    }
  };
  uint32_t running = 0;
  std::vector<uint32_t> active;  // lanes of the running repeat
  const auto finish = [&] {
    for (uint32_t lane : active) check(running, lane);  // against earlier repeats
    for (uint32_t lane : active)
      std::fill_n(writers.begin() + static_cast<ptrdiff_t>(OffsetOf(dst, lanes, running, lane)), dst_size, Writer{running, lane});
    for (uint32_t lane : active) check(running, lane);  // against other lanes
    active.clear();
  };
  ForEach(lanes, per_repeat, [&](uint32_t repeat, uint32_t lane) {
    if (repeat != running) finish();
    running = repeat;
    active.push_back(lane);
  });
  finish();
}

}  // namespace addnorm::ascendc
