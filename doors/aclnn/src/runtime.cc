// SPDX-License-Identifier: Apache-2.0
// aclInit, devices, contexts and the streams' C interface.
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>

#include "acl/acl.h"
#include "doors/aclnn/src/message.h"
#include "doors/aclnn/src/stream.h"

namespace addnorm::aclnn {
namespace {

constexpr int32_t kMaxDevices = 64, kDefaultDevices = 8;

enum class State { kFresh, kInitialised, kFinalised };

// The devices exist for as long as the process; the default context of each is made by its first aclrtSetDevice.
struct Runtime {
  std::mutex mutex;
  State state = State::kFresh;
  int32_t devices = 0;
  void* default_contexts[kMaxDevices] = {};
};
constinit Runtime runtime;
thread_local constinit void* current_context = nullptr;

int32_t CountDevices() noexcept {
  std::lock_guard lock(runtime.mutex);
  if (runtime.devices == 0) {
    const char* text = std::getenv("ADDNORM_ACL_DEVICES");
    char* end = nullptr;
    const long wanted = text == nullptr ? kDefaultDevices : std::strtol(text, &end, 10);
    const bool usable = text == nullptr || (end != text && *end == '\0' && wanted >= 1 && wanted <= kMaxDevices);
    runtime.devices = usable ? static_cast<int32_t>(wanted) : kDefaultDevices;
  }
  return runtime.devices;
}

aclError Null(const char* api, const char* name) noexcept {
  return Fail(ACL_ERROR_INVALID_PARAM, "%s: rule 100000-1: argument '%s' is null, expected a pointer", api, name);
}

aclError CheckDevice(const char* api, int32_t device) noexcept {
  const int32_t count = CountDevices();
  if (device >= 0 && device < count) return ACL_SUCCESS;
  return Fail(ACL_ERROR_INVALID_DEVICE, "%s: rule 200002-1: argument 'deviceId' is %d, expected 0 to %d", api, device, count - 1);
}

// Without one that is alive: a code and a text.
aclError NoContext(const char* api) noexcept {
  return Fail(ACL_ERROR_RT_CONTEXT_NULL,
              "%s: rule 107002-1: this thread has no current context, expected aclrtSetDevice or aclrtSetCurrentContext", api);
}

aclError BadHandle(const char* api, const char* name, const void* handle, Kind kind) noexcept {
  return Fail(ACL_ERROR_INVALID_PARAM, "%s: rule 100000-2: argument '%s' is %s, expected a live %s", api, name, DescribeHandle(handle),
              NameOf(kind));
}

void* MakeContext(int32_t device) noexcept {
  auto* context = new (std::nothrow) Context(device);
  void* handle = context == nullptr ? nullptr : AddHandle(Kind::kContext, context);
  if (handle == nullptr) delete context;
  return handle;
}

bool IsDefaultContext(const void* handle) noexcept {
  std::lock_guard lock(runtime.mutex);
  for (const void* each : runtime.default_contexts) {
    if (each == handle) return true;
  }
  return false;
}

aclError Synchronize(const char* api, aclrtStream handle, int32_t milliseconds) noexcept {
  StreamUse use(handle);
  if (use.stream() == nullptr) return handle == nullptr ? NoContext(api) : BadHandle(api, "stream", handle, Kind::kStream);
  char text[Stream::kTextBytes];
  const aclError status = use.stream()->Synchronize(milliseconds, &text);
  if (status == ACL_ERROR_RT_STREAM_SYNC_TIMEOUT) {
    return Fail(status, "%s: rule 107020-1: the stream is still busy after %d ms, expected it to be idle", api, milliseconds);
  }
  return status == ACL_SUCCESS ? status
                               : Fail(status, "%s: work of the stream failed with %d%s%s", api, status, text[0] == '\0' ? "" : ": ", text);
}

}  // namespace

StreamUse::StreamUse(aclrtStream handle) noexcept : pinned_(handle) {
  if (handle != nullptr) {
    stream_ = static_cast<Stream*>(PinHandle(handle, Kind::kStream));
    return;
  }
  pinned_ = current_context;
  auto* context = static_cast<Context*>(PinHandle(pinned_, Kind::kContext));
  if (context != nullptr) stream_ = &context->stream;
}

}  // namespace addnorm::aclnn

using namespace addnorm::aclnn;

extern "C" {

aclError aclInit(const char*) noexcept {
  std::lock_guard lock(runtime.mutex);
  if (runtime.state == State::kInitialised) {
    return Fail(ACL_ERROR_REPEAT_INITIALIZE,
                "aclInit: rule 100002-1: the interface is initialised already, expected no aclInit before aclFinalize");
  }
  runtime.state = State::kInitialised;
  return ACL_SUCCESS;
}

aclError aclFinalize(void) noexcept {
  std::lock_guard lock(runtime.mutex);
  if (runtime.state == State::kFresh) {
    return Fail(ACL_ERROR_UNINITIALIZE, "aclFinalize: rule 100001-1: the interface is not initialised, expected aclInit first");
  }
  if (runtime.state == State::kFinalised) {
    return Fail(ACL_ERROR_REPEAT_FINALIZE, "aclFinalize: rule 100037-1: the interface is finalised already, expected one aclFinalize");
  }
  runtime.state = State::kFinalised;
  return ACL_SUCCESS;
}

aclError aclrtGetDeviceCount(uint32_t* count) noexcept {
  if (count == nullptr) return Null("aclrtGetDeviceCount", "count");
  *count = static_cast<uint32_t>(CountDevices());
  return ACL_SUCCESS;
}

aclError aclrtGetRunMode(aclrtRunMode* runMode) noexcept {
  if (runMode == nullptr) return Null("aclrtGetRunMode", "runMode");
  *runMode = ACL_HOST;
  return ACL_SUCCESS;
}

aclError aclrtSetDevice(int32_t deviceId) noexcept {
  if (const aclError status = CheckDevice("aclrtSetDevice", deviceId)) return status;
  std::lock_guard lock(runtime.mutex);
  void*& context = runtime.default_contexts[deviceId];
  if (context == nullptr) context = MakeContext(deviceId);
  if (context == nullptr) return Fail(ACL_ERROR_BAD_ALLOC, "aclrtSetDevice: no memory");
  current_context = context;
  return ACL_SUCCESS;
}

aclError aclrtResetDevice(int32_t deviceId) noexcept {
  if (const aclError status = CheckDevice("aclrtResetDevice", deviceId)) return status;
  std::lock_guard lock(runtime.mutex);
  if (current_context == runtime.default_contexts[deviceId]) current_context = nullptr;
  return ACL_SUCCESS;
}

aclError aclrtGetDevice(int32_t* deviceId) noexcept {
  if (deviceId == nullptr) return Null("aclrtGetDevice", "deviceId");
  Pinned<Context> context(current_context);
  if (!context) return NoContext("aclrtGetDevice");
  *deviceId = context->device;
  return ACL_SUCCESS;
}

aclError aclrtCreateContext(aclrtContext* context, int32_t deviceId) noexcept {
  if (context == nullptr) return Null("aclrtCreateContext", "context");
  if (const aclError status = CheckDevice("aclrtCreateContext", deviceId)) return status;
  void* handle = MakeContext(deviceId);
  if (handle == nullptr) return Fail(ACL_ERROR_BAD_ALLOC, "aclrtCreateContext: no memory");
  current_context = handle;
  *context = handle;
  return ACL_SUCCESS;
}

aclError aclrtDestroyContext(aclrtContext context) noexcept {
  if (context == nullptr) return Null("aclrtDestroyContext", "context");
  if (IsDefaultContext(context)) {
    return Fail(ACL_ERROR_INVALID_PARAM,
                "aclrtDestroyContext: rule 100000-3: argument 'context' is a device's default one, expected one of "
                "aclrtCreateContext");
  }
  auto* object = static_cast<Context*>(RetireHandle(context, Kind::kContext));
  if (object == nullptr) return BadHandle("aclrtDestroyContext", "context", context, Kind::kContext);
  if (current_context == context) current_context = nullptr;
  delete object;
  return ACL_SUCCESS;
}

aclError aclrtSetCurrentContext(aclrtContext context) noexcept {
  if (context == nullptr) return Null("aclrtSetCurrentContext", "context");
  if (!Pinned<Context>(context)) return BadHandle("aclrtSetCurrentContext", "context", context, Kind::kContext);
  current_context = context;
  return ACL_SUCCESS;
}

aclError aclrtGetCurrentContext(aclrtContext* context) noexcept {
  if (context == nullptr) return Null("aclrtGetCurrentContext", "context");
  if (!Pinned<Context>(current_context)) return NoContext("aclrtGetCurrentContext");
  *context = current_context;
  return ACL_SUCCESS;
}

aclError aclrtCreateStream(aclrtStream* stream) noexcept {
  if (stream == nullptr) return Null("aclrtCreateStream", "stream");
  Pinned<Context> context(current_context);
  if (!context) return NoContext("aclrtCreateStream");
  auto* object = new (std::nothrow) Stream(context->device);
  void* handle = object == nullptr ? nullptr : AddHandle(Kind::kStream, object);
  if (handle == nullptr) {
    delete object;
    return Fail(ACL_ERROR_BAD_ALLOC, "aclrtCreateStream: no memory");
  }
  *stream = handle;
  return ACL_SUCCESS;
}

aclError aclrtDestroyStream(aclrtStream stream) noexcept {
  if (stream == nullptr) return Null("aclrtDestroyStream", "stream");
  auto* object = static_cast<Stream*>(RetireHandle(stream, Kind::kStream));
  if (object == nullptr) return BadHandle("aclrtDestroyStream", "stream", stream, Kind::kStream);
  delete object;
  return ACL_SUCCESS;
}

aclError aclrtSynchronizeStream(aclrtStream stream) noexcept { return Synchronize("aclrtSynchronizeStream", stream, -1); }

aclError aclrtSynchronizeStreamWithTimeout(aclrtStream stream, int32_t timeout) noexcept {
  constexpr const char* kApi = "aclrtSynchronizeStreamWithTimeout";
  if (timeout < -1) return Fail(ACL_ERROR_INVALID_PARAM, "%s: rule 100000-4: argument 'timeout' is %d, expected -1 or more", kApi, timeout);
  return Synchronize(kApi, stream, timeout);
}

aclError aclrtSynchronizeDevice(void) noexcept {
  int32_t device = 0;
  if (!Pinned<Context>(current_context)) return NoContext("aclrtSynchronizeDevice");
  if (const aclError status = aclrtGetDevice(&device)) return status;
  aclError first = ACL_SUCCESS;
  char text[Stream::kTextBytes] = "", first_text[Stream::kTextBytes] = "";
  const auto wait = [&](Stream& stream) {
    const aclError status = stream.Synchronize(-1, &text);
    if (status == ACL_SUCCESS || first != ACL_SUCCESS) return;
    first = status;
    std::memcpy(first_text, text, sizeof text);
  };
  uint32_t cursor = 0;
  while (void* handle = NextHandle(Kind::kStream, &cursor)) {
    Pinned<Stream> stream(handle);
    if (stream && stream->device() == device) wait(*stream);
  }
  cursor = 0;
  while (void* handle = NextHandle(Kind::kContext, &cursor)) {
    Pinned<Context> context(handle);
    if (context && context->device == device) wait(context->stream);
  }
  return first == ACL_SUCCESS ? first
                              : Fail(first, "aclrtSynchronizeDevice: work of a stream failed with %d%s%s", first,
                                     first_text[0] == '\0' ? "" : ": ", first_text);
}

}  // extern "C"
