// SPDX-License-Identifier: Apache-2.0
// A checked problem, ready to run any number of times.
#ifndef ADDNORM_PLAN_H_
#define ADDNORM_PLAN_H_

#include <cstddef>
#include <span>

#include "addnorm/types.h"

namespace addnorm {

struct ForwardProblem;
struct BackwardProblem;

/// Made by MakePlan. Copyable; owns no memory: the tensors' data must live until Run returns, their shape arrays need not.
class ADDNORM_API Plan {
 public:
  Plan() = default;

  /// Bytes that Run needs with this executor; 0 for most forwards. Any smaller workspace is refused.
  size_t workspace_bytes(const Executor& executor) const;
  /// Computes. `workspace` may have any alignment and content. Allocates nothing. kBadValue if it is too small.
  Status Run(std::span<std::byte> workspace, const Executor& executor) const;

 private:
  friend Status MakePlan(const ForwardProblem&, Plan*);
  friend Status MakePlan(const BackwardProblem&, Plan*);
  enum class Kind : unsigned char { kEmpty, kForward, kBackward };
  alignas(16) std::byte args_[1024] = {};
  const void* target_ = nullptr;
  const char* api_ = "addnorm::Plan";
  Kind kind_ = Kind::kEmpty;
};

}  // namespace addnorm
#endif  // ADDNORM_PLAN_H_
