// SPDX-License-Identifier: Apache-2.0
// What the six operators of MatmulAllReduceAddRmsNorm share: one phase 1 over their arguments, and the work of phase 2.
#ifndef ADDNORM_DOORS_ACLNN_MATMUL_ALL_REDUCE_H_
#define ADDNORM_DOORS_ACLNN_MATMUL_ALL_REDUCE_H_

#include <cstdint>

#include "doors/aclnn/src/call.h"

namespace addnorm::aclnn::matmul_all_reduce {

enum Slot : int { kX1, kX2, kBias, kScale, kOffset, kResidual, kGamma, kY, kNormOut, kSlots };
enum class Scenario : uint8_t { kPlain, kQuant, kWeightQuant };

// The arguments of all six. What an operator does not have stays as it is.
struct Arguments {
  const char* api = nullptr;
  Scenario scenario = Scenario::kPlain;
  const aclTensor *x1 = nullptr, *x2 = nullptr, *bias = nullptr;
  const aclTensor *scale = nullptr, *offset = nullptr;  // dequantScale; antiquantScale and antiquantOffset
  const aclTensor *residual = nullptr, *gamma = nullptr;
  double epsilon = 0;
  const char *group = nullptr, *reduce_op = nullptr;
  int64_t comm_turn = 0, stream_mode = 0, group_size = 0;
  bool in_place = false;  // y is residual
  const aclTensor *y = nullptr, *norm_out = nullptr;
  uint64_t* workspace_size = nullptr;
  aclOpExecutor** executor = nullptr;

  // Some tensor has no elements: there is nothing to compute, and of attributes and outputs nothing is asked.
  bool empty = false;
};

// The rules of docs/aclnn.md on tensors that are taken; false after the first that does not hold.
bool CheckInputs(Call& c, Arguments* a) noexcept;
bool CheckTensors(Call& c, const Arguments& a) noexcept;
bool CheckAttributes(Call& c, const Arguments& a) noexcept;

}  // namespace addnorm::aclnn::matmul_all_reduce
#endif  // ADDNORM_DOORS_ACLNN_MATMUL_ALL_REDUCE_H_
