// SPDX-License-Identifier: Apache-2.0
// Every rule: a kernel that breaks it is stopped at its line with a message that names argument, got and expected; its nearest kernel runs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "addnorm/ascendc/launch.h"
#include "doors/ascendc/tests/rule_kernels_flag.h"
#include "doors/ascendc/tests/rule_kernels_handover.h"
#include "doors/ascendc/tests/rule_kernels_memory.h"
#include "doors/ascendc/tests/rule_kernels_queue.h"
#include "doors/ascendc/tests/rule_kernels_tile.h"
#include "doors/ascendc/tests/rule_kernels_vector.h"
#include "tiling/tiling_api.h"

namespace rule_test {

LayerNormGradTiling MakeTiling(const Fault& fault) {
  LayerNormGradTiling tiling;
  tiling.bLength = 1;  // what stays if the stack is too small for a row
  tiling.sLength = fault.s;
  tiling.hLength = fault.h;
  tiling.originalHLength = fault.original_h;
  AscendC::GetLayerNormGradNDTilingInfo(ge::Shape({1, fault.s, fault.h, fault.original_h}), fault.stack_bytes, fault.type_bytes, false,
                                        tiling);
  if (fault.no_stack) tiling.stackBufferSize = 0;
  return tiling;
}
LayerNormTiling MakeNormTiling() {
  LayerNormTiling tiling;
  AscendC::GetLayerNormNDTilingInfo(ge::Shape({1, 8, 16, 16}), 4096, 4, false, tiling);
  return tiling;
}
LayerNormGradBetaTiling MakeBetaTiling(uint32_t type_bytes) {
  LayerNormGradBetaTiling tiling;
  AscendC::GetLayerNormGradBetaNDTilingInfo(ge::Shape({1, 8, 16, 16}), 4096, type_bytes, false, tiling);
  return tiling;
}

namespace {

using addnorm::ascendc::InGm;
using addnorm::ascendc::Launch;
using addnorm::ascendc::LaunchOptions;
using addnorm::ascendc::LaunchResult;
using addnorm::ascendc::Rule;
using testing::HasSubstr;

struct RuleCase {
  const char* name;
  void (*kernel)(bool broken);
  Rule rule;
  std::vector<const char*> texts;  // argument, got, expected
};

// GoogleTest prints it.
void PrintTo(const RuleCase& test, std::ostream* out) { *out << test.name; }

const std::vector<RuleCase> kCases = {
    {"VectorAlignment", VectorAlignment, Rule::kAlignment, {"Muls", "'dst'", " 2064 ", "multiple of 32"}},
    {"CopyAlignment", CopyAlignment, Rule::kAlignment, {"DataCopy", "'dst'", " 2056 ", "multiple of 32"}},
    {"CopyLength", CopyLength, Rule::kCopyLength, {"DataCopy", "'count'", "48 bytes", "multiple of 32"}},
    {"CopyOutLength", CopyOutLength, Rule::kCopyLength, {"DataCopy", "'count'", "28 bytes", "multiple of 32"}},
    {"Capacity", Capacity, Rule::kCapacity, {"InitBuffer", "'len'", "is 65", "196608 bytes of UB"}},
    {"SecondPipe", SecondPipe, Rule::kPipe, {"TPipe", "second", "one at a time"}},
    {"EmptyBuffer", EmptyBuffer, Rule::kPipe, {"InitBuffer", "'len'", "is 0", "at least 1"}},
    {"TooManyBuffers", TooManyBuffers, Rule::kPipe, {"InitBuffer", "'num'", "is 33 after 32", "at most 64"}},
    {"AllocTooMany", AllocTooMany, Rule::kQueueDepth, {"AllocTensor", "'queue'", "1 of its 1", "a free one"}},
    {"QueueDepth", QueueDepth, Rule::kQueueDepth, {"EnQue", "'queue'", "holds 1", "depth 1"}},
    {"DeQueEmpty", DeQueEmpty, Rule::kQueueState, {"DeQue", "'queue'", "is empty", "an enqueued tensor"}},
    {"EnQueTwice", EnQueTwice, Rule::kQueueState, {"EnQue", "'tensor'", "is enqueued", "allocated or dequeued"}},
    {"FreeEnqueued", FreeEnqueued, Rule::kQueueState, {"FreeTensor", "'tensor'", "is enqueued", "DeQue before"}},
    {"ForeignQueue", ForeignQueue, Rule::kQueueState, {"EnQue", "'tensor'", "another queue", "one of this queue"}},
    {"ReadBeforeDeQue", ReadBeforeDeQue, Rule::kQueueState, {"Muls", "'src'", "in its queue", "DeQue before it is read"}},
    {"CopyOutBeforeDeQue", CopyOutBeforeDeQue, Rule::kQueueState, {"DataCopy", "'src'", "in its queue", "DeQue before"}},
    {"ComputeBeforeEnQue", ComputeBeforeEnQue, Rule::kQueueState, {"Muls", "'src' byte 0 ", "copied in at", "EnQue and DeQue"}},
    {"GetValueBeforeEnQue", GetValueBeforeEnQue, Rule::kQueueState, {"GetValue", "'tensor' byte 260", "copied in at", "EnQue and DeQue"}},
    {"MaskedBeforeEnQue", MaskedBeforeEnQue, Rule::kQueueState, {"Adds", "'src' byte 512", "copied in at", "EnQue and DeQue"}},
    {"CopyOutBeforeEnQue", CopyOutBeforeEnQue, Rule::kQueueState, {"DataCopy", "'src'", "computed at", "EnQue and DeQue"}},
    {"PadOutBeforeEnQue", PadOutBeforeEnQue, Rule::kQueueState, {"DataCopyPad", "'src'", "computed at", "EnQue and DeQue"}},
    {"ComputeAfterDeQue", ComputeAfterDeQue, Rule::kQueueState, {"DataCopy", "'src'", "computed at", "EnQue and DeQue"}},
    {"InputCopiedOut", InputCopiedOut, Rule::kQueueState, {"DataCopy", "'src'", "computed at", "a VECOUT queue, or SetFlag and WaitFlag"}},
    {"OutputCopiedIn", OutputCopiedIn, Rule::kQueueState, {"DataCopy", "'src'", "copied in at", "of a TQueBind"}},
    {"InputPassedOn", InputPassedOn, Rule::kQueueState, {"DataCopy", "'src'", "copied in at", "MTE2_MTE3"}},
    {"FlagForAnotherEngine", FlagForAnotherEngine, Rule::kQueueState, {"GetValue", "'tensor'", "copied in at", "MTE2_V"}},
    {"HandedOverTwice", HandedOverTwice, Rule::kQueueState, {"DataCopy", "'src'", "copied in at", "MTE2_MTE3"}},
    {"WaitWithoutSet", WaitWithoutSet, Rule::kFlag, {"WaitFlag", "'eventID' 0 of MTE2_V is not set", "SetFlag before"}},
    {"WaitTwice", WaitTwice, Rule::kFlag, {"WaitFlag", "'eventID' 3 of V_MTE3 is not set", "SetFlag before"}},
    {"WaitForAnotherId", WaitForAnotherId, Rule::kFlag, {"WaitFlag", "'eventID' 1 of MTE2_V is not set", "SetFlag before"}},
    {"WaitForAnotherEvent", WaitForAnotherEvent, Rule::kFlag, {"WaitFlag", "'eventID' 0 of V_MTE2 is not set", "SetFlag before"}},
    {"SetWithoutWait", SetWithoutWait, Rule::kFlag, {"SetFlag", "flag 0 of MTE2_V is set at the end", "WaitFlag before"}},
    {"OldSetWithoutWait", OldSetWithoutWait, Rule::kFlag, {"SetFlag", "flag 2 of V_MTE3 is set at the end", "WaitFlag before"}},
    {"NoSuchFlag", NoSuchFlag, Rule::kFlag, {"SetFlag", "'eventID' is 8", "0 to 7"}},
    {"TooManyEvents", TooManyEvents, Rule::kFlag, {"AllocEventID", "8 ids of MTE2_V are in use", "ReleaseEventID"}},
    {"SetBeforeTheCopy", SetBeforeTheCopy, Rule::kQueueState, {"Muls", "'src'", "copied in at", "MTE2_V"}},
    {"SecondHalfTooEarly", SecondHalfTooEarly, Rule::kQueueState, {"Muls", "'src' byte 0 ", "copied in at", "MTE2_V"}},
    {"ResidentLoop", ResidentLoop, Rule::kQueueState, {"Adds", "'dst'", "copied out at", "MTE3_V"}},
    {"OverwrittenWhileCopiedOut", OverwrittenWhileCopiedOut, Rule::kQueueState, {"Duplicate", "'dst'", "copied out at", "FreeTensor"}},
    {"PaddedThenCopiedIn", PaddedThenCopiedIn, Rule::kQueueState, {"DataCopy", "'dst'", "computed at", "WaitFlag"}},
    {"NoInitBuffer", NoInitBuffer, Rule::kQueueState, {"AllocTensor", "'queue'", "no buffers", "InitBuffer"}},
    {"UseAfterFree", UseAfterFree, Rule::kUseAfterFree, {"Muls", "'src'", "is freed", "a live tensor"}},
    {"UseAfterReuse", UseAfterReuse, Rule::kUseAfterFree, {"GetValue", "'tensor'", "is freed", "a live tensor"}},
    {"FreeTwice", FreeTwice, Rule::kUseAfterFree, {"FreeTensor", "'tensor'", "is freed", "a live tensor"}},
    {"UseAfterPipe", UseAfterPipe, Rule::kUseAfterFree, {"Duplicate", "'dst'", "pipe is gone", "a live tensor"}},
    {"Unfreed", Unfreed, Rule::kUnfreed, {"AllocTensor", "is allocated at the end", "FreeTensor"}},
    {"UnfreedInQueue", UnfreedInQueue, Rule::kUnfreed, {"AllocTensor", "is enqueued at the end", "FreeTensor"}},
    {"CopyOutUnwritten", CopyOutUnwritten, Rule::kUninitialised, {"DataCopy", "'src'", "byte 60", "never written"}},
    {"GetUnwritten", GetUnwritten, Rule::kUninitialised, {"GetValue", "'tensor'", "byte 20", "never written"}},
    {"UnwrittenTravels", UnwrittenTravels, Rule::kUninitialised, {"ReduceSum", "'src'", "byte 28", "never written"}},
    {"PadsLeave", PadsLeave, Rule::kUninitialised, {"DataCopyPad", "'src'", "byte 20", "never written"}},
    {"AllocForgets", AllocForgets, Rule::kUninitialised, {"DataCopy", "'src'", "byte 0", "never written"}},
    {"ReferenceNotWritten", ReferenceNotWritten, Rule::kUninitialised, {"DataCopy", "'src'", "byte 28", "never written"}},
    {"PointerNotWritten", PointerNotWritten, Rule::kUninitialised, {"DataCopy", "'src'", "byte 30", "never written"}},
    {"WorkReadAfterwards", WorkReadAfterwards, Rule::kUninitialised, {"GetValue", "'tensor'", "byte 768", "undefined by now"}},
    {"LocalBounds", LocalBounds, Rule::kLocalBounds, {"Muls", "'dst'", "byte 516", "512 bytes"}},
    {"LocalIndex", LocalIndex, Rule::kLocalBounds, {"SetValue", "'index'", "is 256", "less than 256"}},
    {"RepeatBounds", RepeatBounds, Rule::kLocalBounds, {"Add", "'dst'", "byte 1280", "1024 bytes"}},
    {"GmTensorBounds", GmTensorBounds, Rule::kGlobalBounds, {"DataCopy", "'src'", "byte 64", "32 bytes"}},
    {"GmAllocationBounds", GmAllocationBounds, Rule::kGlobalBounds, {"DataCopy", "'dst'", "64 bytes", "at most the 32"}},
    {"GmForeign", GmForeign, Rule::kGlobalBounds, {"DataCopy", "'dst'", "address is 0x", "memory of GmAlloc or of the launch"}},
    {"GmNegativeElement", GmNegativeElement, Rule::kGlobalBounds, {"SetValue", "'GlobalTensor'", "1024 bytes"}},
    {"GmHugeElement", GmHugeElement, Rule::kGlobalBounds, {"GetValue", "'GlobalTensor'", "1024 bytes"}},
    {"GmHugeRest", GmHugeRest, Rule::kGlobalBounds, {"DataCopy", "'src'", "byte 32", "0 bytes"}},
    {"GmUnsizedNegativeElement", GmUnsizedNegativeElement, Rule::kGlobalBounds, {"GetValue", "'GlobalTensor'", "in its allocation"}},
    {"GmElement", GmElement, Rule::kGlobalBounds, {"SetValue", "'GlobalTensor'", "byte 1028", "1024 bytes"}},
    {"VectorPosition", VectorPosition, Rule::kPosition, {"Muls", "'dst'", "A1", "VECIN, VECCALC or VECOUT"}},
    {"PartialOverlap", PartialOverlap, Rule::kOverlap, {"Muls", "'dst'", "overlaps", "disjoint"}},
    {"RepeatFeedsRepeat", RepeatFeedsRepeat, Rule::kOverlap, {"Muls", "'dst'", "that a later repeat reads", "disjoint"}},
    {"LanesOverlap", LanesOverlap, Rule::kOverlap, {"Muls", "'dst'", "by a part", "disjoint"}},
    {"Accumulate", Accumulate, Rule::kOverlap, {"Add", "'dst'", "that a later repeat reads", "disjoint"}},
    {"WideCastInPlace", WideCastInPlace, Rule::kOverlap, {"Cast", "'dst'", "overlaps a source", "disjoint"}},
    {"ReduceOverlap", ReduceOverlap, Rule::kOverlap, {"ReduceSum", "'dst' overlaps 'src'", "same start or disjoint"}},
    {"ReduceWorkOverlap", ReduceWorkOverlap, Rule::kOverlap, {"ReduceMax", "'work' overlaps 'src'", "same start or disjoint"}},
    {"WholeReduceOverlap", WholeReduceOverlap, Rule::kOverlap, {"WholeReduceSum", "'dst'", "that a later repeat reads", "disjoint"}},
    {"CastMode", CastMode, Rule::kParameter, {"Cast", "'roundMode'", "CAST_NONE from float to int32_t", "CAST_RINT, CAST_FLOOR"}},
    {"CastPair", CastPair, Rule::kParameter, {"Cast", "'dst'", "float with a source of uint32_t", "a pair of"}},
    {"MaskBits", MaskBits, Rule::kParameter, {"Muls", "'mask'", "lanes 0 to 63"}},
    {"MaskRegister", MaskRegister, Rule::kParameter, {"Muls", "'mask'", "selects no lane"}},
    {"Mask", Mask, Rule::kParameter, {"Muls", "'mask'", "lanes 0 to 63"}},
    {"WorkSize", WorkSize, Rule::kTmpSize, {"ReduceSum", "'work'", "16 bytes", "at least 32"}},
    {"TmpTooSmall", TmpTooSmall, Rule::kTmpSize, {"LayerNormGrad", "'sharedTmpBuffer'", "3040 bytes", "at least 3072"}},
    {"TmpLayout", TmpLayout, Rule::kTmpSize, {"LayerNormGrad", "'sharedTmpBuffer'", "8672 bytes", "at least 8704", "layout"}},
    {"UbLeft", UbLeft, Rule::kTmpSize, {"LayerNormGrad", "'UB left", "3040 bytes", "at least 3072"}},
    {"UnfilledTiling", UnfilledTiling, Rule::kTmpSize, {"LayerNormGrad", "'tiling'", "oneCalSize is 0", "3072 bytes or more"}},
    {"HalfTiling", HalfTiling, Rule::kShape, {"LayerNormGrad", "'tiling'", "for typeSize 2", "expected 4"}},
    {"NoStack", NoStack, Rule::kTmpSize, {"LayerNormGrad", "'tiling'", "stackBufferSize is 0", "3072 bytes or more"}},
    {"BetaTiling", BetaTiling, Rule::kShape, {"LayerNormGradBeta", "'tiling'", "for typeSize 2", "expected 4"}},
    {"LayerNormReusedSource", LayerNormReusedSource, Rule::kUninitialised, {"GetValue", "'tensor'", "undefined by now", "a value"}},
    {"Format", Format, Rule::kFormat, {"LayerNormGrad", "'shapeInfo'", "is 1", "ND = 0"}},
    {"TailAxis", TailAxis, Rule::kTailAxis, {"LayerNormGrad", "'tiling'", "hLength is 12 (48 bytes)", "multiple of 32"}},
    {"StatisticAxis", StatisticAxis, Rule::kTailAxis, {"LayerNormGrad", "'tiling'", "sLength is 4 (16 bytes", "multiple of 32"}},
    {"OriginalH", OriginalH, Rule::kShape, {"LayerNormGrad", "'tiling'", "originalHLength is 17", "1 to hLength = 16"}},
    {"TilePosition", TilePosition, Rule::kPosition, {"LayerNormGrad", "'inputGamma'", "A1", "VECIN, VECCALC or VECOUT"}},
    {"OutputsEqual", OutputsEqual, Rule::kOverlap, {"LayerNormGrad", "'outputPdX'", "'resForGamma'", "disjoint"}},
    {"OutputShifted", OutputShifted, Rule::kOverlap, {"LayerNormGrad", "'outputPdX'", "'inputX'", "exactly inputX or inputDy"}},
    {"TileUnwritten", TileUnwritten, Rule::kUninitialised, {"LayerNormGrad", "'inputMean'", "byte 0", "never written"}},
    {"TileBounds", TileBounds, Rule::kLocalBounds, {"LayerNormGrad", "'inputGamma'", "byte 64", "32 bytes"}},
    {"ReusedSource", ReusedSource, Rule::kUninitialised, {"GetValue", "'tensor'", "undefined by now", "a value"}},
};

void Entry(GM_ADDR in, GM_ADDR out, const RuleCase* test, bool broken) {
  g_in = in;
  g_out = out;
  test->kernel(broken);
}

LaunchResult RunCase(const RuleCase& test, bool broken) {
  std::vector<float> in(kCount, 1.0f), out(kCount, 0.0f);
  g_line = 0;
  return Launch({}, Entry, InGm(in), InGm(out), &test, broken);
}

class Rules : public testing::TestWithParam<RuleCase> {};
INSTANTIATE_TEST_SUITE_P(All, Rules, testing::ValuesIn(kCases), [](const auto& info) { return std::string(info.param.name); });

TEST_P(Rules, BrokenIsCaughtAtItsLine) {
  const LaunchResult result = RunCase(GetParam(), true);
  ASSERT_EQ(result.violations, 1u);
  EXPECT_STREQ(NameOf(result.first.rule), NameOf(GetParam().rule));
  EXPECT_EQ(result.first.line, g_line) << result.first.text;
  EXPECT_THAT(result.first.file, HasSubstr("rule_kernels"));
  for (const char* text : GetParam().texts) EXPECT_THAT(result.first.text, HasSubstr(text));
}
TEST_P(Rules, NearestKernelRuns) {
  const LaunchResult result = RunCase(GetParam(), false);
  EXPECT_TRUE(result.ok()) << NameOf(result.first.rule) << " at line " << result.first.line << ": " << result.first.text;
}
// No later core suffers from one that was stopped.
TEST_P(Rules, NearestKernelRunsAfterBroken) {
  EXPECT_FALSE(RunCase(GetParam(), true).ok());
  EXPECT_TRUE(RunCase(GetParam(), false).ok());
}

// ---- Rules that need several cores or a launch ---------------------------------------------------------------------------------

void WriteRow(GM_ADDR out, uint32_t stride, bool atomic) {
  AscendC::TPipe pipe;
  AscendC::TBuf<> buf;
  pipe.InitBuffer(buf, 64);
  Local row = buf.Get<float>();
  AscendC::Duplicate(row, 1.0f, 16);
  AscendC::GlobalTensor<float> gm;
  gm.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(out));
  if (atomic) AscendC::SetAtomicAdd<float>();
  g_line = __LINE__ + 1;
  AscendC::DataCopy(gm[static_cast<uint64_t>(AscendC::GetBlockIdx()) * stride], row, 16);
  if (atomic) AscendC::SetAtomicNone();
}

TEST(BlockConflict, OverlapOfTwoBlocksIsCaught) {
  std::vector<float> out(64);
  LaunchOptions options;
  options.blocks = 4;
  const LaunchResult result = Launch(options, WriteRow, InGm(out), 8u, false);
  EXPECT_EQ(result.violations, 2u);  // block 1 meets block 0, block 2 nobody, block 3 block 2
  EXPECT_EQ(result.first.rule, Rule::kBlockConflict);
  EXPECT_EQ(result.first.core, 1);
  EXPECT_EQ(result.first.line, g_line);
  EXPECT_THAT(result.first.text, HasSubstr("core 0 ("));
  EXPECT_TRUE(Launch(options, WriteRow, InGm(out), 16u, false).ok());
}
// Which line wrote the bytes that conflict, though another line of the same core wrote the bytes beside them later.
void WriteTwoLines(GM_ADDR out) {
  AscendC::GlobalTensor<float> gm;
  gm.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(out));
  if (AscendC::GetBlockIdx() == 1) return gm.SetValue(0, 1.0f);
  g_line = __LINE__ + 1;
  for (uint64_t i = 0; i < 4; ++i) gm.SetValue(i, 1.0f);
  for (uint64_t i = 2; i < 8; ++i) gm.SetValue(i, 1.0f);
}
TEST(BlockConflict, NamesTheLineThatWrote) {
  std::vector<float> out(8);
  LaunchOptions options;
  options.blocks = 2;
  const LaunchResult result = Launch(options, WriteTwoLines, InGm(out));
  EXPECT_EQ(result.first.rule, Rule::kBlockConflict);
  EXPECT_THAT(result.first.text, HasSubstr("ascendc_rules_test.cc:" + std::to_string(g_line) + ")"));
}
// SetAtomicAdd is about copies; a scalar write is a plain one.
void SetValueWhileAtomic(GM_ADDR out) {
  AscendC::SetAtomicAdd<float>();
  AscendC::GlobalTensor<float> gm;
  gm.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(out));
  gm.SetValue(0, 1.0f);
  AscendC::SetAtomicNone();
}
TEST(BlockConflict, ScalarWritesAreNotAtomic) {
  std::vector<float> out(8);
  LaunchOptions options;
  options.blocks = 2;
  EXPECT_EQ(Launch(options, SetValueWhileAtomic, InGm(out)).first.rule, Rule::kBlockConflict);
  options.blocks = 1;
  EXPECT_TRUE(Launch(options, SetValueWhileAtomic, InGm(out)).ok());
}
TEST(BlockConflict, AtomicAddsMayMeet) {
  std::vector<float> out(16, 0.0f);
  LaunchOptions options;
  options.blocks = 4;
  EXPECT_TRUE(Launch(options, WriteRow, InGm(out), 0u, true).ok());
  for (float value : out) EXPECT_EQ(value, 4.0f);
}

void Throws() { throw std::runtime_error("of the user"); }
void Nothing() {}

TEST(LaunchRules, BadLaunchesAreReported) {
  LaunchOptions options;
  options.kernel = "Nothing";
  EXPECT_TRUE(Launch(options, Nothing).ok());
  options.blocks = 0;
  EXPECT_THAT(Launch(options, Nothing).first.text, HasSubstr("'blocks' is 0, expected 1 to 65535"));
  options.blocks = 1;
  options.architecture = 42;
  EXPECT_THAT(Launch(options, Nothing).first.text, HasSubstr("'architecture' is 42"));
  const LaunchResult thrown = Launch({}, Throws);
  EXPECT_EQ(thrown.first.rule, Rule::kLaunch);
  EXPECT_THAT(thrown.first.text, HasSubstr("of the user"));
  // A launch has no line in a kernel, and does not pretend to.
  char text[256];
  EXPECT_THAT(Describe(thrown.first, text, sizeof(text)), testing::StartsWith("rule 'launch' broken on core 0: kernel: "));
}
void NegativeEpsilon() {
  AscendC::TPipe pipe;
  AscendC::TBuf<> buffer;
  pipe.InitBuffer(buffer, 1024 * sizeof(float));
  Local all = buffer.Get<float>();
  AscendC::Duplicate(all, 0.5f, 1024);
  LayerNormGradTiling tiling = MakeTiling({});
  AscendC::LayerNormGrad<float>(all[256], all[384], all, all[128], all[512], all[528], all[544], -1.0f, tiling);
}
TEST(LaunchRules, TheCoresTextIsNotPrefixedTwice) {
  const LaunchResult result = Launch({}, NegativeEpsilon);
  EXPECT_EQ(result.first.rule, Rule::kParameter);
  EXPECT_THAT(result.first.text, testing::StartsWith("LayerNormGrad: "));
  EXPECT_THAT(result.first.text, testing::Not(HasSubstr("LayerNormGrad: LayerNormGrad")));
}

// The size of UB is that of the chosen architecture.
void FillUb(uint32_t bytes) {
  AscendC::TPipe pipe;
  AscendC::TBuf<> buf;
  pipe.InitBuffer(buf, bytes);
}
TEST(LaunchRules, CapacityFollowsTheArchitecture) {
  const std::pair<uint32_t, uint32_t> sizes[] = {{2201, 192}, {1001, 248}, {2002, 248}, {3002, 248},
                                                 {3510, 248}, {5102, 248}, {3003, 118}, {3113, 118}};
  for (const auto& [architecture, kib] : sizes) {
    LaunchOptions options;
    options.architecture = architecture;
    EXPECT_TRUE(Launch(options, FillUb, kib * 1024).ok()) << architecture;
    const LaunchResult result = Launch(options, FillUb, kib * 1024 + 1);
    EXPECT_EQ(result.first.rule, Rule::kCapacity) << architecture;
  }
}

// A kernel called as a plain function: the Violation reaches the caller, or the process ends, by choice.
TEST(Outside, CallerCatches) {
  using addnorm::ascendc::OnViolation;
  addnorm::ascendc::SetOnViolation(OnViolation::kReport);
  std::vector<float> memory(kCount);
  g_in = reinterpret_cast<uint8_t*>(memory.data());
  g_out = g_in;
  try {
    CopyLength(true);
    FAIL() << "nothing thrown";
  } catch (const addnorm::ascendc::Violation& violation) {
    EXPECT_EQ(violation.rule, Rule::kCopyLength);
    EXPECT_EQ(violation.line, g_line);
  }
  CopyLength(false);
  // What the end of a pipe finds is thrown too, and the pipe is gone all the same.
  try {
    Unfreed(true);
    FAIL() << "nothing thrown";
  } catch (const addnorm::ascendc::Violation& violation) {
    EXPECT_EQ(violation.rule, Rule::kUnfreed);
    EXPECT_EQ(violation.line, g_line);
  }
  EXPECT_NO_THROW(Unfreed(false));
  addnorm::ascendc::SetOnViolation(OnViolation::kAbort);
}
// A kernel that forgets SetAtomicNone does not change what the next one does.
TEST(Outside, AtomicAddEndsWithItsKernel) {
  std::vector<float> memory(kCount, 5.0f);
  g_in = g_out = reinterpret_cast<uint8_t*>(memory.data());
  const auto copy_one = [](bool atomic) {
    Desk desk;
    if (atomic) AscendC::SetAtomicAdd<float>();
    AscendC::DataCopy(desk.gm.out, desk.Filled(), 8);
  };
  copy_one(true);
  EXPECT_EQ(memory[0], 6.0f);
  copy_one(false);
  EXPECT_EQ(memory[0], 1.0f);
}
// Memory without a queue has no hand-overs to forget.
TEST(Outside, BuffersWithoutAQueueNeedNone) {
  using addnorm::ascendc::OnViolation;
  addnorm::ascendc::SetOnViolation(OnViolation::kReport);
  std::vector<float> memory(kCount, 5.0f);
  g_in = g_out = reinterpret_cast<uint8_t*>(memory.data());
  EXPECT_NO_THROW(DoubleInBuffer());
  EXPECT_NO_THROW(DoubleInCalcQueue());
  EXPECT_EQ(memory[0], 20.0f);
  addnorm::ascendc::SetOnViolation(OnViolation::kAbort);
}
// Outside a launch, flags are looked at where the pipe ends; the next kernel starts without them.
TEST(Outside, FlagsEndWithTheirPipe) {
  using addnorm::ascendc::OnViolation;
  addnorm::ascendc::SetOnViolation(OnViolation::kReport);
  std::vector<float> memory(kCount);
  g_in = g_out = reinterpret_cast<uint8_t*>(memory.data());
  for (int i = 0; i < 2; ++i) {
    EXPECT_THROW(SetWithoutWait(true), addnorm::ascendc::Violation);
    EXPECT_THROW(WaitWithoutSet(true), addnorm::ascendc::Violation);
  }
  EXPECT_NO_THROW(SetWithoutWait(false));
  addnorm::ascendc::SetOnViolation(OnViolation::kAbort);
}
TEST(OutsideDeathTest, ProcessEnds) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  std::vector<float> memory(kCount);
  g_in = g_out = reinterpret_cast<uint8_t*>(memory.data());
  EXPECT_DEATH(CopyLength(true), "rule_kernels.h:[0-9]+: rule 'copy-length' broken on core 0: DataCopy");
  EXPECT_DEATH(Unfreed(true), "rule 'unfreed'");
}
TEST(LaunchDeathTest, AbortByChoice) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  LaunchOptions options;
  options.on_violation = addnorm::ascendc::OnViolation::kAbort;
  EXPECT_DEATH((void)Launch(options, Throws), "of the user");
  EXPECT_DEATH((void)Launch(options, FillUb, 0u), "rule 'pipe' broken");
}

TEST(Coverage, EveryRuleHasAKernel) {
  std::set<Rule> seen = {Rule::kBlockConflict, Rule::kLaunch, Rule::kGlobalArgument};  // above, and in ascendc_icpu_test
  for (const RuleCase& test : kCases) seen.insert(test.rule);
#define ADDNORM_X(name, text) EXPECT_TRUE(seen.count(Rule::name)) << text;
  ADDNORM_ASCENDC_RULES(ADDNORM_X)
#undef ADDNORM_X
}

}  // namespace
}  // namespace rule_test
