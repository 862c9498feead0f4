// SPDX-License-Identifier: Apache-2.0
#include "doors/aclnn/tests/parallel_rules.h"

#include <limits>

namespace addnorm::aclnn_test {
namespace {

using Change = std::function<void(ParallelCall&)>;
using Cases = std::vector<ParallelRuleCase>;

constexpr const char* kPointer = "a pointer";
void Nothing(ParallelCall&) {}
Change Null(const char* name) {
  return [=](ParallelCall& c) { c.tensors.erase(name); };
}
Change Make(const char* name, aclDataType type, Dims shape) {
  return [=](ParallelCall& c) { c.tensors[name] = TestTensor(type, shape); };
}
Change Shape(const char* name, Dims shape) {
  return [=](ParallelCall& c) { c.tensors[name] = TestTensor(c.tensors[name].type, shape); };
}
Change Type(const char* name, aclDataType type) {
  return [=](ParallelCall& c) { c.tensors[name] = TestTensor(type, c.tensors[name].shape); };
}
Change Types(std::vector<const char*> names, aclDataType type) {
  return [=](ParallelCall& c) {
    for (const char* name : names) {
      if (c.has(name)) Type(name, type)(c);
    }
  };
}
Change Strides(const char* name, Dims strides) {
  return [=](ParallelCall& c) { c.tensors[name].strides = strides; };
}
Change Both(Change first, Change second) {
  return [=](ParallelCall& c) { first(c), second(c); };
}
// A shape that no memory is made for, in one place of it.
Change Imaginary(const char* name, Dims shape) {
  return [=](ParallelCall& c) {
    TestTensor& t = c.tensors[name];
    t.memory = std::make_shared<std::vector<std::byte>>(512);
    t.storage = {8};
    t.shape = shape;
    t.strides = Dims(shape.size(), 0);
  };
}
template <class Member, class Value>
Change Set(Member member, Value value) {
  return [=](ParallelCall& c) { c.*member = value; };
}
// `output` in the memory of `input`, `shift` bytes further.
Change Share(const char* output, const char* input, size_t shift) {
  return [=](ParallelCall& c) {
    TestTensor &in = c.tensors[input], &out = c.tensors[output];
    in.memory = std::make_shared<std::vector<std::byte>>(16384);
    in.storage = out.storage = {768};
    out.memory = in.memory;
    out.memory_begin = shift;
  };
}

std::string Text(const RankGroup& group) { return "'" + group.name + "'"; }

// Groups that will not do; the tests' thread is on device 0.
struct Groups {
  RankGroup three{3}, away{1, 1};
};
const Groups& AllGroups() {
  static const Groups* const groups = new Groups;
  return *groups;
}

// Rules that all six share.
void CommonCases(Cases* r, ParallelOp op) {
  std::vector<const char*> required{"x1", "x2", "residual", "gamma"};
  if (const char* scale = ScaleOf(op)) required.push_back(scale);
  for (const char* name : required) r->push_back({op, "161001-1", name, "null", kPointer, Null(name), Null("bias")});
  r->push_back({op, "161001-2", "workspaceSize", "null", kPointer, Set(&ParallelCall::null_workspace_size, true), Nothing});
  r->push_back({op, "161001-2", "executor", "null", kPointer, Set(&ParallelCall::null_executor, true), Nothing});
  if (!IsInplace(op)) r->push_back({op, "161001-3", "y", "null", kPointer, Null("y"), Nothing});
  r->push_back({op, "161001-3", "normOut", "null", kPointer, Null("normOut"), Nothing});
  r->push_back({op, "161001-3", "group", "null", kPointer, Set(&ParallelCall::null_group, true), Set(&ParallelCall::null_reduce_op, true)});

  for (const char* name : {"x1", "x2", "residual"}) r->push_back({op, "161002-1", name, "0", "1 to 8", Shape(name, {}), Nothing});
  r->push_back({op, "161002-2", "x2", "95", "96, the last dimension of 'x1' (k)", Shape("x2", {95, 40}), Nothing});
  r->push_back({op, "161002-3", "residual", "41", "40, that of 'x2' (n)", Shape("residual", {2, 3, 41}), Nothing});
  r->push_back({op, "161002-4", "x1", "0", "at least 1", Both(Shape("x1", {2, 3, 0}), Shape("x2", {0, 40})),
                Both(Shape("x1", {2, 3, 1}), Shape("x2", {1, 40}))});
  for (const int64_t mode : {int64_t{0}, int64_t{2}, int64_t{-1}, int64_t{1} << 32 | 1}) {
    r->push_back({op, "161002-5", "streamMode", std::to_string(mode), "1", Set(&ParallelCall::stream_mode, mode), Nothing});
  }
  for (const char* name : {"gamma", "normOut"}) {
    r->push_back({op, "161002-10", name, "BFLOAT16", "FLOAT16, the dtype of residual", Type(name, ACL_BF16), Nothing});
  }
  if (!IsInplace(op)) {
    r->push_back({op, "161002-10", "y", "FLOAT", "FLOAT16, the dtype of residual", Type("y", ACL_FLOAT), Nothing});
  }
  r->push_back({op, "161002-13", "x2", "[41, 1]", "[40, 1], or [1, 96]: transposed", Strides("x2", {41, 1}), Strides("x2", {40, 1})});
  r->push_back({op, "161002-13", "x2", "[1, 97]", "[40, 1], or [1, 96]: transposed", Strides("x2", {1, 97}), Strides("x2", {1, 96})});
  r->push_back({op, "161002-14", "x1", "a view with gaps", "a contiguous tensor", Strides("x1", {600, 100, 1}), Nothing});
  for (const char* name : {"residual", "normOut"}) {
    r->push_back({op, "161002-14", name, "a view with gaps", "a contiguous tensor", Strides(name, {40, 80, 1}), Nothing});
  }
  for (const char* name : {"gamma", "bias"}) {
    r->push_back({op, "161002-14", name, "a view with gaps", "a contiguous tensor", Strides(name, {2}), Null("bias")});
  }
  r->push_back({op, "161002-15", "residual", "0x", "a multiple of 2", [](ParallelCall& c) { c["residual"].misalign = 1; },
                [](ParallelCall& c) { c["residual"].misalign = 2; }});

  r->push_back({op, "561002-1", "x1", "4", "2 to 3", Shape("x1", {1, 2, 3, 96}), Shape("x1", {6, 96})});
  r->push_back({op, "561002-1", "x2", "3", "2 to 2", Shape("x2", {96, 1, 40}), Nothing});
  r->push_back(
      {op, "561002-1", "residual", "2", "3 to 3", Shape("residual", {6, 40}), Both(Shape("residual", {6, 1, 40}), [](ParallelCall& c) {
         if (c.has("y")) Shape("y", {6, 1, 40})(c);
         Shape("normOut", {6, 1, 40})(c);
       })});
  for (const char* name : {"gamma", "bias"}) {
    r->push_back({op, "561002-1", name, "2", "1 to 1", Shape(name, {1, 40}), Nothing});
    r->push_back({op, "561002-3", name, "[41]", "[40], x2's columns", Shape(name, {41}), Nothing});
  }
  r->push_back({op, "561002-1", "x1", "9", "0 to 8", Shape("x1", {1, 1, 1, 1, 1, 1, 2, 3, 96}), Nothing});
  r->push_back({op, "561002-2", "residual", "8", "6, that of 'x1'", Shape("residual", {2, 4, 40}), Nothing});
  r->push_back({op, "561002-4", "normOut", "[3, 2, 40]", "[2, 3, 40], the shape of 'residual'", Shape("normOut", {3, 2, 40}), Nothing});
  if (!IsInplace(op)) {
    r->push_back({op, "561002-4", "y", "[6, 40]", "[2, 3, 40], the shape of 'residual'", Shape("y", {6, 40}), Nothing});
  }
  const int64_t big = int64_t{1} << 31;
  r->push_back({op, "561002-9", "x1", "2147483648", "at most 2147483647",
                Both(Imaginary("x1", {big, 96}),
                     [=](ParallelCall& c) {
                       for (const char* name : {"residual", "y", "normOut"}) {
                         if (c.has(name)) Imaginary(name, {1, big, 40})(c);
                       }
                     }),
                Nothing});
  for (const char* value : {"max", "summary", "SUM", ""}) {
    r->push_back({op, "561002-11", "reduceOp", std::string("'") + value + "'", "'sum'", Set(&ParallelCall::reduce_op, value),
                  Set(&ParallelCall::null_reduce_op, true)});
  }
  for (const int64_t turn : {int64_t{1}, int64_t{8}, int64_t{-1}, int64_t{1} << 32}) {
    r->push_back({op, "561002-12", "commTurn", std::to_string(turn), "0", Set(&ParallelCall::comm_turn, turn), Nothing});
  }
  for (const double eps : {0.0, 1.0, -1e-6, std::numeric_limits<double>::quiet_NaN()}) {
    r->push_back({op, "561002-13", "epsilon", eps == eps ? "" : "nan", "more than 0 and less than 1", Set(&ParallelCall::epsilon, eps),
                  Set(&ParallelCall::epsilon, eps == 0 ? 1e-300 : 0.999)});
  }
  for (const char* name : {"", "hccl_world_group", "addnorm_group_", "addnorm_group_12zz", "addnorm_group_1"}) {
    r->push_back({op, "561002-14", "group", std::string("'") + name, "the name of a live group", Set(&ParallelCall::group, name), Nothing});
  }
  const Groups& g = AllGroups();
  r->push_back({op, "561002-15", "group", Text(g.away) + ", which has no live rank on device 0", "a group of the thread's device",
                Set(&ParallelCall::group, g.away.name), Nothing});
  r->push_back({op, "561002-16", "group", "3", "1, 2, 4 or 8", Set(&ParallelCall::group, g.three.name), Nothing});

  // Those of all operators of the door, where they can be broken here.
  r->push_back({op, "561002-21", "residual", "-2", "0 or more", Imaginary("residual", {-2, 3, 40}), Nothing});
  r->push_back(
      {op, "561002-21", "x1", "[70368744177664, 3, 96]", "at most 2^46 elements", Imaginary("x1", {int64_t{1} << 46, 3, 96}), Nothing});
  r->push_back({op, "161002-22", "residual", "-1", "0 to 2^46",
                [](ParallelCall& c) { c["residual"].Allocate(), c["residual"].offset = -1; },
                [](ParallelCall& c) { c["residual"].offset = 3; }});
  r->push_back({op, "161002-23", "residual", "240 elements", "at most 239", [](ParallelCall& c) { c["residual"].storage = {239}; },
                [](ParallelCall& c) {
                  c["residual"].storage = {2, 3, 40};
                }});
  const bool in_place = IsInplace(op);  // residual is the first output there
  r->push_back({op, "161002-25", in_place ? "residual" : "normOut", in_place ? "shared with 'normOut'" : "shared with 'residual'",
                "memory of its own (y: or exactly residual's)", Share("normOut", "residual", 0), Share("normOut", "residual", 480)});
  r->push_back(
      {op, "161002-25", "normOut", "shared with 'x1'", "memory of its own", Share("normOut", "x1", 2), Share("normOut", "x1", 2000)});
  if (!IsInplace(op)) {
    r->push_back({op, "161002-25", "y", "shared with 'residual'", "memory of its own (y: or exactly residual's)", Share("y", "residual", 2),
                  Share("y", "residual", 0)});
    r->push_back({op, "161002-25", "y", "shared with 'normOut'", "memory of its own", Share("y", "normOut", 0), Nothing});
  }
  for (const char* name : {"x1", "x2", "residual", "gamma", "normOut"}) {
    const auto format = [name](aclFormat value) -> Change { return [=](ParallelCall& c) { c[name].format = value; }; };
    r->push_back({op, "161002-27", name, "29", "ND (2)", format(ACL_FORMAT_FRACTAL_NZ), format(ACL_FORMAT_NCHW)});
  }
}

void PlainCases(Cases* r, ParallelOp op) {
  const std::vector<const char*> all{"x1", "x2", "bias", "residual", "gamma", "y", "normOut"};
  r->push_back({op, "161002-6", "x1", "FLOAT", "FLOAT16 or BFLOAT16", Types(all, ACL_FLOAT), Types(all, ACL_BF16)});
  r->push_back({op, "161002-6", "x1", "INT8", "FLOAT16 or BFLOAT16", Types({"x1", "x2"}, ACL_INT8), Nothing});
  r->push_back({op, "161002-7", "x2", "BFLOAT16", "FLOAT16, the dtype of x1", Type("x2", ACL_BF16), Nothing});
  r->push_back({op, "161002-7", "x2", "INT8", "FLOAT16, the dtype of x1", Type("x2", ACL_INT8), Nothing});
  r->push_back({op, "161002-8", "bias", "FLOAT", "FLOAT16, the dtype of x1", Type("bias", ACL_FLOAT), Null("bias")});
  r->push_back({op, "161002-9", "residual", "BFLOAT16", "FLOAT16, the dtype of x1", Type("residual", ACL_BF16), Nothing});
  r->push_back({op, "561002-9", "x1", "2147483648", "at most 2147483647",
                Both(Imaginary("x1", {2, 3, int64_t{1} << 31}), Imaginary("x2", {int64_t{1} << 31, 40})),
                Both(Shape("x1", {2, 3, 70000}), Shape("x2", {70000, 40}))});
}

void QuantCases(Cases* r, ParallelOp op) {
  const std::vector<const char*> floats{"residual", "gamma", "y", "normOut"};
  r->push_back({op, "161002-6", "x1", "FLOAT16", "INT8", Type("x1", ACL_FLOAT16), Nothing});
  r->push_back({op, "161002-7", "x2", "FLOAT16", "INT8", Type("x2", ACL_FLOAT16), Nothing});
  r->push_back({op, "161002-8", "bias", "FLOAT16", "INT32", Type("bias", ACL_FLOAT16), Null("bias")});
  r->push_back({op, "161002-9", "residual", "FLOAT", "FLOAT16 or BFLOAT16", Types(floats, ACL_FLOAT),
                Both(Types(floats, ACL_BF16), Type("dequantScale", ACL_BF16))});
  for (const aclDataType type : {ACL_BF16, ACL_FLOAT, ACL_FLOAT16}) {
    const char* name = type == ACL_BF16 ? "BFLOAT16" : type == ACL_FLOAT ? "FLOAT" : "FLOAT16";
    r->push_back({op, "161002-11", "dequantScale", name, "UINT64 or INT64, as residual is FLOAT16", Type("dequantScale", type),
                  Type("dequantScale", ACL_INT64)});
  }
  for (const aclDataType type : {ACL_UINT64, ACL_INT64, ACL_FLOAT}) {
    r->push_back({op, "161002-11", "dequantScale", "", "BFLOAT16, the dtype of residual",
                  Both(Types(floats, ACL_BF16), Type("dequantScale", type)),
                  Both(Types(floats, ACL_BF16), Type("dequantScale", ACL_BF16))});
  }
  r->push_back({op, "161002-14", "dequantScale", "a view with gaps", "a contiguous tensor", Strides("dequantScale", {3}), Nothing});
  for (const Dims& wrong : {Dims{39}, Dims{40, 1}, Dims{1, 1}, Dims{2, 40}, Dims{1, 1, 40}, Dims{}}) {
    r->push_back({op, "561002-5", "dequantScale", "[", "[1, 40], or [1] or [n]", Make("dequantScale", ACL_UINT64, wrong),
                  Make("dequantScale", ACL_UINT64, wrong.size() == 1 ? Dims{1} : Dims{1, 40})});
  }
  r->push_back({op, "561002-10", "x1", "65536", "at most 65535", Both(Shape("x1", {2, 3, 65536}), Shape("x2", {65536, 40})),
                Both(Shape("x1", {2, 3, 65535}), Shape("x2", {65535, 40}))});
  const auto columns = [](int64_t n, bool transposed) -> Change {
    return [=](ParallelCall& c) {
      Shape("x2", {96, n})(c);
      if (transposed) c["x2"].strides = {1, 96};
      for (const char* name : {"bias", "gamma", "dequantScale"}) Shape(name, {n})(c);
      for (const char* name : {"residual", "y", "normOut"}) {
        if (c.has(name)) Shape(name, {2, 3, n})(c);
      }
    };
  };
  r->push_back({op, "561002-10", "x2", "65536", "at most 65535", columns(65536, false), columns(65536, true)});
}

void WeightQuantCases(Cases* r, ParallelOp op) {
  const std::vector<const char*> floats{"x1", "bias", "residual", "gamma", "y", "normOut", "antiquantScale", "antiquantOffset"};
  r->push_back({op, "161002-6", "x1", "FLOAT", "FLOAT16 or BFLOAT16", Types(floats, ACL_FLOAT), Types(floats, ACL_BF16)});
  r->push_back({op, "161002-7", "x2", "FLOAT16", "INT8", Type("x2", ACL_FLOAT16), Nothing});
  r->push_back({op, "161002-7", "x2", "aclDataType(29)", "INT8", Type("x2", ACL_INT4), Nothing});
  r->push_back({op, "161002-8", "bias", "INT32", "FLOAT16, the dtype of x1", Type("bias", ACL_INT32), Null("bias")});
  r->push_back({op, "161002-9", "residual", "BFLOAT16", "FLOAT16, the dtype of x1", Type("residual", ACL_BF16), Nothing});
  for (const char* name : {"antiquantScale", "antiquantOffset"}) {
    r->push_back({op, "161002-12", name, "BFLOAT16", "FLOAT16, the dtype of x1", Type(name, ACL_BF16), Null("antiquantOffset")});
    r->push_back({op, "161002-14", name, "a view with gaps", "a contiguous tensor", Strides(name, {2}), Nothing});
  }
  const auto scales = [](Dims shape, int64_t group_size) -> Change {
    return [=](ParallelCall& c) {
      Shape("antiquantScale", shape)(c), Shape("antiquantOffset", shape)(c);
      c.group_size = group_size;
    };
  };
  r->push_back({op, "561002-6", "antiquantScale", "[2]", "[1, 40], or [1] or [n]", scales({2}, 0), scales({1}, 0)});
  r->push_back({op, "561002-6", "antiquantScale", "[3, 40]", "[1, 40], or [1] or [n]", scales({3, 40}, 0), scales({3, 40}, 32)});
  r->push_back(
      {op, "561002-6", "antiquantScale", "[1, 40]", "[2, 40], a row for each group of k", scales({1, 40}, 64), scales({2, 40}, 64)});
  r->push_back(
      {op, "561002-6", "antiquantScale", "[40, 2]", "[2, 40], a row for each group of k", scales({40, 2}, 64), scales({1, 40}, 0)});
  r->push_back({op, "561002-6", "antiquantScale", "[1]", "[3, 40], a row for each group of k", scales({1}, 32), scales({40}, 0)});
  r->push_back({op, "561002-7", "antiquantOffset", "[1, 40]", "[40], antiquantScale's shape", Shape("antiquantOffset", {1, 40}), Nothing});
  for (const int64_t size : {int64_t{1}, int64_t{31}, int64_t{33}, int64_t{96}, int64_t{128}, int64_t{-32}, int64_t{1} << 40}) {
    r->push_back({op, "561002-8", "antiquantGroupSize", std::to_string(size), "0, or a multiple of 32 in [32, k - 1 = 95]",
                  scales({1, 40}, size), scales({2, 40}, 64)});
  }
  r->push_back({op, "561002-10", "x1", "65536", "at most 65535", Both(Shape("x1", {2, 3, 65536}), Shape("x2", {65536, 40})),
                Both(Shape("x1", {2, 3, 65535}), Shape("x2", {65535, 40}))});
  const auto columns = [](int64_t n) -> Change {
    return [=](ParallelCall& c) {
      Shape("x2", {96, n})(c), c["x2"].strides = {1, 96};
      for (const char* name : {"bias", "gamma", "antiquantScale", "antiquantOffset"}) Shape(name, {n})(c);
      for (const char* name : {"residual", "y", "normOut"}) {
        if (c.has(name)) Shape(name, {2, 3, n})(c);
      }
    };
  };
  r->push_back({op, "561002-10", "x2", "65536", "at most 65535", columns(65536), columns(65535)});
}

}  // namespace

std::vector<ParallelRuleCase> ParallelRuleCases() {
  Cases cases;
  for (const ParallelOp op : kParallelOps) {
    CommonCases(&cases, op);
    (IsQuant(op) ? QuantCases : IsWeightQuant(op) ? WeightQuantCases : PlainCases)(&cases, op);
  }
  return cases;
}

}  // namespace addnorm::aclnn_test
