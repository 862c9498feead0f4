// SPDX-License-Identifier: Apache-2.0
// An in-order queue. Work runs inline in the submitting call while the stream is idle, otherwise on the stream's own thread, which starts
// with the first work that has to wait, or that waits for others. Submitting other work to an idle stream allocates nothing and wakes no
// thread.
#ifndef ADDNORM_DOORS_ACLNN_STREAM_H_
#define ADDNORM_DOORS_ACLNN_STREAM_H_

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <thread>

#include "acl/acl_base.h"
#include "doors/aclnn/src/handles.h"

namespace addnorm::aclnn {

// A queue node, embedded in what is to be done. `run` may free it. What `run` returns, if not ACL_SUCCESS, is reported by the next
// Synchronize.
struct Work {
  aclError (*run)(Work*) noexcept = nullptr;
  Work* next = nullptr;
  bool collective = false;  // waits for work of other streams: never inline, so that one thread may submit the work of several ranks
};

class Stream {
 public:
  static constexpr Kind kKind = Kind::kStream;
  static constexpr size_t kTextBytes = 400;

  explicit Stream(int32_t device) : device_(device) {}
  ~Stream();  // waits for the work
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  int32_t device() const { return device_; }
  // What the work returned if it ran inline, ACL_SUCCESS if it was queued.
  aclError Submit(Work* work) noexcept;
  // Waits until the stream is idle; milliseconds < 0 = without limit. The first error since the last call and its text, or
  // ACL_ERROR_RT_STREAM_SYNC_TIMEOUT.
  aclError Synchronize(int32_t milliseconds, char (*text)[kTextBytes] = nullptr) noexcept;

 private:
  bool StartThread() noexcept;
  void Loop() noexcept;
  aclError RunAndFinish(Work* work, std::unique_lock<std::mutex>& lock) noexcept;

  const int32_t device_;
  std::mutex mutex_;
  std::condition_variable wake_, idle_;
  std::thread thread_;
  Work *head_ = nullptr, *tail_ = nullptr;
  aclError error_ = ACL_SUCCESS;
  char error_text_[kTextBytes] = "";
  int waiting_ = 0;  // threads on idle_
  bool busy_ = false, stop_ = false;
};

// A context: a device and the stream that null stands for.
struct Context {
  static constexpr Kind kKind = Kind::kContext;
  explicit Context(int32_t device_id) : device(device_id), stream(device_id) {}
  int32_t device;
  Stream stream;
};

// A stream in use: `handle`'s, or the current context's if `handle` is null.
class StreamUse {
 public:
  explicit StreamUse(aclrtStream handle) noexcept;
  ~StreamUse() {
    if (stream_ != nullptr) UnpinHandle(pinned_);
  }
  StreamUse(const StreamUse&) = delete;
  StreamUse& operator=(const StreamUse&) = delete;
  // Null: a bad handle, or no current context.
  Stream* stream() const { return stream_; }

 private:
  const void* pinned_;
  Stream* stream_ = nullptr;
};

}  // namespace addnorm::aclnn
#endif  // ADDNORM_DOORS_ACLNN_STREAM_H_
