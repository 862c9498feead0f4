// SPDX-License-Identifier: Apache-2.0
#include "doors/aclnn/src/stream.h"

#include <chrono>
#include <cstdio>
#include <cstring>

#include "doors/aclnn/src/message.h"

namespace addnorm::aclnn {

Stream::~Stream() {
  std::unique_lock lock(mutex_);
  stop_ = true;
  lock.unlock();
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

// Called and left with the lock held, and busy_ set by the caller.
aclError Stream::RunAndFinish(Work* work, std::unique_lock<std::mutex>& lock) noexcept {
  lock.unlock();
  const aclError status = work->run(work);
  lock.lock();
  busy_ = false;
  if (status != ACL_SUCCESS && error_ == ACL_SUCCESS) {
    error_ = status;
    std::snprintf(error_text_, sizeof error_text_, "%.*s", static_cast<int>(sizeof error_text_ - 1), RecentText());
  }
  if (head_ != nullptr) wake_.notify_one();
  if (waiting_ != 0) idle_.notify_all();
  return status;
}

bool Stream::StartThread() noexcept {
  if (thread_.joinable()) return true;
  try {
    thread_ = std::thread([this] { Loop(); });
  } catch (...) {  // no more threads: Submit then waits for its turn
    return false;
  }
  return true;
}

void Stream::Loop() noexcept {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return !busy_ && (head_ != nullptr || stop_); });
    if (head_ == nullptr) return;
    Work* work = head_;
    head_ = work->next;
    busy_ = true;
    RunAndFinish(work, lock);
  }
}

aclError Stream::Submit(Work* work) noexcept {
  std::unique_lock lock(mutex_);
  if (busy_ || head_ != nullptr || work->collective) {
    if (StartThread()) {
      work->next = nullptr;
      (head_ == nullptr ? head_ : tail_->next) = work;
      tail_ = work;
      if (!busy_) wake_.notify_one();  // else whoever is busy does so when it is done
      return ACL_SUCCESS;
    }
    ++waiting_;
    idle_.wait(lock, [this] { return !busy_ && head_ == nullptr; });
    --waiting_;
  }
  busy_ = true;
  return RunAndFinish(work, lock);
}

aclError Stream::Synchronize(int32_t milliseconds, char (*text)[kTextBytes]) noexcept {
  std::unique_lock lock(mutex_);
  const auto is_idle = [this] { return !busy_ && head_ == nullptr; };
  bool idle = is_idle();
  if (!idle) {
    ++waiting_;
    if (milliseconds < 0) {
      idle_.wait(lock, is_idle);
      idle = true;
    } else {
      idle = idle_.wait_for(lock, std::chrono::milliseconds(milliseconds), is_idle);
    }
    --waiting_;
  }
  if (!idle) return ACL_ERROR_RT_STREAM_SYNC_TIMEOUT;
  const aclError error = error_;
  if (error != ACL_SUCCESS && text != nullptr) std::memcpy(*text, error_text_, kTextBytes);
  error_ = ACL_SUCCESS;
  return error;
}

}  // namespace addnorm::aclnn
