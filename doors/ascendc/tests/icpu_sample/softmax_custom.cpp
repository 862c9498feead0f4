// SPDX-License-Identifier: Apache-2.0
// y = softmax(x) over rows of any length: padded copies in, reductions with work tensors, scalars from UB, rows dealt out to the blocks.
#include "kernel_operator.h"

using namespace AscendC;

struct SoftmaxTiling {
  uint32_t rows;
  uint32_t cols;
};

class KernelSoftmax {
 public:
  __aicore__ inline void Init(GM_ADDR x, GM_ADDR y, const SoftmaxTiling* tiling, TPipe* pipe) {
    rows_ = tiling->rows;
    cols_ = tiling->cols;
    padded_ = (cols_ + 7) / 8 * 8;
    xGm_.SetGlobalBuffer((__gm__ float*)x, rows_ * cols_);
    yGm_.SetGlobalBuffer((__gm__ float*)y, rows_ * cols_);
    pipe->InitBuffer(inQueue_, 2, padded_ * sizeof(float));
    pipe->InitBuffer(outQueue_, 2, padded_ * sizeof(float));
    pipe->InitBuffer(workQueue_, 1, 8 * 32);
    pipe->InitBuffer(resultBuf_, 32);
  }
  __aicore__ inline void Process() {
    for (uint32_t row = GetBlockIdx(); row < rows_; row += GetBlockNum()) {
      CopyIn(row);
      Compute();
      CopyOut(row);
    }
  }

 private:
  __aicore__ inline void CopyIn(uint32_t row) {
    LocalTensor<float> x = inQueue_.AllocTensor<float>();
    DataCopyExtParams run{1, static_cast<uint32_t>(cols_ * sizeof(float)), 0, 0, 0};
    DataCopyPadExtParams<float> lowest{true, 0, static_cast<uint8_t>(padded_ - cols_), -3.0e38f};
    DataCopyPad(x, xGm_[row * cols_], run, lowest);
    inQueue_.EnQue(x);
  }
  __aicore__ inline void Compute() {
    LocalTensor<float> x = inQueue_.DeQue<float>();
    LocalTensor<float> y = outQueue_.AllocTensor<float>();
    LocalTensor<float> work = workQueue_.AllocTensor<float>();
    LocalTensor<float> result = resultBuf_.Get<float>();
    ReduceMax<float>(result, x, work, padded_, false);
    Adds(y, x, -result.GetValue(0), padded_);
    PipeBarrier<PIPE_V>();
    Exp(y, y, padded_);
    PipeBarrier<PIPE_V>();
    ReduceSum<float>(result, y, work, cols_);
    Muls(y, y, 1.0f / result(0), padded_);
    workQueue_.FreeTensor(work);
    inQueue_.FreeTensor(x);
    outQueue_.EnQue<float>(y);
  }
  __aicore__ inline void CopyOut(uint32_t row) {
    LocalTensor<float> y = outQueue_.DeQue<float>();
    DataCopyPad(yGm_[row * cols_], y, {1, static_cast<uint16_t>(cols_ * sizeof(float)), 0, 0});
    outQueue_.FreeTensor(y);
  }

  TQue<TPosition::VECIN, 2> inQueue_;
  TQue<TPosition::VECOUT, 2> outQueue_;
  TQue<TPosition::VECCALC, 1> workQueue_;
  TBuf<TPosition::VECCALC> resultBuf_;
  GlobalTensor<float> xGm_, yGm_;
  uint32_t rows_, cols_, padded_;
};

extern "C" __global__ __aicore__ void softmax_custom(GM_ADDR x, GM_ADDR y, GM_ADDR workspace, GM_ADDR tiling) {
  REGISTER_TILING_DEFAULT(SoftmaxTiling);
  GET_TILING_DATA(data, tiling);
  TPipe pipe;
  KernelSoftmax op;
  op.Init(x, y, &data, &pipe);
  op.Process();
}
