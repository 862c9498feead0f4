// SPDX-License-Identifier: Apache-2.0
// The core's own threads. A call hands out its range item by item; the caller works too. A pool that is busy with another
// caller, or a call from inside a task, runs serially: never a deadlock, never more threads than asked for.
#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <new>
#include <thread>

#include "addnorm/types.h"

namespace addnorm {
namespace {

using Task = void (*)(void* arg, size_t begin, size_t end);

void RunSerial(void*, size_t count, Task task, void* arg) {
  if (count != 0) task(arg, 0, count);
}
size_t One(void*) { return 1; }

size_t WantedThreads() {
  if (const char* text = std::getenv("ADDNORM_NUM_THREADS")) {
    char* end = nullptr;
    const long n = std::strtol(text, &end, 10);
    if (end != text && *end == '\0' && n >= 1 && n <= 4096) return static_cast<size_t>(n);
  }
  cpu_set_t cpus;
  if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0) return static_cast<size_t>(CPU_COUNT(&cpus));
  const unsigned n = std::thread::hardware_concurrency();
  return n == 0 ? 1 : n;
}

class Pool {
 public:
  explicit Pool(size_t threads) : owner_(getpid()) {
    for (size_t i = 1; i < threads; ++i) {
      try {
        std::thread([this] { Work(); }).detach();
        ++workers_;
      } catch (...) {
        break;  // fewer threads than asked for are still right
      }
    }
  }

  bool BelongsHere() const { return owner_ == getpid(); }
  size_t workers() const { return workers_; }

  void Run(size_t count, Task task, void* arg) {
    if (count < 2 || workers_ == 0 || inside_ || !busy_.try_lock()) return RunSerial(nullptr, count, task, arg);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      task_ = task;
      arg_ = arg;
      count_ = count;
      next_.store(0, std::memory_order_relaxed);
      active_ = workers_;
      ++generation_;
    }
    wake_.notify_all();
    Drain(task, arg, count);
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [this] { return active_ == 0; });
    lock.unlock();
    busy_.unlock();
  }

 private:
  void Drain(Task task, void* arg, size_t count) {
    inside_ = true;
    for (size_t i = next_.fetch_add(1, std::memory_order_relaxed); i < count; i = next_.fetch_add(1, std::memory_order_relaxed))
      task(arg, i, i + 1);
    inside_ = false;
  }
  void Work() {
    uint64_t seen = 0;
    for (;;) {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [&] { return generation_ != seen; });
      seen = generation_;
      const Task task = task_;
      void* const arg = arg_;
      const size_t count = count_;
      lock.unlock();
      Drain(task, arg, count);
      lock.lock();
      if (--active_ == 0) done_.notify_one();
    }
  }

  static thread_local bool inside_;
  const pid_t owner_;
  size_t workers_ = 0;
  std::mutex busy_, mutex_;
  std::condition_variable wake_, done_;
  Task task_ = nullptr;
  void* arg_ = nullptr;
  size_t count_ = 0, active_ = 0;
  std::atomic<size_t> next_{0};
  uint64_t generation_ = 0;
};

thread_local bool Pool::inside_ = false;

// Threads do not survive fork: a child makes a pool of its own. Pools are never freed: their threads may outlive main.
Pool* ThePool() {
  static std::atomic<Pool*> current{nullptr};
  static std::atomic<bool> making{false};
  Pool* pool = current.load(std::memory_order_acquire);
  if (pool != nullptr && pool->BelongsHere()) return pool;
  if (making.exchange(true, std::memory_order_acquire)) return nullptr;  // another thread is at it: serial this once
  pool = current.load(std::memory_order_acquire);
  if (pool == nullptr || !pool->BelongsHere()) {
    pool = new (std::nothrow) Pool(WantedThreads());
    if (pool != nullptr) current.store(pool, std::memory_order_release);
  }
  making.store(false, std::memory_order_release);
  return pool;
}

void RunOnPool(void*, size_t count, Task task, void* arg) {
  Pool* pool = ThePool();
  if (pool == nullptr) return RunSerial(nullptr, count, task, arg);
  pool->Run(count, task, arg);
}
size_t PoolSize(void*) {
  static const size_t wanted = WantedThreads();
  return wanted;
}

}  // namespace

const Executor& SerialExecutor() {
  static const Executor executor = {RunSerial, One, nullptr};
  return executor;
}
const Executor& DefaultExecutor() {
  static const Executor executor = {RunOnPool, PoolSize, nullptr};
  return executor;
}

}  // namespace addnorm
