// SPDX-License-Identifier: Apache-2.0
// Ranks that exchange messages: any engine that has an all-to-all and an all-gather of bytes (a torch.distributed process group, MPI, ...)
// becomes a Communicator. The engine only moves bytes; sums are made here, in rank order, so its own order of reduction plays no part.
//
// Per call: all-gather of the headers; per block of rows an all-to-all of the partials and an all-gather of the results; an all-gather of
// 256 bytes in which the ranks agree that all is well. The partials of block b travel while the caller computes block b + 1.
// Everything is received into memory of the communicator. All ranks start the same exchanges in the same order, at most 4 at a time.
#ifndef ADDNORM_MESSAGES_H_
#define ADDNORM_MESSAGES_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "addnorm/communicator.h"

namespace addnorm {

/// One exchange, in plain C types. Ranges of bytes lie one after another in rank order; counts may be 0 and differ between ranks.
struct MessageExchange {
  /// 0 = all-to-all: rank q gets the q-th range of `send`.  1 = all-gather: every rank gets the one range of `send`.
  int32_t kind;
  int32_t ranks;
  const void* send;
  const size_t* send_bytes;  // [ranks] for all-to-all, [1] for all-gather
  void* recv;                // the q-th range comes from rank q, this rank's own included
  const size_t* recv_bytes;  // [ranks]
};

/// What start and wait return. Not 0: `error` (error_bytes characters with the final 0) says what happened, and to which rank if known.
enum MessageResult : int32_t { kMessageOk = 0, kMessageLate = 1, kMessageFailed = 2 };

/// The functions are called by the thread that uses the communicator, one at a time. They do not throw.
struct MessageEngine {
  void* context = nullptr;
  const char* name = "engine";  // for error texts; copied
  int32_t rank = 0, ranks = 1;
  /// Starts an exchange. `exchange` is valid during this call, its memory until wait(*ticket) returns. An engine without asynchronous
  /// operations may complete it here. timeout_ns: from now.
  int32_t (*start)(void* context, const MessageExchange* exchange, int64_t timeout_ns, uint64_t* ticket, char* error,
                   size_t error_bytes) = nullptr;
  /// Returns when all ranges have arrived here and all of this rank's have been read, or an error within timeout_ns. Each ticket is waited
  /// for at most once, in the order of the starts of its kind. After an error only fail, roll_call and release are called.
  int32_t (*wait)(void* context, uint64_t ticket, int64_t timeout_ns, char* error, size_t error_bytes) = nullptr;
  /// Gives up the context and what was started and not waited for. Not 0: memory of an exchange may still be touched, and is never freed.
  /// May be null.
  int32_t (*release)(void* context) = nullptr;
  /// Tells the other ranks, as well as the engine can, that this one has given up, with its result and text: waits there then fail at once
  /// with the same, instead of at their deadlines. Called once, after the first error. May be null: who does not need the rank that has
  /// died, but one that has noticed and given up, then waits until the deadline.
  void (*fail)(void* context, int32_t result, const char* text) = nullptr;
  /// After fail: sets failed[q] to 1 for each rank q that has called fail, too, and returns when all have or timeout_ns is over. A deadline
  /// that has passed thus names the ranks that are not even there to notice. May be null.
  void (*roll_call)(void* context, int64_t timeout_ns, uint8_t* failed) = nullptr;
};

/// Takes over engine.context: `release` is called when the communicator is destroyed, or here if this fails.
[[nodiscard]] ADDNORM_API Status MakeMessageRanks(const MessageEngine& engine, std::unique_ptr<Communicator>* out);

}  // namespace addnorm
#endif  // ADDNORM_MESSAGES_H_
