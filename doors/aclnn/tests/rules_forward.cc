// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include "doors/aclnn/tests/rules.h"

namespace addnorm::aclnn_test {
namespace {

constexpr const char* kPointer = "a pointer";
constexpr const char* kFloats = "FLOAT, FLOAT16 or BFLOAT16";
const Dims kNine{1, 1, 1, 1, 1, 2, 3, 4, 5}, kEight{1, 1, 1, 1, 2, 3, 4, 5};

Change Types(std::vector<const char*> names, aclDataType type) {
  return [=](OpCall& c) {
    for (const char* name : names) Type(name, type)(c);
  };
}
Change Shapes(std::vector<const char*> names, Dims shape) {
  return [=](OpCall& c) {
    for (const char* name : names) Shape(name, shape)(c);
  };
}
Change Norm(Dims shape) {
  return [=](OpCall& c) { c.normalized_shape = shape; };
}

void OutPointers(std::vector<RuleCase>* r, Op op, const char* rule) {
  r->push_back({op, rule, "workspaceSize", "null", kPointer, [](OpCall& c) { c.null_workspace_size = true; }, Nothing()});
  r->push_back({op, rule, "executor", "null", kPointer, [](OpCall& c) { c.null_executor = true; }, Nothing()});
}

void LayerNormRules(std::vector<RuleCase>* r) {
  const Op op = Op::kLayerNorm;
  for (const char* name : {"input", "out"})
    r->push_back({op, "161001-1", name, "null", kPointer, Null(name), Both(Null("meanOutOptional"), Null("rstdOutOptional"))});
  r->push_back({op, "161001-1", "normalizedShape", "null", kPointer, [](OpCall& c) { c.null_normalized_shape = true; }, Nothing()});
  OutPointers(r, op, "161001-2");
  for (const char* name : {"input", "weightOptional", "biasOptional", "out", "meanOutOptional", "rstdOutOptional"}) {
    r->push_back({op, "161002-1", name, "DOUBLE", kFloats, Type(name, ACL_DOUBLE), Types({"out", "meanOutOptional"}, ACL_BF16)});
  }
  r->push_back({op, "161002-2", "normalizedShape", "0", "1 to 8", Norm({}), Nothing()});
  r->push_back({op, "161002-3", "input", "4", "at least 5", Norm({1, 2, 3, 4, 5}),
                Both(Norm({2, 3, 4, 5}), Both(Shapes({"weightOptional", "biasOptional"}, {2, 3, 4, 5}),
                                              Shapes({"meanOutOptional", "rstdOutOptional"}, {1, 1, 1, 1})))});
  r->push_back({op, "161002-4", "normalizedShape[1]", "6", "input.shape[3] = 5", Norm({4, 6}), Nothing()});
  r->push_back({op, "161002-4", "normalizedShape[0]", "5", "input.shape[2] = 4", Norm({5, 4}), Nothing()});
  r->push_back({op, "161002-5", "weightOptional", "[20]", "[4, 5], the value of 'normalizedShape'", Shape("weightOptional", {20}),
                Null("weightOptional")});
  r->push_back(
      {op, "161002-6", "biasOptional", "[5]", "[4, 5], the value of 'normalizedShape'", Shape("biasOptional", {5}), Null("biasOptional")});
  r->push_back({op, "161002-7", "out", "[6, 20]", "[2, 3, 4, 5], the shape of 'input'", Shape("out", {6, 20}), Nothing()});
  // Without rows `out` may be anything.
  r->push_back({op, "161002-7", "out", "[0, 3, 4, 5]", "[2, 3, 4, 5]", Shape("out", {0, 3, 4, 5}),
                Both(Shape("input", {0, 3, 4, 5}), Both(Null("meanOutOptional"), Null("rstdOutOptional")))});
  for (const char* name : {"meanOutOptional", "rstdOutOptional"}) {
    r->push_back({op, "161002-8", name, "[2, 3]", "[2, 3, 1, 1], the rows of 'input'", Shape(name, {2, 3}), Shape(name, {0})});
  }
  r->push_back({op, "161002-9", "input", "9", "0 to 8", Shapes({"input", "out"}, kNine),
                Both(Shapes({"input", "out"}, kEight), Shapes({"meanOutOptional", "rstdOutOptional"}, {1, 1, 1, 1, 2, 3, 1, 1}))});
  r->push_back({op, "161002-9", "normalizedShape", "9", "at most 8", Norm(kNine), Nothing()});
  r->push_back({op, "161002-10", "weightOptional", "BFLOAT16", "FLOAT16 or FLOAT, the dtype of input",
                Types({"weightOptional", "biasOptional"}, ACL_BF16), Types({"weightOptional", "biasOptional"}, ACL_FLOAT)});
  r->push_back({op, "161002-10", "biasOptional", "BFLOAT16", "FLOAT, the dtype of weightOptional",
                Both(Type("weightOptional", ACL_FLOAT), Type("biasOptional", ACL_BF16)),
                Types({"weightOptional", "biasOptional"}, ACL_FLOAT)});
  r->push_back({op, "161002-10", "biasOptional", "BFLOAT16", "FLOAT16 or FLOAT, the dtype of input",
                Both(Null("weightOptional"), Type("biasOptional", ACL_BF16)), Null("weightOptional")});
  r->push_back({op, "161002-10", "biasOptional", "FLOAT", "FLOAT16, the dtype of weightOptional", Type("biasOptional", ACL_FLOAT),
                Both(Null("weightOptional"), Type("biasOptional", ACL_FLOAT))});
}

void AddLayerNormRules(std::vector<RuleCase>* r) {
  const Op op = Op::kAddLayerNorm;
  for (const char* name : {"x1", "x2", "gamma", "beta"})
    r->push_back({op, "161001-1", name, "null", kPointer, Null(name), Null("biasOptional")});
  for (const char* name : {"yOut", "meanOut", "rstdOut", "xOut"}) {
    r->push_back({op, "161001-2", name, "null", kPointer, Both(Null(name), [](OpCall& c) { c.additional_output = false; }),
                  [](OpCall& c) { c.additional_output = false; }});
  }
  OutPointers(r, op, "161001-3");
  for (const char* name : {"x1", "x2"}) r->push_back({op, "161002-1", name, "INT32", kFloats, Type(name, ACL_INT32), Nothing()});
  r->push_back({op, "161002-2", "x2", "BFLOAT16", "FLOAT16 or FLOAT, the dtype of x1", Type("x2", ACL_BF16),
                Both(Type("x2", ACL_FLOAT), Types({"gamma", "beta", "biasOptional", "yOut", "xOut"}, ACL_FLOAT))});
  r->push_back(
      {op, "161002-3", "gamma", "BFLOAT16", "FLOAT16 or FLOAT", Types({"gamma", "beta"}, ACL_BF16), Types({"gamma", "beta"}, ACL_FLOAT)});
  r->push_back({op, "161002-3", "beta", "FLOAT", "FLOAT16, the dtype of gamma", Type("beta", ACL_FLOAT), Nothing()});
  r->push_back({op, "161002-4", "biasOptional", "FLOAT", "FLOAT16, the dtype of the sum", Type("biasOptional", ACL_FLOAT), Nothing()});
  for (const char* name : {"yOut", "xOut"})
    r->push_back({op, "161002-5", name, "FLOAT", "FLOAT16, the dtype of the sum", Type(name, ACL_FLOAT), Nothing()});
  for (const char* name : {"meanOut", "rstdOut"})
    r->push_back({op, "161002-6", name, "FLOAT16", "FLOAT", Type(name, ACL_FLOAT16), Nothing()});
  r->push_back(
      {op, "561002-1", "x1", "9", "1 to 8", Shapes({"x1", "x2", "yOut", "xOut", "biasOptional"}, kNine),
       Both(Shapes({"x1", "x2", "yOut", "xOut", "biasOptional"}, kEight), Shapes({"meanOut", "rstdOut"}, {1, 1, 1, 1, 2, 3, 1, 1}))});
  for (const char* name : {"x2", "yOut", "xOut"}) {
    r->push_back({op, "561002-2", name, "[2, 3, 5, 4]", "[2, 3, 4, 5], the shape of 'x1'", Shape(name, {2, 3, 5, 4}), Nothing()});
  }
  r->push_back({op, "561002-3", "gamma", "[4, 4]", "[4, 5], the last dimensions of 'x1'", Shape("gamma", {4, 4}), Nothing()});
  r->push_back({op, "561002-3", "gamma", "5", "at most 4, the rank of 'x1'", Shapes({"gamma", "beta"}, {1, 2, 3, 4, 5}),
                Both(Shapes({"gamma", "beta"}, {2, 3, 4, 5}), Shapes({"meanOut", "rstdOut"}, {1, 1, 1, 1}))});
  // Statistics without dimensions, of a single row.
  r->push_back({op, "561002-6", "meanOut", "[1]", "[1, 1, 1, 1], the rows of 'x1'",
                Both(Shapes({"gamma", "beta"}, {2, 3, 4, 5}), Shapes({"meanOut", "rstdOut"}, {1})),
                Both(Shapes({"gamma", "beta"}, {2, 3, 4, 5}), Shapes({"meanOut", "rstdOut"}, {}))});
  r->push_back({op, "561002-4", "beta", "[5, 4]", "[4, 5], the last dimensions of 'x1'", Shape("beta", {5, 4}), Nothing()});
  r->push_back({op, "561002-5", "biasOptional", "[5]", "[2, 3, 4, 5], the shape of 'x1'", Shape("biasOptional", {5}),
                Shape("biasOptional", {4, 5})});
  for (const char* name : {"meanOut", "rstdOut"}) {
    r->push_back({op, "561002-6", name, "[3, 2, 1, 1]", "[2, 3, 1, 1], the rows of 'x1'", Shape(name, {3, 2, 1, 1}),
                  Shapes({"meanOut", "rstdOut"}, {2, 3})});
  }
  r->push_back({op, "561002-7", "rstdOut", "[2, 3]", "[2, 3, 1, 1], the shape of 'meanOut'", Shape("rstdOut", {2, 3}), Nothing()});
}

void RmsNormRules(std::vector<RuleCase>* r) {
  Op op = Op::kAddRmsNorm;
  for (const char* name : {"x1", "x2", "gamma", "yOut"})
    r->push_back({op, "161001-1", name, "null", kPointer, Null(name), Null("rstdOut")});
  r->push_back({op, "161001-2", "xOut", "null", kPointer, Null("xOut"), Both(Null("xOut"), Null("rstdOut"))});
  OutPointers(r, op, "161001-3");
  r->push_back({op, "161002-1", "x1", "BOOL", kFloats, Type("x1", ACL_BOOL), Nothing()});
  for (const char* name : {"x2", "gamma", "yOut", "xOut"}) {
    r->push_back({op, "161002-2", name, "FLOAT", "FLOAT16, the dtype of x1", Type(name, ACL_FLOAT),
                  Types({"x1", "x2", "gamma", "yOut", "xOut"}, ACL_FLOAT)});
  }
  r->push_back({op, "161002-3", "rstdOut", "FLOAT16", "FLOAT", Type("rstdOut", ACL_FLOAT16), Nothing()});
  r->push_back({op, "161002-5", "x1", "9", "1 to 8", Shapes({"x1", "x2", "yOut", "xOut"}, kNine),
                Both(Shapes({"x1", "x2", "yOut", "xOut"}, kEight), Shape("rstdOut", {1, 1, 1, 1, 2, 3, 1, 1}))});
  for (const char* name : {"x2", "yOut", "xOut"}) {
    r->push_back({op, "161002-6", name, "[6, 20]", "[2, 3, 4, 5], the shape of 'x1'", Shape(name, {6, 20}), Nothing()});
  }
  r->push_back({op, "561002-7", "gamma", "[5, 4]", "[4, 5], the last dimensions of the input", Shape("gamma", {5, 4}), Nothing()});
  r->push_back({op, "561002-8", "rstdOut", "[6]", "[2, 3, 1, 1], the rows of the input", Shape("rstdOut", {6}), Shape("rstdOut", {2, 3})});
  // Neither is asked where x1 or gamma is empty.
  r->push_back({op, "561002-7", "gamma", "[7]", "[5], the last dimensions of the input", Shape("gamma", {7}),
                Both(Shapes({"x1", "x2", "yOut", "xOut"}, {2, 0, 4, 5}), Shape("gamma", {7}))});
  r->push_back(
      {op, "561002-7", "gamma", "5", "at most 4, the rank of 'x1'", Shape("gamma", {1, 2, 3, 4, 5}), Shape("gamma", {1, 2, 0, 4, 5})});
  r->push_back({op, "561002-8", "rstdOut", "[6, 1]", "[2, 3, 1, 1], the rows of the input", Shape("rstdOut", {6, 1}),
                Both(Shape("gamma", {0}), Shape("rstdOut", {6, 1}))});

  op = Op::kRmsNorm;
  for (const char* name : {"x", "gamma", "yOut", "rstdOut"}) r->push_back({op, "161001-1", name, "null", kPointer, Null(name), Nothing()});
  OutPointers(r, op, "161001-3");
  r->push_back({op, "161002-1", "x", "INT32", kFloats, Type("x", ACL_INT32), Nothing()});
  r->push_back({op, "161002-2", "yOut", "FLOAT", "FLOAT16, the dtype of x", Type("yOut", ACL_FLOAT), Nothing()});
  r->push_back({op, "161002-3", "rstdOut", "BFLOAT16", "FLOAT", Type("rstdOut", ACL_BF16), Nothing()});
  r->push_back(
      {op, "161002-4", "gamma", "BFLOAT16", "FLOAT16 or FLOAT, the dtype of x", Type("gamma", ACL_BF16), Type("gamma", ACL_FLOAT)});
  r->push_back({op, "561002-5", "x", "0", "1 to 8", Shape("x", {}), Nothing()});
  r->push_back({op, "561002-6", "yOut", "[2, 3, 4]", "[2, 3, 4, 5], the shape of 'x'", Shape("yOut", {2, 3, 4}), Nothing()});
  r->push_back({op, "561002-7", "gamma", "[2, 3]", "[4, 5], the last dimensions of the input", Shape("gamma", {2, 3}), Nothing()});
  r->push_back({op, "561002-8", "rstdOut", "[2, 3, 4]", "[2, 3, 1, 1]", Shape("rstdOut", {2, 3, 4}),
                Both(Shape("rstdOut", {2, 3, 4, 1}), Shape("gamma", {5}))});
}

}  // namespace

std::vector<RuleCase> ForwardRules() {
  std::vector<RuleCase> r;
  LayerNormRules(&r);
  AddLayerNormRules(&r);
  RmsNormRules(&r);
  return r;
}

}  // namespace addnorm::aclnn_test
