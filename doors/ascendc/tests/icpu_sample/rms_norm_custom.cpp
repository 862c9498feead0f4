// SPDX-License-Identifier: Apache-2.0
// y = x / sqrt(mean(x^2) + eps) * gamma over rows of any length: half in and out, float inside, from basic vector operations only.
// Rows are split over the blocks, ragged ends are copied with DataCopyPad, row buffers are double.
#include "kernel_operator.h"

struct RmsNormTiling {
  uint32_t rows;
  uint32_t cols;
  float epsilon;
};

class KernelRmsNorm {
 public:
  __aicore__ inline KernelRmsNorm() {}
  __aicore__ inline void Init(GM_ADDR x, GM_ADDR gamma, GM_ADDR y, const RmsNormTiling& tiling, AscendC::TPipe* pipe) {
    cols_ = tiling.cols;
    epsilon_ = tiling.epsilon;
    const uint32_t blocks = static_cast<uint32_t>(AscendC::GetBlockNum());
    const uint32_t block = static_cast<uint32_t>(AscendC::GetBlockIdx());
    const uint32_t share = (tiling.rows + blocks - 1) / blocks;
    const uint32_t first = block * share < tiling.rows ? block * share : tiling.rows;
    rows_ = tiling.rows - first < share ? tiling.rows - first : share;
    xGm_.SetGlobalBuffer((__gm__ half*)x + first * cols_, rows_ * cols_);
    yGm_.SetGlobalBuffer((__gm__ half*)y + first * cols_, rows_ * cols_);
    gammaGm_.SetGlobalBuffer((__gm__ half*)gamma, cols_);
    const uint32_t padded = (cols_ + 15) / 16 * 16;
    pipe->InitBuffer(inQueue_, 2, padded * sizeof(half));
    pipe->InitBuffer(outQueue_, 2, padded * sizeof(half));
    pipe->InitBuffer(gammaBuf_, padded * sizeof(float));
    pipe->InitBuffer(rowBuf_, padded * sizeof(float));
    pipe->InitBuffer(workBuf_, padded * sizeof(float));
    pipe->InitBuffer(sumBuf_, 2 * 32);
  }
  __aicore__ inline void Process() {
    if (rows_ == 0) return;
    LoadGamma();
    for (uint32_t row = 0; row < rows_; row++) {
      CopyIn(row);
      Compute();
      CopyOut(row);
    }
  }

 private:
  __aicore__ inline AscendC::DataCopyExtParams Row() const { return {1, static_cast<uint32_t>(cols_ * sizeof(half)), 0, 0, 0}; }
  __aicore__ inline void LoadGamma() {
    AscendC::LocalTensor<half> narrow = inQueue_.AllocTensor<half>();
    AscendC::DataCopyPad(narrow, gammaGm_, Row(), {false, 0, 0, 0});
    inQueue_.EnQue(narrow);
    narrow = inQueue_.DeQue<half>();
    AscendC::Cast(gammaBuf_.Get<float>(), narrow, AscendC::RoundMode::CAST_NONE, cols_);
    inQueue_.FreeTensor(narrow);
  }
  __aicore__ inline void CopyIn(uint32_t row) {
    AscendC::LocalTensor<half> x = inQueue_.AllocTensor<half>();
    AscendC::DataCopyPad(x, xGm_[row * cols_], Row(), {false, 0, 0, 0});
    inQueue_.EnQue(x);
  }
  __aicore__ inline void Compute() {
    AscendC::LocalTensor<half> x = inQueue_.DeQue<half>();
    AscendC::LocalTensor<half> y = outQueue_.AllocTensor<half>();
    AscendC::LocalTensor<float> row = rowBuf_.Get<float>();
    AscendC::LocalTensor<float> work = workBuf_.Get<float>();
    AscendC::LocalTensor<float> sum = sumBuf_.Get<float>();
    AscendC::LocalTensor<float> gamma = gammaBuf_.Get<float>();
    AscendC::Cast(row, x, AscendC::RoundMode::CAST_NONE, cols_);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Mul(work, row, row, cols_);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::ReduceSum(sum, work, work, cols_);
    event_t done = static_cast<event_t>(AscendC::GetTPipePtr()->FetchEventID(AscendC::HardEvent::V_S));
    AscendC::SetFlag<AscendC::HardEvent::V_S>(done);
    AscendC::WaitFlag<AscendC::HardEvent::V_S>(done);
    AscendC::Duplicate(sum, sum.GetValue(0) / cols_ + epsilon_, 8);
    AscendC::Sqrt(sum, sum, 8);
    AscendC::Muls(row, row, 1.0f / sum.GetValue(0), cols_);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Mul(row, row, gamma, cols_);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Cast(y, row, AscendC::RoundMode::CAST_RINT, cols_);
    inQueue_.FreeTensor(x);
    outQueue_.EnQue(y);
  }
  __aicore__ inline void CopyOut(uint32_t row) {
    AscendC::LocalTensor<half> y = outQueue_.DeQue<half>();
    AscendC::DataCopyPad(yGm_[row * cols_], y, Row());
    outQueue_.FreeTensor(y);
  }

  AscendC::GlobalTensor<half> xGm_, yGm_, gammaGm_;
  AscendC::TQue<AscendC::QuePosition::VECIN, 2> inQueue_;
  AscendC::TQue<AscendC::QuePosition::VECOUT, 2> outQueue_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> gammaBuf_, rowBuf_, workBuf_, sumBuf_;
  uint32_t rows_ = 0, cols_ = 0;
  float epsilon_ = 0;
};

extern "C" __global__ __aicore__ void rms_norm_custom(GM_ADDR x, GM_ADDR gamma, GM_ADDR y, GM_ADDR workspace, GM_ADDR tiling) {
  if ASCEND_IS_AIC {
    return;
  }
  RmsNormTiling data;
  CopyTiling(&data, tiling);
  AscendC::TPipe pipe;
  KernelRmsNorm op;
  op.Init(x, gamma, y, data, &pipe);
  op.Process();
  (void)workspace;
}
