// SPDX-License-Identifier: Apache-2.0
// Host main of layer_norm_backward_custom: host tiling, two tiling keys, dgamma and dbeta against plain sums.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <vector>

#include "tikicpulib.h"
#include "tiling/tiling_api.h"

extern "C" __global__ __aicore__ void layer_norm_backward_custom(GM_ADDR x, GM_ADDR dy, GM_ADDR gamma, GM_ADDR dx, GM_ADDR dgamma,
                                                                 GM_ADDR dbeta, GM_ADDR workspace, GM_ADDR tiling);

constexpr uint32_t kBlocks = 4, kRows = 16, kCols = 32, kCount = kBlocks * kRows * kCols;

struct BackwardTiling {
  uint32_t rows;
  uint32_t cols;
  float epsilon;
  uint32_t tmpBytes;
  AscendC::tiling::LayerNormTiling norm;
  AscendC::tiling::LayerNormGradTiling grad;
  AscendC::tiling::LayerNormGradBetaTiling beta;
};

static BackwardTiling MakeTiling(uint32_t typeSize) {
  BackwardTiling tiling{};
  tiling.rows = kRows;
  tiling.cols = kCols;
  tiling.epsilon = 1e-5f;
  const ge::Shape shape({1, kRows, kCols, kCols});
  uint32_t largest = 0, least = 0;
  AscendC::GetLayerNormGradMaxMinTmpSize(shape, typeSize, false, largest, least);
  tiling.tmpBytes = typeSize == 2 ? largest * 2 : largest;  // whole groups of rows, also for half
  AscendC::GetLayerNormGradNDTilingInfo(shape, tiling.tmpBytes, typeSize, false, tiling.grad);
  AscendC::GetLayerNormGradBetaNDTilingInfo(shape, tiling.tmpBytes, typeSize, false, tiling.beta);
  AscendC::GetLayerNormNDTilingInfo(shape, tiling.tmpBytes, typeSize, false, tiling.norm);
  return tiling;
}

template <typename T>
static int Run(uint64_t key, double tolerance) {
  auto alloc = [](size_t bytes) { return (uint8_t*)AscendC::GmAlloc(bytes); };
  uint8_t* x = alloc(kCount * sizeof(T));
  uint8_t* dy = alloc(kCount * sizeof(T));
  uint8_t* gamma = alloc(kCols * sizeof(T));
  uint8_t* dx = alloc(kCount * sizeof(T));
  uint8_t* dgamma = alloc(kCols * sizeof(T));
  uint8_t* dbeta = alloc(kCols * sizeof(T));
  uint8_t* tiling = alloc(sizeof(BackwardTiling));
  for (uint32_t i = 0; i < kCount; i++) {
    ((T*)x)[i] = T((i * 37 % 101) / 50.0f - 1);
    ((T*)dy)[i] = T((i * 53 % 97) / 48.0f - 1);
  }
  for (uint32_t i = 0; i < kCols; i++) ((T*)gamma)[i] = T(1 + i * 0.125f);
  *(BackwardTiling*)tiling = MakeTiling(sizeof(T));

  AscendC::SetKernelMode(KernelMode::AIV_MODE);
  ICPU_SET_TILING_KEY(key);
  ICPU_RUN_KF(layer_norm_backward_custom, kBlocks, x, dy, gamma, dx, dgamma, dbeta, nullptr, tiling);

  int wrong = 0;
  std::vector<double> sums(2 * kCols, 0.0);
  for (uint32_t row = 0; row < kBlocks * kRows; row++) {
    const T* xs = (T*)x + row * kCols;
    const T* dys = (T*)dy + row * kCols;
    double mean = 0, variance = 0, meanW = 0, meanXhat = 0, meanWXhat = 0;
    for (uint32_t i = 0; i < kCols; i++) mean += double(xs[i]) / kCols;
    for (uint32_t i = 0; i < kCols; i++) variance += (double(xs[i]) - mean) * (double(xs[i]) - mean) / kCols;
    const double rstd = 1 / std::sqrt(variance + 1e-5);
    for (uint32_t i = 0; i < kCols; i++) {
      const double w = double(dys[i]) * double(((T*)gamma)[i]), xhat = (double(xs[i]) - mean) * rstd;
      meanW += w / kCols;
      meanXhat += xhat / kCols;
      meanWXhat += w * xhat / kCols;
      sums[i] += double(dys[i]) * xhat;
      sums[kCols + i] += double(dys[i]);
    }
    for (uint32_t i = 0; i < kCols; i++) {
      const double w = double(dys[i]) * double(((T*)gamma)[i]), xhat = (double(xs[i]) - mean) * rstd;
      const double exact = rstd * (w - meanW - (xhat - meanXhat) * meanWXhat);
      if (!(std::abs(double(((T*)dx)[row * kCols + i]) - exact) <= tolerance * 16)) wrong++;
    }
  }
  for (uint32_t i = 0; i < kCols; i++) {
    if (!(std::abs(double(((T*)dgamma)[i]) - sums[i]) <= tolerance * 64)) wrong++;
    if (!(std::abs(double(((T*)dbeta)[i]) - sums[kCols + i]) <= tolerance * 64)) wrong++;
  }
  for (uint8_t* memory : {x, dy, gamma, dx, dgamma, dbeta, tiling}) AscendC::GmFree((void*)memory);
  std::printf("layer_norm_backward_custom, %zu bytes per element: %d wrong elements\n", sizeof(T), wrong);
  return wrong;
}

int32_t main(int32_t, char*[]) { return Run<float>(1, 2e-7) + Run<half>(2, 1e-3) == 0 ? 0 : 1; }
