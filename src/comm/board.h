// SPDX-License-Identifier: Apache-2.0
// The words that the ranks of one group share, in heap memory (threads) or in a sealed memfd (processes), and waiting on them.
// Each word has one writer but `poison` and `sleepers`. A word holds the number of its call, so an old value never passes for a new one;
// a group has its own words, so a rank that is late by a whole group cannot reach those of the next. Whatever is read is checked: another
// process may have written anything.
#ifndef ADDNORM_SRC_COMM_BOARD_H_
#define ADDNORM_SRC_COMM_BOARD_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "addnorm/communicator.h"
#include "src/comm/headers.h"

namespace addnorm::comm {

/// What a rank is doing, for messages.
enum class Step : uint8_t { kJoining, kIdle, kAgree, kMatmul, kCollect, kReduce, kRoom, kCommit, kCopy, kGone };
constexpr size_t kSteps = 10;

struct RankWords {
  struct Moment {
    std::atomic<uint64_t> what;  // call << 28 | block << 8 | Step
    std::atomic<int64_t> when;   // steady clock, ns
  };
  static constexpr size_t kHistory = 64, kText = 384;

  /// Progress. `headers` is the last call whose header is posted; the others are call << kBlockBits | blocks published.
  alignas(64) std::atomic<uint64_t> headers;
  std::atomic<uint64_t> partials;
  std::atomic<uint64_t> results;
  std::atomic<uint64_t> joined;    // 1: this rank has mapped the group's memory
  std::atomic<uint32_t> left;      // not 0: the communicator was destroyed
  std::atomic<uint32_t> bell;      // a futex: changes after any of the words above
  std::atomic<uint32_t> sleepers;  // ranks that may sleep on `bell`
  std::atomic<uint32_t> death;     // a DeathMark
  /// Two, by the parity of the call: a rank can be one call ahead of another that still reads.
  alignas(64) PostedHeader posted[2];
  alignas(64) std::atomic<uint64_t> moments;
  Moment history[kHistory];  // the last ones, by number modulo kHistory
  char text[kText];          // what this rank writes before it poisons the group, once
};
static_assert(std::atomic<uint64_t>::is_always_lock_free && sizeof(RankWords) % 64 == 0, "words are shared between processes");

/// One rank's hold on the words of its group.
class Board {
 public:
  using Word = std::atomic<uint64_t> RankWords::*;

  static size_t Bytes(int ranks) { return 64 + static_cast<size_t>(ranks) * sizeof(RankWords); }
  /// `memory` starts as zeros, is 64-byte aligned and outlives this. lives[q]: a descriptor that becomes readable or hung up when rank q's
  /// process ends; empty where ranks cannot die alone.
  Board(void* memory, int ranks, int rank, std::span<const int> lives);

  int ranks() const { return ranks_; }
  int rank() const { return rank_; }
  RankWords& of(int q) const { return words_[q]; }
  RankWords& mine() const { return words_[rank_]; }

  /// Sets a word of this rank and wakes who waits for it.
  void Set(Word word, uint64_t value) {
    (mine().*word).store(value, std::memory_order_release);
    Ring(rank_);
  }
  void Leave();

  /// Waits until every rank's word is at least `target`. `complete`: the value of `results` with which a rank has done its part of this
  /// call, so that its end is no loss. False: the group is poisoned.
  bool Await(Word word, uint64_t target, uint64_t highest, uint64_t complete, Deadline deadline);

  /// Records the cause of the end of this group, unless another rank was first. Then see cause().
  void Poison(Cause cause, int culprit, const char* text);
  bool poisoned() const { return poison_.load(std::memory_order_acquire) != 0; }
  struct Record {
    Cause cause = Cause::kNone;
    int culprit = 0, detector = 0;
    char text[RankWords::kText] = "";
  };
  /// The recorded cause, checked.
  Record cause() const;

  void Note(Step step, uint64_t call, size_t block = 0);
  /// "in the matmul of block 0 of call 17 since 31.2 s".
  std::string LastSeen(int q) const;
  std::string History() const;

 private:
  void Ring(int q);
  void RingAll();
  bool Alive(uint64_t complete);
  void BlameLate(int q, uint64_t complete, std::chrono::nanoseconds waited);

  std::atomic<uint64_t>& poison_;
  RankWords* const words_;
  const int ranks_, rank_;
  const std::span<const int> lives_;
  const std::chrono::nanoseconds spin_;
};

}  // namespace addnorm::comm
#endif  // ADDNORM_SRC_COMM_BOARD_H_
