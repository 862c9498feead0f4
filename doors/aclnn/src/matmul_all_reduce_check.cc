// SPDX-License-Identifier: Apache-2.0
// The rules of the MatmulAllReduceAddRmsNorm operators, in the order in which CANN asks them: its wrapper's (161002), then its tiling's
// (561002).
#include <algorithm>
#include <cinttypes>
#include <cstring>

#include "acl/acl_rt.h"
#include "doors/aclnn/src/matmul_all_reduce.h"
#include "doors/aclnn/src/ranks.h"

namespace addnorm::aclnn::matmul_all_reduce {
namespace {

constexpr aclnnStatus kParam = ACLNN_ERR_PARAM_INVALID, kTiling = ACLNN_ERR_INNER_TILING_ERROR;
constexpr int64_t kMaxSize = 2147483647, kMaxQuantised = 65535, kGroupUnit = 32;

int64_t Last(const Operand& o) { return o.view.shape[o.view.rank - 1]; }
int64_t Count(const Operand& o) { return CountElements(o.view.shape, o.view.rank); }
int64_t RowsOf(const Operand& o) { return CountElements(o.view.shape, o.view.rank - 1); }

bool IsContiguous(const View& v) {
  const Folded folded = Fold(v.shape, v.strides, v.rank);
  return folded.rank == 0 || (folded.rank == 1 && folded.strides[0] == 1);
}

// Of a matrix of rank 2.
bool IsTransposed(const View& v) {
  View turned = v;
  std::swap(turned.shape[0], turned.shape[1]);
  std::swap(turned.strides[0], turned.strides[1]);
  return IsContiguous(turned);
}

bool FloatType(Call& c, int rule, int slot) noexcept {
  const Operand& o = c[slot];
  char buffer[32];
  return o.acl_dtype == ACL_FLOAT16 || o.acl_dtype == ACL_BF16 ||
         c.Refuse(kParam, rule, "'%s' dtype is %s, expected FLOAT16 or BFLOAT16", o.name, NameOf(o.acl_dtype, buffer));
}

bool CheckTypes(Call& c, Scenario scenario) noexcept {
  const aclDataType x1 = c[kX1].acl_dtype, residual = c[kResidual].acl_dtype;
  const bool quantised = scenario == Scenario::kQuant;
  if (!(quantised ? c.Type(6, kX1, ACL_INT8, "") : FloatType(c, 6, kX1))) return false;
  if (!(scenario == Scenario::kPlain ? c.Type(7, kX2, x1, "x1") : c.Type(7, kX2, ACL_INT8, ""))) return false;
  if (!(quantised ? c.Type(8, kBias, ACL_INT32, "") : c.Type(8, kBias, x1, "x1"))) return false;
  if (!(quantised ? FloatType(c, 9, kResidual) : c.Type(9, kResidual, x1, "x1"))) return false;
  for (const Slot slot : {kGamma, kY, kNormOut}) {
    if (!c.Type(10, slot, residual, "residual")) return false;
  }
  if (!quantised) return c.Type(12, kScale, x1, "x1") && c.Type(12, kOffset, x1, "x1");
  if (residual == ACL_BF16) return c.Type(11, kScale, ACL_BF16, "residual");
  char buffer[32];
  const aclDataType scale = c[kScale].acl_dtype;
  return scale == ACL_UINT64 || scale == ACL_INT64 ||
         c.Refuse(kParam, 11, "'%s' dtype is %s, expected UINT64 or INT64, as residual is FLOAT16", c[kScale].name, NameOf(scale, buffer));
}

// [1], [n], [1, n], or [groups, n].
bool CheckScale(Call& c, int rule, int slot, int64_t groups, int64_t n) noexcept {
  const Operand& o = c[slot];
  if (!o.present) return true;
  const View& v = o.view;
  const bool single = groups == 0 && v.rank == 1 && v.shape[0] == 1, vector = groups == 0 && v.rank == 1 && v.shape[0] == n;
  if (single || vector || (v.rank == 2 && v.shape[0] == std::max<int64_t>(groups, 1) && v.shape[1] == n)) return true;
  int64_t expected[2] = {std::max<int64_t>(groups, 1), n};
  return c.Shape(kTiling, rule, slot, {expected, 2, groups == 0 ? "or [1] or [n]: n = x2's columns" : "a row for each group of k"});
}

bool CheckShapes(Call& c, const Arguments& a) noexcept {
  if (!c.Rank(kTiling, 1, kX1, 2, 3) || !c.Rank(kTiling, 1, kX2, 2, 2) || !c.Rank(kTiling, 1, kResidual, 3, 3) ||
      !c.Rank(kTiling, 1, kGamma, 1, 1) || !c.Rank(kTiling, 1, kBias, 1, 1)) {
    return false;
  }
  const int64_t rows = RowsOf(c[kX1]), k = Last(c[kX1]), n = Last(c[kX2]);
  if (RowsOf(c[kResidual]) != rows && !c.Refuse(kTiling, 2, "'%s' row count (b * s) is %" PRId64 ", expected %" PRId64 ", that of 'x1'",
                                                c[kResidual].name, RowsOf(c[kResidual]), rows)) {
    return false;
  }
  const Expected columns{&n, 1, "x2's columns"}, residual = c.ShapeOf(kResidual, "the shape of 'residual'");
  if (!c.Shape(kTiling, 3, kGamma, columns) || !c.Shape(kTiling, 3, kBias, columns) || !c.Shape(kTiling, 4, kY, residual) ||
      !c.Shape(kTiling, 4, kNormOut, residual)) {
    return false;
  }
  if (a.scenario == Scenario::kQuant) return CheckScale(c, 5, kScale, 0, n);
  const int64_t size = a.group_size;
  if (size != 0 && (size < kGroupUnit || size > std::min(k - 1, kMaxSize) || size % kGroupUnit != 0)) {
    return c.Refuse(kTiling, 8, "'antiquantGroupSize' is %" PRId64 ", expected 0, or a multiple of 32 in [32, k - 1 = %" PRId64 "]", size,
                    k - 1) &&
           false;
  }
  const int64_t groups = size == 0 ? 0 : (k + size - 1) / size;
  return CheckScale(c, 6, kScale, groups, n) &&
         (!c[kOffset].present || c.Shape(kTiling, 7, kOffset, c.ShapeOf(kScale, "antiquantScale's shape")));
}

bool AtMost(Call& c, int rule, int slot, const char* what, int64_t value, int64_t limit) noexcept {
  return value <= limit || c.Refuse(kTiling, rule, "'%s' %s is %" PRId64 ", expected at most %" PRId64, c[slot].name, what, value, limit);
}

bool CheckLimits(Call& c, Scenario scenario) noexcept {
  const int64_t rows = RowsOf(c[kX1]), k = Last(c[kX1]), n = Last(c[kX2]);
  if (!AtMost(c, 9, kX1, "row count (b * s)", rows, kMaxSize) || !AtMost(c, 9, kX1, "last dimension (k)", k, kMaxSize) ||
      !AtMost(c, 9, kX2, "last dimension (n)", n, kMaxSize)) {
    return false;
  }
  if (scenario == Scenario::kPlain) return true;
  if (!AtMost(c, 10, kX1, "last dimension (k)", k, kMaxQuantised)) return false;
  // Quantised: the last dimension in memory, which is k's where x2 is transposed.
  const bool asked = scenario == Scenario::kWeightQuant || IsContiguous(c[kX2].view);
  return !asked || AtMost(c, 10, kX2, "last dimension (n)", n, kMaxQuantised);
}

// Layouts that do not fit the shapes reach beyond the memory that they are checked against: nothing goes on with them, whatever a test has
// switched off.
bool CheckLayouts(Call& c) noexcept {
  for (int slot = 0; slot < kSlots; ++slot) {
    const Operand& o = c[slot];
    if (!o.present || Count(o) == 0) continue;
    const View& v = o.view;
    const bool straight = IsContiguous(v);
    if (slot == kX2 && !straight && !IsTransposed(v)) {
      return c.Refuse(kParam, 13,
                      "'x2' stride list is [%" PRId64 ", %" PRId64 "], expected [%" PRId64 ", 1], or [1, %" PRId64 "]: transposed",
                      v.strides[0], v.strides[1], v.shape[1], v.shape[0]) &&
             false;
    }
    if (slot != kX2 && !straight) {
      return c.Refuse(kParam, 14, "'%s' is a view with gaps or permuted dimensions, expected a contiguous tensor", o.name) && false;
    }
    const auto bytes = static_cast<uintptr_t>(v.element_bytes);
    if (reinterpret_cast<uintptr_t>(o.address) % bytes != 0 &&
        !c.Refuse(kParam, 15, "'%s' address is %p, expected a multiple of %zu", o.name, static_cast<void*>(o.address), size_t{bytes})) {
      return false;
    }
  }
  return true;
}

}  // namespace

bool CheckInputs(Call& c, Arguments* a) noexcept {
  for (const Slot slot : {kX1, kX2, kResidual, kGamma, kScale}) {
    const Operand& o = c[slot];
    if (!o.present) continue;
    // What follows looks at the last dimension.
    if ((slot == kX1 || slot == kX2 || slot == kResidual) && o.created_rank < 1) return c.Rank(kParam, 1, slot, 1, kMaxRank) && false;
    if (o.created_rank > kMaxRank) return c.Rank(kTiling, 1, slot, 0, kMaxRank) && false;
    if (!c.Sizes(slot)) return false;
    a->empty = a->empty || Count(o) == 0;
  }
  const int64_t k = Last(c[kX1]), n = Last(c[kX2]);
  if (c[kX2].view.shape[0] != k &&
      !c.Refuse(kParam, 2, "'x2' shape[0] is %" PRId64 ", expected %" PRId64 ", the last dimension of 'x1' (k)", c[kX2].view.shape[0], k)) {
    return false;
  }
  if (Last(c[kResidual]) != n && !c.Refuse(kParam, 3, "'%s' last dimension is %" PRId64 ", expected %" PRId64 ", that of 'x2' (n)",
                                           c[kResidual].name, Last(c[kResidual]), n)) {
    return false;
  }
  if (k == 0 && !c.Refuse(kParam, 4, "'x1' last dimension (k) is 0, expected at least 1")) return false;
  if (a->empty) return true;
  if (a->stream_mode != 1 && !c.Refuse(kParam, 5, "'streamMode' is %" PRId64 ", expected 1", a->stream_mode)) return false;
  return (a->in_place || c.NotNull(3, "y", a->y)) && c.NotNull(3, "normOut", a->norm_out) && c.NotNull(3, "group", a->group);
}

bool CheckTensors(Call& c, const Arguments& a) noexcept {
  for (int slot = 0; slot < kSlots; ++slot) {
    if (c[slot].created_rank > kMaxRank) return c.Rank(kTiling, 1, slot, 0, kMaxRank) && false;
    if (!c.Sizes(slot) || !c.PlainFormat(slot)) return false;
  }
  return CheckTypes(c, a.scenario) && CheckShapes(c, a) && CheckLimits(c, a.scenario) && CheckLayouts(c);
}

bool CheckAttributes(Call& c, const Arguments& a) noexcept {
  if (a.reduce_op != nullptr && std::strcmp(a.reduce_op, "sum") != 0 &&
      !c.Refuse(kTiling, 11, "'reduceOp' is '%.40s', expected 'sum'", a.reduce_op)) {
    return false;
  }
  if (a.comm_turn != 0 && !c.Refuse(kTiling, 12, "'commTurn' is %" PRId64 ", expected 0", a.comm_turn)) return false;
  if (!(a.epsilon > 0 && a.epsilon < 1) && !c.Refuse(kTiling, 13, "'epsilon' is %g, expected more than 0 and less than 1", a.epsilon)) {
    return false;
  }
  int32_t device = 0;
  if (aclrtGetDevice(&device) != ACL_SUCCESS) {
    return c.Refuse(ACLNN_ERR_RUNTIME_ERROR, 3, "'group' is given in a thread without a current context, expected aclrtSetDevice before") &&
           false;
  }
  bool exists = false;
  std::shared_ptr<Rank> rank = FindRank(a.group, device, &exists);
  if (!exists) {
    return c.Refuse(kTiling, 14, "'group' is '%.60s', expected the name of a live group (HcclGetCommName)", a.group) && false;
  }
  if (rank == nullptr) {
    return c.Refuse(kTiling, 15, "'group' is '%.60s', which has no live rank on device %d, expected a group of the thread's device",
                    a.group, device) &&
           false;
  }
  const int ranks = rank->communicator->size();
  if (ranks != 1 && ranks != 2 && ranks != 4 && ranks != 8) {
    return c.Refuse(kTiling, 16, "'group' size is %d, expected 1, 2, 4 or 8", ranks) && false;
  }
  c.executor().rank = std::move(rank);
  return true;
}

}  // namespace addnorm::aclnn::matmul_all_reduce
