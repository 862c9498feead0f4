// SPDX-License-Identifier: Apache-2.0
// From operands to the core's plan: what is given as it is, what is staged, and where.
#include "doors/aclnn/src/executor.h"

namespace addnorm::aclnn {
namespace {

constexpr uint64_t kAlign = 64;

// Addresses that are not known yet when phase 1 plans: apart from each other and from all memory, and never dereferenced.
std::byte* Placeholder(uint64_t region, uint64_t offset) {
  return reinterpret_cast<std::byte*>((uint64_t{1} << 56) + (region << 51) + offset);  // NOLINT(performance-no-int-to-ptr)
}

bool IsAligned(const Operand& o) { return reinterpret_cast<uintptr_t>(o.view.data) % static_cast<uintptr_t>(o.view.element_bytes) == 0; }

// Describes the operand for the core without a copy; false if the core has no such view.
bool DescribeInPlace(const Executor& e, Operand* o) {
  const View& v = o->view;
  if (!IsAligned(*o)) return false;
  const int split = o->role == Role::kRows ? v.rank - e.normalized_rank : o->role == Role::kStat ? v.rank : 0;
  const Folded rows = Fold(v.shape, v.strides, split), cols = Fold(v.shape + split, v.strides + split, v.rank - split);
  if (rows.rank > 1 || cols.rank > 1 || (cols.rank == 1 && cols.strides[0] != 1)) return false;
  o->core_rank = 0;
  if (o->role != Role::kCols) {
    o->core_shape[0] = e.rows;
    o->core_strides[o->core_rank++] = rows.rank == 1 ? rows.strides[0] : o->role == Role::kRows ? e.cols : 1;
  }
  if (o->role != Role::kStat) {
    o->core_shape[o->core_rank] = e.cols;
    o->core_strides[o->core_rank++] = 1;
  }
  o->core_data = v.data;
  return true;
}

void DescribeStaged(const Executor& e, Operand* o, std::byte* stage) {
  o->core_rank = 0;
  if (o->role != Role::kCols) {
    o->core_shape[0] = e.rows;
    o->core_strides[o->core_rank++] = o->role == Role::kRows ? e.cols : 1;
  }
  if (o->role != Role::kStat) {
    o->core_shape[o->core_rank] = e.cols;
    o->core_strides[o->core_rank++] = 1;
  }
  o->core_data = stage + o->stage_offset;
}

bool IsExact(const Operand& a, const Operand& b) { return a.acl_dtype == b.acl_dtype && SameMemory(a.view, b.view); }

// Whether the core sees that two operands, both described in place, have no byte in common. Phase 1 has found out whether they have; the
// core looks at their ranges, and at rows of one stride, which lie side by side in one buffer.
bool CoreSeesApart(const Operand& a, const Operand& b) {
  if (!RangesMeet(a.view, b.view)) return true;
  return a.role != Role::kCols && b.role != Role::kCols &&
         a.core_strides[0] * a.view.element_bytes == b.core_strides[0] * b.view.element_bytes &&
         Intersect(a.view, b.view) == Sharing::kNone;
}

// The core writes a whole tensor over itself, and nothing else over an input: other exact matches, and outputs of which the core cannot
// see that they are apart, go through the workspace. What is staged is out of the core's sight, and out of its way.
bool MustStage(const Executor& e, const Operand& output) {
  for (int i = 0; i < e.count; ++i) {
    const Operand& other = e[i];
    if (&other == &output || !e.Touches(other) || other.staged || CoreSeesApart(output, other)) continue;
    if (other.output || output.role != Role::kRows || other.role != Role::kRows || !IsExact(output, other)) return true;
  }
  return false;
}

}  // namespace

TensorView Operand::Core() const {
  if (!used()) return {};
  const auto rank = static_cast<size_t>(core_rank);
  return {core_data, dtype, {core_shape, rank}, {core_strides, rank}};
}

bool Executor::Touches(const Operand& o) const {
  if (!o.used() || CountElements(o.view.shape, o.view.rank) == 0) return false;
  if (run_collective != nullptr) return true;
  if (make_plan == nullptr) return fill_stats && o.output && o.role == Role::kStat;
  return o.output || rows != 0;
}

Clash FindClash(const Executor& e) noexcept {
  for (int i = 0; i < e.count; ++i) {
    if (!e[i].output || !e[i].used() || e[i].address == nullptr) continue;
    for (int j = 0; j < e.count; ++j) {
      if (j == i || !e[j].used() || e[j].address == nullptr) continue;
      const Sharing sharing = Intersect(e[i].view, e[j].view);
      const bool allowed = !e[j].output && (e[i].may_be == Operand::kAnyInput || e[i].may_be == j);
      if (sharing == Sharing::kNone || (allowed && IsExact(e[i], e[j]))) continue;
      return {sharing, &e[i], &e[j]};
    }
  }
  return {};
}

const Operand* RedescribeOperands(Executor* e) noexcept {
  for (int i = 0; i < e->count; ++i) {
    Operand& o = e->operands[i];
    if (!e->Touches(o) || o.staged) continue;
    if (e->make_plan != nullptr && !DescribeInPlace(*e, &o)) return &o;
    if (e->run_collective != nullptr && !IsAligned(o)) return &o;
  }
  for (int i = 0; e->make_plan != nullptr && i < e->count; ++i) {
    const Operand& o = e->operands[i];
    if (o.output && e->Touches(o) && !o.staged && MustStage(*e, o)) return &o;
  }
  return nullptr;
}

addnorm::Status PlanExecutor(Executor* e) noexcept {
  for (int i = 0; i < e->count; ++i) {
    Operand& o = e->operands[i];
    if (!e->Touches(o) || o.address != nullptr) continue;
    e->addresses_changed = true;
    o.view.data = Placeholder(static_cast<uint64_t>(i) + 1, 0);
  }
  e->stage_bytes = e->workspace_bytes = 0;
  e->planned_stage = nullptr;
  if (e->make_plan == nullptr) return {};
  for (int i = 0; i < e->count; ++i) {
    Operand& o = e->operands[i];
    if (!e->Touches(o)) {
      if (o.used()) DescribeStaged(*e, &o, Placeholder(static_cast<uint64_t>(i) + 1, 0));
      continue;
    }
    o.staged = !DescribeInPlace(*e, &o);
  }
  for (int i = 0; i < e->count; ++i) {
    Operand& o = e->operands[i];
    if (o.output && e->Touches(o) && !o.staged) o.staged = MustStage(*e, o);
    if (!o.staged) continue;
    o.stage_offset = e->stage_bytes;
    const auto bytes = static_cast<uint64_t>(CountElements(o.view.shape, o.view.rank)) * static_cast<uint64_t>(o.view.element_bytes);
    e->stage_bytes += (bytes + kAlign - 1) / kAlign * kAlign;
  }
  for (int i = 0; i < e->count; ++i) {
    if (e->operands[i].staged) DescribeStaged(*e, &e->operands[i], Placeholder(0, 0));
  }
  e->planned = !e->addresses_changed && e->stage_bytes == 0;
  const addnorm::Status status = e->make_plan(*e, &e->plan);
  if (!status.ok()) return status;
  e->workspace_bytes = e->plan.workspace_bytes(DefaultExecutor()) + (e->stage_bytes == 0 ? 0 : e->stage_bytes + kAlign - 1);
  return status;
}

}  // namespace addnorm::aclnn
