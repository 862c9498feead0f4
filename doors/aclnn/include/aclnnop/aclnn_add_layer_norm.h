/* SPDX-License-Identifier: Apache-2.0
 * h = x1 + x2 + bias (unrounded),  y = (h - mean) rstd gamma + beta over gamma's dimensions R,  x = h rounded.
 *
 *   x1, x2, yOut, xOut   [A.., R..]; gamma, beta [R..]; biasOptional [R..] or [A.., R..], null = 0
 *   meanOut, rstdOut     [A.., 1..] or [A..], FLOAT
 *   Types: x1 = x2 = bias = y = x with gamma = beta the same or FLOAT; or one of x1, x2 FLOAT, the other 16 bits and all the rest FLOAT.
 *   epsilon finite, >= 0. xOut is required, and written only if additionalOutput. Rules and codes: docs/aclnn.md.
 * Any strides and offsets, on inputs and outputs. An output may be exactly one of the inputs; any other overlap is refused.
 * Phase 1 checks and plans, phase 2 computes with a workspace of at least *workspaceSize bytes and consumes the executor.
 */
#ifndef ADDNORM_ACLNNOP_ACLNN_ADD_LAYER_NORM_H_
#define ADDNORM_ACLNNOP_ACLNN_ADD_LAYER_NORM_H_

#include "aclnn/acl_meta.h"

#ifdef __cplusplus
extern "C" {
#endif

ACL_FUNC_VISIBILITY aclnnStatus aclnnAddLayerNormGetWorkspaceSize(const aclTensor* x1, const aclTensor* x2, const aclTensor* gamma,
                                                                  const aclTensor* beta, const aclTensor* biasOptional, double epsilon,
                                                                  bool additionalOutput, const aclTensor* yOut, const aclTensor* meanOut,
                                                                  const aclTensor* rstdOut, const aclTensor* xOut, uint64_t* workspaceSize,
                                                                  aclOpExecutor** executor) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclnnStatus aclnnAddLayerNorm(void* workspace, uint64_t workspaceSize, aclOpExecutor* executor,
                                                  aclrtStream stream) ADDNORM_ACL_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif /* ADDNORM_ACLNNOP_ACLNN_ADD_LAYER_NORM_H_ */
