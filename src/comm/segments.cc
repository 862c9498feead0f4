// SPDX-License-Identifier: Apache-2.0
#include "src/comm/segments.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "src/comm/board_ranks.h"
#include "src/comm/death_mark.h"

namespace addnorm::comm {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

class Mapping {
 public:
  Mapping() = default;
  Mapping(Mapping&& other) noexcept : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Mapping() {
    if (data_ != nullptr) munmap(data_, bytes_);
  }
  static Mapping Of(int fd, size_t bytes, int protection) {
    Mapping mapping;
    void* data = mmap(nullptr, bytes, protection, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED) return mapping;
    mapping.data_ = data;
    mapping.bytes_ = bytes;
    return mapping;
  }
  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

/// The size of a segment that another process has sent; 0 if it is not what MakeSegment makes.
size_t SealedSize(int fd) {
  struct stat facts;
  return fcntl(fd, F_GET_SEALS) == kSeals && fstat(fd, &facts) == 0 ? static_cast<size_t>(facts.st_size) : 0;
}

/// Owns everything that a communicator over shared memory needs.
class SharedArenas final : public Arenas {
 public:
  SharedArenas(Segments segments, Mapping words, int ranks, int rank)
      : segments_(std::move(segments)),
        words_(std::move(words)),
        mark_(&Board(words_.data(), ranks, rank, {}).mine().death),
        maps_(segments_.arenas.size()),
        rank_(static_cast<size_t>(rank)) {
    for (const Descriptor& life : segments_.lives) lives_.push_back(life.get());
  }
  const char* transport() const override { return "shared memory"; }
  void* words() const { return words_.data(); }
  std::span<const int> lives() const { return lives_; }

  Status Reserve(size_t bytes) override {
    if (bytes <= reserved_) return Status();
    if (bytes > ArenaRange())
      return Status::Error(Code::kUnsupported, "shared memory: %zu bytes of rows, at most %zu", bytes, ArenaRange());
    // Now, because a page that is missing later is a SIGBUS.
    int result = 0;
    do {
      result = fallocate(segments_.arenas[rank_].get(), 0, 0, static_cast<off_t>(bytes));
    } while (result != 0 && errno == EINTR);
    if (result != 0) {
      return Status::Error(Code::kUnsupported, "shared memory: no %zu bytes for rows: %s", bytes, std::strerror(errno));
    }
    reserved_ = bytes;
    return Status();
  }

  Status Attach(size_t bytes, std::span<std::byte*> arenas) override {
    constexpr size_t kStep = size_t{2} << 20;  // maps grow in steps, for calls of ever new sizes
    for (size_t q = 0; q < maps_.size(); ++q) {
      if (maps_[q].bytes() < bytes) {
        const size_t size = std::min((bytes + kStep - 1) & ~(kStep - 1), SealedSize(segments_.arenas[q].get()));
        Mapping larger = Mapping::Of(segments_.arenas[q].get(), size, q == rank_ ? PROT_READ | PROT_WRITE : PROT_READ);
        if (larger.bytes() < bytes) {
          return Status::Error(Code::kUnsupported, "shared memory: cannot map %zu bytes of rank %zu: %s", bytes, q, std::strerror(errno));
        }
        maps_[q] = std::move(larger);
      }
      arenas[q] = static_cast<std::byte*>(maps_[q].data());
    }
    return Status();
  }

 private:
  const Segments segments_;
  const Mapping words_;
  const DeathMark mark_;  // in words_
  std::vector<Mapping> maps_;
  std::vector<int> lives_;
  const size_t rank_;
  size_t reserved_ = 0;
};

}  // namespace

size_t ArenaRange() {
  constexpr rlim_t kRange = rlim_t{1} << 40;
  rlimit limit;  // a larger file would raise SIGXFSZ
  return static_cast<size_t>(getrlimit(RLIMIT_FSIZE, &limit) == 0 ? std::min(limit.rlim_cur, kRange) : kRange) & ~size_t{4095};
}

Status MakeSegment(const char* name, size_t bytes, Descriptor* segment) {
  Descriptor fd(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd || ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0 || fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) {
    return Status::Error(Code::kUnsupported, "shared memory: cannot make a segment of %zu bytes: %s", bytes, std::strerror(errno));
  }
  *segment = std::move(fd);
  return Status();
}

Status MakeLife(Descriptor* life, Descriptor* keep) {
  *life = Descriptor(static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0)));  // close-on-exec by itself
  return *life ? Status() : MakePipeLife(life, keep);
}

Status MakePipeLife(Descriptor* life, Descriptor* keep) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return Status::Error(Code::kUnsupported, "shared memory: cannot make a pipe: %s", std::strerror(errno));
  *life = Descriptor(ends[0]);
  *keep = Descriptor(ends[1]);
  return Status();
}

Status MakeSharedRank(Segments segments, int ranks, int rank, Deadline deadline, std::unique_ptr<Communicator>* out) {
  const size_t bytes = Board::Bytes(ranks);
  if (SealedSize(segments.words.get()) < bytes)
    return Status::Error(Code::kPeer, "shared memory: rank 0 has sent words that are not sealed");
  Mapping words = Mapping::Of(segments.words.get(), bytes, PROT_READ | PROT_WRITE);
  if (words.data() == nullptr)
    return Status::Error(Code::kUnsupported, "shared memory: cannot map %zu bytes: %s", bytes, std::strerror(errno));
  segments.words = Descriptor();
  auto arenas = std::make_unique<SharedArenas>(std::move(segments), std::move(words), ranks, rank);
  void* const at = arenas->words();
  const std::span<const int> lives = arenas->lives();
  std::unique_ptr<Communicator> made = MakeBoardRanks(std::move(arenas), at, ranks, rank, lives);
  if (const Status joined = Join(*made, deadline); !joined.ok()) return joined;
  *out = std::move(made);
  return Status();
}

}  // namespace addnorm::comm
