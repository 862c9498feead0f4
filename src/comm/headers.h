// SPDX-License-Identifier: Apache-2.0
// What the ranks of one call tell each other before anything is computed, and the verdict that each rank draws from it alone: all have the
// same headers, so all come to the same verdict.
#ifndef ADDNORM_SRC_COMM_HEADERS_H_
#define ADDNORM_SRC_COMM_HEADERS_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "addnorm/communicator.h"

namespace addnorm::comm {

/// Why a group of ranks cannot go on. Crosses ranks as a byte.
enum class Cause : uint8_t {
  kNone = 0,
  kDied,      // a process ended
  kLeft,      // a communicator was destroyed
  kLate,      // the deadline passed
  kAborted,   // a rank reported a failure of its own
  kRefused,   // a rank refused its arguments
  kDisagree,  // headers differ
  kCorrupt,   // shared words or messages that no rank can have written
  kEngine,    // the message engine failed
};
constexpr size_t kCauses = 9;

constexpr Code CodeOf(Cause cause) { return cause == Cause::kLate ? Code::kTimeout : Code::kPeer; }

/// A CallHeader and its layout as they cross ranks: plain words, so that checking and comparing them is one loop.
struct PostedHeader {
  static constexpr size_t kFields = 16;
  uint64_t magic = 0;  // format and version
  uint64_t refused = 0;
  uint64_t fields[kFields] = {};
  uint64_t check = 0;  // of all words before

  uint64_t call() const { return fields[0]; }
};
static_assert(sizeof(PostedHeader) == 19 * sizeof(uint64_t), "no padding: the bytes cross processes");

PostedHeader Post(const CallHeader& header, const CallLayout& layout, uint64_t call);
/// Whether `header` is what some rank's Post has made.
bool Intact(const PostedHeader& header);

/// kNone, kRefused, kDisagree or kCorrupt, the rank to blame, and the text.
struct Verdict {
  Cause cause = Cause::kNone;
  int culprit = 0;
  char text[256] = "";
};
/// headers[q] is rank q's. A refusal goes before a difference: who has refused may not know what the others know.
Verdict Judge(std::span<const PostedHeader> headers);

/// Checks what a call needs of its layout: ranks, blocks, sizes that do not overflow.
Status CheckLayout(const char* transport, const CallHeader& header, const CallLayout& layout, int ranks);

/// Blocks of a call are counted in this many bits.
constexpr unsigned kBlockBits = 20;

/// Sizes in bytes that follow from a layout, the same on every rank. Multiples of 64.
struct Strides {
  /// This many blocks of partials are in memory at a time: one being reduced by the fastest rank, one by the slowest, one being written.
  static constexpr size_t kSlots = 3;
  size_t partial = 0;  // one block of partials
  size_t result = 0;   // one share of results
  size_t slots = 0;    // min(blocks, kSlots)
  size_t total = 0;    // slots * partial + blocks * result
};
/// False if a size overflows.
bool MakeStrides(const CallLayout& layout, Strides* out);

}  // namespace addnorm::comm
#endif  // ADDNORM_SRC_COMM_HEADERS_H_
