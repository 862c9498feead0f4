// SPDX-License-Identifier: Apache-2.0
// Kernels that forget a hand-over: what one engine did is there for another only after EnQue and DeQue, FreeTensor and AllocTensor, or a
// flag. See rule_kernels.h.
#ifndef ADDNORM_DOORS_ASCENDC_TESTS_RULE_KERNELS_HANDOVER_H_
#define ADDNORM_DOORS_ASCENDC_TESTS_RULE_KERNELS_HANDOVER_H_

#include "doors/ascendc/tests/rule_kernels.h"

namespace rule_test {

template <AscendC::HardEvent event>
void HandOver() {
  AscendC::SetFlag<event>(EVENT_ID0);
  AscendC::WaitFlag<event>(EVENT_ID0);
}

inline void ComputeBeforeEnQue(bool broken) {
  Desk desk;
  Local a = desk.in.AllocTensor<float>();
  AscendC::DataCopy(a, desk.gm.in, kCount);
  if (!broken) {
    desk.in.EnQue(a);
    a = desk.in.DeQue<float>();
  }
  AT(AscendC::Muls(desk.buf.Get<float>(), a, 2.0f, kCount));
  desk.in.FreeTensor(a);
}
inline void GetValueBeforeEnQue(bool broken) {
  Desk desk;
  Local a = desk.in.AllocTensor<float>();
  AscendC::DataCopy(a[64], desk.gm.in, 8);
  if (!broken) HandOver<AscendC::HardEvent::MTE2_S>();
  AT((void)a.GetValue(65));
  desk.in.FreeTensor(a);
}
// Only the lanes that take part count: the second repeat reads what was copied in.
inline void MaskedBeforeEnQue(bool broken) {
  Desk desk;
  Local a = desk.in.AllocTensor<float>();
  AscendC::Duplicate(a, 1.0f, kCount / 2);
  AscendC::DataCopy(a[128], desk.gm.in, 64);
  AT(AscendC::Adds(desk.buf.Get<float>(), a, 2.0f, 64, broken ? 3 : 2, {1, 1, 8, 8}));
  desk.in.FreeTensor(a);
}
inline void CopyOutBeforeEnQue(bool broken) {
  Desk desk;
  Local a = desk.out.AllocTensor<float>();
  AscendC::Duplicate(a, 1.0f, kCount);
  if (!broken) {
    desk.out.EnQue(a);
    a = desk.out.DeQue<float>();
  }
  AT(AscendC::DataCopy(desk.gm.out, a, kCount));
  desk.out.FreeTensor(a);
}
inline void PadOutBeforeEnQue(bool broken) {
  Desk desk;
  Local a = desk.out.AllocTensor<float>();
  a.SetValue(0, 1.0f);
  if (!broken) AscendC::PipeBarrier<PIPE_ALL>();
  AT(AscendC::DataCopyPad(desk.gm.out, a, AscendC::DataCopyExtParams(1, 4, 0, 0, 0)));
  desk.out.FreeTensor(a);
}
inline void ComputeAfterDeQue(bool broken) {
  Desk desk;
  Local a = desk.out.AllocTensor<float>();
  AscendC::Duplicate(a, 1.0f, kCount);
  desk.out.EnQue(a);
  a = desk.out.DeQue<float>();
  AscendC::Muls(a, a, 2.0f, 8);
  if (!broken) {
    desk.out.EnQue(a);
    a = desk.out.DeQue<float>();
  }
  AT(AscendC::DataCopy(desk.gm.out, a, kCount));
  desk.out.FreeTensor(a);
}
// A VECIN queue orders copies in and vector work, not vector work and copies out.
inline void InputCopiedOut(bool broken) {
  Desk desk;
  Local a = desk.Load();
  AscendC::Muls(a, a, 2.0f, kCount);
  desk.in.EnQue(a);
  a = desk.in.DeQue<float>();
  if (!broken) HandOver<AscendC::HardEvent::V_MTE3>();
  AT(AscendC::DataCopy(desk.gm.out, a, kCount));
  desk.in.FreeTensor(a);
}
// ... nor a VECOUT queue copies in and copies out; TQueBind does.
template <typename Queue>
void PassThrough() {
  AscendC::TPipe pipe;
  Queue queue;
  pipe.InitBuffer(queue, 1, kBytes);
  Gm gm = OpenGm();
  Local a = queue.template AllocTensor<float>();
  AscendC::DataCopy(a, gm.in, kCount);
  queue.EnQue(a);
  a = queue.template DeQue<float>();
  AT(AscendC::DataCopy(gm.out, a, kCount));
  queue.FreeTensor(a);
}
inline void OutputCopiedIn(bool broken) {
  broken ? PassThrough<OutQueue>() : PassThrough<AscendC::TQueBind<AscendC::TPosition::VECIN, AscendC::TPosition::VECOUT, 1>>();
}
inline void InputPassedOn(bool broken) {
  Desk desk;
  Local a = desk.Load();
  if (!broken) HandOver<AscendC::HardEvent::MTE2_MTE3>();
  AT(AscendC::DataCopy(desk.gm.out, a, kCount));
  desk.in.FreeTensor(a);
}
// A flag hands over to the engine that waits, not to another.
inline void FlagForAnotherEngine(bool broken) {
  Desk desk;
  Local a = desk.in.AllocTensor<float>();
  AscendC::DataCopy(a, desk.gm.in, kCount);
  HandOver<AscendC::HardEvent::MTE2_MTE3>();
  AscendC::DataCopy(desk.gm.out, a, kCount);
  if (!broken) HandOver<AscendC::HardEvent::MTE2_V>();
  AT((void)a.GetValue(0));
  desk.in.FreeTensor(a);
}
// What was handed over travels on: the copy out waits for the vector unit, which has waited for the copy in.
inline void HandedOverTwice(bool broken) {
  Desk desk;
  Local a = desk.in.AllocTensor<float>();
  AscendC::DataCopy(a, desk.gm.in, kCount);
  if (!broken) {
    desk.in.EnQue(a);
    a = desk.in.DeQue<float>();
  }
  HandOver<AscendC::HardEvent::V_MTE3>();
  AT(AscendC::DataCopy(desk.gm.out, a, kCount));
  desk.in.FreeTensor(a);
}
inline void OverwrittenWhileCopiedOut(bool broken) {
  Desk desk;
  Local a = desk.out.AllocTensor<float>();
  AscendC::Duplicate(a, 1.0f, kCount);
  desk.out.EnQue(a);
  a = desk.out.DeQue<float>();
  AscendC::DataCopy(desk.gm.out, a, kCount);
  if (!broken) {
    desk.out.FreeTensor(a);
    a = desk.out.AllocTensor<float>();
  }
  AT(AscendC::Duplicate(a, 2.0f, kCount));
  desk.out.FreeTensor(a);
}
inline void PaddedThenCopiedIn(bool broken) {
  Desk desk;
  Local a = desk.in.AllocTensor<float>();
  AscendC::Duplicate(a[broken ? 0 : 8], 0.0f, 8);
  AT(AscendC::DataCopy(a, desk.gm.in, 8));
  desk.in.FreeTensor(a);
}

// Memory without such a queue: nothing to hand over.
inline void DoubleInBuffer() {
  Desk desk;
  Local a = desk.buf.Get<float>();
  AscendC::DataCopy(a, desk.gm.in, kCount);
  AscendC::Muls(a, a, 2.0f, kCount);
  AscendC::DataCopy(desk.gm.out, a, kCount);
}
inline void DoubleInCalcQueue() {
  AscendC::TPipe pipe;
  AscendC::TQue<AscendC::TPosition::VECCALC, 1> queue;
  pipe.InitBuffer(queue, 1, kBytes);
  Gm gm = OpenGm();
  Local a = queue.AllocTensor<float>();
  AscendC::DataCopy(a, gm.in, kCount);
  AscendC::Muls(a, a, 2.0f, kCount);
  AscendC::DataCopy(gm.out, a, kCount);
  queue.FreeTensor(a);
}

}  // namespace rule_test
#endif  // ADDNORM_DOORS_ASCENDC_TESTS_RULE_KERNELS_HANDOVER_H_
