// SPDX-License-Identifier: Apache-2.0
// Each rule: the call that breaks it gives the documented status and a text with API, rule, argument, what was given and what was expected,
// and changes nothing; the nearest call that keeps it succeeds in both phases.
#include "doors/aclnn/tests/parallel_rules.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <regex>
#include <set>
#include <thread>

namespace addnorm::aclnn_test {
namespace {

const RankGroup& OneRank() {
  static const RankGroup* const group = new RankGroup(1);
  return *group;
}

class ParallelRules : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
    RecentText();
  }
  static ParallelCall BaseCall(ParallelOp op) { return MakeParallelCall(op, {}, ACL_FLOAT16, OneRank().name); }
  static std::vector<std::byte> Snapshot(ParallelCall& call) {
    std::vector<std::byte> all;
    for (auto& [name, tensor] : call.tensors) {
      if (!tensor.null && tensor.memory != nullptr) all.insert(all.end(), tensor.memory->begin(), tensor.memory->end());
    }
    return all;
  }
  static void ExpectRefused(ParallelCall& call, aclnnStatus status, const std::string& begin, const std::vector<std::string>& parts) {
    for (auto& [name, tensor] : call.tensors) tensor.Handle();
    const auto before = Snapshot(call);
    uint64_t size = 4711;
    auto* const untouched = reinterpret_cast<aclOpExecutor*>(uintptr_t{42});
    aclOpExecutor* executor = untouched;
    EXPECT_EQ(call.Phase1(&size, &executor), status);
    EXPECT_EQ(size, 4711u);
    EXPECT_EQ(executor, untouched);
    EXPECT_TRUE(Snapshot(call) == before);
    const std::string text = RecentText();
    EXPECT_EQ(text.substr(0, begin.size()), begin) << text;
    for (const std::string& part : parts) EXPECT_NE(text.find(part), std::string::npos) << "'" << part << "' in: " << text;
  }
};

TEST_F(ParallelRules, EachIsKept) {
  int cases = 0;
  for (const ParallelRuleCase& c : ParallelRuleCases()) {
    SCOPED_TRACE(std::string(ApiOf(c.op)) + " " + c.rule + " " + c.argument + " " + c.got);
    ParallelCall bad = BaseCall(c.op);
    c.bad(bad);
    const std::string begin = std::string(ApiOf(c.op)) + ": rule " + c.rule + ": argument '" + c.argument + "'";
    ExpectRefused(bad, std::atoi(c.rule), begin, {" is " + c.got, "expected " + c.expected});
    ParallelCall good = BaseCall(c.op);
    c.good(good);
    EXPECT_EQ(good.Run(), ACLNN_SUCCESS) << RecentText();
    ++cases;
  }
  std::printf("%d cases\n", cases);
}

TEST_F(ParallelRules, Handles) {
  for (const ParallelOp op : kParallelOps) {
    const ParallelCall base = BaseCall(op);
    for (const auto& entry : base.tensors) {
      const std::string name = entry.first;
      TestTensor gone(ACL_FLOAT16, {2});
      aclTensor* destroyed = gone.Handle();
      ASSERT_EQ(aclDestroyTensor(destroyed), ACLNN_SUCCESS);
      for (void* handle : {static_cast<void*>(destroyed), OneRank().comms[0], reinterpret_cast<void*>(uintptr_t{1})}) {
        ParallelCall call = BaseCall(op);
        call.raw[name] = handle;
        ExpectRefused(call, ACLNN_ERR_PARAM_INVALID, std::string(ApiOf(op)) + ": rule 161002-20: argument '" + name + "' is ",
                      {"expected a live aclTensor"});
      }
    }
  }
}

TEST_F(ParallelRules, FailedCreation) {
  for (const ParallelOp op : kParallelOps) {
    ParallelCall call = BaseCall(op);
    call.tensors.erase("bias");
    EXPECT_EQ(aclCreateTensor(nullptr, 2, ACL_FLOAT16, nullptr, 0, ACL_FORMAT_ND, nullptr, 0, nullptr), nullptr);
    ExpectRefused(call, ACLNN_ERR_PARAM_INVALID, std::string(ApiOf(op)) + ": rule 161002-28: argument 'bias' is null after a creation", {});
    EXPECT_EQ(call.Run(), ACLNN_SUCCESS) << "told once";
  }
}

TEST_F(ParallelRules, ThreadWithoutDevice) {
  std::thread([] {
    for (const ParallelOp op : kParallelOps) {
      ParallelCall call = BaseCall(op);
      ExpectRefused(call, ACLNN_ERR_RUNTIME_ERROR, std::string(ApiOf(op)) + ": rule 361001-3: argument 'group'",
                    {"without a current context", "expected aclrtSetDevice before"});
    }
  }).join();
}

// INT64 words become UINT64 when the call succeeds, also an empty one, and stay what they are when it is refused.
TEST_F(ParallelRules, WordsBecomeUnsigned) {
  for (const ParallelOp op : {ParallelOp::kQuant, ParallelOp::kInplaceQuant}) {
    for (const bool refused : {true, false}) {
      ParallelCall call = BaseCall(op);
      call["dequantScale"].type = ACL_INT64;
      call.stream_mode = refused ? 0 : 1;
      EXPECT_EQ(call.Run(), refused ? ACLNN_ERR_PARAM_INVALID : ACLNN_SUCCESS);
      aclDataType type = ACL_DT_UNDEFINED;
      ASSERT_EQ(aclGetDataType(call.Handle("dequantScale"), &type), ACLNN_SUCCESS);
      EXPECT_EQ(type, refused ? ACL_INT64 : ACL_UINT64);
      EXPECT_EQ(call.Run(), refused ? ACLNN_ERR_PARAM_INVALID : ACLNN_SUCCESS) << "again, as UINT64";
    }
  }
}

// docs/aclnn.md lists the same rules as the cases.
TEST_F(ParallelRules, AllDocumentedRulesAreTested) {
  std::set<std::string> tested{"361001-3"}, documented;  // ThreadWithoutDevice
  for (const ParallelRuleCase& c : ParallelRuleCases()) {
    const int number = std::atoi(std::strchr(c.rule, '-') + 1);
    if (number < 20) tested.insert(c.rule);
  }
  std::ifstream file(ADDNORM_ACLNN_DOC);
  ASSERT_TRUE(file.is_open()) << ADDNORM_ACLNN_DOC;
  std::string line;
  bool inside = false;
  const std::regex row("^\\| (\\d{6}-\\d+) .*");
  for (std::smatch match; std::getline(file, line);) {
    if (line.rfind("#", 0) == 0) inside = line == "### The six MatmulAllReduceAddRmsNorm operators";
    if (inside && std::regex_match(line, match, row)) documented.insert(match[1]);
  }
  EXPECT_EQ(documented, tested);
}

}  // namespace
}  // namespace addnorm::aclnn_test
