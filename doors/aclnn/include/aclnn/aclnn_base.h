/* SPDX-License-Identifier: Apache-2.0
 * What the aclnn operators' headers build on.
 */
#ifndef ADDNORM_ACLNN_ACLNN_BASE_H_
#define ADDNORM_ACLNN_ACLNN_BASE_H_

#include "aclnn/acl_meta.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Optional; configPath is not read. Both may be called any number of times. */
ACL_FUNC_VISIBILITY aclnnStatus aclnnInit(const char* configPath) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclnnStatus aclnnFinalize(void) ADDNORM_ACL_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif /* ADDNORM_ACLNN_ACLNN_BASE_H_ */
