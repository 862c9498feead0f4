// SPDX-License-Identifier: Apache-2.0
// Every rule of the tensor-parallel operators with a call that breaks it and the nearest one that does not.
#ifndef ADDNORM_DOORS_ACLNN_TESTS_PARALLEL_RULES_H_
#define ADDNORM_DOORS_ACLNN_TESTS_PARALLEL_RULES_H_

#include <functional>
#include <string>
#include <vector>

#include "doors/aclnn/tests/parallel_calls.h"

namespace addnorm::aclnn_test {

struct ParallelRuleCase {
  ParallelOp op;
  const char* rule;      // "161002-9": status and number
  const char* argument;  // as the text names it
  std::string got, expected;
  std::function<void(ParallelCall&)> bad, good;  // applied to MakeParallelCall(op, {}, ACL_FLOAT16, a group of one rank)
};

std::vector<ParallelRuleCase> ParallelRuleCases();

}  // namespace addnorm::aclnn_test
#endif  // ADDNORM_DOORS_ACLNN_TESTS_PARALLEL_RULES_H_
