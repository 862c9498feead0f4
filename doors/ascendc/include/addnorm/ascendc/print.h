// SPDX-License-Identifier: Apache-2.0
// What kernels print and assert with while they are debugged: on the host, stdout and <cassert>.
#ifndef ADDNORM_ASCENDC_PRINT_H_
#define ADDNORM_ASCENDC_PRINT_H_

#include <cassert>
#include <cstdarg>
#include <cstdio>

#include "addnorm/ascendc/tensor.h"

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

namespace addnorm::ascendc::internal {
template <typename T>
void DumpElement(const AscendC::GlobalTensor<T>& tensor, uint32_t i, Here here) {
  std::printf("%g", static_cast<double>(tensor.GetValue(i, here)));
}
template <typename T>
void DumpElement(const AscendC::LocalTensor<T>& tensor, uint32_t i, Here here) {
  const uint64_t offset = uint64_t{i} * sizeof(T);
  if (!IsWritten(tensor.view(), offset, sizeof(T), here)) {
    std::printf("?");
    return;
  }
  T value;
  __builtin_memcpy(&value, tensor.view().data + offset, sizeof(T));
  std::printf("%g", static_cast<double>(value));
}
}  // namespace addnorm::ascendc::internal

namespace AscendC {

/// The first `count` elements of a LocalTensor or GlobalTensor, with a number that tells calls apart; "?" for what nobody wrote.
template <typename Tensor>
void DumpTensor(const Tensor& tensor, uint32_t desc, uint32_t count, addnorm::ascendc::Here here = {}) {
  std::printf("DumpTensor: desc=%u, core=%lld, count=%u\n[", desc, static_cast<long long>(addnorm::ascendc::CurrentCore().block_index),
              count);
  for (uint32_t i = 0; i < count; ++i) {
    if (i != 0) std::printf(", ");
    addnorm::ascendc::internal::DumpElement(tensor, i, here);
  }
  std::printf("]\n");
}

}  // namespace AscendC

#ifndef ASSERT
#define ASSERT(...) assert((__VA_ARGS__))
#endif

#endif  // ADDNORM_ASCENDC_PRINT_H_
