// SPDX-License-Identifier: Apache-2.0
// A message engine for tests: one socket to each other rank, truly asynchronous, notices the death of a rank and names it.
#ifndef ADDNORM_TESTS_COMM_ENGINE_H_
#define ADDNORM_TESTS_COMM_ENGINE_H_

#include <memory>
#include <vector>

#include "addnorm/messages.h"

namespace addnorm::test {

/// sockets[q][p]: rank q's end of the connection to rank p; -1 for q == p. Close-on-exec.
std::vector<std::vector<int>> MakeMesh(int ranks);
void CloseMesh(const std::vector<std::vector<int>>& mesh, int but_rank = -1);

/// An engine over sockets[p], one per rank, which it closes when released.
MessageEngine MakeSocketEngine(std::vector<int> sockets, int rank);

}  // namespace addnorm::test
#endif  // ADDNORM_TESTS_COMM_ENGINE_H_
