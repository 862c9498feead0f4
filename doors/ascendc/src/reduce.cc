// SPDX-License-Identifier: Apache-2.0
// Reductions of a vector, and Brcb.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

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
uint64_t WorkBytes(const ReduceCall& call, const Lanes& lanes, uint32_t per_repeat) {
  const uint64_t repeats = lanes.kind == Lanes::Kind::kCount ? (uint64_t{lanes.count} + per_repeat - 1) / per_repeat : lanes.repeats;
  const uint64_t partials = call.result == Result::kValue ? repeats : 2 * repeats;
  return (partials * SizeOf(call.src.type) + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
}

struct Range {
  const char* name;
  const uint8_t* data;
  uint64_t bytes;
};

// Three places that may be one and the same, or apart.
void CheckApart(const char* api, const Range& a, const Range& b, Here here) {
  if (a.data == b.data || a.data + a.bytes <= b.data || b.data + b.bytes <= a.data) return;
  Fail(Rule::kOverlap, here, "%s: argument '%s' overlaps '%s' by a part, expected the same start or disjoint memory", api, a.name, b.name);
}

// The work tensor of a reduction over everything. It holds partial results afterwards.
void UseWork(const ReduceCall& call, const Lanes& lanes, uint32_t per_repeat, Here here) {
  Core& core = Core::Current();
  const uint64_t need = WorkBytes(call, lanes, per_repeat);
  const Use use{call.api, "work", here};
  core.CheckOperand(call.work, 0, Access::kWrite, use);
  if (call.work.bytes < need) {
    Fail(Rule::kTmpSize, here, "%s: argument 'work' is %u bytes, expected at least %llu", call.api, call.work.bytes,
         static_cast<unsigned long long>(need));
  }
  core.CheckOperand(call.work, need, Access::kWrite, use);
  core.Work(call.work, 0, need, Engine::kVector, use, Access::kWrite);
  const Range work{"work", call.work.data, need};
  const Range src{"src", call.src.view.data, ExtentOf(call.src, lanes, per_repeat)};
  const Range dst{"dst", call.dst.view.data, uint64_t{SizeOf(call.src.type)} * (call.result == Result::kValue ? 1 : 2)};
  CheckApart(call.api, dst, src, here);
  CheckApart(call.api, work, src, here);
  CheckApart(call.api, dst, work, here);
}

// Where the result of a group goes, in bytes from the start of dst.
uint64_t PlaceOf(const ReduceCall& call, uint32_t group, uint32_t blocks, uint32_t result_bytes) {
  if (call.groups == Groups::kAll) return 0;
  if (call.groups == Groups::kPerRepeat) return uint64_t{group} * call.dst.repeat_stride * result_bytes;
  return (uint64_t{group / blocks} * call.dst.repeat_stride * blocks + group % blocks) * result_bytes;
}

// Results of one repeat that lie on what a later repeat reads.
void CheckResults(const ReduceCall& call, const Lanes& lanes, uint32_t per_repeat, uint32_t blocks, uint32_t result_bytes, Here here) {
  const uint32_t size = SizeOf(call.src.type);
  const uint32_t last = lanes.repeats * (call.groups == Groups::kPerBlock ? blocks : 1) - 1;
  const uint8_t* const dst_end = call.dst.view.data + PlaceOf(call, last, blocks, result_bytes) + result_bytes;
  const uint8_t* const src_end = call.src.view.data + ExtentOf(call.src, lanes, per_repeat);
  if (dst_end <= call.src.view.data || src_end <= call.dst.view.data) return;
  ForEach(lanes, per_repeat, [&](uint32_t repeat, uint32_t lane) {
    const uint8_t* const read = call.src.view.data + OffsetOf(call.src, lanes, repeat, lane);
    const uint32_t groups = call.groups == Groups::kPerBlock ? repeat * blocks : repeat;  // of the repeats before
    for (uint32_t group = 0; group < groups; ++group) {
      const uint8_t* const stored = call.dst.view.data + PlaceOf(call, group, blocks, result_bytes);
      if (stored + result_bytes <= read || read + size <= stored) continue;
      Fail(Rule::kOverlap, here,
           "%s: argument 'dst' overlaps a source that a later repeat reads, expected the same start or disjoint memory", call.api);
    }
  });
}

// The result of `group` at `place`: value, index or both.
void StoreResult(const ReduceCall& call, const Group& group, uint64_t place) {
  const Type type = call.src.type;
  const uint32_t size = SizeOf(type);
  uint8_t* const out = call.dst.view.data + place;
  const bool pair = call.result == Result::kValueIndex || call.result == Result::kIndexValue;
  if (call.result != Result::kIndex) {
    StoreElement(type, out + (call.result == Result::kIndexValue ? size : 0),
                 call.reduction == Reduction::kSum ? static_cast<long double>(group.sum) : group.best);
  }
  if (call.result != Result::kValue) StoreIndex(type, out + (call.result == Result::kValueIndex ? size : 0), group.position);
  Core::Current().SetWritten(out, pair ? 2 * size : size);
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
  const Lanes lanes = TakeLanes(call.lanes, per_repeat, call.api, here);
  if (call.src.repeat_stride > 65535 || call.src.block_stride > 65535 || call.dst.repeat_stride > 65535) {
    Fail(Rule::kParameter, here, "%s: argument 'stride' is negative or above 65535, expected 0 to 65535", call.api);
  }
  const Use source{call.api, "src", here};
  core.CheckOperand(call.src.view, ExtentOf(call.src, lanes, per_repeat), Access::kRead, source);
  Work(call.src, lanes, per_repeat, Access::kRead, source);
  const uint32_t blocks = per_repeat / per_block;
  const uint32_t result_bytes = call.result == Result::kValue || call.result == Result::kIndex ? size : 2 * size;
  if (call.groups == Groups::kAll) {
    UseWork(call, lanes, per_repeat, here);
  } else {
    CheckResults(call, lanes, per_repeat, blocks, result_bytes, here);
  }

  const uint32_t groups = call.groups == Groups::kAll ? 1 : lanes.repeats * (call.groups == Groups::kPerBlock ? blocks : 1);
  std::vector<Group> results(groups);
  uint64_t position = 0;
  ForEach(lanes, per_repeat, [&](uint32_t repeat, uint32_t lane) {
    const uint64_t offset = OffsetOf(call.src, lanes, repeat, lane);
    core.RequireWritten(call.src.view, offset, size, source);
    const uint32_t group = call.groups == Groups::kAll         ? 0
                           : call.groups == Groups::kPerRepeat ? repeat
                                                               : repeat * blocks + lane / per_block;
    Take(&results[group], call.reduction, Load(type, call.src.view.data + offset), call.groups == Groups::kPerRepeat ? lane : position++);
  });
  if (call.groups == Groups::kAll) {
    core.MemoryOf(call.work.data).Forget(call.work.data, WorkBytes(call, lanes, per_repeat));
  }
  for (uint32_t group = 0; group < groups; ++group) {
    if (results[group].count == 0) continue;
    const uint64_t place = PlaceOf(call, group, blocks, result_bytes);
    const Use use{call.api, "dst", here};
    core.CheckOperand(call.dst.view, place + result_bytes, Access::kWrite, use, size);
    core.Work(call.dst.view, place, result_bytes, Engine::kVector, use, Access::kWrite);
    StoreResult(call, results[group], place);
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
  core.Work(src.view, 0, uint64_t{repeats} * kPerRepeat * size, Engine::kVector, {"Brcb", "src", here}, Access::kRead);
  const uint8_t* const src_end = src.view.data + uint64_t{repeats} * kPerRepeat * size;
  if (dst.view.data < src_end && src.view.data < dst.view.data + (last_block + 1) * kBlockBytes) {
    Fail(Rule::kOverlap, here, "Brcb: argument 'dst' overlaps 'src', expected disjoint memory");
  }
  for (uint32_t i = 0; i < repeats * kPerRepeat; ++i) {
    const uint8_t* from = src.view.data + uint64_t{i} * size;
    const uint64_t block = uint64_t{i / kPerRepeat} * dst.repeat_stride + uint64_t{i % kPerRepeat} * dst.block_stride;
    core.Work(dst.view, block * kBlockBytes, kBlockBytes, Engine::kVector, {"Brcb", "dst", here}, Access::kWrite);
    uint8_t* to = dst.view.data + block * kBlockBytes;
    for (uint32_t at = 0; at < kBlockBytes; at += size) std::memcpy(to + at, from, size);
    core.SetWritten(to, kBlockBytes, core.IsWritten(from, size));
  }
}

}  // namespace addnorm::ascendc
