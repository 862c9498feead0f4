/* SPDX-License-Identifier: Apache-2.0
 * LayerNorm backward over the trailing dimensions normalizedShape of input [A.., R..], with given statistics (M = numel(A), N = numel(R)):
 *   xhat = (input - mean) rstd,  w = weight gradOut
 *   gradInput = rstd (w - mean_R(w) - xhat mean_R(w xhat)),  gradWeight = sum_A(gradOut xhat),  gradBias = sum_A(gradOut)
 *
 *   gradOut, input    [A.., R..], FLOAT, FLOAT16 or BFLOAT16, the same type and shape
 *   normalizedShape   1 to 8 entries, equal to the last dimensions of input
 *   mean, rstd        M elements, the same shape; used as given
 *   weightOptional    [R..], input's type or FLOAT; null = ones
 *   biasOptional      [R..]; checked, has no part in the result; may be null
 *   outputMask        3 values: which of gradInput, gradWeight, gradBias are wanted; those may not be null
 *   gradInputOut      [A.., R..];  gradWeightOut, gradBiasOut: N elements; any of the three types each, rounded once
 * M = 0 writes zeros to gradWeight and gradBias, N = 0 writes nothing. Rules and codes: docs/aclnn.md.
 * Any strides and offsets, on inputs and outputs. An output may be exactly one of the inputs; any other overlap is refused.
 * Phase 1 checks and plans, phase 2 computes with a workspace of at least *workspaceSize bytes and consumes the executor.
 */
#ifndef ADDNORM_ACLNNOP_ACLNN_LAYER_NORM_BACKWARD_H_
#define ADDNORM_ACLNNOP_ACLNN_LAYER_NORM_BACKWARD_H_

#include "aclnn/aclnn_base.h"

#ifdef __cplusplus
extern "C" {
#endif

ACL_FUNC_VISIBILITY aclnnStatus aclnnLayerNormBackwardGetWorkspaceSize(
    const aclTensor* gradOut, const aclTensor* input, const aclIntArray* normalizedShape, const aclTensor* mean, const aclTensor* rstd,
    const aclTensor* weightOptional, const aclTensor* biasOptional, const aclBoolArray* outputMask, aclTensor* gradInputOut,
    aclTensor* gradWeightOut, aclTensor* gradBiasOut, uint64_t* workspaceSize, aclOpExecutor** executor) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclnnStatus aclnnLayerNormBackward(void* workspace, uint64_t workspaceSize, aclOpExecutor* executor,
                                                       aclrtStream stream) ADDNORM_ACL_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif /* ADDNORM_ACLNNOP_ACLNN_LAYER_NORM_BACKWARD_H_ */
