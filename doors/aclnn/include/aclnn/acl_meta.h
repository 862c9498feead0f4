/* SPDX-License-Identifier: Apache-2.0
 * Tensors, arrays and executors of the aclnn interface.
 *
 * Every object is an opaque handle that is proved alive and of its type before use: a destroyed, foreign or random handle gives
 * ACLNN_ERR_PARAM_INVALID (161002) and a text. Destroying null does nothing. Sizes, strides and offsets are in elements.
 */
#ifndef ADDNORM_ACLNN_ACL_META_H_
#define ADDNORM_ACLNN_ACL_META_H_

#include "acl/acl_base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aclTensor aclTensor;
typedef struct aclScalar aclScalar;
typedef struct aclIntArray aclIntArray;
typedef struct aclFloatArray aclFloatArray;
typedef struct aclBoolArray aclBoolArray;
typedef struct aclTensorList aclTensorList;
typedef struct aclScalarList aclScalarList;
typedef struct aclOpExecutor aclOpExecutor;
typedef int32_t aclnnStatus;

#ifndef ACLNN_META
#define ACLNN_META
#ifdef __cplusplus
constexpr aclnnStatus OK = 0;
#endif
#endif

#define ACLNN_SUCCESS 0
#define ACLNN_ERR_PARAM_NULLPTR 161001
#define ACLNN_ERR_PARAM_INVALID 161002
#define ACLNN_ERR_RUNTIME_ERROR 361001
#define ACLNN_ERR_INNER 561000
#define ACLNN_ERR_INNER_TILING_ERROR 561002
#define ACLNN_ERR_INNER_NULLPTR 561103
#define ACLNN_ERR_INNER_INVALID_IMPL_MODE 561106

/* A view of tensorData, which is not copied and never freed. stride null = contiguous. tensorData may be null and set later.
 * storageDims tell how many elements tensorData holds; with storageDimsNum 0 (and null) that is not checked.
 * Returns null, with a text, when a pointer is null where its count is not 0, for more than 32 dimensions, and without memory. */
ACL_FUNC_VISIBILITY aclTensor* aclCreateTensor(const int64_t* viewDims, uint64_t viewDimsNum, aclDataType dataType, const int64_t* stride,
                                               int64_t offset, aclFormat format, const int64_t* storageDims, uint64_t storageDimsNum,
                                               void* tensorData) ADDNORM_ACL_NOEXCEPT;
/* Arrays copy their values. */
ACL_FUNC_VISIBILITY aclIntArray* aclCreateIntArray(const int64_t* value, uint64_t size) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclFloatArray* aclCreateFloatArray(const float* value, uint64_t size) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclBoolArray* aclCreateBoolArray(const bool* value, uint64_t size) ADDNORM_ACL_NOEXCEPT;
/* A list owns its tensors: destroying it destroys them. */
ACL_FUNC_VISIBILITY aclTensorList* aclCreateTensorList(const aclTensor* const* value, uint64_t size) ADDNORM_ACL_NOEXCEPT;

ACL_FUNC_VISIBILITY aclnnStatus aclDestroyTensor(const aclTensor* tensor) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclnnStatus aclDestroyIntArray(const aclIntArray* array) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclnnStatus aclDestroyFloatArray(const aclFloatArray* array) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclnnStatus aclDestroyBoolArray(const aclBoolArray* array) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclnnStatus aclDestroyTensorList(const aclTensorList* array) ADDNORM_ACL_NOEXCEPT;

/* The three that return arrays allocate them with C++ new[]; the caller frees them with delete[]. */
ACL_FUNC_VISIBILITY aclnnStatus aclGetViewShape(const aclTensor* tensor, int64_t** viewDims, uint64_t* viewDimsNum) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclnnStatus aclGetViewStrides(const aclTensor* tensor, int64_t** stridesValue,
                                                  uint64_t* stridesNum) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclnnStatus aclGetStorageShape(const aclTensor* tensor, int64_t** storageDims,
                                                   uint64_t* storageDimsNum) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclnnStatus aclGetViewOffset(const aclTensor* tensor, int64_t* offset) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclnnStatus aclGetFormat(const aclTensor* tensor, aclFormat* format) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclnnStatus aclGetDataType(const aclTensor* tensor, aclDataType* dataType) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclnnStatus aclGetRawTensorAddr(const aclTensor* tensor, void** addr) ADDNORM_ACL_NOEXCEPT;
/* For the next phase 1; executors that exist keep the address they have. */
ACL_FUNC_VISIBILITY aclnnStatus aclSetRawTensorAddr(aclTensor* tensor, void* addr) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclnnStatus aclGetIntArraySize(const aclIntArray* array, uint64_t* size) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclnnStatus aclGetFloatArraySize(const aclFloatArray* array, uint64_t* size) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclnnStatus aclGetBoolArraySize(const aclBoolArray* array, uint64_t* size) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclnnStatus aclGetTensorListSize(const aclTensorList* tensorList, uint64_t* size) ADDNORM_ACL_NOEXCEPT;

/* An executor comes from a ...GetWorkspaceSize call, holds its own copy of the tensors' descriptions and is consumed by its second phase,
 * whatever that returns, unless it was made repeatable: then it runs any number of times, one run at a time, until it is destroyed. */
ACL_FUNC_VISIBILITY aclnnStatus aclSetAclOpExecutorRepeatable(aclOpExecutor* executor) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclnnStatus aclDestroyAclOpExecutor(aclOpExecutor* executor) ADDNORM_ACL_NOEXCEPT;
/* New storage addresses for the next runs. index counts the operator's inputs (outputs) in the order of its parameters without those that
 * were null; aclSetTensorAddr counts inputs, then outputs. tensor must describe the same view as the one it replaces. */
ACL_FUNC_VISIBILITY aclnnStatus aclSetInputTensorAddr(aclOpExecutor* executor, size_t index, aclTensor* tensor,
                                                      void* addr) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclnnStatus aclSetOutputTensorAddr(aclOpExecutor* executor, size_t index, aclTensor* tensor,
                                                       void* addr) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclnnStatus aclSetTensorAddr(aclOpExecutor* executor, size_t index, aclTensor* tensor, void* addr) ADDNORM_ACL_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif /* ADDNORM_ACLNN_ACL_META_H_ */
