// SPDX-License-Identifier: Apache-2.0
// torch.ops.addnorm.backward, .dropout_add_norm_backward, .add_layer_norm_grad and .layer_norm_backward.
#include <algorithm>
#include <array>

#include "addnorm/addnorm.h"
#include "doors/torch/executor.h"
#include "doors/torch/kernels.h"
#include "doors/torch/tensor.h"

namespace addnorm::torch_door {
namespace {

constexpr const char* kBackwardApi = "torch.ops.addnorm.dropout_add_norm_backward";
constexpr const char* kAddGradApi = "torch.ops.addnorm.add_layer_norm_grad";
constexpr const char* kLayerNormApi = "torch.ops.addnorm.layer_norm_backward";

// The arguments of dropout_add_norm_backward, in the order of its schema.
struct Call {
  explicit Call(Arguments args)
      : dy(args.TakeTensor()),
        dprenorm(args.TakeOptionalTensor()),
        prenorm(args.TakeOptionalTensor()),
        stats(args.TakeOptionalTensor()),
        weight(args.TakeOptionalTensor()),
        bias(args.TakeOptionalTensor()),
        eps(args.TakeDouble()),
        wanted(args.TakeBools(6)),
        is_rms(args.TakeBool()),
        x0(args.TakeOptionalTensor()),
        residual(args.TakeOptionalTensor()),
        rowscale(args.TakeOptionalTensor()),
        layerscale(args.TakeOptionalTensor()),
        seed(args.TakeOptionalTensor()),
        p(args.TakeDouble()),
        residual_in_fp32(args.TakeBool()),
        from_rounded(args.TakeBool()),
        normalized_rank(args.TakeInt()) {}

  Tensor dy, dprenorm, prenorm, stats, weight, bias;
  double eps;
  uint32_t wanted;
  bool is_rms;
  Tensor x0, residual, rowscale, layerscale, seed;
  double p;
  bool residual_in_fp32, from_rounded;
  int64_t normalized_rank;
};

DType TypeOr(const char* name, const Tensor& tensor, DType otherwise) { return tensor ? FloatType(kBackwardApi, name, tensor) : otherwise; }

// `stats` as dropout_add_norm gives it: [3, A..] for LayerNorm, [1, A..] for RMSNorm.
void ViewStats(Tensor& stats, std::span<const int64_t> lead, BackwardProblem* problem) {
  if (!stats) return;
  const TensorView all = View(kBackwardApi, "stats", stats, stats.shape().size());
  const int64_t parts = problem->norm.kind == NormKind::kRms ? 1 : 3;
  if (all.shape.size() != 1 + lead.size() || all.shape[0] != parts || !std::equal(lead.begin(), lead.end(), all.shape.begin() + 1)) {
    Check(Status::Error(Code::kBadShape,
                        "%s: argument 'stats' has %zu dimensions, or other sizes than the rows of dy, expected [%d, rows...]", kBackwardApi,
                        all.shape.size(), static_cast<int>(parts)));
  }
  size_t bytes = SizeOf(all.dtype);
  for (const int64_t size : lead) bytes *= static_cast<size_t>(size);
  auto* data = static_cast<std::byte*>(all.data);
  if (parts == 3) {
    problem->mean = {data, all.dtype, lead, {}};
    problem->mean_lo = {data + bytes, all.dtype, lead, {}};
    data += 2 * bytes;
  }
  problem->rstd = {data, all.dtype, lead, {}};
}

void CheckMask(const char* api, uint32_t wanted, int size) {
  if (wanted != Arguments::kNotThatMany) return;
  Check(Status::Error(Code::kBadValue, "%s: argument 'output_mask' has another length, expected %d", api, size));
}

// One gradient: allocated and put into the problem if wanted.
Tensor Gradient(bool wanted, std::span<const int64_t> shape, DType dtype, TensorView* view) {
  if (!wanted) return Nothing(dtype);
  Tensor tensor = Empty(shape, dtype);
  *view = Whole(tensor, dtype);
  return tensor;
}

size_t RankOf(int64_t normalized_rank) { return static_cast<size_t>(std::max<int64_t>(normalized_rank, 0)); }

std::span<const int64_t> Lead(std::span<const int64_t> shape, size_t rank) {
  return shape.first(shape.size() - std::min(rank, shape.size()));
}
std::span<const int64_t> Tail(std::span<const int64_t> shape, size_t rank) { return shape.last(std::min(rank, shape.size())); }

// The bias gives its gradient's type and nothing else, so that the core never sees it.
void CheckBias(const char* api, const Tensor& bias, std::span<const int64_t> shape) {
  if (!bias || std::ranges::equal(bias.shape(), shape)) return;
  Check(Status::Error(Code::kBadShape, "%s: argument 'bias' has shape %s, expected %s", api, ShapeText(bias.shape()).c_str(),
                      ShapeText(shape).c_str()));
}

}  // namespace

void DropoutAddNormBackward(StableIValue* stack, uint64_t, uint64_t) {
  Call call{Arguments(stack)};
  CheckMask(kBackwardApi, call.wanted, 6);
  const size_t rank = RankOf(call.normalized_rank);
  const DType dtype = call.x0 ? FloatType(kBackwardApi, "x0", call.x0) : FloatType(kBackwardApi, "dy", call.dy);
  const bool fp32_sum = call.residual_in_fp32 && dtype != DType::kF64;
  const DType sum_dtype = TypeOr("residual", call.residual, TypeOr("prenorm", call.prenorm, fp32_sum ? DType::kF32 : dtype));
  const DType weight_dtype = TypeOr("weight", call.weight, dtype);

  BackwardProblem problem;
  static constexpr ArgName kNames[] = {{"dsum", "dprenorm"}};
  problem.api = kBackwardApi;
  problem.names = kNames;
  problem.normalized_rank = static_cast<int>(call.normalized_rank);
  problem.norm = {call.is_rms ? NormKind::kRms : NormKind::kLayer, call.eps, call.from_rounded};
  problem.dy = View(kBackwardApi, "dy", call.dy, rank);
  problem.dsum = View(kBackwardApi, "dprenorm", call.dprenorm, rank);
  problem.prenorm = View(kBackwardApi, "prenorm", call.prenorm, rank);
  problem.prenorm_dtype = sum_dtype;
  problem.pre.x0 = View(kBackwardApi, "x0", call.x0, rank);
  problem.pre.residual = View(kBackwardApi, "residual", call.residual, rank);
  problem.pre.rowscale = View(kBackwardApi, "rowscale", call.rowscale, 0);
  problem.pre.layerscale = View(kBackwardApi, "layerscale", call.layerscale, rank);
  problem.pre.dropout = MakeDropout(kBackwardApi, call.p, call.seed);
  problem.weight = View(kBackwardApi, "weight", call.weight, rank);
  const std::span<const int64_t> shape = problem.dy.shape;
  const std::span<const int64_t> lead = Lead(shape, rank);
  const std::span<const int64_t> tail = Tail(shape, rank);
  ViewStats(call.stats, lead, &problem);
  CheckBias(kBackwardApi, call.bias, tail);

  const auto wanted = [&](int i) { return (call.wanted >> i & 1) != 0; };
  std::array<Tensor, 6> results = {
      Gradient(wanted(0), shape, dtype, &problem.dx0),
      Gradient(wanted(1), shape, sum_dtype, &problem.dresidual),
      Gradient(wanted(2), tail, weight_dtype, &problem.dweight),
      Gradient(wanted(3), tail, TypeOr("bias", call.bias, weight_dtype), &problem.dbias),
      Gradient(wanted(4), lead, TypeOr("rowscale", call.rowscale, dtype), &problem.drowscale),
      Gradient(wanted(5), tail, TypeOr("layerscale", call.layerscale, dtype), &problem.dlayerscale),
  };
  if (call.wanted != 0) Check(Backward(problem, TorchExecutor()));
  Return(results, stack);
}

void AddLayerNormGrad(StableIValue* stack, uint64_t, uint64_t) {
  Arguments args(stack);
  Tensor dy = args.TakeTensor(), x1 = args.TakeTensor(), x2 = args.TakeTensor(), rstd = args.TakeTensor(), mean = args.TakeTensor();
  Tensor gamma = args.TakeOptionalTensor(), dsum = args.TakeOptionalTensor();
  const int64_t normalized_rank = args.TakeInt();
  const bool in_gamma_dtype = args.TakeBool();
  const size_t rank = RankOf(normalized_rank);
  const DType dtype = FloatType(kAddGradApi, "dy", dy);
  DType column_dtype = dtype == DType::kF64 ? DType::kF64 : DType::kF32;
  if (in_gamma_dtype) column_dtype = gamma ? FloatType(kAddGradApi, "gamma", gamma) : dtype;

  // Views first: a copy made for a layout must be in place before its shape is borrowed.
  const TensorView dy_view = View(kAddGradApi, "dy", dy, rank);
  const TensorView x1_view = View(kAddGradApi, "x1", x1, rank), x2_view = View(kAddGradApi, "x2", x2, rank);
  const TensorView rstd_view = View(kAddGradApi, "rstd", rstd, 0), mean_view = View(kAddGradApi, "mean", mean, 0);
  const TensorView gamma_view = View(kAddGradApi, "gamma", gamma, rank), dsum_view = View(kAddGradApi, "dsum", dsum, rank);
  TensorView dx, dgamma, dbeta;
  std::array<Tensor, 3> results = {
      Gradient(true, dy_view.shape, dtype, &dx),
      Gradient(true, Tail(dy_view.shape, rank), column_dtype, &dgamma),
      Gradient(true, Tail(dy_view.shape, rank), column_dtype, &dbeta),
  };
  BackwardProblem problem =
      addnorm::AddLayerNormGrad(dy_view, x1_view, x2_view, rstd_view, mean_view, gamma_view, dsum_view, dx, dgamma, dbeta);
  problem.api = kAddGradApi;
  problem.normalized_rank = static_cast<int>(normalized_rank);
  Check(Backward(problem, TorchExecutor()));
  Return(results, stack);
}

void LayerNormBackward(StableIValue* stack, uint64_t, uint64_t) {
  Arguments args(stack);
  Tensor grad_out = args.TakeTensor(), input = args.TakeTensor();
  const int64_t normalized_rank = args.TakeInt();
  Tensor mean = args.TakeTensor(), rstd = args.TakeTensor(), weight = args.TakeOptionalTensor(), bias = args.TakeOptionalTensor();
  const uint32_t wanted = args.TakeBools(3);
  CheckMask(kLayerNormApi, wanted, 3);
  const size_t rank = RankOf(normalized_rank);
  const DType dtype = FloatType(kLayerNormApi, "input", input);
  const DType weight_dtype = weight ? FloatType(kLayerNormApi, "weight", weight) : dtype;
  const DType bias_dtype = bias ? FloatType(kLayerNormApi, "bias", bias) : weight_dtype;

  const TensorView dy_view = View(kLayerNormApi, "grad_out", grad_out, rank), x_view = View(kLayerNormApi, "input", input, rank);
  const TensorView mean_view = View(kLayerNormApi, "mean", mean, 0), rstd_view = View(kLayerNormApi, "rstd", rstd, 0);
  const TensorView weight_view = View(kLayerNormApi, "weight", weight, rank);
  CheckBias(kLayerNormApi, bias, Tail(x_view.shape, rank));
  TensorView dx, dweight, dbias;
  std::array<Tensor, 3> results = {
      Gradient((wanted & 1) != 0, x_view.shape, dtype, &dx),
      Gradient((wanted & 2) != 0, Tail(x_view.shape, rank), weight_dtype, &dweight),
      Gradient((wanted & 4) != 0, Tail(x_view.shape, rank), bias_dtype, &dbias),
  };
  if (wanted != 0) {
    BackwardProblem problem = addnorm::LayerNormBackward(dy_view, x_view, static_cast<int>(normalized_rank), mean_view, rstd_view,
                                                         weight_view, dx, dweight, dbias);
    problem.api = kLayerNormApi;
    Check(Backward(problem, TorchExecutor()));
  }
  Return(results, stack);
}

}  // namespace addnorm::torch_door
