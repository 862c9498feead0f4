/* SPDX-License-Identifier: Apache-2.0
 * The runtime: virtual devices, contexts, streams and memory, all on the host.
 * Handles may be used from any thread. A bad handle, a null pointer or a value out of range gives a code and a text, never a crash.
 */
#ifndef ADDNORM_ACL_ACL_RT_H_
#define ADDNORM_ACL_ACL_RT_H_

#include "acl/acl_base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum ADDNORM_ACL_ANY_INT {
  ACL_MEM_MALLOC_HUGE_FIRST = 0,
  ACL_MEM_MALLOC_HUGE_ONLY = 1,
  ACL_MEM_MALLOC_NORMAL_ONLY = 2,
  ACL_MEM_MALLOC_HUGE_FIRST_P2P = 3,
  ACL_MEM_MALLOC_HUGE_ONLY_P2P = 4,
  ACL_MEM_MALLOC_NORMAL_ONLY_P2P = 5,
  ACL_MEM_MALLOC_HUGE1G_ONLY = 6,
  ACL_MEM_MALLOC_HUGE1G_ONLY_P2P = 7,
  ACL_MEM_TYPE_LOW_BAND_WIDTH = 0x0100,
  ACL_MEM_TYPE_HIGH_BAND_WIDTH = 0x1000
} aclrtMemMallocPolicy;

typedef enum ADDNORM_ACL_ANY_INT { ACL_DEVICE = 0, ACL_HOST = 1 } aclrtRunMode;

typedef enum ADDNORM_ACL_ANY_INT {
  ACL_MEMCPY_HOST_TO_HOST = 0,
  ACL_MEMCPY_HOST_TO_DEVICE = 1,
  ACL_MEMCPY_DEVICE_TO_HOST = 2,
  ACL_MEMCPY_DEVICE_TO_DEVICE = 3,
  ACL_MEMCPY_DEFAULT = 4
} aclrtMemcpyKind;

/* Virtual devices: 8, or as many as the environment variable ADDNORM_ACL_DEVICES says (1 to 64, read once).
 * SetDevice makes the device's default context the calling thread's current one. ResetDevice takes it away again. */
ACL_FUNC_VISIBILITY aclError aclrtSetDevice(int32_t deviceId) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclError aclrtResetDevice(int32_t deviceId) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclError aclrtGetDevice(int32_t* deviceId) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclError aclrtGetDeviceCount(uint32_t* count) ADDNORM_ACL_NOEXCEPT;
/* Where the program runs: always ACL_HOST. */
ACL_FUNC_VISIBILITY aclError aclrtGetRunMode(aclrtRunMode* runMode) ADDNORM_ACL_NOEXCEPT;
/* Waits for every stream of the current device. */
ACL_FUNC_VISIBILITY aclError aclrtSynchronizeDevice(void) ADDNORM_ACL_NOEXCEPT;

/* CreateContext also makes the new context the calling thread's current one. */
ACL_FUNC_VISIBILITY aclError aclrtCreateContext(aclrtContext* context, int32_t deviceId) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclError aclrtDestroyContext(aclrtContext context) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclError aclrtSetCurrentContext(aclrtContext context) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclError aclrtGetCurrentContext(aclrtContext* context) ADDNORM_ACL_NOEXCEPT;

/* A stream runs its work in the order of submission: inline in the submitting call while it is idle, else on a thread of its own.
 * Wherever a stream is asked for, null is the default stream of the current context (ACL_ERROR_RT_CONTEXT_NULL if there is none).
 * DestroyStream waits for the work. Synchronize returns the first error of the work since the last synchronization. */
ACL_FUNC_VISIBILITY aclError aclrtCreateStream(aclrtStream* stream) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclError aclrtDestroyStream(aclrtStream stream) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclError aclrtSynchronizeStream(aclrtStream stream) ADDNORM_ACL_NOEXCEPT;
/* timeout in milliseconds, -1 = without limit. ACL_ERROR_RT_STREAM_SYNC_TIMEOUT when it has passed; the work goes on. */
ACL_FUNC_VISIBILITY aclError aclrtSynchronizeStreamWithTimeout(aclrtStream stream, int32_t timeout) ADDNORM_ACL_NOEXCEPT;

/* Device memory, aligned to 64 bytes. size 0 and null are refused, as is freeing what Malloc did not give. */
ACL_FUNC_VISIBILITY aclError aclrtMalloc(void** devPtr, size_t size, aclrtMemMallocPolicy policy) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclError aclrtFree(void* devPtr) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclError aclrtMallocHost(void** hostPtr, size_t size) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclError aclrtFreeHost(void* hostPtr) ADDNORM_ACL_NOEXCEPT;

/* destMax / maxCount: bytes that the destination holds; more than that is refused. Copies do not wait for streams, the Async ones run on
 * one. */
ACL_FUNC_VISIBILITY aclError aclrtMemcpy(void* dst, size_t destMax, const void* src, size_t count,
                                         aclrtMemcpyKind kind) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclError aclrtMemcpyAsync(void* dst, size_t destMax, const void* src, size_t count, aclrtMemcpyKind kind,
                                              aclrtStream stream) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclError aclrtMemset(void* devPtr, size_t maxCount, int32_t value, size_t count) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclError aclrtMemsetAsync(void* devPtr, size_t maxCount, int32_t value, size_t count,
                                              aclrtStream stream) ADDNORM_ACL_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif /* ADDNORM_ACL_ACL_RT_H_ */
