// SPDX-License-Identifier: Apache-2.0
// A LayerNormGrad kernel in the style of the document's sample, with every choice that a caller has: type, overload, isReuseSource, which
// tensors the outputs share, and a split of B over the blocks. Also LayerNormGradBeta and LayerNorm on the same tile.
#ifndef ADDNORM_DOORS_ASCENDC_TESTS_TILE_KERNEL_H_
#define ADDNORM_DOORS_ASCENDC_TESTS_TILE_KERNEL_H_

#include "kernel_operator.h"

namespace tile_test {

enum class Place : uint32_t { kOwn, kX, kDy };

struct TileTiling {
  LayerNormGradTiling grad;  // of one block
  LayerNormGradBetaTiling beta;
  LayerNormTiling norm;
  uint32_t tmp_bytes;  // 0 = the overload without sharedTmpBuffer
  Place dx, xhat;
  float epsilon;
};

template <typename T>
struct Queues {
  AscendC::TPipe pipe;
  AscendC::TQue<AscendC::TPosition::VECIN, 1> x, dy, variance, mean, gamma, beta;
  AscendC::TQue<AscendC::TPosition::VECOUT, 1> first, second, third;
  AscendC::TBuf<> tmp;
};

// Copies `count` elements from GM and takes them out of the queue again.
template <typename T, typename Queue>
__aicore__ AscendC::LocalTensor<T> Fetch(Queue& queue, GM_ADDR gm, uint64_t offset, uint32_t count) {
  AscendC::GlobalTensor<T> global;
  global.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(gm) + offset, count);
  AscendC::LocalTensor<T> local = queue.template AllocTensor<T>();
  AscendC::DataCopy(local, global, count);
  queue.EnQue(local);
  return queue.template DeQue<T>();
}
// Copies `count` elements of a tensor of `queue` to GM and frees it.
template <typename T, typename Queue>
__aicore__ void Send(Queue& queue, const AscendC::LocalTensor<T>& local, GM_ADDR gm, uint64_t offset, uint32_t count) {
  AscendC::GlobalTensor<T> global;
  global.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(gm) + offset, count);
  queue.EnQue(local);
  AscendC::LocalTensor<T> computed = queue.template DeQue<T>();
  AscendC::DataCopy(global, computed, count);
  queue.FreeTensor(computed);
}
// The same for results in an input's tensor, whose queue does not order computing and copying out.
template <typename T>
__aicore__ void SendFromInput(const AscendC::LocalTensor<T>& local, GM_ADDR gm, uint64_t offset, uint32_t count) {
  AscendC::GlobalTensor<T> global;
  global.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(gm) + offset, count);
  const event_t computed = static_cast<event_t>(AscendC::GetTPipePtr()->FetchEventID(AscendC::HardEvent::V_MTE3));
  AscendC::SetFlag<AscendC::HardEvent::V_MTE3>(computed);
  AscendC::WaitFlag<AscendC::HardEvent::V_MTE3>(computed);
  AscendC::DataCopy(global, local, count);
}

/// outputs: dx and xhat of this block's part of B.
template <typename T, bool kReuse>
__aicore__ void GradKernel(GM_ADDR x_gm, GM_ADDR dy_gm, GM_ADDR variance_gm, GM_ADDR mean_gm, GM_ADDR gamma_gm, GM_ADDR dx_gm,
                           GM_ADDR xhat_gm, GM_ADDR tiling_gm) {
  TileTiling tiling;
  CopyTiling(&tiling, tiling_gm);
  const uint32_t rows = tiling.grad.bLength * tiling.grad.sLength;
  const uint32_t h = tiling.grad.hLength;
  const uint32_t count = rows * h;
  const uint64_t block = static_cast<uint64_t>(AscendC::GetBlockIdx());

  Queues<T> q;
  for (auto* queue : {&q.x, &q.dy}) q.pipe.InitBuffer(*queue, 1, count * sizeof(T));
  for (auto* queue : {&q.variance, &q.mean}) q.pipe.InitBuffer(*queue, 1, rows * sizeof(T));
  q.pipe.InitBuffer(q.gamma, 1, h * sizeof(T));
  for (auto* queue : {&q.first, &q.second}) q.pipe.InitBuffer(*queue, 1, count * sizeof(T));
  auto x = Fetch<T>(q.x, x_gm, block * count, count);
  auto dy = Fetch<T>(q.dy, dy_gm, block * count, count);
  auto variance = Fetch<T>(q.variance, variance_gm, block * rows, rows);
  auto mean = Fetch<T>(q.mean, mean_gm, block * rows, rows);
  auto gamma = Fetch<T>(q.gamma, gamma_gm, 0, h);
  auto dx_own = q.first.template AllocTensor<T>();
  auto xhat_own = q.second.template AllocTensor<T>();
  auto place = [&](Place where, AscendC::LocalTensor<T>& own) { return where == Place::kX ? x : where == Place::kDy ? dy : own; };
  auto dx = place(tiling.dx, dx_own);
  auto xhat = place(tiling.xhat, xhat_own);
  if (tiling.tmp_bytes == 0) {
    AscendC::LayerNormGrad<T, kReuse>(dx, xhat, dy, x, variance, mean, gamma, static_cast<T>(tiling.epsilon), tiling.grad);
  } else {
    q.pipe.InitBuffer(q.tmp, tiling.tmp_bytes);
    AscendC::LocalTensor<uint8_t> tmp = q.tmp.template Get<uint8_t>();
    AscendC::LayerNormGrad<T, kReuse>(dx, xhat, dy, x, variance, mean, gamma, tmp, static_cast<T>(tiling.epsilon), tiling.grad,
                                      {DataFormat::ND});
  }
  auto send = [&](auto& queue, Place where, const AscendC::LocalTensor<T>& own, GM_ADDR gm) {
    if (where == Place::kOwn) return Send<T>(queue, own, gm, block * count, count);
    SendFromInput<T>(where == Place::kX ? x : dy, gm, block * count, count);
    queue.FreeTensor(own);
  };
  send(q.first, tiling.dx, dx_own, dx_gm);
  send(q.second, tiling.xhat, xhat_own, xhat_gm);
  q.x.FreeTensor(x);
  q.dy.FreeTensor(dy);
  q.variance.FreeTensor(variance);
  q.mean.FreeTensor(mean);
  q.gamma.FreeTensor(gamma);
}

/// LayerNormGrad, then LayerNormGradBeta on its resForGamma.
template <typename T>
__aicore__ void BetaKernel(GM_ADDR x_gm, GM_ADDR dy_gm, GM_ADDR variance_gm, GM_ADDR mean_gm, GM_ADDR gamma_gm, GM_ADDR xhat_gm,
                           GM_ADDR dgamma_gm, GM_ADDR dbeta_gm, GM_ADDR tiling_gm) {
  TileTiling tiling;
  CopyTiling(&tiling, tiling_gm);
  const uint32_t rows = tiling.grad.bLength * tiling.grad.sLength;
  const uint32_t h = tiling.grad.hLength;
  const uint32_t count = rows * h;
  Queues<T> q;
  AscendC::TBuf<> dx_buffer;
  for (auto* queue : {&q.x, &q.dy}) q.pipe.InitBuffer(*queue, 1, count * sizeof(T));
  for (auto* queue : {&q.variance, &q.mean}) q.pipe.InitBuffer(*queue, 1, rows * sizeof(T));
  q.pipe.InitBuffer(q.gamma, 1, h * sizeof(T));
  q.pipe.InitBuffer(q.first, 1, count * sizeof(T));
  for (auto* queue : {&q.second, &q.third}) q.pipe.InitBuffer(*queue, 1, h * sizeof(T));
  q.pipe.InitBuffer(dx_buffer, count * sizeof(T));
  auto x = Fetch<T>(q.x, x_gm, 0, count);
  auto dy = Fetch<T>(q.dy, dy_gm, 0, count);
  auto variance = Fetch<T>(q.variance, variance_gm, 0, rows);
  auto mean = Fetch<T>(q.mean, mean_gm, 0, rows);
  auto gamma = Fetch<T>(q.gamma, gamma_gm, 0, h);
  auto dx = dx_buffer.Get<T>(count);
  auto xhat = q.first.template AllocTensor<T>();
  auto dgamma = q.second.template AllocTensor<T>();
  auto dbeta = q.third.template AllocTensor<T>();
  AscendC::LayerNormGrad<T>(dx, xhat, dy, x, variance, mean, gamma, static_cast<T>(tiling.epsilon), tiling.grad);
  if (tiling.tmp_bytes == 0) {
    AscendC::LayerNormGradBeta<T>(dgamma, dbeta, xhat, dy, tiling.beta);
  } else {
    q.pipe.InitBuffer(q.tmp, tiling.tmp_bytes);
    AscendC::LocalTensor<uint8_t> shared = q.tmp.template Get<uint8_t>();
    AscendC::LayerNormGradBeta<T>(dgamma, dbeta, xhat, dy, shared, tiling.beta);
  }
  Send<T>(q.first, xhat, xhat_gm, 0, count);
  Send<T>(q.second, dgamma, dgamma_gm, 0, h);
  Send<T>(q.third, dbeta, dbeta_gm, 0, h);
  q.x.FreeTensor(x);
  q.dy.FreeTensor(dy);
  q.variance.FreeTensor(variance);
  q.mean.FreeTensor(mean);
  q.gamma.FreeTensor(gamma);
}

/// LayerNorm forward.
template <typename T>
__aicore__ void NormKernel(GM_ADDR x_gm, GM_ADDR gamma_gm, GM_ADDR beta_gm, GM_ADDR y_gm, GM_ADDR mean_gm, GM_ADDR variance_gm,
                           GM_ADDR tiling_gm) {
  TileTiling tiling;
  CopyTiling(&tiling, tiling_gm);
  const uint32_t rows = tiling.norm.bLength * tiling.norm.sLength;
  const uint32_t h = tiling.norm.hLength;
  const uint32_t count = rows * h;
  Queues<T> q;
  q.pipe.InitBuffer(q.x, 1, count * sizeof(T));
  for (auto* queue : {&q.gamma, &q.beta}) q.pipe.InitBuffer(*queue, 1, h * sizeof(T));
  q.pipe.InitBuffer(q.first, 1, count * sizeof(T));
  for (auto* queue : {&q.second, &q.third}) q.pipe.InitBuffer(*queue, 1, rows * sizeof(T));
  auto x = Fetch<T>(q.x, x_gm, 0, count);
  auto gamma = Fetch<T>(q.gamma, gamma_gm, 0, h);
  auto beta = Fetch<T>(q.beta, beta_gm, 0, h);
  auto y = q.first.template AllocTensor<T>();
  auto mean = q.second.template AllocTensor<T>();
  auto variance = q.third.template AllocTensor<T>();
  if (tiling.tmp_bytes == 0) {
    AscendC::LayerNorm<T>(y, mean, variance, x, gamma, beta, static_cast<T>(tiling.epsilon), tiling.norm);
  } else {
    q.pipe.InitBuffer(q.tmp, tiling.tmp_bytes);
    AscendC::LocalTensor<uint8_t> tmp = q.tmp.template Get<uint8_t>();
    AscendC::LayerNorm<T>(y, mean, variance, x, gamma, beta, tmp, static_cast<T>(tiling.epsilon), tiling.norm);
  }
  Send<T>(q.first, y, y_gm, 0, count);
  Send<T>(q.second, mean, mean_gm, 0, rows);
  Send<T>(q.third, variance, variance_gm, 0, rows);
  q.x.FreeTensor(x);
  q.gamma.FreeTensor(gamma);
  q.beta.FreeTensor(beta);
}

}  // namespace tile_test
#endif  // ADDNORM_DOORS_ASCENDC_TESTS_TILE_KERNEL_H_
