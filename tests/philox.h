// SPDX-License-Identifier: Apache-2.0
// The dropout mask by its definition (addnorm/types.h, Dropout), one element at a time. Shares no code with src/.
#ifndef ADDNORM_TESTS_PHILOX_H_
#define ADDNORM_TESTS_PHILOX_H_

#include <array>
#include <cstdint>

#include "addnorm/types.h"

namespace addnorm::test {

/// Philox4x32 with 10 rounds: the function of the Random123 paper and its known-answer file.
std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

class ReferenceMask {
 public:
  ReferenceMask(const Dropout& dropout, uint64_t cols);
  /// True = kept.
  bool Keep(uint64_t row, uint64_t col);
  /// The random word that decides on (row, col).
  uint32_t Word(uint64_t row, uint64_t col);
  /// kept where Word < threshold; 2^32 keeps all.
  uint64_t threshold() const { return threshold_; }
  /// 1 / (1 - p) in fp64; 1 if nothing is dropped, 0 if everything is.
  double scale() const { return scale_; }

 private:
  Dropout dropout_;
  uint64_t blocks_per_row_, threshold_;
  double scale_;
  bool cached_ = false;
  uint64_t cached_block_ = 0;
  std::array<uint32_t, 4> words_ = {};
};

}  // namespace addnorm::test
#endif  // ADDNORM_TESTS_PHILOX_H_
