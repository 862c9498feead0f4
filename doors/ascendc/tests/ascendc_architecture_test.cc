// SPDX-License-Identifier: Apache-2.0
// The architecture that the user compiles for sets the size of UB, also where no launch option names it.
#define __NPU_ARCH__ 3510
#include <gtest/gtest.h>

#include "kernel_operator.h"
#include "tikicpulib.h"

namespace {

using addnorm::ascendc::LastIcpuResult;
using addnorm::ascendc::Rule;

constexpr uint32_t kUbBytes = 248 * 1024;  // 2201 has 192 KiB

extern "C" void fill_ub(GM_ADDR, uint32_t bytes) {
  AscendC::TPipe pipe;
  AscendC::TBuf<> buffer;
  pipe.InitBuffer(buffer, bytes);
  AscendC::LocalTensor<float> all = buffer.Get<float>();
  AscendC::Duplicate(all, 1.0f, static_cast<int32_t>(bytes / sizeof(float)));
}

class Architecture : public testing::Test {
 protected:
  void SetUp() override { addnorm::ascendc::SetOnViolation(addnorm::ascendc::OnViolation::kReport); }
};

TEST_F(Architecture, OfIcpuRun) {
  AscendC::SetKernelMode(KernelMode::AIV_MODE);
  ICPU_RUN_KF(fill_ub, 1, nullptr, kUbBytes);
  EXPECT_TRUE(LastIcpuResult().ok()) << LastIcpuResult().first.text;
  ICPU_RUN_KF(fill_ub, 1, nullptr, kUbBytes + 1);
  EXPECT_EQ(LastIcpuResult().first.rule, Rule::kCapacity);
}

TEST_F(Architecture, OfPlainCall) {
  EXPECT_NO_THROW(fill_ub(nullptr, kUbBytes));
  EXPECT_THROW(fill_ub(nullptr, kUbBytes + 1), addnorm::ascendc::Violation);
}

}  // namespace
