// SPDX-License-Identifier: Apache-2.0
// The benchmark's own stream: reads two tensors and writes one or two, with next to no arithmetic. What the memory can do, at best.
#ifndef ADDNORM_BENCH_STREAM_H_
#define ADDNORM_BENCH_STREAM_H_

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "addnorm/types.h"
#include "bench/timing.h"

namespace addnorm::bench {

/// Buffers at 64-byte boundaries.
struct StreamBuffers {
  const std::byte *a = nullptr, *b = nullptr;  // read
  std::byte *c = nullptr, *d = nullptr;        // written; null d = not there
  size_t bytes = 0;                            // of each, a multiple of 256
};

/// One variant per way to store that this machine has: "stream, regular", "stream, non-temporal", each also with prefetch.
std::vector<Variant> StreamVariants(const StreamBuffers& buffers, const Executor& executor);
/// The instruction set they use.
const char* StreamTarget();
/// Whether the streams do what they claim: runs each over `buffers` and looks at what was written.
bool StreamsAreRight(const StreamBuffers& buffers);

}  // namespace addnorm::bench
#endif  // ADDNORM_BENCH_STREAM_H_
