// SPDX-License-Identifier: Apache-2.0
// ICPU_RUN_KF and its neighbours: which cores run, what they see, and what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "kernel_operator.h"
#include "tikicpulib.h"

namespace {

using addnorm::ascendc::LastIcpuResult;
using addnorm::ascendc::OnViolation;
using addnorm::ascendc::Rule;
using testing::ElementsAre;
using testing::HasSubstr;

struct Seen {
  int64_t runs, block_count, sub_blocks, key;
};

// Each AIV core writes its own record behind the AIC cores' records.
extern "C" void observe(GM_ADDR out, GM_ADDR, uint32_t aic_cores) {
  const bool aic = ASCEND_IS_AIC;
  auto* seen = reinterpret_cast<Seen*>(out) + (aic ? 0 : aic_cores) + AscendC::GetBlockIdx();
  seen->runs++;
  seen->block_count = AscendC::GetBlockNum();
  seen->sub_blocks = AscendC::GetSubBlockNum();
  seen->key = TILING_KEY_IS(7) ? 7 : TILING_KEY_IS(0) ? 0 : -1;
}

std::vector<int64_t> Runs(KernelMode mode, uint32_t aic_cores) {
  constexpr size_t kRecords = 12;
  auto* out = static_cast<uint8_t*>(AscendC::GmAlloc(kRecords * sizeof(Seen)));
  AscendC::SetKernelMode(mode);
  ICPU_RUN_KF(observe, 3, out, nullptr, aic_cores);
  EXPECT_TRUE(LastIcpuResult().ok());
  std::vector<int64_t> runs;
  for (size_t i = 0; i < kRecords; ++i) {
    const Seen& seen = reinterpret_cast<Seen*>(out)[i];
    runs.push_back(seen.runs);
    EXPECT_EQ(seen.block_count, seen.runs == 0 ? 0 : 3);
    EXPECT_EQ(seen.key, seen.runs == 0 ? 0 : 7);
    const bool pair = mode == KernelMode::MIX_MODE && i >= aic_cores;
    EXPECT_EQ(seen.sub_blocks, seen.runs == 0 ? 0 : pair ? 2 : 1);
  }
  AscendC::GmFree(out);
  return runs;
}

class Icpu : public testing::Test {
 protected:
  void SetUp() override {
    addnorm::ascendc::SetOnViolation(OnViolation::kReport);
    ICPU_SET_TILING_KEY(7);
  }
};

TEST_F(Icpu, MixIsOneAicAndTwoAivPerBlock) { EXPECT_THAT(Runs(KernelMode::MIX_MODE, 3), ElementsAre(1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0)); }
TEST_F(Icpu, MixOneToOne) { EXPECT_THAT(Runs(KernelMode::MIX_AIC_1_1, 3), ElementsAre(1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0)); }
TEST_F(Icpu, AivOnly) { EXPECT_THAT(Runs(KernelMode::AIV_MODE, 3), ElementsAre(0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0)); }
TEST_F(Icpu, AicOnly) { EXPECT_THAT(Runs(KernelMode::AIC_MODE, 3), ElementsAre(1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0)); }
TEST_F(Icpu, OnThreads) {
  addnorm::ascendc::SetIcpuThreads(4);
  EXPECT_THAT(Runs(KernelMode::MIX_MODE, 3), ElementsAre(1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0));
  addnorm::ascendc::SetIcpuThreads(1);
}

TEST_F(Icpu, PointersComeFromGmAlloc) {
  Seen elsewhere[12] = {};
  auto* foreign = reinterpret_cast<uint8_t*>(elsewhere);
  auto* own = static_cast<uint8_t*>(AscendC::GmAlloc(sizeof(elsewhere)));
  AscendC::SetKernelMode(KernelMode::AIV_MODE);
  ICPU_RUN_KF(observe, 1, own, foreign, 0u);
  const int line = __LINE__ - 1;
  EXPECT_EQ(LastIcpuResult().violations, 1u);
  EXPECT_EQ(LastIcpuResult().first.rule, Rule::kGlobalArgument);
  EXPECT_EQ(LastIcpuResult().first.line, line);
  EXPECT_THAT(LastIcpuResult().first.text, HasSubstr("argument 2 is 0x"));
  EXPECT_EQ(elsewhere[0].runs, 0);
  ICPU_RUN_KF(observe, 1, own, own, 0u);
  EXPECT_TRUE(LastIcpuResult().ok());
  AscendC::GmFree(own);
  // What was freed is foreign again.
  ICPU_RUN_KF(observe, 1, own, nullptr, 0u);
  EXPECT_EQ(LastIcpuResult().first.rule, Rule::kGlobalArgument);
}

TEST_F(Icpu, GmFreeOfForeignMemory) {
  int local = 0;
  EXPECT_THROW(AscendC::GmFree(&local), addnorm::ascendc::Violation);
  void* twice = AscendC::GmAlloc(8);
  AscendC::GmFree(twice);
  EXPECT_THROW(AscendC::GmFree(twice), addnorm::ascendc::Violation);
  AscendC::GmFree(nullptr);
}

// A host main that catches nothing ends with the rule's text, in either mode.
TEST(IcpuDeathTest, GmFreeTwiceNamesItsRule) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  for (const OnViolation action : {OnViolation::kReport, OnViolation::kAbort}) {
    const auto twice = [action]() noexcept {  // as main: what leaves it terminates
      addnorm::ascendc::SetOnViolation(action);
      void* data = AscendC::GmAlloc(8);
      AscendC::GmFree(data);
      AscendC::GmFree(data);
    };
    EXPECT_DEATH(twice(), "ascendc_icpu_test.cc:[0-9]+: rule 'gm-argument' broken on core 0: GmFree");
  }
  addnorm::ascendc::SetOnViolation(OnViolation::kReport);
}

TEST_F(Icpu, GmAllocIsZeroedAndBounded) {
  auto* data = static_cast<uint8_t*>(AscendC::GmAlloc(100));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(data[i], 0);
  AscendC::GmFree(data);
  EXPECT_THROW(AscendC::GmAlloc(SIZE_MAX - 5), addnorm::ascendc::Violation);
}

int g_calls = 0;
extern "C" void no_arguments() { ++g_calls; }
TEST_F(Icpu, AKernelWithoutArguments) {
  AscendC::SetKernelMode(KernelMode::AIV_MODE);
  ICPU_RUN_KF(no_arguments, 3);
  EXPECT_TRUE(LastIcpuResult().ok());
  EXPECT_EQ(g_calls, 3);
}

extern "C" void past_the_end(GM_ADDR out) {
  AscendC::GlobalTensor<float> gm;
  gm.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(out));
  gm.SetValue(25, 1.0f);
}
TEST_F(Icpu, BoundsAreThoseOfTheAllocation) {
  auto* out = static_cast<uint8_t*>(AscendC::GmAlloc(25 * sizeof(float)));
  ICPU_RUN_KF(past_the_end, 1, out);
  EXPECT_EQ(LastIcpuResult().first.rule, Rule::kGlobalBounds);
  AscendC::GmFree(out);
}

TEST(IcpuDeathTest, AbortsUnlessAskedToReport) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  addnorm::ascendc::SetOnViolation(OnViolation::kAbort);
  AscendC::SetKernelMode(KernelMode::AIV_MODE);
  auto* out = static_cast<uint8_t*>(AscendC::GmAlloc(25 * sizeof(float)));
  EXPECT_DEATH(ICPU_RUN_KF(past_the_end, 1, out), "rule 'gm-bounds' broken on core 0: SetValue");
  uint8_t stack[8] = {};
  EXPECT_DEATH(ICPU_RUN_KF(past_the_end, 1, static_cast<uint8_t*>(stack)), "rule 'gm-argument'");
  AscendC::GmFree(out);
  addnorm::ascendc::SetOnViolation(OnViolation::kReport);
}

}  // namespace
