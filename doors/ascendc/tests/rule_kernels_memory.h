// SPDX-License-Identifier: Apache-2.0
// Kernels for the rules about values, bounds, positions and the tile calls; see rule_kernels.h.
#ifndef ADDNORM_DOORS_ASCENDC_TESTS_RULE_KERNELS_MEMORY_H_
#define ADDNORM_DOORS_ASCENDC_TESTS_RULE_KERNELS_MEMORY_H_

#include "doors/ascendc/tests/rule_kernels.h"

namespace rule_test {

// ---- Values that nobody wrote ------------------------------------------------------------------------------------------------

inline void CopyOutUnwritten(bool broken) {
  Desk desk;
  Local a = desk.buf.Get<float>();
  AscendC::Duplicate(a, 1.0f, broken ? 15 : 16);
  AT(AscendC::DataCopy(desk.gm.out, a, 16));
}
inline void GetUnwritten(bool broken) {
  Desk desk;
  Local a = desk.buf.Get<float>();
  a.SetValue(broken ? 4 : 5, 1.0f);
  AT(a.GetValue(5));
}
// The missing value travels through vector operations; where it leaves is where it is reported.
inline void UnwrittenTravels(bool broken) {
  Desk desk;
  Local a = desk.buf.Get<float>(), b = a[64], c = a[128];
  AscendC::Duplicate(a, 1.0f, 8);
  AscendC::Duplicate(b, 1.0f, broken ? 7 : 8);
  AscendC::Add(c, a, b, 8);
  AscendC::Exp(c, c, 8);
  AT(AscendC::ReduceSum(a[192], c, a[224], 8));
}
// Untouched pads are legal as long as they stay in UB.
inline void PadsLeave(bool broken) {
  Desk desk;
  Local a = desk.buf.Get<float>();
  AscendC::DataCopyPad(a, desk.gm.in, AscendC::DataCopyExtParams(1, 5 * sizeof(float), 0, 0, 0), AscendC::DataCopyPadExtParams<float>());
  AscendC::Muls(a, a, 2.0f, 8);
  AT(AscendC::DataCopyPad(desk.gm.out, a, AscendC::DataCopyExtParams(1, (broken ? 6 : 5) * sizeof(float), 0, 0, 0)));
}
inline void AllocForgets(bool broken) {
  Desk desk;
  Local a = desk.Load();
  if (broken) {
    desk.in.FreeTensor(a);
    a = desk.in.AllocTensor<float>();
  }
  AT(AscendC::DataCopy(desk.gm.out, a, 8));
  desk.in.FreeTensor(a);
}

// ---- Bounds --------------------------------------------------------------------------------------------------------------------

// Offsets in bytes that do not fit 64 bits, or that come from a negative index, must not wrap into the tensor.
inline void GmNegativeElement(bool broken) {
  Desk desk;
  const int index = broken ? -1 : 1;
  AT(desk.gm.out.SetValue(static_cast<uint64_t>(index), 1.0f));
}
inline void GmHugeElement(bool broken) {
  Desk desk;
  AT((void)desk.gm.in.GetValue(broken ? uint64_t{1} << 62 : 0));
}
inline void GmHugeRest(bool broken) {
  Desk desk;
  AT(AscendC::DataCopy(desk.buf.Get<float>(), desk.gm.in[broken ? uint64_t{1} << 62 : 0], 8));
}
inline void GmUnsizedNegativeElement(bool broken) {
  AscendC::GlobalTensor<float> gm;
  gm.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(g_in) + 8);
  const int index = broken ? -1 : 1;
  AT((void)gm.GetValue(static_cast<uint64_t>(index)));
}
inline void LocalBounds(bool broken) {
  Desk desk;
  Local a = desk.Filled();
  AT(AscendC::Muls(a[128], a[128], 2.0f, broken ? 129 : 128));
}
inline void LocalIndex(bool broken) {
  Desk desk;
  Local a = desk.Filled();
  AT(a.SetValue(broken ? 256 : 255, 1.0f));
}
inline void RepeatBounds(bool broken) {
  Desk desk;
  Local a = desk.Filled();
  AT(AscendC::Add(a, a, a, 64, broken ? 5 : 4, {1, 1, 1, 8, 8, 8}));
}
inline void GmTensorBounds(bool broken) {
  Desk desk;
  Local a = desk.buf.Get<float>();
  AT(AscendC::DataCopy(a, desk.gm.in[kCount - 8], broken ? 16 : 8));
}
inline void GmAllocationBounds(bool broken) {
  Desk desk;
  Local a = desk.Filled();
  AscendC::GlobalTensor<float> whole;
  whole.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(g_out));  // no size: only the allocation bounds it
  AT(AscendC::DataCopy(whole[kCount - 8], a, broken ? 16 : 8));
}
inline void GmForeign(bool broken) {
  Desk desk;
  Local a = desk.Filled();
  static float elsewhere[8];
  AscendC::GlobalTensor<float> other;
  other.SetGlobalBuffer(broken ? elsewhere : reinterpret_cast<float*>(g_out), 8);
  AT(AscendC::DataCopy(other, a, 8));
}
inline void GmElement(bool broken) {
  Desk desk;
  AT(desk.gm.out.SetValue(broken ? kCount : kCount - 1, 1.0f));
}

// ---- Operands ------------------------------------------------------------------------------------------------------------------

inline void VectorPosition(bool broken) {
  Desk desk;
  AscendC::TBuf<AscendC::TPosition::A1> l1;
  desk.pipe.InitBuffer(l1, 64);
  Local a = desk.Filled();
  AT(AscendC::Muls(broken ? l1.Get<float>() : a, a, 2.0f, 8));
}
inline void PartialOverlap(bool broken) {
  Desk desk;
  Local a = desk.Filled();
  AT(AscendC::Muls(a[broken ? 8 : 16], a, 2.0f, 16));
}
inline void Mask(bool broken) {
  Desk desk;
  Local a = desk.Filled();
  AT(AscendC::Muls(a, a, 2.0f, static_cast<uint64_t>(broken ? 65 : 64), 1, AscendC::UnaryRepeatParams()));
}
inline void WorkSize(bool broken) {
  Desk desk;
  Local a = desk.Filled();
  Local work = a[224];
  work.SetSize(broken ? 4 : 8);
  AT(AscendC::ReduceSum(a[216], a, work, 128));
}

// ---- The tile call -------------------------------------------------------------------------------------------------------------

/// What a tile kernel does wrong.
struct Fault {
  uint32_t s = 8, h = 16, original_h = 16;
  uint32_t tmp_bytes = 6 * 8 * 16 * 4;    // 0 = no sharedTmpBuffer
  uint32_t stack_bytes = 6 * 8 * 16 * 4;  // of the tiling
  uint32_t ub_filler = 0;                 // taken from UB before
  DataFormat format = DataFormat::ND;
  bool gamma_in_l1 = false, dx_is_xhat = false, dx_shifted = false, skip_mean = false, read_reused = false, gamma_short = false;
};
LayerNormGradTiling MakeTiling(const Fault& fault);

template <bool kReuse = false>
void TileCall(const Fault& fault) {
  AscendC::TPipe pipe;
  AscendC::TBuf<> tiles, small, tmp, filler;
  AscendC::TBuf<AscendC::TPosition::A1> l1;
  constexpr uint32_t kTile = 16 * 16;
  pipe.InitBuffer(tiles, 5 * kTile * sizeof(float));
  pipe.InitBuffer(small, 3 * 32 * sizeof(float));
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
inline void ReusedSource(bool broken) {
  if (broken) return TileCall<true>({.read_reused = true});
  TileCall<false>({.read_reused = true});
}

}  // namespace rule_test
#endif  // ADDNORM_DOORS_ASCENDC_TESTS_RULE_KERNELS_MEMORY_H_
