// SPDX-License-Identifier: Apache-2.0
// Phase 2 and the life of executors: what is refused, what is consumed, repeatable executors, new addresses, and what a small call costs
// in allocations and threads.
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <limits>
#include <thread>

#include "doors/aclnn/tests/calls.h"
#include "doors/aclnn/tests/dense.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ADDNORM_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define ADDNORM_SANITIZED 1
#endif
#endif

namespace {
std::atomic<int> allocations{0};
std::atomic<bool> counting{false};
}  // namespace

#ifndef ADDNORM_SANITIZED  // a sanitizer has an allocator of its own
// In front of libc's: every allocation of the process goes through here.
extern "C" void* __libc_malloc(size_t size);
extern "C" __attribute__((visibility("default"))) void* malloc(size_t size) {
  if (counting.load(std::memory_order_relaxed)) allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_malloc(size);
}
#endif

namespace addnorm::aclnn_test {
namespace {

class Executors : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
    RecentText();
  }
  void Refused(aclnnStatus got, aclnnStatus want, const std::string& part) {
    EXPECT_EQ(got, want);
    const std::string text = RecentText();
    EXPECT_NE(text.find(part), std::string::npos) << "'" << part << "' in: " << text;
  }
};

OpCall BackwardCall() {
  OpCall call = MakeCall(Op::kLayerNormBackward, {6}, {64}, ACL_FLOAT);
  float next = 0.25f;
  for (const char* name : {"gradOut", "input", "mean", "rstd", "weightOptional"}) {
    TestTensor& t = call.tensors[name];
    t.Allocate();
    for (int64_t i = 0; i < Product(t.shape); ++i, next = next * 1.7f - static_cast<float>(static_cast<int>(next * 1.7f)) + 0.1f) {
      std::memcpy(t.memory->data() + i * 4, &next, 4);
    }
  }
  return call;
}

std::vector<std::byte> Result(OpCall& call) {
  std::vector<std::byte> all;
  for (const char* name : {"gradInputOut", "gradWeightOut", "gradBiasOut"}) {
    const auto& memory = *call.tensors[name].memory;
    all.insert(all.end(), memory.begin(), memory.end());
  }
  return all;
}

// Every refusal of phase 2: its text, and what it does to the executor. As on a device, phase 2 takes the executor whatever it returns;
// only one that is not this call's (dead, of another operator, running) and a repeatable one are left.
TEST_F(Executors, RefusalsOfPhase2) {
  OpCall call = BackwardCall();
  call.tensors["input"].Strided({1, 6});  // needs a copy: the workspace is used
  ASSERT_EQ(call.Run(), ACLNN_SUCCESS);
  const auto want = Result(call);
  OpCall late = call;
  late.tensors["mean"].no_data = true;
  aclrtStream destroyed = nullptr;
  ASSERT_EQ(aclrtCreateStream(&destroyed), ACL_SUCCESS);
  ASSERT_EQ(aclrtDestroyStream(destroyed), ACL_SUCCESS);
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  std::vector<std::byte> workspace;
  const auto begin = [&](OpCall& c, bool repeatable) {
    ASSERT_EQ(c.Phase1(&size, &executor), ACLNN_SUCCESS) << RecentText();
    ASSERT_GE(size, 6u * 64 * 4);
    workspace.resize(size);
    if (repeatable) aclSetAclOpExecutorRepeatable(executor);
  };
  const auto run = [&](void* w, uint64_t s, aclrtStream stream) { return call.Phase2(w, s, executor, stream); };
  const std::function<void()> refusals[] = {
      [&] {
        Refused(run(nullptr, size, nullptr), 161001,
                "rule 161001-10: argument 'workspace' is null, expected " + std::to_string(size) + " bytes");
      },
      [&] { Refused(run(nullptr, 0, nullptr), 161001, "rule 161001-10"); },
      [&] {
        Refused(run(workspace.data(), size - 1, nullptr), 161002,
                "rule 161002-30: argument 'workspaceSize' is " + std::to_string(size - 1) + ", expected at least " + std::to_string(size));
      },
      [&] {
        Refused(run(call.tensors["input"].memory->data(), size, nullptr), 161002,
                "rule 161002-31: argument 'workspace' is part of the memory of 'input'");
      },
      [&] {
        Refused(run(workspace.data(), size, destroyed), 161002, "rule 161002-20: argument 'stream' is a destroyed or foreign handle");
      },
      [&] { Refused(run(workspace.data(), size, executor), 161002, "rule 161002-20: argument 'stream' is a live aclOpExecutor"); },
      [&] {
        std::thread([&] { Refused(run(workspace.data(), size, nullptr), 361001, "rule 361001-2: argument 'stream' is null"); }).join();
      },
  };
  for (const auto& refusal : refusals) {
    begin(call, false);
    refusal();
    Refused(run(workspace.data(), size, nullptr), 161002, "rule 161002-20: argument 'executor' is a destroyed or foreign handle");
    Refused(aclDestroyAclOpExecutor(executor), 161002, "argument 'executor' is a destroyed or foreign handle");
    Refused(aclSetAclOpExecutorRepeatable(executor), 161002, "argument 'executor' is a destroyed or foreign handle");
  }
  begin(late, false);
  Refused(run(workspace.data(), size, nullptr), 161001, "rule 161001-11: argument 'mean' address is null");
  Refused(aclDestroyAclOpExecutor(executor), 161002, "argument 'executor' is a destroyed or foreign handle");

  begin(call, true);
  for (const auto& refusal : refusals) refusal();
  for (const char* name : {"gradInputOut", "gradWeightOut"}) std::memset(call.tensors[name].memory->data(), 1, 16);
  EXPECT_EQ(run(workspace.data(), size, nullptr), ACLNN_SUCCESS) << RecentText();
  EXPECT_TRUE(Result(call) == want);
  EXPECT_EQ(aclDestroyAclOpExecutor(executor), ACLNN_SUCCESS);

  begin(call, false);
  Refused(call.Phase2(workspace.data(), size, nullptr, nullptr), 161001,
          "aclnnLayerNormBackward: rule 161001-9: argument 'executor' is null");
  Refused(
      aclnnAddLayerNormGrad(workspace.data(), size, executor, nullptr), 161002,
      "aclnnAddLayerNormGrad: rule 161002-32: argument 'executor' is one of aclnnLayerNormBackward, expected one of aclnnAddLayerNormGrad");
  EXPECT_EQ(run(workspace.data(), size, nullptr), ACLNN_SUCCESS) << "it was not the other operator's to take";
  Refused(run(workspace.data(), size, nullptr), 161002, "rule 161002-20: argument 'executor' is a destroyed or foreign handle");
}

TEST_F(Executors, NullsOfTheLifeCycle) {
  Refused(aclSetAclOpExecutorRepeatable(nullptr), 561103, "aclSetAclOpExecutorRepeatable: rule 561103-1: argument 'executor' is null");
  Refused(aclDestroyAclOpExecutor(nullptr), 561103, "aclDestroyAclOpExecutor: rule 561103-1: argument 'executor' is null");
}

TEST_F(Executors, TensorsMayGoBeforePhase2) {
  OpCall call = BackwardCall();
  ASSERT_EQ(call.Run(), ACLNN_SUCCESS);
  const auto want = Result(call);
  for (const char* name : {"gradInputOut", "gradWeightOut", "gradBiasOut"}) std::memset(call.tensors[name].memory->data(), 0, 8);
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  ASSERT_EQ(call.Phase1(&size, &executor), ACLNN_SUCCESS);
  for (auto& [name, tensor] : call.tensors) tensor.Drop();
  std::vector<std::byte> workspace(size);
  EXPECT_EQ(call.Phase2(workspace.data(), size, executor, nullptr), ACLNN_SUCCESS);
  EXPECT_TRUE(Result(call) == want);
}

TEST_F(Executors, Repeatable) {
  for (const Dims& strides : {Dims{64, 1}, Dims{1, 6}}) {  // without and with copies
    OpCall call = BackwardCall();
    call.tensors["gradOut"].Strided(strides);
    call.tensors["gradInputOut"].Strided(strides);
    ASSERT_EQ(call.Run(), ACLNN_SUCCESS);
    const auto want = Result(call);
    uint64_t size = 0;
    aclOpExecutor* executor = nullptr;
    ASSERT_EQ(call.Phase1(&size, &executor), ACLNN_SUCCESS);
    ASSERT_EQ(aclSetAclOpExecutorRepeatable(executor), ACLNN_SUCCESS);
    for (size_t run = 0; run < 3; ++run) {
      for (const char* name : {"gradInputOut", "gradWeightOut"}) std::memset(call.tensors[name].memory->data(), 1, 16);
      std::vector<std::byte> workspace(size + run * 8);  // another address each time
      ASSERT_EQ(call.Phase2(workspace.data() + run, size, executor, nullptr), ACLNN_SUCCESS) << RecentText();
      EXPECT_TRUE(Result(call) == want);
    }
    EXPECT_EQ(aclDestroyAclOpExecutor(executor), ACLNN_SUCCESS);
    Refused(aclDestroyAclOpExecutor(executor), 161002, "argument 'executor' is a destroyed or foreign handle");
  }
}

TEST_F(Executors, NewAddresses) {
  OpCall call = BackwardCall(), other = BackwardCall();
  for (std::byte& b : *other.tensors["gradOut"].memory) b ^= std::byte{1};
  ASSERT_EQ(other.Run(), ACLNN_SUCCESS);
  const auto want = Result(other);
  std::memset(other.tensors["gradInputOut"].memory->data(), 0, 64);
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  ASSERT_EQ(call.Phase1(&size, &executor), ACLNN_SUCCESS);
  ASSERT_EQ(aclSetAclOpExecutorRepeatable(executor), ACLNN_SUCCESS);
  const auto set = [&](size_t index, const char* name) {
    return aclSetTensorAddr(executor, index, call.tensors[name].Handle(), other.tensors[name].memory->data());
  };
  const char* order[] = {"gradOut",      "input",        "mean",          "rstd",       "weightOptional",
                         "biasOptional", "gradInputOut", "gradWeightOut", "gradBiasOut"};
  for (size_t i = 0; i < 6; ++i) EXPECT_EQ(set(i, order[i]), ACLNN_SUCCESS) << RecentText();
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(aclSetOutputTensorAddr(executor, i, call.tensors[order[6 + i]].Handle(), other.tensors[order[6 + i]].memory->data()),
              ACLNN_SUCCESS);
  }
  std::vector<std::byte> workspace(size);
  ASSERT_EQ(call.Phase2(workspace.data(), size, executor, nullptr), ACLNN_SUCCESS) << RecentText();
  EXPECT_TRUE(Result(other) == want);
  void* address = nullptr;
  EXPECT_EQ(aclGetRawTensorAddr(call.tensors["gradOut"].Handle(), &address), ACLNN_SUCCESS);
  EXPECT_EQ(address, other.tensors["gradOut"].memory->data()) << "the tensor has the new address too";

  Refused(set(9, "input"), 161002, "aclSetTensorAddr: rule 161002-1: argument 'index' is 9, expected less than 9");
  Refused(set(0, "mean"), 161002,
          "rule 161002-2: argument 'tensor' is another view, expected the type, shape, strides and offset of 'gradOut'");
  Refused(aclSetInputTensorAddr(executor, 0, nullptr, workspace.data()), 161001, "argument 'tensor' is null");
  Refused(aclSetInputTensorAddr(executor, 0, call.tensors["gradOut"].Handle(), nullptr), 161001, "argument 'addr' is null");
  Refused(aclSetInputTensorAddr(nullptr, 0, call.tensors["gradOut"].Handle(), workspace.data()), 161001, "argument 'executor' is null");
  // A storage that the view does not fit in: the description counts, whatever the address is.
  const int64_t few = 6 * 64 - 1, many = 6 * 64, shape[] = {6, 64};
  for (const int64_t storage : {few, many}) {
    aclTensor* tensor = aclCreateTensor(shape, 2, ACL_FLOAT, nullptr, 0, ACL_FORMAT_ND, &storage, 1, nullptr);
    const aclnnStatus status = aclSetTensorAddr(executor, 0, tensor, other.tensors["gradOut"].memory->data());
    if (storage == few) {
      Refused(status, 161002,
              "aclSetTensorAddr: rule 161002-23: argument 'tensor' storage is 383 elements, expected at least 384, what 'gradOut' reaches");
      EXPECT_EQ(aclGetRawTensorAddr(tensor, &address), ACLNN_SUCCESS);
      EXPECT_EQ(address, nullptr) << "a refusal changes nothing";
    } else {
      EXPECT_EQ(status, ACLNN_SUCCESS) << RecentText();
    }
    EXPECT_EQ(aclDestroyTensor(tensor), ACLNN_SUCCESS);
  }
  // On top of an input of another shape: refused when it comes to run, and harmless before.
  ASSERT_EQ(aclSetOutputTensorAddr(executor, 1, call.tensors["gradWeightOut"].Handle(), other.tensors["input"].memory->data()),
            ACLNN_SUCCESS);
  Refused(call.Phase2(workspace.data(), size, executor, nullptr), 161002,
          "rule 161002-25: argument 'gradWeightOut' memory is shared with 'input'");
  ASSERT_EQ(aclSetOutputTensorAddr(executor, 1, call.tensors["gradWeightOut"].Handle(), other.tensors["weightOptional"].memory->data()),
            ACLNN_SUCCESS);
  Refused(call.Phase2(workspace.data(), size, executor, nullptr), 161002, "rule 161002-33: argument 'gradWeightOut' address is 0x");
  ASSERT_EQ(aclSetOutputTensorAddr(executor, 1, call.tensors["gradWeightOut"].Handle(), other.tensors["gradWeightOut"].memory->data()),
            ACLNN_SUCCESS);
  EXPECT_EQ(call.Phase2(workspace.data(), size, executor, nullptr), ACLNN_SUCCESS) << RecentText();
  EXPECT_TRUE(Result(other) == want);
  EXPECT_EQ(aclDestroyAclOpExecutor(executor), ACLNN_SUCCESS);
}

TEST_F(Executors, AddressesGivenLate) {
  OpCall call = BackwardCall();
  ASSERT_EQ(call.Run(), ACLNN_SUCCESS);
  const auto want = Result(call);
  OpCall late = call;
  late.tensors["input"].no_data = late.tensors["gradInputOut"].no_data = true;
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  ASSERT_EQ(late.Phase1(&size, &executor), ACLNN_SUCCESS) << RecentText();
  ASSERT_EQ(aclSetAclOpExecutorRepeatable(executor), ACLNN_SUCCESS);
  std::vector<std::byte> workspace(size);
  Refused(call.Phase2(workspace.data(), size, executor, nullptr), 161001, "rule 161001-11: argument 'input' address is null");
  ASSERT_EQ(aclSetInputTensorAddr(executor, 1, late.tensors["input"].Handle(), call.tensors["input"].memory->data()), ACLNN_SUCCESS);
  Refused(call.Phase2(workspace.data(), size, executor, nullptr), 161001, "rule 161001-11: argument 'gradInputOut' address is null");
  auto& out = *call.tensors["gradInputOut"].memory;
  std::fill(out.begin(), out.end(), std::byte{0});
  ASSERT_EQ(aclSetOutputTensorAddr(executor, 0, late.tensors["gradInputOut"].Handle(), out.data()), ACLNN_SUCCESS);
  ASSERT_EQ(call.Phase2(workspace.data(), size, executor, nullptr), ACLNN_SUCCESS) << RecentText();
  EXPECT_TRUE(Result(call) == want);
  ASSERT_EQ(aclDestroyAclOpExecutor(executor), ACLNN_SUCCESS);
}

// Inputs at even and outputs at odd places of one buffer, in steps of 6 and of 4: no byte is shared, so it is a valid call,
// and the values are those of operands with memory of their own.
TEST_F(Executors, InterleavedOperands) {
  constexpr int64_t kRows = 3000, kCols = 96;
  OpCall apart = MakeCall(Op::kAddRmsNorm, {kRows}, {kCols}, ACL_FLOAT);
  for (const char* name : {"x1", "x2", "gamma"}) {
    TestTensor& t = apart.tensors[name];
    t.Allocate();
    for (int64_t i = 0; i < Product(t.shape); ++i) {
      const float value = static_cast<float>((i * 37 + 5) % 101) / 16 - 3;
      std::memcpy(t.memory->data() + i * 4, &value, 4);
    }
  }
  ASSERT_EQ(apart.Run(), ACLNN_SUCCESS);
  OpCall call = apart;
  const auto buffer = std::make_shared<std::vector<std::byte>>(kRows * kCols * 6 * 4);
  const char* names[] = {"x1", "x2", "yOut", "xOut"};
  for (const bool transposed : {false, true}) {
    for (int64_t k = 0; k < 4; ++k) {
      TestTensor& t = call.tensors[names[k]];
      t.Drop();
      t.memory = buffer;
      t.storage = {kRows * kCols * 6};
      const int64_t step = k < 2 ? 6 : 4;
      t.strides = transposed ? Dims{step, kRows * step} : Dims{kCols * step, step};
      t.offset = k == 1 ? 2 : k == 2 ? 1 : k;
      for (int64_t i = 0; i < kRows * kCols; ++i) {
        const int64_t at = t.offset + i / kCols * t.strides[0] + i % kCols * t.strides[1];
        if (k < 2) std::memcpy(buffer->data() + at * 4, apart.tensors[names[k]].memory->data() + i * 4, 4);
      }
    }
    ASSERT_EQ(call.Run(), ACLNN_SUCCESS) << RecentText();
    for (const char* name : names) EXPECT_EQ(*Dense(call.tensors[name], {kRows, kCols}).memory, *apart.tensors[name].memory) << name;
  }
}

// What phase 2 neither reads nor writes needs no address: nothing is computed, or there are no rows to read a weight for.
TEST_F(Executors, AddressesThatNothingNeeds) {
  const auto expect_success = [](OpCall call, const char* what) {
    EXPECT_EQ(call.Run(), ACLNN_SUCCESS) << InfoOf(call.op).api << ", " << what << ": " << RecentText();
  };
  OpCall masked = MakeCall(Op::kLayerNormBackward, {6}, {64}, ACL_FLOAT);
  masked.mask = {false, false, false};
  for (auto& [name, tensor] : masked.tensors) tensor.no_data = true;
  expect_success(masked, "no output wanted");
  for (const Op op : kAllOps) {
    OpCall no_cols = MakeCall(op, {6}, {0}, ACL_FLOAT16), no_rows = MakeCall(op, {0}, {64}, ACL_FLOAT16);
    for (const char* name : InfoOf(op).inputs) no_cols.tensors[name].no_data = true;
    expect_success(no_cols, "no columns");
    for (const char* name : InfoOf(op).inputs) {
      TestTensor& t = no_rows.tensors[name];
      t.no_data = true;
      if (t.shape.size() == 1) t.Strided({2});  // one that would need a copy
    }
    expect_success(no_rows, "no rows");
  }
  // The gradients of no rows are zeros all the same, and their memory is needed.
  OpCall call = MakeCall(Op::kLayerNormBackward, {0}, {64}, ACL_FLOAT);
  call.tensors["weightOptional"].no_data = true;
  for (const char* name : {"gradWeightOut", "gradBiasOut"}) {
    call.tensors[name].Allocate();
    std::fill(call.tensors[name].memory->begin(), call.tensors[name].memory->end(), std::byte{1});
  }
  expect_success(call, "weight without memory");
  for (const char* name : {"gradWeightOut", "gradBiasOut"}) {
    EXPECT_EQ(*call.tensors[name].memory, std::vector<std::byte>(64 * 4)) << name;
  }
  call.tensors["gradWeightOut"].Drop();
  call.tensors["gradWeightOut"].no_data = true;
  Refused(call.Run(), 161001, "rule 161001-11: argument 'gradWeightOut' address is null");
}

size_t CountThreads() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) ++count;
  return count;
}

// On an idle stream a small phase 2 allocates nothing and starts no thread, copies included.
TEST_F(Executors, SmallPhase2IsFree) {
#ifdef ADDNORM_SANITIZED
  GTEST_SKIP() << "the sanitizers' allocator is in the way of counting";
#endif
  counting = true;
  const int probe = allocations;
  {
    TestTensor tensor(ACL_FLOAT, {1});
    tensor.Handle();
  }
  counting = false;
  ASSERT_GE(allocations.load(), probe + 3) << "allocations of the library are not counted";
  for (const Op op : kAllOps) {
    SCOPED_TRACE(InfoOf(op).api);
    for (const bool copies : {false, true}) {
      OpCall call = MakeCall(op, {4}, {64}, ACL_FLOAT16);
      if (copies) call.tensors[InfoOf(op).inputs[0]].Strided({1, 4}), call.tensors[InfoOf(op).outputs[0]].Strided({1, 4});
      uint64_t size = 0;
      aclOpExecutor* executor = nullptr;
      ASSERT_EQ(call.Phase1(&size, &executor), ACLNN_SUCCESS) << RecentText();
      std::vector<std::byte> workspace(size);
      const size_t threads = CountThreads();
      const int before = allocations;
      counting = true;
      const aclnnStatus status = call.Phase2(workspace.data(), size, executor, nullptr);
      counting = false;
      EXPECT_EQ(status, ACLNN_SUCCESS);
      EXPECT_EQ(allocations.load(), before);
      EXPECT_EQ(CountThreads(), threads);
    }
  }
}

struct Shape {
  Dims leading, normalized;
};

// What is written when there is nothing to normalise, in calls whose shapes do not fit together and are not asked to.
TEST_F(Executors, EmptyProblemsOfOddShapes) {
  const auto fill = [](OpCall* call) {
    for (const char* name : InfoOf(call->op).outputs) {
      call->tensors[name].Allocate();
      std::fill(call->tensors[name].memory->begin(), call->tensors[name].memory->end(), std::byte{0x11});
    }
  };
  const auto count = [](OpCall& call, const char* name, float value) {
    const auto& memory = *call.tensors[name].memory;
    size_t found = 0;
    for (size_t at = 0; at < memory.size(); at += 4) {
      float got;
      std::memcpy(&got, memory.data() + at, 4);
      found += got == value || (std::isnan(got) && std::isnan(value));
    }
    return found;
  };
  float untouched;
  std::memset(&untouched, 0x11, 4);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  OpCall call = MakeCall(Op::kAddRmsNorm, {6}, {8}, ACL_FLOAT);  // gamma alone is empty
  call.tensors["gamma"].shape = call.tensors["gamma"].strides = {0};
  call.tensors["rstdOut"] = TestTensor(ACL_FLOAT, {2, 5});
  fill(&call);
  EXPECT_EQ(call.Run(), ACLNN_SUCCESS) << RecentText();
  EXPECT_EQ(count(call, "rstdOut", nan), 10u);
  EXPECT_EQ(count(call, "yOut", untouched), 48u);
  EXPECT_EQ(count(call, "xOut", untouched), 48u);
  call = MakeCall(Op::kAddRmsNorm, {6}, {0}, ACL_FLOAT);  // x1 alone is empty
  call.tensors["gamma"] = TestTensor(ACL_FLOAT, {3, 3, 3});
  call.tensors["rstdOut"] = TestTensor(ACL_FLOAT, {2, 5});
  fill(&call);
  EXPECT_EQ(call.Run(), ACLNN_SUCCESS) << RecentText();
  EXPECT_EQ(count(call, "rstdOut", untouched), 10u);
  call = MakeCall(Op::kLayerNorm, {0, 3}, {8}, ACL_FLOAT);
  call.tensors["out"] = TestTensor(ACL_FLOAT, {3, 8});
  fill(&call);
  EXPECT_EQ(call.Run(), ACLNN_SUCCESS) << RecentText();
  EXPECT_EQ(count(call, "out", untouched), 24u);
}

TEST_F(Executors, EmptyProblemsNeedNoWorkspace) {
  for (const Op op : kAllOps) {
    for (const Shape& s : {Shape{{0, 3}, {8}}, Shape{{3}, {0}}}) {
      OpCall call = MakeCall(op, s.leading, s.normalized, ACL_BF16);
      uint64_t size = 7;
      aclOpExecutor* executor = nullptr;
      ASSERT_EQ(call.Phase1(&size, &executor), ACLNN_SUCCESS) << InfoOf(op).api << RecentText();
      EXPECT_LT(size, 100000u) << InfoOf(op).api;
      std::vector<std::byte> workspace(size);
      EXPECT_EQ(call.Phase2(size == 0 ? nullptr : workspace.data(), size, executor, nullptr), ACLNN_SUCCESS) << RecentText();
    }
  }
}

}  // namespace
}  // namespace addnorm::aclnn_test
