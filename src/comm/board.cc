// SPDX-License-Identifier: Apache-2.0
#include "src/comm/board.h"

#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>

#include "src/comm/death_mark.h"

namespace addnorm::comm {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::nanoseconds;

/// Deaths, the poison and the deadline are looked at this often while a rank sleeps.
constexpr nanoseconds kSlice = std::chrono::milliseconds(10);

void Sleep(std::atomic<uint32_t>& word, uint32_t value, nanoseconds longest) {
  const timespec limit = {static_cast<time_t>(longest.count() / 1'000'000'000), static_cast<long>(longest.count() % 1'000'000'000)};
  syscall(SYS_futex, &word, FUTEX_WAIT, value, &limit, nullptr, 0);  // any return is a reason to look again
}

void Pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Spinning pays while every rank has a CPU of its own; else it takes the CPU from the rank that is waited for.
nanoseconds SpinTime(int ranks) {
  cpu_set_t cpus;
  const bool known = sched_getaffinity(0, sizeof(cpus), &cpus) == 0;
  return known && ranks <= CPU_COUNT(&cpus) ? std::chrono::microseconds(50) : nanoseconds(0);
}

/// The poison word: call it a record that one CAS writes.
constexpr uint64_t PackPoison(Cause cause, int culprit, int detector) {
  return static_cast<uint64_t>(cause) | static_cast<uint64_t>(culprit) << 8 | static_cast<uint64_t>(detector) << 32;
}

}  // namespace

Board::Board(void* memory, int ranks, int rank, std::span<const int> lives)
    : poison_(*static_cast<std::atomic<uint64_t>*>(memory)),
      words_(reinterpret_cast<RankWords*>(static_cast<std::byte*>(memory) + 64)),
      ranks_(ranks),
      rank_(rank),
      lives_(lives),
      spin_(SpinTime(ranks)) {}

void Board::Ring(int q) {
  words_[q].bell.fetch_add(1, std::memory_order_seq_cst);
  // A rank that counts itself as a sleeper after this load sees the new bell, and does not sleep.
  if (words_[q].sleepers.load(std::memory_order_seq_cst) != 0)
    syscall(SYS_futex, &words_[q].bell, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

void Board::RingAll() {
  for (int q = 0; q < ranks_; ++q) Ring(q);
}

void Board::Leave() {
  Note(Step::kGone, 0);
  mine().left.store(1, std::memory_order_release);
}

bool Board::Await(Word word, uint64_t target, uint64_t highest, uint64_t complete, Deadline deadline) {
  const auto start = Clock::now();
  auto look = start + kSlice;  // for deaths
  for (int i = 1; i <= ranks_; ++i) {
    const int q = (rank_ + i) % ranks_;  // everybody starts with another rank
    RankWords& other = words_[q];
    const auto reached = [&] { return (other.*word).load(std::memory_order_acquire) >= target; };
    for (auto now = start; !reached(); now = Clock::now()) {
      if (poisoned()) return false;
      if (now - start < spin_) {
        for (int spin = 0; spin < 32 && !reached(); ++spin) Pause();
        continue;
      }
      other.sleepers.fetch_add(1, std::memory_order_seq_cst);
      const uint32_t bell = other.bell.load(std::memory_order_seq_cst);
      bool healthy = true;
      if (!reached()) {
        if (now >= look) {
          healthy = Alive(complete);
          look = now + kSlice;
        }
        if (healthy && now >= deadline) {
          BlameLate(q, complete, now - start);
          healthy = false;
        }
        if (healthy && !poisoned()) Sleep(other.bell, bell, std::min<nanoseconds>(kSlice, deadline - now));
      }
      other.sleepers.fetch_sub(1, std::memory_order_relaxed);
      if (!healthy) return false;
    }
    if ((other.*word).load(std::memory_order_acquire) > highest) {
      char text[96];
      std::snprintf(text, sizeof(text), "rank %d's progress is damaged in shared memory", q);
      Poison(Cause::kCorrupt, q, text);
      return false;
    }
  }
  return true;
}

/// False, and poisons, if a rank that has not done its part of this call has gone.
bool Board::Alive(uint64_t complete) {
  for (int q = 0; q < ranks_; ++q) {
    if (q == rank_ || words_[q].results.load(std::memory_order_acquire) >= complete) continue;
    const bool left = words_[q].left.load(std::memory_order_acquire) != 0;
    pollfd life = {lives_.empty() ? -1 : lives_[q], POLLIN, 0};
    if (!left && !DeathMark::IsSet(words_[q].death) && (life.fd < 0 || poll(&life, 1, 0) != 1)) continue;
    // It may have done its part between the two looks.
    if (words_[q].results.load(std::memory_order_acquire) >= complete) continue;
    char text[RankWords::kText];
    if (left) {
      std::snprintf(text, sizeof(text), "rank %d has left the group", q);
    } else {
      std::snprintf(text, sizeof(text), "rank %d died; last seen %s", q, LastSeen(q).c_str());
    }
    Poison(left ? Cause::kLeft : Cause::kDied, q, text);
    return false;
  }
  return true;
}

/// The deadline has passed while this rank waited for rank q: blames the ranks that are furthest behind, which q itself may be waiting for.
void Board::BlameLate(int q, uint64_t complete, nanoseconds waited) {
  // Every rank passes the same steps in the same order and each raises one of these, so the sum orders the ranks.
  const auto progress = [&](int p) {
    const RankWords& w = words_[p];
    return w.headers.load(std::memory_order_acquire) + w.partials.load(std::memory_order_acquire) +
           w.results.load(std::memory_order_acquire);
  };
  const auto busy = [&](int p) { return p != rank_ && words_[p].results.load(std::memory_order_acquire) < complete; };
  uint64_t least = progress(q);
  for (int p = 0; p < ranks_; ++p) {
    if (busy(p)) least = std::min(least, progress(p));
  }
  char head[96];
  std::snprintf(head, sizeof(head), "no answer before the deadline, waited %.3f s: ", std::chrono::duration<double>(waited).count());
  std::string text = head;
  int culprit = -1;
  for (int p = 0; p < ranks_; ++p) {
    if (!busy(p) || progress(p) > least) continue;
    text += (culprit < 0 ? "rank " : ", rank ") + std::to_string(p) + " last seen " + LastSeen(p);
    if (culprit < 0) culprit = p;
  }
  Poison(Cause::kLate, culprit < 0 ? q : culprit, text.c_str());
}

void Board::Poison(Cause cause, int culprit, const char* text) {
  if (poisoned()) return;  // others may be reading the text of the first time
  std::snprintf(mine().text, sizeof(mine().text), "%s", text);
  uint64_t healthy = 0;
  poison_.compare_exchange_strong(healthy, PackPoison(cause, culprit, rank_), std::memory_order_acq_rel);
  RingAll();
}

Board::Record Board::cause() const {
  const uint64_t word = poison_.load(std::memory_order_acquire);
  Record record;
  if (word == 0) return record;
  const uint64_t cause = word & 0xff, culprit = word >> 8 & 0xffffff, detector = word >> 32;
  const auto ranks = static_cast<uint64_t>(ranks_);
  if (cause >= kCauses || culprit >= ranks || detector >= ranks) {
    record.cause = Cause::kCorrupt;
    std::snprintf(record.text, sizeof(record.text), "the record of the failure is damaged in shared memory");
    return record;
  }
  record.cause = static_cast<Cause>(cause);
  record.culprit = static_cast<int>(culprit);
  record.detector = static_cast<int>(detector);
  std::memcpy(record.text, words_[detector].text, sizeof(record.text) - 1);
  for (char& c : record.text) {
    if (c != '\0' && (c < ' ' || c > '~')) c = '?';
  }
  record.text[sizeof(record.text) - 1] = '\0';
  return record;
}

void Board::Note(Step step, uint64_t call, size_t block) {
  RankWords& w = mine();
  const uint64_t number = w.moments.load(std::memory_order_relaxed);
  RankWords::Moment& moment = w.history[number % RankWords::kHistory];
  moment.what.store(call << 28 | static_cast<uint64_t>(block) << 8 | static_cast<uint64_t>(step), std::memory_order_relaxed);
  moment.when.store(nanoseconds(Clock::now().time_since_epoch()).count(), std::memory_order_relaxed);
  w.moments.store(number + 1, std::memory_order_release);
}

}  // namespace addnorm::comm
