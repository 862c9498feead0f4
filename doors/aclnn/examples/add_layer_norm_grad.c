/* SPDX-License-Identifier: Apache-2.0
 * Add + LayerNorm forward and backward through the aclnn interface in C11, in half precision, with a repeatable executor for the backward.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "acl/acl.h"
#include "aclnnop/aclnn_add_layer_norm.h"
#include "aclnnop/aclnn_add_layer_norm_grad.h"

enum { kRows = 4, kCols = 8, kAll = kRows * kCols };

#define CHECK(call)                                                                        \
  do {                                                                                     \
    int check_status = (call);                                                             \
    if (check_status != ACL_SUCCESS) {                                                     \
      const char* check_text = aclGetRecentErrMsg();                                       \
      fprintf(stderr, "%s = %d: %s\n", #call, check_status, check_text ? check_text : ""); \
      exit(1);                                                                             \
    }                                                                                      \
  } while (0)

static const int64_t kFull[2] = {kRows, kCols}, kVector[1] = {kCols}, kStat[2] = {kRows, 1};

static aclTensor* Make(const int64_t* shape, uint64_t rank, aclDataType type, void* data) {
  aclTensor* tensor = aclCreateTensor(shape, rank, type, NULL, 0, ACL_FORMAT_ND, shape, rank, data);
  if (tensor == NULL) CHECK(ACL_ERROR_FAILURE);
  return tensor;
}

int main(void) {
  aclFloat16 x1[kAll], x2[kAll], gamma[kCols], beta[kCols], y[kAll], x[kAll], dy[kAll], dx[kAll];
  float mean[kRows], rstd[kRows], dgamma[kCols], dbeta[kCols], expected_dbeta[kCols] = {0};
  for (int i = 0; i < kAll; ++i) {
    x1[i] = aclFloatToFloat16((float)(i % 7) - 3.0f);
    x2[i] = aclFloatToFloat16(0.25f * (float)(i % 5));
    dy[i] = aclFloatToFloat16(0.125f * (float)(i % 11 - 5));
    expected_dbeta[i % kCols] += aclFloat16ToFloat(dy[i]);
  }
  for (int i = 0; i < kCols; ++i) {
    gamma[i] = aclFloatToFloat16(1.0f + 0.25f * (float)i);
    beta[i] = aclFloatToFloat16(0.5f);
  }

  aclrtStream stream = NULL;
  CHECK(aclInit(NULL));
  CHECK(aclrtSetDevice(0));
  CHECK(aclrtCreateStream(&stream));
  aclTensor* tensors[] = {
      Make(kFull, 2, ACL_FLOAT16, x1),     Make(kFull, 2, ACL_FLOAT16, x2),     Make(kVector, 1, ACL_FLOAT16, gamma),
      Make(kVector, 1, ACL_FLOAT16, beta), Make(kFull, 2, ACL_FLOAT16, y),      Make(kStat, 2, ACL_FLOAT, mean),
      Make(kStat, 2, ACL_FLOAT, rstd),     Make(kFull, 2, ACL_FLOAT16, x),      Make(kFull, 2, ACL_FLOAT16, dy),
      Make(kFull, 2, ACL_FLOAT16, dx),     Make(kVector, 1, ACL_FLOAT, dgamma), Make(kVector, 1, ACL_FLOAT, dbeta),
  };
  uint64_t bytes = 0;
  aclOpExecutor* executor = NULL;
  void* workspace = NULL;

  CHECK(aclnnAddLayerNormGetWorkspaceSize(tensors[0], tensors[1], tensors[2], tensors[3], NULL, 1e-5, true, tensors[4], tensors[5],
                                          tensors[6], tensors[7], &bytes, &executor));
  if (bytes != 0) CHECK(aclrtMalloc(&workspace, bytes, ACL_MEM_MALLOC_HUGE_FIRST));
  CHECK(aclnnAddLayerNorm(workspace, bytes, executor, stream));
  CHECK(aclrtSynchronizeStream(stream));
  if (workspace != NULL) CHECK(aclrtFree(workspace));

  workspace = NULL;
  CHECK(aclnnAddLayerNormGradGetWorkspaceSize(tensors[8], tensors[0], tensors[1], tensors[6], tensors[5], tensors[2], NULL, tensors[9],
                                              tensors[10], tensors[11], &bytes, &executor));
  CHECK(aclSetAclOpExecutorRepeatable(executor));
  if (bytes != 0) CHECK(aclrtMalloc(&workspace, bytes, ACL_MEM_MALLOC_HUGE_FIRST));
  for (int step = 0; step < 3; ++step) {
    CHECK(aclnnAddLayerNormGrad(workspace, bytes, executor, stream));
    CHECK(aclrtSynchronizeStreamWithTimeout(stream, 1000));
  }
  CHECK(aclDestroyAclOpExecutor(executor));
  if (workspace != NULL) CHECK(aclrtFree(workspace));

  int wrong = 0;
  for (int i = 0; i < kCols; ++i) wrong += fabsf(dbeta[i] - expected_dbeta[i]) > 1e-6f;
  for (int r = 0; r < kRows; ++r) { /* a gradient through LayerNorm sums to zero over each row */
    float sum = 0;
    for (int i = 0; i < kCols; ++i) sum += aclFloat16ToFloat(dx[r * kCols + i]);
    printf("row %d: mean %8.5f rstd %8.5f y[0] %8.5f dx[0] %8.5f sum of dx %9.2e\n", r, mean[r], rstd[r], aclFloat16ToFloat(y[r * kCols]),
           aclFloat16ToFloat(dx[r * kCols]), sum);
    wrong += fabsf(sum) > 5e-3f;
  }
  for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; ++i) CHECK(aclDestroyTensor(tensors[i]));
  CHECK(aclrtDestroyStream(stream));
  CHECK(aclrtResetDevice(0));
  CHECK(aclFinalize());
  return wrong == 0 ? 0 : 1;
}
