// SPDX-License-Identifier: Apache-2.0
// aclnnLayerNormBackward. Formula and arguments: aclnnop/aclnn_layer_norm_backward.h; rules: docs/aclnn.md.
#include "aclnnop/aclnn_layer_norm_backward.h"

#include "doors/aclnn/src/call.h"

namespace addnorm::aclnn {
namespace {

constexpr const char* kApi = "aclnnLayerNormBackward";
constexpr aclnnStatus kInvalid = ACLNN_ERR_PARAM_INVALID;

enum Slot : int { kGradOut, kInput, kMean, kRstd, kWeight, kBias, kGradInput, kGradWeight, kGradBias };

addnorm::Status MakeBackwardPlan(const Executor& e, Plan* plan) {
  BackwardProblem p;
  p.api = kApi;
  p.dy = e[kGradOut].Core();
  p.prenorm = e[kInput].Core();
  p.mean = e[kMean].Core();
  p.rstd = e[kRstd].Core();
  p.statistics = BackwardProblem::Statistics::kGiven;
  p.weight = e[kWeight].Core();
  p.dresidual = e[kGradInput].Core();
  p.dweight = e[kGradWeight].Core();
  p.dbias = e[kGradBias].Core();
  return MakePlan(p, plan);
}

struct Arguments {
  const aclTensor *grad_out, *input;
  const aclIntArray* normalized_shape;
  const aclTensor *mean, *rstd, *weight, *bias;
  const aclBoolArray* mask;
  const aclTensor *grad_input, *grad_weight, *grad_bias;
};

bool TakeAll(Call& c, const Arguments& a, const bool (&mask)[3]) noexcept {
  const auto wanted = [](bool on, Role role) { return on ? role : Role::kNone; };
  return c.Take(kGradOut, "gradOut", a.grad_out, Role::kRows, false) && c.Take(kInput, "input", a.input, Role::kRows, false) &&
         c.Take(kMean, "mean", a.mean, Role::kStat, false) && c.Take(kRstd, "rstd", a.rstd, Role::kStat, false) &&
         c.Take(kWeight, "weightOptional", a.weight, Role::kCols, false) && c.Take(kBias, "biasOptional", a.bias, Role::kNone, false) &&
         c.Take(kGradInput, "gradInputOut", a.grad_input, wanted(mask[0], Role::kRows), true) &&
         c.Take(kGradWeight, "gradWeightOut", a.grad_weight, wanted(mask[1], Role::kCols), true) &&
         c.Take(kGradBias, "gradBiasOut", a.grad_bias, wanted(mask[2], Role::kCols), true);
}

bool CheckTypes(Call& c) noexcept {
  for (const Slot slot : {kGradOut, kInput, kMean, kRstd, kWeight, kBias}) {
    if (!c.Type(1, slot)) return false;
  }
  for (const Slot slot : {kGradInput, kGradWeight, kGradBias}) {
    if (!c.Type(13, slot)) return false;
  }
  const aclDataType type = c[kInput].acl_dtype;
  return c.Type(11, kGradOut, type, "input") && c.Type(12, kWeight, type, "input", true);
}

bool CheckRanks(Call& c) noexcept {
  for (const Slot slot : {kGradOut, kInput, kMean, kRstd, kWeight, kBias}) {
    if (!c.Rank(kInvalid, 14, slot, 0, kMaxRank)) return false;
  }
  for (const Slot slot : {kGradInput, kGradWeight, kGradBias}) {
    if (c[slot].used() && !c.Rank(kInvalid, 14, slot, 0, kMaxRank)) return false;
  }
  for (const Slot slot : {kGradOut, kInput, kMean, kRstd, kGradInput, kGradWeight, kGradBias}) {
    if (c[slot].used() && !c.Sizes(slot)) return false;
  }
  return true;
}

bool CheckShapes(Call& c, const int64_t* norm, int norm_rank) noexcept {
  const Operand& input = c[kInput];
  if (norm_rank < 1 && !c.Refuse(kInvalid, 3, "'normalizedShape' length is %d, expected 1 to %d", norm_rank, kMaxRank)) return false;
  if (!c.Shape(kInvalid, 2, kGradOut, c.ShapeOf(kInput, "the shape of 'input'"))) return false;
  if (input.view.rank < norm_rank) {
    // Without enough dimensions there is nothing to go on with, whatever a test has switched off.
    return c.Refuse(kInvalid, 8, "'input' rank is %d, expected at least %d, the length of 'normalizedShape'", input.view.rank, norm_rank) &&
           false;
  }
  const int leading = input.view.rank - norm_rank;
  for (int i = 0; i < norm_rank; ++i) {
    if (norm[i] == input.view.shape[leading + i]) continue;
    if (!c.Refuse(kInvalid, 9, "'normalizedShape[%d]' value is %lld, expected input.shape[%d] = %lld", i, static_cast<long long>(norm[i]),
                  leading + i, static_cast<long long>(input.view.shape[leading + i]))) {
      return false;
    }
  }
  const Expected norm_shape{norm, norm_rank, "the value of 'normalizedShape'"};
  if (!c.Split(kInput, norm_rank)) return false;
  const Executor& e = c.executor();
  return c.Count(4, kMean, e.rows, "the rows of 'input'") && c.Count(5, kRstd, e.rows, "the rows of 'input'") &&
         c.Shape(kInvalid, 15, kRstd, c.ShapeOf(kMean, "the shape of 'mean'")) && c.Shape(kInvalid, 6, kWeight, norm_shape) &&
         c.Shape(kInvalid, 7, kBias, norm_shape) &&
         (!c[kGradInput].used() || c.Shape(kInvalid, 16, kGradInput, c.ShapeOf(kInput, "the shape of 'input'"))) &&
         (!c[kGradWeight].used() || c.Count(17, kGradWeight, e.cols, "the elements of 'normalizedShape'")) &&
         (!c[kGradBias].used() || c.Count(17, kGradBias, e.cols, "the elements of 'normalizedShape'"));
}

aclnnStatus Phase1(const Arguments& a, uint64_t* workspace_size, aclOpExecutor** executor) noexcept {
  Call c(kApi, kInvalid, workspace_size, executor);
  bool mask[3] = {};
  int64_t norm[kMaxRank] = {};
  int norm_rank = 0;
  const bool present =
      c.NotNull(1, "gradOut", a.grad_out) && c.NotNull(1, "input", a.input) && c.NotNull(1, "normalizedShape", a.normalized_shape) &&
      c.NotNull(1, "mean", a.mean) && c.NotNull(1, "rstd", a.rstd) && c.NotNull(1, "outputMask", a.mask) &&
      c.TakeMask("outputMask", a.mask, 10, mask) && (!mask[0] || c.NotNull(2, "gradInputOut", a.grad_input)) &&
      (!mask[1] || c.NotNull(3, "gradWeightOut", a.grad_weight)) && (!mask[2] || c.NotNull(4, "gradBiasOut", a.grad_bias)) && c.Begin(5) &&
      c.NoFailedCreation({{"weightOptional", a.weight}, {"biasOptional", a.bias}});
  const bool valid = present && TakeAll(c, a, mask) && c.TakeDims("normalizedShape", a.normalized_shape, 14, norm, &norm_rank) &&
                     CheckTypes(c) && CheckRanks(c) && CheckShapes(c, norm, norm_rank);
  if (!valid) return c.status();
  const bool nothing = (!mask[0] && !mask[1] && !mask[2]) || c.executor().cols == 0;
  return c.Finish(nothing ? nullptr : MakeBackwardPlan);
}

}  // namespace
}  // namespace addnorm::aclnn

using namespace addnorm::aclnn;

extern "C" {

aclnnStatus aclnnLayerNormBackwardGetWorkspaceSize(const aclTensor* gradOut, const aclTensor* input, const aclIntArray* normalizedShape,
                                                   const aclTensor* mean, const aclTensor* rstd, const aclTensor* weightOptional,
                                                   const aclTensor* biasOptional, const aclBoolArray* outputMask, aclTensor* gradInputOut,
                                                   aclTensor* gradWeightOut, aclTensor* gradBiasOut, uint64_t* workspaceSize,
                                                   aclOpExecutor** executor) noexcept {
  return Phase1(
      {gradOut, input, normalizedShape, mean, rstd, weightOptional, biasOptional, outputMask, gradInputOut, gradWeightOut, gradBiasOut},
      workspaceSize, executor);
}

aclnnStatus aclnnLayerNormBackward(void* workspace, uint64_t workspaceSize, aclOpExecutor* executor, aclrtStream stream) noexcept {
  return RunPhase2(kApi, workspace, workspaceSize, executor, stream);
}

}  // extern "C"
