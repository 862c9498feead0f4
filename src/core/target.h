// SPDX-License-Identifier: Apache-2.0
// Which SIMD target a plan uses.
#ifndef ADDNORM_SRC_CORE_TARGET_H_
#define ADDNORM_SRC_CORE_TARGET_H_

#include "addnorm/types.h"
#include "src/core/rows.h"

namespace addnorm {

// The calling thread's override, else ADDNORM_TARGET, else the best that the machine has. kUnsupported if a name is unknown.
Status ChooseTarget(const char* api, const Target** target);

}  // namespace addnorm
#endif  // ADDNORM_SRC_CORE_TARGET_H_
