// SPDX-License-Identifier: Apache-2.0
// A program as users of CANN write them, with nothing of ours in it: usual includes, macros around every call, vectors for shapes and data,
// device memory filled by aclrtMemcpy, two phases, results copied back. It has to compile as it is and give the right numbers.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <vector>

#include "acl/acl.h"
#include "aclnnop/aclnn_add_layer_norm_grad.h"
#include "aclnnop/aclnn_layer_norm_backward.h"

#define CHECK_RET(condition, action) \
  do {                               \
    if (!(condition)) {              \
      action;                        \
    }                                \
  } while (0)

#define LOG_PRINT(...)   \
  do {                   \
    printf(__VA_ARGS__); \
  } while (0)

int64_t CountOf(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (auto size : shape) count *= size;
  return count;
}

int Start(int32_t deviceId, aclrtStream* stream) {
  auto ret = aclInit(nullptr);
  CHECK_RET(ret == ACL_SUCCESS, LOG_PRINT("aclInit failed. ERROR: %d\n", ret); return ret);
  ret = aclrtSetDevice(deviceId);
  CHECK_RET(ret == ACL_SUCCESS, LOG_PRINT("aclrtSetDevice failed. ERROR: %d\n", ret); return ret);
  ret = aclrtCreateStream(stream);
  CHECK_RET(ret == ACL_SUCCESS, LOG_PRINT("aclrtCreateStream failed. ERROR: %d\n", ret); return ret);
  return 0;
}

template <typename T>
int MakeTensor(const std::vector<T>& hostData, const std::vector<int64_t>& shape, void** deviceAddr, aclDataType dataType,
               aclTensor** tensor) {
  auto size = static_cast<size_t>(CountOf(shape)) * sizeof(T);
  auto ret = aclrtMalloc(deviceAddr, size, ACL_MEM_MALLOC_HUGE_FIRST);
  CHECK_RET(ret == ACL_SUCCESS, LOG_PRINT("aclrtMalloc failed. ERROR: %d\n", ret); return ret);
  ret = aclrtMemcpy(*deviceAddr, size, hostData.data(), size, ACL_MEMCPY_HOST_TO_DEVICE);
  CHECK_RET(ret == ACL_SUCCESS, LOG_PRINT("aclrtMemcpy failed. ERROR: %d\n", ret); return ret);
  std::vector<int64_t> strides(shape.size(), 1);
  for (int64_t i = static_cast<int64_t>(shape.size()) - 2; i >= 0; i--) strides[i] = shape[i + 1] * strides[i + 1];
  *tensor = aclCreateTensor(shape.data(), shape.size(), dataType, strides.data(), 0, aclFormat::ACL_FORMAT_ND, shape.data(), shape.size(),
                            *deviceAddr);
  return 0;
}

template <typename T>
std::vector<T> ToHost(void* deviceAddr, int64_t count) {
  std::vector<T> host(static_cast<size_t>(count));
  auto ret = aclrtMemcpy(host.data(), host.size() * sizeof(host[0]), deviceAddr, static_cast<size_t>(count) * sizeof(host[0]),
                         ACL_MEMCPY_DEVICE_TO_HOST);
  CHECK_RET(ret == ACL_SUCCESS, LOG_PRINT("copy result from device to host failed. ERROR: %d\n", ret));
  return host;
}

int CheckNear(const char* name, const std::vector<float>& got, const std::vector<float>& want) {
  for (size_t i = 0; i < want.size(); i++) {
    if (std::fabs(got[i] - want[i]) <= 1e-5f * (1 + std::fabs(want[i]))) continue;
    std::cout << name << "[" << i << "] is " << got[i] << ", expected " << want[i] << std::endl;
    return 1;
  }
  return 0;
}

int LayerNormBackward(aclrtStream stream) {
  std::vector<int64_t> xShape = {1, 2, 4}, meanShape = {1, 2, 1}, normShape = {4};
  std::vector<float> dy = {1, 2, 3, 4, 4, 3, 2, 1}, x = {0, 1, 2, 3, 1, 1, 1, 5}, mean = {1.5f, 2}, rstd = {0.5f, 0.25f},
                     gamma = {1, 2, 1, 0.5f};
  std::vector<float> dx(8, -1), dgamma(4, -1), dbeta(4, -1);
  void *dyAddr = nullptr, *xAddr = nullptr, *meanAddr = nullptr, *rstdAddr = nullptr, *gammaAddr = nullptr, *dxAddr = nullptr,
       *dgammaAddr = nullptr, *dbetaAddr = nullptr;
  aclTensor *dyT = nullptr, *xT = nullptr, *meanT = nullptr, *rstdT = nullptr, *gammaT = nullptr, *dxT = nullptr, *dgammaT = nullptr,
            *dbetaT = nullptr;
  auto ret = MakeTensor(dy, xShape, &dyAddr, aclDataType::ACL_FLOAT, &dyT);
  CHECK_RET(ret == ACL_SUCCESS, return ret);
  ret = MakeTensor(x, xShape, &xAddr, aclDataType::ACL_FLOAT, &xT);
  CHECK_RET(ret == ACL_SUCCESS, return ret);
  ret = MakeTensor(mean, meanShape, &meanAddr, aclDataType::ACL_FLOAT, &meanT);
  CHECK_RET(ret == ACL_SUCCESS, return ret);
  ret = MakeTensor(rstd, meanShape, &rstdAddr, aclDataType::ACL_FLOAT, &rstdT);
  CHECK_RET(ret == ACL_SUCCESS, return ret);
  ret = MakeTensor(gamma, normShape, &gammaAddr, aclDataType::ACL_FLOAT, &gammaT);
  CHECK_RET(ret == ACL_SUCCESS, return ret);
  ret = MakeTensor(dx, xShape, &dxAddr, aclDataType::ACL_FLOAT, &dxT);
  CHECK_RET(ret == ACL_SUCCESS, return ret);
  ret = MakeTensor(dgamma, normShape, &dgammaAddr, aclDataType::ACL_FLOAT, &dgammaT);
  CHECK_RET(ret == ACL_SUCCESS, return ret);
  ret = MakeTensor(dbeta, normShape, &dbetaAddr, aclDataType::ACL_FLOAT, &dbetaT);
  CHECK_RET(ret == ACL_SUCCESS, return ret);
  bool maskData[3] = {true, true, true};
  aclIntArray* norm = aclCreateIntArray(normShape.data(), normShape.size());
  aclBoolArray* mask = aclCreateBoolArray(maskData, 3);

  uint64_t workspaceSize = 0;
  aclOpExecutor* executor;
  ret = aclnnLayerNormBackwardGetWorkspaceSize(dyT, xT, norm, meanT, rstdT, gammaT, nullptr, mask, dxT, dgammaT, dbetaT, &workspaceSize,
                                               &executor);
  CHECK_RET(ret == ACL_SUCCESS, LOG_PRINT("aclnnLayerNormBackwardGetWorkspaceSize failed. ERROR: %d\n%s", ret, aclGetRecentErrMsg());
            return ret);
  void* workspaceAddr = nullptr;
  if (workspaceSize > 0) {
    ret = aclrtMalloc(&workspaceAddr, workspaceSize, ACL_MEM_MALLOC_HUGE_FIRST);
    CHECK_RET(ret == ACL_SUCCESS, LOG_PRINT("allocate workspace failed. ERROR: %d\n", ret); return ret);
  }
  ret = aclnnLayerNormBackward(workspaceAddr, workspaceSize, executor, stream);
  CHECK_RET(ret == ACL_SUCCESS, LOG_PRINT("aclnnLayerNormBackward failed. ERROR: %d\n", ret); return ret);
  ret = aclrtSynchronizeStream(stream);
  CHECK_RET(ret == ACL_SUCCESS, LOG_PRINT("aclrtSynchronizeStream failed. ERROR: %d\n", ret); return ret);

  std::vector<float> wantDx(8), wantDgamma(4), wantDbeta(4);
  for (size_t r = 0; r < 2; r++) {
    float c1 = 0, c2 = 0, xhat[4], w[4];
    for (size_t i = 0; i < 4; i++) {
      xhat[i] = (x[4 * r + i] - mean[r]) * rstd[r];
      w[i] = dy[4 * r + i] * gamma[i];
      c1 += w[i] / 4;
      c2 += w[i] * xhat[i] / 4;
      wantDgamma[i] += dy[4 * r + i] * xhat[i];
      wantDbeta[i] += dy[4 * r + i];
    }
    for (size_t i = 0; i < 4; i++) wantDx[4 * r + i] = rstd[r] * (w[i] - c1 - xhat[i] * c2);
  }
  int wrong = CheckNear("dx", ToHost<float>(dxAddr, 8), wantDx) + CheckNear("dgamma", ToHost<float>(dgammaAddr, 4), wantDgamma) +
              CheckNear("dbeta", ToHost<float>(dbetaAddr, 4), wantDbeta);
  for (auto tensor : {dyT, xT, meanT, rstdT, gammaT, dxT, dgammaT, dbetaT}) aclDestroyTensor(tensor);
  aclDestroyIntArray(norm);
  aclDestroyBoolArray(mask);
  for (auto addr : {dyAddr, xAddr, meanAddr, rstdAddr, gammaAddr, dxAddr, dgammaAddr, dbetaAddr}) aclrtFree(addr);
  if (workspaceSize > 0) aclrtFree(workspaceAddr);
  return wrong;
}

// Integers in memory that is called FLOAT, as some samples have them: denormal numbers, and no reason to stumble.
int DenormalData(aclrtStream stream) {
  std::vector<int64_t> shape = {3, 1, 4}, statShape = {3, 1, 1}, gammaShape = {4};
  std::vector<int32_t> full(12, 2), stat(3, 1), gamma(4, 3);
  void* addr[9] = {};
  aclTensor* tensor[9] = {};
  for (int i = 0; i < 9; i++) {
    auto ret = i == 3 || i == 4   ? MakeTensor(stat, statShape, &addr[i], aclDataType::ACL_FLOAT, &tensor[i])
               : i == 5 || i >= 7 ? MakeTensor(gamma, gammaShape, &addr[i], aclDataType::ACL_FLOAT, &tensor[i])
                                  : MakeTensor(full, shape, &addr[i], aclDataType::ACL_FLOAT, &tensor[i]);
    CHECK_RET(ret == ACL_SUCCESS, return ret);
  }
  uint64_t workspaceSize = 0;
  aclOpExecutor* executor;
  auto ret = aclnnAddLayerNormGradGetWorkspaceSize(tensor[0], tensor[1], tensor[2], tensor[3], tensor[4], tensor[5], nullptr, tensor[6],
                                                   tensor[7], tensor[8], &workspaceSize, &executor);
  CHECK_RET(ret == OK, LOG_PRINT("aclnnAddLayerNormGradGetWorkspaceSize failed. ERROR: %d\n", ret); return ret);
  void* workspaceAddr = nullptr;
  if (workspaceSize > 0) {
    ret = aclrtMalloc(&workspaceAddr, workspaceSize, ACL_MEM_MALLOC_HUGE_FIRST);
    CHECK_RET(ret == ACL_SUCCESS, LOG_PRINT("allocate workspace failed. ERROR: %d\n", ret); return ret);
  }
  ret = aclnnAddLayerNormGrad(workspaceAddr, workspaceSize, executor, stream);
  CHECK_RET(ret == ACL_SUCCESS, LOG_PRINT("aclnnAddLayerNormGrad failed. ERROR: %d\n", ret); return ret);
  ret = aclrtSynchronizeStreamWithTimeout(stream, 10000);
  CHECK_RET(ret == ACL_SUCCESS, LOG_PRINT("aclrtSynchronizeStream failed. ERROR: %d\n", ret); return ret);
  int wrong = 0;
  for (auto value : ToHost<int32_t>(addr[8], 4)) wrong += value != 6;  // three times the denormal 2, exactly
  for (int i = 0; i < 9; i++) {
    aclDestroyTensor(tensor[i]);
    aclrtFree(addr[i]);
  }
  if (workspaceSize > 0) aclrtFree(workspaceAddr);
  if (wrong != 0) std::cout << "dbeta of denormal numbers is wrong" << std::endl;
  return wrong;
}

int main() {
  int32_t deviceId = 0;
  aclrtStream stream;
  auto ret = Start(deviceId, &stream);
  CHECK_RET(ret == 0, LOG_PRINT("Init acl failed. ERROR: %d\n", ret); return ret);
  int wrong = LayerNormBackward(stream) + DenormalData(stream);
  aclrtDestroyStream(stream);
  aclrtResetDevice(deviceId);
  aclFinalize();
  return wrong;
}
