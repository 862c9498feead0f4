/* SPDX-License-Identifier: Apache-2.0
 * Scales (and offsets) as the 64-bit words that dequantScale is made of, on the host:
 *   bits 0 to 31 = the scale as float with its 13 low bits 0, bits 37 to 45 = the offset as an integer in [-256, 255], bit 46 = 1
 *
 *   scaleArray of scaleSize >= 1 values, offsetArray of offsetSize values; null with size 0 = no offsets
 *   scaleSize and offsetSize are equal, or one of them is 1 and serves for all
 *   quantParam receives an array of max(scaleSize, offsetSize) words, made with C++ new[]: free it with delete[]
 * Offsets are rounded to nearest even; one that is NaN is 0. Rules and codes: docs/aclnn.md.
 */
#ifndef ADDNORM_ACLNNOP_ACLNN_TRANS_QUANT_PARAM_H_
#define ADDNORM_ACLNNOP_ACLNN_TRANS_QUANT_PARAM_H_

#include "aclnn/aclnn_base.h"
#include "aclnn_util.h"

#ifdef __cplusplus
extern "C" {
#endif

ACLNN_API aclnnStatus aclnnTransQuantParam(const float* scaleArray, uint64_t scaleSize, const float* offsetArray, uint64_t offsetSize,
                                           uint64_t** quantParam, uint64_t* quantParamSize) ADDNORM_ACL_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif /* ADDNORM_ACLNNOP_ACLNN_TRANS_QUANT_PARAM_H_ */
