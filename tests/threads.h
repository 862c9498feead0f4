// SPDX-License-Identifier: Apache-2.0
// An executor that behaves as badly as its contract allows: real threads, ranges of random sizes, handed out in random order.
#ifndef ADDNORM_TESTS_THREADS_H_
#define ADDNORM_TESTS_THREADS_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <thread>
#include <utility>
#include <vector>

#include "addnorm/types.h"
#include "tests/numbers.h"

namespace addnorm::test {

class RandomThreads {
 public:
  RandomThreads(size_t threads, uint64_t seed) : threads_(threads), random_(seed) {}

  Executor executor() {
    return {[](void* self, size_t count, void (*task)(void*, size_t, size_t), void* arg) {
              static_cast<RandomThreads*>(self)->Run(count, task, arg);
            },
            [](void* self) { return static_cast<RandomThreads*>(self)->threads_; }, this};
  }
  /// Parallel loops run so far: a test that meant to run in parallel can make sure that it did.
  size_t loops() const { return loops_; }

 private:
  void Run(size_t count, void (*task)(void*, size_t, size_t), void* arg) {
    ++loops_;
    std::vector<std::pair<size_t, size_t>> ranges;
    for (size_t begin = 0; begin < count;) {
      const size_t end = begin + 1 + random_.Below(std::min<size_t>(count - begin, 4));
      ranges.emplace_back(begin, end);
      begin = end;
    }
    for (size_t i = ranges.size(); i > 1; --i) std::swap(ranges[i - 1], ranges[random_.Below(i)]);
    std::atomic<size_t> next = 0;
    const auto work = [&] {
      for (size_t i = next++; i < ranges.size(); i = next++) task(arg, ranges[i].first, ranges[i].second);
    };
    std::vector<std::thread> threads;
    for (size_t i = 1; i < threads_; ++i) threads.emplace_back(work);
    work();
    for (std::thread& thread : threads) thread.join();
  }

  const size_t threads_;
  Random random_;
  size_t loops_ = 0;
};

}  // namespace addnorm::test
#endif  // ADDNORM_TESTS_THREADS_H_
