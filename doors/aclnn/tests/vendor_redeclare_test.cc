// SPDX-License-Identifier: Apache-2.0
// A program that declares functions of the interface itself, before and after the headers do, as code written against several versions of
// CANN does. It has to compile in every C++, link and run.
#include <cstddef>
#include <cstdint>
#include <cstdio>

extern "C" int aclInit(const char*);
extern "C" int aclFinalize();

#include "acl/acl.h"
#include "acl/acl_base.h"
#include "acl/acl_base_rt.h"
#include "acl/acl_mdl.h"
#include "acl/acl_op.h"
#include "acl/acl_rt.h"
#include "aclnn/acl_meta.h"
#include "aclnn/aclnn_base.h"
#include "aclnn_util.h"
#include "aclnnop/aclnn_layer_norm.h"
#include "aclnnop/aclnn_rms_norm.h"
#include "hccl/hccl.h"

extern "C" {
aclError aclInit(const char* configPath);
aclError aclrtSetDevice(int32_t deviceId);
aclError aclrtMalloc(void** devPtr, size_t size, aclrtMemMallocPolicy policy);
aclError aclrtFree(void* devPtr);
const char* aclGetRecentErrMsg();
aclTensor* aclCreateTensor(const int64_t* viewDims, uint64_t viewDimsNum, aclDataType dataType, const int64_t* stride, int64_t offset,
                           aclFormat format, const int64_t* storageDims, uint64_t storageDimsNum, void* tensorData);
aclnnStatus aclDestroyTensor(const aclTensor* tensor);
ACLNN_API aclnnStatus aclnnRmsNorm(void* workspace, uint64_t workspaceSize, aclOpExecutor* executor, aclrtStream stream);
ACLNN_API aclnnStatus aclnnLayerNormWithImplMode(void* workspace, uint64_t workspaceSize, aclOpExecutor* executor, aclrtStream stream);
HcclResult HcclCommDestroy(HcclComm comm);
}

int main() {
  if (aclInit(nullptr) != ACL_SUCCESS || aclrtSetDevice(0) != ACL_SUCCESS) return 1;
  void* memory = nullptr;
  if (aclrtMalloc(&memory, 64, ACL_MEM_MALLOC_HUGE_FIRST) != ACL_SUCCESS) return 2;
  const int64_t shape[] = {16};
  aclTensor* tensor = aclCreateTensor(shape, 1, ACL_FLOAT, nullptr, 0, ACL_FORMAT_ND, shape, 1, memory);
  if (tensor == nullptr || aclDestroyTensor(tensor) != ACLNN_SUCCESS || aclrtFree(memory) != ACL_SUCCESS) return 3;
  if (aclnnRmsNorm(nullptr, 0, nullptr, nullptr) != 161001 || aclnnLayerNormWithImplMode(nullptr, 0, nullptr, nullptr) != 161001) return 4;
  std::printf("%s\n", aclGetRecentErrMsg());
  return aclFinalize();
}
