/* SPDX-License-Identifier: Apache-2.0
 * The base vocabulary by its other name, for programs that include it directly.
 */
#ifndef ADDNORM_ACL_ACL_BASE_RT_H_
#define ADDNORM_ACL_ACL_BASE_RT_H_

#include "acl/acl_base.h"

#endif /* ADDNORM_ACL_ACL_BASE_RT_H_ */
