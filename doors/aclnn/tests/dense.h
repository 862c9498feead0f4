// SPDX-License-Identifier: Apache-2.0
// A test tensor's elements one by one: contiguous copies, and what lies between the elements.
#ifndef ADDNORM_DOORS_ACLNN_TESTS_DENSE_H_
#define ADDNORM_DOORS_ACLNN_TESTS_DENSE_H_

#include <cstring>
#include <utility>
#include <vector>

#include "doors/aclnn/tests/tensors.h"

namespace addnorm::aclnn_test {

// Calls visit(i, address of the i-th element in row-major order).
template <class Visit>
void ForEachElement(TestTensor& t, Visit visit) {
  const int64_t count = Product(t.shape);
  for (int64_t i = 0; i < count; ++i) {
    int64_t rest = i, at = t.offset;
    for (size_t d = t.shape.size(); d-- > 0; rest /= t.shape[d]) at += rest % t.shape[d] * t.strides[d];
    visit(static_cast<size_t>(i), t.Address() + at * static_cast<int64_t>(BytesOf(t.type)));
  }
}

// A contiguous, aligned copy of what the view shows, as a tensor of this shape.
inline TestTensor Dense(TestTensor& t, Dims shape) {
  TestTensor dense(t.type, std::move(shape));
  dense.Allocate();
  const size_t bytes = BytesOf(t.type);
  ForEachElement(t, [&](size_t i, const std::byte* element) { std::memcpy(dense.memory->data() + i * bytes, element, bytes); });
  return dense;
}

// The memory of the tensor with its own elements set to zero.
inline std::vector<std::byte> Outside(TestTensor& t) {
  std::vector<std::byte> bytes = *t.memory;
  ForEachElement(t,
                 [&](size_t, const std::byte* element) { std::memset(bytes.data() + (element - t.memory->data()), 0, BytesOf(t.type)); });
  return bytes;
}

}  // namespace addnorm::aclnn_test
#endif  // ADDNORM_DOORS_ACLNN_TESTS_DENSE_H_
