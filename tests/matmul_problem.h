// SPDX-License-Identifier: Apache-2.0
// A matmul of one rank: operands in exactly the memory they need, a run of the kernels, and the wide reference.
#ifndef ADDNORM_TESTS_MATMUL_PROBLEM_H_
#define ADDNORM_TESTS_MATMUL_PROBLEM_H_

#include <cstdint>
#include <string>
#include <vector>

#include "src/core/matmul.h"
#include "src/core/target.h"
#include "tests/numbers.h"
#include "tests/problems.h"

namespace addnorm::test {

// kWide: terms that cancel. kTiny: down to subnormal operands and sums. kBoundary: exponents around those whose products become
// subnormal. kExtreme: int8 -128 and 127. kLowest: int8 -128 throughout. kSpecial: some Inf, NaN, -0.
enum class Values : uint8_t { kNormal, kWide, kTiny, kBoundary, kExtreme, kSpecial, kLowest, kCount };

struct MatmulOptions {
  uint64_t seed = 1;
  size_t m = 1, n = 1, k = 1;
  DType x1 = DType::kF32, x2 = DType::kF32;
  bool transposed = false;                     // x2 is a view of [n, k]
  size_t x1_pad = 0, x2_pad = 0, out_pad = 0;  // unused elements after each row
  bool has_bias = true;
  bool per_column = true;  // scales; else one for all
  bool has_offset = true;  // int8 weights
  bool integral_offset = false;
  size_t group = 0;           // int8 weights; 0 = one group
  size_t scale_step = 1;      // from column to column
  DType scale = DType::kF32;  // of scale and offset of int8 weights
  Values values = Values::kNormal;
  Placement placement = Placement::kHeap;
};
MatmulOptions RandomMatmulOptions(uint64_t seed);
std::string Describe(const MatmulOptions& options);

class MatmulProblem {
 public:
  explicit MatmulProblem(const MatmulOptions& options);
  const MatmulOptions& options() const { return options_; }
  const MatmulArgs& args() const { return args_; }

  struct Way {
    const Target* target = nullptr;
    bool packed = false;
    size_t rows_at_once = 0;  // 0 = all
    const Executor* executor = nullptr;
  };
  /// The result, [m][n] without padding. Adds a failure to the running test if a byte of out beyond the rows changed.
  std::vector<float> Run(const Way& way) const;
  /// "" if every element is within the bound; else the worst one. int8 x int8: exact.
  std::string Check(const std::vector<float>& result) const;

 private:
  void Fill(const Operand& operand, Random* random) const;
  void MakeScales(Random* random);
  long double Weight(size_t k, size_t j) const;  // int8: (q + offset), not scaled
  long double Antiquant(const void* data, size_t k, size_t j, long double absent) const;
  /// One element; "" if it is right.
  std::string CheckInt(size_t r, size_t j, float got) const;
  std::string CheckFloat(size_t r, size_t j, float got) const;

  MatmulOptions options_;
  Operand x1_, x2_, bias_, dequant_, scale_, offset_;
  MatmulArgs args_;
};

}  // namespace addnorm::test
#endif  // ADDNORM_TESTS_MATMUL_PROBLEM_H_
