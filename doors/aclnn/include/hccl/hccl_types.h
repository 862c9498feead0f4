/* SPDX-License-Identifier: Apache-2.0
 * Vocabulary of the hccl interface. Names and values are those of CANN.
 */
#ifndef ADDNORM_HCCL_HCCL_TYPES_H_
#define ADDNORM_HCCL_HCCL_TYPES_H_

#include "acl/acl_base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum ADDNORM_ACL_ANY_INT {
  HCCL_SUCCESS = 0,
  HCCL_E_PARA = 1,
  HCCL_E_PTR = 2,
  HCCL_E_MEMORY = 3,
  HCCL_E_INTERNAL = 4,
  HCCL_E_NOT_SUPPORT = 5,
  HCCL_E_NOT_FOUND = 6,
  HCCL_E_UNAVAIL = 7,
  HCCL_E_SYSCALL = 8,
  HCCL_E_TIMEOUT = 9
} HcclResult;

typedef enum ADDNORM_ACL_ANY_INT { HCCL_REDUCE_SUM = 0, HCCL_REDUCE_PROD = 1, HCCL_REDUCE_MAX = 2, HCCL_REDUCE_MIN = 3 } HcclReduceOp;

typedef enum ADDNORM_ACL_ANY_INT {
  HCCL_DATA_TYPE_INT8 = 0,
  HCCL_DATA_TYPE_INT16 = 1,
  HCCL_DATA_TYPE_INT32 = 2,
  HCCL_DATA_TYPE_FP16 = 3,
  HCCL_DATA_TYPE_FP32 = 4,
  HCCL_DATA_TYPE_INT64 = 5,
  HCCL_DATA_TYPE_UINT64 = 6,
  HCCL_DATA_TYPE_UINT8 = 7,
  HCCL_DATA_TYPE_UINT16 = 8,
  HCCL_DATA_TYPE_UINT32 = 9,
  HCCL_DATA_TYPE_FP64 = 10,
  HCCL_DATA_TYPE_BFP16 = 11
} HcclDataType;

/* One rank of a group: an opaque handle that is proved alive and of its type before use. */
typedef void* HcclComm;

/* Bytes that a buffer for HcclGetCommName holds. */
#define COMM_NAME_MAX_LENGTH 128

#ifdef __cplusplus
}
#endif
#endif /* ADDNORM_HCCL_HCCL_TYPES_H_ */
