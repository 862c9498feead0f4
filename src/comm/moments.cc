// SPDX-License-Identifier: Apache-2.0
// What the ranks of a group did last, as text.
#include <algorithm>
#include <cstdio>

#include "src/comm/board.h"

namespace addnorm::comm {
namespace {

std::string Describe(uint64_t what) {
  const auto call = static_cast<unsigned long long>(what >> 28);
  const auto block = static_cast<unsigned long long>(what >> 8 & 0xfffff);
  char text[96];
  switch (static_cast<Step>(what & 0xff)) {
    case Step::kJoining:
      return "joining the group";
    case Step::kIdle:
      std::snprintf(text, sizeof(text), call == 0 ? "before its first call" : "after call %llu", call);
      return text;
    case Step::kAgree:
      std::snprintf(text, sizeof(text), "waiting for the headers of call %llu", call);
      return text;
    case Step::kMatmul:
      std::snprintf(text, sizeof(text), "in the matmul of block %llu of call %llu", block, call);
      return text;
    case Step::kCollect:
      std::snprintf(text, sizeof(text), "waiting for the partials of block %llu of call %llu", block, call);
      return text;
    case Step::kReduce:
      std::snprintf(text, sizeof(text), "in the reduction of block %llu of call %llu", block, call);
      return text;
    case Step::kRoom:
      std::snprintf(text, sizeof(text), "waiting for room after block %llu of call %llu", block, call);
      return text;
    case Step::kCommit:
      std::snprintf(text, sizeof(text), "waiting for the results of call %llu", call);
      return text;
    case Step::kCopy:
      std::snprintf(text, sizeof(text), "copying the results of call %llu", call);
      return text;
    case Step::kGone:
      return "leaving the group";
  }
  return "in an unknown state";
}

double SecondsSince(int64_t when) {
  const int64_t now = std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
  return when > 0 && when < now ? static_cast<double>(now - when) * 1e-9 : 0.0;
}

}  // namespace

std::string Board::LastSeen(int q) const {
  const uint64_t number = words_[q].moments.load(std::memory_order_acquire);
  if (number == 0) return Describe(0);
  const RankWords::Moment& last = words_[q].history[(number - 1) % RankWords::kHistory];
  char ago[48];
  std::snprintf(ago, sizeof(ago), ", %.3f s ago", SecondsSince(last.when.load(std::memory_order_relaxed)));
  return Describe(last.what.load(std::memory_order_relaxed)) + ago;
}

std::string Board::History() const {
  std::string all;
  for (int q = 0; q < ranks_; ++q) {
    const uint64_t number = words_[q].moments.load(std::memory_order_acquire);
    const uint64_t count = std::min<uint64_t>(number, RankWords::kHistory);
    for (uint64_t i = number - count; i < number; ++i) {
      const RankWords::Moment& moment = words_[q].history[i % RankWords::kHistory];
      char line[64];
      std::snprintf(line, sizeof(line), "rank %d, %.6f s ago: ", q, SecondsSince(moment.when.load(std::memory_order_relaxed)));
      all += line + Describe(moment.what.load(std::memory_order_relaxed)) + '\n';
    }
  }
  return all;
}

}  // namespace addnorm::comm
