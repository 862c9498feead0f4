// SPDX-License-Identifier: Apache-2.0
#include "doors/aclnn/tests/rules.h"

namespace addnorm::aclnn_test {

Change Null(const char* name) {
  return [name](OpCall& c) { c.tensors.erase(name); };
}
Change Type(const char* name, aclDataType type) {
  return [=](OpCall& c) { c.tensors[name].type = type; };
}
Change Shape(const char* name, Dims shape) {
  return [=](OpCall& c) {
    TestTensor& t = c.tensors[name];
    t.shape = shape;
    t.strides = Contiguous(shape);
  };
}
Change Strides(const char* name, Dims strides) {
  return [=](OpCall& c) { c.tensors[name].strides = strides; };
}
Change Both(Change first, Change second) {
  return [=](OpCall& c) {
    first(c);
    second(c);
  };
}
Change Nothing() {
  return [](OpCall&) {};
}

namespace {

const Dims kNine{1, 1, 1, 1, 1, 2, 3, 4, 5}, kEight{1, 1, 1, 1, 2, 3, 4, 5};
constexpr const char* kPointer = "a pointer";
constexpr const char* kFloats = "FLOAT, FLOAT16 or BFLOAT16";

// The same shape for several tensors.
Change Shapes(std::vector<const char*> names, Dims shape) {
  return [=](OpCall& c) {
    for (const char* name : names) Shape(name, shape)(c);
  };
}
Change Norm(Dims shape) {
  return [=](OpCall& c) { c.normalized_shape = shape; };
}
Change Mask(std::vector<bool> mask) {
  return [=](OpCall& c) { c.mask = mask; };
}

}  // namespace

std::vector<RuleCase> BackwardRules() {
  std::vector<RuleCase> r;
  Op op = Op::kLayerNormBackward;
  for (const char* name : {"gradOut", "input", "mean", "rstd"})
    r.push_back({op, "161001-1", name, "null", kPointer, Null(name), Nothing()});
  r.push_back({op, "161001-1", "normalizedShape", "null", kPointer, [](OpCall& c) { c.null_normalized_shape = true; }, Nothing()});
  r.push_back({op, "161001-1", "outputMask", "null", kPointer, [](OpCall& c) { c.null_mask = true; }, Nothing()});
  r.push_back(
      {op, "161001-2", "gradInputOut", "null", kPointer, Null("gradInputOut"), Both(Null("gradInputOut"), Mask({false, true, true}))});
  r.push_back(
      {op, "161001-3", "gradWeightOut", "null", kPointer, Null("gradWeightOut"), Both(Null("gradWeightOut"), Mask({true, false, true}))});
  r.push_back({op, "161001-4", "gradBiasOut", "null", kPointer, Null("gradBiasOut"), Both(Null("gradBiasOut"), Mask({true, true, false}))});
  r.push_back({op, "161001-5", "workspaceSize", "null", kPointer, [](OpCall& c) { c.null_workspace_size = true; }, Nothing()});
  r.push_back({op, "161001-5", "executor", "null", kPointer, [](OpCall& c) { c.null_executor = true; }, Nothing()});
  for (const char* name : {"gradOut", "input", "mean", "rstd", "weightOptional", "biasOptional"}) {
    r.push_back({op, "161002-1", name, "DOUBLE", kFloats, Type(name, ACL_DOUBLE), Nothing()});
    r.push_back({op, "161002-1", name, "INT32", kFloats, Type(name, ACL_INT32), Nothing()});
  }
  r.push_back({op, "161002-2", "gradOut", "[2, 3, 5, 4]", "[2, 3, 4, 5], the shape of 'input'", Shape("gradOut", {2, 3, 5, 4}),
               Shape("gradOut", {2, 3, 4, 5})});
  r.push_back({op, "161002-2", "gradOut", "[6, 4, 5]", "[2, 3, 4, 5]", Shape("gradOut", {6, 4, 5}), Nothing()});
  r.push_back({op, "161002-3", "normalizedShape", "0", "1 to 8", Norm({}), Nothing()});
  r.push_back({op, "161002-4", "mean", "7", "6, the rows of 'input'", Shapes({"mean", "rstd"}, {7}), Shapes({"mean", "rstd"}, {6})});
  r.push_back({op, "161002-5", "rstd", "12", "6, the rows of 'input'", Shape("rstd", {2, 3, 1, 2}), Nothing()});
  r.push_back(
      {op, "161002-6", "weightOptional", "[5, 4]", "[4, 5], the value of 'normalizedShape'", Shape("weightOptional", {5, 4}), Nothing()});
  r.push_back({op, "161002-6", "weightOptional", "[20]", "[4, 5]", Shape("weightOptional", {20}), Null("weightOptional")});
  r.push_back({op, "161002-7", "biasOptional", "[1, 4, 5]", "[4, 5], the value of 'normalizedShape'", Shape("biasOptional", {1, 4, 5}),
               Null("biasOptional")});
  r.push_back({op, "161002-8", "input", "4", "at least 5, the length of 'normalizedShape'", Norm({1, 2, 3, 4, 5}),
               Both(Norm({2, 3, 4, 5}), [](OpCall& c) {
                 for (const char* name : {"mean", "rstd"}) Shape(name, {1, 1, 1, 1})(c);
                 for (const char* name : {"weightOptional", "biasOptional", "gradWeightOut", "gradBiasOut"}) Shape(name, {2, 3, 4, 5})(c);
               })});
  // The second and third have as many elements as the right one: only the alignment itself tells them apart.
  r.push_back({op, "161002-9", "normalizedShape[0]", "7", "input.shape[2] = 4", Norm({7, 5}), Nothing()});
  r.push_back({op, "161002-9", "normalizedShape[0]", "5", "input.shape[2] = 4", Norm({5, 4}), Norm({4, 5})});
  r.push_back({op, "161002-9", "normalizedShape[0]", "10", "input.shape[2] = 4",
               Both(Norm({10, 2}), [](OpCall& c) { c.tensors.erase("weightOptional"), c.tensors.erase("biasOptional"); }),
               [](OpCall& c) { c.tensors.erase("weightOptional"), c.tensors.erase("biasOptional"); }});
  r.push_back({op, "161002-10", "outputMask", "2", "3", Mask({true, true}), Nothing()});
  r.push_back({op, "161002-10", "outputMask", "4", "3", Mask({true, true, true, true}), Mask({false, false, false})});
  // The mask's length goes before the outputs that it says are wanted.
  const auto no_outputs = [](OpCall& c) {
    for (const char* name : {"gradInputOut", "gradWeightOut", "gradBiasOut"}) c.tensors.erase(name);
  };
  r.push_back(
      {op, "161002-10", "outputMask", "2", "3", Both(Mask({true, true}), no_outputs), Both(Mask({false, false, false}), no_outputs)});
  r.push_back(
      {op, "161002-11", "gradOut", "FLOAT", "FLOAT16, the dtype of input", Type("gradOut", ACL_FLOAT), Type("gradInputOut", ACL_FLOAT)});
  r.push_back({op, "161002-12", "weightOptional", "BFLOAT16", "FLOAT16 or FLOAT", Type("weightOptional", ACL_BF16),
               Type("weightOptional", ACL_FLOAT)});
  for (const char* name : {"gradInputOut", "gradWeightOut", "gradBiasOut"}) {
    r.push_back({op, "161002-13", name, "INT32", kFloats, Both(Type(name, ACL_INT32), Mask({false, false, false})), Type(name, ACL_BF16)});
  }
  r.push_back({op, "161002-14", "gradOut", "9", "0 to 8", Shapes({"gradOut", "input", "gradInputOut"}, kNine),
               Shapes({"gradOut", "input", "gradInputOut"}, kEight)});
  r.push_back({op, "161002-14", "mean", "9", "0 to 8", Shape("mean", {2, 3, 1, 1, 1, 1, 1, 1, 1}),
               Shapes({"mean", "rstd"}, {2, 3, 1, 1, 1, 1, 1, 1})});
  r.push_back({op, "161002-14", "normalizedShape", "9", "at most 8", Norm(kNine), Nothing()});
  r.push_back(
      {op, "161002-14", "gradBiasOut", "9", "0 to 8", Shape("gradBiasOut", {1, 1, 1, 1, 1, 1, 1, 4, 5}), Shape("gradBiasOut", {20})});
  // The rank of an output that is not wanted is not asked.
  for (size_t i = 0; i < 3; ++i) {
    const char* name = InfoOf(op).outputs[i];
    std::vector<bool> others(3, true);
    others[i] = false;
    r.push_back({op, "161002-14", name, "9", "0 to 8", Shape(name, kNine), Both(Shape(name, kNine), Mask(others))});
  }
  r.push_back({op, "161002-15", "rstd", "[6]", "[2, 3, 1, 1], the shape of 'mean'", Shape("rstd", {6}), Shapes({"mean", "rstd"}, {3, 2})});
  r.push_back({op, "161002-16", "gradInputOut", "[2, 3, 20]", "[2, 3, 4, 5], the shape of 'input'", Shape("gradInputOut", {2, 3, 20}),
               Both(Shape("gradInputOut", {2, 3, 20}), Mask({false, true, true}))});
  r.push_back({op, "161002-17", "gradWeightOut", "21", "20, the elements of 'normalizedShape'", Shape("gradWeightOut", {21}),
               Shape("gradWeightOut", {20})});
  r.push_back(
      {op, "161002-17", "gradBiasOut", "4", "20", Shape("gradBiasOut", {4}), Both(Shape("gradBiasOut", {4}), Mask({true, true, false}))});

  op = Op::kAddLayerNormGrad;
  for (const char* name : {"dy", "x1", "x2", "rstd", "mean"}) r.push_back({op, "161001-1", name, "null", kPointer, Null(name), Nothing()});
  for (const char* name : {"dxOut", "dgammaOut", "dbetaOut"}) {
    r.push_back({op, "161001-2", name, "null", kPointer, Null(name), Both(Null("gamma"), Null("dsumOptional"))});
  }
  r.push_back({op, "161001-3", "workspaceSize", "null", kPointer, [](OpCall& c) { c.null_workspace_size = true; }, Nothing()});
  r.push_back({op, "161001-3", "executor", "null", kPointer, [](OpCall& c) { c.null_executor = true; }, Nothing()});
  r.push_back({op, "161002-1", "dy", "INT64", kFloats, Type("dy", ACL_INT64), Nothing()});
  for (const char* name : {"x1", "x2", "dsumOptional", "dxOut"}) {
    r.push_back({op, "161002-2", name, "FLOAT", "FLOAT16, the dtype of dy", Type(name, ACL_FLOAT), Type(name, ACL_FLOAT16)});
  }
  for (const char* name : {"rstd", "mean"}) r.push_back({op, "161002-3", name, "FLOAT16", "FLOAT", Type(name, ACL_FLOAT16), Nothing()});
  r.push_back({op, "161002-4", "gamma", "BFLOAT16", "FLOAT16 or FLOAT", Type("gamma", ACL_BF16), Type("gamma", ACL_FLOAT)});
  for (const char* name : {"dgammaOut", "dbetaOut"})
    r.push_back({op, "161002-5", name, "FLOAT16", "FLOAT", Type(name, ACL_FLOAT16), Nothing()});
  r.push_back({op, "561002-1", "dy", "9", "1 to 8", Shapes({"dy", "x1", "x2", "dsumOptional", "dxOut"}, kNine),
               Both(Shapes({"dy", "x1", "x2", "dsumOptional", "dxOut"}, kEight), Shapes({"mean", "rstd"}, {1, 1, 1, 1, 2, 3, 1, 1}))});
  r.push_back({op, "561002-1", "gamma", "0", "1 to 8", Shape("gamma", {}), Nothing()});
  for (const char* name : {"x1", "x2", "dsumOptional", "dxOut"}) {
    r.push_back({op, "561002-2", name, "[2, 3, 4, 1]", "[2, 3, 4, 5], the shape of 'dy'", Shape(name, {2, 3, 4, 1}), Nothing()});
  }
  r.push_back({op, "561002-3", "gamma", "[5, 4]", "[4, 5], the last dimensions of 'dy'", Shapes({"gamma", "dgammaOut", "dbetaOut"}, {5, 4}),
               Nothing()});
  r.push_back({op, "561002-3", "gamma", "5", "at most 4, the rank of 'dy'", Shapes({"gamma", "dgammaOut", "dbetaOut"}, {1, 2, 3, 4, 5}),
               Both(Shapes({"gamma", "dgammaOut", "dbetaOut"}, {2, 3, 4, 5}), Shapes({"mean", "rstd"}, {}))});
  r.push_back({op, "561002-3", "dgammaOut", "[4]", "[5]", Both(Null("gamma"), Shapes({"dgammaOut", "dbetaOut"}, {4})),
               Both(Null("gamma"), Both(Shapes({"dgammaOut", "dbetaOut"}, {5}), Shapes({"mean", "rstd"}, {2, 3, 4})))});
  for (const char* name : {"rstd", "mean"}) {
    r.push_back({op, "561002-4", name, "[6]", "[2, 3, 1, 1], the rows of 'dy'", Shape(name, {6}), Shapes({"rstd", "mean"}, {2, 3})});
    r.push_back({op, "561002-4", name, "[2, 3, 1]", "[2, 3, 1, 1]", Shape(name, {2, 3, 1}), Nothing()});
  }
  r.push_back({op, "561002-5", "dgammaOut", "[20]", "[4, 5], the shape of 'gamma'", Shape("dgammaOut", {20}), Nothing()});
  r.push_back(
      {op, "561002-5", "dbetaOut", "[5]", "[4, 5], the shape of 'dgammaOut'", Both(Null("gamma"), Shape("dbetaOut", {5})), Null("gamma")});
  r.push_back(
      {op, "561002-6", "mean", "[2, 3]", "[2, 3, 1, 1], the shape of 'rstd'", Shape("mean", {2, 3}), Shapes({"rstd", "mean"}, {2, 3})});
  return r;
}

}  // namespace addnorm::aclnn_test
