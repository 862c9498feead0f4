// SPDX-License-Identifier: Apache-2.0
// aclnnAddRmsNorm and aclnnRmsNorm, the same without x2. Formulas and arguments: their headers; rules: docs/aclnn.md.
#include "aclnnop/aclnn_rms_norm.h"

#include "aclnnop/aclnn_add_rms_norm.h"
#include "doors/aclnn/src/call.h"

namespace addnorm::aclnn {
namespace {

constexpr const char *kAddApi = "aclnnAddRmsNorm", *kPlainApi = "aclnnRmsNorm";
constexpr aclnnStatus kTiling = ACLNN_ERR_INNER_TILING_ERROR;

enum Slot : int { kX1, kX2, kGamma, kY, kRstd, kX, kSlots };

addnorm::Status MakeForwardPlan(const Executor& e, Plan* plan) {
  ForwardProblem p;
  p.api = e.api;
  p.norm.kind = NormKind::kRms;
  p.norm.eps = e.eps;
  p.pre.x0 = e[kX1].Core();
  p.pre.residual = e[kX2].Core();
  p.weight = e[kGamma].Core();
  p.y = e[kY].Core();
  p.prenorm = e[kX].Core();
  p.rstd = e[kRstd].Core();
  return MakePlan(p, plan);
}

// What both operators ask of ranks and of x1 against x2, yOut, xOut; `code`: what a fault gives.
bool CheckFull(Call& c, aclnnStatus code) noexcept {
  for (int slot = 0; slot < kSlots; ++slot) {
    if (!c.Rank(code, 5, slot, slot == kRstd ? 0 : 1, kMaxRank) || !c.Sizes(slot)) return false;
  }
  const Expected full = c.ShapeOf(kX1, c[kX1].name[1] == '\0' ? "the shape of 'x'" : "the shape of 'x1'");
  return c.Shape(code, 6, kX2, full) && c.Shape(code, 6, kY, full) && c.Shape(code, 6, kX, full);
}

// gamma and rstdOut against x1: 561002 in both.
bool CheckNormalized(Call& c) noexcept {
  const Operand& x1 = c[kX1];
  const Expected full{x1.view.shape, x1.view.rank, "the rows of the input"};
  const int norm_rank = c[kGamma].view.rank;
  if (norm_rank > full.count) {
    return c.Refuse(kTiling, 7, "'gamma' rank is %d, expected at most %d, the rank of '%s'", norm_rank, full.count, x1.name) && false;
  }
  const Expected trailing{full.dims + full.count - norm_rank, norm_rank, "the last dimensions of the input"};
  return c.Shape(kTiling, 7, kGamma, trailing) && c.StatShape(8, kRstd, full, norm_rank, true) && c.Split(kX1, norm_rank);
}

bool IsEmpty(const Operand& o) { return CountElements(o.view.shape, o.view.rank) == 0; }

// Over an empty gamma there is nothing to normalise, and rstd is that of nothing.
aclnnStatus Finish(Call& c) noexcept {
  c.executor().fill_stats = IsEmpty(c[kGamma]);
  return c.Finish(IsEmpty(c[kX1]) || IsEmpty(c[kGamma]) ? nullptr : MakeForwardPlan);
}

}  // namespace
}  // namespace addnorm::aclnn

using namespace addnorm::aclnn;

extern "C" {

aclnnStatus aclnnAddRmsNormGetWorkspaceSize(const aclTensor* x1, const aclTensor* x2, const aclTensor* gamma, double epsilon,
                                            aclTensor* yOut, aclTensor* rstdOut, aclTensor* xOut, uint64_t* workspaceSize,
                                            aclOpExecutor** executor) noexcept {
  Call c(kAddApi, kTiling, workspaceSize, executor);
  const bool present = c.NotNull(1, "x1", x1) && c.NotNull(1, "x2", x2) && c.NotNull(1, "gamma", gamma) && c.NotNull(1, "yOut", yOut) &&
                       (rstdOut == nullptr || c.NotNull(2, "xOut", xOut)) && c.Begin(3) &&
                       c.NoFailedCreation({{"rstdOut", rstdOut}, {"xOut", xOut}});
  bool valid = present && c.Take(kX1, "x1", x1, Role::kRows, false) && c.Take(kX2, "x2", x2, Role::kRows, false) &&
               c.Take(kGamma, "gamma", gamma, Role::kCols, false) && c.Take(kY, "yOut", yOut, Role::kRows, true) &&
               c.Take(kRstd, "rstdOut", rstdOut, Role::kStat, true) && c.Take(kX, "xOut", xOut, Role::kRows, true) && c.Type(1, kX1);
  for (const Slot slot : {kX2, kGamma, kY, kX}) valid = valid && c.Type(2, slot, c[kX1].acl_dtype, "x1");
  valid = valid && c.Type(3, kRstd, ACL_FLOAT, "") && c.Eps("epsilon", epsilon) && CheckFull(c, ACLNN_ERR_PARAM_INVALID) &&
          (IsEmpty(c[kX1]) || IsEmpty(c[kGamma]) || CheckNormalized(c));
  return valid ? Finish(c) : c.status();
}

aclnnStatus aclnnAddRmsNorm(void* workspace, uint64_t workspaceSize, aclOpExecutor* executor, aclrtStream stream) noexcept {
  return RunPhase2(kAddApi, workspace, workspaceSize, executor, stream);
}

aclnnStatus aclnnRmsNormGetWorkspaceSize(const aclTensor* x, const aclTensor* gamma, double epsilon, const aclTensor* yOut,
                                         const aclTensor* rstdOut, uint64_t* workspaceSize, aclOpExecutor** executor) noexcept {
  Call c(kPlainApi, kTiling, workspaceSize, executor);
  const bool present =
      c.NotNull(1, "x", x) && c.NotNull(1, "gamma", gamma) && c.NotNull(1, "yOut", yOut) && c.NotNull(1, "rstdOut", rstdOut) && c.Begin(3);
  bool valid = present && c.Take(kX1, "x", x, Role::kRows, false) && c.Take(kGamma, "gamma", gamma, Role::kCols, false) &&
               c.Take(kY, "yOut", yOut, Role::kRows, true) && c.Take(kRstd, "rstdOut", rstdOut, Role::kStat, true) && c.Type(1, kX1) &&
               c.Type(2, kY, c[kX1].acl_dtype, "x") && c.Type(4, kGamma, c[kX1].acl_dtype, "x", true) && c.Type(3, kRstd, ACL_FLOAT, "");
  for (int slot = 0; valid && slot < kSlots; ++slot) valid = c.PlainFormat(slot);
  valid = valid && c.Eps("epsilon", epsilon) && CheckFull(c, kTiling) && CheckNormalized(c);
  return valid ? Finish(c) : c.status();
}

aclnnStatus aclnnRmsNorm(void* workspace, uint64_t workspaceSize, aclOpExecutor* executor, aclrtStream stream) noexcept {
  return RunPhase2(kPlainApi, workspace, workspaceSize, executor, stream);
}

}  // extern "C"
