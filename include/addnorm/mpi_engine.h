// SPDX-License-Identifier: Apache-2.0
// The message engine of addnorm/mpi.h. Header only, for the same reason.
#ifndef ADDNORM_MPI_ENGINE_H_
#define ADDNORM_MPI_ENGINE_H_

// Not MPI's old C++ bindings, which would need a library of their own.
#ifndef OMPI_SKIP_MPICXX
#define OMPI_SKIP_MPICXX
#endif
#ifndef MPICH_SKIP_MPICXX
#define MPICH_SKIP_MPICXX
#endif
#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "addnorm/messages.h"

namespace addnorm::mpi {

/// Tests until `done()` or the deadline: soon again at first, then without taking the CPU from the ranks that are waited for.
template <typename Done>
bool TestUntil(Deadline deadline, const Done& done) {
  const auto start = std::chrono::steady_clock::now();
  for (auto now = start; !done(); now = std::chrono::steady_clock::now()) {
    if (now >= deadline) return false;
    if (now - start < std::chrono::microseconds(200)) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }
  return true;
}

inline std::string ErrorText(int result) {
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  return MPI_Error_string(result, text, &length) == MPI_SUCCESS ? text : "MPI error " + std::to_string(result);
}

/// Messages between pairs of ranks, so that it is known which ranks have not answered. News of failures have a communicator of their own.
class Engine {
 public:
  Engine(MPI_Comm data, MPI_Comm news) : data_(data), news_(news) {
    MPI_Comm_rank(data, &rank_);
    MPI_Comm_size(data, &ranks_);
    failed_ranks_.resize(static_cast<size_t>(ranks_));
  }

  int32_t Start(const MessageExchange& exchange, uint64_t* ticket, char* error, size_t error_bytes) {
    Flight& flight = flights_[*ticket = ++last_];
    const int tag = static_cast<int>(last_ % 32768);
    const char* send = static_cast<const char*>(exchange.send);
    char* recv = static_cast<char*>(exchange.recv);
    int result = MPI_SUCCESS;
    for (int q = 0; q < ranks_; ++q) {
      const size_t out = exchange.send_bytes[exchange.kind == 0 ? q : 0], in = exchange.recv_bytes[q];
      if (q == rank_ && in != 0) std::memcpy(recv, send, in);
      constexpr size_t kPiece = size_t{1} << 30;  // MPI counts in int
      for (size_t at = 0; q != rank_ && at < in && result == MPI_SUCCESS; at += kPiece) {
        result = MPI_Irecv(recv + at, static_cast<int>(std::min(kPiece, in - at)), MPI_BYTE, q, tag, data_, flight.Add(q));
      }
      for (size_t at = 0; q != rank_ && at < out && result == MPI_SUCCESS; at += kPiece) {
        result = MPI_Isend(send + at, static_cast<int>(std::min(kPiece, out - at)), MPI_BYTE, q, tag, data_, flight.Add(q));
      }
      if (exchange.kind == 0) send += out;
      recv += in;
    }
    return result == MPI_SUCCESS ? kMessageOk : Say(kMessageFailed, ErrorText(result), error, error_bytes);
  }

  int32_t Wait(uint64_t ticket, int64_t timeout_ns, char* error, size_t error_bytes) {
    Flight& flight = flights_[ticket];
    int result = MPI_SUCCESS, done = 0;
    bool told = false;
    const auto test = [&] {
      result = MPI_Testall(static_cast<int>(flight.requests.size()), flight.requests.data(), &done, MPI_STATUSES_IGNORE);
      return result != MPI_SUCCESS || done != 0 || (told = Hear());
    };
    const bool in_time = TestUntil(std::chrono::steady_clock::now() + std::chrono::nanoseconds(timeout_ns), test);
    if (result != MPI_SUCCESS) return Say(kMessageFailed, ErrorText(result), error, error_bytes);
    if (told) return Say(heard_.result, heard_.text, error, error_bytes);
    if (!in_time) return Say(kMessageLate, "no answer before the deadline from rank" + Missing(flight), error, error_bytes);
    flights_.erase(ticket);
    return kMessageOk;
  }

  void Fail(int32_t result, const char* text) {
    failed_ = true;
    saying_.result = result;
    std::snprintf(saying_.text, sizeof(saying_.text), "%s", text);
    for (int q = 0; q < ranks_; ++q) {
      Flight& flight = flights_[0];
      if (q != rank_) MPI_Isend(&saying_, sizeof(saying_), MPI_BYTE, q, 0, news_, flight.Add(q));
    }
  }

  void CallRoll(int64_t timeout_ns, uint8_t* failed) {
    failed_ranks_[static_cast<size_t>(rank_)] = 1;
    const auto all = [&] {
      while (Hear()) {
      }
      return std::ranges::count(failed_ranks_, uint8_t{1}) == ranks_;
    };
    (void)TestUntil(std::chrono::steady_clock::now() + std::chrono::nanoseconds(timeout_ns), all);
    std::ranges::copy(failed_ranks_, failed);
  }

  /// True if this may be destroyed. After a failure messages may still be under way, and freeing a communicator might wait for the dead.
  bool Release() {
    int over = 0;
    if (failed_ || MPI_Finalized(&over) != MPI_SUCCESS || over != 0) return false;
    MPI_Comm_free(&news_);
    MPI_Comm_free(&data_);
    return true;
  }

 private:
  struct Flight {
    std::vector<MPI_Request> requests;
    std::vector<int> peers;
    MPI_Request* Add(int peer) {
      peers.push_back(peer);
      return &requests.emplace_back(MPI_REQUEST_NULL);
    }
  };
  struct News {
    int32_t result = kMessageOk;
    char text[252] = "";
  };

  static int32_t Say(int32_t result, const std::string& text, char* error, size_t error_bytes) {
    std::snprintf(error, error_bytes, "%s", text.c_str());
    return result;
  }
  static std::string Missing(const Flight& flight) {
    std::string names;
    for (size_t i = 0; i < flight.requests.size(); ++i) {
      int done = 0;
      MPI_Request_get_status(flight.requests[i], &done, MPI_STATUS_IGNORE);
      const std::string name = " " + std::to_string(flight.peers[i]);
      if (done == 0 && (names + " ").find(name + " ") == std::string::npos) names += name;
    }
    return names;
  }
  bool Hear() {
    int there = 0;
    MPI_Status from;
    if (MPI_Iprobe(MPI_ANY_SOURCE, 0, news_, &there, &from) != MPI_SUCCESS || there == 0) return false;
    failed_ranks_[static_cast<size_t>(from.MPI_SOURCE)] = 1;
    return MPI_Recv(&heard_, sizeof(heard_), MPI_BYTE, from.MPI_SOURCE, 0, news_, MPI_STATUS_IGNORE) == MPI_SUCCESS;
  }

  MPI_Comm data_, news_;
  int rank_ = 0, ranks_ = 1;
  uint64_t last_ = 0;
  bool failed_ = false;
  News saying_, heard_;
  std::vector<uint8_t> failed_ranks_;
  std::map<uint64_t, Flight> flights_;
};

inline Status MakeMessages(MPI_Comm data, MPI_Comm news, int rank, int ranks, std::unique_ptr<Communicator>* out) {
  return MakeMessageRanks(
      {.context = new Engine(data, news),
       .name = "mpi",
       .rank = rank,
       .ranks = ranks,
       .start = [](void* context, const MessageExchange* exchange, int64_t, uint64_t* ticket, char* error,
                   size_t bytes) { return static_cast<Engine*>(context)->Start(*exchange, ticket, error, bytes); },
       .wait = [](void* context, uint64_t ticket, int64_t timeout, char* error,
                  size_t bytes) { return static_cast<Engine*>(context)->Wait(ticket, timeout, error, bytes); },
       .release =
           [](void* context) {
             if (!static_cast<Engine*>(context)->Release()) return 1;
             delete static_cast<Engine*>(context);
             return 0;
           },
       .fail = [](void* context, int32_t result, const char* text) { static_cast<Engine*>(context)->Fail(result, text); },
       .roll_call = [](void* context, int64_t timeout, uint8_t* failed) { static_cast<Engine*>(context)->CallRoll(timeout, failed); }},
      out);
}

}  // namespace addnorm::mpi
#endif  // ADDNORM_MPI_ENGINE_H_
