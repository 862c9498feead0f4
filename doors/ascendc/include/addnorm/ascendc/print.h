// SPDX-License-Identifier: Apache-2.0
// What kernels print and assert with while they are debugged: on the host, stdout and <cassert>.
#ifndef ADDNORM_ASCENDC_PRINT_H_
#define ADDNORM_ASCENDC_PRINT_H_

#include <cassert>
#include <cstdarg>
#include <cstdio>

#include "addnorm/ascendc/memory.h"

namespace AscendC {

// The same function, not a second one: with `using namespace AscendC`, a plain printf stays unambiguous.
using ::printf;

__attribute__((format(printf, 1, 2))) inline void PRINTF(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::vprintf(format, arguments);
  va_end(arguments);
}

/// The first `count` elements of a LocalTensor or GlobalTensor, with a number that tells calls apart.
template <typename Tensor>
void DumpTensor(const Tensor& tensor, uint32_t desc, uint32_t count, addnorm::ascendc::Here here = {}) {
  std::printf("DumpTensor: desc=%u, core=%lld, count=%u\n[", desc, static_cast<long long>(addnorm::ascendc::CurrentCore().block_index),
              count);
  for (uint32_t i = 0; i < count; ++i) std::printf(i == 0 ? "%g" : ", %g", static_cast<double>(tensor.GetValue(i, here)));
  std::printf("]\n");
}

}  // namespace AscendC

#ifndef ASSERT
#define ASSERT(...) assert((__VA_ARGS__))
#endif

#endif  // ADDNORM_ASCENDC_PRINT_H_
