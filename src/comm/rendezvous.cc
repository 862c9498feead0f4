// SPDX-License-Identifier: Apache-2.0
// How processes of one host become a group: each sends its segment to rank 0, which sends all segments to each.
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <new>

#include "addnorm/ranks.h"
#include "src/comm/board.h"
#include "src/comm/local_socket.h"
#include "src/comm/segments.h"

namespace addnorm {
namespace {

using comm::Descriptor;
using comm::Segments;

constexpr int kMostRanks = 64;                   // 2 descriptors each and one more: a packet carries 253
constexpr uint64_t kMagic = 0x6164646e6f726d01;  // with the version of this protocol and of the words

struct Hello {
  uint64_t magic = kMagic;
  uint64_t words_bytes = 0;  // as far as this build is concerned
  int32_t ranks = 0, rank = 0;
};
struct Welcome {
  uint64_t magic = kMagic;
  int32_t code = 0;  // a Code; kOk: the packet carries words, arenas, lives
  char text[252] = "";
};

template <typename T>
std::span<const std::byte> BytesOf(const T& packet) {
  return std::as_bytes(std::span(&packet, 1));
}
template <typename T>
std::span<std::byte> WritableBytesOf(T& packet) {
  return std::as_writable_bytes(std::span(&packet, 1));
}

Status CheckRanks(const char* api, int ranks) {
  if (ranks >= 1 && ranks <= kMostRanks) return Status();
  return Status::Error(Code::kBadValue, "%s: ranks is %d, expected 1 to %d", api, ranks, kMostRanks);
}

/// This rank's own segment.
Status MakeOwn(int rank, Segments* segments, Descriptor* arena, Descriptor* life) {
  char name[32];
  std::snprintf(name, sizeof(name), "addnorm-rank-%d", rank);
  if (const Status made = comm::MakeSegment(name, comm::ArenaRange(), arena); !made.ok()) return made;
  return comm::MakeLife(life, &segments->keep);
}

class Host final : public SharedMemoryHost {
 public:
  Host(int ranks, std::string address, Descriptor listener) : ranks_(ranks), address_(std::move(address)), listener_(std::move(listener)) {
    segments_.arenas.resize(static_cast<size_t>(ranks));
    segments_.lives.resize(static_cast<size_t>(ranks));
    peers_.resize(static_cast<size_t>(ranks));
  }
  const std::string& address() const override { return address_; }

  Status Accept(Deadline deadline, std::unique_ptr<Communicator>* rank) override {
    if (!listener_) return Status::Error(Code::kBadValue, "SharedMemoryHost::Accept: was called before");
    Status status;
    try {
      status = Gather(deadline);
      if (status.ok()) status = Spread(deadline);
    } catch (const std::bad_alloc&) {
      status = Status::Error(Code::kUnsupported, "rendezvous: out of memory");
    }
    if (!status.ok()) SendFailure(status);
    peers_.clear();
    listener_ = Descriptor();
    return status.ok() ? comm::MakeSharedRank(std::move(segments_), ranks_, 0, deadline, rank) : status;
  }

 private:
  /// Until every other rank has said hello.
  Status Gather(Deadline deadline) {
    if (const Status own = MakeOwn(0, &segments_, &segments_.arenas[0], &segments_.lives[0]); !own.ok()) return own;
    if (const Status made = comm::MakeSegment("addnorm-words", comm::Board::Bytes(ranks_), &segments_.words); !made.ok()) return made;
    std::vector<Descriptor> strangers;
    for (int joined = 1; joined < ranks_;) {
      std::vector<int> sockets = {listener_.get()};
      for (const Descriptor& peer : peers_) sockets.push_back(peer.get());
      for (const Descriptor& stranger : strangers) sockets.push_back(stranger.get());
      const std::vector<size_t> readable = comm::AwaitReadable(sockets, deadline);
      if (readable.empty()) return Missing(joined);
      // From the back: taking a stranger in or out moves only those after it.
      for (auto i = readable.rbegin(); i != readable.rend(); ++i) {
        if (*i == 0) {
          if (Descriptor stranger = comm::AcceptFrom(listener_.get())) strangers.push_back(std::move(stranger));
        } else if (*i <= peers_.size()) {
          return Status::Error(Code::kPeer, "rendezvous: rank %zu has gone before all ranks had joined", *i - 1);
        } else {
          const auto stranger = strangers.begin() + static_cast<ptrdiff_t>(*i - 1 - peers_.size());
          bool took = false;
          if (const Status met = Meet(std::move(*stranger), &took); !met.ok()) return met;
          strangers.erase(stranger);
          joined += took;
        }
      }
    }
    return Status();
  }

  /// Reads a hello. Who says nothing that makes sense is not a rank, and is let go.
  Status Meet(Descriptor socket, bool* took) {
    Hello hello;
    std::vector<Descriptor> sent;
    if (!comm::ReceivePacket(socket.get(), WritableBytesOf(hello), 2, &sent).ok()) return Status();
    const auto q = static_cast<size_t>(hello.rank);
    const bool known = hello.rank >= 1 && hello.rank < ranks_ && !peers_[q];
    Status status;
    if (hello.magic != kMagic || hello.words_bytes != comm::Board::Bytes(hello.ranks)) {
      status = Status::Error(Code::kPeer, "rendezvous: rank %d uses another version of addnorm than rank 0", hello.rank);
    } else if (hello.ranks != ranks_) {
      status = Status::Error(Code::kPeer, "rendezvous: ranks is %d on rank %d and %d on rank 0", hello.ranks, hello.rank, ranks_);
    } else if (!known) {
      status = Status::Error(Code::kPeer, "rendezvous: rank %d joined twice, or is not in 1 to %d", hello.rank, ranks_ - 1);
    } else if (sent.size() != 2) {
      status = Status::Error(Code::kPeer, "rendezvous: rank %d sent %zu descriptors, expected 2", hello.rank, sent.size());
    }
    if (!status.ok()) {
      peers_.push_back(std::move(socket));  // it hears of it too
      return status;
    }
    segments_.arenas[q] = std::move(sent[0]);
    segments_.lives[q] = std::move(sent[1]);
    peers_[q] = std::move(socket);
    *took = true;
    return Status();
  }

  Status Missing(int joined) const {
    std::string names;
    for (size_t q = 1; q < peers_.size(); ++q) {
      if (!peers_[q]) names += (names.empty() ? "" : ", ") + std::to_string(q);
    }
    return Status::Error(Code::kTimeout, "rendezvous: %d of %d ranks joined before the deadline; missing: %s", joined, ranks_,
                         names.c_str());
  }

  Status Spread(Deadline deadline) {
    std::vector<int> all = {segments_.words.get()};
    for (const Descriptor& arena : segments_.arenas) all.push_back(arena.get());
    for (const Descriptor& life : segments_.lives) all.push_back(life.get());
    const Welcome welcome;
    for (size_t q = 1; q < peers_.size(); ++q) {
      if (const Status sent = comm::SendPacket(peers_[q].get(), BytesOf(welcome), all, deadline); !sent.ok()) {
        return Status::Error(Code::kPeer, "rendezvous: rank %zu has gone before all ranks had joined (%s)", q, sent.message());
      }
    }
    return Status();
  }

  void SendFailure(const Status& why) {
    Welcome welcome = {.code = static_cast<int32_t>(why.code())};
    std::string(why.message()).copy(welcome.text, sizeof(welcome.text) - 1);
    for (const Descriptor& peer : peers_) {
      if (peer) (void)comm::SendPacket(peer.get(), BytesOf(welcome), {}, Deadline::min());
    }
  }

  const int ranks_;
  const std::string address_;
  Descriptor listener_;
  Segments segments_;
  std::vector<Descriptor> peers_;  // by rank; then those whose hello was refused
};

Status JoinHost(const std::string& address, int rank, int ranks, Deadline deadline, std::unique_ptr<Communicator>* out) {
  Segments segments;
  Descriptor arena, life, host;
  if (const Status own = MakeOwn(rank, &segments, &arena, &life); !own.ok()) return own;
  if (const Status connected = comm::ConnectTo(address, deadline, &host); !connected.ok()) return connected;
  const Hello hello = {.words_bytes = comm::Board::Bytes(ranks), .ranks = ranks, .rank = rank};
  const int mine[] = {arena.get(), life.get()};
  if (const Status sent = comm::SendPacket(host.get(), BytesOf(hello), mine, deadline); !sent.ok()) return sent;
  const int sockets[] = {host.get()};
  if (comm::AwaitReadable(sockets, deadline).empty()) {
    return Status::Error(Code::kTimeout, "rendezvous: rank 0 has not answered rank %d before the deadline", rank);
  }
  Welcome welcome;
  std::vector<Descriptor> sent;
  const size_t expected = 1 + 2 * static_cast<size_t>(ranks);
  if (const Status got = comm::ReceivePacket(host.get(), WritableBytesOf(welcome), expected, &sent); !got.ok()) {
    return Status::Error(got.code(), "rendezvous: rank 0 has gone (%s)", got.message());
  }
  welcome.text[sizeof(welcome.text) - 1] = '\0';
  if (welcome.code != 0)
    return Status::Error(welcome.code == static_cast<int>(Code::kTimeout) ? Code::kTimeout : Code::kPeer, "%s", welcome.text);
  if (welcome.magic != kMagic || sent.size() != expected) {
    return Status::Error(Code::kPeer, "rendezvous: rank 0 sent %zu descriptors, expected %zu", sent.size(), expected);
  }
  segments.words = std::move(sent[0]);
  for (size_t q = 0; q < static_cast<size_t>(ranks); ++q) {
    segments.arenas.push_back(std::move(sent[1 + q]));
    segments.lives.push_back(std::move(sent[1 + static_cast<size_t>(ranks) + q]));
  }
  return comm::MakeSharedRank(std::move(segments), ranks, rank, deadline, out);
}

}  // namespace

std::string HostId() {
  std::string boot = "no-boot-id";
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  struct stat network = {};
  (void)stat("/proc/self/ns/net", &network);  // abstract sockets do not cross it
  return boot + "/" + std::to_string(network.st_ino) + "/" + std::to_string(geteuid());
}

Status SharedMemoryHost::Listen(int ranks, std::unique_ptr<SharedMemoryHost>* host) {
  if (const Status checked = CheckRanks("SharedMemoryHost::Listen", ranks); !checked.ok()) return checked;
  try {
    std::string address;
    Descriptor listener;
    if (const Status made = comm::MakeAddress(&address); !made.ok()) return made;
    if (const Status made = comm::ListenAt(address, &listener); !made.ok()) return made;
    *host = std::make_unique<Host>(ranks, std::move(address), std::move(listener));
    return Status();
  } catch (const std::bad_alloc&) {
    return Status::Error(Code::kUnsupported, "SharedMemoryHost::Listen: out of memory");
  }
}

Status JoinSharedMemory(const std::string& address, int rank, int ranks, Deadline deadline, std::unique_ptr<Communicator>* out) {
  if (const Status checked = CheckRanks("JoinSharedMemory", ranks); !checked.ok()) return checked;
  if (rank < 1 || rank >= ranks) return Status::Error(Code::kBadValue, "JoinSharedMemory: rank is %d, expected 1 to %d", rank, ranks - 1);
  if (!comm::IsAddress(address)) {
    return Status::Error(Code::kBadValue, "JoinSharedMemory: address is '%.64s', expected what SharedMemoryHost::address() gave",
                         address.c_str());
  }
  try {
    return JoinHost(address, rank, ranks, deadline, out);
  } catch (const std::bad_alloc&) {
    return Status::Error(Code::kUnsupported, "JoinSharedMemory: out of memory");
  }
}

}  // namespace addnorm
