/* SPDX-License-Identifier: Apache-2.0
 * LayerNorm backward of h = x1 + x2 [A.., R..], with given statistics (R = gamma's dimensions):
 *   xhat = (h - mean) rstd,  w = gamma dy
 *   dx = rstd (w - mean_R(w) - xhat mean_R(w xhat)) + dsum,  dgamma = sum_A(dy xhat),  dbeta = sum_A(dy);  dx = dx1 = dx2
 *
 *   dy, x1, x2, dsumOptional, dxOut   [A.., R..], FLOAT, FLOAT16 or BFLOAT16, the same type; dsumOptional null = 0
 *   rstd, mean                        [A.., 1..] or [A..], FLOAT, used as given
 *   gamma                             [R..], dy's type or FLOAT; null = ones, R then from dgammaOut
 *   dgammaOut, dbetaOut               [R..], FLOAT
 * No rows: dgamma = dbeta = 0. Shape faults give 561002, type faults 161002, null 161001. Rules: docs/aclnn.md.
 * Any strides and offsets, on inputs and outputs. An output may be exactly one of the inputs; any other overlap is refused.
 * Phase 1 checks and plans, phase 2 computes with a workspace of at least *workspaceSize bytes and consumes the executor.
 */
#ifndef ADDNORM_ACLNNOP_ACLNN_ADD_LAYER_NORM_GRAD_H_
#define ADDNORM_ACLNNOP_ACLNN_ADD_LAYER_NORM_GRAD_H_

#include "aclnn/acl_meta.h"

#ifdef __cplusplus
extern "C" {
#endif

ACL_FUNC_VISIBILITY aclnnStatus aclnnAddLayerNormGradGetWorkspaceSize(const aclTensor* dy, const aclTensor* x1, const aclTensor* x2,
                                                                      const aclTensor* rstd, const aclTensor* mean, const aclTensor* gamma,
                                                                      const aclTensor* dsumOptional, const aclTensor* dxOut,
                                                                      const aclTensor* dgammaOut, const aclTensor* dbetaOut,
                                                                      uint64_t* workspaceSize,
                                                                      aclOpExecutor** executor) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclnnStatus aclnnAddLayerNormGrad(void* workspace, uint64_t workspaceSize, aclOpExecutor* executor,
                                                      aclrtStream stream) ADDNORM_ACL_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif /* ADDNORM_ACLNNOP_ACLNN_ADD_LAYER_NORM_GRAD_H_ */
