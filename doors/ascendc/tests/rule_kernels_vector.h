// SPDX-License-Identifier: Apache-2.0
// Kernels for the rules about operands of vector operations; see rule_kernels.h.
#ifndef ADDNORM_DOORS_ASCENDC_TESTS_RULE_KERNELS_VECTOR_H_
#define ADDNORM_DOORS_ASCENDC_TESTS_RULE_KERNELS_VECTOR_H_

#include "doors/ascendc/tests/rule_kernels.h"

namespace rule_test {

inline void VectorPosition(bool broken) {
  Desk desk;
  AscendC::TBuf<AscendC::TPosition::A1> l1;
  desk.pipe.InitBuffer(l1, 64);
  Local a = desk.Filled();
  AT(AscendC::Muls(broken ? l1.Get<float>() : a, a, 2.0f, 8));
}
inline void PartialOverlap(bool broken) {
  Desk desk;
  Local a = desk.Filled();
  AT(AscendC::Muls(a[broken ? 8 : 16], a, 2.0f, 16));
}
// Repeat 1 reads what repeat 0 wrote; the other way round each repeat reads before it is overwritten.
inline void RepeatFeedsRepeat(bool broken) {
  Desk desk;
  Local a = desk.Filled();
  AT(AscendC::Muls(a[broken ? 64 : 0], a[broken ? 0 : 64], 2.0f, 64, 2, {1, 1, 8, 8}));
}
inline void LanesOverlap(bool broken) {
  Desk desk;
  Local a = desk.Filled();
  AT(AscendC::Muls(a[broken ? 16 : 8], a, 2.0f, 32, 1, {2, 2, 8, 8}));  // every second block: 8 falls between them
}
// Adding up in place is what repeat strides of 0 are for; with a stride it is not.
inline void Accumulate(bool broken) {
  Desk desk;
  Local a = desk.Filled(), sum = desk.Load();
  AT(AscendC::Add(sum, a, sum, 64, 3, AscendC::BinaryRepeatParams(1, 1, 1, broken ? 8 : 0, 8, 0)));
  desk.in.FreeTensor(sum);
}
inline void WideCastInPlace(bool broken) {
  Desk desk;
  Local a = desk.Filled();
  const AscendC::LocalTensor<half> narrow = (broken ? a : a[128]).ReinterpretCast<half>();
  AT(AscendC::Cast(a, narrow, AscendC::RoundMode::CAST_NONE, 64, 2, {1, 1, 8, 4}));
}
inline void ReduceOverlap(bool broken) {
  Desk desk;
  Local a = desk.Filled();
  AT(AscendC::ReduceSum(a[broken ? 8 : 0], a, a[128], 64));
}
inline void ReduceWorkOverlap(bool broken) {
  Desk desk;
  Local a = desk.Filled();
  AT(AscendC::ReduceMax(a[128], a, a[broken ? 8 : 0], 64));
}
inline void WholeReduceOverlap(bool broken) {
  Desk desk;
  Local a = desk.Filled();
  AT(AscendC::WholeReduceSum(a[broken ? 64 : 0], a, 64, 2, 1, 1, 8));
}
inline void CastMode(bool broken) {
  Desk desk;
  Local a = desk.Filled();
  AT(AscendC::Cast(a.ReinterpretCast<int32_t>(), a, broken ? AscendC::RoundMode::CAST_NONE : AscendC::RoundMode::CAST_RINT, 8));
}
inline void CastPair(bool broken) {
  Desk desk;
  Local a = desk.Filled();
  const auto mode = AscendC::RoundMode::CAST_RINT;
  if (broken) return AT(AscendC::Cast(a[64], a.ReinterpretCast<uint32_t>(), mode, 8));
  AscendC::Cast(a[64], a.ReinterpretCast<int32_t>(), mode, 8);
}
inline void Mask(bool broken) {
  Desk desk;
  Local a = desk.Filled();
  AT(AscendC::Muls(a, a, 2.0f, static_cast<uint64_t>(broken ? 65 : 64), 1, AscendC::UnaryRepeatParams()));
}
inline void MaskBits(bool broken) {
  Desk desk;
  Local a = desk.Filled();
  const uint64_t mask[2] = {1, broken ? 1u : 0u};  // float has 64 lanes
  AT(AscendC::Muls(a, a, 2.0f, mask, 1, {1, 1, 8, 8}));
}
inline void MaskRegister(bool broken) {
  Desk desk;
  Local a = desk.Filled();
  AscendC::SetVectorMask<float>(0, broken ? 0 : 0xff);
  AT(AscendC::Muls<float, false>(a, a, 2.0f, AscendC::MASK_PLACEHOLDER, 1, {1, 1, 8, 8}));
}
inline void WorkSize(bool broken) {
  Desk desk;
  Local a = desk.Filled();
  Local work = a[224];
  work.SetSize(broken ? 4 : 8);
  AT(AscendC::ReduceSum(a[216], a, work, 128));
}

}  // namespace rule_test
#endif  // ADDNORM_DOORS_ASCENDC_TESTS_RULE_KERNELS_VECTOR_H_
