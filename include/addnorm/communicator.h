// SPDX-License-Identifier: Apache-2.0
// Communicator: the ranks of a tensor-parallel group, and how they exchange rows. Transports: threads of one process, processes of one
// host over shared memory, and any message engine (a torch.distributed process group, MPI) through two functions.
//
// One collective call goes: Begin - per block of rows: Partial, PublishPartial, CollectPartials, Result, PublishResult - Commit - ResultOf
// - End. Every step takes the deadline given to Begin. After an error the communicator is poisoned: every later call fails at once with the
// same cause. (One error is none: when a rank has refused its arguments, all ranks know it in Begin, and the next call may succeed.)
// Error texts name the culprit rank and, where ranks disagree, the field. One thread at a time may use a Communicator.
#ifndef ADDNORM_COMMUNICATOR_H_
#define ADDNORM_COMMUNICATOR_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "addnorm/types.h"

namespace addnorm {

/// What all ranks of one call must agree on, field by field. Unused fields are 0. The communicator adds its own sequence number.
struct CallHeader {
  uint32_t operation = 0;  // which collective
  uint32_t scenario = 0;   // float, int8, int8 weights; types of x1, x2, residual
  uint64_t rows = 0;       // M
  uint64_t cols = 0;       // n
  uint64_t blocks = 0;     // row blocks (comm_turn as decided)
  uint64_t epsilon_bits = 0;
  uint32_t reduce_op = 0;     // 0 = sum
  uint32_t partial_type = 0;  // DType in which partial sums cross ranks
  uint32_t result_type = 0;   // DType of y and norm_out
  uint32_t refused = 0;       // not 0: this rank's arguments were refused (a Code); the others fail with it instead of waiting
  uint64_t replicated = 0;    // fingerprint, by sample, of what every rank must hold alike: residual and gamma
};

/// How the rows of one call are cut: `blocks` row blocks, each cut again into one share per rank. All a function of (rows, blocks, ranks).
struct CallLayout {
  size_t rows = 0, cols = 0, blocks = 1;
  size_t partial_row_bytes = 0;  // cols * SizeOf(partial type)
  size_t result_row_bytes = 0;   // everything that a rank computes for one row of its share
  int ranks = 1;

  struct Range {
    size_t begin = 0, end = 0;
    size_t size() const { return end - begin; }
  };
  /// Rows of block b, of the whole problem.
  Range Block(size_t b) const { return Cut({0, rows}, blocks, b); }
  /// Rows of block b that `rank` reduces and normalises, of the whole problem.
  Range Share(size_t b, int rank) const { return Cut(Block(b), static_cast<size_t>(ranks), static_cast<size_t>(rank)); }

 private:
  static Range Cut(Range whole, size_t parts, size_t i) {
    const size_t each = whole.size() / parts, rest = whole.size() % parts;
    const auto start = [&](size_t p) { return whole.begin + p * each + (p < rest ? p : rest); };
    return {start(i), start(i + 1)};
  }
};

using Deadline = std::chrono::steady_clock::time_point;

class ADDNORM_API Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// "threads", "shared memory", "messages (gloo)", ... for messages and benchmarks.
  virtual const char* transport() const = 0;

  /// Exchanges headers. OK on every rank, or an error on every rank that names the first differing rank and field.
  /// layout.ranks must be size(). Nothing is computed before.
  virtual Status Begin(const CallHeader& header, const CallLayout& layout, Deadline deadline) = 0;
  /// Where this rank's partial of block b goes: [Block(b), cols], rows partial_row_bytes apart, 64-byte aligned. Blocks are visited in
  /// order; Partial(b + 1) may be written before CollectPartials(b).
  virtual std::byte* Partial(size_t b) = 0;
  virtual Status PublishPartial(size_t b) = 0;
  /// Waits for every rank's partial of this rank's share of block b. parts[q]: rank q's rows of Share(b, rank()), partial_row_bytes apart.
  virtual Status CollectPartials(size_t b, std::span<const std::byte*> parts) = 0;
  /// Where this rank's results of its share of block b go: Share(b, rank()) rows of result_row_bytes, 64-byte aligned, free in layout.
  virtual std::byte* Result(size_t b) = 0;
  virtual Status PublishResult(size_t b) = 0;
  /// Waits until every rank has published every result. Only after this may a rank touch its outputs.
  virtual Status Commit() = 0;
  /// After Commit: what rank q wrote for its share of block b.
  virtual const std::byte* ResultOf(size_t b, int q) = 0;
  /// The results have been read; their memory may be used again.
  virtual void End() = 0;
  /// A failure of this rank inside a call: poisons the communicator, so that the others fail at once and name this rank.
  virtual void Abort(const Status& why) = 0;
  /// What the ranks did last, one step per line, as far as this rank can see. For reports of failures.
  virtual std::string History() const { return std::string(); }
};

}  // namespace addnorm
#endif  // ADDNORM_COMMUNICATOR_H_
