// SPDX-License-Identifier: Apache-2.0
// Element formats for the tests, described by their parameters (precision, exponent range) and nothing else.
// Shares no code with src/: conversions here go through real numbers, those of the core through integer bit operations.
#ifndef ADDNORM_TESTS_NUMBERS_H_
#define ADDNORM_TESTS_NUMBERS_H_

#include <cstddef>
#include <cstdint>

#include "addnorm/types.h"

namespace addnorm::test {

/// A binary floating-point format: `precision` significant bits, smallest normal 2^min_exponent, largest below 2^(max_exponent + 1).
struct Format {
  int precision, min_exponent, max_exponent;
};
Format FormatOf(DType dtype);

/// The exact value of element `index`.
long double Load(DType dtype, const void* data, ptrdiff_t index);
/// Rounds to nearest even, once, and stores.
void Store(DType dtype, void* data, ptrdiff_t index, long double value);
/// `value` rounded to nearest even in `dtype`; beyond the largest finite number it becomes infinite.
long double Round(DType dtype, long double value);
/// Distance between neighbours of `dtype` around |value| (the one above, at a power of two).
long double Ulp(DType dtype, long double value);
/// The largest finite number.
long double Largest(DType dtype);
/// The smallest positive number.
long double Smallest(DType dtype);

/// SplitMix64: the seeded generator of every test. The same numbers on every platform, unlike the standard's distributions.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Bits();
  /// In [0, n); n > 0.
  uint64_t Below(uint64_t n) { return Bits() % n; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }
  /// In [0, 1).
  double Uniform() { return static_cast<double>(Bits() >> 11) * 0x1p-53; }
  /// N(0, 1) from a table of 2^16 quantiles, jittered so that all mantissa bits are in use.
  double Normal();
  template <class T, size_t n>
  const T& Pick(const T (&list)[n]) {
    return list[Below(n)];
  }

 private:
  uint64_t state_;
};

/// A seed for item `index` of the stream `seed`.
uint64_t Mix(uint64_t seed, uint64_t index);

}  // namespace addnorm::test
#endif  // ADDNORM_TESTS_NUMBERS_H_
