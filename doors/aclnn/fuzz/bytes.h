// SPDX-License-Identifier: Apache-2.0
// Decisions out of a fuzzer's bytes; zeros when they run out.
#ifndef ADDNORM_DOORS_ACLNN_FUZZ_BYTES_H_
#define ADDNORM_DOORS_ACLNN_FUZZ_BYTES_H_

#include <cstddef>
#include <cstdint>

namespace addnorm::aclnn_test {

class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  uint32_t Next() { return at_ < size_ ? data_[at_++] : 0; }
  // In [0, n), n <= 256.
  uint32_t Below(size_t n) { return n == 0 ? 0 : Next() % static_cast<uint32_t>(n); }
  bool OneIn(uint32_t n) { return Below(n) == n - 1; }  // false once the bytes have run out
  template <class T, size_t n>
  const T& Pick(const T (&list)[n]) {
    return list[Below(n)];
  }

 private:
  const uint8_t* data_;
  size_t size_, at_ = 0;
};

}  // namespace addnorm::aclnn_test
#endif  // ADDNORM_DOORS_ACLNN_FUZZ_BYTES_H_
