// SPDX-License-Identifier: Apache-2.0
// Groups of ranks over each transport, whose ranks are threads of the test.
#ifndef ADDNORM_TESTS_COMM_GROUP_H_
#define ADDNORM_TESTS_COMM_GROUP_H_

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "addnorm/ranks.h"
#include "tests/comm_engine.h"

namespace addnorm::test {

enum class Transport { kThreads, kSharedMemory, kMessages };

inline std::string NameOf(Transport transport) {
  return transport == Transport::kThreads ? "Threads" : transport == Transport::kSharedMemory ? "SharedMemory" : "Messages";
}

inline Deadline In(std::chrono::milliseconds time) { return std::chrono::steady_clock::now() + time; }

using Ranks = std::vector<std::unique_ptr<Communicator>>;

/// Runs body(r) in a thread for each rank.
inline void ForRanks(int ranks, const std::function<void(int)>& body) {
  std::vector<std::thread> threads;
  for (int r = 0; r < ranks; ++r) threads.emplace_back([&body, r] { body(r); });
  for (std::thread& thread : threads) thread.join();
}

inline Ranks MakeRanks(Transport transport, int ranks) {
  Ranks group(static_cast<size_t>(ranks));
  std::vector<Status> made(group.size());
  if (transport == Transport::kThreads) {
    made[0] = MakeThreadRanks(group);
  } else if (transport == Transport::kSharedMemory) {
    std::unique_ptr<SharedMemoryHost> host;
    made[0] = SharedMemoryHost::Listen(ranks, &host);
    ForRanks(made[0].ok() ? ranks : 0, [&](int r) {
      const auto i = static_cast<size_t>(r);
      made[i] = r == 0 ? host->Accept(In(std::chrono::seconds(30)), &group[0])
                       : JoinSharedMemory(host->address(), r, ranks, In(std::chrono::seconds(30)), &group[i]);
    });
  } else {
    const std::vector<std::vector<Line>> mesh = MakeMesh(ranks);
    for (size_t r = 0; r < group.size(); ++r) made[r] = MakeMessageRanks(MakeSocketEngine(mesh[r], static_cast<int>(r)), &group[r]);
  }
  for (const Status& status : made) EXPECT_TRUE(status.ok()) << status.message();
  return group;
}

}  // namespace addnorm::test
#endif  // ADDNORM_TESTS_COMM_GROUP_H_
