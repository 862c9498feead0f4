// SPDX-License-Identifier: Apache-2.0
// Tensor parallelism: y = all_reduce(x1 @ x2 + bias) + residual, norm_out = RMSNorm(y) * gamma, on every rank of a Communicator.
//
//   float          x1, x2, bias (float32, float16, bfloat16): partial_r = sum_k x1 x2 + bias, in fp32
//   int8           x1, x2 int8, bias int32, dequant_scale: partial_r = fp32((sum_k x1 x2 + bias) * scale), sum exact, product in fp64
//   int8 weights   x1 float, x2 int8: W = (x2 + antiquant_offset) * antiquant_scale, per tensor, per column or per group of k
// then             y32 = (partial_0 + partial_1 + ...) + residual in fp32, in rank order; y = round(y32);
//                  norm_out = round(y32 * rstd * gamma), rstd = (mean(y32^2) + epsilon)^-1/2 in fp64
// The scenario follows from the types. Ranks may differ in k, x1, x2, bias and scales; bias is added by every rank that passes it, as
// documented upstream. residual and gamma must be the same on all, unless per_rank_residual says otherwise: a rank normalises its share of
// the rows with its own, and all take over the result. A fingerprint of a sample of both is compared, so that different ones are an error.
// Results are the same bits on every rank, run, transport, SIMD target, thread count and comm_turn.
#ifndef ADDNORM_PARALLEL_H_
#define ADDNORM_PARALLEL_H_

#include <chrono>
#include <memory>
#include <span>

#include "addnorm/addnorm.h"
#include "addnorm/communicator.h"

namespace addnorm {

/// Weights in the kernels' own layout, with their antiquant scales: made once by PrepareWeights, used by any number of calls with any M,
/// also at the same time. Owns all its memory.
class PreparedWeights;
struct ADDNORM_API PreparedWeightsDelete {
  void operator()(const PreparedWeights* weights) const;
};
using PreparedWeightsPtr = std::unique_ptr<const PreparedWeights, PreparedWeightsDelete>;

struct MatmulAllReduceAddRmsNormProblem {
  const char* api = "addnorm::MatmulAllReduceAddRmsNorm";
  std::span<const ArgName> names = {};
  TensorView x1 = {};  // [A.., k], last dimension contiguous, A collapses to one row stride; k >= 1
  TensorView x2 = {};  // [k, n]: plain ([n, 1] strides, or larger row stride) or a transposed view of [n, k]; absent with `prepared`
  const PreparedWeights* prepared = nullptr;
  TensorView bias = {};              // [n]: float32, float16 or bfloat16; int32 in the int8 scenario
  TensorView residual = {};          // [B.., n], numel(B) = numel(A); float32, float16 or bfloat16
  TensorView gamma = {};             // [n], any of these types
  TensorView dequant_scale = {};     // [1], [n] or [1, n]: float32, bfloat16, or int64/uint64 whose low 32 bits are a float32
  TensorView antiquant_scale = {};   // [1], [n], [1, n], or [ceil(k / group), n]
  TensorView antiquant_offset = {};  // as antiquant_scale; absent = 0
  int64_t antiquant_group_size = 0;  // 0 = by shape; else per group of this many k, the last one may be shorter
  double epsilon = 1e-6;             // finite, >= 0
  int64_t comm_turn = 0;             // row blocks that overlap, 0 = automatic; no influence on bits
  DType comm_dtype = DType::kF32;    // the type in which partial sums cross ranks; narrower = less traffic, one more rounding per rank
  /// Every rank adds its own residual and normalises all rows with its own gamma: y and norm_out are its own, too. Slower.
  bool per_rank_residual = false;
  /// The Ascend names' semantics: packed scales lose their 13 low bits, float16 results saturate (docs/parallel.md).
  bool ascend = false;
  TensorView y = {}, norm_out = {};  // residual's shape and type; y may be exactly residual
};

/// Of `problem` only api, names, x2, antiquant_scale, antiquant_offset and antiquant_group_size are read; no rank hears of it. In calls
/// with the result these fields stay empty. int8 weights without antiquant_scale are those of the int8 scenario.
ADDNORM_API Status PrepareWeights(const MatmulAllReduceAddRmsNormProblem& problem, PreparedWeightsPtr* prepared,
                                  const Executor& executor = DefaultExecutor());
/// [k, n] and the bytes held.
ADDNORM_API int64_t RowsOf(const PreparedWeights& weights);
ADDNORM_API int64_t ColumnsOf(const PreparedWeights& weights);
ADDNORM_API size_t BytesOf(const PreparedWeights& weights);

/// Checks, agrees with the other ranks, computes. Returns within timeout + 100 ms on every live rank: OK with complete outputs, or an
/// error with outputs untouched. Arguments that this rank refuses fail the call on all ranks.
ADDNORM_API Status MatmulAllReduceAddRmsNorm(const MatmulAllReduceAddRmsNormProblem& problem, Communicator& communicator,
                                             std::chrono::nanoseconds timeout = std::chrono::seconds(30),
                                             const Executor& executor = DefaultExecutor());

/// The same from the partial sums on: y32 = (partial_0 + partial_1 + ...) + residual. Partial sums cross ranks in their own type.
struct AllReduceAddRmsNormProblem {
  const char* api = "addnorm::AllReduceAddRmsNorm";
  std::span<const ArgName> names = {};
  TensorView partial = {};   // [A.., n], one row stride; float32, float16 or bfloat16, alike on all ranks
  TensorView residual = {};  // [B.., n], numel(B) = numel(A); the same on all ranks
  TensorView gamma = {};     // [n]; the same on all ranks
  double epsilon = 1e-6;
  int64_t comm_turn = 0;
  bool per_rank_residual = false;
  TensorView y = {}, norm_out = {};  // residual's shape and type; y may be exactly residual
};
ADDNORM_API Status AllReduceAddRmsNorm(const AllReduceAddRmsNormProblem& problem, Communicator& communicator,
                                       std::chrono::nanoseconds timeout = std::chrono::seconds(30),
                                       const Executor& executor = DefaultExecutor());

}  // namespace addnorm
#endif  // ADDNORM_PARALLEL_H_
