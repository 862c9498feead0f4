// SPDX-License-Identifier: Apache-2.0
// Macros and functions of the language that are no operations: tiling data by its registered struct, printing, asserting.
#undef NDEBUG  // assertions count here in every build
#include <gtest/gtest.h>

#include "kernel_operator.h"

namespace {

struct Outer {
  int32_t rows;
};
struct Inner {
  int32_t columns;
};

using namespace AscendC;  // NOLINT(google-build-using-namespace): as kernels do

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

TEST(LanguageDeathTest, Asserts) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  const int rows = 1;
  ASSERT(rows == 1);
  assert(rows == 1);
  EXPECT_DEATH(ASSERT(rows == 2), "rows == 2");
}

}  // namespace
