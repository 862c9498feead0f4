// SPDX-License-Identifier: Apache-2.0
#include "src/parallel/fingerprint.h"

#include <algorithm>
#include <bit>

#include "src/base/dtype.h"

namespace addnorm {
namespace {

// A multiply and a rotation each: the values need not be hidden, only told apart.
uint64_t Mix(uint64_t hash, uint64_t value) { return std::rotl((hash ^ value) * 0x9E3779B97F4A7C15u, 29); }

uint64_t Sample(uint64_t hash, const In& in, size_t rows, size_t cols, size_t samples) {
  hash = Mix(hash, static_cast<uint64_t>(in.dtype));
  const size_t count = rows * cols;
  for (size_t s = 0, taken = std::min(samples, count); s < taken; ++s) {
    // Evenly spread, and not in the same column of every row.
    const size_t index = taken == count ? s : s * (count / taken) + s % (count / taken);
    const ptrdiff_t element = static_cast<ptrdiff_t>(index / cols) * in.row_stride + static_cast<ptrdiff_t>(index % cols);
    const double value = LoadElement(static_cast<const char*>(in.data) + element * static_cast<ptrdiff_t>(SizeOf(in.dtype)), in.dtype, 0);
    // Zeros of either sign and NaNs of any payload are alike.
    hash = Mix(hash, value != value ? 1 : value == 0 ? 0 : std::bit_cast<uint64_t>(value));
  }
  return hash;
}

}  // namespace

uint64_t Fingerprint(const NormArgs& norm) {
  return Sample(Sample(1, norm.gamma, 1, norm.cols, 16), norm.residual, norm.rows, norm.cols, 64);
}

}  // namespace addnorm
