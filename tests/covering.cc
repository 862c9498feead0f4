// SPDX-License-Identifier: Apache-2.0
#include "tests/covering.h"

#include <cstdlib>

namespace addnorm::test {
namespace {

// Which pairs have occurred: one table per pair of factors.
class Pairs {
 public:
  explicit Pairs(const std::vector<size_t>& levels) : levels_(levels), seen_(levels.size() * levels.size()) {
    for (size_t i = 0; i < levels.size(); ++i) {
      for (size_t j = i + 1; j < levels.size(); ++j) seen_[i * levels.size() + j].assign(levels[i] * levels[j], false);
    }
  }
  std::vector<bool>::reference At(size_t i, size_t a, size_t j, size_t b) {
    return i < j ? seen_[i * levels_.size() + j][a * levels_[j] + b] : seen_[j * levels_.size() + i][b * levels_[i] + a];
  }

 private:
  std::vector<size_t> levels_;
  std::vector<std::vector<bool>> seen_;
};

constexpr size_t kOpen = ~size_t{0};

class Builder {
 public:
  Builder(const std::vector<size_t>& levels, const PairRule& allowed) : levels_(levels), allowed_(allowed), pairs_(levels) {}

  std::vector<std::vector<size_t>> Run() {
    std::vector<std::vector<size_t>> rows;
    for (size_t i = 0; i < levels_.size(); ++i) {
      for (size_t j = i + 1; j < levels_.size(); ++j) {
        for (size_t a = 0; a < levels_[i]; ++a) {
          for (size_t b = 0; b < levels_[j]; ++b) {
            if (allowed_(i, a, j, b) && !pairs_.At(i, a, j, b)) rows.push_back(RowWith(i, a, j, b, rows.size()));
          }
        }
      }
    }
    return rows;
  }

 private:
  // A row that holds the given pair; the other factors one after the other, from a place that changes from row to row.
  std::vector<size_t> RowWith(size_t i, size_t a, size_t j, size_t b, size_t turn) {
    const size_t factors = levels_.size();
    std::vector<size_t> row(factors, kOpen);
    row[i] = a, row[j] = b;
    for (size_t step = 0; step < factors; ++step) {
      const size_t factor = (turn + step) % factors;
      if (row[factor] == kOpen) row[factor] = Best(row, factor, turn);
    }
    for (size_t x = 0; x < factors; ++x) {
      for (size_t y = x + 1; y < factors; ++y) pairs_.At(x, row[x], y, row[y]) = true;
    }
    return row;
  }
  size_t Best(const std::vector<size_t>& row, size_t factor, size_t turn) {
    size_t best = kOpen, best_gain = 0;
    for (size_t k = 0; k < levels_[factor]; ++k) {
      const size_t value = (turn * 7 + k) % levels_[factor];  // ties go to a different value each time
      size_t gain = 1;
      bool fits = true;
      for (size_t other = 0; other < row.size() && fits; ++other) {
        if (row[other] == kOpen) continue;
        fits = allowed_(factor, value, other, row[other]);
        gain += !pairs_.At(factor, value, other, row[other]);
      }
      if (fits && gain > best_gain) best = value, best_gain = gain;
    }
    if (best == kOpen) std::abort();  // the rule leaves no value: a fault of the test
    return best;
  }

  const std::vector<size_t>& levels_;
  const PairRule& allowed_;
  Pairs pairs_;
};

}  // namespace

std::vector<std::vector<size_t>> CoveringArray(const std::vector<size_t>& levels, const PairRule& allowed) {
  return Builder(levels, allowed).Run();
}

size_t CountViolations(const std::vector<std::vector<size_t>>& rows, const std::vector<size_t>& levels, const PairRule& allowed) {
  Pairs pairs(levels);
  size_t violations = 0;
  for (const auto& row : rows) {
    for (size_t i = 0; i < levels.size(); ++i) {
      for (size_t j = i + 1; j < levels.size(); ++j) {
        pairs.At(i, row[i], j, row[j]) = true;
        violations += !allowed(i, row[i], j, row[j]);
      }
    }
  }
  for (size_t i = 0; i < levels.size(); ++i) {
    for (size_t j = i + 1; j < levels.size(); ++j) {
      for (size_t a = 0; a < levels[i]; ++a) {
        for (size_t b = 0; b < levels[j]; ++b) violations += allowed(i, a, j, b) && !pairs.At(i, a, j, b);
      }
    }
  }
  return violations;
}

}  // namespace addnorm::test
