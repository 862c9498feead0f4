// SPDX-License-Identifier: Apache-2.0
// The forward operators and a way back, in a program as users of CANN write them: one context, stream and thread per device, float16 and
// float data, views with strides and an offset, an executor that runs twice. Built as C++17 and as C++20, without our compiler flags.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <memory>
#include <thread>
#include <vector>

#include "acl/acl.h"
#include "aclnn/aclnn_base.h"
#include "aclnnop/aclnn_add_layer_norm.h"
#include "aclnnop/aclnn_add_layer_norm_grad.h"
#include "aclnnop/aclnn_add_rms_norm.h"
#include "aclnnop/aclnn_layer_norm.h"
#include "aclnnop/aclnn_layer_norm_backward.h"
#include "aclnnop/aclnn_rms_norm.h"

#define CHECK_RET(cond, return_expr) \
  do {                               \
    if (!(cond)) {                   \
      return_expr;                   \
    }                                \
  } while (0)

#define CHECK_FREE_RET(cond, return_expr)  \
  do {                                     \
    if (!(cond)) {                         \
      Finalize(deviceId, context, stream); \
      return_expr;                         \
    }                                      \
  } while (0)

#define LOG_PRINT(message, ...)     \
  do {                              \
    printf(message, ##__VA_ARGS__); \
  } while (0)

constexpr int64_t kRows = 6, kCols = 20;

int64_t GetShapeSize(const std::vector<int64_t>& shape) {
  int64_t shapeSize = 1;
  for (auto i : shape) {
    shapeSize *= i;
  }
  return shapeSize;
}

void Finalize(int32_t deviceId, aclrtContext context, aclrtStream stream) {
  aclrtDestroyStream(stream);
  aclrtDestroyContext(context);
  aclrtResetDevice(deviceId);
}

// A tensor with device memory of its own, freed with it.
struct DeviceTensor {
  void* addr = nullptr;
  aclTensor* tensor = nullptr;
  ~DeviceTensor() {
    if (tensor != nullptr) aclDestroyTensor(tensor);
    if (addr != nullptr) aclrtFree(addr);
  }
};

template <typename T>
int CreateAclTensor(const std::vector<T>& hostData, const std::vector<int64_t>& shape, aclDataType dataType, DeviceTensor* out,
                    std::vector<int64_t> strides = {}, int64_t offset = 0) {
  auto size = hostData.size() * sizeof(T);
  auto ret = aclrtMalloc(&out->addr, size, ACL_MEM_MALLOC_HUGE_FIRST);
  CHECK_RET(ret == ACL_SUCCESS, LOG_PRINT("aclrtMalloc failed. ERROR: %d\n", ret); return ret);
  ret = aclrtMemcpy(out->addr, size, hostData.data(), size, ACL_MEMCPY_HOST_TO_DEVICE);
  CHECK_RET(ret == ACL_SUCCESS, LOG_PRINT("aclrtMemcpy failed. ERROR: %d\n", ret); return ret);
  if (strides.empty()) {
    strides.assign(shape.size(), 1);
    for (int64_t i = static_cast<int64_t>(shape.size()) - 2; i >= 0; i--) {
      strides[i] = shape[i + 1] * strides[i + 1];
    }
  }
  std::vector<int64_t> storage = {static_cast<int64_t>(hostData.size())};
  out->tensor = aclCreateTensor(shape.data(), shape.size(), dataType, strides.data(), offset, aclFormat::ACL_FORMAT_ND, storage.data(),
                                storage.size(), out->addr);
  CHECK_RET(out->tensor != nullptr, LOG_PRINT("aclCreateTensor failed. %s\n", aclGetRecentErrMsg()); return -1);
  return 0;
}

template <typename T>
std::vector<T> Fetch(const DeviceTensor& from, int64_t count) {
  std::vector<T> host(count);
  auto ret = aclrtMemcpy(host.data(), count * sizeof(T), from.addr, count * sizeof(T), ACL_MEMCPY_DEVICE_TO_HOST);
  CHECK_RET(ret == ACL_SUCCESS, LOG_PRINT("copy result from device to host failed. ERROR: %d\n", ret));
  return host;
}

// Second phase with a workspace of the size asked for, and the end of the stream's work.
template <typename Phase2>
int Launch(Phase2 phase2, uint64_t workspaceSize, aclOpExecutor* executor, aclrtStream stream) {
  void* workspaceAddr = nullptr;
  if (workspaceSize > 0) {
    auto ret = aclrtMalloc(&workspaceAddr, workspaceSize, ACL_MEM_MALLOC_HUGE_FIRST);
    CHECK_RET(ret == ACL_SUCCESS, LOG_PRINT("allocate workspace failed. ERROR: %d\n", ret); return ret);
  }
  std::unique_ptr<void, aclError (*)(void*)> workspace(workspaceAddr, aclrtFree);
  auto ret = phase2(workspaceAddr, workspaceSize, executor, stream);
  CHECK_RET(ret == ACL_SUCCESS, LOG_PRINT("second phase failed. ERROR: %d %s\n", ret, aclGetRecentErrMsg()); return ret);
  ret = aclrtSynchronizeStreamWithTimeout(stream, 10000);
  CHECK_RET(ret == ACL_SUCCESS, LOG_PRINT("aclrtSynchronizeStream failed. ERROR: %d\n", ret); return ret);
  if (workspaceAddr == nullptr) workspace.release();
  return 0;
}

int wrong = 0;

template <typename Got, typename Want>
void Compare(const char* name, Got got, Want want, int64_t count, double tolerance) {
  for (int64_t i = 0; i < count; i++) {
    double g = got(i), w = want(i);
    if (std::fabs(g - w) <= tolerance * (1 + std::fabs(w))) continue;
    std::cout << name << "[" << i << "] is " << g << ", expected " << w << std::endl;
    wrong++;
    return;
  }
}

struct Row {
  double mean, rstd;
};
// mean 0 for RMSNorm
Row Statistics(const std::vector<float>& h, int64_t r, double eps, bool rms) {
  double mean = 0, var = 0;
  for (int64_t i = 0; i < kCols && !rms; i++) mean += h[r * kCols + i] / static_cast<double>(kCols);
  for (int64_t i = 0; i < kCols; i++) var += (h[r * kCols + i] - mean) * (h[r * kCols + i] - mean) / kCols;
  return {mean, 1 / std::sqrt(var + eps)};
}

int RunOperators(int32_t deviceId, aclrtContext context, aclrtStream stream) {
  auto ret = aclrtSetCurrentContext(context);
  CHECK_RET(ret == ACL_SUCCESS, LOG_PRINT("aclrtSetCurrentContext failed. ERROR: %d\n", ret); return ret);
  const double eps = 1e-5;
  const std::vector<int64_t> shape = {2, 3, kCols}, stat = {2, 3, 1}, gammaShape = {kCols};
  std::vector<float> x1(kRows * kCols), x2(x1), h(x1), gamma(kCols), beta(kCols), zeros(x1.size()), none(kRows);
  for (size_t i = 0; i < x1.size(); i++) {
    x1[i] = 0.5f * static_cast<float>(static_cast<int>(i * 7 % 23) - 11 + deviceId);
    x2[i] = 0.25f * static_cast<float>(static_cast<int>(i * 5 % 17) - 8);
    h[i] = x1[i] + x2[i];
  }
  for (size_t i = 0; i < gamma.size(); i++)
    gamma[i] = 1 + 0.125f * static_cast<float>(i % 5), beta[i] = 0.5f - 0.25f * static_cast<float>(i % 3);

  // x1 as the transposed view of its transpose, x2 three elements into its memory.
  std::vector<float> x1T(x1.size()), x2Late(x2.size() + 3);
  for (int64_t r = 0; r < kRows; r++) {
    for (int64_t i = 0; i < kCols; i++) x1T[i * kRows + r] = x1[r * kCols + i];
  }
  std::copy(x2.begin(), x2.end(), x2Late.begin() + 3);
  DeviceTensor tX1, tX2, tGamma, tBeta, tY, tMean, tRstd, tX, tDx, tDgamma, tDbeta, tHalf, tHalfY;
  ret = CreateAclTensor(x1T, shape, aclDataType::ACL_FLOAT, &tX1, {3, 1, kRows});
  CHECK_FREE_RET(ret == ACL_SUCCESS, return ret);
  ret = CreateAclTensor(x2Late, shape, aclDataType::ACL_FLOAT, &tX2, {}, 3);
  CHECK_FREE_RET(ret == ACL_SUCCESS, return ret);
  ret |= CreateAclTensor(gamma, gammaShape, aclDataType::ACL_FLOAT, &tGamma) | CreateAclTensor(beta, gammaShape, ACL_FLOAT, &tBeta) |
         CreateAclTensor(zeros, shape, ACL_FLOAT, &tY) | CreateAclTensor(none, stat, ACL_FLOAT, &tMean) |
         CreateAclTensor(none, stat, ACL_FLOAT, &tRstd) | CreateAclTensor(zeros, shape, ACL_FLOAT, &tX) |
         CreateAclTensor(zeros, shape, ACL_FLOAT, &tDx) | CreateAclTensor(gamma, gammaShape, ACL_FLOAT, &tDgamma) |
         CreateAclTensor(gamma, gammaShape, ACL_FLOAT, &tDbeta);
  CHECK_FREE_RET(ret == ACL_SUCCESS, return ret);

  uint64_t workspaceSize = 0;
  aclOpExecutor* executor;
  ret = aclnnAddLayerNormGetWorkspaceSize(tX1.tensor, tX2.tensor, tGamma.tensor, tBeta.tensor, nullptr, eps, true, tY.tensor, tMean.tensor,
                                          tRstd.tensor, tX.tensor, &workspaceSize, &executor);
  CHECK_FREE_RET(ret == ACL_SUCCESS, LOG_PRINT("aclnnAddLayerNormGetWorkspaceSize failed. ERROR: %d\n", ret); return ret);
  CHECK_FREE_RET(Launch(aclnnAddLayerNorm, workspaceSize, executor, stream) == 0, return -1);
  auto normalised = [&](int64_t k, bool rms, bool bias) {
    Row row = Statistics(h, k / kCols, eps, rms);
    return (h[k] - row.mean) * row.rstd * gamma[k % kCols] + (bias ? beta[k % kCols] : 0);
  };
  const auto y = Fetch<float>(tY, kRows * kCols), x = Fetch<float>(tX, kRows * kCols), mean = Fetch<float>(tMean, kRows),
             rstd = Fetch<float>(tRstd, kRows);
  Compare(
      "AddLayerNorm y", [&](int64_t k) { return y[k]; }, [&](int64_t k) { return normalised(k, false, true); }, kRows * kCols, 1e-6);
  Compare(
      "AddLayerNorm x", [&](int64_t k) { return x[k]; }, [&](int64_t k) { return h[k]; }, kRows * kCols, 0);
  Compare(
      "mean", [&](int64_t r) { return mean[r]; }, [&](int64_t r) { return Statistics(h, r, eps, false).mean; }, kRows, 1e-6);
  Compare(
      "rstd", [&](int64_t r) { return rstd[r]; }, [&](int64_t r) { return Statistics(h, r, eps, false).rstd; }, kRows, 1e-6);

  // The way back, by both operators from the same statistics: dy = y.
  ret = aclnnAddLayerNormGradGetWorkspaceSize(tY.tensor, tX1.tensor, tX2.tensor, tRstd.tensor, tMean.tensor, tGamma.tensor, nullptr,
                                              tDx.tensor, tDgamma.tensor, tDbeta.tensor, &workspaceSize, &executor);
  CHECK_FREE_RET(ret == ACL_SUCCESS, LOG_PRINT("aclnnAddLayerNormGradGetWorkspaceSize failed. ERROR: %d\n", ret); return ret);
  CHECK_FREE_RET(Launch(aclnnAddLayerNormGrad, workspaceSize, executor, stream) == 0, return -1);
  const auto dx = Fetch<float>(tDx, kRows * kCols), dgamma = Fetch<float>(tDgamma, kCols), dbeta = Fetch<float>(tDbeta, kCols);
  Compare(
      "dgamma", [&](int64_t i) { return dgamma[i]; },
      [&](int64_t i) {
        double sum = 0;
        for (int64_t r = 0; r < kRows; r++) sum += double(y[r * kCols + i]) * (double(h[r * kCols + i]) - mean[r]) * rstd[r];
        return sum;
      },
      kCols, 1e-5);
  const int64_t normalizedShape[] = {kCols};
  const bool maskData[3] = {true, true, true};
  aclIntArray* norm = aclCreateIntArray(normalizedShape, 1);
  aclBoolArray* mask = aclCreateBoolArray(maskData, 3);
  ret = aclnnLayerNormBackwardGetWorkspaceSize(tY.tensor, tX.tensor, norm, tMean.tensor, tRstd.tensor, tGamma.tensor, tBeta.tensor, mask,
                                               tDx.tensor, tDgamma.tensor, tDbeta.tensor, &workspaceSize, &executor);
  CHECK_FREE_RET(ret == ACL_SUCCESS, LOG_PRINT("aclnnLayerNormBackwardGetWorkspaceSize failed. ERROR: %d\n", ret); return ret);
  CHECK_FREE_RET(Launch(aclnnLayerNormBackward, workspaceSize, executor, stream) == 0, return -1);
  const auto again = Fetch<float>(tDx, kRows * kCols);
  Compare(
      "dx of both", [&](int64_t k) { return again[k]; }, [&](int64_t k) { return dx[k]; }, kRows * kCols, 0);

  // The same LayerNorm of the sum.
  ret = aclnnLayerNormGetWorkspaceSize(tX.tensor, norm, tGamma.tensor, tBeta.tensor, eps, tDx.tensor, nullptr, nullptr, &workspaceSize,
                                       &executor);
  CHECK_FREE_RET(ret == ACL_SUCCESS, LOG_PRINT("aclnnLayerNormGetWorkspaceSize failed. ERROR: %d\n", ret); return ret);
  CHECK_FREE_RET(Launch(aclnnLayerNorm, workspaceSize, executor, stream) == 0, return -1);
  const auto plain = Fetch<float>(tDx, kRows * kCols);
  Compare(
      "LayerNorm y", [&](int64_t k) { return plain[k]; }, [&](int64_t k) { return y[k]; }, kRows * kCols, 0);

  // RMSNorm of the sum and of float16 data, the latter with an executor that runs twice.
  ret =
      aclnnAddRmsNormGetWorkspaceSize(tX1.tensor, tX2.tensor, tGamma.tensor, 1e-6, tY.tensor, nullptr, nullptr, &workspaceSize, &executor);
  CHECK_FREE_RET(ret == ACL_SUCCESS, LOG_PRINT("aclnnAddRmsNormGetWorkspaceSize failed. ERROR: %d\n", ret); return ret);
  CHECK_FREE_RET(Launch(aclnnAddRmsNorm, workspaceSize, executor, stream) == 0, return -1);
  const auto rms = Fetch<float>(tY, kRows * kCols);
  Compare(
      "AddRmsNorm y", [&](int64_t k) { return rms[k]; }, [&](int64_t k) { return normalised(k, true, false); }, kRows * kCols, 1e-5);
  std::vector<aclFloat16> half(h.size());
  for (size_t i = 0; i < h.size(); i++) half[i] = aclFloatToFloat16(h[i]);
  ret = CreateAclTensor(half, shape, aclDataType::ACL_FLOAT16, &tHalf) | CreateAclTensor(half, shape, ACL_FLOAT16, &tHalfY);
  CHECK_FREE_RET(ret == ACL_SUCCESS, return ret);
  ret = aclnnRmsNormGetWorkspaceSize(tHalf.tensor, tGamma.tensor, 1e-6, tHalfY.tensor, tRstd.tensor, &workspaceSize, &executor);
  CHECK_FREE_RET(ret == ACL_SUCCESS, LOG_PRINT("aclnnRmsNormGetWorkspaceSize failed. ERROR: %d\n", ret); return ret);
  CHECK_FREE_RET(aclSetAclOpExecutorRepeatable(executor) == OK, return -1);
  for (int run = 0; run < 2; run++) CHECK_FREE_RET(Launch(aclnnRmsNorm, workspaceSize, executor, stream) == 0, return -1);
  CHECK_FREE_RET(aclDestroyAclOpExecutor(executor) == OK, return -1);
  const auto halfY = Fetch<aclFloat16>(tHalfY, kRows * kCols);
  Compare(
      "RmsNorm y", [&](int64_t k) { return aclFloat16ToFloat(halfY[k]); }, [&](int64_t k) { return normalised(k, true, false); },
      kRows * kCols, 1e-3);
  aclDestroyIntArray(norm);
  aclDestroyBoolArray(mask);
  return 0;
}

int main() {
  auto ret = aclInit(nullptr);
  CHECK_RET(ret == ACL_SUCCESS, LOG_PRINT("aclInit failed. ERROR: %d\n", ret); return ret);
  CHECK_RET(aclnnInit(nullptr) == ACLNN_SUCCESS, return 1);
  constexpr int32_t kDevices = 2;
  aclrtContext contexts[kDevices];
  aclrtStream streams[kDevices];
  for (int32_t deviceId = 0; deviceId < kDevices; deviceId++) {
    ret = aclrtSetDevice(deviceId);
    CHECK_RET(ret == ACL_SUCCESS, LOG_PRINT("aclrtSetDevice failed. ERROR: %d\n", ret); return ret);
    ret = aclrtCreateContext(&contexts[deviceId], deviceId);
    CHECK_RET(ret == ACL_SUCCESS, LOG_PRINT("aclrtCreateContext failed. ERROR: %d\n", ret); return ret);
    ret = aclrtCreateStream(&streams[deviceId]);
    CHECK_RET(ret == ACL_SUCCESS, LOG_PRINT("aclrtCreateStream failed. ERROR: %d\n", ret); return ret);
  }
  int results[kDevices] = {-1, -1};
  for (int32_t deviceId = 0; deviceId < kDevices; deviceId++) {
    std::thread([&, deviceId] { results[deviceId] = RunOperators(deviceId, contexts[deviceId], streams[deviceId]); }).join();
  }
  std::thread threads[kDevices];
  for (int32_t deviceId = 0; deviceId < kDevices; deviceId++) {
    threads[deviceId] = std::thread([&, deviceId] {
      aclrtSetCurrentContext(contexts[deviceId]);
      results[deviceId] |= aclrtSynchronizeDevice();
      Finalize(deviceId, contexts[deviceId], streams[deviceId]);
    });
  }
  for (auto& thread : threads) thread.join();
  aclnnFinalize();
  aclFinalize();
  for (int result : results) wrong += result != 0;
  return wrong;
}
