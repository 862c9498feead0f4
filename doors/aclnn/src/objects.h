// SPDX-License-Identifier: Apache-2.0
// What the handles of tensors and arrays stand for.
#ifndef ADDNORM_DOORS_ACLNN_OBJECTS_H_
#define ADDNORM_DOORS_ACLNN_OBJECTS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "aclnn/acl_meta.h"
#include "doors/aclnn/src/handles.h"

namespace addnorm::aclnn {

inline constexpr uint64_t kMaxCreatedRank = 32;  // what an aclTensor can hold; operators take 8
inline constexpr int kMaxRank = 8;

struct Tensor {
  static constexpr Kind kKind = Kind::kTensor;
  std::atomic<aclDataType> dtype{ACL_DT_UNDEFINED};  // one operator changes it
  aclFormat format = ACL_FORMAT_UNDEFINED;
  uint32_t rank = 0, storage_rank = 0;
  int64_t offset = 0;
  void* data = nullptr;
  int64_t shape[kMaxCreatedRank], strides[kMaxCreatedRank], storage[kMaxCreatedRank];
};

// The values follow the struct in memory.
template <class Value, Kind kind>
struct Array {
  static constexpr Kind kKind = kind;
  uint64_t size;
  Value* values() { return reinterpret_cast<Value*>(this + 1); }
};
using IntArray = Array<int64_t, Kind::kIntArray>;
using FloatArray = Array<float, Kind::kFloatArray>;
using BoolArray = Array<bool, Kind::kBoolArray>;
using TensorList = Array<const aclTensor*, Kind::kTensorList>;

// "FLOAT16", ...; "an unknown type (77)" goes through `buffer`.
const char* NameOf(aclDataType dtype, char (&buffer)[32]) noexcept;

}  // namespace addnorm::aclnn
#endif  // ADDNORM_DOORS_ACLNN_OBJECTS_H_
