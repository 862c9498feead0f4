// SPDX-License-Identifier: Apache-2.0
// What an aclOpExecutor stands for: a checked call, planned by phase 1 and run by phase 2.
//
// Every operand becomes a problem of [rows, cols] for the core. A view that the core can walk is given to it as it is; any other is staged:
// gathered into the workspace before the core runs, or scattered from it afterwards.
//   workspace = (up to 63 bytes of alignment) | staged operands, 64-byte aligned | the core's own workspace
#ifndef ADDNORM_DOORS_ACLNN_EXECUTOR_H_
#define ADDNORM_DOORS_ACLNN_EXECUTOR_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "addnorm/addnorm.h"
#include "doors/aclnn/src/stream.h"
#include "doors/aclnn/src/view.h"

namespace addnorm::aclnn {

enum class Role : uint8_t {
  kNone,  // absent, or checked only
  kRows,  // [A.., R..]
  kCols,  // [R..]
  kStat,  // [A..]
};

struct Operand {
  const char* name = nullptr;
  bool present = false, output = false;
  bool staged = false;
  Role role = Role::kNone;
  aclDataType acl_dtype = ACL_DT_UNDEFINED;
  aclFormat format = ACL_FORMAT_UNDEFINED;
  int created_rank = 0;  // may exceed kMaxRank; view.rank does not
  int64_t storage = -1;  // elements behind the address; -1 = not known
  int64_t offset = 0;
  std::byte* address = nullptr;  // the tensor's storage, as given; view.data = address + offset
  View view;
  DType dtype = DType::kF32;
  size_t stage_offset = 0;
  static constexpr int kAnyInput = -1;
  int may_be = kAnyInput;  // outputs: the input whose memory exactly this one may be; its own slot = none
  // What the core sees.
  int64_t core_shape[2], core_strides[2];
  int core_rank = 0;
  std::byte* core_data = nullptr;

  bool used() const { return present && role != Role::kNone; }
  // Only what is used has an offset that was checked.
  void Locate() { view.data = !used() || address == nullptr ? nullptr : address + offset * view.element_bytes; }
  TensorView Core() const;  // absent if not used
};

struct Rank;  // ranks.h

struct Executor : Work {
  static constexpr Kind kKind = Kind::kExecutor;
  static constexpr int kMaxOperands = 12;
  enum State : int { kIdle, kRunning };

  std::atomic<int> state{kIdle};
  std::atomic<bool> repeatable{false};
  const char* api = nullptr;  // also tells the operators apart: each has one string
  int count = 0;
  Operand operands[kMaxOperands];
  int64_t rows = 0, cols = 0;
  int normalized_rank = 1;
  double eps = 0;
  // Fills the core's problem from the operands. Null: there is nothing to compute.
  addnorm::Status (*make_plan)(const Executor&, Plan*) = nullptr;
  // A collective computes by this in place of a plan, with the other ranks' streams, in memory of its own: no workspace.
  aclnnStatus (*run_collective)(Executor&) noexcept = nullptr;
  std::shared_ptr<Rank> rank;
  int64_t antiquant_group_size = 0;
  // For cols = 0: what the statistics of nothing are. Only outputs of Role::kStat are written then.
  bool fill_stats = false;
  float mean_fill = 0;
  int mean_slot = -1;
  uint64_t stage_bytes = 0, workspace_bytes = 0;
  Plan plan;
  bool planned = false;            // `plan` holds for the addresses of the operands and for planned_stage
  bool addresses_changed = false;  // since they were last checked
  std::byte* planned_stage = nullptr;
  std::byte* workspace = nullptr;
  uint64_t workspace_given = 0;

  const Operand& operator[](int slot) const { return operands[slot]; }
  // Whether phase 2 reads or writes an element of the operand. What it does not touch needs no memory.
  bool Touches(const Operand& operand) const;
};

// Decides what is staged, lays the workspace out and makes the core's plan. The text of what the core refuses.
addnorm::Status PlanExecutor(Executor* executor) noexcept;

// An output and another operand that share memory where they may not, or of which that cannot be told.
struct Clash {
  Sharing sharing = Sharing::kNone;
  const Operand *output = nullptr, *other = nullptr;
  explicit operator bool() const { return sharing != Sharing::kNone; }
  const char* or_whose() const { return output->may_be == Operand::kAnyInput ? " or exactly an input's" : " (y: or exactly residual's)"; }
  const char* verb() const { return sharing == Sharing::kSome ? "is shared" : "may be shared (the strides are too irregular to tell)"; }
};
Clash FindClash(const Executor& executor) noexcept;

// Describes the operands again after their addresses changed. The one that would now have to be staged and is not; null if all is well.
const Operand* RedescribeOperands(Executor* executor) noexcept;

// Phase 2 of the operator `api`.
aclnnStatus RunPhase2(const char* api, void* workspace, uint64_t workspace_size, aclOpExecutor* handle, aclrtStream stream) noexcept;

}  // namespace addnorm::aclnn
#endif  // ADDNORM_DOORS_ACLNN_EXECUTOR_H_
