// SPDX-License-Identifier: Apache-2.0
// aclnnAddLayerNormGrad. Formula and arguments: aclnnop/aclnn_add_layer_norm_grad.h; rules: docs/aclnn.md.
#include "aclnnop/aclnn_add_layer_norm_grad.h"

#include "doors/aclnn/src/call.h"

namespace addnorm::aclnn {
namespace {

constexpr const char* kApi = "aclnnAddLayerNormGrad";
constexpr aclnnStatus kShape = ACLNN_ERR_INNER_TILING_ERROR;

enum Slot : int { kDy, kX1, kX2, kRstd, kMean, kGamma, kDsum, kDx, kDgamma, kDbeta, kSlots };

addnorm::Status MakeGradPlan(const Executor& e, Plan* plan) {
  BackwardProblem p;
  p.api = kApi;
  p.dy = e[kDy].Core();
  p.pre.x0 = e[kX1].Core();
  p.pre.residual = e[kX2].Core();
  p.rstd = e[kRstd].Core();
  p.mean = e[kMean].Core();
  p.statistics = BackwardProblem::Statistics::kGiven;
  p.weight = e[kGamma].Core();
  p.dsum = e[kDsum].Core();
  p.dresidual = e[kDx].Core();
  p.dweight = e[kDgamma].Core();
  p.dbias = e[kDbeta].Core();
  return MakePlan(p, plan);
}

bool CheckTypes(Call& c) noexcept {
  if (!c.Type(1, kDy)) return false;
  const aclDataType type = c[kDy].acl_dtype;
  return c.Type(2, kX1, type, "dy") && c.Type(2, kX2, type, "dy") && c.Type(2, kDsum, type, "dy") && c.Type(2, kDx, type, "dy") &&
         c.Type(3, kRstd, ACL_FLOAT, "") && c.Type(3, kMean, ACL_FLOAT, "") && c.Type(4, kGamma, type, "dy", true) &&
         c.Type(5, kDgamma, ACL_FLOAT, "") && c.Type(5, kDbeta, ACL_FLOAT, "");
}

bool CheckShapes(Call& c) noexcept {
  for (int slot = 0; slot < kSlots; ++slot) {
    const bool normalized = slot == kGamma || slot == kDgamma || slot == kDbeta || slot == kDy || slot == kX1;
    if (!c.Rank(kShape, 1, slot, normalized ? 1 : 0, kMaxRank) || !c.Sizes(slot)) return false;
  }
  const Expected dy = c.ShapeOf(kDy, "the shape of 'dy'");
  if (!c.Shape(kShape, 2, kX1, dy) || !c.Shape(kShape, 2, kX2, dy) || !c.Shape(kShape, 2, kDsum, dy) || !c.Shape(kShape, 2, kDx, dy)) {
    return false;
  }
  // The normalised dimensions are gamma's, without it dgammaOut's.
  const int source = c[kGamma].present ? kGamma : kDgamma, norm_rank = c[source].view.rank;
  if (norm_rank > dy.count) {
    return c.Refuse(kShape, 3, "'%s' rank is %d, expected at most %d, the rank of 'dy'", c[source].name, norm_rank, dy.count) && false;
  }
  const Expected trailing{dy.dims + dy.count - norm_rank, norm_rank, "the last dimensions of 'dy'"};
  const Expected gamma = c.ShapeOf(source, source == kGamma ? "the shape of 'gamma'" : "the shape of 'dgammaOut'");
  return c.Shape(kShape, 3, source, trailing) && c.StatShape(4, kRstd, {dy.dims, dy.count, "the rows of 'dy'"}, norm_rank, true) &&
         c.StatShape(4, kMean, {dy.dims, dy.count, "the rows of 'dy'"}, norm_rank, true) &&
         c.Shape(kShape, 6, kMean, c.ShapeOf(kRstd, "the shape of 'rstd'")) && c.Shape(kShape, 5, kDgamma, gamma) &&
         c.Shape(kShape, 5, kDbeta, gamma) && c.Split(kDy, norm_rank);
}

}  // namespace
}  // namespace addnorm::aclnn

using namespace addnorm::aclnn;

extern "C" {

aclnnStatus aclnnAddLayerNormGradGetWorkspaceSize(const aclTensor* dy, const aclTensor* x1, const aclTensor* x2, const aclTensor* rstd,
                                                  const aclTensor* mean, const aclTensor* gamma, const aclTensor* dsumOptional,
                                                  const aclTensor* dxOut, const aclTensor* dgammaOut, const aclTensor* dbetaOut,
                                                  uint64_t* workspaceSize, aclOpExecutor** executor) noexcept {
  Call c(kApi, kShape, workspaceSize, executor);
  const bool present = c.NotNull(1, "dy", dy) && c.NotNull(1, "x1", x1) && c.NotNull(1, "x2", x2) && c.NotNull(1, "rstd", rstd) &&
                       c.NotNull(1, "mean", mean) && c.NotNull(2, "dxOut", dxOut) && c.NotNull(2, "dgammaOut", dgammaOut) &&
                       c.NotNull(2, "dbetaOut", dbetaOut) && c.Begin(3) &&
                       c.NoFailedCreation({{"gamma", gamma}, {"dsumOptional", dsumOptional}});
  bool valid = present && c.Take(kDy, "dy", dy, Role::kRows, false) && c.Take(kX1, "x1", x1, Role::kRows, false) &&
               c.Take(kX2, "x2", x2, Role::kRows, false) && c.Take(kRstd, "rstd", rstd, Role::kStat, false) &&
               c.Take(kMean, "mean", mean, Role::kStat, false) && c.Take(kGamma, "gamma", gamma, Role::kCols, false) &&
               c.Take(kDsum, "dsumOptional", dsumOptional, Role::kRows, false) && c.Take(kDx, "dxOut", dxOut, Role::kRows, true) &&
               c.Take(kDgamma, "dgammaOut", dgammaOut, Role::kCols, true) && c.Take(kDbeta, "dbetaOut", dbetaOut, Role::kCols, true) &&
               CheckTypes(c);
  for (int slot = 0; valid && slot < kSlots; ++slot) valid = slot == kDsum || c.PlainFormat(slot);  // optional: not asked
  if (!valid || !CheckShapes(c)) return c.status();
  return c.Finish(c.executor().cols == 0 ? nullptr : MakeGradPlan);
}

aclnnStatus aclnnAddLayerNormGrad(void* workspace, uint64_t workspaceSize, aclOpExecutor* executor, aclrtStream stream) noexcept {
  return RunPhase2(kApi, workspace, workspaceSize, executor, stream);
}

}  // extern "C"
