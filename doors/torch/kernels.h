// SPDX-License-Identifier: Apache-2.0
// The boxed kernels of torch.ops.addnorm, one per schema in library.cc.
#ifndef ADDNORM_DOORS_TORCH_KERNELS_H_
#define ADDNORM_DOORS_TORCH_KERNELS_H_

#include <torch/csrc/stable/library.h>

namespace addnorm::torch_door {

void DropoutAddNorm(StableIValue* stack, uint64_t inputs, uint64_t outputs);
void DropoutAddNormBackward(StableIValue* stack, uint64_t inputs, uint64_t outputs);
void AddLayerNormGrad(StableIValue* stack, uint64_t inputs, uint64_t outputs);
void LayerNormBackward(StableIValue* stack, uint64_t inputs, uint64_t outputs);

}  // namespace addnorm::torch_door

#endif  // ADDNORM_DOORS_TORCH_KERNELS_H_
