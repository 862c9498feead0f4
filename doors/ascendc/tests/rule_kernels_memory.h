// SPDX-License-Identifier: Apache-2.0
// Kernels for the rules about values and bounds; see rule_kernels.h.
#ifndef ADDNORM_DOORS_ASCENDC_TESTS_RULE_KERNELS_MEMORY_H_
#define ADDNORM_DOORS_ASCENDC_TESTS_RULE_KERNELS_MEMORY_H_

#include "doors/ascendc/tests/rule_kernels.h"

namespace rule_test {

// ---- Values that nobody wrote ------------------------------------------------------------------------------------------------

inline void CopyOutUnwritten(bool broken) {
  Desk desk;
  Local a = desk.buf.Get<float>();
  AscendC::Duplicate(a, 1.0f, broken ? 15 : 16);
  AT(AscendC::DataCopy(desk.gm.out, a, 16));
}
inline void GetUnwritten(bool broken) {
  Desk desk;
  Local a = desk.buf.Get<float>();
  a.SetValue(broken ? 4 : 5, 1.0f);
  AT(a.GetValue(5));
}
// The missing value travels through vector operations; where it leaves is where it is reported.
inline void UnwrittenTravels(bool broken) {
  Desk desk;
  Local a = desk.buf.Get<float>(), b = a[64], c = a[128];
  AscendC::Duplicate(a, 1.0f, 8);
  AscendC::Duplicate(b, 1.0f, broken ? 7 : 8);
  AscendC::Add(c, a, b, 8);
  AscendC::Exp(c, c, 8);
  AT(AscendC::ReduceSum(a[192], c, a[224], 8));
}
// Untouched pads are legal as long as they stay in UB.
inline void PadsLeave(bool broken) {
  Desk desk;
  Local a = desk.buf.Get<float>();
  AscendC::DataCopyPad(a, desk.gm.in, AscendC::DataCopyExtParams(1, 5 * sizeof(float), 0, 0, 0), AscendC::DataCopyPadExtParams<float>());
  AscendC::Muls(a, a, 2.0f, 8);
  AT(AscendC::DataCopyPad(desk.gm.out, a, AscendC::DataCopyExtParams(1, (broken ? 6 : 5) * sizeof(float), 0, 0, 0)));
}
inline void AllocForgets(bool broken) {
  Desk desk;
  Local a = desk.Load();
  if (broken) {
    desk.in.FreeTensor(a);
    a = desk.in.AllocTensor<float>();
  }
  AscendC::PipeBarrier<PIPE_ALL>();
  AT(AscendC::DataCopy(desk.gm.out, a, 8));
  desk.in.FreeTensor(a);
}

inline void ReferenceNotWritten(bool broken) {
  Desk desk;
  Local a = desk.buf.Get<float>();
  AscendC::Duplicate(a, 1.0f, 7);
  (void)static_cast<float>(a(7));
  if (!broken) a(7) = 2.0f;
  AT(AscendC::DataCopy(desk.gm.out, a, 8));
}
inline void PointerNotWritten(bool broken) {
  Desk desk;
  AscendC::LocalTensor<half> a = desk.buf.Get<half>();
  half* values = a.GetPhyAddr();
  for (int i = 0; i < (broken ? 15 : 16); ++i) values[i] = half(1);
  AT(AscendC::DataCopy(desk.gm.out, a.ReinterpretCast<float>(), 8));
}
inline void WorkReadAfterwards(bool broken) {
  Desk desk;
  Local a = desk.Filled();
  AscendC::ReduceSum(a[128], a, a[192], 64);
  AT((void)a.GetValue(broken ? 192 : 200));
}

// ---- Bounds --------------------------------------------------------------------------------------------------------------------

// Offsets in bytes that do not fit 64 bits, or that come from a negative index, must not wrap into the tensor.
inline void GmNegativeElement(bool broken) {
  Desk desk;
  const int index = broken ? -1 : 1;
  AT(desk.gm.out.SetValue(static_cast<uint64_t>(index), 1.0f));
}
inline void GmHugeElement(bool broken) {
  Desk desk;
  AT((void)desk.gm.in.GetValue(broken ? uint64_t{1} << 62 : 0));
}
inline void GmHugeRest(bool broken) {
  Desk desk;
  AT(AscendC::DataCopy(desk.buf.Get<float>(), desk.gm.in[broken ? uint64_t{1} << 62 : 0], 8));
}
inline void GmUnsizedNegativeElement(bool broken) {
  AscendC::GlobalTensor<float> gm;
  gm.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(g_in) + 8);
  const int index = broken ? -1 : 1;
  AT((void)gm.GetValue(static_cast<uint64_t>(index)));
}
inline void LocalBounds(bool broken) {
  Desk desk;
  Local a = desk.Filled();
  AT(AscendC::Muls(a[128], a[128], 2.0f, broken ? 129 : 128));
}
inline void LocalIndex(bool broken) {
  Desk desk;
  Local a = desk.Filled();
  AT(a.SetValue(broken ? 256 : 255, 1.0f));
}
inline void RepeatBounds(bool broken) {
  Desk desk;
  Local a = desk.Filled();
  AT(AscendC::Add(a, a, a, 64, broken ? 5 : 4, {1, 1, 1, 8, 8, 8}));
}
inline void GmTensorBounds(bool broken) {
  Desk desk;
  Local a = desk.buf.Get<float>();
  AT(AscendC::DataCopy(a, desk.gm.in[kCount - 8], broken ? 16 : 8));
}
inline void GmAllocationBounds(bool broken) {
  Desk desk;
  Local a = desk.Filled();
  AscendC::GlobalTensor<float> whole;
  whole.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(g_out));  // no size: only the allocation bounds it
  AT(AscendC::DataCopy(whole[kCount - 8], a, broken ? 16 : 8));
}
inline void GmForeign(bool broken) {
  Desk desk;
  Local a = desk.Filled();
  static float elsewhere[8];
  AscendC::GlobalTensor<float> other;
  other.SetGlobalBuffer(broken ? elsewhere : reinterpret_cast<float*>(g_out), 8);
  AT(AscendC::DataCopy(other, a, 8));
}
inline void GmElement(bool broken) {
  Desk desk;
  AT(desk.gm.out.SetValue(broken ? kCount : kCount - 1, 1.0f));
}

}  // namespace rule_test
#endif  // ADDNORM_DOORS_ASCENDC_TESTS_RULE_KERNELS_MEMORY_H_
