/* SPDX-License-Identifier: Apache-2.0
 * What operators' headers mark their functions with.
 */
#ifndef ADDNORM_ACLNN_UTIL_H_
#define ADDNORM_ACLNN_UTIL_H_

#include "acl/acl_base.h"

#ifndef ACLNN_API
#define ACLNN_API ACL_FUNC_VISIBILITY
#endif

#endif /* ADDNORM_ACLNN_UTIL_H_ */
