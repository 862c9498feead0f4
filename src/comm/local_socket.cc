// SPDX-License-Identifier: Apache-2.0
#include "src/comm/local_socket.h"

#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>
#include <thread>

namespace addnorm::comm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr char kPrefix[] = "addnorm-";
constexpr size_t kDigits = 32;  // 128 bits

Status Failure(const char* what) { return Status::Error(Code::kUnsupported, "rendezvous: %s: %s", what, std::strerror(errno)); }

/// An abstract name: no file, gone with its last socket.
socklen_t Fill(const std::string& address, sockaddr_un* name) {
  *name = {};
  name->sun_family = AF_UNIX;
  std::memcpy(name->sun_path + 1, address.data(), address.size());
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + address.size());
}

Descriptor NewSocket() { return Descriptor(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)); }

bool SameUser(int peer) {
  ucred facts = {};
  socklen_t size = sizeof(facts);
  return getsockopt(peer, SOL_SOCKET, SO_PEERCRED, &facts, &size) == 0 && facts.uid == geteuid();
}

int Milliseconds(Deadline deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(std::min<Clock::duration>(deadline - Clock::now(), std::chrono::hours(1)));
  return static_cast<int>(std::max<int64_t>(left.count(), 0));
}

}  // namespace

Status MakeAddress(std::string* address) {
  unsigned char random[kDigits / 2];
  if (getrandom(random, sizeof(random), 0) != sizeof(random)) return Failure("getrandom");
  *address = kPrefix;
  for (const unsigned char byte : random) {
    char digits[3];
    std::snprintf(digits, sizeof(digits), "%02x", byte);
    *address += digits;
  }
  return Status();
}

bool IsAddress(const std::string& address) {
  return address.size() == sizeof(kPrefix) - 1 + kDigits && address.compare(0, sizeof(kPrefix) - 1, kPrefix) == 0 &&
         address.find_first_not_of("0123456789abcdef", sizeof(kPrefix) - 1) == std::string::npos;
}

Status ListenAt(const std::string& address, Descriptor* listener) {
  Descriptor socket = NewSocket();
  sockaddr_un name;
  const socklen_t size = Fill(address, &name);
  if (!socket || bind(socket.get(), reinterpret_cast<const sockaddr*>(&name), size) != 0 || listen(socket.get(), SOMAXCONN) != 0) {
    return Failure("cannot listen");
  }
  *listener = std::move(socket);
  return Status();
}

Status ConnectTo(const std::string& address, Deadline deadline, Descriptor* peer) {
  sockaddr_un name;
  const socklen_t size = Fill(address, &name);
  Descriptor socket = NewSocket();
  if (!socket) return Failure("cannot make a socket");
  while (connect(socket.get(), reinterpret_cast<const sockaddr*>(&name), size) != 0) {
    if (errno != EAGAIN && errno != EINTR) {
      return Status::Error(Code::kPeer, "rendezvous: rank 0 does not listen at '%s': %s", address.c_str(), std::strerror(errno));
    }
    if (Clock::now() >= deadline) return Status::Error(Code::kTimeout, "rendezvous: rank 0 did not answer before the deadline");
    std::this_thread::sleep_for(std::chrono::milliseconds(1));  // its queue of connections is full
  }
  if (!SameUser(socket.get())) return Status::Error(Code::kPeer, "rendezvous: '%s' belongs to another user", address.c_str());
  *peer = std::move(socket);
  return Status();
}

Descriptor AcceptFrom(int listener) {
  Descriptor peer(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  return peer && SameUser(peer.get()) ? std::move(peer) : Descriptor();
}

Status SendPacket(int peer, std::span<const std::byte> bytes, std::span<const int> descriptors, Deadline deadline) {
  iovec data = {const_cast<std::byte*>(bytes.data()), bytes.size()};
  std::vector<std::byte> control(descriptors.empty() ? 0 : CMSG_SPACE(descriptors.size_bytes()));
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  if (!descriptors.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(head), descriptors.data(), descriptors.size_bytes());
  }
  while (sendmsg(peer, &message, MSG_NOSIGNAL) < 0) {
    // ETOOMANYREFS: too many descriptors are on their way to ranks that have not yet taken theirs.
    if (errno != EAGAIN && errno != EINTR && errno != ETOOMANYREFS) return Failure("cannot send");
    if (Clock::now() >= deadline) return Failure("cannot send before the deadline");
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return Status();
}

Status ReceivePacket(int peer, std::span<std::byte> bytes, size_t most, std::vector<Descriptor>* descriptors) {
  iovec data = {bytes.data(), bytes.size()};
  std::vector<std::byte> control(CMSG_SPACE(most * sizeof(int)));
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t got;
  do {
    got = recvmsg(peer, &message, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return Failure("cannot receive");
  for (cmsghdr* head = CMSG_FIRSTHDR(&message); head != nullptr; head = CMSG_NXTHDR(&message, head)) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
    for (size_t i = 0; i < (head->cmsg_len - CMSG_LEN(0)) / sizeof(int); ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(head) + i * sizeof(int), sizeof(fd));
      descriptors->emplace_back(fd);
    }
  }
  if (got == 0) return Status::Error(Code::kPeer, "rendezvous: the connection was closed");
  if (static_cast<size_t>(got) != bytes.size() || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
    return Status::Error(Code::kPeer, "rendezvous: a packet of %zd bytes and %zu descriptors, expected %zu and up to %zu%s", got,
                         descriptors->size(), bytes.size(), most,
                         (message.msg_flags & MSG_CTRUNC) != 0 ? "; is the limit of open files too low?" : "");
  }
  return Status();
}

std::vector<size_t> AwaitReadable(std::span<const int> sockets, Deadline deadline) {
  std::vector<pollfd> polls;
  for (const int socket : sockets) polls.push_back({socket, POLLIN, 0});
  int ready;
  do {
    ready = poll(polls.data(), polls.size(), Milliseconds(deadline));
  } while ((ready < 0 && errno == EINTR) || (ready == 0 && Clock::now() < deadline));
  std::vector<size_t> readable;
  for (size_t i = 0; i < polls.size(); ++i) {
    if (polls[i].revents != 0) readable.push_back(i);
  }
  return readable;
}

}  // namespace addnorm::comm
