// SPDX-License-Identifier: Apache-2.0
#include "src/base/cache_size.h"

#include <unistd.h>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

#include <algorithm>

namespace addnorm {
namespace {

constexpr size_t kUnknown = size_t{32} << 20;

#if defined(__x86_64__) || defined(__i386__)
// sysconf is no help here: for AMD, glibc 2.36 gives the sum over all core complexes of the package.
size_t Largest(unsigned leaf) {
  size_t largest = 0;
  unsigned a = 0, b = 0, c = 0, d = 0;
  for (unsigned i = 0; i < 16 && __get_cpuid_count(leaf, i, &a, &b, &c, &d) && (a & 31) != 0; ++i) {
    const size_t ways = (b >> 22) + 1, partitions = (b >> 12 & 0x3FF) + 1, line = (b & 0xFFF) + 1, sets = size_t{c} + 1;
    largest = std::max(largest, ways * partitions * line * sets);
  }
  return largest;
}
size_t Ask() {
  const size_t intel = Largest(4), amd = Largest(0x8000001D);
  return std::max(intel, amd);
}
#else
size_t Ask() {
#if defined(_SC_LEVEL3_CACHE_SIZE)
  return static_cast<size_t>(std::max(0L, sysconf(_SC_LEVEL3_CACHE_SIZE)));
#else
  return 0;
#endif
}
#endif

}  // namespace

size_t LastLevelCacheBytes() {
  static const size_t bytes = Ask();
  return bytes ? bytes : kUnknown;
}

}  // namespace addnorm
