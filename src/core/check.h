// SPDX-License-Identifier: Apache-2.0
// All argument rules of the core, in one place: problems in, kernel arguments or a refusal out.
#ifndef ADDNORM_SRC_CORE_CHECK_H_
#define ADDNORM_SRC_CORE_CHECK_H_

#include "addnorm/addnorm.h"
#include "src/core/args.h"

namespace addnorm {

Status Check(const ForwardProblem& problem, ForwardArgs* args);
Status Check(const BackwardProblem& problem, BackwardArgs* args);

}  // namespace addnorm
#endif  // ADDNORM_SRC_CORE_CHECK_H_
