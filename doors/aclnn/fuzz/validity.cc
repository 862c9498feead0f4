// SPDX-License-Identifier: Apache-2.0
#include "doors/aclnn/fuzz/validity.h"

#include <algorithm>
#include <bitset>
#include <cmath>
#include <string>

namespace addnorm::aclnn_test {
namespace {

__extension__ typedef __int128 Wide;
constexpr int64_t kLimit = int64_t{1} << 46, kTooMany = kLimit + 1;
constexpr int kNull = 161001, kInvalid = 161002, kTiling = 561002, kMode = 561106;

// The number of elements; kTooMany above the limit, -1 with a negative size. A zero goes before overflow.
int64_t Numel(const Dims& shape) {
  Wide product = 1;
  bool zero = false;
  for (const int64_t n : shape) {
    if (n < 0) return -1;
    zero = zero || n == 0;
  }
  if (zero) return 0;
  for (const int64_t n : shape) {
    product *= n;
    if (product > kLimit) return kTooMany;
  }
  return static_cast<int64_t>(product);
}

Dims Head(const Dims& shape, size_t count) { return Dims(shape.begin(), shape.begin() + static_cast<ptrdiff_t>(count)); }
Dims Tail(const Dims& shape, size_t count) { return Dims(shape.end() - static_cast<ptrdiff_t>(count), shape.end()); }

// All elements of a small storage that a view reaches.
using Reach = std::bitset<8192>;
Reach ReachOf(const TestTensor& t) {
  Reach reach;
  if (Numel(t.shape) == 0) return reach;
  reach.set(static_cast<size_t>(t.offset));
  for (size_t d = 0; d < t.shape.size(); ++d) {
    if (t.strides[d] == 0) continue;
    Reach all;
    for (int64_t i = 0; i < t.shape[d]; ++i) all |= reach << static_cast<size_t>(i * t.strides[d]);
    reach = all;
  }
  return reach;
}

class Judge {
 public:
  explicit Judge(OpCall& call)
      : call_(call), tiling_(call.op == Op::kLayerNormBackward || call.op == Op::kLayerNorm ? kInvalid : kTiling) {}

  std::set<int> Result() {
    for (const char* name : InfoOf(call_.op).inputs) Note(name);
    for (const char* name : InfoOf(call_.op).outputs) Note(name);
    Need(!call_.null_workspace_size && !call_.null_executor, kNull);
    switch (call_.op) {
      case Op::kLayerNormBackward:
        LayerNormBackward();
        break;
      case Op::kAddLayerNormGrad:
        AddLayerNormGrad();
        break;
      case Op::kLayerNorm:
        LayerNorm();
        break;
      case Op::kAddLayerNorm:
        AddLayerNorm();
        break;
      case Op::kAddRmsNorm:
        AddRmsNorm();
        break;
      case Op::kRmsNorm:
        RmsNorm();
        break;
    }
    Memory();
    return broken_;
  }

 private:
  void Need(bool holds, int code) {
    if (!holds) broken_.insert(code);
  }
  // Null, or a bad handle, or a tensor.
  void Note(const char* name) {
    if (call_.raw.count(name) != 0) {
      bad_.insert(name);
      Need(false, kInvalid);
    }
  }
  bool Given(const char* name) const { return bad_.count(name) != 0 || (call_.tensors.count(name) != 0 && !call_.tensors[name].null); }
  // Null if there is nothing to look at.
  TestTensor* Get(const char* name) const { return Given(name) && bad_.count(name) == 0 ? &call_.tensors[name] : nullptr; }
  void Required(std::initializer_list<const char*> names) {
    for (const char* name : names) Need(Given(name), kNull);
  }
  static bool IsFloat(aclDataType type) { return type == ACL_FLOAT || type == ACL_FLOAT16 || type == ACL_BF16; }
  void Floats(std::initializer_list<const char*> names) {
    for (const char* name : names) {
      if (const TestTensor* t = Get(name)) Need(IsFloat(t->type), kInvalid);
    }
  }
  void Types(std::initializer_list<const char*> names, aclDataType type, bool or_float = false) {
    for (const char* name : names) {
      if (const TestTensor* t = Get(name)) Need(t->type == type || (or_float && t->type == ACL_FLOAT), kInvalid);
    }
  }
  void Ranks(std::initializer_list<const char*> names, size_t least, int code) {
    for (const char* name : names) {
      if (const TestTensor* t = Get(name)) Need(t->shape.size() >= least && t->shape.size() <= 8, code);
    }
  }
  void Sizes(std::initializer_list<const char*> names) {
    for (const char* name : names) {
      const TestTensor* t = Get(name);
      if (t != nullptr) Need(Numel(t->shape) >= 0 && Numel(t->shape) <= kLimit, tiling_);
    }
  }
  void Shapes(std::initializer_list<const char*> names, const Dims& shape, int code) {
    for (const char* name : names) {
      if (const TestTensor* t = Get(name)) Need(t->shape == shape, code);
    }
  }
  void Stats(std::initializer_list<const char*> names, const Dims& full, size_t normalized, bool short_form, int code) {
    const Dims rows = Head(full, full.size() - normalized);
    Dims ones = rows;
    ones.resize(full.size(), 1);
    for (const char* name : names) {
      if (const TestTensor* t = Get(name)) Need(t->shape == ones || (short_form && t->shape == rows), code);
    }
  }
  void Formats(std::initializer_list<const char*> names) {
    static const std::set<int> plain{0, 1, 2, 30, 31, 47};
    for (const char* name : names) {
      if (const TestTensor* t = Get(name)) Need(plain.count(t->format) != 0, kInvalid);
    }
  }
  void Eps() { Need(std::isfinite(call_.eps) && call_.eps >= 0, kInvalid); }
  // rows and cols of a shape, each by itself within the limit.
  void Split(const Dims& full, size_t normalized) {
    const int64_t rows = Numel(Head(full, full.size() - normalized)), cols = Numel(Tail(full, normalized));
    Need(rows >= 0 && rows <= kLimit && cols >= 0 && cols <= kLimit, tiling_);
  }
  // normalizedShape against `input`; false if no further check of shapes makes sense.
  bool Normalized(const TestTensor* input) {
    const Dims& norm = call_.normalized_shape;
    Need(norm.size() <= 8 && !norm.empty(), kInvalid);
    if (input == nullptr) return false;
    Need(input->shape.size() >= norm.size(), kInvalid);
    if (input->shape.size() < norm.size() || norm.empty()) return false;
    Need(Tail(input->shape, norm.size()) == norm, kInvalid);
    Split(input->shape, norm.size());
    return true;
  }

  void LayerNormBackward() {
    Required({"gradOut", "input", "mean", "rstd"});
    Need(!call_.null_normalized_shape && !call_.null_mask, kNull);
    Need(call_.null_mask || call_.mask.size() == 3, kInvalid);
    if (call_.null_mask || call_.mask.size() != 3 || call_.null_normalized_shape) return;
    const char* outputs[] = {"gradInputOut", "gradWeightOut", "gradBiasOut"};
    for (size_t i = 0; i < 3; ++i) {
      if (call_.mask[i]) Required({outputs[i]}), used_.insert(outputs[i]);
    }
    used_.insert({"gradOut", "input", "mean", "rstd", "weightOptional"});
    Floats({"gradOut", "input", "mean", "rstd", "weightOptional", "biasOptional", "gradInputOut", "gradWeightOut", "gradBiasOut"});
    Ranks({"gradOut", "input", "mean", "rstd", "weightOptional", "biasOptional"}, 0, kInvalid);
    Sizes({"gradOut", "input", "mean", "rstd"});
    for (size_t i = 0; i < 3; ++i) {
      if (call_.mask[i]) Ranks({outputs[i]}, 0, kInvalid), Sizes({outputs[i]});
    }
    const TestTensor* input = Get("input");
    const bool shaped = Normalized(input);
    if (input != nullptr) {
      Types({"gradOut"}, input->type);
      Types({"weightOptional"}, input->type, true);
      Shapes({"gradOut"}, input->shape, kInvalid);
      if (call_.mask[0]) Shapes({"gradInputOut"}, input->shape, kInvalid);
    }
    Shapes({"weightOptional", "biasOptional"}, call_.normalized_shape, kInvalid);
    if (const TestTensor* mean = Get("mean")) Shapes({"rstd"}, mean->shape, kInvalid);
    if (!shaped) return;
    const int64_t rows = Numel(Head(input->shape, input->shape.size() - call_.normalized_shape.size()));
    for (const char* name : {"mean", "rstd"}) {
      if (const TestTensor* t = Get(name)) Need(Numel(t->shape) == rows, kInvalid);
    }
    for (size_t i = 1; i < 3; ++i) {
      const TestTensor* t = Get(outputs[i]);
      if (call_.mask[i] && t != nullptr) Need(Numel(t->shape) == Numel(call_.normalized_shape), kInvalid);
    }
  }

  void AddLayerNormGrad() {
    Required({"dy", "x1", "x2", "rstd", "mean", "dxOut", "dgammaOut", "dbetaOut"});
    used_ = {"dy", "x1", "x2", "rstd", "mean", "gamma", "dsumOptional", "dxOut", "dgammaOut", "dbetaOut"};
    Formats({"dy", "x1", "x2", "rstd", "mean", "gamma", "dxOut", "dgammaOut", "dbetaOut"});
    Floats({"dy"});
    Types({"rstd", "mean", "dgammaOut", "dbetaOut"}, ACL_FLOAT);
    Ranks({"dy", "x1", "gamma", "dgammaOut", "dbetaOut"}, 1, kTiling);
    Ranks({"x2", "dsumOptional", "dxOut", "rstd", "mean"}, 0, kTiling);
    Sizes({"dy", "x1", "x2", "rstd", "mean", "gamma", "dsumOptional", "dxOut", "dgammaOut", "dbetaOut"});
    const TestTensor *dy = Get("dy"), *source = Given("gamma") ? Get("gamma") : Get("dgammaOut");
    if (dy == nullptr) return;
    Types({"x1", "x2", "dsumOptional", "dxOut"}, dy->type);
    Types({"gamma"}, dy->type, true);
    Shapes({"x1", "x2", "dsumOptional", "dxOut"}, dy->shape, kTiling);
    if (const TestTensor* rstd = Get("rstd")) Shapes({"mean"}, rstd->shape, kTiling);
    if (source == nullptr) return;
    const size_t normalized = source->shape.size();
    Shapes({"dgammaOut", "dbetaOut"}, source->shape, kTiling);
    Need(normalized <= dy->shape.size(), kTiling);
    if (normalized > dy->shape.size()) return;
    Need(Tail(dy->shape, normalized) == source->shape, kTiling);
    Stats({"rstd", "mean"}, dy->shape, normalized, true, kTiling);
    Split(dy->shape, normalized);
  }

  void LayerNorm() {
    if (call_.impl_mode) Need(*call_.impl_mode >= 0 && *call_.impl_mode <= 2, kMode);
    Required({"input", "out"});
    Need(!call_.null_normalized_shape, kNull);
    if (call_.null_normalized_shape) return;
    used_ = {"input", "weightOptional", "biasOptional", "out"};
    Eps();
    Floats({"input", "weightOptional", "biasOptional", "out", "meanOutOptional", "rstdOutOptional"});
    Ranks({"input", "weightOptional", "biasOptional", "out", "meanOutOptional", "rstdOutOptional"}, 0, kInvalid);
    Sizes({"input", "weightOptional", "biasOptional", "out", "meanOutOptional", "rstdOutOptional"});
    Shapes({"weightOptional", "biasOptional"}, call_.normalized_shape, kInvalid);
    const TestTensor *input = Get("input"), *weight = Get("weightOptional");
    if (weight != nullptr) Types({"biasOptional"}, weight->type);
    for (const char* name : {"meanOutOptional", "rstdOutOptional"}) {
      const TestTensor* t = Get(name);
      if (t != nullptr && Numel(t->shape) != 0) used_.insert(name);
    }
    const bool shaped = Normalized(input);
    if (input == nullptr) return;
    Types({"weightOptional", "biasOptional"}, input->type, true);
    // Without rows `out` is free.
    const size_t leading = input->shape.size() - std::min(input->shape.size(), call_.normalized_shape.size());
    if (Numel(Head(input->shape, leading)) != 0) Shapes({"out"}, input->shape, kInvalid);
    for (const char* name : {"meanOutOptional", "rstdOutOptional"}) {
      if (shaped && used_.count(name) != 0) Stats({name}, input->shape, call_.normalized_shape.size(), false, kInvalid);
    }
  }

  void AddLayerNorm() {
    Required({"x1", "x2", "gamma", "beta", "yOut", "meanOut", "rstdOut", "xOut"});
    used_ = {"x1", "x2", "gamma", "beta", "biasOptional", "yOut", "meanOut", "rstdOut"};
    if (call_.additional_output) used_.insert("xOut");
    Eps();
    Formats({"x1", "x2", "gamma", "beta", "yOut", "meanOut", "rstdOut", "xOut"});
    Floats({"x1", "x2"});
    Types({"meanOut", "rstdOut"}, ACL_FLOAT);
    Ranks({"x1", "x2", "gamma", "beta", "biasOptional", "yOut", "xOut"}, 1, kTiling);
    Ranks({"meanOut", "rstdOut"}, 0, kTiling);
    Sizes({"x1", "x2", "gamma", "beta", "biasOptional", "yOut", "meanOut", "rstdOut", "xOut"});
    const TestTensor *x1 = Get("x1"), *x2 = Get("x2"), *gamma = Get("gamma"), *bias = Get("biasOptional");
    if (x1 != nullptr && x2 != nullptr) {
      Need(x1->type == x2->type || x1->type == ACL_FLOAT || x2->type == ACL_FLOAT, kInvalid);
      const aclDataType sum = x1->type == x2->type ? x1->type : ACL_FLOAT;
      Types({"gamma"}, sum, true);
      Types({"biasOptional", "yOut", "xOut"}, sum);
    }
    if (gamma != nullptr) Types({"beta"}, gamma->type);
    if (const TestTensor* mean = Get("meanOut")) Shapes({"rstdOut"}, mean->shape, kTiling);
    if (x1 == nullptr) return;
    Shapes({"x2", "yOut", "xOut"}, x1->shape, kTiling);
    if (gamma == nullptr) return;
    const size_t normalized = gamma->shape.size();
    Need(normalized <= x1->shape.size(), kTiling);
    if (normalized > x1->shape.size()) return;
    const Dims trailing = Tail(x1->shape, normalized);
    Shapes({"gamma", "beta"}, trailing, kTiling);
    if (bias != nullptr) Need(bias->shape == trailing || bias->shape == x1->shape, kTiling);
    Stats({"meanOut", "rstdOut"}, x1->shape, normalized, true, kTiling);
    Split(x1->shape, normalized);
  }

  void AddRmsNorm() {
    Required({"x1", "x2", "gamma", "yOut"});
    Need(!Given("rstdOut") || Given("xOut"), kNull);
    used_ = {"x1", "x2", "gamma", "yOut", "rstdOut", "xOut"};
    Eps();
    Floats({"x1"});
    Types({"rstdOut"}, ACL_FLOAT);
    Ranks({"x1", "x2", "gamma", "yOut", "xOut"}, 1, kInvalid);
    Ranks({"rstdOut"}, 0, kInvalid);
    Sizes({"x1", "x2", "gamma", "yOut", "rstdOut", "xOut"});
    const TestTensor* x1 = Get("x1");
    if (x1 == nullptr) return;
    Types({"x2", "gamma", "yOut", "xOut"}, x1->type);
    Shapes({"x2", "yOut", "xOut"}, x1->shape, kInvalid);
    const TestTensor* gamma = Get("gamma");
    if (Numel(x1->shape) != 0 && (gamma == nullptr || Numel(gamma->shape) != 0)) Gamma(x1);
  }

  void RmsNorm() {
    Required({"x", "gamma", "yOut", "rstdOut"});
    used_ = {"x", "gamma", "yOut", "rstdOut"};
    Eps();
    Formats({"x", "gamma", "yOut", "rstdOut"});
    Floats({"x"});
    Types({"rstdOut"}, ACL_FLOAT);
    Ranks({"x", "gamma", "yOut"}, 1, kTiling);
    Ranks({"rstdOut"}, 0, kTiling);
    Sizes({"x", "gamma", "yOut", "rstdOut"});
    const TestTensor* x = Get("x");
    if (x == nullptr) return;
    Types({"yOut"}, x->type);
    Types({"gamma"}, x->type, true);
    Shapes({"yOut"}, x->shape, kTiling);
    Gamma(x);
  }

  void Gamma(const TestTensor* x) {
    const TestTensor* gamma = Get("gamma");
    if (gamma == nullptr) return;
    const size_t normalized = gamma->shape.size();
    Need(normalized <= x->shape.size(), kTiling);
    if (normalized > x->shape.size()) return;
    Shapes({"gamma"}, Tail(x->shape, normalized), kTiling);
    Stats({"rstdOut"}, x->shape, normalized, true, kTiling);
    Split(x->shape, normalized);
  }

  // Strides, storage and overlaps of what is read or written.
  void Memory() {
    std::vector<std::pair<TestTensor*, bool>> sound;  // and whether it is an output
    for (const bool output : {false, true}) {
      for (const char* name : output ? InfoOf(call_.op).outputs : InfoOf(call_.op).inputs) {
        TestTensor* t = used_.count(name) != 0 ? Get(name) : nullptr;
        if (t == nullptr || t->shape.size() > 8 || Numel(t->shape) < 0 || Numel(t->shape) > kLimit) continue;
        if (InStorage(*t)) sound.emplace_back(t, output);
      }
    }
    for (const auto& [out, is_output] : sound) {
      if (!is_output) continue;
      const Reach reach = ReachOf(*out);
      Need(static_cast<int64_t>(reach.count()) == Numel(out->shape), kInvalid);  // every element has a place of its own
      for (const auto& [other, other_is_output] : sound) {
        if (other == out || out->no_data || other->no_data || out->memory != other->memory) continue;
        if (Touch(*out, *other)) Need(!other_is_output && Same(*out, *other), kInvalid);
      }
    }
  }

  bool InStorage(const TestTensor& t) {
    bool fine = t.offset >= 0 && t.offset <= kLimit;
    for (const int64_t s : t.strides) fine = fine && s >= 0;
    if (fine && Numel(t.shape) != 0) {
      Wide last = t.offset;
      for (size_t d = 0; d < t.shape.size(); ++d) last += static_cast<Wide>(t.shape[d] - 1) * t.strides[d];
      const int64_t room = t.storage.empty() ? kLimit : Numel(t.storage);
      fine = last < room;
    }
    Need(fine, kInvalid);
    return fine;
  }

  static bool Touch(TestTensor& a, TestTensor& b) {
    const Reach reach_a = ReachOf(a), reach_b = ReachOf(b);
    std::set<const std::byte*> bytes;
    for (size_t i = 0; i < reach_a.size(); ++i) {
      for (size_t k = 0; reach_a[i] && k < BytesOf(a.type); ++k) bytes.insert(a.Address() + i * BytesOf(a.type) + k);
    }
    for (size_t i = 0; i < reach_b.size(); ++i) {
      for (size_t k = 0; reach_b[i] && k < BytesOf(b.type); ++k) {
        if (bytes.count(b.Address() + i * BytesOf(b.type) + k) != 0) return true;
      }
    }
    return false;
  }
  // Element for element the same addresses: both without repeats, so comparing them in order is enough.
  static bool Same(TestTensor& a, TestTensor& b) {
    if (a.type != b.type || Numel(a.shape) != Numel(b.shape)) return false;
    const int64_t count = Numel(a.shape);
    if (count > 8192) return false;
    const auto at = [](TestTensor& t, int64_t i) {
      int64_t offset = t.offset;
      for (size_t d = t.shape.size(); d-- > 0; i /= t.shape[d]) offset += i % t.shape[d] * t.strides[d];
      return t.Address() + offset * static_cast<int64_t>(BytesOf(t.type));
    };
    for (int64_t i = 0; i < count; ++i) {
      if (at(a, i) != at(b, i)) return false;
    }
    return true;
  }

  OpCall& call_;
  const int tiling_;
  std::set<std::string> used_, bad_;
  std::set<int> broken_;
};

}  // namespace

std::set<int> BrokenRules(OpCall& call) { return Judge(call).Result(); }

}  // namespace addnorm::aclnn_test
