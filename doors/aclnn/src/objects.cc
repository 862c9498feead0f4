// SPDX-License-Identifier: Apache-2.0
// Creation, destruction and getters of tensors and arrays.
#include "doors/aclnn/src/objects.h"

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "aclnn/aclnn_base.h"
#include "doors/aclnn/src/message.h"

namespace addnorm::aclnn {
namespace {

// Null handles are the caller's business.
template <class Object>
aclnnStatus Bad(const char* api, const char* name, const void* handle) noexcept {
  return Fail(ACLNN_ERR_PARAM_INVALID, "%s: rule 161002-20: argument '%s' is %s, expected a live %s", api, name, DescribeHandle(handle),
              NameOf(Object::kKind));
}

template <class Object>
aclnnStatus DestroyObject(const char* api, const char* name, const void* handle) noexcept {
  if (handle == nullptr) return ACLNN_SUCCESS;
  auto* object = static_cast<Object*>(RetireHandle(handle, Object::kKind));
  if (object == nullptr) return Bad<Object>(api, name, handle);
  std::free(object);
  return ACLNN_SUCCESS;
}

template <class Object, class Value>
void* CreateArray(const char* api, const Value* values, uint64_t size) noexcept {
  if (values == nullptr && size != 0) {
    Fail(ACLNN_ERR_PARAM_NULLPTR, "%s: rule 161001-1: argument 'value' is null, expected %" PRIu64 " values", api, size);
    return nullptr;
  }
  constexpr uint64_t kMaxValues = uint64_t{1} << 32;
  // NOLINTNEXTLINE(bugprone-sizeof-expression): a list holds pointers
  void* memory = size > kMaxValues ? nullptr : std::malloc(sizeof(Object) + size * sizeof(Value));
  if (memory == nullptr) {
    Fail(ACLNN_ERR_INNER, "%s: no memory for %" PRIu64 " values", api, size);
    return nullptr;
  }
  auto* array = new (memory) Object{size};
  for (uint64_t i = 0; i < size; ++i) array->values()[i] = values[i];
  void* handle = AddHandle(Object::kKind, array);
  if (handle == nullptr) {
    std::free(memory);
    Fail(ACLNN_ERR_INNER, "%s: no free handle", api);
    return nullptr;
  }
  return handle;
}

template <class Object>
aclnnStatus GetSize(const char* api, const void* handle, uint64_t* size) noexcept {
  if (handle == nullptr || size == nullptr) {
    return Fail(ACLNN_ERR_PARAM_NULLPTR, "%s: rule 161001-1: argument '%s' is null, expected a pointer", api, handle ? "size" : "array");
  }
  Pinned<Object> array(handle);
  if (!array) return Bad<Object>(api, "array", handle);
  *size = array->size;
  return ACLNN_SUCCESS;
}

// Calls get(tensor) if no pointer is null and the tensor is alive.
template <class Get>
aclnnStatus WithTensor(const char* api, const aclTensor* handle, const void* out, const char* out_name, Get get) noexcept {
  if (handle == nullptr || out == nullptr) {
    return Fail(ACLNN_ERR_PARAM_NULLPTR, "%s: rule 161001-1: argument '%s' is null, expected a pointer", api, handle ? out_name : "tensor");
  }
  Pinned<Tensor> tensor(handle);
  return tensor ? get(*tensor) : Bad<Tensor>(api, "tensor", handle);
}

aclnnStatus CopyDims(const char* api, const int64_t* from, uint32_t count, int64_t** dims, uint64_t* dims_num,
                     const char* num_name) noexcept {
  if (dims_num == nullptr) {
    return Fail(ACLNN_ERR_PARAM_NULLPTR, "%s: rule 161001-1: argument '%s' is null, expected a pointer", api, num_name);
  }
  auto* copy = new (std::nothrow) int64_t[count];
  if (copy == nullptr) return Fail(ACLNN_ERR_INNER, "%s: no memory for %" PRIu32 " values", api, count);
  for (uint32_t i = 0; i < count; ++i) copy[i] = from[i];
  *dims = copy;
  *dims_num = count;
  return ACLNN_SUCCESS;
}

bool CheckDims(const char* name, const int64_t* dims, uint64_t count) noexcept {
  if (dims == nullptr && count != 0) {
    Fail(ACLNN_ERR_PARAM_NULLPTR, "aclCreateTensor: rule 161001-1: argument '%s' is null, expected %" PRIu64 " sizes", name, count);
    return false;
  }
  if (count > kMaxCreatedRank) {
    Fail(ACLNN_ERR_PARAM_INVALID, "aclCreateTensor: rule 161002-1: argument '%sNum' is %" PRIu64 ", expected at most %" PRIu64, name, count,
         kMaxCreatedRank);
    return false;
  }
  return true;
}

void FillTensor(Tensor* t, const int64_t* dims, const int64_t* strides, const int64_t* storage) noexcept {
  for (uint32_t i = 0; i < t->rank; ++i) t->shape[i] = dims[i];
  for (uint32_t i = 0; i < t->storage_rank; ++i) t->storage[i] = storage[i];
  // Where contiguous strides overflow the tensor is empty, and any strides will do, or it has a size that the operators refuse.
  int64_t next = 1;
  for (uint32_t i = t->rank; i-- > 0;) {
    t->strides[i] = strides != nullptr ? strides[i] : next;
    if (dims[i] > 1 && __builtin_mul_overflow(next, dims[i], &next)) next = 0;
  }
}

}  // namespace

const char* NameOf(aclDataType dtype, char (&buffer)[32]) noexcept {
  switch (static_cast<int>(dtype)) {
    case ACL_FLOAT:
      return "FLOAT";
    case ACL_FLOAT16:
      return "FLOAT16";
    case ACL_BF16:
      return "BFLOAT16";
    case ACL_DOUBLE:
      return "DOUBLE";
    case ACL_INT8:
      return "INT8";
    case ACL_INT32:
      return "INT32";
    case ACL_INT64:
      return "INT64";
    case ACL_UINT64:
      return "UINT64";
    case ACL_BOOL:
      return "BOOL";
    default:
      std::snprintf(buffer, sizeof buffer, "aclDataType(%d)", static_cast<int>(dtype));
      return buffer;
  }
}

}  // namespace addnorm::aclnn

using namespace addnorm::aclnn;

extern "C" {

aclnnStatus aclnnInit(const char*) noexcept { return ACLNN_SUCCESS; }
aclnnStatus aclnnFinalize(void) noexcept { return ACLNN_SUCCESS; }

aclTensor* aclCreateTensor(const int64_t* viewDims, uint64_t viewDimsNum, aclDataType dataType, const int64_t* stride, int64_t offset,
                           aclFormat format, const int64_t* storageDims, uint64_t storageDimsNum, void* tensorData) noexcept {
  if (!CheckDims("viewDims", viewDims, viewDimsNum) || !CheckDims("storageDims", storageDims, storageDimsNum)) {
    NoteFailedCreation();
    return nullptr;
  }
  void* memory = std::malloc(sizeof(Tensor));
  void* handle = nullptr;
  if (memory != nullptr) {
    auto* tensor = new (memory) Tensor;
    tensor->dtype = dataType;
    tensor->format = format;
    tensor->rank = static_cast<uint32_t>(viewDimsNum);
    tensor->storage_rank = static_cast<uint32_t>(storageDimsNum);
    tensor->offset = offset;
    tensor->data = tensorData;
    FillTensor(tensor, viewDims, stride, storageDims);
    handle = AddHandle(Kind::kTensor, tensor);
  }
  if (handle == nullptr) {
    std::free(memory);
    Fail(ACLNN_ERR_INNER, "aclCreateTensor: no memory");
    NoteFailedCreation();
    return nullptr;
  }
  return static_cast<aclTensor*>(handle);
}

aclIntArray* aclCreateIntArray(const int64_t* value, uint64_t size) noexcept {
  return static_cast<aclIntArray*>(CreateArray<IntArray>("aclCreateIntArray", value, size));
}
aclFloatArray* aclCreateFloatArray(const float* value, uint64_t size) noexcept {
  return static_cast<aclFloatArray*>(CreateArray<FloatArray>("aclCreateFloatArray", value, size));
}
aclBoolArray* aclCreateBoolArray(const bool* value, uint64_t size) noexcept {
  return static_cast<aclBoolArray*>(CreateArray<BoolArray>("aclCreateBoolArray", value, size));
}
aclTensorList* aclCreateTensorList(const aclTensor* const* value, uint64_t size) noexcept {
  return static_cast<aclTensorList*>(CreateArray<TensorList>("aclCreateTensorList", value, size));
}

aclnnStatus aclDestroyTensor(const aclTensor* tensor) noexcept { return DestroyObject<Tensor>("aclDestroyTensor", "tensor", tensor); }
aclnnStatus aclDestroyIntArray(const aclIntArray* array) noexcept { return DestroyObject<IntArray>("aclDestroyIntArray", "array", array); }
aclnnStatus aclDestroyFloatArray(const aclFloatArray* array) noexcept {
  return DestroyObject<FloatArray>("aclDestroyFloatArray", "array", array);
}
aclnnStatus aclDestroyBoolArray(const aclBoolArray* array) noexcept {
  return DestroyObject<BoolArray>("aclDestroyBoolArray", "array", array);
}

aclnnStatus aclDestroyTensorList(const aclTensorList* handle) noexcept {
  if (handle == nullptr) return ACLNN_SUCCESS;
  auto* list = static_cast<TensorList*>(RetireHandle(handle, Kind::kTensorList));
  if (list == nullptr) return Bad<TensorList>("aclDestroyTensorList", "array", handle);
  aclnnStatus status = ACLNN_SUCCESS;  // a member that the program destroyed itself is reported, after the others are gone
  for (uint64_t i = 0; i < list->size; ++i) {
    const aclnnStatus one = aclDestroyTensor(list->values()[i]);
    if (status == ACLNN_SUCCESS) status = one;
  }
  std::free(list);
  return status;
}

aclnnStatus aclGetViewShape(const aclTensor* tensor, int64_t** viewDims, uint64_t* viewDimsNum) noexcept {
  return WithTensor("aclGetViewShape", tensor, viewDims, "viewDims",
                    [&](const Tensor& t) { return CopyDims("aclGetViewShape", t.shape, t.rank, viewDims, viewDimsNum, "viewDimsNum"); });
}
aclnnStatus aclGetViewStrides(const aclTensor* tensor, int64_t** stridesValue, uint64_t* stridesNum) noexcept {
  return WithTensor("aclGetViewStrides", tensor, stridesValue, "stridesValue", [&](const Tensor& t) {
    return CopyDims("aclGetViewStrides", t.strides, t.rank, stridesValue, stridesNum, "stridesNum");
  });
}
aclnnStatus aclGetStorageShape(const aclTensor* tensor, int64_t** storageDims, uint64_t* storageDimsNum) noexcept {
  return WithTensor("aclGetStorageShape", tensor, storageDims, "storageDims", [&](const Tensor& t) {
    return CopyDims("aclGetStorageShape", t.storage, t.storage_rank, storageDims, storageDimsNum, "storageDimsNum");
  });
}
aclnnStatus aclGetViewOffset(const aclTensor* tensor, int64_t* offset) noexcept {
  return WithTensor("aclGetViewOffset", tensor, offset, "offset", [&](const Tensor& t) { return *offset = t.offset, ACLNN_SUCCESS; });
}
aclnnStatus aclGetFormat(const aclTensor* tensor, aclFormat* format) noexcept {
  return WithTensor("aclGetFormat", tensor, format, "format", [&](const Tensor& t) { return *format = t.format, ACLNN_SUCCESS; });
}
aclnnStatus aclGetDataType(const aclTensor* tensor, aclDataType* dataType) noexcept {
  return WithTensor("aclGetDataType", tensor, dataType, "dataType", [&](const Tensor& t) { return *dataType = t.dtype, ACLNN_SUCCESS; });
}
// The address and the type are what may change of a tensor: atomically, for a phase 1 on another thread may be reading them.
aclnnStatus aclGetRawTensorAddr(const aclTensor* tensor, void** addr) noexcept {
  return WithTensor("aclGetRawTensorAddr", tensor, addr, "addr",
                    [&](Tensor& t) { return *addr = __atomic_load_n(&t.data, __ATOMIC_RELAXED), ACLNN_SUCCESS; });
}
aclnnStatus aclSetRawTensorAddr(aclTensor* tensor, void* addr) noexcept {
  return WithTensor("aclSetRawTensorAddr", tensor, tensor, "tensor",
                    [&](Tensor& t) { return __atomic_store_n(&t.data, addr, __ATOMIC_RELAXED), ACLNN_SUCCESS; });
}

aclnnStatus aclGetIntArraySize(const aclIntArray* array, uint64_t* size) noexcept {
  return GetSize<IntArray>("aclGetIntArraySize", array, size);
}
aclnnStatus aclGetFloatArraySize(const aclFloatArray* array, uint64_t* size) noexcept {
  return GetSize<FloatArray>("aclGetFloatArraySize", array, size);
}
aclnnStatus aclGetBoolArraySize(const aclBoolArray* array, uint64_t* size) noexcept {
  return GetSize<BoolArray>("aclGetBoolArraySize", array, size);
}
aclnnStatus aclGetTensorListSize(const aclTensorList* tensorList, uint64_t* size) noexcept {
  return GetSize<TensorList>("aclGetTensorListSize", tensorList, size);
}

}  // extern "C"
