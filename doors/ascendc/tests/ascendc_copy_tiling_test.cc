// SPDX-License-Identifier: Apache-2.0
// CopyTiling: ours serves those who have none; a user's own, plain or template, is chosen without a conflict.
#include <gtest/gtest.h>

#include "kernel_operator.h"

namespace {

struct Ours {
  int32_t value[3];
  float last;
};
struct PlainOwn {
  int32_t value;
};
struct TemplateOwn {
  int32_t value;
};
struct VoidOwn {
  int32_t value;
};
struct Marked {
  int32_t value;
};

}  // namespace

// A complete sample's own function, in words of the vendor's samples.
__aicore__ inline void CopyTiling(PlainOwn* tiling, __gm__ uint8_t* tilingGM) {
  uint32_t* ptr = reinterpret_cast<uint32_t*>(tiling);
  auto tiling32 = reinterpret_cast<__gm__ uint32_t*>(tilingGM);
  for (size_t i = 0; i < sizeof(PlainOwn) / sizeof(uint32_t); i++, ptr++) *ptr = *(tiling32 + i) + 1000;
}

namespace untyped {
// Takes any struct as void*, and the address as const.
__aicore__ inline void CopyTiling(void* tiling, const __gm__ uint8_t* gm) { *static_cast<int32_t*>(tiling) = gm[0] + 4000; }
using ::CopyTiling;
template <typename T>
int32_t Copied(uint8_t* gm) {
  T tiling{};
  CopyTiling(&tiling, gm);
  return tiling.value;
}
}  // namespace untyped

namespace user {
// A template that would take any type, in the user's namespace and through the global name.
template <typename T>
__aicore__ inline void CopyTiling(T* tiling, GM_ADDR gm) {
  tiling->value = static_cast<int32_t>(gm[0]) + 2000;
}
void Call(TemplateOwn* tiling, GM_ADDR gm) { CopyTiling(tiling, gm); }
}  // namespace user

// ... and a global template.
template <typename T>
__aicore__ inline void CopyTiling(T* tiling, GM_ADDR gm) {
  tiling->value = static_cast<int32_t>(gm[0]) + 3000;
}

namespace {

template <typename T>
int32_t Copied(uint8_t* gm) {
  T tiling{};
  CopyTiling(&tiling, gm);
  return tiling.value;
}

TEST(CopyTiling, PlainFunctionOfTheUserWins) {
  int32_t data = 5;
  EXPECT_EQ(Copied<PlainOwn>(reinterpret_cast<uint8_t*>(&data)), 1005);
}
TEST(CopyTiling, TemplateOfTheUserWins) {
  uint8_t data[4] = {5};
  EXPECT_EQ(Copied<Marked>(data), 3005);
  TemplateOwn tiling{};
  user::Call(&tiling, data);
  EXPECT_EQ(tiling.value, 2005);
}
TEST(CopyTiling, UntypedFunctionOfTheUserWins) {
  uint8_t data[4] = {5};
  EXPECT_EQ(untyped::Copied<VoidOwn>(data), 4005);
}
TEST(CopyTiling, OursCopiesTheBytes) {
  const Ours data{{1, -2, 3}, 0.5f};
  Ours copy{};
  CopyTiling(&copy, addnorm::ascendc::TilingAddress(reinterpret_cast<uint8_t*>(const_cast<Ours*>(&data))));
  EXPECT_EQ(copy.value[1], -2);
  EXPECT_EQ(copy.last, 0.5f);
}

}  // namespace
