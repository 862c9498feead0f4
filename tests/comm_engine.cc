// SPDX-License-Identifier: Apache-2.0
#include "tests/comm_engine.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>

namespace addnorm::test {
namespace {

using Clock = std::chrono::steady_clock;

/// What is still to be sent to, or received from, one rank, in the order of the exchanges.
struct Range {
  std::byte* data;
  size_t bytes;
  uint64_t ticket;
};

class Engine {
 public:
  Engine(std::vector<int> sockets, int rank)
      : sockets_(std::move(sockets)), sends_(sockets_.size()), recvs_(sockets_.size()), rank_(rank) {}
  ~Engine() {
    for (const int socket : sockets_) {
      if (socket >= 0) close(socket);
    }
  }

  int32_t Start(const MessageExchange& exchange, uint64_t* ticket, char* error, size_t error_bytes) {
    *ticket = ++last_;
    auto* send = static_cast<std::byte*>(const_cast<void*>(exchange.send));
    auto* recv = static_cast<std::byte*>(exchange.recv);
    for (size_t q = 0; q < sockets_.size(); ++q) {
      const size_t out = exchange.send_bytes[exchange.kind == 0 ? q : 0], in = exchange.recv_bytes[q];
      if (static_cast<int>(q) == rank_) {
        if (out != in)
          return Say(kMessageFailed, "this rank would get " + std::to_string(in) + " bytes of " + std::to_string(out), error, error_bytes);
        if (in != 0) std::memcpy(recv, send, in);
      } else {
        sends_[q].push_back({send, out, *ticket});
        recvs_[q].push_back({recv, in, *ticket});
      }
      if (exchange.kind == 0) send += out;
      recv += in;
    }
    const int failed = Progress();
    return failed < 0 ? kMessageOk : Gone(failed, error, error_bytes);
  }

  int32_t Wait(uint64_t ticket, int64_t timeout_ns, char* error, size_t error_bytes) {
    const auto deadline = Clock::now() + std::chrono::nanoseconds(timeout_ns);
    for (;;) {
      if (const int failed = Progress(); failed >= 0) return Gone(failed, error, error_bytes);
      std::vector<pollfd> polls;
      std::string missing;
      for (size_t q = 0; q < sockets_.size(); ++q) {
        const bool in = Busy(recvs_[q], ticket), out = Busy(sends_[q], ticket);
        if (in || out) missing += " " + std::to_string(q);
        const int events = (recvs_[q].empty() ? 0 : POLLIN) | (sends_[q].empty() ? 0 : POLLOUT);
        if (events != 0) polls.push_back({sockets_[q], static_cast<short>(events), 0});
      }
      if (missing.empty()) return kMessageOk;
      const auto left = deadline - Clock::now();
      if (left <= left.zero()) return Say(kMessageLate, "no answer before the deadline from rank" + missing, error, error_bytes);
      poll(polls.data(), polls.size(), static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(left).count()));
    }
  }

 private:
  static bool Busy(const std::deque<Range>& ranges, uint64_t ticket) { return !ranges.empty() && ranges.front().ticket <= ticket; }

  static int32_t Say(int32_t result, const std::string& text, char* error, size_t error_bytes) {
    std::snprintf(error, error_bytes, "%s", text.c_str());
    return result;
  }
  static int32_t Gone(int q, char* error, size_t error_bytes) {
    return Say(kMessageFailed, "rank " + std::to_string(q) + " has closed its connection", error, error_bytes);
  }

  /// Moves what can be moved now. The rank whose connection is broken, or -1.
  int Progress() {
    for (size_t q = 0; q < sockets_.size(); ++q) {
      if (!Move(sends_[q], [&](Range& r) { return send(sockets_[q], r.data, r.bytes, MSG_DONTWAIT | MSG_NOSIGNAL); }) ||
          !Move(recvs_[q], [&](Range& r) { return recv(sockets_[q], r.data, r.bytes, MSG_DONTWAIT); })) {
        return static_cast<int>(q);
      }
    }
    return -1;
  }

  template <typename Function>
  static bool Move(std::deque<Range>& ranges, const Function& move) {
    while (!ranges.empty()) {
      Range& range = ranges.front();
      if (range.bytes != 0) {
        const ssize_t moved = move(range);
        if (moved < 0 && (errno == EAGAIN || errno == EINTR)) return true;
        if (moved <= 0) return false;
        range.data += moved;
        range.bytes -= static_cast<size_t>(moved);
      }
      if (range.bytes == 0) ranges.pop_front();
    }
    return true;
  }

  const std::vector<int> sockets_;
  std::vector<std::deque<Range>> sends_, recvs_;
  const int rank_;
  uint64_t last_ = 0;
};

}  // namespace

std::vector<std::vector<int>> MakeMesh(int ranks) {
  std::vector<std::vector<int>> mesh(static_cast<size_t>(ranks), std::vector<int>(static_cast<size_t>(ranks), -1));
  for (size_t q = 0; q < mesh.size(); ++q) {
    for (size_t p = 0; p < q; ++p) {
      int ends[2];
      if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) std::abort();
      mesh[q][p] = ends[0];
      mesh[p][q] = ends[1];
    }
  }
  return mesh;
}

void CloseMesh(const std::vector<std::vector<int>>& mesh, int but_rank) {
  for (size_t q = 0; q < mesh.size(); ++q) {
    for (const int socket : mesh[q]) {
      if (static_cast<int>(q) != but_rank && socket >= 0) close(socket);
    }
  }
}

MessageEngine MakeSocketEngine(std::vector<int> sockets, int rank) {
  const auto ranks = static_cast<int32_t>(sockets.size());
  return {.context = new Engine(std::move(sockets), rank),
          .name = "sockets",
          .rank = rank,
          .ranks = ranks,
          .start = [](void* context, const MessageExchange* exchange, int64_t, uint64_t* ticket, char* error,
                      size_t bytes) { return static_cast<Engine*>(context)->Start(*exchange, ticket, error, bytes); },
          .wait = [](void* context, uint64_t ticket, int64_t timeout, char* error,
                     size_t bytes) { return static_cast<Engine*>(context)->Wait(ticket, timeout, error, bytes); },
          .release =
              [](void* context) {
                delete static_cast<Engine*>(context);
                return 0;
              }};
}

}  // namespace addnorm::test
