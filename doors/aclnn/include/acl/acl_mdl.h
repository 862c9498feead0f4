/* SPDX-License-Identifier: Apache-2.0
 * Offline models (aclmdlLoadFromFile and the like) are not part of this library. Programs include this header for the types behind it.
 */
#ifndef ADDNORM_ACL_ACL_MDL_H_
#define ADDNORM_ACL_ACL_MDL_H_

#include "acl/acl_rt.h"

#endif /* ADDNORM_ACL_ACL_MDL_H_ */
