// SPDX-License-Identifier: Apache-2.0
// Which SIMD targets the kernels are compiled for. To be included before hwy/foreach_target.h.
#ifndef ADDNORM_SRC_CPU_TARGETS_INL_H_
#define ADDNORM_SRC_CPU_TARGETS_INL_H_

// SSSE3 adds nothing over SSE4 that a machine of this century would miss.
// SVE vectors have no fixed size, so that a struct cannot hold them; machines with SVE have NEON.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
// Keep the scalar target: the widest reach, and the yardstick of the tests.
#ifndef HWY_COMPILE_ONLY_STATIC
#define HWY_COMPILE_ALL_ATTAINABLE
#endif

#endif  // ADDNORM_SRC_CPU_TARGETS_INL_H_
