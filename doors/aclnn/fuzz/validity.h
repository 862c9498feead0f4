// SPDX-License-Identifier: Apache-2.0
// Which statuses a phase 1 may give, worked out from docs/aclnn.md alone. Shares no code with the door.
#ifndef ADDNORM_DOORS_ACLNN_FUZZ_VALIDITY_H_
#define ADDNORM_DOORS_ACLNN_FUZZ_VALIDITY_H_

#include <set>

#include "doors/aclnn/tests/calls.h"

namespace addnorm::aclnn_test {

// The codes of all rules that the call breaks; empty = it has to succeed. Handles in `call.raw` are bad ones.
std::set<int> BrokenRules(OpCall& call);

}  // namespace addnorm::aclnn_test
#endif  // ADDNORM_DOORS_ACLNN_FUZZ_VALIDITY_H_
