// SPDX-License-Identifier: Apache-2.0
// The matmul kernels for every SIMD target, and their table. Dispatch as in kernels.cc.

#include "src/cpu/matmul_kernels.h"

#include <cstring>

#include "src/cpu/targets-inl.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/cpu/matmul_kernels.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "src/cpu/matmul_pack-inl.h"
#include "src/cpu/matmul_tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace addnorm {
namespace HWY_NAMESPACE {

const MatmulKernels* GetMatmulKernels() {
  static constexpr const char* kName = HWY_TARGET == HWY_AVX3     ? "AVX3"
                                       : HWY_TARGET == HWY_AVX2   ? "AVX2"
                                       : HWY_TARGET == HWY_SSE4   ? "SSE4"
                                       : HWY_TARGET == HWY_NEON   ? "NEON"
                                       : HWY_TARGET == HWY_SCALAR ? "SCALAR"
                                                                  : "OTHER";
  static constexpr MatmulKernels kKernels = {kName,    kPanel,          kTileRows,       Pack,        SmallestBF16, Widen, WidenBF16, Split,
                                             WidenRow, Tile<FloatStep>, Tile<Int16Step>, FinishFloat, FinishInt32};
  return &kKernels;
}

}  // namespace HWY_NAMESPACE
}  // namespace addnorm
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace addnorm {

const MatmulKernels& MatmulKernelsOf(const char* target) {
  static const MatmulKernels* const kTable[] = {
#if HWY_TARGETS & HWY_AVX3
    N_AVX3::GetMatmulKernels(),
#endif
#if HWY_TARGETS & HWY_AVX2
    N_AVX2::GetMatmulKernels(),
#endif
#if HWY_TARGETS & HWY_SSE4
    N_SSE4::GetMatmulKernels(),
#endif
#if HWY_TARGETS & HWY_NEON
    N_NEON::GetMatmulKernels(),
#endif
#if HWY_TARGETS & HWY_SCALAR
    N_SCALAR::GetMatmulKernels(),
#endif
  };
  const MatmulKernels* found = kTable[0];  // both tables come from one list of targets: the name is there
  for (const MatmulKernels* kernels : kTable) {
    if (std::strcmp(kernels->name, target) == 0) found = kernels;
  }
  return *found;
}

}  // namespace addnorm
#endif  // HWY_ONCE
