// SPDX-License-Identifier: Apache-2.0
// The fuzz target: bytes to a valid call with a change or two, judged by BrokenRules and by what must hold of memory and executors.
#ifndef ADDNORM_DOORS_ACLNN_FUZZ_FUZZ_OPS_H_
#define ADDNORM_DOORS_ACLNN_FUZZ_FUZZ_OPS_H_

#include <cstddef>
#include <cstdint>
#include <string>

namespace addnorm::aclnn_test {

struct Finding {
  bool found = false;
  bool valid = false;  // the call was one that has to succeed
  std::string text;
};

// The first byte chooses the operator (modulo 6, in the order of kAllOps).
Finding RunOne(const uint8_t* data, size_t size);

}  // namespace addnorm::aclnn_test
#endif  // ADDNORM_DOORS_ACLNN_FUZZ_FUZZ_OPS_H_
