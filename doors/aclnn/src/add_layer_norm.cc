// SPDX-License-Identifier: Apache-2.0
// aclnnAddLayerNorm. Formula and arguments: aclnnop/aclnn_add_layer_norm.h; rules: docs/aclnn.md.
#include "aclnnop/aclnn_add_layer_norm.h"

#include <limits>

#include "doors/aclnn/src/call.h"

namespace addnorm::aclnn {
namespace {

constexpr const char* kApi = "aclnnAddLayerNorm";
constexpr aclnnStatus kShape = ACLNN_ERR_INNER_TILING_ERROR;

enum Slot : int { kX1, kX2, kGamma, kBeta, kBias, kY, kMean, kRstd, kX, kSlots };

addnorm::Status MakeForwardPlan(const Executor& e, Plan* plan) {
  ForwardProblem p;
  p.api = kApi;
  p.norm.eps = e.eps;
  p.pre.x0 = e[kX1].Core();
  p.pre.residual = e[kX2].Core();
  p.pre.prebias = e[kBias].Core();
  p.weight = e[kGamma].Core();
  p.bias = e[kBeta].Core();
  p.y = e[kY].Core();
  p.prenorm = e[kX].Core();
  p.mean = e[kMean].Core();
  p.rstd = e[kRstd].Core();
  return MakePlan(p, plan);
}

// x1 and x2 the same, or one of them FLOAT; everything else follows.
bool CheckTypes(Call& c) noexcept {
  if (!c.Type(1, kX1) || !c.Type(1, kX2)) return false;
  const aclDataType x1 = c[kX1].acl_dtype, x2 = c[kX2].acl_dtype;
  const aclDataType type = x1 == x2 ? x1 : ACL_FLOAT;
  if (x1 != x2 && x1 != ACL_FLOAT && !c.Type(2, kX2, x1, "x1", true)) return false;
  return c.Type(3, kGamma, type, "the sum", true) && c.Type(3, kBeta, c[kGamma].acl_dtype, "gamma") && c.Type(4, kBias, type, "the sum") &&
         c.Type(5, kY, type, "the sum") && c.Type(5, kX, type, "the sum") && c.Type(6, kMean, ACL_FLOAT, "") &&
         c.Type(6, kRstd, ACL_FLOAT, "");
}

bool CheckShapes(Call& c) noexcept {
  for (int slot = 0; slot < kSlots; ++slot) {
    if (!c.Rank(kShape, 1, slot, slot == kMean || slot == kRstd ? 0 : 1, kMaxRank) || !c.Sizes(slot)) return false;
  }
  const Expected x1 = c.ShapeOf(kX1, "the shape of 'x1'");
  const int norm_rank = c[kGamma].view.rank;
  if (!c.Shape(kShape, 2, kX2, x1) || !c.Shape(kShape, 2, kY, x1) || !c.Shape(kShape, 2, kX, x1)) return false;
  if (norm_rank > x1.count) {
    return c.Refuse(kShape, 3, "'gamma' rank is %d, expected at most %d, the rank of 'x1'", norm_rank, x1.count) && false;
  }
  const Expected trailing{x1.dims + x1.count - norm_rank, norm_rank, "the last dimensions of 'x1'"};
  const Expected rows{x1.dims, x1.count, "the rows of 'x1'"};
  if (!c.Shape(kShape, 3, kGamma, trailing) || !c.Shape(kShape, 4, kBeta, trailing)) return false;
  Operand& bias = c[kBias];
  if (bias.present && bias.view.rank == norm_rank) bias.role = Role::kCols;
  return c.Shape(kShape, 5, kBias, bias.role == Role::kCols ? trailing : x1) && c.StatShape(6, kMean, rows, norm_rank, true) &&
         c.StatShape(6, kRstd, rows, norm_rank, true) && c.Shape(kShape, 7, kRstd, c.ShapeOf(kMean, "the shape of 'meanOut'")) &&
         c.Split(kX1, norm_rank);
}

}  // namespace
}  // namespace addnorm::aclnn

using namespace addnorm::aclnn;

extern "C" {

aclnnStatus aclnnAddLayerNormGetWorkspaceSize(const aclTensor* x1, const aclTensor* x2, const aclTensor* gamma, const aclTensor* beta,
                                              const aclTensor* biasOptional, double epsilon, bool additionalOutput, const aclTensor* yOut,
                                              const aclTensor* meanOut, const aclTensor* rstdOut, const aclTensor* xOut,
                                              uint64_t* workspaceSize, aclOpExecutor** executor) noexcept {
  Call c(kApi, kShape, workspaceSize, executor);
  const bool present = c.NotNull(1, "x1", x1) && c.NotNull(1, "x2", x2) && c.NotNull(1, "gamma", gamma) && c.NotNull(1, "beta", beta) &&
                       c.NotNull(2, "yOut", yOut) && c.NotNull(2, "meanOut", meanOut) && c.NotNull(2, "rstdOut", rstdOut) &&
                       c.NotNull(2, "xOut", xOut) && c.Begin(3) && c.NoFailedCreation({{"biasOptional", biasOptional}});
  bool valid = present && c.Take(kX1, "x1", x1, Role::kRows, false) && c.Take(kX2, "x2", x2, Role::kRows, false) &&
               c.Take(kGamma, "gamma", gamma, Role::kCols, false) && c.Take(kBeta, "beta", beta, Role::kCols, false) &&
               c.Take(kBias, "biasOptional", biasOptional, Role::kRows, false) && c.Take(kY, "yOut", yOut, Role::kRows, true) &&
               c.Take(kMean, "meanOut", meanOut, Role::kStat, true) && c.Take(kRstd, "rstdOut", rstdOut, Role::kStat, true) &&
               c.Take(kX, "xOut", xOut, additionalOutput ? Role::kRows : Role::kNone, true) && CheckTypes(c);
  for (int slot = 0; valid && slot < kSlots; ++slot) valid = slot == kBias || c.PlainFormat(slot);  // optional: not asked
  if (!valid || !c.Eps("epsilon", epsilon) || !CheckShapes(c)) return c.status();
  Executor& e = c.executor();
  e.fill_stats = e.cols == 0;
  e.mean_slot = kMean;
  e.mean_fill = std::numeric_limits<float>::quiet_NaN();
  return c.Finish(e.rows == 0 || e.cols == 0 ? nullptr : MakeForwardPlan);
}

aclnnStatus aclnnAddLayerNorm(void* workspace, uint64_t workspaceSize, aclOpExecutor* executor, aclrtStream stream) noexcept {
  return RunPhase2(kApi, workspace, workspaceSize, executor, stream);
}

}  // extern "C"
