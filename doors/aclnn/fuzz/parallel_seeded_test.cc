// SPDX-License-Identifier: Apache-2.0
// Random calls of the tensor-parallel operators on a group of one: phase 1 succeeds if and only if BrokenParallelRules finds nothing, and
// else names a rule that is broken. The same calls notice a door that does not enforce a rule: each is switched off in turn.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "doors/aclnn/fuzz/parallel_validity.h"
#include "doors/aclnn/src/call.h"
#include "doors/aclnn/tests/parallel_rules.h"

namespace addnorm::aclnn_test {
namespace {

constexpr int kRuns = 10000, kMaxRuns = 20000;

class Programs {
 public:
  explicit Programs(uint64_t seed) : random_(seed) {}

  // What is wrong with how the door took one random call; empty if nothing.
  std::string One(ParallelOp op) {
    ParallelCall call = Valid(op);
    std::string group_rule;
    for (uint64_t i = Below(3); i > 0; --i) Change(&call, &group_rule);
    const std::set<std::string> broken = BrokenParallelRules(call, group_rule);
    ++(broken.empty() ? valid_ : invalid_);
    for (auto& [name, tensor] : call.tensors) tensor.Handle();
    const auto before = Bytes(call);
    uint64_t size = 4711;
    aclOpExecutor* executor = nullptr;
    const aclnnStatus status = call.Phase1(&size, &executor);
    const std::string text = RecentText();
    if ((status == ACLNN_SUCCESS) != broken.empty()) {
      if (executor != nullptr) aclDestroyAclOpExecutor(executor);
      return "phase 1 gives " + std::to_string(status) + " where " + (broken.empty() ? "no rule" : *broken.begin()) + " is broken: " + text;
    }
    if (status != ACLNN_SUCCESS) {
      const size_t at = text.find("rule ") + 5;
      const std::string rule = text.substr(at, text.find(':', at) - at);
      if (broken.count(rule) == 0) return "refused by " + text + "; " + *broken.begin() + " is broken";
      return size == 4711 && executor == nullptr && Bytes(call) == before ? "" : "a refusal has written something";
    }
    if (executor == nullptr) return "success without an executor";
    if (call.Phase2(nullptr, 0, executor, nullptr) != ACLNN_SUCCESS) return "phase 2: " + RecentText();
    return aclrtSynchronizeStream(nullptr) == ACL_SUCCESS ? "" : "the stream: " + RecentText();
  }
  int valid() const { return valid_; }
  int invalid() const { return invalid_; }

 private:
  uint64_t Below(uint64_t n) { return random_() % n; }
  template <class T>
  T Pick(std::initializer_list<T> list) {
    return list.begin()[Below(list.size())];
  }

  ParallelCall Valid(ParallelOp op) {
    ParallelShape shape;
    shape.b = static_cast<int64_t>(Below(12) == 0 ? 0 : 1 + Below(3));
    shape.s = static_cast<int64_t>(1 + Below(3));
    shape.k = Pick<int64_t>({1, 2, 33, 64, 97});
    shape.n = static_cast<int64_t>(Below(12) == 0 ? 0 : 1 + Below(9));
    shape.flat_x1 = Below(2) == 0;
    shape.transposed = Below(2) == 0;
    ParallelCall call = MakeParallelCall(op, shape, Below(2) == 0 ? ACL_FLOAT16 : ACL_BF16, one_.name);
    if (Below(3) == 0) call.tensors.erase("bias");
    if (const char* scale = ScaleOf(op)) {
      if (IsWeightQuant(op) && shape.k > 32 && Below(2) == 0) call.group_size = shape.k > 64 ? Pick<int64_t>({32, 64, 96}) : 32;
      const int64_t groups = call.group_size == 0 ? 1 : (shape.k + call.group_size - 1) / call.group_size;
      const Dims dims = call.group_size != 0 ? Dims{groups, shape.n} : Pick<Dims>({{1}, {shape.n}, {1, shape.n}});
      const aclDataType type = call[scale].type == ACL_UINT64 && Below(2) == 0 ? ACL_INT64 : call[scale].type;
      call.tensors[scale] = TestTensor(type, dims);
      if (IsWeightQuant(op)) call.tensors["antiquantOffset"] = TestTensor(type, dims);
      if (Below(3) == 0) call.tensors.erase("antiquantOffset");
    }
    return call;
  }

  void Change(ParallelCall* call, std::string* group_rule) {
    auto it = call->tensors.begin();
    std::advance(it, static_cast<std::ptrdiff_t>(Below(call->tensors.size())));
    TestTensor& t = it->second;
    const auto reshape = [&](Dims dims) { t = TestTensor(t.type, std::move(dims)); };
    switch (Below(13)) {
      case 0:
        t.type = Pick({ACL_FLOAT, ACL_FLOAT16, ACL_BF16, ACL_INT8, ACL_INT32, ACL_INT64, ACL_UINT64});
        return;
      case 1: {
        Dims dims = t.shape;
        if (!dims.empty()) dims[Below(dims.size())] += Below(2) == 0 ? 1 : 2;
        return reshape(dims);
      }
      case 2: {
        Dims dims = t.shape;
        if (Below(2) == 0 || dims.empty()) {
          dims.insert(dims.begin(), 1);
        } else {
          dims.erase(dims.begin());
        }
        return reshape(dims);
      }
      case 3:
        if (t.shape.size() > 1) std::swap(t.shape[0], t.shape[1]), reshape(t.shape);
        return;
      case 4:
        if (!t.strides.empty()) t.strides[Below(t.strides.size())] += 1;
        return;
      case 5:
        t.misalign = 1 + Below(4);
        return;
      case 6:
        t.format = Below(2) == 0 ? ACL_FORMAT_FRACTAL_NZ : ACL_FORMAT_NCHW;
        return;
      case 7:
        call->tensors.erase(Pick({"bias", "antiquantOffset", "y", "normOut"}));
        return;
      case 8:
        call->stream_mode = Pick<int64_t>({0, 1, 2});
        call->comm_turn = Pick<int64_t>({0, 0, 1});
        return;
      case 9:
        call->reduce_op = Pick({"sum", "max", "summary"});
        call->null_reduce_op = Below(3) == 0;
        return;
      case 10:
        call->epsilon = Pick({0.0, 1.0, 0.5, -0.1, 1e-9});
        return;
      case 11:
        call->group = Pick<std::string>({"nobody", three_.name, away_.name});
        *group_rule = call->group == three_.name ? "561002-16" : call->group == away_.name ? "561002-15" : "561002-14";
        return;
      default:
        Sizes(call);
    }
  }

  // Of several tensors at once.
  void Sizes(ParallelCall* call) {
    const auto set = [&](const char* name, Dims dims) {
      if (call->has(name)) call->tensors[name] = TestTensor(call->tensors[name].type, std::move(dims));
    };
    if (call->tensors["x2"].shape.size() != 2) return;
    int64_t k = call->tensors["x2"].shape[0], n = call->tensors["x2"].shape[1];
    switch (Below(3)) {
      case 0:
        call->group_size = Pick<int64_t>({0, 16, 32, 33, 64, 96, -32});
        return;
      case 1:
        k = Pick<int64_t>({0, 65535, 65536});
        n = std::min<int64_t>(n, 2);  // the other one may have made it large
        break;
      default:
        n = Pick<int64_t>({65535, 65536});
        k = 1;
    }
    set("x1", {1, 1, k}), set("x2", {k, n});
    if (Below(2) == 0) call->tensors["x2"].strides = {1, k};
    for (const char* name : {"bias", "gamma"}) set(name, {n});
    for (const char* name : {"residual", "y", "normOut"}) set(name, {1, 1, n});
    call->group_size = 0;
    for (const char* name : {"dequantScale", "antiquantScale", "antiquantOffset"}) set(name, {1});
  }

  static std::vector<std::byte> Bytes(ParallelCall& call) {
    std::vector<std::byte> all;
    for (auto& [name, tensor] : call.tensors) all.insert(all.end(), tensor.memory->begin(), tensor.memory->end());
    return all;
  }

  std::mt19937_64 random_;
  const RankGroup one_{1}, three_{3}, away_{1, 1};
  int valid_ = 0, invalid_ = 0;
};

TEST(ParallelPrograms, AgreeWithTheRules) {
  ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
  Programs programs(1);
  for (int i = 0; i < kRuns; ++i) {
    const ParallelOp op = kParallelOps[i % 6];
    const std::string finding = programs.One(op);
    ASSERT_EQ(finding, "") << ApiOf(op) << " run " << i;
  }
  std::printf("%d valid calls, %d invalid ones\n", programs.valid(), programs.invalid());
  EXPECT_GT(programs.valid(), kRuns / 5);
  EXPECT_GT(programs.invalid(), kRuns / 5);
}

TEST(ParallelPrograms, NoticeMissingRules) {
  ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
  // Null required pointers would be followed; overlaps, sizes without memory and empty shapes are not among the changes. The last three
  // follow from others unless several tensors are changed alike.
  const std::set<std::string> left_to_the_rules_test{"161001-1",  "161001-2",  "161001-3", "161002-1", "161002-22", "161002-23",
                                                     "161002-25", "561002-21", "561002-9", "161002-3", "161002-6",  "161002-9"};
  std::set<std::pair<ParallelOp, std::string>> rules;
  for (const ParallelRuleCase& c : ParallelRuleCases()) {
    if (left_to_the_rules_test.count(c.rule) == 0) rules.emplace(c.op, c.rule);
  }
  Programs programs(2);
  int worst = 0;
  for (const auto& [op, rule] : rules) {
    aclnn::seeded_code = std::atoi(rule.c_str());
    aclnn::seeded_rule = std::atoi(rule.c_str() + rule.find('-') + 1);
    int runs = 0;
    while (runs < kMaxRuns && programs.One(op).empty()) ++runs;
    EXPECT_LT(runs, kMaxRuns) << ApiOf(op) << " " << rule;
    worst = std::max(worst, runs);
  }
  aclnn::seeded_code = aclnn::seeded_rule = 0;
  std::printf("%zu faults, at most %d runs for one\n", rules.size(), worst);
}

}  // namespace
}  // namespace addnorm::aclnn_test
