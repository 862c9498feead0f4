/* SPDX-License-Identifier: Apache-2.0
 * mmOut = sum over ranks of (x1 @ ((x2 + antiquantOffset) antiquantScale) + bias),  residual += mmOut,
 * normOut = residual rsqrt(mean(residual^2) + epsilon) gamma
 *
 *   x1 [b, s, k] or [s, k], bias (may be null) [n], residual, normOut [b, s, n], gamma [n]: FLOAT16 or BFLOAT16,
 *   all the same type;  x2 [k, n] or the transposed view of [n, k]: INT8
 *   antiquantScale [1], [n], [1, n], or [ceil(k / antiquantGroupSize), n], antiquantOffset (may be null) alike: x1's type
 *   antiquantGroupSize 0, or a multiple of 32 in [32, k - 1]
 *   0 < epsilon < 1;  group: HcclGetCommName's, of 1, 2, 4 or 8 ranks; the rank is that of the calling thread's device
 *   reduceOp "sum" (or null), commTurn 0, streamMode 1. No rows or n = 0: nothing is done
 * All tensors but x2 are contiguous. Rules and codes: docs/aclnn.md.
 * Phase 1 waits for nobody. Phase 2 computes on the stream's thread with the other ranks' phase 2, whatever the workspace, and consumes
 * the executor; a failure, of this or another rank, is told by the stream's synchronisation. residual and normOut are then untouched.
 */
#ifndef ADDNORM_ACLNNOP_ACLNN_INPLACE_WEIGHT_QUANT_MATMUL_ALL_REDUCE_ADD_RMS_NORM_H_
#define ADDNORM_ACLNNOP_ACLNN_INPLACE_WEIGHT_QUANT_MATMUL_ALL_REDUCE_ADD_RMS_NORM_H_

/* Programs rely on these. */
#ifdef __cplusplus
#include <cstdio>
#include <memory>
#include <string>
#endif

#include "aclnn/aclnn_base.h"
#include "aclnn_util.h"
#include "hccl/hccl.h"
#include "hccl/hccl_types.h"

#ifdef __cplusplus
extern "C" {
#endif

ACLNN_API aclnnStatus aclnnInplaceWeightQuantMatmulAllReduceAddRmsNormGetWorkspaceSize(
    const aclTensor* x1, const aclTensor* x2, const aclTensor* bias, const aclTensor* antiquantScale, const aclTensor* antiquantOffset,
    const aclTensor* residual, const aclTensor* gamma, double epsilon, const char* group, const char* reduceOp, int64_t commTurn,
    int64_t streamMode, int64_t antiquantGroupSize, const aclTensor* normOut, uint64_t* workspaceSize,
    aclOpExecutor** executor) ADDNORM_ACL_NOEXCEPT;
ACLNN_API aclnnStatus aclnnInplaceWeightQuantMatmulAllReduceAddRmsNorm(void* workspace, uint64_t workspaceSize, aclOpExecutor* executor,
                                                                       aclrtStream stream) ADDNORM_ACL_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif /* ADDNORM_ACLNNOP_ACLNN_INPLACE_WEIGHT_QUANT_MATMUL_ALL_REDUCE_ADD_RMS_NORM_H_ */
