/* SPDX-License-Identifier: Apache-2.0
 * out = (input - mean) rstd weight + bias over the trailing dimensions normalizedShape of input [A.., R..],
 * rstd = (mean((input - mean)^2) + eps)^-1/2.
 *
 *   input             [A.., R..], FLOAT, FLOAT16 or BFLOAT16
 *   normalizedShape   1 to 8 entries, equal to the last dimensions of input
 *   weightOptional, biasOptional   [R..], input's type or FLOAT, the same type; null = 1, 0
 *   eps               finite, >= 0
 *   out               [A.., R..];  meanOutOptional, rstdOutOptional: [A.., 1..], may be null; any of the three types each
 *   implMode          0, 1 or 2; all three give the same bits, those of aclnnLayerNorm
 * No rows: nothing is written, and out may have any shape. R empty: mean 0, rstd NaN. Rules and codes: docs/aclnn.md.
 * Any strides and offsets, on inputs and outputs. An output may be exactly one of the inputs; any other overlap is refused.
 * Phase 1 checks and plans, phase 2 computes with a workspace of at least *workspaceSize bytes and consumes the executor.
 */
#ifndef ADDNORM_ACLNNOP_ACLNN_LAYER_NORM_H_
#define ADDNORM_ACLNNOP_ACLNN_LAYER_NORM_H_

#include "aclnn/aclnn_base.h"

#ifdef __cplusplus
extern "C" {
#endif

ACL_FUNC_VISIBILITY aclnnStatus aclnnLayerNormGetWorkspaceSize(const aclTensor* input, const aclIntArray* normalizedShape,
                                                               const aclTensor* weightOptional, const aclTensor* biasOptional, double eps,
                                                               aclTensor* out, aclTensor* meanOutOptional, aclTensor* rstdOutOptional,
                                                               uint64_t* workspaceSize, aclOpExecutor** executor) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclnnStatus aclnnLayerNorm(void* workspace, uint64_t workspaceSize, aclOpExecutor* executor,
                                               aclrtStream stream) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclnnStatus aclnnLayerNormWithImplModeGetWorkspaceSize(const aclTensor* input, const aclIntArray* normalizedShape,
                                                                           const aclTensor* weightOptional, const aclTensor* biasOptional,
                                                                           double eps, aclTensor* out, aclTensor* meanOutOptional,
                                                                           aclTensor* rstdOutOptional, int32_t implMode,
                                                                           uint64_t* workspaceSize,
                                                                           aclOpExecutor** executor) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclnnStatus aclnnLayerNormWithImplMode(void* workspace, uint64_t workspaceSize, aclOpExecutor* executor,
                                                           aclrtStream stream) ADDNORM_ACL_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif /* ADDNORM_ACLNNOP_ACLNN_LAYER_NORM_H_ */
