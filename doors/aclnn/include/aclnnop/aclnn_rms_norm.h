/* SPDX-License-Identifier: Apache-2.0
 * y = x rstd gamma,  rstd = (mean(x^2) + epsilon)^-1/2 over gamma's dimensions R.
 *
 *   x, yOut   [A.., R..], FLOAT, FLOAT16 or BFLOAT16, the same type;  gamma [R..], x's type or FLOAT
 *   rstdOut   [A.., 1..] or [A..], FLOAT
 *   epsilon finite, >= 0. No rows: nothing is written. R empty: rstd NaN. Rules and codes: docs/aclnn.md.
 * Any strides and offsets, on inputs and outputs. An output may be exactly one of the inputs; any other overlap is refused.
 * Phase 1 checks and plans, phase 2 computes with a workspace of at least *workspaceSize bytes and consumes the executor.
 */
#ifndef ADDNORM_ACLNNOP_ACLNN_RMS_NORM_H_
#define ADDNORM_ACLNNOP_ACLNN_RMS_NORM_H_

#include "aclnn/acl_meta.h"

#ifdef __cplusplus
extern "C" {
#endif

ACL_FUNC_VISIBILITY aclnnStatus aclnnRmsNormGetWorkspaceSize(const aclTensor* x, const aclTensor* gamma, double epsilon,
                                                             const aclTensor* yOut, const aclTensor* rstdOut, uint64_t* workspaceSize,
                                                             aclOpExecutor** executor) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclnnStatus aclnnRmsNorm(void* workspace, uint64_t workspaceSize, aclOpExecutor* executor,
                                             aclrtStream stream) ADDNORM_ACL_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif /* ADDNORM_ACLNNOP_ACLNN_RMS_NORM_H_ */
