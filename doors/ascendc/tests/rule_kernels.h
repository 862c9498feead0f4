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

}  // namespace rule_test
#endif  // ADDNORM_DOORS_ASCENDC_TESTS_RULE_KERNELS_H_
