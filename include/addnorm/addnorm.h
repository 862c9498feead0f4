// SPDX-License-Identifier: Apache-2.0
// The C++ door: fused dropout + add + LayerNorm / RMSNorm, forward and backward.
//
// One forward and one backward problem, each a struct of named optional operands; an absent operand is an absent stage.
// The named operators below (LayerNorm, AddLayerNormGrad, ...) only fill these structs. Formulas: docs/numerics.md.
//
// Shapes: x0 is [A.., R..] with R = its last `normalized_rank` dimensions; cols = numel(R), rows = numel(A). Any cols >= 0, any rank.
// Types: float32, float16, bfloat16 in any mixture (computed in fp32, row scalars in fp64), or float64 everywhere.
// Strides: R must be contiguous and A must collapse to one row stride (any value); anything else is refused with kBadShape.
// Aliasing: an output may be exactly one of the inputs of the same shape, type and strides; any other overlap is refused.
// Every element of an output is written (`=`, never `+=`) and rounded once, to nearest even. On error nothing is written.
// Results are the same bits for every SIMD target, thread count and run; row outputs also under any batch split.
#ifndef ADDNORM_ADDNORM_H_
#define ADDNORM_ADDNORM_H_

#include <cstddef>
#include <span>

#include "addnorm/types.h"

namespace addnorm {

/// h = dropout(x0 * rowscale * layerscale) + residual + prebias
struct PreNormTensors {
  TensorView x0 = {};          // [A.., R..]; required where the sum is formed from its parts
  TensorView residual = {};    // [A.., R..]; absent = 0
  TensorView rowscale = {};    // [A..]; absent = 1
  TensorView layerscale = {};  // [R..]; absent = 1
  TensorView prebias = {};     // [R..] or [A.., R..], added before the norm; absent = 0
  Dropout dropout = {};
};

/// An operand's name in messages, where an operator calls it otherwise than the field of the problem.
struct ArgName {
  const char* field;
  const char* name;
};

/// y = xhat * weight + bias, xhat = the norm of h (NormSpec).
struct ForwardProblem {
  const char* api = "addnorm::Forward";  // named in messages; must outlive the plan
  std::span<const ArgName> names = {};
  int normalized_rank = 1;
  NormSpec norm = {};
  PreNormTensors pre = {};
  TensorView weight = {};  // [R..]; absent = 1
  TensorView bias = {};    // [R..]; absent = 0
  // Outputs.
  TensorView y = {};        // [A.., R..], any type; absent = only the statistics and the sum
  TensorView prenorm = {};  // [A.., R..]: h rounded once; absent = not wanted
  TensorView keep = {};     // [A.., R..] bool: true = kept; all true without dropout
  TensorView mean = {};     // [A..] or [A.., 1..]: fl(mean_hi + mean_lo) if mean_lo is absent, else mean_hi; 0 for RMSNorm
  TensorView mean_lo = {};  // [A..]: what rounding took from the mean (saved for backward)
  TensorView rstd = {};     // [A..] or [A.., 1..]
  /// The type h is rounded to under norm.from_rounded; used only where `prenorm` is absent.
  DType prenorm_dtype = DType::kF32;
};

/// t = dL/dh = rstd (w - mean(w) - xhat mean(w xhat)) + dsum with w = weight dy (RMSNorm: no mean(w));
/// dresidual = t;  dx0 = dropout'(t * rowscale * layerscale);  sums over rows give the column gradients.
struct BackwardProblem {
  /// What `rstd` (and `mean`) hold.
  enum class Statistics : uint8_t {
    kOurs,      // rstd, mean, mean_lo from Forward. All absent = derived again from h
    kGiven,     // any mean and rstd: used as they are, never recomputed
    kVariance,  // `rstd` holds a variance: rstd = (variance + eps)^-1/2; keeps the term for an inexact mean (Ascend C LayerNormGrad)
  };
  const char* api = "addnorm::Backward";
  std::span<const ArgName> names = {};
  int normalized_rank = 1;
  NormSpec norm = {};
  TensorView dy = {};                             // [A.., R..]; required
  TensorView prenorm = {};                        // [A.., R..]: the saved h; absent = formed again from `pre`
  PreNormTensors pre = {};                        // x0 is needed for drowscale and dlayerscale, and for h where prenorm is absent
  DType prenorm_dtype = DType::kF32;              // under norm.from_rounded without prenorm: the type h was rounded to
  TensorView mean = {}, mean_lo = {}, rstd = {};  // [A..] or [A.., 1..]
  Statistics statistics = Statistics::kOurs;
  TensorView weight = {};  // [R..]; absent = 1
  TensorView dsum = {};    // [A.., R..]: gradient that reaches h around the norm; absent = 0
  // Outputs, each optional.
  TensorView dx0 = {}, dresidual = {};                    // [A.., R..]
  TensorView xhat = {};                                   // [A.., R..]
  TensorView drowscale = {};                              // [A..]
  TensorView dweight = {}, dbias = {}, dlayerscale = {};  // [R..]
};

class Plan;

/// Checks `problem` and runs it. workspace is taken from the heap where one is needed.
ADDNORM_API Status Forward(const ForwardProblem& problem, const Executor& executor = DefaultExecutor());
ADDNORM_API Status Backward(const BackwardProblem& problem, const Executor& executor = DefaultExecutor());

/// The same in two phases, without any allocation of its own: check once, ask for the workspace, run any number of times.
ADDNORM_API Status MakePlan(const ForwardProblem& problem, Plan* plan);
ADDNORM_API Status MakePlan(const BackwardProblem& problem, Plan* plan);

/// Names of the SIMD targets that this machine can run, best first ("AVX3", "AVX2", "SSE4", "SCALAR"; "NEON").
ADDNORM_API std::span<const char* const> AvailableTargets();
/// The target in use: the best one, or the one that the environment variable ADDNORM_TARGET names. Empty if that name is unknown.
ADDNORM_API const char* CurrentTarget();
/// Overrides the target for the calling thread's later plans (tests, bug reports). Null = back to the default.
ADDNORM_API Status SetThreadTarget(const char* name);
ADDNORM_API const char* Version();

// ---- The named operators: one line of Forward or Backward each. ------------------------------------------------------

/// y = LayerNorm(x) * weight + bias over the trailing `normalized_rank` dimensions (torch.nn.functional.layer_norm).
ADDNORM_API ForwardProblem LayerNorm(TensorView x, TensorView weight, TensorView bias, double eps, TensorView y, int normalized_rank = 1);
/// y = x / sqrt(mean(x^2) + eps) * weight.
ADDNORM_API ForwardProblem RmsNorm(TensorView x, TensorView weight, double eps, TensorView y, int normalized_rank = 1);
/// sum = x1 + x2, y = LayerNorm(sum) * weight + bias.
ADDNORM_API ForwardProblem AddLayerNorm(TensorView x1, TensorView x2, TensorView weight, TensorView bias, double eps, TensorView y,
                                        TensorView sum = {});
/// sum = x1 + x2, y = RMSNorm(sum) * weight.
ADDNORM_API ForwardProblem AddRmsNorm(TensorView x1, TensorView x2, TensorView weight, double eps, TensorView y, TensorView sum = {});
/// Spec 002: LayerNorm backward over h = x1 + x2 with given statistics; dx = dx1 = dx2, dsum added. gamma absent = ones.
ADDNORM_API BackwardProblem AddLayerNormGrad(TensorView dy, TensorView x1, TensorView x2, TensorView rstd, TensorView mean,
                                             TensorView gamma, TensorView dsum, TensorView dx, TensorView dgamma, TensorView dbeta);
/// Spec 004: LayerNorm backward over `normalized_rank` trailing dimensions with given statistics; absent outputs are not computed.
ADDNORM_API BackwardProblem LayerNormBackward(TensorView grad_out, TensorView input, int normalized_rank, TensorView mean, TensorView rstd,
                                              TensorView weight, TensorView grad_input, TensorView grad_weight, TensorView grad_bias);

}  // namespace addnorm

#include "addnorm/plan.h"

#endif  // ADDNORM_ADDNORM_H_
