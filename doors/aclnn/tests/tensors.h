// SPDX-License-Identifier: Apache-2.0
// Tensors and arrays for the tests of this door: exact-size memory, any view of it, and the handle for it.
#ifndef ADDNORM_DOORS_ACLNN_TESTS_TENSORS_H_
#define ADDNORM_DOORS_ACLNN_TESTS_TENSORS_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "acl/acl.h"
#include "aclnn/acl_meta.h"
#include "addnorm/types.h"

namespace addnorm::aclnn_test {

using Dims = std::vector<int64_t>;

inline int64_t Product(const Dims& dims) {
  int64_t product = 1;
  for (const int64_t n : dims) {
    if (n == 0) return 0;
  }
  for (const int64_t n : dims) product *= n;
  return product;
}

inline Dims Contiguous(const Dims& shape) {
  Dims strides(shape.size());
  int64_t next = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    strides[i] = next;
    if (shape[i] > 1 && __builtin_mul_overflow(next, shape[i], &next)) next = 0;  // an empty tensor of huge sizes
  }
  return strides;
}

inline size_t BytesOf(aclDataType type) {
  if (type == ACL_INT8) return 1;
  if (type == ACL_DOUBLE || type == ACL_INT64 || type == ACL_UINT64) return 8;
  return type == ACL_FLOAT || type == ACL_INT32 ? 4 : 2;
}
inline DType CoreType(aclDataType type) {
  switch (static_cast<int>(type)) {
    case ACL_FLOAT16:
      return DType::kF16;
    case ACL_BF16:
      return DType::kBF16;
    case ACL_INT8:
      return DType::kI8;
    case ACL_INT32:
      return DType::kI32;
    case ACL_INT64:
      return DType::kI64;
    case ACL_UINT64:
      return DType::kU64;
    default:
      return DType::kF32;
  }
}

// One aclTensor and what it describes. Every field may be changed until Handle() is called; memory is made then unless it was given.
struct TestTensor {
  aclDataType type = ACL_FLOAT;
  Dims shape, strides;
  int64_t offset = 0;
  aclFormat format = ACL_FORMAT_ND;
  Dims storage;          // sizes told to aclCreateTensor
  bool null = false;     // the handle is null
  bool no_data = false;  // the address is null
  size_t misalign = 0;   // bytes
  std::shared_ptr<std::vector<std::byte>> memory;
  size_t memory_begin = 0;  // bytes from the start of `memory`

  TestTensor() { null = true; }
  TestTensor(aclDataType t, Dims s) : type(t), shape(std::move(s)), strides(Contiguous(shape)) {}
  TestTensor(const TestTensor& other) { *this = other; }
  TestTensor& operator=(const TestTensor& other) {
    Drop();
    type = other.type, shape = other.shape, strides = other.strides, offset = other.offset, format = other.format, storage = other.storage;
    null = other.null, no_data = other.no_data, misalign = other.misalign, memory = other.memory, memory_begin = other.memory_begin;
    return *this;
  }
  ~TestTensor() { Drop(); }

  // Elements from the start of the storage to the last one of the view.
  int64_t Span() const {
    int64_t last = offset;
    if (Product(shape) == 0) return offset;
    for (size_t i = 0; i < shape.size(); ++i) last += (shape[i] - 1) * strides[i];
    return last + 1;
  }
  TestTensor& Strided(Dims s) { return strides = std::move(s), *this; }
  // Memory of exactly the span, unless there is some.
  void Allocate() {
    if (memory == nullptr) memory = std::make_shared<std::vector<std::byte>>(static_cast<size_t>(Span()) * BytesOf(type) + misalign);
    if (storage.empty()) storage = {Span()};
  }
  std::byte* Address() {
    Allocate();
    return no_data ? nullptr : memory->data() + memory_begin + misalign;
  }
  aclTensor* Handle() {
    if (null) return nullptr;
    if (handle_ == nullptr) {
      handle_ =
          aclCreateTensor(shape.data(), shape.size(), type, strides.data(), offset, format, storage.data(), storage.size(), Address());
    }
    return handle_;
  }
  void Drop() {
    if (handle_ != nullptr) aclDestroyTensor(handle_);
    handle_ = nullptr;
  }
  TensorView View() {
    if (null) return {};
    return {Address() + offset * static_cast<int64_t>(BytesOf(type)),
            CoreType(type),
            {shape.data(), shape.size()},
            {strides.data(), strides.size()}};
  }

 private:
  aclTensor* handle_ = nullptr;
};

struct IntArrayHandle {
  explicit IntArrayHandle(const Dims& values) : handle(aclCreateIntArray(values.data(), values.size())) {}
  ~IntArrayHandle() { aclDestroyIntArray(handle); }
  IntArrayHandle(const IntArrayHandle&) = delete;
  aclIntArray* handle;
};

struct BoolArrayHandle {
  explicit BoolArrayHandle(const std::vector<bool>& values) {
    const auto plain = std::make_unique<bool[]>(values.size());
    for (size_t i = 0; i < values.size(); ++i) plain[i] = values[i];
    handle = aclCreateBoolArray(plain.get(), values.size());
  }
  ~BoolArrayHandle() { aclDestroyBoolArray(handle); }
  BoolArrayHandle(const BoolArrayHandle&) = delete;
  aclBoolArray* handle;
};

inline std::string RecentText() {
  const char* text = aclGetRecentErrMsg();
  return text == nullptr ? "" : text;
}

}  // namespace addnorm::aclnn_test
#endif  // ADDNORM_DOORS_ACLNN_TESTS_TENSORS_H_
