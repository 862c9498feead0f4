// SPDX-License-Identifier: Apache-2.0
#include "src/parallel/check.h"

#include <algorithm>

#include "src/parallel/checker.h"
#include "src/parallel/prepared.h"

namespace addnorm {
namespace {

using enum DType;

bool IsFloat(DType dtype) { return dtype == kF32 || dtype == kF16 || dtype == kBF16; }

// [1]: one for all; [n], [1, n]: one per column; with a group size [groups, n].
ScaleArgs Scale(Checker& check, const char* field, const TensorView& view, size_t n, size_t groups, bool grouped) {
  if (!check.ok() || !view) return {};
  const Dims shape = view.shape;
  const auto columns = static_cast<int64_t>(n), rows = static_cast<int64_t>(groups);
  const bool single = !grouped && shape.size() == 1 && shape[0] == 1, vector = !grouped && shape.size() == 1 && shape[0] == columns;
  const bool matrix = shape.size() == 2 && shape[0] == (grouped ? rows : 1) && shape[1] == columns;
  if (!single && !vector && !matrix) {
    if (grouped) {
      check.BadShape(field, view, "[%zu, %zu]: one row per group", groups, n);
    } else {
      check.BadShape(field, view, "[1], [%zu] or [1, %zu]", n, n);
    }
    return {};
  }
  ScaleArgs scale{view.data, view.dtype, 0, 0};
  TensorView flat = view;  // [1, n] for the shared rule on memory
  const int64_t lifted[] = {1, shape.back()}, strides[] = {0, view.strides.empty() ? 1 : view.strides.back()};
  if (!matrix && view.strides.size() <= 1) flat.shape = lifted, flat.strides = strides;
  check.Matrix(field, flat, false, &scale.row_stride, &scale.col_stride);
  if (groups == 1 || !grouped) scale.row_stride = 0;
  if (single) scale.col_stride = 0;
  return scale;
}

void CheckAntiquant(Checker& check, const MatmulAllReduceAddRmsNormProblem& p, WeightArgs* w) {
  check.FloatType("antiquant_scale", p.antiquant_scale);
  check.FloatType("antiquant_offset", p.antiquant_offset);
  check.NotNegative("antiquant_group_size", p.antiquant_group_size);
  const bool grouped = p.antiquant_group_size > 0;
  w->group = check.ok() ? static_cast<size_t>(p.antiquant_group_size) : 0;
  w->groups = grouped && check.ok() ? (w->k + w->group - 1) / w->group : 1;
  w->antiquant_scale = Scale(check, "antiquant_scale", p.antiquant_scale, w->n, w->groups, grouped);
  w->antiquant_offset = Scale(check, "antiquant_offset", p.antiquant_offset, w->n, w->groups, grouped);
  const Dims scale = p.antiquant_scale.shape, offset = p.antiquant_offset.shape;
  if (check.ok() && p.antiquant_offset && !std::equal(scale.begin(), scale.end(), offset.begin(), offset.end())) {
    check.BadShape("antiquant_offset", p.antiquant_offset, "%s, the shape of antiquant_scale", ShapeText(scale).c_str());
  }
}

void RefuseAntiquant(Checker& check, const MatmulAllReduceAddRmsNormProblem& p, const char* why) {
  check.Refuse("antiquant_scale", p.antiquant_scale, why);
  check.Refuse("antiquant_offset", p.antiquant_offset, why);
  if (check.ok() && p.antiquant_group_size != 0) {
    check.Fail(Status::Error(Code::kBadValue, "%s: argument '%s' is %lld, expected 0: %s", check.api(), check.Name("antiquant_group_size"),
                             static_cast<long long>(p.antiquant_group_size), why));
  }
}

// x2 and its scales, of a scenario that is known.
void CheckX2(Checker& check, const MatmulAllReduceAddRmsNormProblem& p, WeightArgs* w) {
  check.Matrix("x2", p.x2, true, &w->x2.k_stride, &w->x2.n_stride);
  if (!check.ok()) return;
  w->k = static_cast<size_t>(p.x2.shape[0]);
  w->n = static_cast<size_t>(p.x2.shape[1]);
  w->x2.data = p.x2.data;
  w->x2.dtype = p.x2.dtype;
  if (w->k == 0) return check.BadShape("x2", p.x2, "k >= 1 rows");
  switch (w->scenario) {
    case Scenario::kFloat:
      return RefuseAntiquant(check, p, "x2 is not int8");
    case Scenario::kInt8:
      return RefuseAntiquant(check, p, "x1 is int8, its scale is dequant_scale");
    case Scenario::kInt8Weights:
      check.Require("antiquant_scale", p.antiquant_scale, ": x1 is float and x2 is int8");
      return CheckAntiquant(check, p, w);
  }
}

// The scenario of x1 and x2 (or what was prepared from it), with all that belongs to the weights.
void CheckScenario(Checker& check, const MatmulAllReduceAddRmsNormProblem& p, WeightArgs* w) {
  check.Type("x1", p.x1, {kF32, kF16, kBF16, kI8}, "float32, float16, bfloat16 or int8");
  const bool quantised = p.x1.dtype == kI8;
  if (p.prepared != nullptr) {
    check.Refuse("x2", p.x2, "the weights are prepared");
    RefuseAntiquant(check, p, "the weights are prepared, with their scales");
    if (!check.ok()) return;
    *w = p.prepared->shape();
    if (w->scenario == Scenario::kInt8) return check.Type("x1", p.x1, {kI8}, "int8, as the weights are prepared for");
    return check.Type("x1", p.x1, {kF32, kF16, kBF16}, "float32, float16 or bfloat16, as the weights are prepared for");
  }
  check.Require("x2", p.x2, "");
  if (quantised) {
    w->scenario = Scenario::kInt8;
    check.Type("x2", p.x2, {kI8}, "int8, the type of x1");
  } else {
    w->scenario = p.x2.dtype == kI8 ? Scenario::kInt8Weights : Scenario::kFloat;
    check.Type("x2", p.x2, {kF32, kF16, kBF16, kI8}, "float32, float16, bfloat16 or int8");
  }
  if (check.ok()) CheckX2(check, p, w);
}

void CheckNorm(Checker& check, const TensorView& residual, const TensorView& gamma, double epsilon, const TensorView& y,
               const TensorView& norm_out, const char* rows_of, NormArgs* norm) {
  check.Epsilon(epsilon);
  norm->epsilon = epsilon;
  size_t rows = norm->rows, cols = norm->cols;
  norm->residual = check.Rows("residual", residual, &rows, &cols);
  if (check.ok() && (rows != norm->rows || cols != norm->cols)) {
    check.BadShape("residual", residual, "%zu rows of %zu, as %s has", norm->rows, norm->cols, rows_of);
  }
  norm->gamma = check.Columns("gamma", gamma, norm->cols);
  norm->y = check.RowsOut("y", y, residual, norm->rows, norm->cols);
  norm->norm_out = check.RowsOut("norm_out", norm_out, residual, norm->rows, norm->cols);
  check.Overlaps("y", "residual");
  check.Overlaps("norm_out", nullptr);
}

void RequireNorm(Checker& check, const TensorView& residual, const TensorView& gamma, const TensorView& y, const TensorView& norm_out) {
  check.Require("residual", residual, "");
  check.Require("gamma", gamma, "");
  check.Require("y", y, "");
  check.Require("norm_out", norm_out, "");
  check.FloatType("residual", residual);
  check.FloatType("gamma", gamma);
}

void CheckBias(Checker& check, const MatmulAllReduceAddRmsNormProblem& p, MatmulOperatorArgs* args) {
  if (args->weights.scenario == Scenario::kInt8) {
    check.Type("bias", p.bias, {kI32}, "int32, as x1 is int8");
  } else {
    check.FloatType("bias", p.bias);
  }
  args->bias = check.Columns("bias", p.bias, args->weights.n);
}

void CheckDequantScale(Checker& check, const MatmulAllReduceAddRmsNormProblem& p, MatmulOperatorArgs* args) {
  if (args->weights.scenario != Scenario::kInt8) return check.Refuse("dequant_scale", p.dequant_scale, "x1 is not int8");
  check.Require("dequant_scale", p.dequant_scale, ": x1 and x2 are int8");
  check.Type("dequant_scale", p.dequant_scale, {kF32, kBF16, kI64, kU64}, "float32, bfloat16, int64 or uint64");
  args->dequant_scale = Scale(check, "dequant_scale", p.dequant_scale, args->weights.n, 1, false);
}

}  // namespace

Status Check(const MatmulAllReduceAddRmsNormProblem& p, MatmulOperatorArgs* args) {
  Checker check(p.api, p.names);
  check.Require("x1", p.x1, "");
  CheckScenario(check, p, &args->weights);
  RequireNorm(check, p.residual, p.gamma, p.y, p.norm_out);
  size_t k = 0;
  args->x1 = check.Rows("x1", p.x1, &args->norm.rows, &k);
  if (check.ok() && k != args->weights.k) check.BadShape("x1", p.x1, "%zu columns, the rows of x2", args->weights.k);
  CheckBias(check, p, args);
  CheckDequantScale(check, p, args);
  check.NotNegative("comm_turn", p.comm_turn);
  if (check.ok() && !IsFloat(p.comm_dtype)) {
    check.Fail(Status::Error(Code::kBadDType, "%s: argument '%s' is %s, expected float32, float16 or bfloat16", p.api,
                             check.Name("comm_dtype"), NameOf(p.comm_dtype)));
  }
  args->norm.cols = args->weights.n;
  CheckNorm(check, p.residual, p.gamma, p.epsilon, p.y, p.norm_out, "x1 @ x2", &args->norm);
  return check.status();
}

Status Check(const AllReduceAddRmsNormProblem& p, ReduceOperatorArgs* args) {
  Checker check(p.api, p.names);
  check.Require("partial", p.partial, "");
  check.FloatType("partial", p.partial);
  RequireNorm(check, p.residual, p.gamma, p.y, p.norm_out);
  check.NotNegative("comm_turn", p.comm_turn);
  args->partial = check.Rows("partial", p.partial, &args->norm.rows, &args->norm.cols);
  CheckNorm(check, p.residual, p.gamma, p.epsilon, p.y, p.norm_out, "partial", &args->norm);
  return check.status();
}

Status CheckWeights(const MatmulAllReduceAddRmsNormProblem& p, WeightArgs* args) {
  Checker check(p.api, p.names);
  check.Require("x2", p.x2, "");
  check.Type("x2", p.x2, {kF32, kF16, kBF16, kI8}, "float32, float16, bfloat16 or int8");
  args->scenario = p.x2.dtype != kI8 ? Scenario::kFloat : p.antiquant_scale ? Scenario::kInt8Weights : Scenario::kInt8;
  if (check.ok() && args->scenario == Scenario::kInt8) check.Refuse("antiquant_offset", p.antiquant_offset, "there is no antiquant_scale");
  if (check.ok()) CheckX2(check, p, args);
  return check.status();
}

}  // namespace addnorm
