// SPDX-License-Identifier: Apache-2.0
#include "doors/torch/executor.h"

#include <torch/csrc/stable/c/shim.h>

namespace addnorm::torch_door {
namespace {

struct Job {
  void (*task)(void* arg, size_t begin, size_t end);
  void* arg;
};

void RunRange(int64_t begin, int64_t end, void* context) {
  const Job& job = *static_cast<const Job*>(context);
  job.task(job.arg, static_cast<size_t>(begin), static_cast<size_t>(end));
}

void ParallelFor(void*, size_t count, void (*task)(void* arg, size_t begin, size_t end), void* arg) {
  Job job{task, arg};
  // The core's tasks do not throw and may run twice, as outputs never alias inputs here: a pool that fails is only slower.
  if (torch_parallel_for(0, static_cast<int64_t>(count), 1, RunRange, &job) != 0) task(arg, 0, count);
}

size_t Concurrency(void*) {
  uint32_t threads = 1;
  return torch_get_num_threads(&threads) == 0 && threads > 0 ? threads : 1;
}

constexpr Executor kExecutor{ParallelFor, Concurrency, nullptr};

}  // namespace

const Executor& TorchExecutor() { return kExecutor; }

}  // namespace addnorm::torch_door
