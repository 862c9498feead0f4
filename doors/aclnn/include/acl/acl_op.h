/* SPDX-License-Identifier: Apache-2.0
 * Operators by name (aclopExecuteV2 and the like) are not part of this library, which has the aclnn operators. Programs include this header
 * for the types behind it.
 */
#ifndef ADDNORM_ACL_ACL_OP_H_
#define ADDNORM_ACL_ACL_OP_H_

#include "acl/acl_rt.h"

#endif /* ADDNORM_ACL_ACL_OP_H_ */
