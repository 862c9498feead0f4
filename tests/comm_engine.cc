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
#include <set>
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

struct News {
  int32_t result = kMessageOk;
  uint64_t ticket = 0;  // the first exchange that its sender has not had its part of
  char text[244] = "";
};

class Engine {
 public:
  Engine(std::vector<Line> lines, int rank)
      : lines_(std::move(lines)), sends_(lines_.size()), recvs_(lines_.size()), rank_(rank), failed_(lines_.size()) {}
  ~Engine() { CloseMesh({lines_}); }

  int32_t Start(const MessageExchange& exchange, uint64_t* ticket, char* error, size_t error_bytes) {
    *ticket = ++last_;
    open_.insert(last_);
    auto* send = static_cast<std::byte*>(const_cast<void*>(exchange.send));
    auto* recv = static_cast<std::byte*>(exchange.recv);
    for (size_t q = 0; q < lines_.size(); ++q) {
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
    (void)Progress();  // Wait sees what is broken
    return kMessageOk;
  }

  int32_t Wait(uint64_t ticket, int64_t timeout_ns, char* error, size_t error_bytes) {
    const auto deadline = Clock::now() + std::chrono::nanoseconds(timeout_ns);
    for (;;) {
      const int broken = Progress();
      std::vector<pollfd> polls;
      std::string missing;
      for (size_t q = 0; q < lines_.size(); ++q) {
        if (Busy(recvs_[q], ticket) || Busy(sends_[q], ticket)) missing += " " + std::to_string(q);
        const int events = (recvs_[q].empty() ? 0 : POLLIN) | (sends_[q].empty() ? 0 : POLLOUT);
        if (events != 0) polls.push_back({lines_[q].data, static_cast<short>(events), 0});
        if (Hear(q)) polls.push_back({lines_[q].news, POLLIN, 0});
      }
      if (missing.empty()) {
        open_.erase(ticket);
        return kMessageOk;
      }
      // What an exchange before that one lacks is on its way.
      if (heard_.result != kMessageOk && heard_.ticket <= ticket) return Say(heard_.result, heard_.text, error, error_bytes);
      if (broken >= 0) return Say(kMessageFailed, "rank " + std::to_string(broken) + " has closed its connection", error, error_bytes);
      const auto left = deadline - Clock::now();
      if (left <= left.zero()) return Say(kMessageLate, "no answer before the deadline from rank" + missing, error, error_bytes);
      poll(polls.data(), polls.size(), static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(left).count()));
    }
  }

  void CallRoll(int64_t timeout_ns, uint8_t* failed) {
    const auto deadline = Clock::now() + std::chrono::nanoseconds(timeout_ns);
    do {
      std::vector<pollfd> polls;
      for (size_t q = 0; q < lines_.size(); ++q) {
        if (Hear(q) && failed_[q] == 0) polls.push_back({lines_[q].news, POLLIN, 0});
      }
      if (polls.empty()) break;
      poll(polls.data(), polls.size(), 1);
    } while (Clock::now() < deadline);
    std::ranges::copy(failed_, failed);
  }

  void Fail(int32_t result, const char* text) {
    News news = {.result = result, .ticket = open_.empty() ? last_ + 1 : *open_.begin()};
    std::snprintf(news.text, sizeof(news.text), "%s", text);
    for (const Line& line : lines_) {
      if (line.news >= 0) (void)send(line.news, &news, sizeof(news), MSG_DONTWAIT | MSG_NOSIGNAL);
    }
  }

 private:
  static bool Busy(const std::deque<Range>& ranges, uint64_t ticket) { return !ranges.empty() && ranges.front().ticket <= ticket; }

  static int32_t Say(int32_t result, const std::string& text, char* error, size_t error_bytes) {
    std::snprintf(error, error_bytes, "%s", text.c_str());
    return result;
  }

  /// Reads news of rank q. False if there will be none: it has left, which alone is no failure, for it may have done its part.
  bool Hear(size_t q) {
    if (lines_[q].news < 0) return false;
    News news;
    const ssize_t got = recv(lines_[q].news, &news, sizeof(news), MSG_DONTWAIT);
    if (got == sizeof(news)) failed_[q] = 1;
    if (got == sizeof(news) && (heard_.result == kMessageOk || news.ticket < heard_.ticket)) heard_ = news;
    return got != 0;
  }

  /// Moves what can be moved now. The rank whose connection is broken, or -1.
  int Progress() {
    for (size_t q = 0; q < lines_.size(); ++q) {
      if (!Move(sends_[q], [&](Range& r) { return send(lines_[q].data, r.data, r.bytes, MSG_DONTWAIT | MSG_NOSIGNAL); }) ||
          !Move(recvs_[q], [&](Range& r) { return recv(lines_[q].data, r.data, r.bytes, MSG_DONTWAIT); })) {
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

  const std::vector<Line> lines_;
  std::vector<std::deque<Range>> sends_, recvs_;
  const int rank_;
  uint64_t last_ = 0;
  std::set<uint64_t> open_;  // started, not yet waited for
  News heard_;
  std::vector<uint8_t> failed_;
};

}  // namespace

std::vector<std::vector<Line>> MakeMesh(int ranks) {
  std::vector<std::vector<Line>> mesh(static_cast<size_t>(ranks), std::vector<Line>(static_cast<size_t>(ranks)));
  for (size_t q = 0; q < mesh.size(); ++q) {
    for (size_t p = 0; p < q; ++p) {
      int data[2], news[2];
      if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, data) != 0 ||
          socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, news) != 0) {
        std::abort();
      }
      mesh[q][p] = {data[0], news[0]};
      mesh[p][q] = {data[1], news[1]};
    }
  }
  return mesh;
}

void CloseMesh(const std::vector<std::vector<Line>>& mesh, int but_rank) {
  for (size_t q = 0; q < mesh.size(); ++q) {
    for (const Line& line : mesh[q]) {
      if (static_cast<int>(q) == but_rank || line.data < 0) continue;
      close(line.data);
      close(line.news);
    }
  }
}

MessageEngine MakeSocketEngine(std::vector<Line> lines, int rank) {
  const auto ranks = static_cast<int32_t>(lines.size());
  return {.context = new Engine(std::move(lines), rank),
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
              },
          .fail = [](void* context, int32_t result, const char* text) { static_cast<Engine*>(context)->Fail(result, text); },
          .roll_call = [](void* context, int64_t timeout, uint8_t* failed) { static_cast<Engine*>(context)->CallRoll(timeout, failed); }};
}

}  // namespace addnorm::test
