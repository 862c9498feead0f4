// SPDX-License-Identifier: Apache-2.0
// Every rule of docs/aclnn.md with a call that breaks it and the nearest one that does not.
#ifndef ADDNORM_DOORS_ACLNN_TESTS_RULES_H_
#define ADDNORM_DOORS_ACLNN_TESTS_RULES_H_

#include <functional>
#include <string>
#include <vector>

#include "doors/aclnn/tests/calls.h"

namespace addnorm::aclnn_test {

using Change = std::function<void(OpCall&)>;

struct RuleCase {
  Op op;
  const char* rule;      // "161002-9": status and number
  const char* argument;  // as the text names it
  const char* got;       // what follows "is "
  const char* expected;  // what follows "expected "
  Change bad, good;      // applied to MakeCall(op, {2, 3}, {4, 5}, ACL_FLOAT16)
};

std::vector<RuleCase> BackwardRules();  // aclnnLayerNormBackward, aclnnAddLayerNormGrad
std::vector<RuleCase> ForwardRules();
// Those that all operators share, for each operator.
std::vector<RuleCase> CommonRules();

// Changes of one tensor.
Change Null(const char* name);
Change Type(const char* name, aclDataType type);
// Contiguous, of this shape.
Change Shape(const char* name, Dims shape);
Change Strides(const char* name, Dims strides);
Change Both(Change first, Change second);
Change Nothing();

}  // namespace addnorm::aclnn_test
#endif  // ADDNORM_DOORS_ACLNN_TESTS_RULES_H_
