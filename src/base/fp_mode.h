// SPDX-License-Identifier: Apache-2.0
// The floating-point control word is per thread: workers compute in the caller's mode (rounding, FTZ, DAZ), so that results do
// not depend on which thread took which rows.
#ifndef ADDNORM_SRC_BASE_FP_MODE_H_
#define ADDNORM_SRC_BASE_FP_MODE_H_

#include <cstdint>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace addnorm {

inline uint64_t FpMode() {
#if defined(__x86_64__)
  return _mm_getcsr() & ~0x3Fu;  // without the sticky exception flags
#elif defined(__aarch64__)
  uint64_t mode;
  asm volatile("mrs %0, fpcr" : "=r"(mode));
  return mode;
#else
  return 0;
#endif
}

inline void SetFpMode(uint64_t mode) {
#if defined(__x86_64__)
  _mm_setcsr((_mm_getcsr() & 0x3Fu) | static_cast<uint32_t>(mode));
#elif defined(__aarch64__)
  asm volatile("msr fpcr, %0" : : "r"(mode));
#else
  (void)mode;
#endif
}

// Puts the calling thread into `mode` for a scope.
class ScopedFpMode {
 public:
  explicit ScopedFpMode(uint64_t mode) : mine_(FpMode()), changed_(mine_ != mode) {
    if (changed_) SetFpMode(mode);
  }
  ~ScopedFpMode() {
    if (changed_) SetFpMode(mine_);
  }
  ScopedFpMode(const ScopedFpMode&) = delete;
  ScopedFpMode& operator=(const ScopedFpMode&) = delete;

 private:
  const uint64_t mine_;
  const bool changed_;
};

}  // namespace addnorm
#endif  // ADDNORM_SRC_BASE_FP_MODE_H_
