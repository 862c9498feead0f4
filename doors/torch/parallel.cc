// SPDX-License-Identifier: Apache-2.0
// torch.ops.addnorm_parallel, the part that computes: tensors become views, the core does the rest. addnorm/parallel.py calls these.
#include "addnorm/parallel.h"

#include <torch/csrc/stable/library.h>

#include <array>
#include <optional>

#include "doors/torch/executor.h"
#include "doors/torch/parallel_ranks.h"
#include "doors/torch/tensor.h"

namespace addnorm::torch_door {
namespace {

constexpr const char* kMatmulApi = "torch.ops.addnorm_parallel.matmul_all_reduce_add_rms_norm";
constexpr const char* kReduceApi = "torch.ops.addnorm_parallel.all_reduce_add_rms_norm";
constexpr const char* kPrepareApi = "torch.ops.addnorm_parallel.prepare_weights";

Handles<const PreparedWeights>& Prepared() {
  static Handles<const PreparedWeights> all("the prepared weights");
  return all;
}

// Any type, rows with one stride; anything else becomes a contiguous copy, which `tensor` then owns.
TensorView Rows(const char* api, const char* name, Tensor& tensor, size_t inner_rank) {
  if (!tensor) return {};
  const DType dtype = AnyType(api, name, tensor, "float32, float16, bfloat16 or an integer type");
  if (!IsRowStrided(tensor.shape(), tensor.strides(), inner_rank)) MakeContiguous(tensor);
  return {tensor.data(), dtype, tensor.shape(), tensor.strides()};
}

// A matrix or its transpose in place.
TensorView Matrix(const char* api, const char* name, Tensor& tensor) {
  if (!tensor) return {};
  const std::span<const int64_t> strides = tensor.strides();
  const bool transposed = strides.size() == 2 && strides[0] == 1;
  const DType dtype = AnyType(api, name, tensor, "float32, float16, bfloat16 or int8");
  if (!transposed && !IsRowStrided(tensor.shape(), strides, 1)) MakeContiguous(tensor);
  return {tensor.data(), dtype, tensor.shape(), tensor.strides()};
}

// One call on a communicator. What this side refuses before the core hears of it is told to the other ranks, too.
template <class Problem, class Fill, class Compute>
void Call(const char* api, int64_t handle, double timeout, StableIValue* stack, Tensor& residual, Fill fill, Compute compute) {
  const std::shared_ptr<Ranks> ranks = AllRanks().Get(handle);
  const std::lock_guard<std::mutex> lock(ranks->mutex);
  Communicator& communicator = *ranks->communicator;
  const std::chrono::nanoseconds limit = Timeout(api, timeout);
  Problem problem;
  std::array<Tensor, 2> results;
  try {
    problem.api = api;
    problem.residual = Rows(api, "residual", residual, 1);
    fill(&problem);
    FloatType(api, "residual", residual);
    results = {Empty(problem.residual.shape, problem.residual.dtype), Empty(problem.residual.shape, problem.residual.dtype)};
    problem.y = Whole(results[0], problem.residual.dtype);
    problem.norm_out = Whole(results[1], problem.residual.dtype);
  } catch (...) {
    problem.residual = problem.y = problem.norm_out = {};
    (void)compute(problem, communicator, limit);  // fails on all ranks, as the residual is absent
    throw;
  }
  Check(compute(problem, communicator, limit));
  Return(results, stack);
}

void MatmulKernel(StableIValue* stack, uint64_t, uint64_t) {
  Arguments args(stack);
  Tensor x1 = args.TakeTensor(), x2 = args.TakeOptionalTensor(), residual = args.TakeTensor(), gamma = args.TakeTensor();
  const int64_t handle = args.TakeInt();
  const double epsilon = args.TakeDouble();
  Tensor bias = args.TakeOptionalTensor(), antiquant_scale = args.TakeOptionalTensor(), antiquant_offset = args.TakeOptionalTensor(),
         dequant_scale = args.TakeOptionalTensor();
  const int64_t group_size = args.TakeInt(), comm_turn = args.TakeInt(), prepared = args.TakeInt(), comm_dtype = args.TakeInt();
  const bool per_rank_residual = args.TakeBool(), ascend = args.TakeBool();
  const double timeout = args.TakeDouble();
  std::shared_ptr<const PreparedWeights> weights;
  Call<MatmulAllReduceAddRmsNormProblem>(
      kMatmulApi, handle, timeout, stack, residual,
      [&](MatmulAllReduceAddRmsNormProblem* p) {
        if (prepared != 0) weights = Prepared().Get(prepared);
        p->prepared = weights.get();
        p->x1 = Rows(kMatmulApi, "x1", x1, 1);
        p->x2 = Matrix(kMatmulApi, "x2", x2);
        p->gamma = Rows(kMatmulApi, "gamma", gamma, 1);
        p->bias = Rows(kMatmulApi, "bias", bias, 1);
        p->dequant_scale = Rows(kMatmulApi, "dequant_scale", dequant_scale, 1);
        p->antiquant_scale = Matrix(kMatmulApi, "antiquant_scale", antiquant_scale);
        p->antiquant_offset = Matrix(kMatmulApi, "antiquant_offset", antiquant_offset);
        p->antiquant_group_size = group_size;
        p->epsilon = epsilon;
        p->comm_turn = comm_turn;
        p->comm_dtype = static_cast<DType>(comm_dtype);
        p->per_rank_residual = per_rank_residual;
        p->ascend = ascend;
      },
      [](const MatmulAllReduceAddRmsNormProblem& p, Communicator& communicator, std::chrono::nanoseconds limit) {
        return MatmulAllReduceAddRmsNorm(p, communicator, limit, TorchExecutor());
      });
}

void ReduceKernel(StableIValue* stack, uint64_t, uint64_t) {
  Arguments args(stack);
  Tensor partial = args.TakeTensor(), residual = args.TakeTensor(), gamma = args.TakeTensor();
  const int64_t handle = args.TakeInt();
  const double epsilon = args.TakeDouble();
  const int64_t comm_turn = args.TakeInt();
  const bool per_rank_residual = args.TakeBool();
  const double timeout = args.TakeDouble();
  Call<AllReduceAddRmsNormProblem>(
      kReduceApi, handle, timeout, stack, residual,
      [&](AllReduceAddRmsNormProblem* p) {
        p->partial = Rows(kReduceApi, "partial", partial, 1);
        p->gamma = Rows(kReduceApi, "gamma", gamma, 1);
        p->epsilon = epsilon;
        p->comm_turn = comm_turn;
        p->per_rank_residual = per_rank_residual;
      },
      [](const AllReduceAddRmsNormProblem& p, Communicator& communicator, std::chrono::nanoseconds limit) {
        return AllReduceAddRmsNorm(p, communicator, limit, TorchExecutor());
      });
}

void PrepareKernel(StableIValue* stack, uint64_t, uint64_t) {
  Arguments args(stack);
  Tensor x2 = args.TakeTensor(), scale = args.TakeOptionalTensor(), offset = args.TakeOptionalTensor();
  MatmulAllReduceAddRmsNormProblem problem;
  problem.api = kPrepareApi;
  problem.antiquant_group_size = args.TakeInt();
  problem.x2 = Matrix(kPrepareApi, "x2", x2);
  problem.antiquant_scale = Matrix(kPrepareApi, "antiquant_scale", scale);
  problem.antiquant_offset = Matrix(kPrepareApi, "antiquant_offset", offset);
  PreparedWeightsPtr prepared;
  Check(PrepareWeights(problem, &prepared, TorchExecutor()));
  stack[0] = torch::stable::detail::from(static_cast<int64_t>(BytesOf(*prepared)));
  stack[1] = torch::stable::detail::from(Prepared().Add(std::move(prepared)));
}

void Discard(int64_t prepared) { Prepared().Remove(prepared); }

}  // namespace
}  // namespace addnorm::torch_door

STABLE_TORCH_LIBRARY_FRAGMENT(addnorm_parallel, library) {
  // prepared: 0 = none. comm_dtype: the core's number of the type.
  library.def(
      "matmul_all_reduce_add_rms_norm(Tensor x1, Tensor? x2, Tensor residual, Tensor gamma, int ranks, float epsilon, Tensor? bias, "
      "Tensor? antiquant_scale, Tensor? antiquant_offset, Tensor? dequant_scale, int antiquant_group_size, int comm_turn, int prepared, "
      "int comm_dtype, bool per_rank_residual, bool ascend, float timeout) -> (Tensor y, Tensor norm_out)");
  library.def(
      "all_reduce_add_rms_norm(Tensor partial, Tensor residual, Tensor gamma, int ranks, float epsilon, int comm_turn, bool "
      "per_rank_residual, "
      "float timeout) "
      "-> (Tensor y, Tensor norm_out)");
  library.def(
      "prepare_weights(Tensor x2, Tensor? antiquant_scale, Tensor? antiquant_offset, int antiquant_group_size) -> (int bytes, int handle)");
  library.def("discard(int prepared) -> ()");
}

STABLE_TORCH_LIBRARY_IMPL(addnorm_parallel, CPU, library) {
  using namespace addnorm::torch_door;
  library.impl("matmul_all_reduce_add_rms_norm", &MatmulKernel);
  library.impl("all_reduce_add_rms_norm", &ReduceKernel);
  library.impl("prepare_weights", &PrepareKernel);
}

STABLE_TORCH_LIBRARY_IMPL(addnorm_parallel, CompositeExplicitAutograd, library) {
  library.impl("discard", TORCH_BOX(&addnorm::torch_door::Discard));
}
