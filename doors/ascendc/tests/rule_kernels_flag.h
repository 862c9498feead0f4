// SPDX-License-Identifier: Apache-2.0
// Kernels whose SetFlag and WaitFlag do not belong together. See rule_kernels.h.
#ifndef ADDNORM_DOORS_ASCENDC_TESTS_RULE_KERNELS_FLAG_H_
#define ADDNORM_DOORS_ASCENDC_TESTS_RULE_KERNELS_FLAG_H_

#include "doors/ascendc/tests/rule_kernels.h"

namespace rule_test {

using AscendC::HardEvent;
using AscendC::SetFlag;
using AscendC::WaitFlag;

inline void WaitWithoutSet(bool broken) {
  Desk desk;
  if (!broken) SetFlag<HardEvent::MTE2_V>(EVENT_ID0);
  AT(WaitFlag<HardEvent::MTE2_V>(EVENT_ID0));
}
inline void WaitTwice(bool broken) {
  Desk desk;
  SetFlag<HardEvent::V_MTE3>(EVENT_ID3);
  WaitFlag<HardEvent::V_MTE3>(EVENT_ID3);
  if (!broken) SetFlag<HardEvent::V_MTE3>(EVENT_ID3);
  AT(WaitFlag<HardEvent::V_MTE3>(EVENT_ID3));
}
inline void WaitForAnotherId(bool broken) {
  Desk desk;
  SetFlag<HardEvent::MTE2_V>(EVENT_ID0);
  AT(WaitFlag<HardEvent::MTE2_V>(broken ? EVENT_ID1 : EVENT_ID0));
}
inline void WaitForAnotherEvent(bool broken) {
  Desk desk;
  SetFlag<HardEvent::MTE2_V>(EVENT_ID0);
  if (broken) {
    AT(WaitFlag<HardEvent::V_MTE2>(EVENT_ID0));
  } else {
    WaitFlag<HardEvent::MTE2_V>(EVENT_ID0);
  }
}
inline void SetWithoutWait(bool broken) {
  Desk desk;
  AT(SetFlag<HardEvent::MTE2_V>(EVENT_ID0));
  if (!broken) WaitFlag<HardEvent::MTE2_V>(EVENT_ID0);
}
// Also without a pipe, in the older spelling.
inline void OldSetWithoutWait(bool broken) {
  AT(set_flag(PIPE_V, PIPE_MTE3, EVENT_ID2));
  if (!broken) WaitFlag<HardEvent::V_MTE3>(EVENT_ID2);
}
inline void NoSuchFlag(bool broken) {
  Desk desk;
  AT(SetFlag<HardEvent::MTE2_V>(broken ? 8 : 7));
  WaitFlag<HardEvent::MTE2_V>(7);
}
inline void TooManyEvents(bool broken) {
  Desk desk;
  for (int i = 0; i < 8; ++i) desk.pipe.AllocEventID<HardEvent::MTE2_V>();
  if (!broken) desk.pipe.ReleaseEventID<HardEvent::MTE2_V>(3);
  AT(desk.pipe.AllocEventID<HardEvent::MTE2_V>());
}
// A flag covers what its engine did before it was set.
inline void SetBeforeTheCopy(bool broken) {
  Desk desk;
  Local a = desk.in.AllocTensor<float>();
  if (broken) SetFlag<HardEvent::MTE2_V>(EVENT_ID0);
  AscendC::DataCopy(a, desk.gm.in, kCount);
  if (!broken) SetFlag<HardEvent::MTE2_V>(EVENT_ID0);
  WaitFlag<HardEvent::MTE2_V>(EVENT_ID0);
  AT(AscendC::Muls(desk.buf.Get<float>(), a, 2.0f, kCount));
  desk.in.FreeTensor(a);
}
// Two halves under two flags, each waited for before it is used.
inline void SecondHalfTooEarly(bool broken) {
  Desk desk;
  const AscendC::TEventID first = desk.pipe.AllocEventID<HardEvent::MTE2_V>();
  const AscendC::TEventID second = desk.pipe.AllocEventID<HardEvent::MTE2_V>();
  Local a = desk.in.AllocTensor<float>();
  AscendC::DataCopy(a, desk.gm.in, kCount / 2);
  SetFlag<HardEvent::MTE2_V>(first);
  AscendC::DataCopy(a[kCount / 2], desk.gm.in, kCount / 2);
  SetFlag<HardEvent::MTE2_V>(second);
  WaitFlag<HardEvent::MTE2_V>(first);
  AscendC::Muls(desk.buf.Get<float>(), a, 2.0f, kCount / 2);
  if (!broken) WaitFlag<HardEvent::MTE2_V>(second);
  AT(AscendC::Muls(desk.buf.Get<float>(), a[kCount / 2], 2.0f, kCount / 2));
  if (broken) WaitFlag<HardEvent::MTE2_V>(second);
  desk.in.FreeTensor(a);
}
// The classic loop over one resident input and output: each engine waits until the one behind it is done with the last round.
inline void ResidentLoop(bool broken) {
  Desk desk;
  Local a = desk.in.AllocTensor<float>();
  Local b = desk.out.AllocTensor<float>();
  SetFlag<HardEvent::V_MTE2>(EVENT_ID0);
  SetFlag<HardEvent::MTE3_V>(EVENT_ID0);
  for (uint32_t i = 0; i < 4; ++i) {
    WaitFlag<HardEvent::V_MTE2>(EVENT_ID0);
    AscendC::DataCopy(a, desk.gm.in[i * 8], 8);
    SetFlag<HardEvent::MTE2_V>(EVENT_ID0);
    WaitFlag<HardEvent::MTE2_V>(EVENT_ID0);
    if (!broken) WaitFlag<HardEvent::MTE3_V>(EVENT_ID0);
    AT(AscendC::Adds(b, a, 1.0f, 8));
    SetFlag<HardEvent::V_MTE2>(EVENT_ID0);
    SetFlag<HardEvent::V_MTE3>(EVENT_ID0);
    WaitFlag<HardEvent::V_MTE3>(EVENT_ID0);
    AscendC::DataCopy(desk.gm.out[i * 8], b, 8);
    SetFlag<HardEvent::MTE3_V>(EVENT_ID0);
  }
  WaitFlag<HardEvent::V_MTE2>(EVENT_ID0);
  WaitFlag<HardEvent::MTE3_V>(EVENT_ID0);
  desk.in.FreeTensor(a);
  desk.out.FreeTensor(b);
}

}  // namespace rule_test
#endif  // ADDNORM_DOORS_ASCENDC_TESTS_RULE_KERNELS_FLAG_H_
