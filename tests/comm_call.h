// SPDX-License-Identifier: Apache-2.0
// One collective call with small integers as payload, checked byte by byte: what the tests of all transports run, in threads and in worker
// processes. Element i of row r of rank q's partial in call c is a known integer; results are the sums over ranks, in rank order.
#ifndef ADDNORM_TESTS_COMM_CALL_H_
#define ADDNORM_TESTS_COMM_CALL_H_

#include <functional>
#include <string>
#include <vector>

#include "addnorm/communicator.h"

namespace addnorm::test {

/// Where a call can be disturbed. The first is before Begin, the last after Commit, before the results are copied.
enum class Phase : int { kBeforeHeader, kInMatmul, kAfterPublish, kInReduce, kBeforeCommit, kAfterCommit };
constexpr int kPhases = 6;

struct TestCall {
  size_t rows = 5, cols = 7, blocks = 2;
  uint64_t number = 0;     // of the payload
  CallHeader header = {};  // added to what the sizes above say
  bool overlap = true;     // publishes block b + 1 before it collects block b
  Deadline deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  /// Called when `rank` passes a phase of block b.
  std::function<void(Phase, size_t)> at = [](Phase, size_t) {};
};

/// Runs the call. `output` ([rows, cols] floats) is written after Commit only. A wrong element is an error of code kInternal.
Status RunTestCall(Communicator& communicator, const TestCall& call, std::vector<float>* output);
/// What `output` holds after a successful call of so many ranks.
std::vector<float> ExpectedOutput(int ranks, const TestCall& call);

}  // namespace addnorm::test
#endif  // ADDNORM_TESTS_COMM_CALL_H_
