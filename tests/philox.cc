// SPDX-License-Identifier: Apache-2.0
#include "tests/philox.h"

#include <cmath>

namespace addnorm::test {

std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t left = 0xD2511F53ull * counter[0], right = 0xCD9E8D57ull * counter[2];
    counter = {static_cast<uint32_t>((right >> 32) ^ counter[1] ^ key[0]), static_cast<uint32_t>(right),
               static_cast<uint32_t>((left >> 32) ^ counter[3] ^ key[1]), static_cast<uint32_t>(left)};
    key = {key[0] + 0x9E3779B9u, key[1] + 0xBB67AE85u};
  }
  return counter;
}

ReferenceMask::ReferenceMask(const Dropout& dropout, uint64_t cols) : dropout_(dropout) {
  const uint64_t total = dropout.cols_total ? dropout.cols_total : cols;
  blocks_per_row_ = total / 4 + (total % 4 != 0);
  threshold_ = static_cast<uint64_t>(std::nearbyint((1.0 - dropout.p) * 4294967296.0));
  scale_ = threshold_ == 0 ? 0.0 : threshold_ == uint64_t{1} << 32 ? 1.0 : 1.0 / (1.0 - dropout.p);
}

uint32_t ReferenceMask::Word(uint64_t row, uint64_t col) {
  const uint64_t global_col = dropout_.col_base + col;
  const uint64_t block = (dropout_.row_base + row) * blocks_per_row_ + global_col / 4;
  if (!cached_ || block != cached_block_) {
    words_ = Philox4x32({static_cast<uint32_t>(dropout_.offset), static_cast<uint32_t>(dropout_.offset >> 32), static_cast<uint32_t>(block),
                         static_cast<uint32_t>(block >> 32)},
                        {static_cast<uint32_t>(dropout_.seed), static_cast<uint32_t>(dropout_.seed >> 32)});
    cached_block_ = block;
    cached_ = true;
  }
  return words_[global_col % 4];
}

bool ReferenceMask::Keep(uint64_t row, uint64_t col) {
  if (threshold_ == 0) return false;
  if (threshold_ == uint64_t{1} << 32) return true;
  return Word(row, col) < threshold_;
}

}  // namespace addnorm::test
