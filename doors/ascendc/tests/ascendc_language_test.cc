// SPDX-License-Identifier: Apache-2.0
// Macros and functions of the language that are no operations: tiling data by its registered struct, printing, asserting.
#undef NDEBUG  // assertions count here in every build
#include <gtest/gtest.h>

#include "kernel_operator.h"
#include "tiling/tiling_api.h"

// Names that users have too: none of ours may meet them under `using namespace AscendC` or `using namespace optiling`.
namespace internal {
inline int Count(int count) { return count + 1; }
}  // namespace internal
namespace detail {
inline int Count(int count) { return count + 2; }
}  // namespace detail
struct Here {
  int value = 3;
};
template <typename T>
T Operand(T value) {
  return value;
}

namespace {

struct Outer {
  int32_t rows;
};
struct Inner {
  int32_t columns;
};

using namespace AscendC;  // NOLINT(google-build-using-namespace): as kernels do

TEST(Language, NamesOfTheUser) {
  EXPECT_EQ(internal::Count(1), 2);
  EXPECT_EQ(detail::Count(1), 3);
  EXPECT_EQ(Here().value, 3);
  EXPECT_EQ(Operand(half(2)), half(2));
}

// A queue is a class of its own, so that templates of users deduce its arguments.
template <TPosition position, int32_t depth>
constexpr int32_t DepthOf(const TQue<position, depth>&) {
  return depth;
}
TEST(Language, QueueArgumentsAreDeduced) {
  TQue<QuePosition::VECIN, 2> in;
  TQue<QuePosition::VECOUT, 3> out;
  EXPECT_EQ(DepthOf(in) + DepthOf(out), 5);
}

REGISTER_TILING_DEFAULT(Outer);

int32_t ReadOuter(GM_ADDR gm) {
  GET_TILING_DATA(tiling, gm);
  return tiling.rows;
}
int32_t ReadInner(GM_ADDR gm) {
  REGISTER_TILING_DEFAULT(Inner);
  GET_TILING_DATA(tiling, gm);
  return tiling.columns;
}

TEST(Language, TilingOfTheRegisteredStruct) {
  int32_t value = 7;
  auto* gm = reinterpret_cast<uint8_t*>(&value);
  EXPECT_EQ(ReadOuter(gm), 7);
  EXPECT_EQ(ReadInner(gm), 7);
}

TEST(Language, Prints) {
  testing::internal::CaptureStdout();
  AscendC::printf("%d ", 1);
  printf("%d ", 2);
  AscendC::PRINTF("%s\n", "three");
  std::fflush(stdout);
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "1 2 three\n");
}

TEST(Language, Dumps) {
  float data[3] = {1, -2.5f, 3};
  GlobalTensor<float> gm;
  gm.SetGlobalBuffer(data, 3);
  testing::internal::CaptureStdout();
  DumpTensor(gm, 7, 2);
  std::fflush(stdout);
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "DumpTensor: desc=7, core=0, count=2\n[1, -2.5]\n");
}

// Looking at a tensor that is only partly written, before it is handed over, stops nothing.
TEST(Language, DumpsWhatIsWritten) {
  float data[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  TPipe pipe;
  TQue<QuePosition::VECIN, 1> queue;
  pipe.InitBuffer(queue, 1, 64);
  GlobalTensor<float> gm;
  gm.SetGlobalBuffer(data, 8);
  LocalTensor<float> local = queue.AllocTensor<float>();
  DataCopy(local, gm, 8);
  testing::internal::CaptureStdout();
  DumpTensor(local[6], 1, 4);
  std::fflush(stdout);
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "DumpTensor: desc=1, core=0, count=4\n[7, 8, ?, ?]\n");
  queue.FreeTensor(local);
}

// In the words of operator libraries: the kind of core, hints, sizes, conversions.
TEST(Language, Environment) {
  EXPECT_TRUE(g_coreType == AIV && ASCEND_IS_AIV && ASCEND_IS_NOT_AIC);
  EXPECT_FALSE(g_coreType == AscendC::AIC);
  uint8_t workspace = 0;
  EXPECT_EQ(GetUserWorkspace(&workspace), &workspace);
  EXPECT_EQ(ONE_REPEAT_BYTE_SIZE / ONE_BLK_SIZE, DEFAULT_REPEAT_STRIDE);
  if (unlikely(workspace != 0)) FAIL();
  EXPECT_EQ(ToFloat(ToBfloat16(1.00390625f)), 1.0f);  // a tie, to even
  static_assert(IsSameType<half, half>::value && !IsSameType<half, float>::value, "a trait");
  GlobalTensor<uint8_t> gm;
  gm.SetL2CacheHint(CacheMode::CACHE_MODE_DISABLE);
  DataCacheCleanAndInvalid<uint8_t, CacheLine::SINGLE_CACHE_LINE, DcciDst::CACHELINE_OUT>(gm);
}
// The spelling of flags and barriers in older kernels hands over as the new one does.
TEST(Language, OlderFlags) {
  float data[8] = {1};
  TPipe pipe;
  TQue<QuePosition::VECIN, 1> queue;
  pipe.InitBuffer(queue, 1, sizeof(data));
  GlobalTensor<float> gm;
  gm.SetGlobalBuffer(data, 8);
  LocalTensor<float> local = queue.AllocTensor<float>();
  DataCopy(local, gm, 8);
  set_flag(PIPE_MTE2, PIPE_V, EVENT_ID0);
  wait_flag(PIPE_MTE2, PIPE_V, EVENT_ID0);
  Adds(local, local, 1.0f, 8);
  pipe_barrier(PIPE_ALL);
  DataCopy(gm, local, 8);
  EXPECT_EQ(data[0], 2.0f);
  queue.FreeTensor(local);
}

TEST(LanguageDeathTest, Asserts) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  const int rows = 1;
  ASSERT(rows == 1);
  assert(rows == 1);
  EXPECT_DEATH(ASSERT(rows == 2), "rows == 2");
}

}  // namespace
