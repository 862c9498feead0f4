// SPDX-License-Identifier: Apache-2.0
#include "doors/aclnn/tests/parallel_calls.h"

#include <cmath>
#include <random>
#include <stdexcept>
#include <thread>

namespace addnorm::aclnn_test {

const char* ApiOf(ParallelOp op) {
  static constexpr const char* kApis[] = {"aclnnMatmulAllReduceAddRmsNorm",
                                          "aclnnQuantMatmulAllReduceAddRmsNorm",
                                          "aclnnWeightQuantMatmulAllReduceAddRmsNorm",
                                          "aclnnInplaceMatmulAllReduceAddRmsNorm",
                                          "aclnnInplaceQuantMatmulAllReduceAddRmsNorm",
                                          "aclnnInplaceWeightQuantMatmulAllReduceAddRmsNorm"};
  return kApis[static_cast<size_t>(op)];
}

const char* ScaleOf(ParallelOp op) { return IsQuant(op) ? "dequantScale" : IsWeightQuant(op) ? "antiquantScale" : nullptr; }

RankGroup::RankGroup(int ranks, int first_device) : comms(static_cast<size_t>(ranks)), first_device_(first_device) {
  std::vector<int32_t> devices(comms.size());
  for (size_t i = 0; i < devices.size(); ++i) devices[i] = first_device + static_cast<int32_t>(i);
  char text[COMM_NAME_MAX_LENGTH];
  if (HcclCommInitAll(static_cast<uint32_t>(ranks), devices.data(), comms.data()) != HCCL_SUCCESS ||
      HcclGetCommName(comms.back(), text) != HCCL_SUCCESS) {
    throw std::runtime_error(RecentText());
  }
  name = text;
}

RankGroup::~RankGroup() {
  for (HcclComm comm : comms) {
    if (comm != nullptr) HcclCommDestroy(comm);
  }
}

void RankGroup::OnRanks(const std::function<void(int)>& body) const {
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size(); ++rank) {
    threads.emplace_back([&, rank] {
      aclrtSetDevice(device(rank));
      body(rank);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

aclTensor* ParallelCall::Handle(const char* tensor_name) {
  if (const auto given = raw.find(tensor_name); given != raw.end()) return static_cast<aclTensor*>(given->second);
  const auto found = tensors.find(tensor_name);
  return found == tensors.end() ? nullptr : found->second.Handle();
}

aclnnStatus ParallelCall::Phase1(uint64_t* size_out, aclOpExecutor** executor_out) {
  uint64_t* size = null_workspace_size ? nullptr : size_out;
  aclOpExecutor** executor = null_executor ? nullptr : executor_out;
  const auto t = [this](const char* tensor_name) { return Handle(tensor_name); };
  const char* sum = null_reduce_op ? nullptr : reduce_op.c_str();
  const char* where = null_group ? nullptr : group.c_str();
  switch (op) {
    case ParallelOp::kPlain:
      return aclnnMatmulAllReduceAddRmsNormGetWorkspaceSize(t("x1"), t("x2"), t("bias"), t("residual"), t("gamma"), epsilon, where, sum,
                                                            comm_turn, stream_mode, t("y"), t("normOut"), size, executor);
    case ParallelOp::kQuant:
      return aclnnQuantMatmulAllReduceAddRmsNormGetWorkspaceSize(t("x1"), t("x2"), t("bias"), t("dequantScale"), t("residual"), t("gamma"),
                                                                 epsilon, where, sum, comm_turn, stream_mode, t("y"), t("normOut"), size,
                                                                 executor);
    case ParallelOp::kWeightQuant:
      return aclnnWeightQuantMatmulAllReduceAddRmsNormGetWorkspaceSize(
          t("x1"), t("x2"), t("bias"), t("antiquantScale"), t("antiquantOffset"), t("residual"), t("gamma"), epsilon, where, sum, comm_turn,
          stream_mode, group_size, t("y"), t("normOut"), size, executor);
    case ParallelOp::kInplacePlain:
      return aclnnInplaceMatmulAllReduceAddRmsNormGetWorkspaceSize(t("x1"), t("x2"), t("bias"), t("residual"), t("gamma"), epsilon, where,
                                                                   sum, comm_turn, stream_mode, t("normOut"), size, executor);
    case ParallelOp::kInplaceQuant:
      return aclnnInplaceQuantMatmulAllReduceAddRmsNormGetWorkspaceSize(t("x1"), t("x2"), t("bias"), t("dequantScale"), t("residual"),
                                                                        t("gamma"), epsilon, where, sum, comm_turn, stream_mode,
                                                                        t("normOut"), size, executor);
    case ParallelOp::kInplaceWeightQuant:
      return aclnnInplaceWeightQuantMatmulAllReduceAddRmsNormGetWorkspaceSize(
          t("x1"), t("x2"), t("bias"), t("antiquantScale"), t("antiquantOffset"), t("residual"), t("gamma"), epsilon, where, sum, comm_turn,
          stream_mode, group_size, t("normOut"), size, executor);
  }
  return -1;
}

aclnnStatus ParallelCall::Phase2(void* workspace, uint64_t size, aclOpExecutor* executor, aclrtStream stream) const {
  static constexpr aclnnStatus (*kPhase2[])(void*, uint64_t, aclOpExecutor*, aclrtStream) = {
      aclnnMatmulAllReduceAddRmsNorm,        aclnnQuantMatmulAllReduceAddRmsNorm,        aclnnWeightQuantMatmulAllReduceAddRmsNorm,
      aclnnInplaceMatmulAllReduceAddRmsNorm, aclnnInplaceQuantMatmulAllReduceAddRmsNorm, aclnnInplaceWeightQuantMatmulAllReduceAddRmsNorm};
  return kPhase2[static_cast<size_t>(op)](workspace, size, executor, stream);
}

aclnnStatus ParallelCall::Run() {
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  if (const aclnnStatus status = Phase1(&size, &executor)) return status;
  std::vector<std::byte> workspace(size);
  const aclnnStatus status = Phase2(workspace.empty() ? nullptr : workspace.data(), size, executor, nullptr);
  return status != 0 ? status : aclrtSynchronizeStream(nullptr);
}

MatmulAllReduceAddRmsNormProblem ParallelCall::Problem() {
  const auto view = [this](const char* tensor_name) { return has(tensor_name) ? tensors[tensor_name].View() : TensorView{}; };
  return {.x1 = view("x1"),
          .x2 = view("x2"),
          .bias = view("bias"),
          .residual = view("residual"),
          .gamma = view("gamma"),
          .dequant_scale = view("dequantScale"),
          .antiquant_scale = view("antiquantScale"),
          .antiquant_offset = view("antiquantOffset"),
          .antiquant_group_size = group_size,
          .epsilon = epsilon,
          .ascend = true,
          .y = view(y_name()),
          .norm_out = view("normOut")};
}

ParallelCall MakeParallelCall(ParallelOp op, const ParallelShape& shape, aclDataType type, const std::string& group) {
  ParallelCall call;
  call.op = op;
  call.group = group;
  const auto add = [&](const char* name, aclDataType t, Dims dims) { call.tensors.emplace(name, TestTensor(t, std::move(dims))); };
  const aclDataType x1 = IsQuant(op) ? ACL_INT8 : type, x2 = ScaleOf(op) != nullptr ? ACL_INT8 : type;
  add("x1", x1, shape.flat_x1 ? Dims{shape.b * shape.s, shape.k} : Dims{shape.b, shape.s, shape.k});
  add("x2", x2, {shape.k, shape.n});
  if (shape.transposed) call["x2"].strides = {1, shape.k};
  add("bias", IsQuant(op) ? ACL_INT32 : type, {shape.n});
  add("residual", type, {shape.b, shape.s, shape.n});
  add("gamma", type, {shape.n});
  if (!IsInplace(op)) add("y", type, {shape.b, shape.s, shape.n});
  add("normOut", type, {shape.b, shape.s, shape.n});
  if (IsQuant(op)) add("dequantScale", type == ACL_FLOAT16 ? ACL_UINT64 : ACL_BF16, {shape.n});
  if (IsWeightQuant(op)) add("antiquantScale", type, {shape.n}), add("antiquantOffset", type, {shape.n});
  return call;
}

namespace {

void Store(TestTensor& t, size_t index, double value) {
  std::byte* at = t.Address() + index * BytesOf(t.type);
  const auto real = static_cast<float>(value);
  uint32_t bits;
  std::memcpy(&bits, &real, 4);
  switch (static_cast<int>(t.type)) {
    case ACL_INT8:
      *at = static_cast<std::byte>(static_cast<int8_t>(value));
      return;
    case ACL_INT32: {
      const auto whole = static_cast<int32_t>(value);
      std::memcpy(at, &whole, 4);
      return;
    }
    case ACL_INT64:
    case ACL_UINT64: {  // a packed word: fields besides the scale must not matter
      const uint64_t word = bits | uint64_t{0x4000} << 32 | static_cast<uint64_t>(index % 512) << 37;
      std::memcpy(at, &word, 8);
      return;
    }
    case ACL_BF16: {
      const auto half = static_cast<uint16_t>(bits >> 16);
      std::memcpy(at, &half, 2);
      return;
    }
    default: {
      const aclFloat16 half = aclFloatToFloat16(real);
      std::memcpy(at, &half, 2);
    }
  }
}

}  // namespace

void FillInputs(ParallelCall* call, uint64_t seed, int rank) {
  for (auto& [name, t] : call->tensors) {
    if (t.null || name == "y" || name == "normOut") continue;
    const bool shared = name == "residual" || name == "gamma";
    std::mt19937_64 random(seed * 1000 + (shared ? 500 : static_cast<uint64_t>(rank)) + name.size() * 7919);
    std::normal_distribution<double> normal;
    const size_t count = static_cast<size_t>(t.Span());
    const bool scale = name == "dequantScale" || name == "antiquantScale";
    for (size_t i = 0; i < count; ++i) {
      double value = normal(random);
      if (t.type == ACL_INT8) value = static_cast<double>(static_cast<int64_t>(random() % 256)) - 128;
      if (t.type == ACL_INT32) value = static_cast<double>(static_cast<int32_t>(random()) >> 4);
      if (scale) value = 1e-3 * (0.5 + std::fabs(value));
      if (name == "antiquantOffset") value *= 10;
      Store(t, i, value);
    }
  }
}

}  // namespace addnorm::aclnn_test
