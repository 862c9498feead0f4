// SPDX-License-Identifier: Apache-2.0
// What kernels print and assert with while they are debugged: on the host, stdout and <cassert>.
#ifndef ADDNORM_ASCENDC_PRINT_H_
#define ADDNORM_ASCENDC_PRINT_H_

#include <cassert>
#include <cstdarg>
#include <cstdio>

namespace AscendC {

// The same function, not a second one: with `using namespace AscendC`, a plain printf stays unambiguous.
using ::printf;

__attribute__((format(printf, 1, 2))) inline void PRINTF(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::vprintf(format, arguments);
  va_end(arguments);
}

}  // namespace AscendC

#ifndef ASSERT
#define ASSERT(...) assert((__VA_ARGS__))
#endif

#endif  // ADDNORM_ASCENDC_PRINT_H_
