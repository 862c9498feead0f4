// SPDX-License-Identifier: Apache-2.0
// Memory that processes share: sealed memfds, and the group that is made of them.
#ifndef ADDNORM_SRC_COMM_SEGMENTS_H_
#define ADDNORM_SRC_COMM_SEGMENTS_H_

#include <memory>
#include <vector>

#include "addnorm/communicator.h"
#include "src/comm/descriptor.h"

namespace addnorm::comm {

/// A memfd of `bytes` that can neither shrink nor grow: nobody's access can end in SIGBUS. Pages appear when they are reserved or written.
Status MakeSegment(const char* name, size_t bytes, Descriptor* segment);
/// The address range of an arena. Sparse: larger than any machine's memory, so that it never has to grow.
size_t ArenaRange();
/// Becomes readable, or hung up, when this process ends: a pidfd, or on older kernels the reading end of a pipe that `keep` keeps open.
/// The pipe is the poorer one: forked children keep it open, too.
Status MakeLife(Descriptor* life, Descriptor* keep);
Status MakePipeLife(Descriptor* life, Descriptor* keep);

/// What a process holds of its group.
struct Segments {
  Descriptor words;
  std::vector<Descriptor> arenas, lives;  // one per rank
  Descriptor keep;
};

/// Checks the segments, maps them and waits for the other ranks.
Status MakeSharedRank(Segments segments, int ranks, int rank, Deadline deadline, std::unique_ptr<Communicator>* out);

}  // namespace addnorm::comm
#endif  // ADDNORM_SRC_COMM_SEGMENTS_H_
