// SPDX-License-Identifier: Apache-2.0
// Device and host memory. Blocks are remembered, so that freeing one twice, or one that this library did not give, is told and not done.
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <unordered_map>

#include "acl/acl_rt.h"
#include "doors/aclnn/src/message.h"
#include "doors/aclnn/src/stream.h"

namespace addnorm::aclnn {
namespace {

enum class Side : bool { kDevice, kHost };
constexpr size_t kAlignment = 64;

struct Blocks {
  std::mutex mutex;
  std::unordered_map<void*, Side> sides;
};
// Made on first use and never destroyed: memory may be freed until the process ends.
Blocks& AllBlocks() {
  static Blocks* const blocks = new Blocks;
  return *blocks;
}

aclError Allocate(const char* api, const char* name, void** out, size_t size, Side side) noexcept {
  if (out == nullptr) return Fail(ACL_ERROR_INVALID_PARAM, "%s: rule 100000-1: argument '%s' is null, expected a pointer", api, name);
  if (size == 0) return Fail(ACL_ERROR_INVALID_PARAM, "%s: rule 100000-5: argument 'size' is 0, expected at least 1", api);
  void* block = size > SIZE_MAX / 2 ? nullptr : std::aligned_alloc(kAlignment, (size + kAlignment - 1) / kAlignment * kAlignment);
  try {
    if (block != nullptr) {
      Blocks& blocks = AllBlocks();
      std::lock_guard lock(blocks.mutex);
      blocks.sides.emplace(block, side);
      *out = block;
      return ACL_SUCCESS;
    }
  } catch (...) {
    std::free(block);
  }
  return Fail(ACL_ERROR_BAD_ALLOC, "%s: no memory for argument 'size' = %zu bytes", api, size);
}

aclError Free(const char* api, const char* name, void* block, Side side) noexcept {
  if (block == nullptr) return Fail(ACL_ERROR_INVALID_PARAM, "%s: rule 100000-1: argument '%s' is null, expected a pointer", api, name);
  try {
    Blocks& blocks = AllBlocks();
    std::unique_lock lock(blocks.mutex);
    const auto found = blocks.sides.find(block);
    if (found != blocks.sides.end() && found->second == side) {
      blocks.sides.erase(found);
      lock.unlock();
      std::free(block);
      return ACL_SUCCESS;
    }
  } catch (...) {
    return Fail(ACL_ERROR_BAD_ALLOC, "%s: no memory", api);
  }
  return Fail(ACL_ERROR_INVALID_PARAM, "%s: rule 100000-6: argument '%s' is %p, expected a block of %s that is not freed yet", api, name,
              block, side == Side::kDevice ? "aclrtMalloc" : "aclrtMallocHost");
}

aclError CheckMove(const char* api, const void* dst, const char* dst_name, size_t room, const void* src, size_t count) noexcept {
  if (dst == nullptr || src == nullptr) {
    return Fail(ACL_ERROR_INVALID_PARAM, "%s: rule 100000-1: argument '%s' is null, expected a pointer", api,
                dst == nullptr ? dst_name : "src");
  }
  if (count <= room) return ACL_SUCCESS;
  return Fail(ACL_ERROR_INVALID_PARAM, "%s: rule 100000-7: argument 'count' is %zu, expected at most %zu (room in '%s')", api, count, room,
              dst_name);
}

aclError CheckKind(const char* api, aclrtMemcpyKind kind) noexcept {
  const int value = static_cast<int>(kind);
  if (value >= ACL_MEMCPY_HOST_TO_HOST && value <= ACL_MEMCPY_DEFAULT) return ACL_SUCCESS;
  return Fail(ACL_ERROR_INVALID_PARAM, "%s: rule 100000-8: argument 'kind' is %d, expected 0 to 4", api, value);
}

struct Move : Work {
  void* dst;
  const void* src;  // null: set to `value`
  size_t count;
  int value;
};

aclError RunMove(Work* work) noexcept {
  auto* move = static_cast<Move*>(work);
  if (move->src != nullptr) {
    std::memmove(move->dst, move->src, move->count);
  } else {
    std::memset(move->dst, move->value, move->count);
  }
  delete move;
  return ACL_SUCCESS;
}

aclError SubmitMove(const char* api, aclrtStream handle, void* dst, const void* src, size_t count, int value) noexcept {
  StreamUse use(handle);
  if (use.stream() == nullptr && handle == nullptr) {
    return Fail(ACL_ERROR_RT_CONTEXT_NULL, "%s: rule 107002-1: this thread has no current context, expected aclrtSetDevice", api);
  }
  if (use.stream() == nullptr) {
    return Fail(ACL_ERROR_INVALID_PARAM, "%s: rule 100000-2: argument 'stream' is %s, expected a live aclrtStream", api,
                DescribeHandle(handle));
  }
  auto* move = new (std::nothrow) Move;
  if (move == nullptr) return Fail(ACL_ERROR_BAD_ALLOC, "%s: no memory", api);
  move->run = RunMove;
  move->dst = dst;
  move->src = src;
  move->count = count;
  move->value = value;
  return use.stream()->Submit(move);
}

}  // namespace
}  // namespace addnorm::aclnn

using namespace addnorm::aclnn;

extern "C" {

aclError aclrtMalloc(void** devPtr, size_t size, aclrtMemMallocPolicy policy) noexcept {
  const int value = static_cast<int>(policy), bandwidth = ACL_MEM_TYPE_LOW_BAND_WIDTH | ACL_MEM_TYPE_HIGH_BAND_WIDTH;
  if (value < 0 || (value & ~bandwidth) > ACL_MEM_MALLOC_HUGE1G_ONLY_P2P) {
    return Fail(ACL_ERROR_INVALID_PARAM, "aclrtMalloc: rule 100000-9: argument 'policy' is %d, expected an aclrtMemMallocPolicy", value);
  }
  return Allocate("aclrtMalloc", "devPtr", devPtr, size, Side::kDevice);
}
aclError aclrtFree(void* devPtr) noexcept { return Free("aclrtFree", "devPtr", devPtr, Side::kDevice); }
aclError aclrtMallocHost(void** hostPtr, size_t size) noexcept {
  return Allocate("aclrtMallocHost", "hostPtr", hostPtr, size, Side::kHost);
}
aclError aclrtFreeHost(void* hostPtr) noexcept { return Free("aclrtFreeHost", "hostPtr", hostPtr, Side::kHost); }

aclError aclrtMemcpy(void* dst, size_t destMax, const void* src, size_t count, aclrtMemcpyKind kind) noexcept {
  if (const aclError status = CheckMove("aclrtMemcpy", dst, "dst", destMax, src, count)) return status;
  if (const aclError status = CheckKind("aclrtMemcpy", kind)) return status;
  std::memmove(dst, src, count);
  return ACL_SUCCESS;
}

aclError aclrtMemcpyAsync(void* dst, size_t destMax, const void* src, size_t count, aclrtMemcpyKind kind, aclrtStream stream) noexcept {
  if (const aclError status = CheckMove("aclrtMemcpyAsync", dst, "dst", destMax, src, count)) return status;
  if (const aclError status = CheckKind("aclrtMemcpyAsync", kind)) return status;
  return SubmitMove("aclrtMemcpyAsync", stream, dst, src, count, 0);
}

aclError aclrtMemset(void* devPtr, size_t maxCount, int32_t value, size_t count) noexcept {
  if (const aclError status = CheckMove("aclrtMemset", devPtr, "devPtr", maxCount, devPtr, count)) return status;
  std::memset(devPtr, value, count);
  return ACL_SUCCESS;
}

aclError aclrtMemsetAsync(void* devPtr, size_t maxCount, int32_t value, size_t count, aclrtStream stream) noexcept {
  if (const aclError status = CheckMove("aclrtMemsetAsync", devPtr, "devPtr", maxCount, devPtr, count)) return status;
  return SubmitMove("aclrtMemsetAsync", stream, devPtr, nullptr, count, value);
}

}  // extern "C"
