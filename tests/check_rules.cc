// SPDX-License-Identifier: Apache-2.0
#include "tests/check_rules.h"

#include <cmath>
#include <limits>

namespace addnorm::test {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

}  // namespace

const std::vector<Rule>& Rules() {
  static const std::vector<Rule> rules = {
      // Absent.
      {"x0 absent", kForward, [](Case& c) { c.x0.absent = true; }, Code::kNullArg, {"x0"}},
      {"dy absent", kBackward, [](Case& c) { c.dy.absent = true; }, Code::kNullArg, {"dy"}},
      {"neither h nor its parts",
       kBackward,
       [](Case& c) {
         c.saved.absent = c.x0.absent = true;
         c.drowscale.absent = c.dlayerscale.absent = true;
       },
       Code::kNullArg,
       {"x0"}},
      {"drowscale without x0", kBackward, [](Case& c) { c.x0.absent = c.dlayerscale.absent = true; }, Code::kNullArg, {"x0", "rowscale"}},
      {"dlayerscale without x0", kBackward, [](Case& c) { c.x0.absent = c.drowscale.absent = true; }, Code::kNullArg, {"x0", "layerscale"}},
      {"rstd without mean", kBackward, [](Case& c) { c.saved_mean.absent = true; }, Code::kNullArg, {"mean"}},
      {"null data", kForward, [](Case& c) { c.residual.data = nullptr; }, Code::kNullArg, {"residual", "null", "48"}},
      {"null data of an output", kForward, [](Case& c) { c.y.data = nullptr; }, Code::kNullArg, {"'y'", "null"}},
      // Types.
      {"bool x0", kForward, [](Case& c) { c.x0.dtype = DType::kBool; }, Code::kBadDType, {"x0", "bool", "float"}},
      {"bool weight", kBoth, [](Case& c) { c.weight.dtype = DType::kBool; }, Code::kBadDType, {"weight", "bool", "float"}},
      {"fp64 weight among fp32", kBoth, [](Case& c) { c.weight.dtype = DType::kF64; }, Code::kBadDType, {"weight", "float64", "float32"}},
      {"fp64 y among fp32", kForward, [](Case& c) { c.y.dtype = DType::kF64; }, Code::kBadDType, {"'y'", "float64", "float32"}},
      {"fp32 weight among fp64",
       kForward,
       [](Case& c) { c.x0.dtype = c.residual.dtype = DType::kF64; },
       Code::kBadDType,
       {"float32", "float64"}},
      {"mask not bool", kForward, [](Case& c) { c.keep.dtype = DType::kF32; }, Code::kBadDType, {"keep", "float32", "bool"}},
      {"no type at all", kBoth, [](Case& c) { c.bias.dtype = c.dsum.dtype = static_cast<DType>(77); }, Code::kBadDType, {"invalid"}},
      {"h rounded to bool",
       kForward,
       [](Case& c) {
         c.prenorm.absent = true;
         c.prenorm_dtype = DType::kBool;
       },
       Code::kBadDType,
       {"prenorm_dtype", "bool"}},
      // Shapes.
      {"weight and residual swapped",
       kForward,
       [](Case& c) { std::swap(c.weight.shape, c.residual.shape); },
       Code::kBadShape,
       {"residual", "[8]", "[2, 3, 8]"}},
      {"weight of the rows' shape",
       kBoth,
       [](Case& c) {
         c.weight.shape = {2, 3, 8};
       },
       Code::kBadShape,
       {"weight", "[2, 3, 8]", "[8]", "swapped"}},
      {"residual of another rank",
       kForward,
       [](Case& c) {
         c.residual.shape = {6, 8};
       },
       Code::kBadShape,
       {"residual", "[6, 8]", "[2, 3, 8]"}},
      {"residual of another size",
       kForward,
       [](Case& c) {
         c.residual.shape = {2, 3, 7};
       },
       Code::kBadShape,
       {"residual", "[2, 3, 7]", "[2, 3, 8]"}},
      {"weight too long", kBoth, [](Case& c) { c.weight.shape = {9}; }, Code::kBadShape, {"weight", "[9]", "[8]"}},
      {"bias too short", kForward, [](Case& c) { c.bias.shape = {7}; }, Code::kBadShape, {"bias", "[7]", "[8]"}},
      {"rowscale transposed",
       kBoth,
       [](Case& c) {
         c.rowscale.shape = {3, 2};
       },
       Code::kBadShape,
       {"rowscale", "[3, 2]", "[2, 3]"}},
      {"layerscale of one row",
       kBoth,
       [](Case& c) {
         c.layerscale.shape = {1, 8};
       },
       Code::kBadShape,
       {"layerscale", "[1, 8]", "[8]"}},
      {"prebias of neither shape",
       kBoth,
       [](Case& c) {
         c.prebias.shape = {3, 8};
       },
       Code::kBadShape,
       {"prebias", "[3, 8]"}},
      {"mean with a column",
       kForward,
       [](Case& c) {
         c.mean.shape = {2, 3, 8};
       },
       Code::kBadShape,
       {"mean", "[2, 3, 8]", "[2, 3]"}},
      {"rstd of another size",
       kForward,
       [](Case& c) {
         c.rstd.shape = {2, 4};
       },
       Code::kBadShape,
       {"rstd", "[2, 4]", "[2, 3]"}},
      {"given rstd of another size", kBackward, [](Case& c) { c.saved_rstd.shape = {6}; }, Code::kBadShape, {"rstd", "[6]", "[2, 3]"}},
      {"mask of another size",
       kForward,
       [](Case& c) {
         c.keep.shape = {2, 3, 4};
       },
       Code::kBadShape,
       {"keep", "[2, 3, 4]", "[2, 3, 8]"}},
      {"y of another size",
       kForward,
       [](Case& c) {
         c.y.shape = {2, 3, 16};
       },
       Code::kBadShape,
       {"'y'", "[2, 3, 16]", "[2, 3, 8]"}},
      {"dweight of another size", kBackward, [](Case& c) { c.dweight.shape = {4}; }, Code::kBadShape, {"dweight", "[4]", "[8]"}},
      {"dsum of another size",
       kBackward,
       [](Case& c) {
         c.dsum.shape = {1, 3, 8};
       },
       Code::kBadShape,
       {"dsum", "[1, 3, 8]", "[2, 3, 8]"}},
      {"normalized_rank 0", kBoth, [](Case& c) { c.normalized_rank = 0; }, Code::kBadShape, {"normalized_rank", "0", "3"}},
      {"normalized_rank -1", kBoth, [](Case& c) { c.normalized_rank = -1; }, Code::kBadShape, {"normalized_rank", "-1", "3"}},
      {"normalized_rank beyond the rank", kBoth, [](Case& c) { c.normalized_rank = 4; }, Code::kBadShape, {"normalized_rank", "4", "3"}},
      {"negative dimension",
       kBoth,
       [](Case& c) {
         c.x0.shape = c.dy.shape = {2, -3, 8};
       },
       Code::kBadShape,
       {"[2, -3, 8]"}},
      {"product beyond 64 bits",
       kBoth,
       [](Case& c) {
         c.x0.shape = c.dy.shape = {int64_t{1} << 31, int64_t{1} << 31, 8};
       },
       Code::kBadShape,
       {"[2147483648, 2147483648, 8]"}},
      {"bytes beyond 64 bits",
       kBoth,
       [](Case& c) {
         c.x0.shape = c.dy.shape = {int64_t{1} << 30, int64_t{1} << 30, 4};
       },
       Code::kBadShape,
       {"[1073741824, 1073741824, 4]"}},
      {"one huge dimension",
       kBoth,
       [](Case& c) {
         c.x0.shape = c.dy.shape = {std::numeric_limits<int64_t>::max(), 1, 8};
       },
       Code::kBadShape,
       {"9223372036854775807"}},
      // Strides.
      {"columns apart",
       kForward,
       [](Case& c) {
         c.residual.strides = {48, 16, 2};
       },
       Code::kBadShape,
       {"residual", "[48, 16, 2]"}},
      {"rows that do not collapse",
       kForward,
       [](Case& c) {
         c.residual.strides = {40, 8, 1};
       },
       Code::kBadShape,
       {"residual", "[40, 8, 1]"}},
      {"transposed",
       kForward,
       [](Case& c) {
         c.residual.strides = {1, 2, 6};
       },
       Code::kBadShape,
       {"residual", "[1, 2, 6]"}},
      {"too few strides",
       kForward,
       [](Case& c) {
         c.residual.strides = {8, 1};
       },
       Code::kBadShape,
       {"residual", "2", "3"}},
      {"strided weight", kBoth, [](Case& c) { c.weight.strides = {2}; }, Code::kBadShape, {"weight", "[2]"}},
      {"stride beyond the address space",
       kForward,
       [](Case& c) {
         c.residual.strides = {std::numeric_limits<int64_t>::max() / 2, std::numeric_limits<int64_t>::max() / 6, 1};
       },
       Code::kBadShape,
       {"residual"}},
      {"scalars that do not collapse",
       kForward,
       [](Case& c) {
         c.mean.strides = {1, 2};
       },
       Code::kBadShape,
       {"mean", "[1, 2]"}},
      // Overlap.
      {"output rows on top of each other",
       kForward,
       [](Case& c) {
         c.y.strides = {0, 0, 1};
       },
       Code::kBadShape,
       {"'y'", "overlap"}},
      {"output rows that share columns",
       kForward,
       [](Case& c) {
         c.y.strides = {12, 4, 1};
       },
       Code::kBadShape,
       {"'y'", "overlap"}},
      {"y over x0, one element off", kForward, [](Case& c) { c.y.data = c.x0.storage + 4; }, Code::kBadShape, {"'y'", "'x0'", "overlap"}},
      {"y over x0 in another type",
       kForward,
       [](Case& c) {
         c.y.data = c.x0.storage;
         c.y.dtype = DType::kBF16;
       },
       Code::kBadShape,
       {"'y'", "'x0'"}},
      {"y over x0 with other strides",
       kForward,
       [](Case& c) {
         c.y.data = c.x0.storage;
         c.y.strides = {30, 10, 1};
       },
       Code::kBadShape,
       {"'y'", "'x0'"}},
      {"two outputs in one place",
       kForward,
       [](Case& c) { c.prenorm.data = c.y.storage; },
       Code::kBadShape,
       {"'y'", "'prenorm'", "overlap"}},
      {"y over the weight", kForward, [](Case& c) { c.y.data = c.weight.storage; }, Code::kBadShape, {"'y'", "'weight'"}},
      {"mean over rstd", kForward, [](Case& c) { c.mean.data = c.rstd.storage + 8; }, Code::kBadShape, {"mean", "rstd"}},
      {"dweight over the weight", kBackward, [](Case& c) { c.dweight.data = c.weight.storage; }, Code::kBadShape, {"dweight", "weight"}},
      {"dx0 over dresidual", kBackward, [](Case& c) { c.dx0.data = c.dresidual.storage; }, Code::kBadShape, {"dx0", "dresidual"}},
      {"dx0 half over dy", kBackward, [](Case& c) { c.dx0.data = c.dy.storage + 96; }, Code::kBadShape, {"dx0", "dy"}},
      {"address off its type", kForward, [](Case& c) { c.x0.data = c.x0.storage + 2; }, Code::kBadValue, {"x0", "4"}},
      // Attributes.
      {"eps negative", kBoth, [](Case& c) { c.norm.eps = -1e-5; }, Code::kBadValue, {"eps", "-1e-05", ">= 0"}},
      {"eps NaN", kBoth, [](Case& c) { c.norm.eps = kNan; }, Code::kBadValue, {"eps", "nan"}},
      {"norm kind", kBoth, [](Case& c) { c.norm.kind = static_cast<NormKind>(7); }, Code::kBadValue, {"kind", "7", "kRms"}},
      {"eps infinite", kBoth, [](Case& c) { c.norm.eps = kInf; }, Code::kBadValue, {"eps", "inf"}},
      {"p negative", kBoth, [](Case& c) { c.dropout.p = -0.1; }, Code::kBadValue, {"p", "-0.1", "[0, 1]"}},
      {"p above 1", kBoth, [](Case& c) { c.dropout.p = 1.5; }, Code::kBadValue, {"p", "1.5", "[0, 1]"}},
      {"p NaN", kBoth, [](Case& c) { c.dropout.p = kNan; }, Code::kBadValue, {"p", "nan", "[0, 1]"}},
      {"p just above 1", kBoth, [](Case& c) { c.dropout.p = std::nextafter(1.0, 2.0); }, Code::kBadValue, {"p", "[0, 1]"}},
      {"shard beyond the row",
       kBoth,
       [](Case& c) {
         c.dropout.col_base = 5;
         c.dropout.cols_total = 12;
       },
       Code::kBadValue,
       {"cols_total", "12"}},
      {"shard beyond everything",
       kBoth,
       [](Case& c) {
         c.dropout.col_base = ~uint64_t{0};
         c.dropout.cols_total = 12;
       },
       Code::kBadValue,
       {"cols_total"}},
      {"shard without a total", kBoth, [](Case& c) { c.dropout.col_base = 4; }, Code::kBadValue, {"cols_total"}},
  };
  return rules;
}

}  // namespace addnorm::test
