// SPDX-License-Identifier: Apache-2.0
// Each rule: the call that breaks it gives the documented status and a text with API, rule, argument, what was given and what was expected,
// and changes nothing; the nearest call that keeps it succeeds in both phases.
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <limits>
#include <optional>
#include <random>
#include <regex>
#include <set>

#include "doors/aclnn/tests/rules.h"

namespace addnorm::aclnn_test {
namespace {

class Rules : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
    RecentText();
  }
};

OpCall BaseCall(Op op) { return MakeCall(op, {2, 3}, {4, 5}, ACL_FLOAT16); }

// Bytes of all memory that the call can reach.
std::vector<std::byte> Snapshot(OpCall& call) {
  std::vector<std::byte> all;
  for (auto& [name, tensor] : call.tensors) {
    if (!tensor.null && tensor.memory != nullptr) all.insert(all.end(), tensor.memory->begin(), tensor.memory->end());
  }
  return all;
}

void ExpectRefused(OpCall& call, aclnnStatus status, const std::string& begin, const std::vector<std::string>& parts) {
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
  EXPECT_EQ(text.substr(0, begin.size()), begin);
  for (const std::string& part : parts) EXPECT_NE(text.find(part), std::string::npos) << "'" << part << "' in: " << text;
  EXPECT_EQ(RecentText(), "") << "the text is to be had once";
}

void RunCases(const std::vector<RuleCase>& cases, std::optional<int32_t> impl_mode = std::nullopt) {
  for (const RuleCase& c : cases) {
    if (impl_mode && c.op != Op::kLayerNorm) continue;
    OpCall bad = BaseCall(c.op);
    bad.impl_mode = impl_mode;
    SCOPED_TRACE(std::string(bad.api()) + " " + c.rule + " " + c.argument + " " + c.got);
    c.bad(bad);
    const std::string begin = std::string(bad.api()) + ": rule " + c.rule + ": argument '" + c.argument + "'";
    ExpectRefused(bad, std::atoi(c.rule), begin, {std::string(" is ") + c.got, std::string("expected ") + c.expected});
    OpCall good = BaseCall(c.op);
    good.impl_mode = impl_mode;
    c.good(good);
    EXPECT_EQ(good.Run(), ACLNN_SUCCESS) << RecentText();
  }
}

TEST_F(Rules, Backward) { RunCases(BackwardRules()); }
TEST_F(Rules, Forward) { RunCases(ForwardRules()); }
TEST_F(Rules, Common) { RunCases(CommonRules()); }

// The rules of aclnnLayerNorm, and that of the mode.
TEST_F(Rules, ImplMode) {
  RunCases(ForwardRules(), 1);
  RunCases(CommonRules(), 1);
  for (const int32_t mode : {-1, 3, std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()}) {
    OpCall call = BaseCall(Op::kLayerNorm);
    call.impl_mode = mode;
    ExpectRefused(call, ACLNN_ERR_INNER_INVALID_IMPL_MODE, "aclnnLayerNormWithImplMode: rule 561106-1: argument 'implMode' is ",
                  {"is " + std::to_string(mode) + ", expected 0, 1 or 2"});
    call.tensors.erase("out");
    EXPECT_EQ(call.Run(), ACLNN_ERR_PARAM_NULLPTR) << "null pointers first";
  }
  for (const int32_t mode : {0, 1, 2}) {
    OpCall call = BaseCall(Op::kLayerNorm);
    call.impl_mode = mode;
    EXPECT_EQ(call.Run(), ACLNN_SUCCESS) << mode << " " << RecentText();
  }
}

// Rule 20: every tensor of every operator, as a destroyed one, as another kind of object, and as an address.
TEST_F(Rules, Handles) {
  for (const Op op : kAllOps) {
    std::vector<const char*> names = InfoOf(op).inputs;
    names.insert(names.end(), InfoOf(op).outputs.begin(), InfoOf(op).outputs.end());
    for (const char* name : names) {
      SCOPED_TRACE(std::string(InfoOf(op).api) + " " + name);
      const std::string begin = std::string(InfoOf(op).api) + ": rule 161002-20: argument '" + name + "' is ";
      TestTensor gone(ACL_FLOAT, {2});
      aclTensor* destroyed = gone.Handle();
      ASSERT_EQ(aclDestroyTensor(destroyed), ACLNN_SUCCESS);
      const IntArrayHandle array({1, 2});
      double on_stack = 0;
      const std::pair<void*, const char*> bad_handles[] = {{destroyed, "a destroyed or foreign handle"},
                                                           {array.handle, "a live aclIntArray"},
                                                           {&on_stack, "a destroyed or foreign handle"},
                                                           {reinterpret_cast<void*>(uintptr_t{1}), "a destroyed or foreign handle"},
                                                           {reinterpret_cast<void*>(UINTPTR_MAX), "a destroyed or foreign handle"}};
      for (const auto& [handle, what] : bad_handles) {
        OpCall call = BaseCall(op);
        call.raw[name] = handle;
        ExpectRefused(call, ACLNN_ERR_PARAM_INVALID, begin + what, {"expected a live aclTensor"});
      }
    }
  }
}

TEST_F(Rules, ArrayHandles) {
  OpCall call = BaseCall(Op::kLayerNormBackward);
  const BoolArrayHandle mask({true, true, true});
  const IntArrayHandle shape({4, 5});
  const auto phase1 = [&](const void* normalized_shape, const void* wanted) {
    uint64_t size = 0;
    aclOpExecutor* executor = nullptr;
    return aclnnLayerNormBackwardGetWorkspaceSize(
        call.Handle("gradOut"), call.Handle("input"), static_cast<const aclIntArray*>(normalized_shape), call.Handle("mean"),
        call.Handle("rstd"), nullptr, nullptr, static_cast<const aclBoolArray*>(wanted), call.Handle("gradInputOut"),
        call.Handle("gradWeightOut"), call.Handle("gradBiasOut"), &size, &executor);
  };
  EXPECT_EQ(phase1(mask.handle, mask.handle), ACLNN_ERR_PARAM_INVALID);
  EXPECT_NE(RecentText().find("rule 161002-20: argument 'normalizedShape' is a live aclBoolArray, expected a live aclIntArray"),
            std::string::npos);
  EXPECT_EQ(phase1(shape.handle, shape.handle), ACLNN_ERR_PARAM_INVALID);
  EXPECT_NE(RecentText().find("rule 161002-20: argument 'outputMask' is a live aclIntArray, expected a live aclBoolArray"),
            std::string::npos);
}

// Rule 28: a creation that failed makes a null pointer, which must not pass for "no weight".
TEST_F(Rules, FailedCreation) {
  const auto fail = [] { EXPECT_EQ(aclCreateTensor(nullptr, 2, ACL_FLOAT, nullptr, 0, ACL_FORMAT_ND, nullptr, 0, nullptr), nullptr); };
  const std::string why = "aclCreateTensor: rule 161001-1: argument 'viewDims' is null, expected 2 sizes";
  const std::pair<Op, const char*> optionals[] = {{Op::kLayerNormBackward, "weightOptional"}, {Op::kLayerNormBackward, "biasOptional"},
                                                  {Op::kAddLayerNormGrad, "gamma"},           {Op::kAddLayerNormGrad, "dsumOptional"},
                                                  {Op::kLayerNorm, "weightOptional"},         {Op::kLayerNorm, "biasOptional"},
                                                  {Op::kLayerNorm, "meanOutOptional"},        {Op::kLayerNorm, "rstdOutOptional"},
                                                  {Op::kAddLayerNorm, "biasOptional"},        {Op::kAddRmsNorm, "rstdOut"}};
  for (const auto& [op, optional] : optionals) {
    SCOPED_TRACE(std::string(InfoOf(op).api) + " " + optional);
    OpCall call = BaseCall(op), whole = BaseCall(op);
    call.tensors.erase(optional);
    const std::string begin = std::string(InfoOf(op).api) + ": rule 161002-28: argument '" + optional + "' is null after a creation";
    fail();
    ExpectRefused(call, ACLNN_ERR_PARAM_INVALID, begin, {why, "expected a tensor"});
    EXPECT_EQ(call.Run(), ACLNN_SUCCESS) << "told once";
    fail();
    EXPECT_EQ(RecentText(), why);
    EXPECT_EQ(call.Run(), ACLNN_SUCCESS) << "the program has read that the creation failed";
    fail();
    EXPECT_EQ(whole.Run(), ACLNN_SUCCESS) << "no argument is null";
    EXPECT_EQ(call.Run(), ACLNN_SUCCESS) << "it is about the next phase 1 and no other";
    // Another text between, read or not, is no word about the creation.
    fail();
    EXPECT_NE(aclDestroyTensor(reinterpret_cast<aclTensor*>(uintptr_t{1})), ACLNN_SUCCESS);
    EXPECT_NE(RecentText().find("aclDestroyTensor"), std::string::npos);
    ExpectRefused(call, ACLNN_ERR_PARAM_INVALID, begin, {why});
    // No array is an optional argument.
    EXPECT_EQ(aclCreateIntArray(nullptr, 2), nullptr);
    EXPECT_EQ(call.Run(), ACLNN_SUCCESS) << RecentText();
  }
  OpCall call = BaseCall(Op::kLayerNorm);
  for (const char* name : {"weightOptional", "rstdOutOptional"}) call.tensors.erase(name);
  fail();
  ExpectRefused(call, ACLNN_ERR_PARAM_INVALID, "aclnnLayerNorm: rule 161002-28: argument 'weightOptional' or 'rstdOutOptional' is null",
                {why});
  OpCall post = BaseCall(Op::kAddRmsNorm);  // xOut is optional where rstdOut is null
  for (const char* name : {"rstdOut", "xOut"}) post.tensors.erase(name);
  fail();
  ExpectRefused(post, ACLNN_ERR_PARAM_INVALID, "aclnnAddRmsNorm: rule 161002-28: argument 'rstdOut' or 'xOut' is null", {why});
  // An operator without optional tensors, and a refusal for another reason, end it too.
  fail();
  EXPECT_EQ(BaseCall(Op::kRmsNorm).Run(), ACLNN_SUCCESS);
  EXPECT_EQ(call.Run(), ACLNN_SUCCESS) << RecentText();
  fail();
  OpCall other = BaseCall(Op::kLayerNorm);
  other.tensors.erase("out");
  EXPECT_EQ(other.Run(), ACLNN_ERR_PARAM_NULLPTR);
  EXPECT_EQ(call.Run(), ACLNN_SUCCESS) << RecentText();
}

// Rule 25 where the strides are too irregular to tell: refused, by a text that says so.
TEST_F(Rules, IrregularStrides) {
  OpCall call = MakeCall(Op::kRmsNorm, {6, 6, 6, 6, 6, 6, 6}, {6}, ACL_FLOAT16);
  for (auto& [name, tensor] : call.tensors) {
    tensor.memory = std::make_shared<std::vector<std::byte>>(64);  // phase 1 does not look at it
    tensor.storage = {int64_t{1} << 46};
  }
  TestTensor &x = call.tensors["x"], &y = call.tensors["yOut"];
  std::mt19937_64 random(11);
  int64_t next = 1;
  for (size_t d = 0; d < 8; ++d, next *= 49) {
    x.strides[d] = (int64_t{1} << 36) + static_cast<int64_t>(random() % (uint64_t{1} << 36)) * 2;
    y.strides[7 - d] = next;  // nested, with room between the elements
  }
  x.memory = y.memory;
  y.memory_begin = 2;
  ExpectRefused(call, ACLNN_ERR_PARAM_INVALID,
                "aclnnRmsNorm: rule 161002-25: argument 'yOut' memory may be shared (the strides are too irregular to tell) with 'x'",
                {"expected memory of its own or exactly an input's"});
}

// docs/aclnn.md lists the same rules as the cases, operator by operator.
TEST_F(Rules, AllDocumentedRulesAreTested) {
  std::set<std::string> tested, documented;
  for (const auto& cases : {BackwardRules(), ForwardRules(), CommonRules()}) {
    for (const RuleCase& c : cases) {
      const int number = std::atoi(std::strchr(c.rule, '-') + 1);
      tested.insert((number >= 20 ? std::string("common") : std::string(InfoOf(c.op).api)) + " " + (number == 21 ? "x-21" : c.rule));
    }
  }
  // Handles, FailedCreation, ImplMode
  for (const char* more : {"common 161002-20", "common 161002-28", "aclnnLayerNormWithImplMode 561106-1"}) tested.insert(more);
  std::ifstream file(ADDNORM_ACLNN_DOC);
  ASSERT_TRUE(file.is_open()) << ADDNORM_ACLNN_DOC;
  std::string line, section;
  const std::regex heading("^### `?(aclnn[A-Za-z]+|common)`?.*"), row("^\\| (\\d{6}|x)-(\\d+) .*");
  for (std::smatch match; std::getline(file, line);) {
    if (std::regex_match(line, match, heading)) section = match[1];
    if (line.rfind("## ", 0) == 0) section.clear();
    if (!section.empty() && std::regex_match(line, match, row)) documented.insert(section + " " + match[1].str() + "-" + match[2].str());
  }
  EXPECT_EQ(documented, tested);
}

}  // namespace
}  // namespace addnorm::aclnn_test
