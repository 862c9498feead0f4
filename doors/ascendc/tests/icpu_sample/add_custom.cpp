// SPDX-License-Identifier: Apache-2.0
// z = x + y in half, split over 8 cores, 8 tiles each, double buffered: the shape of an ordinary vector kernel project.
#include "kernel_operator.h"

using namespace AscendC;

constexpr int32_t kTotalLength = 8 * 2048;
constexpr int32_t kCores = 8;
constexpr int32_t kBlockLength = kTotalLength / kCores;
constexpr int32_t kTiles = 8;
constexpr int32_t kBuffers = 2;
constexpr int32_t kTileLength = kBlockLength / kTiles / kBuffers;

class KernelAdd {
 public:
  __aicore__ inline KernelAdd() {}
  __aicore__ inline void Init(GM_ADDR x, GM_ADDR y, GM_ADDR z) {
    xGm.SetGlobalBuffer((__gm__ half*)x + kBlockLength * GetBlockIdx(), kBlockLength);
    yGm.SetGlobalBuffer((__gm__ half*)y + kBlockLength * GetBlockIdx(), kBlockLength);
    zGm.SetGlobalBuffer((__gm__ half*)z + kBlockLength * GetBlockIdx(), kBlockLength);
    pipe.InitBuffer(inQueueX, kBuffers, kTileLength * sizeof(half));
    pipe.InitBuffer(inQueueY, kBuffers, kTileLength * sizeof(half));
    pipe.InitBuffer(outQueueZ, kBuffers, kTileLength * sizeof(half));
  }
  __aicore__ inline void Process() {
    for (int32_t i = 0; i < kTiles * kBuffers; i++) {
      CopyIn(i);
      Compute(i);
      CopyOut(i);
    }
  }

 private:
  __aicore__ inline void CopyIn(int32_t progress) {
    LocalTensor<half> xLocal = inQueueX.AllocTensor<half>();
    LocalTensor<half> yLocal = inQueueY.AllocTensor<half>();
    DataCopy(xLocal, xGm[progress * kTileLength], kTileLength);
    DataCopy(yLocal, yGm[progress * kTileLength], kTileLength);
    inQueueX.EnQue(xLocal);
    inQueueY.EnQue(yLocal);
  }
  __aicore__ inline void Compute(int32_t progress) {
    LocalTensor<half> xLocal = inQueueX.DeQue<half>();
    LocalTensor<half> yLocal = inQueueY.DeQue<half>();
    LocalTensor<half> zLocal = outQueueZ.AllocTensor<half>();
    Add(zLocal, xLocal, yLocal, kTileLength);
    outQueueZ.EnQue<half>(zLocal);
    inQueueX.FreeTensor(xLocal);
    inQueueY.FreeTensor(yLocal);
    (void)progress;
  }
  __aicore__ inline void CopyOut(int32_t progress) {
    LocalTensor<half> zLocal = outQueueZ.DeQue<half>();
    DataCopy(zGm[progress * kTileLength], zLocal, kTileLength);
    outQueueZ.FreeTensor(zLocal);
  }

  TPipe pipe;
  TQue<QuePosition::VECIN, kBuffers> inQueueX, inQueueY;
  TQue<QuePosition::VECOUT, kBuffers> outQueueZ;
  GlobalTensor<half> xGm, yGm, zGm;
};

extern "C" __global__ __aicore__ void add_custom(GM_ADDR x, GM_ADDR y, GM_ADDR z) {
  KernelAdd op;
  op.Init(x, y, z);
  op.Process();
}

#ifndef ASCENDC_CPU_DEBUG
void add_custom_do(uint32_t blockDim, void* l2ctrl, void* stream, uint8_t* x, uint8_t* y, uint8_t* z) {
  add_custom<<<blockDim, l2ctrl, stream>>>(x, y, z);
}
#endif
