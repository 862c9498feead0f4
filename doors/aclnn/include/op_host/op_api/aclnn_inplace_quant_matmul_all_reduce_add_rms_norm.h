/* SPDX-License-Identifier: Apache-2.0
 * The operator's header, where programs that lie next to CANN's sources include it from:
 * "../op_host/op_api/aclnn_inplace_quant_matmul_all_reduce_add_rms_norm.h".
 */
#ifndef ADDNORM_OP_HOST_ACLNN_INPLACE_QUANT_MATMUL_ALL_REDUCE_ADD_RMS_NORM_H_
#define ADDNORM_OP_HOST_ACLNN_INPLACE_QUANT_MATMUL_ALL_REDUCE_ADD_RMS_NORM_H_

#include "aclnnop/aclnn_inplace_quant_matmul_all_reduce_add_rms_norm.h"

#endif /* ADDNORM_OP_HOST_ACLNN_INPLACE_QUANT_MATMUL_ALL_REDUCE_ADD_RMS_NORM_H_ */
