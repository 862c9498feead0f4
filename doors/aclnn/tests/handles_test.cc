// SPDX-License-Identifier: Apache-2.0
// Handles of every type: one that is destroyed stays dead for ever, also while a younger object has its place.
#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "doors/aclnn/tests/calls.h"

namespace addnorm::aclnn_test {
namespace {

struct HandleType {
  const char* name;
  int bad;  // what a dead handle gives
  std::function<void*()> create;
  std::function<int(void*)> use, destroy;
};

constexpr int64_t kOne[] = {1};

OpCall SmallCall() { return MakeCall(Op::kRmsNorm, {2}, {4}, ACL_FLOAT); }

void* CreateExecutor() {
  static OpCall call = SmallCall();
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  EXPECT_EQ(call.Phase1(&size, &executor), ACLNN_SUCCESS) << RecentText();
  return executor;
}
int RunExecutor(void* executor) {
  alignas(64) static std::byte workspace[1 << 16];
  return aclnnRmsNorm(workspace, sizeof workspace, static_cast<aclOpExecutor*>(executor), nullptr);
}
int DestroyExecutor(void* executor) { return aclDestroyAclOpExecutor(static_cast<aclOpExecutor*>(executor)); }

const HandleType kTypes[] = {
    {"aclTensor", ACLNN_ERR_PARAM_INVALID, [] { return aclCreateTensor(kOne, 1, ACL_FLOAT, nullptr, 0, ACL_FORMAT_ND, kOne, 1, nullptr); },
     [](void* handle) {
       int64_t offset = 0;
       return aclGetViewOffset(static_cast<aclTensor*>(handle), &offset);
     },
     [](void* handle) { return aclDestroyTensor(static_cast<aclTensor*>(handle)); }},
    {"aclIntArray", ACLNN_ERR_PARAM_INVALID, [] { return aclCreateIntArray(kOne, 1); },
     [](void* handle) {
       uint64_t size = 0;
       return aclGetIntArraySize(static_cast<aclIntArray*>(handle), &size);
     },
     [](void* handle) { return aclDestroyIntArray(static_cast<aclIntArray*>(handle)); }},
    {"aclFloatArray", ACLNN_ERR_PARAM_INVALID,
     [] {
       const float value = 1;
       return aclCreateFloatArray(&value, 1);
     },
     [](void* handle) {
       uint64_t size = 0;
       return aclGetFloatArraySize(static_cast<aclFloatArray*>(handle), &size);
     },
     [](void* handle) { return aclDestroyFloatArray(static_cast<aclFloatArray*>(handle)); }},
    {"aclBoolArray", ACLNN_ERR_PARAM_INVALID,
     [] {
       const bool value = true;
       return aclCreateBoolArray(&value, 1);
     },
     [](void* handle) {
       uint64_t size = 0;
       return aclGetBoolArraySize(static_cast<aclBoolArray*>(handle), &size);
     },
     [](void* handle) { return aclDestroyBoolArray(static_cast<aclBoolArray*>(handle)); }},
    {"aclTensorList", ACLNN_ERR_PARAM_INVALID, [] { return aclCreateTensorList(nullptr, 0); },
     [](void* handle) {
       uint64_t size = 0;
       return aclGetTensorListSize(static_cast<aclTensorList*>(handle), &size);
     },
     [](void* handle) { return aclDestroyTensorList(static_cast<aclTensorList*>(handle)); }},
    {"aclOpExecutor", ACLNN_ERR_PARAM_INVALID, CreateExecutor,
     [](void* handle) { return aclSetAclOpExecutorRepeatable(static_cast<aclOpExecutor*>(handle)); }, DestroyExecutor},
    {"aclOpExecutor, consumed", ACLNN_ERR_PARAM_INVALID, CreateExecutor, [](void* handle) { return RunExecutor(handle); }, DestroyExecutor},
    {"aclrtStream", ACL_ERROR_INVALID_PARAM,
     [] {
       aclrtStream stream = nullptr;
       EXPECT_EQ(aclrtCreateStream(&stream), ACL_SUCCESS);
       return stream;
     },
     aclrtSynchronizeStream, aclrtDestroyStream},
    {"aclrtContext", ACL_ERROR_INVALID_PARAM,
     [] {
       aclrtContext context = nullptr;
       EXPECT_EQ(aclrtCreateContext(&context, 0), ACL_SUCCESS);
       return context;
     },
     aclrtSetCurrentContext, aclrtDestroyContext},
};

TEST(Handles, NeverUsedAgain) {
  constexpr int kRounds = 200;
  std::set<void*> all;
  for (const HandleType& type : kTypes) {
    SCOPED_TRACE(type.name);
    ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
    const bool consumed = std::string(type.name) == "aclOpExecutor, consumed";
    void* dead = nullptr;
    for (int i = 0; i < kRounds; ++i) {
      void* handle = type.create();
      ASSERT_NE(handle, nullptr) << RecentText();
      ASSERT_TRUE(all.insert(handle).second) << "round " << i << ": a handle of before";
      if (dead != nullptr) {  // `handle` now most likely has its place
        ASSERT_EQ(type.use(dead), type.bad) << "round " << i;
        ASSERT_NE(RecentText().find("a destroyed or foreign handle"), std::string::npos);
        ASSERT_EQ(type.destroy(dead), type.bad) << "round " << i;
      }
      ASSERT_EQ(type.use(handle), 0) << RecentText();
      ASSERT_EQ(consumed ? 0 : type.destroy(handle), 0) << RecentText();
      dead = handle;
    }
  }
}

// Dead handles as arguments of phase 1 and 2, while younger objects have their places.
TEST(Handles, DeadArguments) {
  ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
  OpCall call = SmallCall();
  aclTensor* dead = aclCreateTensor(kOne, 1, ACL_FLOAT, nullptr, 0, ACL_FORMAT_ND, kOne, 1, nullptr);
  ASSERT_EQ(aclDestroyTensor(dead), ACLNN_SUCCESS);
  for (auto& [name, tensor] : call.tensors) tensor.Handle();  // the first has the place of the dead one
  call.raw["x"] = dead;
  EXPECT_EQ(call.Run(), ACLNN_ERR_PARAM_INVALID);
  EXPECT_NE(RecentText().find("rule 161002-20: argument 'x' is a destroyed or foreign handle"), std::string::npos);
  aclrtStream stream = nullptr, younger = nullptr;
  ASSERT_EQ(aclrtCreateStream(&stream), ACL_SUCCESS);
  ASSERT_EQ(aclrtDestroyStream(stream), ACL_SUCCESS);
  ASSERT_EQ(aclrtCreateStream(&younger), ACL_SUCCESS);
  call.raw.clear();
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  ASSERT_EQ(call.Phase1(&size, &executor), ACLNN_SUCCESS) << RecentText();
  std::vector<std::byte> workspace(size + 1);
  EXPECT_EQ(call.Phase2(workspace.data(), size, executor, stream), ACLNN_ERR_PARAM_INVALID);
  EXPECT_NE(RecentText().find("rule 161002-20: argument 'stream' is a destroyed or foreign handle"), std::string::npos);
  EXPECT_EQ(aclrtDestroyStream(younger), ACL_SUCCESS);
}

}  // namespace
}  // namespace addnorm::aclnn_test
