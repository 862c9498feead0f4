// SPDX-License-Identifier: Apache-2.0
// Kernels for the rules of LayerNormGrad, LayerNormGradBeta and LayerNorm; see rule_kernels.h.
#ifndef ADDNORM_DOORS_ASCENDC_TESTS_RULE_KERNELS_TILE_H_
#define ADDNORM_DOORS_ASCENDC_TESTS_RULE_KERNELS_TILE_H_

#include "doors/ascendc/tests/rule_kernels.h"

namespace rule_test {

/// What a tile kernel does wrong.
struct Fault {
  uint32_t s = 8, h = 16, original_h = 16;
  uint32_t tmp_bytes = 6 * 8 * 16 * 4;    // 0 = no sharedTmpBuffer
  uint32_t stack_bytes = 6 * 8 * 16 * 4;  // of the tiling
  uint32_t ub_filler = 0;                 // taken from UB before
  DataFormat format = DataFormat::ND;
  uint32_t type_bytes = 4;  // the tiling's
  bool no_stack = false;    // stackBufferSize 0 in an otherwise filled tiling
  bool gamma_in_l1 = false, dx_is_xhat = false, dx_shifted = false, skip_mean = false, read_reused = false, gamma_short = false;
};
LayerNormGradTiling MakeTiling(const Fault& fault);
LayerNormTiling MakeNormTiling();
LayerNormGradBetaTiling MakeBetaTiling(uint32_t type_bytes);

template <bool kReuse = false>
void TileCall(const Fault& fault) {
  AscendC::TPipe pipe;
  AscendC::TBuf<> tiles, small, tmp, filler;
  AscendC::TBuf<AscendC::TPosition::A1> l1;
  constexpr uint32_t kTile = 256;
  pipe.InitBuffer(tiles, sizeof(float) * 5 * kTile);
  pipe.InitBuffer(small, 96 * sizeof(float));
  pipe.InitBuffer(l1, 64);
  if (fault.ub_filler != 0) pipe.InitBuffer(filler, fault.ub_filler);
  Local all = tiles.Get<float>(), values = small.Get<float>();
  AscendC::Duplicate(all, 0.5f, 4 * kTile);
  AscendC::Duplicate(values, 1.0f, fault.skip_mean ? 32 : 96);
  Local x = all, dy = all[kTile], xhat = all[2 * kTile], variance = values, mean = values[32], gamma = values[64];
  Local dx = fault.dx_is_xhat ? xhat : all[3 * kTile];
  if (fault.dx_shifted) dx = x[16];
  if (fault.gamma_short) gamma.SetSize(8);
  if (fault.gamma_in_l1) gamma = l1.Get<float>();
  LayerNormGradTiling tiling = MakeTiling(fault);
  if (fault.tmp_bytes == 0) {
    AT(AscendC::LayerNormGrad<float, kReuse>(dx, xhat, dy, x, variance, mean, gamma, 1e-5f, tiling, {fault.format}));
  } else {
    pipe.InitBuffer(tmp, fault.tmp_bytes);
    AscendC::LocalTensor<uint8_t> shared = tmp.Get<uint8_t>();
    AT(AscendC::LayerNormGrad<float, kReuse>(dx, xhat, dy, x, variance, mean, gamma, shared, 1e-5f, tiling, {fault.format}));
  }
  if (fault.read_reused) AT(dy.GetValue(0));
}

inline void TmpTooSmall(bool broken) { TileCall({.tmp_bytes = broken ? 6 * 8 * 16 * 4 - 32u : 6 * 8 * 16 * 4u}); }
// 100 KiB hold 33 rows of 128 floats, which the vendor rounds up to 40: the layout of 16 rows needs 5 * 40 + 16 rows, not 33 * 6.
inline void TmpLayout(bool broken) {
  TileCall({.s = 16, .tmp_bytes = (5 * 24 + 16) * 64 - (broken ? 32u : 0u), .stack_bytes = 17 * 6 * 64});
}
inline void UbLeft(bool broken) {
  // 192 KiB less the buffers, less what LayerNormGrad needs.
  const uint32_t left = 192 * 1024 - 5 * 1024 - 384 - 6 * 8 * 16 * 4;
  TileCall({.tmp_bytes = 0, .ub_filler = broken ? left + 32 : left});
}
inline void UnfilledTiling(bool broken) { TileCall({.tmp_bytes = 16384, .stack_bytes = 6 * 16 * 4 - (broken ? 4u : 0u)}); }
inline void Format(bool broken) { TileCall({.format = broken ? DataFormat::NZ : DataFormat::ND}); }
inline void TailAxis(bool broken) { TileCall({.h = broken ? 12u : 16u, .original_h = 12}); }
inline void StatisticAxis(bool broken) { TileCall({.s = broken ? 4u : 8u}); }
inline void OriginalH(bool broken) { TileCall({.original_h = broken ? 17u : 15u}); }
inline void TilePosition(bool broken) { TileCall({.gamma_in_l1 = broken}); }
inline void OutputsEqual(bool broken) { TileCall({.dx_is_xhat = broken}); }
inline void OutputShifted(bool broken) { TileCall({.dx_shifted = broken}); }
inline void TileUnwritten(bool broken) { TileCall({.skip_mean = broken}); }
inline void TileBounds(bool broken) { TileCall({.gamma_short = broken}); }
inline void HalfTiling(bool broken) { TileCall({.tmp_bytes = 40000, .stack_bytes = 36864, .type_bytes = broken ? 2u : 4u}); }
inline void NoStack(bool broken) { TileCall({.no_stack = broken}); }
inline void LayerNormReusedSource(bool broken) {
  AscendC::TPipe pipe;
  AscendC::TBuf<> buffer;
  pipe.InitBuffer(buffer, 1024 * sizeof(float));
  Local all = buffer.Get<float>();
  AscendC::Duplicate(all, 0.5f, 256);
  LayerNormTiling tiling = MakeNormTiling();
  Local x = all, gamma = all[128], beta = all[144], y = all[256], mean = all[512], variance = all[520];
  if (broken) {
    AscendC::LayerNorm<float, true>(y, mean, variance, x, gamma, beta, 1e-5f, tiling);
  } else {
    AscendC::LayerNorm<float, false>(y, mean, variance, x, gamma, beta, 1e-5f, tiling);
  }
  AT((void)x.GetValue(0));
}
inline void BetaTiling(bool broken) {
  AscendC::TPipe pipe;
  AscendC::TBuf<> buffer;
  pipe.InitBuffer(buffer, 1024 * sizeof(float));
  Local all = buffer.Get<float>();
  AscendC::Duplicate(all, 0.5f, 256);
  LayerNormGradBetaTiling tiling = MakeBetaTiling(broken ? 2 : 4);
  AT(AscendC::LayerNormGradBeta<float>(all[512], all[528], all, all[128], tiling));
}
inline void ReusedSource(bool broken) {
  if (broken) return TileCall<true>({.read_reused = true});
  TileCall<false>({.read_reused = true});
}

}  // namespace rule_test
#endif  // ADDNORM_DOORS_ASCENDC_TESTS_RULE_KERNELS_TILE_H_
