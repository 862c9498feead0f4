// SPDX-License-Identifier: Apache-2.0
// The six MatmulAllReduceAddRmsNorm operators. Formulas and arguments: their headers; rules: docs/aclnn.md.
#include "doors/aclnn/src/matmul_all_reduce.h"

#include <new>

#include "aclnnop/aclnn_inplace_matmul_all_reduce_add_rms_norm.h"
#include "aclnnop/aclnn_inplace_quant_matmul_all_reduce_add_rms_norm.h"
#include "aclnnop/aclnn_inplace_weight_quant_matmul_all_reduce_add_rms_norm.h"
#include "aclnnop/aclnn_matmul_all_reduce_add_rms_norm.h"
#include "aclnnop/aclnn_quant_matmul_all_reduce_add_rms_norm.h"
#include "aclnnop/aclnn_weight_quant_matmul_all_reduce_add_rms_norm.h"
#include "addnorm/parallel.h"
#include "doors/aclnn/src/ranks.h"

namespace addnorm::aclnn::matmul_all_reduce {
namespace {

constexpr const char *kPlainApi = "aclnnMatmulAllReduceAddRmsNorm", *kQuantApi = "aclnnQuantMatmulAllReduceAddRmsNorm",
                     *kWeightQuantApi = "aclnnWeightQuantMatmulAllReduceAddRmsNorm", *kInplaceApi = "aclnnInplaceMatmulAllReduceAddRmsNorm",
                     *kInplaceQuantApi = "aclnnInplaceQuantMatmulAllReduceAddRmsNorm",
                     *kInplaceWeightQuantApi = "aclnnInplaceWeightQuantMatmulAllReduceAddRmsNorm";

bool IsQuantised(const Executor& e) { return e[kX1].dtype == DType::kI8; }

TensorView Whole(const Operand& o) {
  if (!o.present) return {};
  return {o.view.data, o.dtype, {o.view.shape, static_cast<size_t>(o.view.rank)}, {}};
}

addnorm::Status Compute(Executor& e) {
  MatmulAllReduceAddRmsNormProblem p;
  p.api = e.api;
  p.x1 = Whole(e[kX1]);
  p.x2 = Whole(e[kX2]);
  // A dimension of 1 may have any stride; what phase 1 has let through is the matrix or its transpose.
  const int64_t k = e[kX2].view.shape[0], n = e[kX2].view.shape[1];
  const bool plain = (n == 1 || e[kX2].view.strides[1] == 1) && (k == 1 || e[kX2].view.strides[0] == n);
  const int64_t strides[] = {plain ? n : 1, plain ? 1 : k};
  p.x2.strides = strides;
  p.bias = Whole(e[kBias]);
  p.residual = Whole(e[kResidual]);
  p.gamma = Whole(e[kGamma]);
  (IsQuantised(e) ? p.dequant_scale : p.antiquant_scale) = Whole(e[kScale]);
  p.antiquant_offset = Whole(e[kOffset]);
  p.antiquant_group_size = e.antiquant_group_size;
  p.epsilon = e.eps;
  p.ascend = true;
  p.y = Whole(e[kY]);
  p.norm_out = Whole(e[kNormOut]);
  std::lock_guard lock(e.rank->mutex);
  return MatmulAllReduceAddRmsNorm(p, *e.rank->communicator, e.rank->timeout);
}

aclnnStatus Run(Executor& e) noexcept {
  try {
    const addnorm::Status status = Compute(e);
    if (status.ok()) return ACLNN_SUCCESS;
    const bool others = status.code() == Code::kTimeout || status.code() == Code::kPeer;
    return Fail(others ? ACLNN_ERR_RUNTIME_ERROR : ACLNN_ERR_INNER, "%s: %s%s", e.api, others ? "rule 361001-4: " : "", status.message());
  } catch (const std::exception& error) {  // no memory for a text
    return Fail(ACLNN_ERR_INNER, "%s: %s", e.api, error.what());
  }
}

bool Take(Call& c, const Arguments& a) noexcept {
  const bool quantised = a.scenario == Scenario::kQuant;
  const bool taken =
      c.Take(kX1, "x1", a.x1, Role::kRows, false) && c.Take(kX2, "x2", a.x2, Role::kRows, false) &&
      c.Take(kBias, "bias", a.bias, Role::kRows, false) &&
      c.Take(kScale, quantised ? "dequantScale" : "antiquantScale", a.scale, Role::kRows, false) &&
      c.Take(kOffset, "antiquantOffset", a.offset, Role::kRows, false) && c.Take(kResidual, "residual", a.residual, Role::kRows, false) &&
      c.Take(kGamma, "gamma", a.gamma, Role::kRows, false) && c.Take(kY, a.in_place ? "residual" : "y", a.y, Role::kRows, true) &&
      c.Take(kNormOut, "normOut", a.norm_out, Role::kRows, true);
  if (!taken) return false;
  c[kY].may_be = kResidual;
  c[kNormOut].may_be = kNormOut;
  return true;
}

// CANN's operator takes INT64 for UINT64 by changing the tensor.
void MakeUnsigned(const aclTensor* handle) noexcept {
  const Pinned<Tensor> tensor(handle);
  aclDataType expected = ACL_INT64;
  if (tensor) tensor->dtype.compare_exchange_strong(expected, ACL_UINT64);
}

aclnnStatus Phase1(Arguments a) noexcept {
  const bool quantised = a.scenario == Scenario::kQuant;
  if (a.in_place) a.y = a.residual;
  Call c(a.api, ACLNN_ERR_INNER_TILING_ERROR, a.workspace_size, a.executor);
  const bool present =
      c.NotNull(1, "x1", a.x1) && c.NotNull(1, "x2", a.x2) && c.NotNull(1, "residual", a.residual) && c.NotNull(1, "gamma", a.gamma) &&
      (a.scenario == Scenario::kPlain || c.NotNull(1, quantised ? "dequantScale" : "antiquantScale", a.scale)) && c.Begin(2);
  const bool told = present && (a.scenario == Scenario::kWeightQuant ? c.NoFailedCreation({{"bias", a.bias}, {"antiquantOffset", a.offset}})
                                                                     : c.NoFailedCreation({{"bias", a.bias}}));
  if (!told || !Take(c, a) || !CheckInputs(c, &a) || !CheckTensors(c, a)) return c.status();
  if (!a.empty) {
    if (!CheckAttributes(c, a)) return c.status();
    Executor& e = c.executor();
    e.run_collective = Run;
    e.collective = true;
    e.antiquant_group_size = a.group_size;
    e.eps = a.epsilon;
  }
  const bool mend = quantised && c[kScale].acl_dtype == ACL_INT64;
  if (mend) c[kScale].acl_dtype = ACL_UINT64;
  const aclnnStatus status = c.Finish(nullptr);
  if (mend && status == ACLNN_SUCCESS) MakeUnsigned(a.scale);
  return status;
}

}  // namespace
}  // namespace addnorm::aclnn::matmul_all_reduce

using namespace addnorm::aclnn;
using namespace addnorm::aclnn::matmul_all_reduce;

extern "C" {
aclnnStatus aclnnMatmulAllReduceAddRmsNormGetWorkspaceSize(const aclTensor* x1, const aclTensor* x2, const aclTensor* bias,
                                                           const aclTensor* residual, const aclTensor* gamma, double epsilon,
                                                           const char* group, const char* reduceOp, int64_t commTurn, int64_t streamMode,
                                                           const aclTensor* y, const aclTensor* normOut, uint64_t* workspaceSize,
                                                           aclOpExecutor** executor) noexcept {
  return Phase1({.api = kPlainApi,
                 .scenario = Scenario::kPlain,
                 .x1 = x1,
                 .x2 = x2,
                 .bias = bias,
                 .residual = residual,
                 .gamma = gamma,
                 .epsilon = epsilon,
                 .group = group,
                 .reduce_op = reduceOp,
                 .comm_turn = commTurn,
                 .stream_mode = streamMode,
                 .y = y,
                 .norm_out = normOut,
                 .workspace_size = workspaceSize,
                 .executor = executor});
}
aclnnStatus aclnnMatmulAllReduceAddRmsNorm(void* workspace, uint64_t workspaceSize, aclOpExecutor* executor, aclrtStream stream) noexcept {
  return RunPhase2(kPlainApi, workspace, workspaceSize, executor, stream);
}

aclnnStatus aclnnQuantMatmulAllReduceAddRmsNormGetWorkspaceSize(const aclTensor* x1, const aclTensor* x2, const aclTensor* bias,
                                                                const aclTensor* dequantScale, const aclTensor* residual,
                                                                const aclTensor* gamma, double epsilon, const char* group,
                                                                const char* reduceOp, int64_t commTurn, int64_t streamMode,
                                                                const aclTensor* y, const aclTensor* normOut, uint64_t* workspaceSize,
                                                                aclOpExecutor** executor) noexcept {
  return Phase1({.api = kQuantApi,
                 .scenario = Scenario::kQuant,
                 .x1 = x1,
                 .x2 = x2,
                 .bias = bias,
                 .scale = dequantScale,
                 .residual = residual,
                 .gamma = gamma,
                 .epsilon = epsilon,
                 .group = group,
                 .reduce_op = reduceOp,
                 .comm_turn = commTurn,
                 .stream_mode = streamMode,
                 .y = y,
                 .norm_out = normOut,
                 .workspace_size = workspaceSize,
                 .executor = executor});
}
aclnnStatus aclnnQuantMatmulAllReduceAddRmsNorm(void* workspace, uint64_t workspaceSize, aclOpExecutor* executor,
                                                aclrtStream stream) noexcept {
  return RunPhase2(kQuantApi, workspace, workspaceSize, executor, stream);
}

aclnnStatus aclnnWeightQuantMatmulAllReduceAddRmsNormGetWorkspaceSize(const aclTensor* x1, const aclTensor* x2, const aclTensor* bias,
                                                                      const aclTensor* antiquantScale, const aclTensor* antiquantOffset,
                                                                      const aclTensor* residual, const aclTensor* gamma, double epsilon,
                                                                      const char* group, const char* reduceOp, int64_t commTurn,
                                                                      int64_t streamMode, int64_t antiquantGroupSize, const aclTensor* y,
                                                                      const aclTensor* normOut, uint64_t* workspaceSize,
                                                                      aclOpExecutor** executor) noexcept {
  return Phase1({.api = kWeightQuantApi,
                 .scenario = Scenario::kWeightQuant,
                 .x1 = x1,
                 .x2 = x2,
                 .bias = bias,
                 .scale = antiquantScale,
                 .offset = antiquantOffset,
                 .residual = residual,
                 .gamma = gamma,
                 .epsilon = epsilon,
                 .group = group,
                 .reduce_op = reduceOp,
                 .comm_turn = commTurn,
                 .stream_mode = streamMode,
                 .group_size = antiquantGroupSize,
                 .y = y,
                 .norm_out = normOut,
                 .workspace_size = workspaceSize,
                 .executor = executor});
}
aclnnStatus aclnnWeightQuantMatmulAllReduceAddRmsNorm(void* workspace, uint64_t workspaceSize, aclOpExecutor* executor,
                                                      aclrtStream stream) noexcept {
  return RunPhase2(kWeightQuantApi, workspace, workspaceSize, executor, stream);
}

aclnnStatus aclnnInplaceMatmulAllReduceAddRmsNormGetWorkspaceSize(const aclTensor* x1, const aclTensor* x2, const aclTensor* bias,
                                                                  const aclTensor* residual, const aclTensor* gamma, double epsilon,
                                                                  const char* group, const char* reduceOp, int64_t commTurn,
                                                                  int64_t streamMode, const aclTensor* normOut, uint64_t* workspaceSize,
                                                                  aclOpExecutor** executor) noexcept {
  return Phase1({.api = kInplaceApi,
                 .scenario = Scenario::kPlain,
                 .x1 = x1,
                 .x2 = x2,
                 .bias = bias,
                 .residual = residual,
                 .gamma = gamma,
                 .epsilon = epsilon,
                 .group = group,
                 .reduce_op = reduceOp,
                 .comm_turn = commTurn,
                 .stream_mode = streamMode,
                 .in_place = true,
                 .norm_out = normOut,
                 .workspace_size = workspaceSize,
                 .executor = executor});
}
aclnnStatus aclnnInplaceMatmulAllReduceAddRmsNorm(void* workspace, uint64_t workspaceSize, aclOpExecutor* executor,
                                                  aclrtStream stream) noexcept {
  return RunPhase2(kInplaceApi, workspace, workspaceSize, executor, stream);
}

aclnnStatus aclnnInplaceQuantMatmulAllReduceAddRmsNormGetWorkspaceSize(const aclTensor* x1, const aclTensor* x2, const aclTensor* bias,
                                                                       const aclTensor* dequantScale, const aclTensor* residual,
                                                                       const aclTensor* gamma, double epsilon, const char* group,
                                                                       const char* reduceOp, int64_t commTurn, int64_t streamMode,
                                                                       const aclTensor* normOut, uint64_t* workspaceSize,
                                                                       aclOpExecutor** executor) noexcept {
  return Phase1({.api = kInplaceQuantApi,
                 .scenario = Scenario::kQuant,
                 .x1 = x1,
                 .x2 = x2,
                 .bias = bias,
                 .scale = dequantScale,
                 .residual = residual,
                 .gamma = gamma,
                 .epsilon = epsilon,
                 .group = group,
                 .reduce_op = reduceOp,
                 .comm_turn = commTurn,
                 .stream_mode = streamMode,
                 .in_place = true,
                 .norm_out = normOut,
                 .workspace_size = workspaceSize,
                 .executor = executor});
}
aclnnStatus aclnnInplaceQuantMatmulAllReduceAddRmsNorm(void* workspace, uint64_t workspaceSize, aclOpExecutor* executor,
                                                       aclrtStream stream) noexcept {
  return RunPhase2(kInplaceQuantApi, workspace, workspaceSize, executor, stream);
}

aclnnStatus aclnnInplaceWeightQuantMatmulAllReduceAddRmsNormGetWorkspaceSize(
    const aclTensor* x1, const aclTensor* x2, const aclTensor* bias, const aclTensor* antiquantScale, const aclTensor* antiquantOffset,
    const aclTensor* residual, const aclTensor* gamma, double epsilon, const char* group, const char* reduceOp, int64_t commTurn,
    int64_t streamMode, int64_t antiquantGroupSize, const aclTensor* normOut, uint64_t* workspaceSize, aclOpExecutor** executor) noexcept {
  return Phase1({.api = kInplaceWeightQuantApi,
                 .scenario = Scenario::kWeightQuant,
                 .x1 = x1,
                 .x2 = x2,
                 .bias = bias,
                 .scale = antiquantScale,
                 .offset = antiquantOffset,
                 .residual = residual,
                 .gamma = gamma,
                 .epsilon = epsilon,
                 .group = group,
                 .reduce_op = reduceOp,
                 .comm_turn = commTurn,
                 .stream_mode = streamMode,
                 .group_size = antiquantGroupSize,
                 .in_place = true,
                 .norm_out = normOut,
                 .workspace_size = workspaceSize,
                 .executor = executor});
}
aclnnStatus aclnnInplaceWeightQuantMatmulAllReduceAddRmsNorm(void* workspace, uint64_t workspaceSize, aclOpExecutor* executor,
                                                             aclrtStream stream) noexcept {
  return RunPhase2(kInplaceWeightQuantApi, workspace, workspaceSize, executor, stream);
}

}  // extern "C"
