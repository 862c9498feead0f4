// SPDX-License-Identifier: Apache-2.0
// torch.ops.addnorm.forward and .dropout_add_norm: y = norm(dropout(x0 * rowscale * layerscale) + residual) * weight + bias.
#include <algorithm>
#include <array>
#include <vector>

#include "addnorm/addnorm.h"
#include "doors/torch/executor.h"
#include "doors/torch/kernels.h"
#include "doors/torch/tensor.h"

namespace addnorm::torch_door {
namespace {

constexpr const char* kApi = "torch.ops.addnorm.dropout_add_norm";

// The arguments, in the order of the schema.
struct Call {
  explicit Call(Arguments args)
      : x0(args.TakeTensor()),
        residual(args.TakeOptionalTensor()),
        weight(args.TakeOptionalTensor()),
        bias(args.TakeOptionalTensor()),
        eps(args.TakeDouble()),
        is_rms(args.TakeBool()),
        want_prenorm(args.TakeBool()),
        want_stats(args.TakeBool()),
        rowscale(args.TakeOptionalTensor()),
        layerscale(args.TakeOptionalTensor()),
        seed(args.TakeOptionalTensor()),
        p(args.TakeDouble()),
        want_mask(args.TakeBool()),
        residual_in_fp32(args.TakeBool()),
        from_rounded(args.TakeBool()),
        normalized_rank(args.TakeInt()) {}

  Tensor x0, residual, weight, bias;
  double eps;
  bool is_rms, want_prenorm, want_stats;
  Tensor rowscale, layerscale, seed;
  double p;
  bool want_mask, residual_in_fp32, from_rounded;
  int64_t normalized_rank;
};

// [k, A..]: mean, mean_lo, rstd of LayerNorm; rstd of RMSNorm. One tensor, as each costs an allocation.
Tensor EmptyStats(std::span<const int64_t> lead, bool is_rms, DType dtype) {
  std::vector<int64_t> shape(1 + lead.size());
  shape[0] = is_rms ? 1 : 3;
  std::copy(lead.begin(), lead.end(), shape.begin() + 1);
  return Empty(shape, dtype);
}

void ViewStats(const Tensor& stats, DType dtype, ForwardProblem* problem) {
  const std::span<const int64_t> shape = stats.shape();
  const std::span<const int64_t> lead = shape.subspan(1);
  size_t bytes = SizeOf(dtype);
  for (const int64_t size : lead) bytes *= static_cast<size_t>(size);
  auto* data = static_cast<std::byte*>(stats.data());
  if (shape[0] == 3) {
    problem->mean = {data, dtype, lead, {}};
    problem->mean_lo = {data + bytes, dtype, lead, {}};
    data += 2 * bytes;
  }
  problem->rstd = {data, dtype, lead, {}};
}

}  // namespace

void DropoutAddNorm(StableIValue* stack, uint64_t, uint64_t) {
  Call call{Arguments(stack)};
  const auto rank = static_cast<size_t>(std::max<int64_t>(call.normalized_rank, 0));
  const DType dtype = FloatType(kApi, "x0", call.x0);
  const bool wide = dtype == DType::kF64;
  const DType sum_dtype = call.residual ? FloatType(kApi, "residual", call.residual) : call.residual_in_fp32 && !wide ? DType::kF32 : dtype;
  const DType stats_dtype = wide ? DType::kF64 : DType::kF32;

  ForwardProblem problem;
  problem.api = kApi;
  problem.normalized_rank = static_cast<int>(call.normalized_rank);
  problem.norm = {call.is_rms ? NormKind::kRms : NormKind::kLayer, call.eps, call.from_rounded};
  problem.pre.x0 = View(kApi, "x0", call.x0, rank);
  problem.pre.residual = View(kApi, "residual", call.residual, rank);
  problem.pre.rowscale = View(kApi, "rowscale", call.rowscale, 0);
  problem.pre.layerscale = View(kApi, "layerscale", call.layerscale, rank);
  problem.pre.dropout = MakeDropout(kApi, call.p, call.seed);
  problem.weight = View(kApi, "weight", call.weight, rank);
  problem.bias = View(kApi, "bias", call.bias, rank);
  problem.prenorm_dtype = sum_dtype;

  const std::span<const int64_t> shape = problem.pre.x0.shape;
  const std::span<const int64_t> lead = shape.first(shape.size() - std::min(rank, shape.size()));
  std::array<Tensor, 4> results = {
      Empty(shape, dtype),
      call.want_prenorm ? Empty(shape, sum_dtype) : Nothing(sum_dtype),
      call.want_mask ? Empty(shape, DType::kBool) : Nothing(DType::kBool),
      call.want_stats ? EmptyStats(lead, call.is_rms, stats_dtype) : Nothing(stats_dtype),
  };
  problem.y = Whole(results[0], dtype);
  if (call.want_prenorm) problem.prenorm = Whole(results[1], sum_dtype);
  if (call.want_mask) problem.keep = Whole(results[2], DType::kBool);
  if (call.want_stats) ViewStats(results[3], stats_dtype, &problem);
  Check(Forward(problem, TorchExecutor()));
  Return(results, stack);
}

}  // namespace addnorm::torch_door
