// SPDX-License-Identifier: Apache-2.0
// Random programs over a pool of handles of all kinds and states: every call gives a status that the interface documents, and nothing
// crashes.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <map>
#include <random>

#include "aclnnop/aclnn_matmul_all_reduce_add_rms_norm.h"
#include "doors/aclnn/tests/calls.h"

namespace addnorm::aclnn_test {
namespace {

constexpr int kSequences = 10000, kCallsPerSequence = 40;

const std::vector<int> kDocumented{0,      HCCL_E_PARA, HCCL_E_PTR, 100000, 100001, 100002, 100037, 107002, 107020,
                                   161001, 161002,      200000,     200002, 361001, 561000, 561002, 561103};

class Program {
 public:
  explicit Program(uint64_t seed) : random_(seed) {}

  void Run() {
    for (int i = 0; i < kCallsPerSequence; ++i) Step();
    // What is left is freed; each handle exactly once, whatever happened to it.
    for (void* handle : handles_) {
      for (const auto& destroy : kDestroy) Note(destroy(handle));
    }
    for (void* block : blocks_) Note(aclrtFree(block));
  }

  const std::map<int, int>& statuses() const { return statuses_; }

 private:
  using Destroy = int (*)(void*);
  static constexpr Destroy kDestroy[] = {
      [](void* h) { return aclDestroyTensor(static_cast<aclTensor*>(h)); },
      [](void* h) { return aclDestroyIntArray(static_cast<aclIntArray*>(h)); },
      [](void* h) { return aclDestroyBoolArray(static_cast<aclBoolArray*>(h)); },
      [](void* h) { return aclDestroyFloatArray(static_cast<aclFloatArray*>(h)); },
      [](void* h) { return aclDestroyTensorList(static_cast<aclTensorList*>(h)); },
      [](void* h) { return aclDestroyAclOpExecutor(static_cast<aclOpExecutor*>(h)); },
      [](void* h) { return aclrtDestroyStream(h); },
      [](void* h) { return aclrtDestroyContext(h); },
      [](void* h) { return static_cast<int>(HcclCommDestroy(h)); },
  };

  uint64_t Below(uint64_t n) { return random_() % n; }
  void Note(int status) { ++statuses_[status]; }

  // Mostly one of ours, alive or dead; sometimes null or nonsense.
  void* Any() {
    const uint64_t kind = Below(10);
    if (kind == 0) return nullptr;
    if (kind == 1) return reinterpret_cast<void*>(random_());
    if (kind == 2) return &buffer_[Below(64)];
    return handles_.empty() ? nullptr : handles_[Below(handles_.size())];
  }
  template <class T>
  T* Any() {
    return static_cast<T*>(Any());
  }
  // A handle of the right kind most of the time, so that calls get past their first checks.
  aclTensor* AnyTensor() { return tensors_.empty() || Below(8) == 0 ? Any<aclTensor>() : tensors_[Below(tensors_.size())]; }
  aclOpExecutor* AnyExecutor() { return executors_.empty() || Below(4) == 0 ? Any<aclOpExecutor>() : executors_[Below(executors_.size())]; }
  aclrtStream AnyStream() { return Below(2) == 0 ? nullptr : Any(); }
  HcclComm AnyComm() { return comms_.empty() || Below(4) == 0 ? Any() : comms_[Below(comms_.size())]; }
  void Keep(void* handle) {
    if (handle != nullptr) handles_.push_back(handle);
  }

  void Create() {
    static constexpr int64_t kShapes[][2] = {{3, 4}, {3, 4}, {3, 1}, {4, 1}};
    const int64_t* shape = kShapes[Below(4)];
    const uint64_t rank = shape[1] == 1 && Below(2) == 0 ? 1 : 2;
    const int64_t strides[] = {static_cast<int64_t>(Below(6)), 1}, storage = 16;
    constexpr aclDataType kTypes[] = {ACL_FLOAT, ACL_FLOAT, ACL_FLOAT, ACL_FLOAT16, ACL_INT32};
    constexpr int64_t kOffsets[] = {-2, -1, 0, 1, 2, 3, 5, std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min()};
    switch (Below(7)) {
      case 0:
        Keep(aclCreateIntArray(shape, Below(3)));
        break;
      case 1: {
        const bool mask[4] = {Below(2) == 0, Below(2) == 0, true, true};
        Keep(aclCreateBoolArray(mask, Below(8) == 0 ? 4 : 3));
        break;
      }
      case 2: {
        const aclTensor* members[2] = {AnyTensor(), AnyTensor()};
        Keep(aclCreateTensorList(members, Below(3)));
        break;
      }
      case 3:
        Keep(aclCreateTensor(Below(5) == 0 ? nullptr : shape, Below(5) == 0 ? 40 : 2, ACL_FLOAT, nullptr, 0, ACL_FORMAT_ND, nullptr,
                             Below(2), nullptr));
        break;
      default: {
        aclTensor* tensor = aclCreateTensor(shape, rank, kTypes[Below(5)], Below(3) == 0 ? strides : nullptr, kOffsets[Below(9)],
                                            ACL_FORMAT_ND, &storage, 1, Below(6) == 0 ? nullptr : data_[Below(12)]);
        Keep(tensor);
        if (tensor != nullptr) tensors_.push_back(tensor);
      }
    }
  }

  void Phase1() {
    uint64_t size = 0;
    aclOpExecutor* executor = nullptr;
    const auto t = [this] { return AnyTensor(); };
    uint64_t* size_out = Below(30) == 0 ? nullptr : &size;
    int status = 0;
    if (Below(3) == 0) {  // one that is right, so that there is something to misuse
      OpCall call = MakeCall(kAllOps[Below(6)], {3}, {4}, ACL_FLOAT);
      for (auto& [name, tensor] : call.tensors) {
        tensor.storage = {64};
        tensor.memory = pool_[Below(12)];
      }
      status = call.Phase1(size_out == nullptr ? &size : size_out, &executor);
    } else if (Below(2) == 0) {
      status = aclnnLayerNormBackwardGetWorkspaceSize(t(), t(), Any<aclIntArray>(), t(), t(), t(), t(), Any<aclBoolArray>(), t(), t(), t(),
                                                      size_out, &executor);
    } else {
      status = aclnnAddLayerNormGradGetWorkspaceSize(t(), t(), t(), t(), t(), t(), t(), t(), t(), t(), size_out, &executor);
    }
    Note(status);
    EXPECT_EQ(status == 0, executor != nullptr);
    if (executor != nullptr) {
      Keep(executor);
      executors_.push_back(executor);
    }
  }

  void Phase2() {
    constexpr aclnnStatus (*kPhase2[])(void*, uint64_t, aclOpExecutor*, aclrtStream) = {
        aclnnLayerNormBackward, aclnnAddLayerNormGrad, aclnnLayerNorm, aclnnAddLayerNorm, aclnnAddRmsNorm, aclnnRmsNorm};
    // The operator is a guess, so that one executor meets several.
    aclOpExecutor* executor = AnyExecutor();
    const aclrtStream stream = AnyStream();
    void* workspace = Below(8) == 0 ? nullptr : workspace_;
    const uint64_t size = Below(8) == 0 ? Below(64) : sizeof workspace_;
    for (int i = 0; i < 3; ++i) Note(kPhase2[Below(6)](workspace, size, executor, stream));
  }

  void Step() {
    switch (Below(13)) {
      case 0:
      case 1:
      case 2:
        return Create();
      case 3:
      case 4:
        return Phase1();
      case 5:
      case 6:
        return Phase2();
      case 7:
        return Note(kDestroy[Below(std::size(kDestroy))](Any()));
      case 8:
        return Note(Below(2) == 0 ? aclSetAclOpExecutorRepeatable(AnyExecutor())
                                  : aclSetTensorAddr(AnyExecutor(), Below(10), AnyTensor(), data_[Below(12)]));
      case 9:
        return Getters();
      case 10:
        return Runtime();
      case 11:
        return Groups();
      default:
        return Memory();
    }
  }

  void Getters() {
    uint64_t size = 0;
    int64_t* dims = nullptr;
    int64_t offset = 0;
    aclDataType type;
    Note(aclGetIntArraySize(Any<aclIntArray>(), &size));
    Note(aclGetTensorListSize(Any<aclTensorList>(), &size));
    Note(aclGetViewOffset(AnyTensor(), &offset));
    Note(aclGetDataType(Any<aclTensor>(), &type));
    const int status = aclGetViewStrides(AnyTensor(), &dims, &size);
    Note(status);
    if (status == 0) delete[] dims;
    if (Below(2) == 0) aclGetRecentErrMsg();
  }

  void Runtime() {
    void* handle = nullptr;
    switch (Below(7)) {
      case 0:
        Note(aclInit(nullptr));
        return;
      case 1:
        Note(aclFinalize());
        return;
      case 2:
        Note(aclrtSetDevice(static_cast<int32_t>(Below(10)) - 1));
        return;
      case 3:
        Note(Below(2) == 0 ? aclrtResetDevice(static_cast<int32_t>(Below(9))) : aclrtSetCurrentContext(Any()));
        return;
      case 4:
        Note(aclrtCreateStream(&handle));
        return Keep(handle);
      case 5:
        Note(aclrtCreateContext(&handle, static_cast<int32_t>(Below(9))));
        return Keep(handle);
      default:
        Note(Below(2) == 0 ? aclrtSynchronizeStream(AnyStream())
                           : aclrtSynchronizeStreamWithTimeout(AnyStream(), static_cast<int32_t>(Below(3)) - 2));
    }
  }

  // Groups of up to three ranks, and what takes them or their names.
  void Groups() {
    int32_t devices[3] = {static_cast<int32_t>(Below(4)), static_cast<int32_t>(Below(9)), static_cast<int32_t>(Below(10)) - 1};
    HcclComm comms[3] = {};
    char name[COMM_NAME_MAX_LENGTH] = "";
    uint32_t number = 0;
    switch (Below(4)) {
      case 0:
        Note(HcclCommInitAll(static_cast<uint32_t>(Below(4)), Below(20) == 0 ? nullptr : devices, Below(20) == 0 ? nullptr : comms));
        for (HcclComm comm : comms) {
          Keep(comm);
          if (comm != nullptr) comms_.push_back(comm);
        }
        return;
      case 1:
        return Note(Below(2) == 0 ? HcclGetRankId(AnyComm(), &number) : HcclGetRankSize(AnyComm(), Below(9) == 0 ? nullptr : &number));
      case 2:
        return Note(HcclCommDestroy(AnyComm()));
      default: {
        Note(HcclGetCommName(AnyComm(), name));
        uint64_t size = 0;
        aclOpExecutor* executor = nullptr;
        const auto t = [this] { return AnyTensor(); };
        const int status = aclnnMatmulAllReduceAddRmsNormGetWorkspaceSize(t(), t(), Any<aclTensor>(), t(), t(), 0.5, name, "sum", 0, 1, t(),
                                                                          t(), &size, &executor);
        Note(status);
        Note(aclnnMatmulAllReduceAddRmsNorm(workspace_, size, AnyExecutor(), AnyStream()));
      }
    }
  }

  void Memory() {
    void* block = nullptr;
    switch (Below(4)) {
      case 0:
        Note(aclrtMalloc(&block, Below(200), static_cast<aclrtMemMallocPolicy>(Below(9))));
        if (block != nullptr) blocks_.push_back(block);
        return;
      case 1:
        Note(aclrtFree(blocks_.empty() || Below(3) == 0 ? Any() : blocks_[Below(blocks_.size())]));
        return;
      case 2:
        Note(aclrtFreeHost(Any()));
        return;
      default:
        Note(aclrtMemcpyAsync(workspace_, Below(64), buffer_, Below(64), static_cast<aclrtMemcpyKind>(Below(6)), AnyStream()));
    }
  }

  std::mt19937_64 random_;
  std::vector<void*> handles_, blocks_, comms_;
  std::vector<aclTensor*> tensors_;
  std::vector<aclOpExecutor*> executors_;
  std::map<int, int> statuses_;
  alignas(64) float data_[12][32] = {};
  alignas(64) char workspace_[1 << 16] = {};
  char buffer_[64] = {};
  std::vector<std::shared_ptr<std::vector<std::byte>>> pool_ = [] {
    std::vector<std::shared_ptr<std::vector<std::byte>>> pool;
    for (int i = 0; i < 12; ++i) pool.push_back(std::make_shared<std::vector<std::byte>>(256));
    return pool;
  }();
};

TEST(Misuse, RandomPrograms) {
  std::map<int, int> total;
  for (int i = 0; i < kSequences; ++i) {
    auto program = std::make_unique<Program>(static_cast<uint64_t>(i) * 7919 + 1);
    program->Run();
    for (const auto& [status, count] : program->statuses()) total[status] += count;
  }
  int calls = 0;
  for (const auto& [status, count] : total) {
    std::printf("%7d  %d\n", status, count);
    calls += count;
    EXPECT_NE(std::find(kDocumented.begin(), kDocumented.end(), status), kDocumented.end()) << "undocumented status " << status;
  }
  EXPECT_EQ(total[561000], 0) << "the core refused what the door had accepted";
  EXPECT_GT(total[0], calls / 20) << "programs that never get anything right test little";
  std::printf("%d programs, %d calls\n", kSequences, calls);
}

}  // namespace
}  // namespace addnorm::aclnn_test
