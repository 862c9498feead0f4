// SPDX-License-Identifier: Apache-2.0
// Ranks that are threads of one process: words and arenas in heap memory.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

#include "addnorm/ranks.h"
#include "src/comm/board_ranks.h"

namespace addnorm {
namespace {

using comm::Board;

struct Free {
  void operator()(std::byte* p) const { std::free(p); }
};
using Memory = std::unique_ptr<std::byte, Free>;

/// `bytes` is a multiple of 64.
Memory Allocate(size_t bytes) { return Memory(static_cast<std::byte*>(std::aligned_alloc(64, bytes))); }

/// What the threads share; the last communicator frees it.
struct Group {
  Memory words;
  std::vector<Memory> arenas;  // arenas[q] is set by rank q before it posts a header, read by others after
};

class HeapArenas final : public comm::Arenas {
 public:
  HeapArenas(std::shared_ptr<Group> group, int rank) : group_(std::move(group)), rank_(static_cast<size_t>(rank)) {}
  const char* transport() const override { return "threads"; }

  Status Reserve(size_t bytes) override {
    if (bytes <= capacity_) return Status();
    Memory larger = Allocate(bytes);
    if (larger == nullptr) return Status::Error(Code::kUnsupported, "threads: out of memory for %zu bytes of rows", bytes);
    last_ = std::move(group_->arenas[rank_]);  // until no rank reads its results
    group_->arenas[rank_] = std::move(larger);
    capacity_ = bytes;
    return Status();
  }
  Status Attach(size_t, std::span<std::byte*> arenas) override {
    last_.reset();
    std::ranges::transform(group_->arenas, arenas.begin(), [](const Memory& memory) { return memory.get(); });
    return Status();
  }

 private:
  const std::shared_ptr<Group> group_;
  const size_t rank_;
  Memory last_;
  size_t capacity_ = 0;
};

}  // namespace

Status MakeThreadRanks(std::span<std::unique_ptr<Communicator>> ranks) {
  if (ranks.empty() || ranks.size() > 1024) {
    return Status::Error(Code::kBadValue, "MakeThreadRanks: %zu ranks, expected 1 to 1024", ranks.size());
  }
  try {
    const int size = static_cast<int>(ranks.size());
    const auto group = std::make_shared<Group>();
    group->words = Allocate(Board::Bytes(size));
    if (group->words == nullptr) throw std::bad_alloc();
    std::memset(group->words.get(), 0, Board::Bytes(size));
    group->arenas.resize(ranks.size());
    std::vector<std::unique_ptr<Communicator>> made;
    made.reserve(ranks.size());
    for (int r = 0; r < size; ++r) {
      made.push_back(comm::MakeBoardRanks(std::make_unique<HeapArenas>(group, r), group->words.get(), size, r, {}));
    }
    std::move(made.begin(), made.end(), ranks.begin());
  } catch (const std::bad_alloc&) {
    return Status::Error(Code::kUnsupported, "MakeThreadRanks: out of memory");
  }
  return Status();
}

}  // namespace addnorm
