// SPDX-License-Identifier: Apache-2.0
// All argument rules of the tensor-parallel operators: problems in, plain operands or a refusal out. No rank hears of it here.
#ifndef ADDNORM_SRC_PARALLEL_CHECK_H_
#define ADDNORM_SRC_PARALLEL_CHECK_H_

#include "addnorm/parallel.h"
#include "src/core/args.h"
#include "src/core/matmul.h"

namespace addnorm {

enum class Scenario : uint8_t { kFloat, kInt8, kInt8Weights };

// A scale or offset at [i, j]: strides in elements, 0 = the same for all.
struct ScaleArgs {
  const void* data = nullptr;
  DType dtype = DType::kF32;
  ptrdiff_t row_stride = 0, col_stride = 0;
  explicit operator bool() const { return data != nullptr; }
};

struct WeightArgs {
  Scenario scenario = Scenario::kFloat;
  size_t k = 0, n = 0;
  MatmulArgs::Weights x2;
  ScaleArgs antiquant_scale, antiquant_offset;
  size_t group = 0;   // 0 = one group
  size_t groups = 1;  // rows of the scales
};

// What follows the sum over ranks.
struct NormArgs {
  size_t rows = 0, cols = 0;
  In residual, gamma;
  double epsilon = 0;
  Out y, norm_out;
};

struct MatmulOperatorArgs {
  WeightArgs weights;  // with `prepared`: its scenario, k and n, and nothing else
  In x1, bias;
  ScaleArgs dequant_scale;
  NormArgs norm;
};

struct ReduceOperatorArgs {
  In partial;
  NormArgs norm;
};

Status Check(const MatmulAllReduceAddRmsNormProblem& problem, MatmulOperatorArgs* args);
Status Check(const AllReduceAddRmsNormProblem& problem, ReduceOperatorArgs* args);
// The weights alone, as PrepareWeights takes them.
Status CheckWeights(const MatmulAllReduceAddRmsNormProblem& problem, WeightArgs* args);

}  // namespace addnorm
#endif  // ADDNORM_SRC_PARALLEL_CHECK_H_
