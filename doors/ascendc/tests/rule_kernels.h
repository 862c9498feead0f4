// SPDX-License-Identifier: Apache-2.0
// Small kernels that break one rule each, and their nearest kernels that break none. A kernel is `void(bool broken)`; GM is `Gm`.
#ifndef ADDNORM_DOORS_ASCENDC_TESTS_RULE_KERNELS_H_
#define ADDNORM_DOORS_ASCENDC_TESTS_RULE_KERNELS_H_

#include <cmath>

#include "kernel_operator.h"

namespace rule_test {

/// The line that must be named: AT(statement) notes it when it runs.
inline int g_line = 0;
#define AT(...) (::rule_test::g_line = __LINE__, __VA_ARGS__)

/// 256 floats of input and output.
inline constexpr uint32_t kCount = 256;
inline constexpr uint32_t kBytes = kCount * sizeof(float);
struct Gm {
  AscendC::GlobalTensor<float> in, out;
};
inline uint8_t* g_in = nullptr;
inline uint8_t* g_out = nullptr;
inline Gm OpenGm() {
  Gm gm;
  gm.in.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(g_in), kCount);
  gm.out.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(g_out), kCount);
  return gm;
}

using InQueue = AscendC::TQue<AscendC::TPosition::VECIN, 1>;
using OutQueue = AscendC::TQue<AscendC::TPosition::VECOUT, 1>;
using Local = AscendC::LocalTensor<float>;

/// A pipe with an input queue, an output queue and a buffer.
struct Desk {
  AscendC::TPipe pipe;
  InQueue in;
  OutQueue out;
  AscendC::TBuf<> buf;
  Gm gm = OpenGm();
  explicit Desk(uint32_t buffers = 1) {
    pipe.InitBuffer(in, buffers, kBytes);
    pipe.InitBuffer(out, buffers, kBytes);
    pipe.InitBuffer(buf, kBytes);
  }
  Local Load() {
    Local local = in.AllocTensor<float>();
    AscendC::DataCopy(local, gm.in, kCount);
    in.EnQue(local);
    return in.DeQue<float>();
  }
  Local Filled() {
    Local local = buf.Get<float>();
    AscendC::Duplicate(local, 1.0f, kCount);
    return local;
  }
};

// ---- Alignment, lengths, capacity -----------------------------------------------------------------------------------------

inline void VectorAlignment(bool broken) {
  Desk desk;
  Local x = desk.Filled();
  AT(AscendC::Muls(x[broken ? 4 : 8], x[broken ? 4 : 8], 2.0f, 16));
}
inline void CopyAlignment(bool broken) {
  Desk desk;
  Local x = desk.buf.Get<float>();
  AT(AscendC::DataCopy(x[broken ? 2 : 8], desk.gm.in, 8));
}
inline void CopyLength(bool broken) {
  Desk desk;
  Local x = desk.buf.Get<float>();
  AT(AscendC::DataCopy(x, desk.gm.in, broken ? 12 : 16));
}
inline void CopyOutLength(bool broken) {
  Desk desk;
  Local x = desk.Filled();
  AT(AscendC::DataCopy(desk.gm.out, x, broken ? 7 : 8));
}
inline void Capacity(bool broken) {
  AscendC::TPipe pipe;
  AscendC::TBuf<> a, b;
  pipe.InitBuffer(a, 192 * 1024 - 64);
  AT(pipe.InitBuffer(b, broken ? 65 : 64));
}
inline void SecondPipe(bool broken) {
  AscendC::TPipe first;
  if (!broken) first.Destroy();
  g_line = __LINE__, AscendC::TPipe(), (void)0;
}
inline void EmptyBuffer(bool broken) {
  AscendC::TPipe pipe;
  AscendC::TBuf<> a;
  AT(pipe.InitBuffer(a, broken ? 0 : 1));
}
inline void TooManyBuffers(bool broken) {
  AscendC::TPipe pipe;
  AscendC::TQue<AscendC::TPosition::VECIN, 2> a, b;
  pipe.InitBuffer(a, 32, 32);
  AT(pipe.InitBuffer(b, broken ? 33 : 32, 32));
}

// ---- Queues ----------------------------------------------------------------------------------------------------------------

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
#endif  // ADDNORM_DOORS_ASCENDC_TESTS_RULE_KERNELS_H_
