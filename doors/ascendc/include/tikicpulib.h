// SPDX-License-Identifier: Apache-2.0
// What a host main needs to run a kernel in CPU mode: GmAlloc, GmFree, SetKernelMode, ICPU_SET_TILING_KEY, ICPU_RUN_KF.
// Everything runs in this process; a broken rule aborts, or is kept for addnorm::ascendc::LastIcpuResult() under SetOnViolation(kReport).
#ifndef ADDNORM_ASCENDC_TIKICPULIB_H_
#define ADDNORM_ASCENDC_TIKICPULIB_H_

#include "addnorm/ascendc/launch.h"

namespace AscendC {

/// Zeroed memory for a kernel's arguments; GmFree gives it back.
inline void* GmAlloc(size_t bytes, addnorm::ascendc::Here here = {}) { return addnorm::ascendc::AllocateGm(bytes, here); }
inline void GmFree(void* data, addnorm::ascendc::Here here = {}) { addnorm::ascendc::FreeGm(data, here); }
/// For the launches that follow. Initially MIX_MODE, as in the vendor's library.
inline void SetKernelMode(KernelMode mode) { addnorm::ascendc::SetIcpuMode(mode); }

}  // namespace AscendC

#define ICPU_SET_TILING_KEY(key) ::addnorm::ascendc::SetIcpuTilingKey(static_cast<uint64_t>(key))
/// ICPU_RUN_KF(func, blkdim, arguments...): calls func(arguments...) on each of blkdim blocks.
#define ICPU_RUN_KF(func, ...) ::addnorm::ascendc::internal::IcpuRun(#func, ::addnorm::ascendc::Here(__FILE__, __LINE__), func, __VA_ARGS__)

#endif  // ADDNORM_ASCENDC_TIKICPULIB_H_
