// SPDX-License-Identifier: Apache-2.0
// aclnnLayerNorm. Formula and arguments: aclnnop/aclnn_layer_norm.h; rules: docs/aclnn.md.
#include "aclnnop/aclnn_layer_norm.h"

#include "doors/aclnn/src/call.h"

namespace addnorm::aclnn {
namespace {

constexpr const char* kApi = "aclnnLayerNorm";
constexpr aclnnStatus kInvalid = ACLNN_ERR_PARAM_INVALID;

enum Slot : int { kInput, kWeight, kBias, kOut, kMean, kRstd, kSlots };

addnorm::Status MakeForwardPlan(const Executor& e, Plan* plan) {
  ForwardProblem p;
  p.api = kApi;
  p.norm.eps = e.eps;
  p.pre.x0 = e[kInput].Core();
  p.weight = e[kWeight].Core();
  p.bias = e[kBias].Core();
  p.y = e[kOut].Core();
  p.mean = e[kMean].Core();
  p.rstd = e[kRstd].Core();
  return MakePlan(p, plan);
}

bool CheckShapes(Call& c, const int64_t* norm, int norm_rank) noexcept {
  for (int slot = 0; slot < kSlots; ++slot) {
    if (!c.Rank(kInvalid, 9, slot, 0, kMaxRank) || !c.Sizes(slot)) return false;
  }
  if (norm_rank < 1 && !c.Refuse(kInvalid, 2, "'normalizedShape' length is %d, expected 1 to %d", norm_rank, kMaxRank)) return false;
  const Operand& input = c[kInput];
  if (input.view.rank < norm_rank) {
    return c.Refuse(kInvalid, 3, "'input' rank is %d, expected at least %d, the length of 'normalizedShape'", input.view.rank, norm_rank) &&
           false;
  }
  const int leading = input.view.rank - norm_rank;
  for (int i = 0; i < norm_rank; ++i) {
    if (norm[i] == input.view.shape[leading + i]) continue;
    if (!c.Refuse(kInvalid, 4, "'normalizedShape[%d]' value is %lld, expected input.shape[%d] = %lld", i, static_cast<long long>(norm[i]),
                  leading + i, static_cast<long long>(input.view.shape[leading + i]))) {
      return false;
    }
  }
  const Expected norm_shape{norm, norm_rank, "the value of 'normalizedShape'"}, full = c.ShapeOf(kInput, "the shape of 'input'");
  const Expected rows{full.dims, full.count, "the rows of 'input'"};
  if (!c.Shape(kInvalid, 5, kWeight, norm_shape) || !c.Shape(kInvalid, 6, kBias, norm_shape) || !c.Split(kInput, norm_rank)) return false;
  // Without rows nothing is written, whatever `out` is.
  if (c.executor().rows != 0 && !c.Shape(kInvalid, 7, kOut, full)) return false;
  // A statistic without elements says "not wanted", as null does.
  for (const Slot slot : {kMean, kRstd}) {
    if (c[slot].present && CountElements(c[slot].view.shape, c[slot].view.rank) == 0) c[slot].role = Role::kNone;
    if (c[slot].used() && !c.StatShape(8, slot, rows, norm_rank, false)) return false;
  }
  return true;
}

}  // namespace
}  // namespace addnorm::aclnn

using namespace addnorm::aclnn;

extern "C" {

aclnnStatus aclnnLayerNormGetWorkspaceSize(const aclTensor* input, const aclIntArray* normalizedShape, const aclTensor* weightOptional,
                                           const aclTensor* biasOptional, double eps, aclTensor* out, aclTensor* meanOutOptional,
                                           aclTensor* rstdOutOptional, uint64_t* workspaceSize, aclOpExecutor** executor) noexcept {
  Call c(kApi, kInvalid, workspaceSize, executor);
  int64_t norm[kMaxRank] = {};
  int norm_rank = 0;
  const bool present = c.NotNull(1, "input", input) && c.NotNull(1, "normalizedShape", normalizedShape) && c.NotNull(1, "out", out) &&
                       c.Begin(2) &&
                       c.NoFailedCreation({{"weightOptional", weightOptional},
                                           {"biasOptional", biasOptional},
                                           {"meanOutOptional", meanOutOptional},
                                           {"rstdOutOptional", rstdOutOptional}});
  bool valid = present && c.Take(kInput, "input", input, Role::kRows, false) &&
               c.Take(kWeight, "weightOptional", weightOptional, Role::kCols, false) &&
               c.Take(kBias, "biasOptional", biasOptional, Role::kCols, false) && c.Take(kOut, "out", out, Role::kRows, true) &&
               c.Take(kMean, "meanOutOptional", meanOutOptional, Role::kStat, true) &&
               c.Take(kRstd, "rstdOutOptional", rstdOutOptional, Role::kStat, true) &&
               c.TakeDims("normalizedShape", normalizedShape, 9, norm, &norm_rank);
  for (int slot = 0; valid && slot < kSlots; ++slot) valid = c.Type(1, slot);
  valid = valid && c.Type(10, kWeight, c[kInput].acl_dtype, "input", true) && c.Type(10, kBias, c[kInput].acl_dtype, "input", true) &&
          (!c[kWeight].present || c.Type(10, kBias, c[kWeight].acl_dtype, "weightOptional")) && c.Eps("eps", eps) &&
          CheckShapes(c, norm, norm_rank);
  if (!valid) return c.status();
  Executor& e = c.executor();
  e.fill_stats = e.cols == 0;
  e.mean_slot = kMean;  // the mean of nothing is 0 here, its rstd NaN
  return c.Finish(e.rows == 0 || e.cols == 0 ? nullptr : MakeForwardPlan);
}

aclnnStatus aclnnLayerNorm(void* workspace, uint64_t workspaceSize, aclOpExecutor* executor, aclrtStream stream) noexcept {
  return RunPhase2(kApi, workspace, workspaceSize, executor, stream);
}

}  // extern "C"
