/* SPDX-License-Identifier: Apache-2.0
 * Start and end of a program, and everything else of the acl interface that the aclnn operators need.
 */
#ifndef ADDNORM_ACL_ACL_H_
#define ADDNORM_ACL_ACL_H_

#include "acl/acl_base.h"
#include "acl/acl_mdl.h"
#include "acl/acl_op.h"
#include "acl/acl_rt.h"

#ifdef __cplusplus
extern "C" {
#endif

/* configPath is not read; null is usual. A second aclInit gives ACL_ERROR_REPEAT_INITIALIZE. */
ACL_FUNC_VISIBILITY aclError aclInit(const char* configPath) ADDNORM_ACL_NOEXCEPT;
/* ACL_ERROR_UNINITIALIZE before aclInit, ACL_ERROR_REPEAT_FINALIZE the second time. Objects still alive stay valid. */
ACL_FUNC_VISIBILITY aclError aclFinalize(void) ADDNORM_ACL_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif /* ADDNORM_ACL_ACL_H_ */
