// SPDX-License-Identifier: Apache-2.0
// Kernels for the rules about the life of a tensor; see rule_kernels.h.
#ifndef ADDNORM_DOORS_ASCENDC_TESTS_RULE_KERNELS_QUEUE_H_
#define ADDNORM_DOORS_ASCENDC_TESTS_RULE_KERNELS_QUEUE_H_

#include "doors/ascendc/tests/rule_kernels.h"

namespace rule_test {

inline void AllocTooMany(bool broken) {
  Desk desk(broken ? 1 : 2);
  Local a = desk.in.AllocTensor<float>();
  Local b = AT(desk.in.AllocTensor<float>());
  desk.in.FreeTensor(a);
  desk.in.FreeTensor(b);
}
template <int kDepth>
void EnQueTwo() {
  AscendC::TPipe pipe;
  AscendC::TQue<AscendC::TPosition::VECIN, kDepth> queue;
  pipe.InitBuffer(queue, 2, 32);
  auto a = queue.template AllocTensor<float>();
  auto b = queue.template AllocTensor<float>();
  queue.EnQue(a);
  AT(queue.EnQue(b));
  for (int i = 0; i < 2; ++i) {
    auto out = queue.template DeQue<float>();
    queue.FreeTensor(out);
  }
}
inline void QueueDepth(bool broken) { broken ? EnQueTwo<1>() : EnQueTwo<2>(); }
inline void DeQueEmpty(bool broken) {
  Desk desk;
  Local a = desk.in.AllocTensor<float>();
  if (!broken) desk.in.EnQue(a);
  a = AT(desk.in.DeQue<float>());
  desk.in.FreeTensor(a);
}
inline void EnQueTwice(bool broken) {
  Desk desk;
  Local a = desk.in.AllocTensor<float>();
  desk.in.EnQue(a);
  if (!broken) a = desk.in.DeQue<float>();
  AT(desk.in.EnQue(a));
  a = desk.in.DeQue<float>();
  desk.in.FreeTensor(a);
}
inline void FreeEnqueued(bool broken) {
  Desk desk;
  Local a = desk.in.AllocTensor<float>();
  desk.in.EnQue(a);
  if (!broken) a = desk.in.DeQue<float>();
  AT(desk.in.FreeTensor(a));
}
inline void ForeignQueue(bool broken) {
  Desk desk;
  Local a = desk.in.AllocTensor<float>();
  Local b = desk.out.AllocTensor<float>();
  AT(desk.out.EnQue(broken ? a : b));
  desk.out.FreeTensor(desk.out.DeQue<float>());
  desk.in.FreeTensor(a);
}
inline void ReadBeforeDeQue(bool broken) {
  Desk desk;
  Local a = desk.in.AllocTensor<float>();
  AscendC::DataCopy(a, desk.gm.in, kCount);
  desk.in.EnQue(a);
  if (!broken) desk.in.DeQue<float>();
  AT(AscendC::Muls(desk.buf.Get<float>(), a, 2.0f, kCount));
  if (broken) desk.in.DeQue<float>();
  desk.in.FreeTensor(a);
}
inline void CopyOutBeforeDeQue(bool broken) {
  Desk desk;
  Local a = desk.out.AllocTensor<float>();
  AscendC::Duplicate(a, 1.0f, kCount);
  desk.out.EnQue(a);
  if (!broken) desk.out.DeQue<float>();
  AT(AscendC::DataCopy(desk.gm.out, a, kCount));
  desk.out.FreeTensor(a);
}
inline void NoInitBuffer(bool broken) {
  Desk desk;
  InQueue other;
  if (!broken) desk.pipe.InitBuffer(other, 1, 32);
  Local a = AT(other.AllocTensor<float>());
  other.FreeTensor(a);
}
inline void UseAfterFree(bool broken) {
  Desk desk;
  Local a = desk.Load();
  if (broken) desk.in.FreeTensor(a);
  AT(AscendC::Muls(desk.buf.Get<float>(), a, 2.0f, kCount));
  desk.in.FreeTensor(a);
}
inline void UseAfterReuse(bool broken) {
  Desk desk;
  Local old = desk.Load();
  desk.in.FreeTensor(old);
  Local fresh = desk.Load();  // the same buffer
  AT((broken ? old : fresh).GetValue(0));
  desk.in.FreeTensor(fresh);
}
inline void FreeTwice(bool broken) {
  Desk desk;
  Local a = desk.Load();
  if (broken) desk.in.FreeTensor(a);
  AT(desk.in.FreeTensor(a));
}
inline void UseAfterPipe(bool broken) {
  AscendC::TPipe* pipe = new AscendC::TPipe;
  AscendC::TBuf<> buf;
  pipe->InitBuffer(buf, kBytes);
  Local a = buf.Get<float>();
  if (broken) delete pipe;
  try {
    AT(AscendC::Duplicate(a, 0.0f, 8));
  } catch (...) {
    throw;
  }
  if (!broken) delete pipe;
}
inline void Unfreed(bool broken) {
  Desk desk;
  Local a = AT(desk.in.AllocTensor<float>());
  if (!broken) desk.in.FreeTensor(a);
}
inline void UnfreedInQueue(bool broken) {
  Desk desk;
  Local a = AT(desk.in.AllocTensor<float>());
  desk.in.EnQue(a);
  if (!broken) desk.in.FreeTensor(desk.in.DeQue<float>());
}

}  // namespace rule_test
#endif  // ADDNORM_DOORS_ASCENDC_TESTS_RULE_KERNELS_QUEUE_H_
