// SPDX-License-Identifier: Apache-2.0
// aclnnLayerNorm and aclnnLayerNormWithImplMode. Formula and arguments: aclnnop/aclnn_layer_norm.h; rules: docs/aclnn.md.
#include "aclnnop/aclnn_layer_norm.h"

#include "doors/aclnn/src/call.h"

namespace addnorm::aclnn {
namespace {

constexpr const char *kApi = "aclnnLayerNorm", *kModeApi = "aclnnLayerNormWithImplMode";
constexpr aclnnStatus kInvalid = ACLNN_ERR_PARAM_INVALID;

enum Slot : int { kInput, kWeight, kBias, kOut, kMean, kRstd, kSlots };

addnorm::Status MakeForwardPlan(const Executor& e, Plan* plan) {
  ForwardProblem p;
  p.api = e.api;
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

struct Arguments {
  const aclTensor* input;
  const aclIntArray* normalized_shape;
  const aclTensor *weight, *bias;
  double eps;
  const aclTensor *out, *mean, *rstd;
};

bool TakeAll(Call& c, const Arguments& a) noexcept {
  return c.Take(kInput, "input", a.input, Role::kRows, false) && c.Take(kWeight, "weightOptional", a.weight, Role::kCols, false) &&
         c.Take(kBias, "biasOptional", a.bias, Role::kCols, false) && c.Take(kOut, "out", a.out, Role::kRows, true) &&
         c.Take(kMean, "meanOutOptional", a.mean, Role::kStat, true) && c.Take(kRstd, "rstdOutOptional", a.rstd, Role::kStat, true);
}

bool CheckTypes(Call& c) noexcept {
  for (int slot = 0; slot < kSlots; ++slot) {
    if (!c.Type(1, slot)) return false;
  }
  const aclDataType type = c[kInput].acl_dtype;
  return c.Type(10, kWeight, type, "input", true) &&
         (c[kWeight].present ? c.Type(10, kBias, c[kWeight].acl_dtype, "weightOptional") : c.Type(10, kBias, type, "input", true));
}

// One kernel, precise and deterministic, serves every mode.
bool CheckMode(Call& c, int32_t mode) noexcept {
  return (mode >= 0 && mode <= 2) || c.Refuse(ACLNN_ERR_INNER_INVALID_IMPL_MODE, 1, "'implMode' is %d, expected 0, 1 or 2", mode);
}

aclnnStatus Phase1(const char* api, const Arguments& a, int32_t mode, uint64_t* workspace_size, aclOpExecutor** executor) noexcept {
  Call c(api, kInvalid, workspace_size, executor);
  int64_t norm[kMaxRank] = {};
  int norm_rank = 0;
  const bool present =
      c.NotNull(1, "input", a.input) && c.NotNull(1, "normalizedShape", a.normalized_shape) && c.NotNull(1, "out", a.out) && c.Begin(2) &&
      c.NoFailedCreation(
          {{"weightOptional", a.weight}, {"biasOptional", a.bias}, {"meanOutOptional", a.mean}, {"rstdOutOptional", a.rstd}});
  const bool valid = present && CheckMode(c, mode) && TakeAll(c, a) &&
                     c.TakeDims("normalizedShape", a.normalized_shape, 9, norm, &norm_rank) && CheckTypes(c) && c.Eps("eps", a.eps) &&
                     CheckShapes(c, norm, norm_rank);
  if (!valid) return c.status();
  Executor& e = c.executor();
  e.fill_stats = e.cols == 0;
  e.mean_slot = kMean;  // the mean of nothing is 0 here, its rstd NaN
  return c.Finish(e.rows == 0 || e.cols == 0 ? nullptr : MakeForwardPlan);
}

}  // namespace
}  // namespace addnorm::aclnn

using namespace addnorm::aclnn;

extern "C" {

aclnnStatus aclnnLayerNormGetWorkspaceSize(const aclTensor* input, const aclIntArray* normalizedShape, const aclTensor* weightOptional,
                                           const aclTensor* biasOptional, double eps, aclTensor* out, aclTensor* meanOutOptional,
                                           aclTensor* rstdOutOptional, uint64_t* workspaceSize, aclOpExecutor** executor) noexcept {
  return Phase1(kApi, {input, normalizedShape, weightOptional, biasOptional, eps, out, meanOutOptional, rstdOutOptional}, 0, workspaceSize,
                executor);
}

aclnnStatus aclnnLayerNorm(void* workspace, uint64_t workspaceSize, aclOpExecutor* executor, aclrtStream stream) noexcept {
  return RunPhase2(kApi, workspace, workspaceSize, executor, stream);
}

aclnnStatus aclnnLayerNormWithImplModeGetWorkspaceSize(const aclTensor* input, const aclIntArray* normalizedShape,
                                                       const aclTensor* weightOptional, const aclTensor* biasOptional, double eps,
                                                       aclTensor* out, aclTensor* meanOutOptional, aclTensor* rstdOutOptional,
                                                       int32_t implMode, uint64_t* workspaceSize, aclOpExecutor** executor) noexcept {
  return Phase1(kModeApi, {input, normalizedShape, weightOptional, biasOptional, eps, out, meanOutOptional, rstdOutOptional}, implMode,
                workspaceSize, executor);
}

aclnnStatus aclnnLayerNormWithImplMode(void* workspace, uint64_t workspaceSize, aclOpExecutor* executor, aclrtStream stream) noexcept {
  return RunPhase2(kModeApi, workspace, workspaceSize, executor, stream);
}

}  // extern "C"
