// SPDX-License-Identifier: Apache-2.0
// The target as libFuzzer wants it. A finding ends the process, so that the input is kept.
#include <cstdio>
#include <cstdlib>

#include "doors/aclnn/fuzz/fuzz_ops.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const addnorm::aclnn_test::Finding finding = addnorm::aclnn_test::RunOne(data, size);
  if (finding.found) {
    std::fprintf(stderr, "%s\n", finding.text.c_str());
    std::abort();
  }
  return 0;
}
