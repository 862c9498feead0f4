// SPDX-License-Identifier: Apache-2.0
// A message engine for tests: two sockets to each other rank, for data and for bad news. Truly asynchronous; names the rank that has died.
#ifndef ADDNORM_TESTS_COMM_ENGINE_H_
#define ADDNORM_TESTS_COMM_ENGINE_H_

#include <memory>
#include <vector>

#include "addnorm/messages.h"

namespace addnorm::test {

struct Line {
  int data = -1, news = -1;
};
/// mesh[q][p]: rank q's end of the line to rank p; none for q == p. Close-on-exec.
std::vector<std::vector<Line>> MakeMesh(int ranks);
void CloseMesh(const std::vector<std::vector<Line>>& mesh, int but_rank = -1);

/// An engine over lines[p], one per rank, which it closes when released.
MessageEngine MakeSocketEngine(std::vector<Line> lines, int rank);

}  // namespace addnorm::test
#endif  // ADDNORM_TESTS_COMM_ENGINE_H_
