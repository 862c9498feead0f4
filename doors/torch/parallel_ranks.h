// SPDX-License-Identifier: Apache-2.0
// What Python holds by number: communicators, hosts of shared memory, prepared weights. A number that is not there is an error, no crash.
#ifndef ADDNORM_DOORS_TORCH_PARALLEL_RANKS_H_
#define ADDNORM_DOORS_TORCH_PARALLEL_RANKS_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <utility>

#include "addnorm/communicator.h"

namespace addnorm::torch_door {

template <class T>
class Handles {
 public:
  explicit Handles(const char* what) : what_(what) {}

  int64_t Add(std::shared_ptr<T> object) {
    const std::lock_guard<std::mutex> lock(mutex_);
    objects_.emplace(++last_, std::move(object));
    return last_;
  }
  std::shared_ptr<T> Get(int64_t handle) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = objects_.find(handle);
    if (found == objects_.end()) throw std::invalid_argument(std::string("addnorm: ") + what_ + " is closed, expected an open one");
    return found->second;
  }
  // It ends when the last call that uses it does.
  void Remove(int64_t handle) {
    std::shared_ptr<T> object;
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = objects_.find(handle);
    if (found == objects_.end()) return;
    object = std::move(found->second);
    objects_.erase(found);
  }

 private:
  const char* const what_;
  std::mutex mutex_;
  int64_t last_ = 0;
  std::unordered_map<int64_t, std::shared_ptr<T>> objects_;
};

struct Ranks {
  std::unique_ptr<Communicator> communicator;
  std::mutex mutex;  // one call at a time
};

Handles<Ranks>& AllRanks();

// Deadlines and timeouts from Python: seconds. Anything that is not a number > 0 throws.
std::chrono::nanoseconds Timeout(const char* api, double seconds);

}  // namespace addnorm::torch_door

#endif  // ADDNORM_DOORS_TORCH_PARALLEL_RANKS_H_
