// SPDX-License-Identifier: Apache-2.0
// Phase 2, and what a program may do with an executor between the phases.
#include <cinttypes>
#include <cstring>
#include <limits>
#include <utility>

#include "aclnn/acl_meta.h"
#include "doors/aclnn/src/executor.h"
#include "doors/aclnn/src/message.h"
#include "doors/aclnn/src/ranks.h"

namespace addnorm::aclnn {
namespace {

constexpr uint64_t kAlign = 64;

std::byte* AlignUp(std::byte* p) { return p + (kAlign - reinterpret_cast<uintptr_t>(p) % kAlign) % kAlign; }

// A statistic of no elements at all: one value in every place of the output.
void Fill(const Operand& o, float value) noexcept {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  // 0 and NaN, the two values there are, have the same upper bits in bfloat16, and 0x7e00 is float16's quiet NaN.
  const auto half = static_cast<uint16_t>(o.dtype == DType::kF16 ? (value == 0 ? 0 : 0x7e00) : bits >> 16);
  const int64_t count = CountElements(o.view.shape, o.view.rank);
  for (int64_t i = 0; i < count; ++i) {
    int64_t rest = i, at = 0;
    for (int d = o.view.rank; d-- > 0; rest /= o.view.shape[d]) at += rest % o.view.shape[d] * o.view.strides[d];
    std::byte* element = o.view.data + at * o.view.element_bytes;
    o.view.element_bytes == 2 ? std::memcpy(element, &half, 2) : std::memcpy(element, &bits, 4);
  }
}

aclnnStatus Compute(Executor& e) noexcept {
  if (e.run_collective != nullptr) return e.run_collective(e);
  if (e.make_plan == nullptr) {  // at most statistics are written
    for (int i = 0; i < e.count; ++i) {
      if (e.Touches(e[i])) Fill(e[i], i == e.mean_slot ? e.mean_fill : std::numeric_limits<float>::quiet_NaN());
    }
    return ACLNN_SUCCESS;
  }
  std::byte* stage = e.stage_bytes == 0 ? e.workspace : AlignUp(e.workspace);
  if (!e.planned || (e.stage_bytes != 0 && e.planned_stage != stage)) {
    for (Operand& o : e.operands) {
      if (o.staged) o.core_data = stage + o.stage_offset;
    }
    const addnorm::Status status = e.make_plan(e, &e.plan);
    if (!status.ok()) return Fail(ACLNN_ERR_INNER, "%s", status.message());
    e.planned = true;
    e.planned_stage = stage;
  }
  for (int i = 0; i < e.count; ++i) {
    if (e[i].staged && !e[i].output) Gather(e[i].view, e[i].core_data);
  }
  std::byte* own = stage + e.stage_bytes;
  const std::span<std::byte> rest(own, e.workspace == nullptr ? 0 : static_cast<size_t>(e.workspace + e.workspace_given - own));
  const addnorm::Status status = e.plan.Run(rest, DefaultExecutor());
  if (!status.ok()) return Fail(ACLNN_ERR_INNER, "%s", status.message());
  for (int i = 0; i < e.count; ++i) {
    if (e[i].staged && e[i].output) Scatter(e[i].core_data, e[i].view);
  }
  return ACLNN_SUCCESS;
}

aclError RunExecutor(Work* work) noexcept {
  auto* e = static_cast<Executor*>(work);
  const aclnnStatus status = Compute(*e);
  // A repeatable executor may be destroyed by its owner as soon as it is idle again.
  if (e->repeatable.load(std::memory_order_relaxed)) {
    e->state.store(Executor::kIdle, std::memory_order_release);
  } else {
    delete e;
  }
  return status;
}

aclnnStatus BadExecutor(const char* api, const void* handle) noexcept {
  return Fail(ACLNN_ERR_PARAM_INVALID, "%s: rule 161002-20: argument 'executor' is %s, expected a live aclOpExecutor", api,
              DescribeHandle(handle));
}

aclnnStatus CheckStream(const Executor& e, aclrtStream handle, const StreamUse& use) noexcept {
  const char* api = e.api;
  if (use.stream() != nullptr) {
    // Two ranks in one queue would wait for each other.
    if (e.rank == nullptr || e.rank->device == use.stream()->device()) return ACLNN_SUCCESS;
    return Fail(ACLNN_ERR_PARAM_INVALID, "%s: rule 161002-34: argument 'stream' is one of device %d, expected one of device %d, the rank's",
                api, use.stream()->device(), e.rank->device);
  }
  if (handle == nullptr) {
    return Fail(ACLNN_ERR_RUNTIME_ERROR,
                "%s: rule 361001-2: argument 'stream' is null and this thread has no current context, expected a stream or "
                "aclrtSetDevice",
                api);
  }
  return Fail(ACLNN_ERR_PARAM_INVALID, "%s: rule 161002-20: argument 'stream' is %s, expected a live aclrtStream", api,
              DescribeHandle(handle));
}

aclnnStatus CheckWorkspace(const Executor& e, void* workspace, uint64_t size) noexcept {
  if (e.collective) return ACLNN_SUCCESS;  // asked for none and looks at none: the other ranks are waiting
  if (workspace == nullptr && (size != 0 || e.workspace_bytes != 0)) {
    return Fail(ACLNN_ERR_PARAM_NULLPTR, "%s: rule 161001-10: argument 'workspace' is null, expected %" PRIu64 " bytes", e.api,
                e.workspace_bytes > size ? e.workspace_bytes : size);
  }
  if (size < e.workspace_bytes) {
    return Fail(ACLNN_ERR_PARAM_INVALID, "%s: rule 161002-30: argument 'workspaceSize' is %" PRIu64 ", expected at least %" PRIu64, e.api,
                size, e.workspace_bytes);
  }
  if (e.workspace_bytes == 0) return ACLNN_SUCCESS;
  View whole;
  whole.rank = 1;
  whole.element_bytes = 1;
  whole.shape[0] = static_cast<int64_t>(e.workspace_bytes);
  whole.strides[0] = 1;
  whole.data = static_cast<std::byte*>(workspace);
  for (int i = 0; i < e.count; ++i) {
    if (!e[i].used() || !RangesMeet(whole, e[i].view)) continue;
    return Fail(ACLNN_ERR_PARAM_INVALID,
                "%s: rule 161002-31: argument 'workspace' is part of the memory of '%s', expected memory of its own", e.api, e[i].name);
  }
  return ACLNN_SUCCESS;
}

// Addresses may have been set since phase 1.
aclnnStatus CheckAddresses(Executor& e) noexcept {
  if (!e.addresses_changed) return ACLNN_SUCCESS;
  for (int i = 0; i < e.count; ++i) {
    if (e.Touches(e[i]) && e[i].address == nullptr) {
      return Fail(ACLNN_ERR_PARAM_NULLPTR, "%s: rule 161001-11: argument '%s' address is null, expected memory (aclSetTensorAddr)", e.api,
                  e[i].name);
    }
  }
  if (const Clash clash = FindClash(e)) {
    return Fail(ACLNN_ERR_PARAM_INVALID, "%s: rule 161002-25: argument '%s' memory %s with '%s', expected memory of its own%s", e.api,
                clash.output->name, clash.verb(), clash.other->name, clash.or_whose());
  }
  const Operand* o = RedescribeOperands(&e);
  if (o != nullptr) {
    return Fail(ACLNN_ERR_PARAM_INVALID,
                "%s: rule 161002-33: argument '%s' address is %p, expected one that needs no copy in the workspace: aligned, and "
                "not the memory of another argument",
                e.api, o->name, static_cast<void*>(o->view.data));
  }
  e.addresses_changed = false;
  return ACLNN_SUCCESS;
}

}  // namespace

aclnnStatus RunPhase2(const char* api, void* workspace, uint64_t workspace_size, aclOpExecutor* handle, aclrtStream stream) noexcept {
  if (handle == nullptr) {
    return Fail(ACLNN_ERR_PARAM_NULLPTR, "%s: rule 161001-9: argument 'executor' is null, expected an aclOpExecutor", api);
  }
  Pinned<Executor> executor(handle);
  if (!executor) return BadExecutor(api, handle);
  if (std::strcmp(executor->api, api) != 0) {
    return Fail(ACLNN_ERR_PARAM_INVALID, "%s: rule 161002-32: argument 'executor' is one of %s, expected one of %s", api, executor->api,
                api);
  }
  int idle = Executor::kIdle;
  if (!executor->state.compare_exchange_strong(idle, Executor::kRunning, std::memory_order_acquire)) {
    return Fail(ACLNN_ERR_RUNTIME_ERROR, "%s: rule 361001-1: argument 'executor' is running, expected an idle one", api);
  }
  const bool repeatable = executor->repeatable.load(std::memory_order_relaxed);
  StreamUse use(stream);
  aclnnStatus status = CheckStream(*executor, stream, use);
  if (status == ACLNN_SUCCESS) status = CheckAddresses(*executor);
  if (status == ACLNN_SUCCESS) status = CheckWorkspace(*executor, workspace, workspace_size);
  // Running executors cannot be retired by anybody else, so this one is ours.
  Executor* work = repeatable ? &*executor : executor.Retire();
  if (status != ACLNN_SUCCESS) {
    if (repeatable) {
      work->state.store(Executor::kIdle, std::memory_order_release);
    } else {
      delete work;
    }
    return status;
  }
  work->workspace = static_cast<std::byte*>(workspace);
  work->workspace_given = workspace_size;
  work->run = RunExecutor;
  return use.stream()->Submit(work);
}

namespace {

// The tensor that brings an operand's new address shows the same view, of a storage that holds it.
aclnnStatus CheckSameView(const char* api, const Tensor& tensor, const Operand& o) noexcept {
  const View& v = o.view;
  const bool same = tensor.dtype == o.acl_dtype && static_cast<int>(tensor.rank) == o.created_rank && tensor.offset == o.offset &&
                    std::memcmp(tensor.shape, v.shape, sizeof(int64_t) * static_cast<size_t>(v.rank)) == 0 &&
                    std::memcmp(tensor.strides, v.strides, sizeof(int64_t) * static_cast<size_t>(v.rank)) == 0;
  if (!same) {
    return Fail(ACLNN_ERR_PARAM_INVALID,
                "%s: rule 161002-2: argument 'tensor' is another view, expected the type, shape, strides and offset of '%s'", api, o.name);
  }
  const int64_t room = StorageElements(tensor), need = !o.used() || Extent(v) == 0 ? 0 : Extent(v) + o.offset;
  if (room >= 0 && need > room) {
    return Fail(ACLNN_ERR_PARAM_INVALID,
                "%s: rule 161002-23: argument 'tensor' storage is %" PRId64 " elements, expected at least %" PRId64 ", what '%s' reaches",
                api, room, need, o.name);
  }
  return ACLNN_SUCCESS;
}

// Sets the address of operand `index` of those that `wanted` counts.
template <class Wanted>
aclnnStatus SetAddress(const char* api, aclOpExecutor* handle, size_t index, aclTensor* tensor_handle, void* address,
                       Wanted wanted) noexcept {
  if (handle == nullptr || tensor_handle == nullptr || address == nullptr) {
    return Fail(ACLNN_ERR_PARAM_NULLPTR, "%s: rule 161001-1: argument '%s' is null, expected a pointer", api,
                handle == nullptr          ? "executor"
                : tensor_handle == nullptr ? "tensor"
                                           : "addr");
  }
  Pinned<Executor> e(handle);
  if (!e) return BadExecutor(api, handle);
  Pinned<Tensor> tensor(tensor_handle);
  if (!tensor) {
    return Fail(ACLNN_ERR_PARAM_INVALID, "%s: rule 161002-20: argument 'tensor' is %s, expected a live aclTensor", api,
                DescribeHandle(tensor_handle));
  }
  int idle = Executor::kIdle;
  if (!e->state.compare_exchange_strong(idle, Executor::kRunning, std::memory_order_acquire)) {
    return Fail(ACLNN_ERR_RUNTIME_ERROR, "%s: rule 361001-1: argument 'executor' is running, expected an idle one", api);
  }
  size_t seen = 0;
  Operand* found = nullptr;
  for (int pass = 0; pass < 2; ++pass) {  // inputs, then outputs
    for (int i = 0; i < e->count; ++i) {
      Operand& o = e->operands[i];
      if (o.present && o.output == (pass == 1) && wanted(o) && seen++ == index) found = &o;
    }
  }
  aclnnStatus status = ACLNN_SUCCESS;
  if (found == nullptr) {
    status = Fail(ACLNN_ERR_PARAM_INVALID, "%s: rule 161002-1: argument 'index' is %zu, expected less than %zu", api, index, seen);
  } else {
    status = CheckSameView(api, *tensor, *found);
  }
  if (status == ACLNN_SUCCESS) {
    __atomic_store_n(&tensor->data, address, __ATOMIC_RELAXED);
    found->address = static_cast<std::byte*>(address);
    found->Locate();
    e->planned = false;
    e->addresses_changed = true;
  }
  e->state.store(Executor::kIdle, std::memory_order_release);
  return status;
}

}  // namespace
}  // namespace addnorm::aclnn

using namespace addnorm::aclnn;

extern "C" {

aclnnStatus aclSetAclOpExecutorRepeatable(aclOpExecutor* executor) noexcept {
  constexpr const char* kApi = "aclSetAclOpExecutorRepeatable";
  if (executor == nullptr) {
    return Fail(ACLNN_ERR_INNER_NULLPTR, "%s: rule 561103-1: argument 'executor' is null, expected an aclOpExecutor", kApi);
  }
  Pinned<Executor> e(executor);
  if (!e) return BadExecutor(kApi, executor);
  int idle = Executor::kIdle;
  if (!e->state.compare_exchange_strong(idle, Executor::kRunning, std::memory_order_acquire)) {
    return Fail(ACLNN_ERR_RUNTIME_ERROR, "%s: rule 361001-1: argument 'executor' is running, expected an idle one", kApi);
  }
  e->repeatable.store(true, std::memory_order_relaxed);
  e->state.store(Executor::kIdle, std::memory_order_release);
  return ACLNN_SUCCESS;
}

aclnnStatus aclDestroyAclOpExecutor(aclOpExecutor* executor) noexcept {
  constexpr const char* kApi = "aclDestroyAclOpExecutor";
  if (executor == nullptr) {
    return Fail(ACLNN_ERR_INNER_NULLPTR, "%s: rule 561103-1: argument 'executor' is null, expected an aclOpExecutor", kApi);
  }
  Pinned<Executor> e(executor);
  if (!e) return BadExecutor(kApi, executor);
  int idle = Executor::kIdle;
  if (!e->state.compare_exchange_strong(idle, Executor::kRunning, std::memory_order_acquire)) {
    return Fail(ACLNN_ERR_RUNTIME_ERROR, "%s: rule 361001-1: argument 'executor' is running, expected an idle one", kApi);
  }
  delete e.Retire();
  return ACLNN_SUCCESS;
}

aclnnStatus aclSetInputTensorAddr(aclOpExecutor* executor, size_t index, aclTensor* tensor, void* addr) noexcept {
  return SetAddress("aclSetInputTensorAddr", executor, index, tensor, addr, [](const Operand& o) { return !o.output; });
}
aclnnStatus aclSetOutputTensorAddr(aclOpExecutor* executor, size_t index, aclTensor* tensor, void* addr) noexcept {
  return SetAddress("aclSetOutputTensorAddr", executor, index, tensor, addr, [](const Operand& o) { return o.output; });
}
aclnnStatus aclSetTensorAddr(aclOpExecutor* executor, size_t index, aclTensor* tensor, void* addr) noexcept {
  return SetAddress("aclSetTensorAddr", executor, index, tensor, addr, [](const Operand&) { return true; });
}

}  // extern "C"
