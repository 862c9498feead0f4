// SPDX-License-Identifier: Apache-2.0
#include "tests/parallel_rules.h"

#include <limits>

namespace addnorm::test::parallel {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN(), kInf = std::numeric_limits<double>::infinity();

}  // namespace

const std::vector<Rule>& Rules() {
  static const std::vector<Rule> rules = {
      // Absent, or there where there must be none.
      {"no x1", kFloat, [](Case& c) { c.x1.absent = true; }, Code::kNullArg, {"'x1'", "absent"}},
      {"no x2", kFloat, [](Case& c) { c.x2.absent = true; }, Code::kNullArg, {"'x2'", "absent"}},
      {"no residual", kFloat, [](Case& c) { c.residual.absent = true; }, Code::kNullArg, {"'residual'", "absent"}},
      {"no gamma", kFloat, [](Case& c) { c.gamma.absent = true; }, Code::kNullArg, {"'gamma'", "absent"}},
      {"no y", kFloat, [](Case& c) { c.y.absent = true; }, Code::kNullArg, {"'y'", "absent"}},
      {"no norm_out", kFloat, [](Case& c) { c.norm_out.absent = true; }, Code::kNullArg, {"'norm_out'", "absent"}},
      {"no dequant_scale", kInt8, [](Case& c) { c.has_dequant = false; }, Code::kNullArg, {"'dequant_scale'", "absent", "int8"}},
      {"no antiquant_scale", kWeights, [](Case& c) { c.antiquant_scale.absent = true; }, Code::kNullArg, {"'antiquant_scale'", "absent"}},
      {"null x1", kFloat, [](Case& c) { c.x1.null = true; }, Code::kNullArg, {"'x1'", "null", "48"}},
      {"null x2", kFloat, [](Case& c) { c.x2.null = true; }, Code::kNullArg, {"'x2'", "null", "32"}},
      {"null y", kFloat, [](Case& c) { c.y.null = true; }, Code::kNullArg, {"'y'", "null", "24"}},
      {"null scale", kInt8, [](Case& c) { c.dequant_scale.null = true; }, Code::kNullArg, {"'dequant_scale'", "null", "4"}},
      {"dequant_scale of floats", kFloat, [](Case& c) { c.has_dequant = true; }, Code::kBadValue, {"'dequant_scale'", "given", "none"}},
      {"antiquant_scale of floats",
       kFloat,
       [](Case& c) { c.has_antiquant = true; },
       Code::kBadValue,
       {"'antiquant_scale'", "given", "none"}},
      {"antiquant_offset of floats",
       kFloat,
       [](Case& c) { c.has_antiquant = true, c.antiquant_scale.absent = true; },
       Code::kBadValue,
       {"'antiquant_offset'", "given", "none"}},
      {"group of floats",
       kFloat,
       [](Case& c) { c.has_antiquant = true, c.antiquant_scale.absent = c.antiquant_offset.absent = true; },
       Code::kBadValue,
       {"'antiquant_group_size'", "4", "0"}},
      {"antiquant_scale of int8", kInt8, [](Case& c) { c.has_antiquant = true; }, Code::kBadValue, {"'antiquant_scale'", "given", "none"}},
      {"dequant_scale of int8 weights", kWeights, [](Case& c) { c.has_dequant = true; }, Code::kBadValue, {"'dequant_scale'", "given"}},
      // Types.
      {"int32 x1", kFloat, [](Case& c) { c.x1.dtype = kI32; }, Code::kBadDType, {"'x1'", "int32", "float32", "int8"}},
      {"float64 x1", kFloat, [](Case& c) { c.x1.dtype = kF64; }, Code::kBadDType, {"'x1'", "float64", "float32"}},
      {"float64 x2", kFloat, [](Case& c) { c.x2.dtype = kF64; }, Code::kBadDType, {"'x2'", "float64", "float32"}},
      {"int8 x1 only", kInt8, [](Case& c) { c.x2.dtype = kF32; }, Code::kBadDType, {"'x2'", "float32", "int8"}},
      {"int32 bias of floats", kFloat, [](Case& c) { c.bias.dtype = kI32; }, Code::kBadDType, {"'bias'", "int32", "float"}},
      {"float bias of int8", kInt8, [](Case& c) { c.bias.dtype = kF32; }, Code::kBadDType, {"'bias'", "float32", "int32"}},
      {"float64 residual",
       kFloat,
       [](Case& c) { c.residual.dtype = c.y.dtype = c.norm_out.dtype = kF64; },
       Code::kBadDType,
       {"'residual'", "float64"}},
      {"int8 gamma", kFloat, [](Case& c) { c.gamma.dtype = kI8; }, Code::kBadDType, {"'gamma'", "int8", "float"}},
      {"y of another type", kFloat, [](Case& c) { c.y.dtype = kF16; }, Code::kBadDType, {"'y'", "float16", "float32"}},
      {"norm_out of another type",
       kFloat,
       [](Case& c) { c.norm_out.dtype = kBF16; },
       Code::kBadDType,
       {"'norm_out'", "bfloat16", "float32"}},
      {"float16 dequant_scale",
       kInt8,
       [](Case& c) { c.dequant_scale.dtype = kF16; },
       Code::kBadDType,
       {"'dequant_scale'", "float16", "int64"}},
      {"int64 antiquant_scale",
       kWeights,
       [](Case& c) { c.antiquant_scale.dtype = kI64; },
       Code::kBadDType,
       {"'antiquant_scale'", "int64", "float"}},
      {"int8 antiquant_offset",
       kWeights,
       [](Case& c) { c.antiquant_offset.dtype = kI8; },
       Code::kBadDType,
       {"'antiquant_offset'", "int8", "float"}},
      {"int32 comm_dtype", kFloat, [](Case& c) { c.comm_dtype = kI32; }, Code::kBadDType, {"'comm_dtype'", "int32", "float16"}},
      // Shapes.
      {"k of x1",
       kFloat,
       [](Case& c) {
         c.x1.shape = {2, 3, 7};
       },
       Code::kBadShape,
       {"'x1'", "[2, 3, 7]", "8"}},
      {"k = 0",
       kFloat,
       [](Case& c) {
         c.x1.shape = {2, 3, 0}, c.x2.shape = {0, 4};
       },
       Code::kBadShape,
       {"'x2'", "[0, 4]", "k >= 1"}},
      {"x1 without dimensions", kFloat, [](Case& c) { c.x1.shape = {}; }, Code::kBadShape, {"'x1'", "[]", "dimension"}},
      {"a negative dimension",
       kFloat,
       [](Case& c) {
         c.x1.shape = {-2, 3, 8};
       },
       Code::kBadShape,
       {"'x1'", "-2", ">= 0"}},
      {"a huge dimension",
       kFloat,
       [](Case& c) {
         c.x1.shape = {int64_t{1} << 62, 3, 8};
       },
       Code::kBadShape,
       {"'x1'", "memory"}},
      {"x2 of one dimension", kFloat, [](Case& c) { c.x2.shape = {8}; }, Code::kBadShape, {"'x2'", "[8]", "2 dimensions"}},
      {"x2 of three",
       kFloat,
       [](Case& c) {
         c.x2.shape = {1, 8, 4};
       },
       Code::kBadShape,
       {"'x2'", "[1, 8, 4]", "2 dimensions"}},
      {"bias length", kFloat, [](Case& c) { c.bias.shape = {5}; }, Code::kBadShape, {"'bias'", "[5]", "[4]"}},
      {"bias of two dimensions",
       kFloat,
       [](Case& c) {
         c.bias.shape = {1, 4};
       },
       Code::kBadShape,
       {"'bias'", "[1, 4]", "[4]"}},
      {"gamma length", kFloat, [](Case& c) { c.gamma.shape = {8}; }, Code::kBadShape, {"'gamma'", "[8]", "[4]"}},
      {"residual rows",
       kFloat,
       [](Case& c) {
         c.residual.shape = c.y.shape = c.norm_out.shape = {2, 4, 4};
       },
       Code::kBadShape,
       {"'residual'", "[2, 4, 4]", "6 rows of 4"}},
      {"residual columns",
       kFloat,
       [](Case& c) {
         c.residual.shape = c.y.shape = c.norm_out.shape = {2, 3, 5};
       },
       Code::kBadShape,
       {"'residual'", "[2, 3, 5]", "6 rows of 4"}},
      {"y shape",
       kFloat,
       [](Case& c) {
         c.y.shape = {6, 4};
       },
       Code::kBadShape,
       {"'y'", "[6, 4]", "[2, 3, 4]"}},
      {"norm_out shape",
       kFloat,
       [](Case& c) {
         c.norm_out.shape = {2, 3, 3};
       },
       Code::kBadShape,
       {"'norm_out'", "[2, 3, 3]", "[2, 3, 4]"}},
      {"dequant_scale length",
       kInt8,
       [](Case& c) { c.dequant_scale.shape = {3}; },
       Code::kBadShape,
       {"'dequant_scale'", "[3]", "[1], [4] or [1, 4]"}},
      {"dequant_scale rows",
       kInt8,
       [](Case& c) {
         c.dequant_scale.shape = {2, 4};
       },
       Code::kBadShape,
       {"'dequant_scale'", "[2, 4]", "[1], [4] or [1, 4]"}},
      {"antiquant_scale by groups, no group",
       kWeights,
       [](Case& c) { c.group = 0; },
       Code::kBadShape,
       {"'antiquant_scale'", "[2, 4]", "[1, 4]"}},
      {"too few groups", kWeights, [](Case& c) { c.group = 3; }, Code::kBadShape, {"'antiquant_scale'", "[2, 4]", "[3, 4]"}},
      {"one scale for groups",
       kWeights,
       [](Case& c) { c.antiquant_scale.shape = c.antiquant_offset.shape = {1}; },
       Code::kBadShape,
       {"'antiquant_scale'", "[1]", "[2, 4]"}},
      {"offset of another shape",
       kWeights,
       [](Case& c) {
         c.group = 0, c.antiquant_scale.shape = {4}, c.antiquant_offset.shape = {1, 4};
       },
       Code::kBadShape,
       {"'antiquant_offset'", "[1, 4]", "[4]"}},
      // Strides, alignment, overlap.
      {"x1 columns apart",
       kFloat,
       [](Case& c) {
         c.x1.strides = {48, 16, 2};
       },
       Code::kBadShape,
       {"'x1'", "[48, 16, 2]", "contiguous row"}},
      {"x1 without one row stride",
       kFloat,
       [](Case& c) {
         c.x1.strides = {40, 8, 1};
       },
       Code::kBadShape,
       {"'x1'", "[40, 8, 1]", "one stride"}},
      {"residual transposed",
       kFloat,
       [](Case& c) {
         c.residual.strides = {12, 1, 3};
       },
       Code::kBadShape,
       {"'residual'", "[12, 1, 3]"}},
      {"x2 with two strides",
       kFloat,
       [](Case& c) {
         c.x2.strides = {8, 2};
       },
       Code::kBadShape,
       {"'x2'", "[8, 2]", "transposed"}},
      {"gamma apart", kFloat, [](Case& c) { c.gamma.strides = {2}; }, Code::kBadShape, {"'gamma'", "[2]", "contiguous"}},
      {"bias apart", kFloat, [](Case& c) { c.bias.strides = {2}; }, Code::kBadShape, {"'bias'", "[2]", "contiguous"}},
      {"too few strides",
       kFloat,
       [](Case& c) {
         c.x1.strides = {8, 1};
       },
       Code::kBadShape,
       {"'x1'", "2 strides", "3"}},
      {"a huge stride",
       kFloat,
       [](Case& c) {
         c.x1.strides = {3 * (int64_t{1} << 60), int64_t{1} << 60, 1};
       },
       Code::kBadShape,
       {"'x1'", "fit in memory"}},
      {"x1 between elements", kFloat, [](Case& c) { c.x1.shift = 2; }, Code::kBadValue, {"'x1'", "address", "4"}},
      {"y overlaps itself",
       kFloat,
       [](Case& c) {
         c.y.strides = {9, 3, 1};
       },
       Code::kBadShape,
       {"'y'", "overlaps itself", "at least 4"}},
      {"y over norm_out", kFloat, [](Case& c) { c.y.at = c.norm_out.storage; }, Code::kBadShape, {"'y'", "'norm_out'", "overlaps"}},
      {"y over x1", kFloat, [](Case& c) { c.y.at = c.x1.storage; }, Code::kBadShape, {"'y'", "'x1'", "overlaps"}},
      {"y over x2", kFloat, [](Case& c) { c.y.at = c.x2.storage; }, Code::kBadShape, {"'y'", "'x2'", "overlaps"}},
      {"y over a part of the residual",
       kFloat,
       [](Case& c) { c.y.at = c.residual.storage + 16; },
       Code::kBadShape,
       {"'y'", "'residual'", "exactly"}},
      {"norm_out over the residual",
       kFloat,
       [](Case& c) { c.norm_out.at = c.residual.storage; },
       Code::kBadShape,
       {"'norm_out'", "'residual'", "overlaps"}},
      {"norm_out over gamma",
       kFloat,
       [](Case& c) { c.norm_out.at = c.gamma.storage; },
       Code::kBadShape,
       {"'norm_out'", "'gamma'", "overlaps"}},
      // Values.
      {"negative epsilon", kFloat, [](Case& c) { c.epsilon = -1e-6; }, Code::kBadValue, {"'epsilon'", "-1e-06", ">= 0"}},
      {"nan epsilon", kFloat, [](Case& c) { c.epsilon = kNan; }, Code::kBadValue, {"'epsilon'", "nan", "finite"}},
      {"infinite epsilon", kFloat, [](Case& c) { c.epsilon = kInf; }, Code::kBadValue, {"'epsilon'", "inf", "finite"}},
      {"negative comm_turn", kFloat, [](Case& c) { c.comm_turn = -1; }, Code::kBadValue, {"'comm_turn'", "-1", ">= 0"}},
      {"negative group", kWeights, [](Case& c) { c.group = -32; }, Code::kBadValue, {"'antiquant_group_size'", "-32", ">= 0"}},
      {"no time", kFloat, [](Case& c) { c.timeout = std::chrono::seconds(0); }, Code::kBadValue, {"'timeout'", "0 ns", "> 0"}},
      {"no executor", kFloat, [](Case& c) { c.executor = Executor{}; }, Code::kNullArg, {"'executor'", "null"}},
  };
  return rules;
}

}  // namespace addnorm::test::parallel
