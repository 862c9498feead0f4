// SPDX-License-Identifier: Apache-2.0
// The host main of a kernel project: one source for the device and for CPU mode.
#include <cstdio>
#include <cstdint>

#ifndef ASCENDC_CPU_DEBUG
#include "acl/acl.h"
extern void add_custom_do(uint32_t blockDim, void* l2ctrl, void* stream, uint8_t* x, uint8_t* y, uint8_t* z);
#else
#include "tikicpulib.h"
extern "C" __global__ __aicore__ void add_custom(GM_ADDR x, GM_ADDR y, GM_ADDR z);
#endif

int32_t main(int32_t, char*[]) {
  uint32_t blockDim = 8;
  size_t inputByteSize = 8 * 2048 * sizeof(uint16_t);
  size_t outputByteSize = 8 * 2048 * sizeof(uint16_t);

#ifdef ASCENDC_CPU_DEBUG
  uint8_t* x = (uint8_t*)AscendC::GmAlloc(inputByteSize);
  uint8_t* y = (uint8_t*)AscendC::GmAlloc(inputByteSize);
  uint8_t* z = (uint8_t*)AscendC::GmAlloc(outputByteSize);
  for (int i = 0; i < 8 * 2048; i++) {
    ((half*)x)[i] = (half)(i % 1000);
    ((half*)y)[i] = (half)(i % 7) / (half)8;
  }

  AscendC::SetKernelMode(KernelMode::AIV_MODE);
  ICPU_SET_TILING_KEY(1);
  ICPU_RUN_KF(add_custom, blockDim, x, y, z);  // use this macro for cpu debug

  int wrong = 0;
  for (int i = 0; i < 8 * 2048; i++) {
    half expected = (half)((float)(i % 1000) + (float)(i % 7) / 8.0f);
    if ((float)((half*)z)[i] != (float)expected) wrong++;
  }
  AscendC::GmFree((void*)x);
  AscendC::GmFree((void*)y);
  AscendC::GmFree((void*)z);
  printf("add_custom on %u cores: %d wrong elements\n", blockDim, wrong);
  return wrong == 0 ? 0 : 1;
#endif
}
