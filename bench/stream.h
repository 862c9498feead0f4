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
/// The same reads and writes in the order that a norm must have: no element of the last output before the whole row has been read, so
/// that the row waits in a scratch of its own and is written while the next one is read. One thread; none where a row is not a multiple
/// of 256 bytes.
std::vector<Variant> RowOrderVariants(const StreamBuffers& buffers, size_t row_bytes);
/// The instruction set they use.
const char* StreamTarget();
/// Whether the streams do what they claim: runs each over `buffers` and looks at what was written.
bool StreamsAreRight(const StreamBuffers& buffers);

}  // namespace addnorm::bench
#endif  // ADDNORM_BENCH_STREAM_H_
