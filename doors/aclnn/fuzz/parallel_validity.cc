// SPDX-License-Identifier: Apache-2.0
#include "doors/aclnn/fuzz/parallel_validity.h"

#include <algorithm>

namespace addnorm::aclnn_test {
namespace {

bool Half(aclDataType type) { return type == ACL_FLOAT16 || type == ACL_BF16; }

// Strides of dimensions with more than one element, as they are for dense memory in this order of dimensions.
bool DenseIn(const TestTensor& t, const std::vector<size_t>& order) {
  int64_t expected = 1;
  for (const size_t d : order) {  // innermost first
    if (t.shape[d] != 1 && t.strides[d] != expected) return false;
    expected *= t.shape[d];
  }
  return true;
}
bool Dense(const TestTensor& t) {
  std::vector<size_t> order(t.shape.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = order.size() - 1 - i;
  return DenseIn(t, order);
}

class Judge {
 public:
  explicit Judge(const ParallelCall& call) : call_(call) {}

  std::set<std::string> Run(const std::string& group_rule) {
    for (const char* name : {"x1", "x2", "residual", "gamma"}) Require(name);
    if (ScaleOf(call_.op) != nullptr) Require(ScaleOf(call_.op));
    if (!broken_.empty()) return broken_;
    for (const char* name : {"x1", "x2", "residual"}) Break("161002-1", At(name).shape.empty());
    if (!broken_.empty()) return broken_;
    Types();
    Dims x1 = At("x1").shape, x2 = At("x2").shape, residual = At("residual").shape;
    Break("561002-1", x1.size() < 2 || x1.size() > 3 || x2.size() != 2 || residual.size() != 3 || At("gamma").shape.size() != 1);
    Break("561002-1", call_.has("bias") && At("bias").shape.size() != 1);
    k_ = x1.back(), n_ = x2.back();
    Break("161002-2", x2.front() != k_);
    Break("161002-3", residual.back() != n_);
    Break("161002-4", k_ == 0);
    x1.pop_back(), residual.pop_back();
    Break("561002-2", Product(x1) != Product(residual));
    Break("561002-3", At("gamma").shape != Dims{n_} || (call_.has("bias") && At("bias").shape != Dims{n_}));
    for (const char* name : {"y", "normOut"}) Break("561002-4", call_.has(name) && At(name).shape != At("residual").shape);
    Scales();
    const bool turned = x2.size() == 2 && !Dense(At("x2")) && DenseIn(At("x2"), {0, 1});
    Break("561002-10", ScaleOf(call_.op) != nullptr && k_ > 65535);
    Break("561002-10", IsWeightQuant(call_.op) ? n_ > 65535 : IsQuant(call_.op) && !turned && n_ > 65535);
    for (const auto& [name, t] : call_.tensors) {
      if (t.null) continue;
      Break("161002-27", t.format == ACL_FORMAT_FRACTAL_NZ);
      if (Product(t.shape) == 0) continue;
      Break("161002-15", t.misalign % BytesOf(t.type) != 0);
      name == "x2" ? Break("161002-13", !Dense(t) && !turned) : Break("161002-14", !Dense(t));
    }
    if (!Empty()) Attributes(group_rule);
    return broken_;
  }

 private:
  const TestTensor& At(const char* name) const { return call_.tensors.at(name); }
  void Break(const char* rule, bool broken) {
    if (broken) broken_.insert(rule);
  }
  void Require(const char* name) { Break("161001-1", !call_.has(name)); }
  bool Empty() const {
    const auto empty = [&](const char* name) { return Product(At(name).shape) == 0; };
    return empty("x1") || empty("x2") || empty("residual") || empty("gamma") || (ScaleOf(call_.op) != nullptr && empty(ScaleOf(call_.op)));
  }

  void Types() {
    const aclDataType x1 = At("x1").type, residual = At("residual").type;
    const bool quant = IsQuant(call_.op);
    Break("161002-6", quant ? x1 != ACL_INT8 : !Half(x1));
    Break("161002-7", At("x2").type != (ScaleOf(call_.op) != nullptr ? ACL_INT8 : x1));
    Break("161002-8", call_.has("bias") && At("bias").type != (quant ? ACL_INT32 : x1));
    Break("161002-9", quant ? !Half(residual) : residual != x1);
    for (const char* name : {"gamma", "y", "normOut"}) Break("161002-10", call_.has(name) && At(name).type != residual);
    if (quant) {
      const aclDataType scale = At("dequantScale").type;
      Break("161002-11", residual == ACL_BF16 ? scale != ACL_BF16 : scale != ACL_UINT64 && scale != ACL_INT64);
    }
    for (const char* name : {"antiquantScale", "antiquantOffset"}) Break("161002-12", call_.has(name) && At(name).type != x1);
  }

  void Scales() {
    if (ScaleOf(call_.op) == nullptr) return;
    const Dims& scale = At(ScaleOf(call_.op)).shape;
    const bool by_shape = scale == Dims{1} || scale == Dims{n_} || scale == Dims{1, n_};
    if (IsQuant(call_.op)) return Break("561002-5", !by_shape);
    const int64_t size = call_.group_size;
    Break("561002-8", size != 0 && (size < 32 || size >= k_ || size % 32 != 0));
    const Dims grouped{size == 0 ? 0 : (k_ + size - 1) / size, n_};
    Break("561002-6", size == 0 ? !by_shape : scale != grouped);
    Break("561002-7", call_.has("antiquantOffset") && At("antiquantOffset").shape != scale);
  }

  void Attributes(const std::string& group_rule) {
    Break("161002-5", call_.stream_mode != 1);
    Break("161001-3", call_.null_group || !call_.has("normOut") || (!IsInplace(call_.op) && !call_.has("y")));
    Break("561002-11", !call_.null_reduce_op && call_.reduce_op != "sum");
    Break("561002-12", call_.comm_turn != 0);
    Break("561002-13", !(call_.epsilon > 0 && call_.epsilon < 1));
    if (!group_rule.empty()) broken_.insert(group_rule);
  }

  const ParallelCall& call_;
  int64_t k_ = 0, n_ = 0;
  std::set<std::string> broken_;
};

}  // namespace

std::set<std::string> BrokenParallelRules(const ParallelCall& call, const std::string& group_rule) { return Judge(call).Run(group_rule); }

}  // namespace addnorm::aclnn_test
