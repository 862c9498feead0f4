// SPDX-License-Identifier: Apache-2.0
// A Communicator over an MPI communicator. Header only: compiled and linked with the caller's MPI (3.0 or later); libaddnorm knows none.
//
// Ranks of one host meet over MPI once and then use shared memory: fast, and a rank that dies is named within 10 ms. Ranks of several hosts
// exchange messages over MPI: a rank that is missing at the deadline is named, and every rank is told. What plain MPI cannot do: when a
// process dies, most launchers kill the others; where they do not, MPI itself may hang in its own calls, and its communicators cannot be
// used again without ULFM. The library sets MPI_ERRORS_RETURN on communicators of its own, never on the caller's.
//
// MPI is called by the thread that uses the communicator (MPI_THREAD_FUNNELED is enough if that is the main thread). Making and destroying
// are collective; destroy before MPI_Finalize.
#ifndef ADDNORM_MPI_H_
#define ADDNORM_MPI_H_

#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "addnorm/mpi_engine.h"
#include "addnorm/ranks.h"

namespace addnorm {

/// kBest: shared memory where all ranks are on one host and it works on all, else messages.
enum class MpiTransport : int { kBest, kSharedMemory, kMessages };

namespace mpi {

/// What making a communicator exchanges. On the heap, and left there when a deadline passes: MPI may still write to it.
struct Meeting {
  struct Card {
    int transport = 0;
    char host[124] = "";
  };
  MPI_Comm data = MPI_COMM_NULL, news = MPI_COMM_NULL;
  int rank = 0, ranks = 1;
  Card mine;
  std::vector<Card> cards;
  char address[96] = "";
  int works = 0, all_work = 0;
  bool agreed = false;  // all ranks know whether memory can be shared
  MPI_Request request = MPI_REQUEST_NULL;
  Deadline deadline;

  Status Finish(const char* what, int started) {
    int error = started, done = 0;
    const auto test = [&] { return (error = MPI_Test(&request, &done, MPI_STATUS_IGNORE)) != MPI_SUCCESS || done != 0; };
    if (started == MPI_SUCCESS && !TestUntil(deadline, test)) {
      return Status::Error(Code::kTimeout, "MakeMpiCommunicator: rank %d of %d: %s: no answer before the deadline", rank, ranks, what);
    }
    if (error == MPI_SUCCESS) return Status();
    return Status::Error(Code::kPeer, "MakeMpiCommunicator: rank %d of %d: %s: %s", rank, ranks, what, ErrorText(error).c_str());
  }
};

/// Communicators of our own, and everybody's card.
inline Status Introduce(MPI_Comm comm, Meeting& meeting) {
  for (MPI_Comm* own : {&meeting.data, &meeting.news}) {
    if (const Status made = meeting.Finish("MPI_Comm_idup", MPI_Comm_idup(comm, own, &meeting.request)); !made.ok()) return made;
    MPI_Comm_set_errhandler(*own, MPI_ERRORS_RETURN);
  }
  std::snprintf(meeting.mine.host, sizeof(meeting.mine.host), "%s", HostId().c_str());
  meeting.cards.resize(static_cast<size_t>(meeting.ranks));
  constexpr int kBytes = sizeof(Meeting::Card);
  if (const Status gathered = meeting.Finish("MPI_Iallgather", MPI_Iallgather(&meeting.mine, kBytes, MPI_BYTE, meeting.cards.data(), kBytes,
                                                                              MPI_BYTE, meeting.data, &meeting.request));
      !gathered.ok()) {
    return gathered;
  }
  for (size_t q = 1; q < meeting.cards.size(); ++q) {
    if (meeting.cards[q].transport == meeting.cards[0].transport) continue;
    return Status::Error(Code::kPeer, "MakeMpiCommunicator: transport is %d on rank %zu and %d on rank 0", meeting.cards[q].transport, q,
                         meeting.cards[0].transport);
  }
  return Status();
}

/// Rank 0's address reaches the others over MPI. OK on all ranks or on none.
inline Status MakeShared(Meeting& meeting, std::unique_ptr<Communicator>* out) {
  for (size_t q = 1; q < meeting.cards.size(); ++q) {
    if (std::memcmp(meeting.cards[q].host, meeting.cards[0].host, sizeof(meeting.mine.host)) == 0) continue;
    meeting.agreed = true;
    return Status::Error(Code::kUnsupported, "MakeMpiCommunicator: rank %zu is on another host than rank 0, or of another user", q);
  }
  std::unique_ptr<SharedMemoryHost> host;
  Status mine;
  if (meeting.rank == 0) mine = SharedMemoryHost::Listen(meeting.ranks, &host);
  if (host != nullptr) std::snprintf(meeting.address, sizeof(meeting.address), "%s", host->address().c_str());
  const Status told =
      meeting.Finish("MPI_Ibcast", MPI_Ibcast(meeting.address, sizeof(meeting.address), MPI_BYTE, 0, meeting.data, &meeting.request));
  if (!told.ok()) return told;
  if (mine.ok()) {
    mine = meeting.rank == 0 ? host->Accept(meeting.deadline, out)
                             : JoinSharedMemory(meeting.address, meeting.rank, meeting.ranks, meeting.deadline, out);
  }
  meeting.works = mine.ok();
  const Status agreed = meeting.Finish(
      "MPI_Iallreduce", MPI_Iallreduce(&meeting.works, &meeting.all_work, 1, MPI_INT, MPI_MIN, meeting.data, &meeting.request));
  if (!agreed.ok()) return agreed;
  meeting.agreed = true;
  if (meeting.all_work != 0) return Status();
  out->reset();
  return mine.ok() ? Status::Error(Code::kPeer, "MakeMpiCommunicator: another rank cannot share memory") : mine;
}

}  // namespace mpi

/// Collective over `comm`, an intracommunicator, which is not used after. Fails within `timeout` if a rank does not take part. When it has
/// failed, what was started stays with MPI until MPI_Finalize.
[[nodiscard]] inline Status MakeMpiCommunicator(MPI_Comm comm, std::unique_ptr<Communicator>* out,
                                                MpiTransport transport = MpiTransport::kBest,
                                                std::chrono::nanoseconds timeout = std::chrono::seconds(30)) {
  int on = 0, over = 0, inter = 0;
  MPI_Initialized(&on);
  MPI_Finalized(&over);
  if (on == 0 || over != 0) return Status::Error(Code::kBadValue, "MakeMpiCommunicator: MPI is not initialised, or finalised");
  if (comm == MPI_COMM_NULL || MPI_Comm_test_inter(comm, &inter) != MPI_SUCCESS || inter != 0) {
    return Status::Error(Code::kBadValue, "MakeMpiCommunicator: comm is null or an intercommunicator, expected an intracommunicator");
  }
  auto meeting = std::make_unique<mpi::Meeting>();
  meeting->deadline = std::chrono::steady_clock::now() + timeout;
  meeting->mine.transport = static_cast<int>(transport);
  MPI_Comm_rank(comm, &meeting->rank);
  MPI_Comm_size(comm, &meeting->ranks);
  Status made = mpi::Introduce(comm, *meeting);
  meeting->agreed = made.ok() && transport == MpiTransport::kMessages;
  if (made.ok() && transport != MpiTransport::kMessages) made = mpi::MakeShared(*meeting, out);
  if (meeting->agreed && (transport == MpiTransport::kMessages || (transport == MpiTransport::kBest && !made.ok()))) {
    return mpi::MakeMessages(meeting->data, meeting->news, meeting->rank, meeting->ranks, out);
  }
  if (!made.ok()) {
    (void)meeting.release();  // on purpose
    return made;
  }
  MPI_Comm_free(&meeting->news);
  MPI_Comm_free(&meeting->data);
  return made;
}

}  // namespace addnorm
#endif  // ADDNORM_MPI_H_
