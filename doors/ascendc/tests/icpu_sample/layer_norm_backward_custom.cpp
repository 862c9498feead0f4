// SPDX-License-Identifier: Apache-2.0
// The whole backward of LayerNorm from the tile calls: forward for the statistics, LayerNormGrad, LayerNormGradBeta. Rows are split over
// the blocks, dgamma and dbeta are added up in GM by atomics.
#include "kernel_operator.h"

struct BackwardTiling {
  uint32_t rows;  // of one block
  uint32_t cols;
  float epsilon;
  uint32_t tmpBytes;
  LayerNormTiling norm;
  LayerNormGradTiling grad;
  LayerNormGradBetaTiling beta;
};

template <typename T>
class KernelBackward {
 public:
  __aicore__ inline KernelBackward(AscendC::TPipe* pipe, const BackwardTiling& tiling) : pipe_(pipe), tiling_(tiling) {}
  __aicore__ inline void Init(GM_ADDR x, GM_ADDR dy, GM_ADDR gamma, GM_ADDR dx, GM_ADDR dgamma, GM_ADDR dbeta) {
    count_ = tiling_.rows * tiling_.cols;
    const uint64_t offset = AscendC::GetBlockIdx() * static_cast<uint64_t>(count_);
    xGm_.SetGlobalBuffer((__gm__ T*)x + offset, count_);
    dyGm_.SetGlobalBuffer((__gm__ T*)dy + offset, count_);
    gammaGm_.SetGlobalBuffer((__gm__ T*)gamma, tiling_.cols);
    dxGm_.SetGlobalBuffer((__gm__ T*)dx + offset, count_);
    dgammaGm_.SetGlobalBuffer((__gm__ T*)dgamma, tiling_.cols);
    dbetaGm_.SetGlobalBuffer((__gm__ T*)dbeta, tiling_.cols);
    pipe_->InitBuffer(inX_, 1, count_ * sizeof(T));
    pipe_->InitBuffer(inDy_, 1, count_ * sizeof(T));
    pipe_->InitBuffer(inGamma_, 1, tiling_.cols * sizeof(T));
    pipe_->InitBuffer(outDx_, 1, count_ * sizeof(T));
    pipe_->InitBuffer(outDgamma_, 1, tiling_.cols * sizeof(T));
    pipe_->InitBuffer(outDbeta_, 1, tiling_.cols * sizeof(T));
    pipe_->InitBuffer(xhat_, count_ * sizeof(T));
    pipe_->InitBuffer(mean_, tiling_.rows * sizeof(T));
    pipe_->InitBuffer(variance_, tiling_.rows * sizeof(T));
    pipe_->InitBuffer(zeros_, tiling_.cols * sizeof(T));
    pipe_->InitBuffer(tmp_, tiling_.tmpBytes);
  }
  __aicore__ inline void Process() {
    CopyIn(inX_, xGm_, count_);
    CopyIn(inDy_, dyGm_, count_);
    CopyIn(inGamma_, gammaGm_, tiling_.cols);
    Compute();
    CopyOut(dxGm_, outDx_, count_);
    AscendC::SetAtomicAdd<T>();
    CopyOut(dgammaGm_, outDgamma_, tiling_.cols);
    CopyOut(dbetaGm_, outDbeta_, tiling_.cols);
    AscendC::SetAtomicNone();
  }

 private:
  using InQueue = AscendC::TQue<AscendC::TPosition::VECIN, 1>;
  using OutQueue = AscendC::TQue<AscendC::TPosition::VECOUT, 1>;

  __aicore__ inline void CopyIn(InQueue& queue, const AscendC::GlobalTensor<T>& gm, uint32_t count) {
    AscendC::LocalTensor<T> local = queue.template AllocTensor<T>();
    AscendC::DataCopy(local, gm, count);
    queue.EnQue(local);
  }
  __aicore__ inline void Compute() {
    AscendC::LocalTensor<T> x = inX_.template DeQue<T>();
    AscendC::LocalTensor<T> dy = inDy_.template DeQue<T>();
    AscendC::LocalTensor<T> gamma = inGamma_.template DeQue<T>();
    AscendC::LocalTensor<T> dx = outDx_.template AllocTensor<T>();
    AscendC::LocalTensor<T> dgamma = outDgamma_.template AllocTensor<T>();
    AscendC::LocalTensor<T> dbeta = outDbeta_.template AllocTensor<T>();
    AscendC::LocalTensor<T> xhat = xhat_.template Get<T>();
    AscendC::LocalTensor<T> mean = mean_.template Get<T>();
    AscendC::LocalTensor<T> variance = variance_.template Get<T>();
    AscendC::LocalTensor<T> zeros = zeros_.template Get<T>();
    AscendC::LocalTensor<uint8_t> tmp = tmp_.template Get<uint8_t>();
    AscendC::Duplicate(zeros, T(0), tiling_.cols);
    AscendC::LayerNorm<T, false>(xhat, mean, variance, x, gamma, zeros, tmp, (T)tiling_.epsilon, tiling_.norm);
    AscendC::LayerNormGrad<T, false>(dx, xhat, dy, x, variance, mean, gamma, tmp, (T)tiling_.epsilon, tiling_.grad, {DataFormat::ND});
    AscendC::LayerNormGradBeta<T, false>(dgamma, dbeta, xhat, dy, tmp, tiling_.beta);
    outDx_.EnQue(dx);
    outDgamma_.EnQue(dgamma);
    outDbeta_.EnQue(dbeta);
    inX_.FreeTensor(x);
    inDy_.FreeTensor(dy);
    inGamma_.FreeTensor(gamma);
  }
  __aicore__ inline void CopyOut(AscendC::GlobalTensor<T>& gm, OutQueue& queue, uint32_t count) {
    AscendC::LocalTensor<T> local = queue.template DeQue<T>();
    AscendC::DataCopy(gm, local, count);
    queue.FreeTensor(local);
  }

  AscendC::TPipe* pipe_;
  BackwardTiling tiling_;
  InQueue inX_, inDy_, inGamma_;
  OutQueue outDx_, outDgamma_, outDbeta_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> xhat_, mean_, variance_, zeros_, tmp_;
  AscendC::GlobalTensor<T> xGm_, dyGm_, gammaGm_, dxGm_, dgammaGm_, dbetaGm_;
  uint32_t count_ = 0;
};

extern "C" __global__ __aicore__ void layer_norm_backward_custom(GM_ADDR x, GM_ADDR dy, GM_ADDR gamma, GM_ADDR dx, GM_ADDR dgamma,
                                                                 GM_ADDR dbeta, GM_ADDR /* workspace */, GM_ADDR tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  if ASCEND_IS_AIC {
    return;
  }
  BackwardTiling data;
  CopyTiling(&data, tiling);
  AscendC::TPipe pipe;
  if (TILING_KEY_IS(1)) {
    KernelBackward<float> op(&pipe, data);
    op.Init(x, dy, gamma, dx, dgamma, dbeta);
    op.Process();
  } else if (TILING_KEY_IS(2)) {
    KernelBackward<half> op(&pipe, data);
    op.Init(x, dy, gamma, dx, dgamma, dbeta);
    op.Process();
  }
}
