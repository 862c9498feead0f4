// SPDX-License-Identifier: Apache-2.0
// Which rules a call of a tensor-parallel operator breaks, written from docs/aclnn.md without a look at the door.
#ifndef ADDNORM_DOORS_ACLNN_FUZZ_PARALLEL_VALIDITY_H_
#define ADDNORM_DOORS_ACLNN_FUZZ_PARALLEL_VALIDITY_H_

#include <set>
#include <string>

#include "doors/aclnn/tests/parallel_calls.h"

namespace addnorm::aclnn_test {

// "161002-9", ...; `group_rule`: what is wrong with the call's group, empty if nothing is.
std::set<std::string> BrokenParallelRules(const ParallelCall& call, const std::string& group_rule);

}  // namespace addnorm::aclnn_test
#endif  // ADDNORM_DOORS_ACLNN_FUZZ_PARALLEL_VALIDITY_H_
