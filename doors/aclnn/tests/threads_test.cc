// SPDX-License-Identifier: Apache-2.0
// Many threads: distinct streams, handles handed from thread to thread, one executor or one handle fought over. Meant for ThreadSanitizer
// too.
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <random>
#include <thread>

#include "doors/aclnn/tests/calls.h"

namespace addnorm::aclnn_test {
namespace {

constexpr int kThreads = 8, kRounds = 150;

void InThreads(int count, const std::function<void(int)>& body) {
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) threads.emplace_back(body, i);
  for (std::thread& thread : threads) thread.join();
}

OpCall RandomCall(Op op, uint64_t seed) {
  OpCall call = MakeCall(op, {5}, {24}, ACL_FLOAT);
  std::mt19937 random(static_cast<uint32_t>(seed));
  std::uniform_real_distribution<float> values(0.5f, 1.5f);
  for (auto& [name, tensor] : call.tensors) {
    if (tensor.shape.size() == 2 && tensor.shape[1] != 1) tensor.Strided(seed % 2 == 0 ? Dims{24, 1} : Dims{1, 5});
    tensor.Allocate();
    for (size_t i = 0; i < tensor.memory->size(); i += 4) {
      const float value = values(random);
      std::memcpy(tensor.memory->data() + i, &value, 4);
    }
  }
  return call;
}

std::vector<std::byte> Outputs(OpCall& call) {
  std::vector<std::byte> all;
  for (const char* name : InfoOf(call.op).outputs) {
    const auto& memory = *call.tensors[name].memory;
    all.insert(all.end(), memory.begin(), memory.end());
  }
  return all;
}

TEST(Threads, DistinctStreams) {
  std::atomic<int> failures{0};
  InThreads(kThreads, [&](int thread) {
    ASSERT_EQ(aclrtSetDevice(thread), ACL_SUCCESS);
    aclrtStream stream = nullptr;
    ASSERT_EQ(aclrtCreateStream(&stream), ACL_SUCCESS);
    for (int round = 0; round < kRounds; ++round) {
      const Op op = kAllOps[(thread + round) % 6];
      OpCall once = RandomCall(op, static_cast<uint64_t>(round));
      if (once.Run() != ACLNN_SUCCESS) ++failures;
      const auto want = Outputs(once);
      OpCall call = RandomCall(op, static_cast<uint64_t>(round));
      uint64_t size = 0;
      aclOpExecutor* executor = nullptr;
      if (call.Phase1(&size, &executor) != ACLNN_SUCCESS) ++failures;
      std::vector<std::byte> workspace(size + 1);
      if (call.Phase2(workspace.data(), size, executor, stream) != ACLNN_SUCCESS) ++failures;
      if (aclrtSynchronizeStream(stream) != ACL_SUCCESS || Outputs(call) != want) ++failures;
    }
    EXPECT_EQ(aclrtDestroyStream(stream), ACL_SUCCESS);
  });
  EXPECT_EQ(failures.load(), 0);
}

// All threads submit to one stream: whoever finds it busy is queued.
TEST(Threads, OneStream) {
  ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
  aclrtStream stream = nullptr;
  ASSERT_EQ(aclrtCreateStream(&stream), ACL_SUCCESS);
  std::atomic<int> failures{0};
  InThreads(kThreads, [&](int thread) {
    ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
    for (int round = 0; round < kRounds; ++round) {
      const Op op = kAllOps[(thread + round) % 6];
      OpCall once = RandomCall(op, static_cast<uint64_t>(round));
      if (once.Run() != ACLNN_SUCCESS) ++failures;
      OpCall call = RandomCall(op, static_cast<uint64_t>(round));
      uint64_t size = 0;
      aclOpExecutor* executor = nullptr;
      if (call.Phase1(&size, &executor) != ACLNN_SUCCESS) ++failures;
      std::vector<std::byte> workspace(size + 1);
      if (call.Phase2(workspace.data(), size, executor, stream) != ACLNN_SUCCESS) ++failures;
      if (aclrtSynchronizeStream(stream) != ACL_SUCCESS || Outputs(call) != Outputs(once)) ++failures;
    }
  });
  EXPECT_EQ(failures.load(), 0);
  EXPECT_EQ(aclrtDestroyStream(stream), ACL_SUCCESS);
}

// One repeatable executor, many threads: a run goes through or is refused, and nothing is ever half done.
TEST(Threads, OneExecutor) {
  ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
  OpCall once = RandomCall(Op::kLayerNormBackward, 3), call = RandomCall(Op::kLayerNormBackward, 3);
  ASSERT_EQ(once.Run(), ACLNN_SUCCESS);
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  ASSERT_EQ(call.Phase1(&size, &executor), ACLNN_SUCCESS);
  ASSERT_EQ(aclSetAclOpExecutorRepeatable(executor), ACLNN_SUCCESS);
  std::vector<std::byte> workspace(size + 1);
  std::atomic<int> ran{0}, refused{0}, other{0};
  InThreads(kThreads, [&](int thread) {
    ASSERT_EQ(aclrtSetDevice(thread), ACL_SUCCESS);
    for (int round = 0; round < kRounds; ++round) {
      const aclnnStatus status = call.Phase2(workspace.data(), size, executor, nullptr);
      ++(status == 0 ? ran : status == ACLNN_ERR_RUNTIME_ERROR ? refused : other);
    }
  });
  EXPECT_GT(ran.load(), 0);
  EXPECT_EQ(other.load(), 0);
  EXPECT_EQ(ran + refused, kThreads * kRounds);
  EXPECT_TRUE(Outputs(call) == Outputs(once));
  EXPECT_EQ(aclDestroyAclOpExecutor(executor), ACLNN_SUCCESS);
}

// Two threads run and two destroy the same one-shot executors and tensors: each thing happens once.
TEST(Threads, EachHandleDiesOnce) {
  ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
  for (int round = 0; round < kRounds; ++round) {
    OpCall call = RandomCall(Op::kRmsNorm, 2);
    uint64_t size = 0;
    aclOpExecutor* executor = nullptr;
    ASSERT_EQ(call.Phase1(&size, &executor), ACLNN_SUCCESS);
    std::vector<std::byte> workspace(size + 1);
    const int64_t one = 1;
    aclTensor* tensor = aclCreateTensor(&one, 1, ACL_FLOAT, nullptr, 0, ACL_FORMAT_ND, &one, 1, nullptr);
    std::atomic<int> ended{0}, freed{0};
    InThreads(4, [&](int thread) {
      // Without a current context phase 2 refuses, and takes the executor all the same.
      const bool refused = round % 2 == 1 && thread == 1;
      if (!refused) aclrtSetDevice(thread);
      const aclnnStatus status = thread < 2 ? call.Phase2(workspace.data(), size, executor, nullptr) : aclDestroyAclOpExecutor(executor);
      if (status == ACLNN_SUCCESS || RecentText().find("rule 361001-2:") != std::string::npos) ++ended;
      aclDataType type;
      aclGetDataType(tensor, &type);
      if (aclDestroyTensor(tensor) == ACLNN_SUCCESS) ++freed;
    });
    EXPECT_EQ(ended.load(), 1);
    EXPECT_EQ(freed.load(), 1);
  }
}

// Tensors of one thread, executors planned in a second and run in a third.
TEST(Threads, HandedOver) {
  for (int round = 0; round < 20; ++round) {
    OpCall call = RandomCall(Op::kAddLayerNormGrad, static_cast<uint64_t>(round)),
           once = RandomCall(Op::kAddLayerNormGrad, static_cast<uint64_t>(round));
    for (auto& [name, tensor] : call.tensors) tensor.Handle();
    uint64_t size = 0;
    aclOpExecutor* executor = nullptr;
    std::thread([&] { EXPECT_EQ(call.Phase1(&size, &executor), ACLNN_SUCCESS); }).join();
    std::vector<std::byte> workspace(size + 1);
    std::thread([&] {
      EXPECT_EQ(aclrtSetDevice(1), ACL_SUCCESS);
      EXPECT_EQ(call.Phase2(workspace.data(), size, executor, nullptr), ACLNN_SUCCESS);
      EXPECT_EQ(once.Run(), ACLNN_SUCCESS);
    }).join();
    EXPECT_TRUE(Outputs(call) == Outputs(once));
  }
}

}  // namespace
}  // namespace addnorm::aclnn_test
