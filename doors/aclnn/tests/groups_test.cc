// SPDX-License-Identifier: Apache-2.0
// Groups of ranks and what can go wrong between them: handles, names, ranks that never come, leave or disagree, queues and executors.
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <thread>

#include "aclnnop/aclnn_trans_quant_param.h"
#include "doors/aclnn/tests/parallel_calls.h"

namespace addnorm::aclnn_test {
namespace {

using Clock = std::chrono::steady_clock;

// ADDNORM_TIMEOUT while this lives.
class Timeout {
 public:
  explicit Timeout(const char* seconds) { setenv("ADDNORM_TIMEOUT", seconds, 1); }
  ~Timeout() { unsetenv("ADDNORM_TIMEOUT"); }
};

class Groups : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
    RecentText();
  }
  static void Refused(int got, int want, const std::string& part) {
    EXPECT_EQ(got, want);
    const std::string text = RecentText();
    EXPECT_NE(text.find(part), std::string::npos) << "'" << part << "' in: " << text;
  }
  static ParallelCall Call(const RankGroup& group, int rank, ParallelOp op = ParallelOp::kPlain, uint64_t seed = 5) {
    ParallelCall call = MakeParallelCall(op, {}, ACL_FLOAT16, group.name);
    for (auto& [name, tensor] : call.tensors) tensor.Allocate();
    FillInputs(&call, seed, rank);
    return call;
  }
  static std::vector<std::byte> Outputs(ParallelCall& call) {
    std::vector<std::byte> bytes = *call[call.y_name()].memory;
    bytes.insert(bytes.end(), call["normOut"].memory->begin(), call["normOut"].memory->end());
    return bytes;
  }
};

TEST_F(Groups, ArgumentsOfInitAll) {
  int32_t devices[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  HcclComm comms[16] = {};
  Refused(HcclCommInitAll(2, nullptr, comms), HCCL_E_PTR, "HcclCommInitAll: rule 2-1: argument 'devices' is null");
  Refused(HcclCommInitAll(2, devices, nullptr), HCCL_E_PTR, "rule 2-1: argument 'comms' is null, expected a pointer");
  Refused(HcclCommInitAll(0, devices, comms), HCCL_E_PARA, "rule 1-1: argument 'ndev' is 0, expected 1 to 8, the number of devices");
  Refused(HcclCommInitAll(9, devices, comms), HCCL_E_PARA, "rule 1-1: argument 'ndev' is 9");
  Refused(HcclCommInitAll(UINT32_MAX, devices, comms), HCCL_E_PARA, "rule 1-1: argument 'ndev' is 4294967295");
  devices[1] = 8;
  Refused(HcclCommInitAll(2, devices, comms), HCCL_E_PARA, "rule 1-2: argument 'devices[1]' is 8, expected 0 to 7");
  devices[1] = -1;
  Refused(HcclCommInitAll(2, devices, comms), HCCL_E_PARA, "rule 1-2: argument 'devices[1]' is -1");
  devices[1] = 0;
  Refused(HcclCommInitAll(2, devices, comms), HCCL_E_PARA,
          "rule 1-3: argument 'devices[1]' is 0, as is devices[0], expected each device once");
  devices[1] = 7;
  for (const char* bad : {"soon", "", "0", "-3", "nan", "5s"}) {
    const Timeout timeout(bad);
    Refused(HcclCommInitAll(2, devices, comms), HCCL_E_PARA,
            std::string("rule 1-4: the environment variable ADDNORM_TIMEOUT is '") + bad + "', expected seconds > 0");
  }
  EXPECT_EQ(comms[0], nullptr);
  EXPECT_EQ(comms[1], nullptr);
  ASSERT_EQ(HcclCommInitAll(2, devices, comms), HCCL_SUCCESS);
  for (uint32_t i = 0; i < 2; ++i) {
    uint32_t size = 0, rank = 9;
    EXPECT_EQ(HcclGetRankSize(comms[i], &size), HCCL_SUCCESS);
    EXPECT_EQ(HcclGetRankId(comms[i], &rank), HCCL_SUCCESS);
    EXPECT_EQ(size, 2u);
    EXPECT_EQ(rank, i);
    EXPECT_EQ(HcclCommDestroy(comms[i]), HCCL_SUCCESS);
  }
}

TEST_F(Groups, HandlesAndNames) {
  RankGroup one(2), two(2);
  EXPECT_NE(one.name, two.name);
  char name[COMM_NAME_MAX_LENGTH], other[COMM_NAME_MAX_LENGTH] = "untouched";
  uint32_t number = 77;
  ASSERT_EQ(HcclGetCommName(one.comms[0], name), HCCL_SUCCESS);
  EXPECT_EQ(name, one.name) << "all ranks of a group say the same";
  Refused(HcclGetCommName(nullptr, name), HCCL_E_PTR, "HcclGetCommName: rule 2-1: argument 'comm' is null");
  Refused(HcclGetCommName(one.comms[0], nullptr), HCCL_E_PTR, "rule 2-1: argument 'commName' is null");
  Refused(HcclGetRankSize(one.comms[0], nullptr), HCCL_E_PTR, "HcclGetRankSize: rule 2-1: argument 'rankSize' is null");
  Refused(HcclGetRankId(one.comms[0], nullptr), HCCL_E_PTR, "HcclGetRankId: rule 2-1: argument 'rank' is null");
  Refused(HcclCommDestroy(nullptr), HCCL_E_PTR, "HcclCommDestroy: rule 2-1: argument 'comm' is null");
  TestTensor tensor(ACL_FLOAT, {2});
  EXPECT_EQ(HcclCommDestroy(one.comms[0]), HCCL_SUCCESS);
  double on_stack = 0;
  const std::pair<void*, const char*> bad[] = {{one.comms[0], "a destroyed or foreign handle"},
                                               {tensor.Handle(), "a live aclTensor"},
                                               {&on_stack, "a destroyed or foreign handle"},
                                               {reinterpret_cast<void*>(UINTPTR_MAX), "a destroyed or foreign handle"}};
  for (const auto& [handle, what] : bad) {
    const std::string text = std::string(": rule 1-5: argument 'comm' is ") + what + ", expected a live HcclComm";
    Refused(HcclGetCommName(handle, other), HCCL_E_PARA, "HcclGetCommName" + text);
    Refused(HcclGetRankSize(handle, &number), HCCL_E_PARA, "HcclGetRankSize" + text);
    Refused(HcclGetRankId(handle, &number), HCCL_E_PARA, "HcclGetRankId" + text);
    Refused(HcclCommDestroy(handle), HCCL_E_PARA, "HcclCommDestroy" + text);
  }
  EXPECT_STREQ(other, "untouched");
  EXPECT_EQ(number, 77u);
  // A comm is no other kind of object.
  EXPECT_EQ(aclDestroyTensor(static_cast<aclTensor*>(two.comms[0])), ACLNN_ERR_PARAM_INVALID);
  EXPECT_EQ(aclrtDestroyStream(two.comms[0]), ACL_ERROR_INVALID_PARAM);
  EXPECT_EQ(aclrtSetCurrentContext(two.comms[0]), ACL_ERROR_INVALID_PARAM);
  // The rank on device 0 has gone, the name still means the group, and then nothing.
  ParallelCall call = Call(one, 0);
  Refused(call.Run(), 561002, "rule 561002-15: argument 'group' is '" + one.name + "', which has no live rank on device 0");
  EXPECT_EQ(HcclCommDestroy(one.comms[1]), HCCL_SUCCESS);
  Refused(call.Run(), 561002, "rule 561002-14: argument 'group' is '" + one.name + "', expected the name of a live group");
  one.comms = {nullptr, nullptr};
}

// One thread makes both phases of all ranks: phase 1 waits for nobody, phase 2 for no other phase 2.
TEST_F(Groups, OneThreadForAllRanks) {
  const RankGroup group(8);
  std::vector<ParallelCall> calls;
  std::vector<aclOpExecutor*> executors(8);
  uint64_t size = 1;
  for (int rank = 0; rank < 8; ++rank) {
    calls.push_back(Call(group, rank));
    ASSERT_EQ(aclrtSetDevice(rank), ACL_SUCCESS);
    ASSERT_EQ(calls.back().Phase1(&size, &executors[static_cast<size_t>(rank)]), ACLNN_SUCCESS) << RecentText();
    EXPECT_EQ(size, 0u);
  }
  for (int rank = 7; rank >= 0; --rank) {
    ASSERT_EQ(aclrtSetDevice(rank), ACL_SUCCESS);
    ASSERT_EQ(calls[static_cast<size_t>(rank)].Phase2(nullptr, 0, executors[static_cast<size_t>(rank)], nullptr), ACLNN_SUCCESS);
  }
  for (int rank = 0; rank < 8; ++rank) {
    ASSERT_EQ(aclrtSetDevice(rank), ACL_SUCCESS);
    EXPECT_EQ(aclrtSynchronizeDevice(), ACL_SUCCESS) << RecentText();
    EXPECT_TRUE(Outputs(calls[static_cast<size_t>(rank)]) == Outputs(calls[0]));
  }
}

// Phase 2 runs whatever the workspace, and refuses a stream of another device.
TEST_F(Groups, WorkspaceAndStream) {
  const RankGroup group(1);
  ParallelCall expected = Call(group, 0);
  ASSERT_EQ(expected.Run(), ACLNN_SUCCESS);
  std::byte memory[64];
  const std::pair<void*, uint64_t> workspaces[] = {{nullptr, 0}, {nullptr, 1 << 24}, {memory, 0}, {memory, 64}, {memory, UINT64_MAX}};
  for (const auto& [workspace, size] : workspaces) {
    ParallelCall call = Call(group, 0);
    uint64_t asked = 1;
    aclOpExecutor* executor = nullptr;
    ASSERT_EQ(call.Phase1(&asked, &executor), ACLNN_SUCCESS);
    EXPECT_EQ(asked, 0u);
    ASSERT_EQ(call.Phase2(workspace, size, executor, nullptr), ACLNN_SUCCESS) << RecentText();
    ASSERT_EQ(aclrtSynchronizeStream(nullptr), ACL_SUCCESS);
    EXPECT_TRUE(Outputs(call) == Outputs(expected));
  }
  ParallelCall call = Call(group, 0);
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  ASSERT_EQ(call.Phase1(&size, &executor), ACLNN_SUCCESS);
  aclrtStream stream = nullptr;
  ASSERT_EQ(aclrtSetDevice(3), ACL_SUCCESS);
  ASSERT_EQ(aclrtCreateStream(&stream), ACL_SUCCESS);
  const std::string text = "rule 161002-34: argument 'stream' is one of device 3, expected one of device 0, the rank's";
  Refused(call.Phase2(nullptr, 0, executor, stream), ACLNN_ERR_PARAM_INVALID, text);
  Refused(call.Phase2(nullptr, 0, executor, stream), ACLNN_ERR_PARAM_INVALID, "rule 161002-20");
  EXPECT_EQ(aclrtDestroyStream(stream), ACL_SUCCESS);
}

// A rank that never comes: the others end at the deadline, by their streams' status, with untouched outputs and its number.
TEST_F(Groups, ARankNeverComes) {
  const Timeout timeout("0.3");
  const RankGroup group(4);
  group.OnRanks([&](int rank) {
    if (rank == 2) return;
    ParallelCall call = Call(group, rank);
    const auto before = Outputs(call);
    uint64_t size = 0;
    aclOpExecutor* executor = nullptr;
    ASSERT_EQ(call.Phase1(&size, &executor), ACLNN_SUCCESS);
    const auto start = Clock::now();
    ASSERT_EQ(call.Phase2(nullptr, 0, executor, nullptr), ACLNN_SUCCESS);
    EXPECT_EQ(aclrtSynchronizeStreamWithTimeout(nullptr, 10), ACL_ERROR_RT_STREAM_SYNC_TIMEOUT) << "the work goes on";
    RecentText();
    EXPECT_EQ(aclrtSynchronizeStreamWithTimeout(nullptr, 10000), ACLNN_ERR_RUNTIME_ERROR);
    const std::string text = RecentText();
    EXPECT_NE(text.find("aclrtSynchronizeStreamWithTimeout: work of the stream failed with 361001: aclnnMatmulAllReduceAddRmsNorm: "
                        "rule 361001-4: threads, rank " +
                        std::to_string(rank) + " of 4: "),
              std::string::npos)
        << text;
    EXPECT_NE(text.find("rank 2"), std::string::npos) << text;
    EXPECT_GE(Clock::now() - start, std::chrono::milliseconds(290));
    EXPECT_TRUE(Outputs(call) == before);
    // The group is of no more use, and says so at once.
    Refused(call.Run(), ACLNN_ERR_RUNTIME_ERROR, "rank 2");
    EXPECT_TRUE(Outputs(call) == before);
  });
  const RankGroup next(4);
  next.OnRanks([&](int rank) { EXPECT_EQ(Call(next, rank).Run(), ACLNN_SUCCESS) << RecentText(); });
}

// A rank that leaves while others wait for it is noticed long before the deadline.
TEST_F(Groups, ARankLeaves) {
  RankGroup group(2);
  const auto start = Clock::now();
  group.OnRanks([&](int rank) {
    if (rank == 1) {
      EXPECT_EQ(HcclCommDestroy(group.comms[1]), HCCL_SUCCESS);
      return;
    }
    Refused(Call(group, 0).Run(), ACLNN_ERR_RUNTIME_ERROR, "rank 1 has left the group");
  });
  EXPECT_LT(Clock::now() - start, std::chrono::seconds(20));
  group.comms[1] = nullptr;
}

// Destroying a communicator between the phases, or after phase 2, is too early for nobody.
TEST_F(Groups, DestroyedEarly) {
  for (const bool before_phase2 : {true, false}) {
    RankGroup group(2);
    group.OnRanks([&](int rank) {
      ParallelCall call = Call(group, rank);
      uint64_t size = 0;
      aclOpExecutor* executor = nullptr;
      ASSERT_EQ(call.Phase1(&size, &executor), ACLNN_SUCCESS);
      HcclComm& comm = group.comms[static_cast<size_t>(rank)];
      if (before_phase2) {
        EXPECT_EQ(HcclCommDestroy(comm), HCCL_SUCCESS);
      }
      ASSERT_EQ(call.Phase2(nullptr, 0, executor, nullptr), ACLNN_SUCCESS);
      if (!before_phase2) {
        EXPECT_EQ(HcclCommDestroy(comm), HCCL_SUCCESS);
      }
      comm = nullptr;
      EXPECT_EQ(aclrtSynchronizeStream(nullptr), ACL_SUCCESS) << RecentText();
    });
  }
}

// Ranks that disagree all fail, by a text that names the field; so do those of different operators.
TEST_F(Groups, RanksDisagree) {
  struct {
    const char* part;
    std::function<void(ParallelCall&)> change;
  } const cases[] = {
      {"epsilon", [](ParallelCall& c) { c.epsilon = 1e-4; }},
      {"rows",
       [](ParallelCall& c) {
         const std::string group = c.group;
         c = MakeParallelCall(ParallelOp::kPlain, {1, 3, 96, 40, false, false}, ACL_FLOAT16, group);
       }},
      {"fingerprint", [](ParallelCall& c) { c["gamma"].Address()[0] ^= std::byte{0x40}; }},
      {"scenario", [](ParallelCall& c) { c = MakeParallelCall(ParallelOp::kQuant, {}, ACL_FLOAT16, c.group); }},
  };
  for (const auto& c : cases) {
    const RankGroup group(2);
    group.OnRanks([&](int rank) {
      ParallelCall call = Call(group, rank);
      if (rank == 1) c.change(call);
      for (auto& [name, tensor] : call.tensors) tensor.Allocate();
      const auto before = Outputs(call);
      Refused(call.Run(), ACLNN_ERR_RUNTIME_ERROR, c.part);
      EXPECT_TRUE(Outputs(call) == before);
    });
  }
}

// Many calls in a row on one stream each, queued before anybody synchronises, and on two groups at once.
TEST_F(Groups, QueuesAndTwoGroups) {
  const RankGroup low(4), high(4, 4);
  const auto run = [&](const RankGroup& group) {
    group.OnRanks([&](int rank) {
      std::vector<ParallelCall> calls;
      for (uint64_t i = 0; i < 12; ++i) {
        calls.push_back(Call(group, rank, kParallelOps[i % 6], i));
        uint64_t size = 0;
        aclOpExecutor* executor = nullptr;
        ASSERT_EQ(calls.back().Phase1(&size, &executor), ACLNN_SUCCESS) << RecentText();
        ASSERT_EQ(calls.back().Phase2(nullptr, 0, executor, nullptr), ACLNN_SUCCESS) << RecentText();
      }
      EXPECT_EQ(aclrtSynchronizeStream(nullptr), ACL_SUCCESS) << RecentText();
      for (uint64_t i = 0; i < 12; ++i) {
        ParallelCall again = Call(group, rank, kParallelOps[i % 6], i);
        EXPECT_EQ(again.Run(), ACLNN_SUCCESS) << RecentText();
        EXPECT_TRUE(Outputs(again) == Outputs(calls[i])) << i;
      }
    });
  };
  std::thread other([&] { run(high); });
  run(low);
  other.join();
}

// A repeatable executor, with new memory for the second run; an address that is not aligned is refused.
TEST_F(Groups, RepeatableExecutors) {
  const RankGroup group(2);
  group.OnRanks([&](int rank) {
    ParallelCall call = Call(group, rank), other = Call(group, rank, ParallelOp::kPlain, 6);
    uint64_t size = 0;
    aclOpExecutor* executor = nullptr;
    ASSERT_EQ(call.Phase1(&size, &executor), ACLNN_SUCCESS);
    ASSERT_EQ(aclSetAclOpExecutorRepeatable(executor), ACLNN_SUCCESS);
    ASSERT_EQ(call.Phase2(nullptr, 0, executor, nullptr), ACLNN_SUCCESS);
    ASSERT_EQ(aclrtSynchronizeStream(nullptr), ACL_SUCCESS);
    const auto first = Outputs(call);
    // Inputs in the order of the parameters: x1, x2, bias, residual, gamma.
    size_t index = 0;
    for (const char* name : {"x1", "x2", "bias", "residual", "gamma"}) {
      ASSERT_EQ(aclSetInputTensorAddr(executor, index++, call.Handle(name), other[name].Address()), ACLNN_SUCCESS) << RecentText();
    }
    ASSERT_EQ(aclSetOutputTensorAddr(executor, 1, call.Handle("normOut"), other["residual"].Address()), ACLNN_SUCCESS);
    Refused(call.Phase2(nullptr, 0, executor, nullptr), ACLNN_ERR_PARAM_INVALID, "rule 161002-25: argument 'normOut' memory is shared");
    ASSERT_EQ(aclSetOutputTensorAddr(executor, 1, call.Handle("normOut"), other["normOut"].Address() + 1), ACLNN_SUCCESS);
    Refused(call.Phase2(nullptr, 0, executor, nullptr), ACLNN_ERR_PARAM_INVALID, "rule 161002-33: argument 'normOut' address is");
    ASSERT_EQ(aclSetOutputTensorAddr(executor, 1, call.Handle("normOut"), other["normOut"].Address()), ACLNN_SUCCESS);
    ASSERT_EQ(aclSetOutputTensorAddr(executor, 0, call.Handle("y"), other["y"].Address()), ACLNN_SUCCESS);
    ASSERT_EQ(call.Phase2(nullptr, 0, executor, nullptr), ACLNN_SUCCESS) << RecentText();
    ASSERT_EQ(aclrtSynchronizeStream(nullptr), ACL_SUCCESS) << RecentText();
    EXPECT_EQ(aclDestroyAclOpExecutor(executor), ACLNN_SUCCESS);
    ParallelCall plain = Call(group, rank, ParallelOp::kPlain, 6);
    EXPECT_EQ(plain.Run(), ACLNN_SUCCESS);
    EXPECT_TRUE(Outputs(other) == Outputs(plain));
    EXPECT_FALSE(first == Outputs(plain));
  });
}

// Tensors without memory are for aclSetTensorAddr, and refused until then.
TEST_F(Groups, AddressesThatComeLater) {
  const RankGroup group(1);
  ParallelCall call = Call(group, 0);
  call["gamma"].no_data = true;
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  ASSERT_EQ(call.Phase1(&size, &executor), ACLNN_SUCCESS) << RecentText();
  Refused(call.Phase2(nullptr, 0, executor, nullptr), ACLNN_ERR_PARAM_NULLPTR, "rule 161001-11: argument 'gamma' address is null");
}

TEST_F(Groups, TransQuantParam) {
  const float scales[] = {1.0f, -0.75f, 1e-3f, std::numeric_limits<float>::infinity(), 0x1.002p0f};
  const float offsets[] = {0.0f, -1.0f, 2.5f, 1000.0f, -300.0f};
  uint64_t* words = nullptr;
  uint64_t count = 0;
  const auto bits = [](float value) {
    uint32_t word;
    std::memcpy(&word, &value, 4);
    return uint64_t{word} & 0xFFFFE000u;
  };
  ASSERT_EQ(aclnnTransQuantParam(scales, 5, nullptr, 0, &words, &count), ACLNN_SUCCESS);
  ASSERT_EQ(count, 5u);
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(words[i], bits(scales[i]) | uint64_t{1} << 46) << i;
  EXPECT_EQ(words[0], 0x40003F800000u);
  EXPECT_EQ(words[4], 0x40003F800000u) << "the 13 low bits go";
  delete[] words;
  const uint64_t fields[] = {0, 0x1FF, 2, 255, 0x100};  // to even, in [-256, 255], 9 bits
  ASSERT_EQ(aclnnTransQuantParam(scales, 5, offsets, 5, &words, &count), ACLNN_SUCCESS);
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(words[i], bits(scales[i]) | fields[i] << 37 | uint64_t{1} << 46) << i;
  delete[] words;
  ASSERT_EQ(aclnnTransQuantParam(scales, 1, offsets, 5, &words, &count), ACLNN_SUCCESS);
  ASSERT_EQ(count, 5u);
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(words[i], bits(1.0f) | fields[i] << 37 | uint64_t{1} << 46) << i;
  delete[] words;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  ASSERT_EQ(aclnnTransQuantParam(scales, 5, &nan, 1, &words, &count), ACLNN_SUCCESS);
  ASSERT_EQ(count, 5u);
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(words[i], bits(scales[i]) | uint64_t{1} << 46) << i;
  delete[] words;

  words = reinterpret_cast<uint64_t*>(uintptr_t{42});
  count = 99;
  const std::string api = "aclnnTransQuantParam: rule ";
  Refused(aclnnTransQuantParam(nullptr, 5, nullptr, 0, &words, &count), 161001, api + "161001-1: argument 'scaleArray' is null");
  Refused(aclnnTransQuantParam(scales, 5, nullptr, 5, &words, &count), 161001, api + "161001-1: argument 'offsetArray' is null");
  Refused(aclnnTransQuantParam(scales, 5, nullptr, 0, nullptr, &count), 161001, api + "161001-1: argument 'quantParam' is null");
  Refused(aclnnTransQuantParam(scales, 5, nullptr, 0, &words, nullptr), 161001, api + "161001-1: argument 'quantParamSize' is null");
  Refused(aclnnTransQuantParam(scales, 0, nullptr, 0, &words, &count), 161002,
          api + "161002-1: argument 'scaleSize' is 0, expected 1 to 2^32");
  Refused(aclnnTransQuantParam(scales, uint64_t{1} << 33, nullptr, 0, &words, &count), 161002, api + "161002-1");
  Refused(aclnnTransQuantParam(scales, 5, offsets, 3, &words, &count), 161002,
          api + "161002-2: argument 'offsetSize' is 3, expected 0, 1 or 5, scaleSize");
  EXPECT_EQ(words, reinterpret_cast<uint64_t*>(uintptr_t{42}));
  EXPECT_EQ(count, 99u);
}

}  // namespace
}  // namespace addnorm::aclnn_test
