// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <limits>

#include "doors/aclnn/tests/rules.h"

namespace addnorm::aclnn_test {
namespace {

bool HasEps(Op op) { return op != Op::kLayerNormBackward && op != Op::kAddLayerNormGrad; }
bool ChecksFormat(Op op) { return op == Op::kAddLayerNormGrad || op == Op::kAddLayerNorm || op == Op::kRmsNorm; }
bool SizesAreTiling(Op op) { return op != Op::kLayerNormBackward && op != Op::kLayerNorm; }

Change Eps(double eps) {
  return [eps](OpCall& c) { c.eps = eps; };
}
// A shape that no memory is made for.
Change Imaginary(const char* name, Dims shape) {
  return [=](OpCall& c) {
    TestTensor& t = c.tensors[name];
    t.memory = std::make_shared<std::vector<std::byte>>(512);
    t.storage = {128};
    t.shape = shape;
    t.strides = Dims(shape.size(), 0);
  };
}
Change Offset(const char* name, int64_t offset, int64_t storage) {
  return [=](OpCall& c) {
    TestTensor& t = c.tensors[name];
    t.memory = std::make_shared<std::vector<std::byte>>(4096);
    t.offset = offset;
    t.storage = {storage};
  };
}
// `output` in the memory of `input`, `shift` bytes further.
Change Share(const char* output, const char* input, size_t shift) {
  return [=](OpCall& c) {
    TestTensor &in = c.tensors[input], &out = c.tensors[output];
    in.memory = std::make_shared<std::vector<std::byte>>(4096);
    in.storage = out.storage = {240};
    out.memory = in.memory;
    out.memory_begin = shift;
  };
}

}  // namespace

std::vector<RuleCase> CommonRules() {
  std::vector<RuleCase> r;
  for (const Op op : kAllOps) {
    const char *input = InfoOf(op).inputs[0], *output = InfoOf(op).outputs[0];
    const char* sizes = SizesAreTiling(op) ? "561002-21" : "161002-21";
    r.push_back({op, sizes, input, "-3", "0 or more", Imaginary(input, {2, -3, 4, 5}), Nothing()});
    r.push_back(
        {op, sizes, input, "[2, 70368744177664, 4, 5]", "at most 2^46 elements", Imaginary(input, {2, int64_t{1} << 46, 4, 5}), Nothing()});
    r.push_back({op, sizes, input, "[4611686018427387904, 4, 4, 5]", "at most 2^46 elements", Imaginary(input, {int64_t{1} << 62, 4, 4, 5}),
                 Strides(input, {0, 0, 0, 0})});
    r.push_back({op, "161002-22", input, "-1", "0 or more", Both(Offset(input, 8, 200), Strides(input, {60, 20, 5, -1})),
                 Both(Offset(input, 8, 200), Strides(input, {60, 20, 1, 4}))});
    r.push_back({op, "161002-22", output, "-1", "0 to 2^46", Offset(output, -1, 200), Offset(output, 1, 200)});
    r.push_back({op, "161002-23", input, "120 elements", "at most 119, its storage", Offset(input, 0, 119), Offset(input, 0, 120)});
    r.push_back({op, "161002-23", output, "122 elements", "at most 121, its storage", Offset(output, 2, 121), Offset(output, 2, 122)});
    r.push_back({op, "161002-24", output, "[60, 20, 5, 0]", "an output that does not overlap itself", Strides(output, {60, 20, 5, 0}),
                 Strides(output, {1, 40, 10, 2})});
    r.push_back({op, "161002-24", output, "[60, 20, 4, 1]", "an output that does not overlap itself", Strides(output, {60, 20, 4, 1}),
                 Strides(output, {60, 20, 1, 4})});
    // Steps of 2 and 3: every multiple of 6 is reached twice, unless there are only two of each.
    r.push_back({op, "161002-24", output, "[300, 100, 2, 3]", "an output that does not overlap itself", Strides(output, {300, 100, 2, 3}),
                 Strides(output, {300, 100, 7, 1})});
    const char* second_output = InfoOf(op).outputs[1];
    r.push_back({op, "161002-25", output, "shared with", "memory of its own or exactly an input's", Share(output, input, 2),
                 Share(output, input, 0)});
    r.push_back({op, "161002-25", output, "shared with", "memory of its own or exactly an input's", Share(output, second_output, 0),
                 Share(output, input, 240)});
    if (HasEps(op)) {
      const char* name = op == Op::kLayerNorm ? "eps" : "epsilon";
      r.push_back({op, "161002-26", name, "-1e-05", "a finite number >= 0", Eps(-1e-5), Eps(0)});
      r.push_back({op, "161002-26", name, "nan", "a finite number >= 0", Eps(std::numeric_limits<double>::quiet_NaN()), Eps(1e-300)});
      r.push_back({op, "161002-26", name, "inf", "a finite number >= 0", Eps(std::numeric_limits<double>::infinity()), Eps(1e300)});
    }
    const auto format = [](const char* name, int value) -> Change {
      return [=](OpCall& c) { c.tensors[name].format = static_cast<aclFormat>(value); };
    };
    if (!ChecksFormat(op)) continue;
    const char* optional = op == Op::kAddLayerNormGrad ? "dsumOptional" : op == Op::kAddLayerNorm ? "biasOptional" : nullptr;
    const char* plain = "ND (2), NCHW (0), NHWC (1), NCDHW (30), DHWCN (31) or NCL (47)";
    for (const auto& list : {InfoOf(op).inputs, InfoOf(op).outputs}) {
      for (const char* name : list) {
        if (optional != nullptr && std::strcmp(name, optional) == 0) continue;
        r.push_back({op, "161002-27", name, "29", plain, format(name, ACL_FORMAT_FRACTAL_NZ), format(name, ACL_FORMAT_NCHW)});
        r.push_back({op, "161002-27", name, "27", plain, format(name, ACL_FORMAT_NDHWC), format(name, 31)});
      }
    }
    // The format of an optional tensor is not asked.
    if (optional != nullptr) {
      r.push_back({op, "161002-27", input, "16", plain, format(input, ACL_FORMAT_HWCN), format(optional, ACL_FORMAT_NDHWC)});
      r.push_back({op, "161002-27", output, "-1", plain, format(output, ACL_FORMAT_UNDEFINED), format(optional, ACL_FORMAT_FRACTAL_NZ)});
    }
  }
  return r;
}

}  // namespace addnorm::aclnn_test
