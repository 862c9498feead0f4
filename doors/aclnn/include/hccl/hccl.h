/* SPDX-License-Identifier: Apache-2.0
 * Groups of ranks: threads of one process, one rank for each virtual device.
 *
 * A null pointer gives HCCL_E_PTR, a value out of range and a destroyed or foreign handle HCCL_E_PARA, with a text for
 * aclGetRecentErrMsg; nothing has been written then. Rules: docs/aclnn.md.
 */
#ifndef ADDNORM_HCCL_HCCL_H_
#define ADDNORM_HCCL_HCCL_H_

#include "acl/acl.h"
#include "hccl/hccl_types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A group of ndev ranks, rank i on device devices[i], each device at most once. comms receives ndev handles.
 * A call of the group that lasts longer than ADDNORM_TIMEOUT seconds (an environment variable, read here; 30) fails on all its ranks. */
ACL_FUNC_VISIBILITY HcclResult HcclCommInitAll(uint32_t ndev, int32_t* devices, HcclComm* comms) ADDNORM_ACL_NOEXCEPT;
/* The name of the group, the same for all its ranks, into COMM_NAME_MAX_LENGTH bytes. Where an operator takes it, the rank is that of the
 * calling thread's device. */
ACL_FUNC_VISIBILITY HcclResult HcclGetCommName(HcclComm comm, char* commName) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY HcclResult HcclGetRankSize(HcclComm comm, uint32_t* rankSize) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY HcclResult HcclGetRankId(HcclComm comm, uint32_t* rank) ADDNORM_ACL_NOEXCEPT;
/* The rank leaves the group when its work has ended: what other ranks wait for of it after that fails at once. */
ACL_FUNC_VISIBILITY HcclResult HcclCommDestroy(HcclComm comm) ADDNORM_ACL_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif /* ADDNORM_HCCL_HCCL_H_ */
