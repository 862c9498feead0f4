// SPDX-License-Identifier: Apache-2.0
// Reductions of a vector, and Brcb.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "doors/ascendc/src/elements.h"

namespace addnorm::ascendc {
namespace {

// One group of elements on its way to one result.
struct Group {
  double sum = 0;
  long double best = 0;
  uint64_t position = 0;
  uint64_t count = 0;
};

void Take(Group* group, Reduction reduction, long double value, uint64_t position) {
  group->sum += static_cast<double>(value);
  // The first NaN wins and stays.
  const bool better = reduction == Reduction::kMax ? value > group->best : value < group->best;
  if (group->count++ == 0 || (!std::isnan(group->best) && (better || std::isnan(value)))) {
    group->best = value;
    group->position = position;
  }
}

void StoreIndex(Type type, uint8_t* data, uint64_t position) {
  if (SizeOf(type) == 2) {
    const auto index = static_cast<uint16_t>(position);
    std::memcpy(data, &index, sizeof(index));
  } else {
    const auto index = static_cast<uint32_t>(position);
    std::memcpy(data, &index, sizeof(index));
  }
}

// The vendor's documented size of the work tensor: one partial result per repeat, rounded up to 32 bytes; with an index, two.
uint64_t WorkBytes(const ReduceCall& call, uint32_t per_repeat) {
  const uint64_t repeats = call.lanes.masked ? call.lanes.repeats : (uint64_t{call.lanes.count} + per_repeat - 1) / per_repeat;
  const uint64_t partials = call.index ? 2 * repeats : repeats;
  return (partials * SizeOf(call.src.type) + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
}

}  // namespace

void RunReduce(const ReduceCall& call, Here here) {
  Core& core = Core::Current();
  const Type type = call.src.type;
  const uint32_t size = SizeOf(type);
  if (type != Type::kF32 && type != Type::kF16) {
    Fail(Rule::kParameter, here, "%s: argument 'T' is %s, expected half or float", call.api, NameOf(type));
  }
  const uint32_t per_repeat = kRepeatBytes / size;
  const uint32_t per_block = kBlockBytes / size;
  CheckLanes(call.lanes, per_repeat, call.api, here);
  if (call.src.repeat_stride > 65535 || call.src.block_stride > 65535 || call.dst.repeat_stride > 65535) {
    Fail(Rule::kParameter, here, "%s: argument 'stride' is negative or above 65535, expected 0 to 65535", call.api);
  }
  core.CheckOperand(call.src.view, ExtentOf(call.src, call.lanes, per_repeat), Access::kRead, {call.api, "src", here});
  if (call.groups == Groups::kAll) {
    const uint64_t need = WorkBytes(call, per_repeat);
    const Use work{call.api, "work", here};
    core.CheckOperand(call.work, 0, Access::kWrite, work);
    if (call.work.bytes < need) {
      Fail(Rule::kTmpSize, here, "%s: argument 'work' is %u bytes, expected at least %llu", call.api, call.work.bytes,
           static_cast<unsigned long long>(need));
    }
  }

  const uint32_t blocks = per_repeat / per_block;
  const uint32_t groups = call.groups == Groups::kAll ? 1 : call.lanes.repeats * (call.groups == Groups::kPerBlock ? blocks : 1);
  std::vector<Group> results(groups);
  const Use source{call.api, "src", here};
  uint64_t position = 0;
  ForEach(call.lanes, per_repeat, [&](uint32_t repeat, uint32_t lane) {
    const uint64_t offset = OffsetOf(call.src, call.lanes, repeat, lane);
    core.RequireWritten(call.src.view, offset, size, source);
    const uint32_t group = call.groups == Groups::kAll         ? 0
                           : call.groups == Groups::kPerRepeat ? repeat
                                                               : repeat * blocks + lane / per_block;
    Take(&results[group], call.reduction, Load(type, call.src.view.data + offset), position++);
  });
  for (uint32_t group = 0; group < groups; ++group) {
    if (results[group].count == 0) continue;
    const uint64_t place = call.groups == Groups::kPerBlock ? uint64_t{group / blocks} * call.dst.repeat_stride * blocks + group % blocks
                                                            : uint64_t{group} * call.dst.repeat_stride;
    LocalView out = call.dst.view;
    const uint64_t start = call.groups == Groups::kAll ? 0 : place * size;
    const uint64_t end = start + size + (call.index ? size : 0);
    core.CheckOperand(out, end, Access::kWrite, {call.api, "dst", here}, size);
    const Group& result = results[group];
    StoreElement(type, out.data + start, call.reduction == Reduction::kSum ? static_cast<long double>(result.sum) : result.best);
    core.SetWritten(out.data + start, size);
    if (!call.index) continue;
    StoreIndex(type, out.data + start + size, result.position);
    core.SetWritten(out.data + start + size, size);
  }
}

void RunBroadcastBlocks(const VectorOperand& dst, const VectorOperand& src, uint32_t repeats, Here here) {
  constexpr uint32_t kPerRepeat = 8;
  Core& core = Core::Current();
  if (repeats < 1 || repeats > 255) Fail(Rule::kParameter, here, "Brcb: argument 'repeatTime' is %u, expected 1 to 255", repeats);
  const uint32_t size = SizeOf(src.type);
  const uint64_t last_block = uint64_t{repeats - 1} * dst.repeat_stride + uint64_t{kPerRepeat - 1} * dst.block_stride;
  core.CheckOperand(src.view, uint64_t{repeats} * kPerRepeat * size, Access::kRead, {"Brcb", "src", here});
  core.CheckOperand(dst.view, (last_block + 1) * kBlockBytes, Access::kWrite, {"Brcb", "dst", here});
  const uint8_t* const src_end = src.view.data + uint64_t{repeats} * kPerRepeat * size;
  if (dst.view.data < src_end && src.view.data < dst.view.data + (last_block + 1) * kBlockBytes) {
    Fail(Rule::kOverlap, here, "Brcb: argument 'dst' overlaps 'src', expected disjoint memory");
  }
  for (uint32_t i = 0; i < repeats * kPerRepeat; ++i) {
    const uint8_t* from = src.view.data + uint64_t{i} * size;
    const uint64_t block = uint64_t{i / kPerRepeat} * dst.repeat_stride + uint64_t{i % kPerRepeat} * dst.block_stride;
    uint8_t* to = dst.view.data + block * kBlockBytes;
    for (uint32_t at = 0; at < kBlockBytes; at += size) std::memcpy(to + at, from, size);
    core.SetWritten(to, kBlockBytes, core.IsWritten(from, size));
  }
}

}  // namespace addnorm::ascendc
