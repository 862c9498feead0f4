// SPDX-License-Identifier: Apache-2.0
// Phase 1: takes a call's arguments into a new executor, checks them rule by rule, and hands the executor out.
//
// Each check returns whether to go on. One that does not hold has left the text
//   <api>: rule <code>-<number>: argument '<name>' <property> is <got>, expected <what>
// and status() is <code>. The numbers are those of docs/aclnn.md.
#ifndef ADDNORM_DOORS_ACLNN_CALL_H_
#define ADDNORM_DOORS_ACLNN_CALL_H_

#include <cstdint>
#include <initializer_list>
#include <memory>

#include "aclnn/acl_meta.h"
#include "doors/aclnn/src/executor.h"
#include "doors/aclnn/src/message.h"

namespace addnorm::aclnn {

// Rules that all operators share.
enum CommonRule : int {
  kRuleHandle = 20,    // 161002: not a live object of its type
  kRuleSizes = 21,     // shape code: negative sizes, or more than 2^46 elements
  kRuleStrides = 22,   // 161002: a negative stride or offset
  kRuleStorage = 23,   // 161002: a view that leaves its storage
  kRuleSelf = 24,      // 161002: an output that overlaps itself
  kRuleOverlap = 25,   // 161002: an output that overlaps another operand
  kRuleEps = 26,       // 161002: eps negative or not finite
  kRuleFormat = 27,    // 161002: a format that is no plain layout (generated operators)
  kRuleCreation = 28,  // 161002: a null optional argument after a creation that failed
};

// A shape to compare with, and what it is called in messages.
struct Expected {
  const int64_t* dims;
  int count;
  const char* what;
};

class Call {
 public:
  // shape_code: what faults of shape give, 161002 or 561002.
  Call(const char* api, aclnnStatus shape_code, uint64_t* workspace_size, aclOpExecutor** executor) noexcept
      : api_(api),
        shape_code_(shape_code),
        workspace_size_(workspace_size),
        executor_out_(executor),
        failed_creation_(TakeFailedCreation()) {}

  aclnnStatus status() const { return status_; }
  Executor& executor() { return *executor_; }
  Operand& operator[](int slot) { return executor_->operands[slot]; }

  // Records a refusal; false, unless a test has switched this rule off.
  bool Refuse(aclnnStatus code, int rule, const char* format, ...) noexcept __attribute__((format(printf, 4, 5)));

  bool NotNull(int rule, const char* name, const void* pointer) noexcept;
  // workspaceSize and executor are not null, and there is memory.
  bool Begin(int rule) noexcept;
  // `optional`: the tensors that may be null. If one is, and a tensor could not be created since this thread's last phase 1, that is no
  // accident.
  struct Optional {
    const char* name;
    const aclTensor* handle;
  };
  bool NoFailedCreation(std::initializer_list<Optional> optional) noexcept;
  // Copies what a handle stands for; null leaves the operand absent.
  bool Take(int slot, const char* name, const aclTensor* handle, Role role, bool output) noexcept;
  bool TakeDims(const char* name, const aclIntArray* handle, int rule, int64_t (&dims)[kMaxRank], int* count) noexcept;
  bool TakeMask(const char* name, const aclBoolArray* handle, int rule, bool (&mask)[3]) noexcept;

  // These ignore absent operands.
  bool Type(int rule, int slot) noexcept;  // FLOAT, FLOAT16 or BFLOAT16
  bool Type(int rule, int slot, aclDataType expected, const char* whose, bool or_float = false) noexcept;
  bool PlainFormat(int slot) noexcept;
  bool Rank(aclnnStatus code, int rule, int slot, int min, int max) noexcept;
  bool Sizes(int slot) noexcept;
  bool Shape(aclnnStatus code, int rule, int slot, const Expected& expected) noexcept;
  // [A.., 1..], or [A..] too if `short_form`, of an operand whose leading and trailing dimensions are given.
  bool StatShape(int rule, int slot, const Expected& full, int normalized_rank, bool short_form) noexcept;
  bool Count(int rule, int slot, int64_t expected, const char* what) noexcept;
  // rows and cols from the operand's shape.
  bool Split(int slot, int normalized_rank) noexcept;
  bool Eps(const char* name, double eps) noexcept;
  // Strides, storage and overlaps of everything that is used; then plans and gives the executor out.
  aclnnStatus Finish(addnorm::Status (*make_plan)(const Executor&, Plan*)) noexcept;

  Expected ShapeOf(int slot, const char* what) { return {(*this)[slot].view.shape, (*this)[slot].view.rank, what}; }

 private:
  bool Memory(const Operand& operand) noexcept;

  const char* api_;
  aclnnStatus shape_code_, status_ = ACLNN_SUCCESS;
  uint64_t* workspace_size_;
  aclOpExecutor** executor_out_;
  const char* failed_creation_;  // why; null if none failed
  std::unique_ptr<Executor> executor_;
};

#ifdef ADDNORM_ACLNN_SEEDED_FAULTS
// Test builds: the rule of this code and number is not enforced. Shows that the tests notice.
extern aclnnStatus seeded_code;
extern int seeded_rule;
#endif

}  // namespace addnorm::aclnn
#endif  // ADDNORM_DOORS_ACLNN_CALL_H_
