// SPDX-License-Identifier: Apache-2.0
// The communicator over shared words: one state machine for threads and for processes. Only where the rows lie differs: `Arenas`.
#ifndef ADDNORM_SRC_COMM_BOARD_RANKS_H_
#define ADDNORM_SRC_COMM_BOARD_RANKS_H_

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "addnorm/communicator.h"
#include "src/comm/board.h"

namespace addnorm::comm {

/// The memory of partials and results: one arena per rank, written by that rank, read by all.
class Arenas {
 public:
  virtual ~Arenas() = default;
  virtual const char* transport() const = 0;
  /// This rank's arena holds at least `bytes`. Others may still read its results of the last call.
  virtual Status Reserve(size_t bytes) = 0;
  /// After every rank has reserved `bytes`: where they are here.
  virtual Status Attach(size_t bytes, std::span<std::byte*> arenas) = 0;
};

/// `words` are those of `board`'s group and stay mapped while `arenas` lives.
std::unique_ptr<Communicator> MakeBoardRanks(std::unique_ptr<Arenas> arenas, void* words, int ranks, int rank, std::span<const int> lives);
/// The first step of a new communicator: waits until all ranks have one.
Status Join(Communicator& communicator, Deadline deadline);

}  // namespace addnorm::comm
#endif  // ADDNORM_SRC_COMM_BOARD_RANKS_H_
