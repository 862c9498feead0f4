/* SPDX-License-Identifier: Apache-2.0
 * The operators from a C11 program, without our compiler flags: LayerNorm, AddLayerNorm, RmsNorm and AddRmsNorm of the same rows, and the
 * gradients of LayerNorm, each against the formula in double.
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "acl/acl.h"
#include "aclnnop/aclnn_add_layer_norm.h"
#include "aclnnop/aclnn_add_rms_norm.h"
#include "aclnnop/aclnn_layer_norm.h"
#include "aclnnop/aclnn_layer_norm_backward.h"
#include "aclnnop/aclnn_rms_norm.h"

#define CHECK_RET(call)                                                      \
  do {                                                                       \
    int ret_ = (call);                                                       \
    if (ret_ != ACL_SUCCESS) {                                               \
      const char* text_ = aclGetRecentErrMsg();                              \
      printf("%s failed: %d %s\n", #call, ret_, text_ == NULL ? "" : text_); \
      return 1;                                                              \
    }                                                                        \
  } while (0)

enum { kRows = 5, kCols = 24, kCount = kRows * kCols };
typedef aclnnStatus (*Phase2)(void*, uint64_t, aclOpExecutor*, aclrtStream);

static int Launch(Phase2 phase2, uint64_t workspaceSize, aclOpExecutor* executor, aclrtStream stream) {
  void* workspace = NULL;
  if (workspaceSize > 0) CHECK_RET(aclrtMalloc(&workspace, workspaceSize, ACL_MEM_MALLOC_NORMAL_ONLY));
  CHECK_RET(phase2(workspace, workspaceSize, executor, stream));
  CHECK_RET(aclrtSynchronizeStream(stream));
  if (workspace != NULL) CHECK_RET(aclrtFree(workspace));
  return 0;
}

static aclTensor* MakeTensor(const float* host, const int64_t* shape, uint64_t rank, void** device) {
  size_t bytes = sizeof(float);
  for (uint64_t i = 0; i < rank; i++) bytes *= (size_t)shape[i];
  if (aclrtMalloc(device, bytes, ACL_MEM_MALLOC_HUGE_FIRST) != ACL_SUCCESS) return NULL;
  if (host == NULL) {
    aclrtMemset(*device, bytes, 0x55, bytes);
  } else if (aclrtMemcpy(*device, bytes, host, bytes, ACL_MEMCPY_HOST_TO_DEVICE) != ACL_SUCCESS) {
    return NULL;
  }
  return aclCreateTensor(shape, rank, ACL_FLOAT, NULL, 0, ACL_FORMAT_ND, shape, rank, *device);
}

static int Near(const char* name, void* device, const double* want, int count) {
  float got[kCount];
  const size_t bytes = (size_t)count * sizeof(float);
  CHECK_RET(aclrtMemcpy(got, sizeof got, device, bytes, ACL_MEMCPY_DEVICE_TO_HOST));
  for (int i = 0; i < count; i++) {
    if (fabs(got[i] - want[i]) <= 1e-5 * (1 + fabs(want[i]))) continue;
    printf("%s[%d] is %g, expected %g\n", name, i, got[i], want[i]);
    return 1;
  }
  return 0;
}

int main(void) {
  float x[kCount], x2[kCount], gamma[kCols], beta[kCols];
  double y[kCount], rms[kCount], mean[kRows], rstd[kRows], dx[kCount], dgamma[kCols], dbeta[kCols];
  memset(dgamma, 0, sizeof dgamma);
  memset(dbeta, 0, sizeof dbeta);
  for (int i = 0; i < kCols; i++) gamma[i] = 0.5f + (float)(i % 4) / 4, beta[i] = (float)(i % 3) - 1;
  for (int i = 0; i < kCount; i++) x[i] = (float)(i * 11 % 29) / 4 - 3, x2[i] = 0;
  for (int r = 0; r < kRows; r++) {
    double sum = 0, deviations = 0, squares = 0, c1 = 0, c2 = 0;
    for (int i = 0; i < kCols; i++) sum += x[r * kCols + i], squares += (double)x[r * kCols + i] * x[r * kCols + i];
    mean[r] = sum / kCols;
    for (int i = 0; i < kCols; i++) deviations += (x[r * kCols + i] - mean[r]) * (x[r * kCols + i] - mean[r]);
    rstd[r] = 1 / sqrt(deviations / kCols + 1e-5);
    for (int i = 0; i < kCols; i++) {
      const int k = r * kCols + i;
      const double xhat = (x[k] - mean[r]) * rstd[r];
      y[k] = xhat * gamma[i] + beta[i];
      rms[k] = x[k] / sqrt(squares / kCols + 1e-6) * gamma[i];
      /* The gradient that arrives is x. */
      c1 += (double)gamma[i] * x[k] / kCols;
      c2 += (double)gamma[i] * x[k] * xhat / kCols;
      dgamma[i] += x[k] * xhat;
      dbeta[i] += x[k];
    }
    for (int i = 0; i < kCols; i++) {
      const int k = r * kCols + i;
      dx[k] = rstd[r] * ((double)gamma[i] * x[k] - c1 - (x[k] - mean[r]) * rstd[r] * c2);
    }
  }

  const int64_t full[2] = {kRows, kCols}, stat[2] = {kRows, 1}, cols[1] = {kCols};
  void* device[11] = {NULL};
  aclrtStream stream = NULL;
  CHECK_RET(aclInit(NULL));
  CHECK_RET(aclrtSetDevice(0));
  CHECK_RET(aclrtCreateStream(&stream));
  aclTensor* tensor[11] = {
      MakeTensor(x, full, 2, &device[0]),    MakeTensor(x2, full, 2, &device[1]),    MakeTensor(gamma, cols, 1, &device[2]),
      MakeTensor(beta, cols, 1, &device[3]), MakeTensor(NULL, full, 2, &device[4]),  MakeTensor(NULL, stat, 2, &device[5]),
      MakeTensor(NULL, stat, 2, &device[6]), MakeTensor(NULL, full, 2, &device[7]),  MakeTensor(NULL, full, 2, &device[8]),
      MakeTensor(NULL, cols, 1, &device[9]), MakeTensor(NULL, cols, 1, &device[10]),
  };
  for (int i = 0; i < 11; i++) {
    if (tensor[i] == NULL) return printf("tensor %d: %s\n", i, aclGetRecentErrMsg()), 1;
  }
  const bool all[3] = {true, true, true};
  aclIntArray* normalizedShape = aclCreateIntArray(cols, 1);
  aclBoolArray* outputMask = aclCreateBoolArray(all, 3);
  uint64_t workspaceSize = 0;
  aclOpExecutor* executor = NULL;
  int wrong = 0;

  CHECK_RET(aclnnLayerNormGetWorkspaceSize(tensor[0], normalizedShape, tensor[2], tensor[3], 1e-5, tensor[4], tensor[5], tensor[6],
                                           &workspaceSize, &executor));
  CHECK_RET(Launch(aclnnLayerNorm, workspaceSize, executor, stream));
  wrong += Near("LayerNorm", device[4], y, kCount) + Near("mean", device[5], mean, kRows) + Near("rstd", device[6], rstd, kRows);

  CHECK_RET(aclnnLayerNormBackwardGetWorkspaceSize(tensor[0], tensor[0], normalizedShape, tensor[5], tensor[6], tensor[2], NULL, outputMask,
                                                   tensor[8], tensor[9], tensor[10], &workspaceSize, &executor));
  CHECK_RET(Launch(aclnnLayerNormBackward, workspaceSize, executor, stream));
  wrong += Near("dx", device[8], dx, kCount) + Near("dgamma", device[9], dgamma, kCols) + Near("dbeta", device[10], dbeta, kCols);

  CHECK_RET(aclnnAddLayerNormGetWorkspaceSize(tensor[0], tensor[1], tensor[2], tensor[3], NULL, 1e-5, false, tensor[4], tensor[5],
                                              tensor[6], tensor[7], &workspaceSize, &executor));
  CHECK_RET(Launch(aclnnAddLayerNorm, workspaceSize, executor, stream));
  wrong += Near("AddLayerNorm", device[4], y, kCount);

  CHECK_RET(aclnnRmsNormGetWorkspaceSize(tensor[0], tensor[2], 1e-6, tensor[4], tensor[6], &workspaceSize, &executor));
  CHECK_RET(Launch(aclnnRmsNorm, workspaceSize, executor, stream));
  wrong += Near("RmsNorm", device[4], rms, kCount);

  CHECK_RET(
      aclnnAddRmsNormGetWorkspaceSize(tensor[0], tensor[1], tensor[2], 1e-6, tensor[7], tensor[6], tensor[8], &workspaceSize, &executor));
  CHECK_RET(Launch(aclnnAddRmsNorm, workspaceSize, executor, stream));
  wrong += Near("AddRmsNorm", device[7], rms, kCount);

  for (int i = 0; i < 11; i++) {
    CHECK_RET(aclDestroyTensor(tensor[i]));
    CHECK_RET(aclrtFree(device[i]));
  }
  CHECK_RET(aclDestroyIntArray(normalizedShape));
  CHECK_RET(aclDestroyBoolArray(outputMask));
  CHECK_RET(aclrtDestroyStream(stream));
  CHECK_RET(aclrtResetDevice(0));
  CHECK_RET(aclFinalize());
  return wrong;
}
