// SPDX-License-Identifier: Apache-2.0
// The core's loops on torch's own threads: one pool in the process, and torch.set_num_threads is obeyed.
#ifndef ADDNORM_DOORS_TORCH_EXECUTOR_H_
#define ADDNORM_DOORS_TORCH_EXECUTOR_H_

#include "addnorm/types.h"

namespace addnorm::torch_door {

const Executor& TorchExecutor();

}  // namespace addnorm::torch_door

#endif  // ADDNORM_DOORS_TORCH_EXECUTOR_H_
