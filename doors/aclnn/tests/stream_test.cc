// SPDX-License-Identifier: Apache-2.0
// The insides of streams: order, the queue, time-outs, and phase 2 on a busy stream.
#include "doors/aclnn/src/stream.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "doors/aclnn/src/message.h"
#include "doors/aclnn/tests/calls.h"

namespace addnorm::aclnn_test {
namespace {

using aclnn::Stream;
using aclnn::Work;

// Runs until it is let go.
struct Blocking : Work {
  Blocking() {
    run = [](Work* work) noexcept -> aclError {
      auto* self = static_cast<Blocking*>(work);
      self->started = true;
      while (!self->go) std::this_thread::yield();
      return self->result;
    };
  }
  std::atomic<bool> started{false}, go{false};
  aclError result = ACL_SUCCESS;
};

struct Noting : Work {
  Noting() {
    run = [](Work* work) noexcept -> aclError {
      auto* self = static_cast<Noting*>(work);
      self->thread = std::this_thread::get_id();
      self->order = (*self->counter)++;
      return ACL_SUCCESS;
    };
  }
  std::atomic<int>* counter = nullptr;
  int order = -1;
  std::thread::id thread;
};

// A stream that another thread keeps busy.
class BusyStream : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
    ASSERT_EQ(aclrtCreateStream(&handle_), ACL_SUCCESS);
    stream_ = static_cast<Stream*>(aclnn::PinHandle(handle_, aclnn::Kind::kStream));
    ASSERT_NE(stream_, nullptr);
    submitter_ = std::thread([this] { stream_->Submit(&blocking_); });
    while (!blocking_.started) std::this_thread::yield();
  }
  void TearDown() override {
    LetGo();
    if (stream_ != nullptr) aclnn::UnpinHandle(handle_);
    EXPECT_EQ(aclrtDestroyStream(handle_), ACL_SUCCESS);
  }
  void LetGo() {
    blocking_.go = true;
    if (submitter_.joinable()) submitter_.join();
  }
  aclrtStream handle_ = nullptr;
  Stream* stream_ = nullptr;
  Blocking blocking_;
  std::thread submitter_;
};

TEST(IdleStream, RunsInline) {
  Stream stream(0);
  std::atomic<int> counter{0};
  Noting work;
  work.counter = &counter;
  EXPECT_EQ(stream.Submit(&work), ACL_SUCCESS);
  EXPECT_EQ(work.thread, std::this_thread::get_id());
}

TEST_F(BusyStream, KeepsOrder) {
  std::atomic<int> counter{0};
  std::vector<Noting> works(20);
  for (Noting& work : works) {
    work.counter = &counter;
    EXPECT_EQ(stream_->Submit(&work), ACL_SUCCESS);
    EXPECT_EQ(work.order, -1) << "ran while the stream was busy";
  }
  LetGo();
  EXPECT_EQ(stream_->Synchronize(-1), ACL_SUCCESS);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(works[static_cast<size_t>(i)].order, i);
    EXPECT_NE(works[static_cast<size_t>(i)].thread, std::this_thread::get_id());
  }
}

TEST_F(BusyStream, TimesOut) {
  EXPECT_EQ(aclrtSynchronizeStreamWithTimeout(handle_, 5), ACL_ERROR_RT_STREAM_SYNC_TIMEOUT);
  EXPECT_EQ(RecentText(), "aclrtSynchronizeStreamWithTimeout: rule 107020-1: the stream is still busy after 5 ms, expected it to be idle");
  EXPECT_EQ(aclrtSynchronizeStreamWithTimeout(handle_, 0), ACL_ERROR_RT_STREAM_SYNC_TIMEOUT);
  std::thread later([this] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    blocking_.go = true;
  });
  EXPECT_EQ(aclrtSynchronizeStreamWithTimeout(handle_, 60000), ACL_SUCCESS);
  later.join();
}

TEST_F(BusyStream, ReportsTheFirstErrorOnce) {
  blocking_.result = ACL_ERROR_RT_FAILURE;
  std::atomic<int> counter{0};
  Noting work;
  work.counter = &counter;
  EXPECT_EQ(stream_->Submit(&work), ACL_SUCCESS);
  LetGo();
  EXPECT_EQ(aclrtSynchronizeStream(handle_), ACL_ERROR_RT_FAILURE);
  EXPECT_EQ(RecentText(), "aclrtSynchronizeStream: work of the stream failed with 500003");
  EXPECT_EQ(aclrtSynchronizeStream(handle_), ACL_SUCCESS);
  EXPECT_EQ(work.order, 0);
}

// Fails with a text of its own.
struct Failing : Work {
  Failing() {
    run = [](Work*) noexcept -> aclError { return aclnn::Fail(ACL_ERROR_RT_FAILURE, "work: rule 500003-1: %s", "why it failed"); };
  }
};

// The text of work that failed on the stream's own thread is for the thread that synchronises.
TEST_F(BusyStream, ReportsWhyQueuedWorkFailed) {
  Failing first, second;
  EXPECT_EQ(stream_->Submit(&first), ACL_SUCCESS);
  EXPECT_EQ(stream_->Submit(&second), ACL_SUCCESS);
  EXPECT_EQ(RecentText(), "") << "ran while the stream was busy";
  LetGo();
  EXPECT_EQ(aclrtSynchronizeStream(handle_), ACL_ERROR_RT_FAILURE);
  EXPECT_EQ(RecentText(), "aclrtSynchronizeStream: work of the stream failed with 500003: work: rule 500003-1: why it failed");
  EXPECT_EQ(aclrtSynchronizeStream(handle_), ACL_SUCCESS);
  EXPECT_EQ(stream_->Submit(&first), ACL_ERROR_RT_FAILURE) << "inline";
  EXPECT_EQ(RecentText(), "work: rule 500003-1: why it failed") << "for the thread that submitted too";
  EXPECT_EQ(aclrtSynchronizeDevice(), ACL_ERROR_RT_FAILURE);
  EXPECT_EQ(RecentText(), "aclrtSynchronizeDevice: work of a stream failed with 500003: work: rule 500003-1: why it failed");
}

// Streams of contexts are the device's too: what null stands for.
TEST(DeviceOfContexts, IsSynchronised) {
  aclrtContext context = nullptr;
  ASSERT_EQ(aclrtCreateContext(&context, 1), ACL_SUCCESS);
  aclnn::StreamUse use(nullptr);
  ASSERT_NE(use.stream(), nullptr);
  Failing failing;
  EXPECT_EQ(use.stream()->Submit(&failing), ACL_ERROR_RT_FAILURE);
  ASSERT_EQ(aclrtSetDevice(2), ACL_SUCCESS);
  EXPECT_EQ(aclrtSynchronizeDevice(), ACL_SUCCESS) << "that was another device";
  ASSERT_EQ(aclrtSetDevice(1), ACL_SUCCESS);
  EXPECT_EQ(aclrtSynchronizeDevice(), ACL_ERROR_RT_FAILURE) << "of a context that is not current";
  EXPECT_EQ(aclrtSynchronizeDevice(), ACL_SUCCESS);

  Blocking blocking;
  std::thread submitter([&] { use.stream()->Submit(&blocking); });
  while (!blocking.started) std::this_thread::yield();
  std::atomic<int> counter{0};
  Noting work;
  work.counter = &counter;
  EXPECT_EQ(use.stream()->Submit(&work), ACL_SUCCESS);
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    blocking.go = true;
  });
  EXPECT_EQ(aclrtSynchronizeDevice(), ACL_SUCCESS);
  EXPECT_EQ(work.order, 0);
  submitter.join();
  later.join();
}

TEST_F(BusyStream, Phase2IsQueued) {
  OpCall once = MakeCall(Op::kLayerNorm, {3}, {8}, ACL_FLOAT), call = MakeCall(Op::kLayerNorm, {3}, {8}, ACL_FLOAT);
  for (OpCall* each : {&once, &call}) {
    each->tensors.erase("weightOptional");
    TestTensor& x = each->tensors["input"];
    x.Allocate();
    for (size_t i = 0; i < 24; ++i) {
      const float value = static_cast<float>(i * i % 17);
      std::memcpy(x.memory->data() + 4 * i, &value, 4);
    }
  }
  ASSERT_EQ(once.Run(), ACLNN_SUCCESS);
  uint64_t size = 0;
  aclOpExecutor *executor = nullptr, *repeatable = nullptr;
  ASSERT_EQ(call.Phase1(&size, &executor), ACLNN_SUCCESS);
  ASSERT_EQ(call.Phase1(&size, &repeatable), ACLNN_SUCCESS);
  ASSERT_EQ(aclSetAclOpExecutorRepeatable(repeatable), ACLNN_SUCCESS);
  std::vector<std::byte> workspace(size + 1);
  EXPECT_EQ(call.Phase2(workspace.data(), size, executor, handle_), ACLNN_SUCCESS);
  EXPECT_EQ(call.Phase2(workspace.data(), size, executor, handle_), ACLNN_ERR_PARAM_INVALID) << "consumed by being submitted";
  EXPECT_EQ(call.Phase2(workspace.data(), size, repeatable, handle_), ACLNN_SUCCESS);
  RecentText();
  for (const aclnnStatus status : {call.Phase2(workspace.data(), size, repeatable, nullptr), aclDestroyAclOpExecutor(repeatable),
                                   aclSetAclOpExecutorRepeatable(repeatable),
                                   aclSetInputTensorAddr(repeatable, 0, call.Handle("input"), call.tensors["input"].memory->data())}) {
    EXPECT_EQ(status, ACLNN_ERR_RUNTIME_ERROR);
  }
  EXPECT_NE(RecentText().find("rule 361001-1: argument 'executor' is running, expected an idle one"), std::string::npos);
  EXPECT_FALSE(*call.tensors["out"].memory == *once.tensors["out"].memory) << "ran while the stream was busy";
  LetGo();
  EXPECT_EQ(aclrtSynchronizeStream(handle_), ACL_SUCCESS);
  EXPECT_TRUE(*call.tensors["out"].memory == *once.tensors["out"].memory);
  EXPECT_EQ(aclDestroyAclOpExecutor(repeatable), ACLNN_SUCCESS);
}

// Destroying a stream waits for its work.
TEST_F(BusyStream, DestroyWaits) {
  std::atomic<int> counter{0};
  Noting work;
  work.counter = &counter;
  EXPECT_EQ(stream_->Submit(&work), ACL_SUCCESS);
  aclnn::UnpinHandle(handle_);
  stream_ = nullptr;
  std::thread later([this] {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    blocking_.go = true;
  });
  aclrtStream other = nullptr;
  ASSERT_EQ(aclrtCreateStream(&other), ACL_SUCCESS);
  later.join();
  submitter_.join();  // it holds no pin
  EXPECT_EQ(aclrtDestroyStream(handle_), ACL_SUCCESS);
  EXPECT_EQ(work.order, 0);
  handle_ = other;
}

}  // namespace
}  // namespace addnorm::aclnn_test
