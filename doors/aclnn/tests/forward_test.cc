// SPDX-License-Identifier: Apache-2.0
// Fixed cases of the forwards, in closed form: epsilon in all of them, and the modes of aclnnLayerNormWithImplMode.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <memory>

#include "doors/aclnn/tests/calls.h"

namespace addnorm::aclnn_test {
namespace {

constexpr Op kForwards[] = {Op::kLayerNorm, Op::kAddLayerNorm, Op::kAddRmsNorm, Op::kRmsNorm};

float At(OpCall& call, const char* name, size_t i) {
  float value;
  std::memcpy(&value, call.tensors.at(name).memory->data() + i * sizeof value, sizeof value);
  return value;
}
void Set(OpCall* call, const char* name, const std::function<float(size_t)>& value) {
  TestTensor& t = call->tensors.at(name);
  t.Allocate();
  for (size_t i = 0; i < static_cast<size_t>(Product(t.shape)); ++i) {
    const float v = value(i);
    std::memcpy(t.memory->data() + i * sizeof v, &v, sizeof v);
  }
}

// Rows of 1, -1, 1, -1 ... : mean 0, variance and mean square 1, so rstd is (1 + epsilon)^-1/2 and y is x times that.
TEST(Forward, Epsilon) {
  ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
  constexpr size_t kRows = 3, kCols = 10;
  for (const Op op : kForwards) {
    for (const double eps : {0.0, 1e-12, 1e-5, 0.1, 3.0, 1e4}) {
      SCOPED_TRACE(std::string(InfoOf(op).api) + " " + std::to_string(eps));
      OpCall call = MakeCall(op, {kRows}, {kCols}, ACL_FLOAT);
      call.eps = eps;
      for (auto& [name, tensor] : call.tensors) Set(&call, name.c_str(), [](size_t) { return 0.0f; });
      Set(&call, InfoOf(op).inputs[0], [](size_t i) { return i % 2 == 0 ? 1.0f : -1.0f; });
      Set(&call, op == Op::kLayerNorm ? "weightOptional" : "gamma", [](size_t) { return 1.0f; });
      ASSERT_EQ(call.Run(), ACLNN_SUCCESS) << RecentText();
      const char *y = InfoOf(op).outputs[0], *rstd = op == Op::kLayerNorm ? "rstdOutOptional" : "rstdOut";
      const double want = 1 / std::sqrt(1 + eps);
      for (size_t row = 0; row < kRows; ++row) EXPECT_NEAR(At(call, rstd, row), want, want * 3e-7);
      for (size_t i = 0; i < kRows * kCols; ++i) EXPECT_NEAR(At(call, y, i), i % 2 == 0 ? want : -want, want * 3e-7) << i;
    }
  }
}

TEST(Forward, EveryImplModeGivesTheSameBits) {
  ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
  OpCall plain = MakeCall(Op::kLayerNorm, {5}, {33}, ACL_FLOAT);
  for (const char* name : InfoOf(Op::kLayerNorm).inputs) {
    Set(&plain, name, [](size_t i) { return static_cast<float>((i * 37 + 5) % 101) / 16 - 3; });
  }
  OpCall with_mode = plain;
  ASSERT_EQ(plain.Run(), ACLNN_SUCCESS) << RecentText();
  for (const int32_t mode : {0, 1, 2}) {
    with_mode.impl_mode = mode;
    for (const char* name : InfoOf(Op::kLayerNorm).outputs) {
      TestTensor& t = with_mode.tensors[name];
      t.Drop();
      t.memory = std::make_shared<std::vector<std::byte>>(plain.tensors[name].memory->size(), std::byte{0x11});
    }
    uint64_t size = 0, plain_size = 0;
    aclOpExecutor *executor = nullptr, *plain_executor = nullptr;
    ASSERT_EQ(with_mode.Phase1(&size, &executor), ACLNN_SUCCESS) << RecentText();
    ASSERT_EQ(plain.Phase1(&plain_size, &plain_executor), ACLNN_SUCCESS) << RecentText();
    EXPECT_EQ(size, plain_size);
    std::vector<std::byte> workspace(size + 1);
    EXPECT_EQ(aclnnLayerNorm(workspace.data(), size, executor, nullptr), ACLNN_ERR_PARAM_INVALID);
    EXPECT_EQ(RecentText(),
              "aclnnLayerNorm: rule 161002-32: argument 'executor' is one of aclnnLayerNormWithImplMode, expected one of aclnnLayerNorm");
    EXPECT_EQ(with_mode.Phase2(workspace.data(), size, executor, nullptr), ACLNN_SUCCESS) << RecentText();
    EXPECT_EQ(aclDestroyAclOpExecutor(plain_executor), ACLNN_SUCCESS);
    for (const char* name : InfoOf(Op::kLayerNorm).outputs) {
      EXPECT_TRUE(*with_mode.tensors[name].memory == *plain.tensors[name].memory) << mode << " " << name;
    }
  }
}

}  // namespace
}  // namespace addnorm::aclnn_test
