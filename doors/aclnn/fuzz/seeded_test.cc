// SPDX-License-Identifier: Apache-2.0
// The fuzz target notices a door that does not enforce a rule: each rule is switched off in turn, and has to be found.
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "doors/aclnn/fuzz/fuzz_ops.h"
#include "doors/aclnn/src/call.h"
#include "doors/aclnn/tests/rules.h"

namespace addnorm::aclnn_test {
namespace {

constexpr int kMaxRuns = 400000;

TEST(SeededFaults, AreFound) {
  ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
  std::set<std::pair<Op, std::string>> rules;
  for (const auto& cases : {BackwardRules(), ForwardRules(), CommonRules()}) {
    for (const RuleCase& c : cases) {
      // Without the check of an out-parameter the door writes to null: found, but not in this process.
      const std::string argument = c.argument;
      if (argument != "workspaceSize" && argument != "executor") rules.emplace(c.op, c.rule);
    }
  }
  // Each follows from the other one and 161002-15; rules_test tells them apart by their texts.
  for (const char* implied : {"161002-4", "161002-5"}) rules.erase({Op::kLayerNormBackward, implied});
  int worst = 0, found = 0;
  std::mt19937_64 random(5);
  std::vector<uint8_t> bytes(320);
  for (const auto& [op, rule] : rules) {
    aclnn::seeded_code = std::atoi(rule.c_str());
    aclnn::seeded_rule = std::atoi(rule.c_str() + rule.find('-') + 1);
    int runs = 0;
    bool noticed = false;
    while (!noticed && runs < kMaxRuns) {
      for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
      bytes[0] = static_cast<uint8_t>(op);
      noticed = RunOne(bytes.data(), bytes.size()).found;
      ++runs;
    }
    EXPECT_TRUE(noticed) << InfoOf(op).api << " " << rule;
    found += noticed;
    worst = std::max(worst, runs);
  }
  aclnn::seeded_code = aclnn::seeded_rule = 0;
  std::printf("%d of %zu faults found, at most %d runs for one\n", found, rules.size(), worst);
  for (int i = 0; i < 5000; ++i) {
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
    const Finding finding = RunOne(bytes.data(), bytes.size());
    ASSERT_FALSE(finding.found) << "without a fault: " << finding.text;
  }
}

}  // namespace
}  // namespace addnorm::aclnn_test
