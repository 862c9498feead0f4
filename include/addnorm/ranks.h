// SPDX-License-Identifier: Apache-2.0
// Making the ranks of a group: threads of one process, and processes of one host over shared memory. addnorm/messages.h makes them from
// a message engine, addnorm/mpi.h from an MPI communicator.
#ifndef ADDNORM_RANKS_H_
#define ADDNORM_RANKS_H_

#include <memory>
#include <span>
#include <string>

#include "addnorm/communicator.h"

namespace addnorm {

/// Fills `ranks` with the communicators of a new group, one for each of ranks.size() threads (1 to 1024) of this process.
[[nodiscard]] ADDNORM_API Status MakeThreadRanks(std::span<std::unique_ptr<Communicator>> ranks);

/// Equal on two processes if they can share memory as below: one boot of one kernel, one network namespace, one user.
ADDNORM_API std::string HostId();

/// Processes of one host, 1 to 64. Rank 0 listens, its caller hands address() to the other ranks (over MPI, a torch store, the environment
/// or the command line), then all ranks wait for each other: rank 0 in Accept, the others in JoinSharedMemory.
///
/// Rows and progress lie in sealed memfds without names; nothing is left behind, whatever kills a rank. The socket has an abstract name
/// of 128 random bits, exists until Accept returns, and admits processes of this user only. The death of a rank is seen within 10 ms by
/// ranks that wait.
class ADDNORM_API SharedMemoryHost {
 public:
  [[nodiscard]] static Status Listen(int ranks, std::unique_ptr<SharedMemoryHost>* host);
  virtual ~SharedMemoryHost() = default;
  /// Printable, without spaces, at most 64 characters. Who has it, and is this user, can join.
  virtual const std::string& address() const = 0;
  /// Rank 0: returns when all ranks have joined, or an error that names a rank that has not.
  [[nodiscard]] virtual Status Accept(Deadline deadline, std::unique_ptr<Communicator>* rank) = 0;
};

/// Ranks 1 to ranks - 1.
[[nodiscard]] ADDNORM_API Status JoinSharedMemory(const std::string& address, int rank, int ranks, Deadline deadline,
                                                  std::unique_ptr<Communicator>* out);

}  // namespace addnorm
#endif  // ADDNORM_RANKS_H_
