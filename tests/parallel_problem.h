// SPDX-License-Identifier: Apache-2.0
// Seeded problems of the tensor-parallel operator, run on threads, and what they should give: exact sums and wide arithmetic.
#ifndef ADDNORM_TESTS_PARALLEL_PROBLEM_H_
#define ADDNORM_TESTS_PARALLEL_PROBLEM_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "addnorm/parallel.h"
#include "addnorm/ranks.h"
#include "tests/problems.h"

namespace addnorm::test {

enum class Kind : uint8_t { kFloat, kInt8, kInt8Weights };
enum class Bias : uint8_t { kNone, kOneRank, kAllRanks };
enum class ScaleShape : uint8_t { kTensor, kVector, kMatrix, kGroups };
enum class Values : uint8_t { kNormal, kExtreme, kOddLarge };  // of int8 operands

struct ParallelOptions {
  Kind kind = Kind::kFloat;
  uint64_t seed = 1;
  int ranks = 2;
  int64_t m = 5, k = 70, n = 33;
  bool uneven_k = false;  // rank r has k + r
  DType x1 = DType::kF32, x2 = DType::kF32, residual = DType::kF32, gamma = DType::kF32;
  DType scale = DType::kF32;  // of dequant_scale or antiquant_scale
  ScaleShape scale_shape = ScaleShape::kTensor;
  bool offset = false;
  int64_t group = 0;
  Bias bias = Bias::kNone;
  Values values = Values::kNormal;
  bool transposed = false, padded = false;
  DType comm_dtype = DType::kF32;
  double epsilon = 1e-6;
};
std::string Describe(const ParallelOptions& options);

/// The operands of one rank. Everything but the outputs keeps its memory when copied.
struct RankOperands {
  Operand x1, x2, bias, dequant_scale, antiquant_scale, antiquant_offset, residual, gamma, y, norm_out;
};

/// Sums and results, [m, n] in row-major order.
struct ParallelExpected {
  bool exact = false;                    // int8: y is known to the last bit
  std::vector<std::vector<float>> sums;  // int8: the fp32 partial sums of each rank
  std::vector<long double> y, y_bound, norm, norm_bound;
};

class ParallelProblem {
 public:
  explicit ParallelProblem(const ParallelOptions& options);

  const ParallelOptions& options() const { return options_; }
  RankOperands& of(int rank) { return ranks_[static_cast<size_t>(rank)]; }
  MatmulAllReduceAddRmsNormProblem problem(int rank) const;
  /// The reference. expected.sums in int8 problems only.
  ParallelExpected Expect() const;
  /// The first element of y or norm_out of `rank` that is out of its bound; empty if there is none.
  std::string Compare(const ParallelExpected& expected, int rank) const;
  /// All bytes of y and norm_out of `rank`.
  std::vector<std::byte> Outputs(int rank) const;
  void FillOutputs(int byte);

 private:
  struct Sum {
    long double value = 0, magnitude = 0;  // sum of products and of their absolute values, bias included
  };
  Sum PartialOf(int rank, int64_t i, int64_t j) const;
  float Int8PartialOf(int rank, int64_t i, int64_t j) const;
  void ExpectNorms(const std::vector<long double>& y32, const std::vector<long double>& y_error, ParallelExpected* expected) const;

  ParallelOptions options_;
  std::vector<RankOperands> ranks_;
};

/// Element (i, j) of a matrix, or j of a vector, whatever its type.
long double At(const TensorView& view, int64_t i, int64_t j);
void Put(const TensorView& view, int64_t i, int64_t j, long double value);

/// Calls body(rank, communicator) on one thread per rank of a new group; gives what each returned.
std::vector<Status> OnRanks(int ranks, const std::function<Status(int, Communicator&)>& body);

}  // namespace addnorm::test
#endif  // ADDNORM_TESTS_PARALLEL_PROBLEM_H_
