/* SPDX-License-Identifier: Apache-2.0
 * h = x1 + x2 (unrounded),  y = h rstd gamma,  rstd = (mean(h^2) + epsilon)^-1/2 over gamma's dimensions R,  x = h rounded.
 *
 *   x1, x2, yOut, xOut   [A.., R..], gamma [R..]: FLOAT, FLOAT16 or BFLOAT16, all the same type
 *   rstdOut              [A.., 1..] or [A..], FLOAT
 *   epsilon finite, >= 0. rstdOut may be null, and then xOut too. Rules and codes: docs/aclnn.md.
 *   gamma empty: rstdOut is filled with NaN, else x1 empty: nothing is written; in both cases gamma and rstdOut may have any shape.
 * Any strides and offsets, on inputs and outputs. An output may be exactly one of the inputs; any other overlap is refused.
 * Phase 1 checks and plans, phase 2 computes with a workspace of at least *workspaceSize bytes and consumes the executor.
 */
#ifndef ADDNORM_ACLNNOP_ACLNN_ADD_RMS_NORM_H_
#define ADDNORM_ACLNNOP_ACLNN_ADD_RMS_NORM_H_

#include "aclnn/aclnn_base.h"

#ifdef __cplusplus
extern "C" {
#endif

ACL_FUNC_VISIBILITY aclnnStatus aclnnAddRmsNormGetWorkspaceSize(const aclTensor* x1, const aclTensor* x2, const aclTensor* gamma,
                                                                double epsilon, aclTensor* yOut, aclTensor* rstdOut, aclTensor* xOut,
                                                                uint64_t* workspaceSize, aclOpExecutor** executor) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclnnStatus aclnnAddRmsNorm(void* workspace, uint64_t workspaceSize, aclOpExecutor* executor,
                                                aclrtStream stream) ADDNORM_ACL_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif /* ADDNORM_ACLNNOP_ACLNN_ADD_RMS_NORM_H_ */
