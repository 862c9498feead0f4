// SPDX-License-Identifier: Apache-2.0
// Where phase 2 reads and writes: workspaces that change between runs, addresses of operands that are not used, views with another offset,
// and operands that lie side by side in one buffer.
#include <gtest/gtest.h>

#include <limits>

#include "doors/aclnn/tests/calls.h"
#include "doors/aclnn/tests/dense.h"

namespace addnorm::aclnn_test {
namespace {

class Addresses : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
    RecentText();
  }
};

void Fill(TestTensor* t) {
  t->Allocate();
  for (size_t i = 0; i < t->memory->size() / 4; ++i) {
    const float value = static_cast<float>((i * 37 + 5) % 101) / 16 - 3;
    std::memcpy(t->memory->data() + i * 4, &value, 4);
  }
}

// Phase 2 has no memory of the workspace of the run before: what was staged there is not looked at, and not written.
TEST_F(Addresses, EveryRunStaysInItsWorkspace) {
  OpCall call = MakeCall(Op::kRmsNorm, {6}, {32}, ACL_FLOAT);
  for (const char* name : {"x", "gamma"}) Fill(&call.tensors[name]);
  for (const char* name : {"x", "yOut"}) call.tensors[name].Strided({1, 6});  // both need a copy
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  ASSERT_EQ(call.Phase1(&size, &executor), ACLNN_SUCCESS) << RecentText();
  ASSERT_EQ(aclSetAclOpExecutorRepeatable(executor), ACLNN_SUCCESS);
  ASSERT_GE(size, 2u * 6 * 32 * 4);
  std::vector<std::byte> workspaces[2] = {std::vector<std::byte>(size), std::vector<std::byte>(size)}, want;
  for (const size_t run : {0, 0, 1, 0, 1, 1}) {
    for (auto& w : workspaces) std::fill(w.begin(), w.end(), std::byte{0xAB});
    auto& y = *call.tensors["yOut"].memory;
    std::fill(y.begin(), y.end(), std::byte{1});
    ASSERT_EQ(call.Phase2(workspaces[run].data(), size, executor, nullptr), ACLNN_SUCCESS) << RecentText();
    if (want.empty()) want = y;
    EXPECT_TRUE(y == want) << "another result in another workspace";
    EXPECT_TRUE(workspaces[1 - run] == std::vector<std::byte>(size, std::byte{0xAB})) << "written outside of the workspace given";
  }
  EXPECT_EQ(aclDestroyAclOpExecutor(executor), ACLNN_SUCCESS);
}

// An operand that is checked only may have any offset; no address is computed from it.
TEST_F(Addresses, OfWhatIsNotUsed) {
  for (const int64_t offset : {std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min()}) {
    OpCall call = MakeCall(Op::kLayerNormBackward, {4}, {6}, ACL_FLOAT);
    call.mask = {true, true, false};
    for (auto& [name, tensor] : call.tensors) Fill(&tensor);
    for (const char* name : {"biasOptional", "gradBiasOut"}) call.tensors[name].offset = offset;
    uint64_t size = 0;
    aclOpExecutor* executor = nullptr;
    ASSERT_EQ(call.Phase1(&size, &executor), ACLNN_SUCCESS) << RecentText();
    TestTensor &bias = call.tensors["biasOptional"], &grad = call.tensors["gradBiasOut"];
    const auto before = *grad.memory;
    EXPECT_EQ(aclSetInputTensorAddr(executor, 5, bias.Handle(), bias.Address()), ACLNN_SUCCESS) << RecentText();
    EXPECT_EQ(aclSetOutputTensorAddr(executor, 2, grad.Handle(), grad.Address()), ACLNN_SUCCESS) << RecentText();
    EXPECT_EQ(aclSetTensorAddr(executor, 5, bias.Handle(), bias.Address()), ACLNN_SUCCESS) << RecentText();
    std::vector<std::byte> workspace(size + 1);
    EXPECT_EQ(call.Phase2(workspace.data(), size, executor, nullptr), ACLNN_SUCCESS) << RecentText();
    EXPECT_TRUE(*grad.memory == before);
  }
}

// The tensor of a new address has to be the same view in everything: an offset is one too.
TEST_F(Addresses, OfAnotherView) {
  OpCall call = MakeCall(Op::kRmsNorm, {2}, {4}, ACL_FLOAT);
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  ASSERT_EQ(call.Phase1(&size, &executor), ACLNN_SUCCESS) << RecentText();
  std::vector<std::byte> memory(256);
  const auto set = [&](TestTensor t) {
    t.memory = nullptr;
    t.storage = {64};
    t.no_data = true;
    const aclnnStatus status = aclSetInputTensorAddr(executor, 0, t.Handle(), memory.data());
    EXPECT_TRUE(status == 0 || RecentText().find("rule 161002-2: argument 'tensor' is another view, expected the type, shape, strides and "
                                                 "offset of 'x'") != std::string::npos);
    return status;
  };
  TestTensor t = call.tensors["x"];
  EXPECT_EQ(set(t), ACLNN_SUCCESS) << RecentText();
  t.offset = 1;
  EXPECT_EQ(set(t), ACLNN_ERR_PARAM_INVALID);
  t = call.tensors["x"];
  t.type = ACL_INT32;
  EXPECT_EQ(set(t), ACLNN_ERR_PARAM_INVALID);
  t = call.tensors["x"];
  t.strides = {5, 1};
  EXPECT_EQ(set(t), ACLNN_ERR_PARAM_INVALID);
  t.shape = {4, 2}, t.strides = {4, 1};
  EXPECT_EQ(set(t), ACLNN_ERR_PARAM_INVALID);
  t.shape = {2, 4, 1}, t.strides = {4, 1, 1};
  EXPECT_EQ(set(t), ACLNN_ERR_PARAM_INVALID);
  EXPECT_EQ(aclDestroyAclOpExecutor(executor), ACLNN_SUCCESS);
}

// x1, x2, yOut and xOut as column blocks of one buffer: their rows lie side by side, nothing is copied. With rows of two strides, where the
// core looks at ranges alone, the outputs go through the workspace. Values are those of operands with memory of their own in both.
TEST_F(Addresses, ColumnBlocksOfOneBuffer) {
  constexpr int64_t kRows = 8, kCols = 24;
  OpCall apart = MakeCall(Op::kAddRmsNorm, {kRows}, {kCols}, ACL_FLOAT);
  for (const char* name : {"x1", "x2", "gamma"}) Fill(&apart.tensors[name]);
  uint64_t plain_size = 0;
  aclOpExecutor* executor = nullptr;
  ASSERT_EQ(apart.Phase1(&plain_size, &executor), ACLNN_SUCCESS) << RecentText();
  ASSERT_EQ(aclDestroyAclOpExecutor(executor), ACLNN_SUCCESS);
  ASSERT_EQ(apart.Run(), ACLNN_SUCCESS) << RecentText();
  const auto buffer = std::make_shared<std::vector<std::byte>>(kRows * kCols * 8 * 4);
  const char* names[] = {"x1", "x2", "yOut", "xOut"};
  for (const bool one_stride : {true, false}) {
    OpCall call = apart;
    for (int64_t k = 0; k < 4; ++k) {
      TestTensor &t = call.tensors[names[k]], &from = apart.tensors[names[k]];
      t.memory = buffer;
      t.storage = {kRows * kCols * 8};
      // Two strides: inputs in the even blocks of 4, outputs in blocks 1 and 3 of 8.
      t.strides = {(one_stride || k < 2 ? 4 : 8) * kCols, 1};
      t.offset = (one_stride ? k : k < 2 ? 2 * k : k == 2 ? 1 : 3) * kCols;
      ForEachElement(t, [&](size_t i, std::byte* element) {
        if (k < 2) std::memcpy(element, from.memory->data() + i * 4, 4);
      });
    }
    uint64_t size = 0;
    ASSERT_EQ(call.Phase1(&size, &executor), ACLNN_SUCCESS) << RecentText();
    const uint64_t copies = size - plain_size;
    EXPECT_TRUE(one_stride ? copies == 0 : copies >= 2u * kRows * kCols * 4) << copies << " bytes of workspace for copies";
    ASSERT_EQ(aclSetAclOpExecutorRepeatable(executor), ACLNN_SUCCESS);
    std::vector<std::byte> workspace(size + 1);
    for (int run = 0; run < 2; ++run) {
      std::vector<std::byte> inputs = *Dense(call.tensors["x1"], {kRows, kCols}).memory;
      ASSERT_EQ(call.Phase2(workspace.data(), size, executor, nullptr), ACLNN_SUCCESS) << RecentText();
      for (const char* name : names) EXPECT_EQ(*Dense(call.tensors[name], {kRows, kCols}).memory, *apart.tensors[name].memory) << name;
      EXPECT_TRUE(inputs == *Dense(call.tensors["x1"], {kRows, kCols}).memory);
      // The same address again has to be good for the same plan.
      ASSERT_EQ(aclSetOutputTensorAddr(executor, 0, call.tensors["yOut"].Handle(), buffer->data()), ACLNN_SUCCESS) << RecentText();
    }
    EXPECT_EQ(aclDestroyAclOpExecutor(executor), ACLNN_SUCCESS);
  }
}

}  // namespace
}  // namespace addnorm::aclnn_test
