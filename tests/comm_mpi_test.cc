// SPDX-License-Identifier: Apache-2.0
// Ranks of an MPI program, without torch: run by mpirun with 2 and 4 processes. Checks data and failures over shared memory and messages.
#include "addnorm/mpi.h"

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <thread>

#include "tests/comm_call.h"

namespace addnorm::test {
namespace {

int failures = 0;

void Require(bool condition, const char* what, const char* text = "") {
  if (condition) return;
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  std::fprintf(stderr, "rank %d: %s: %s\n", rank, what, text);
  ++failures;
}

Deadline In(int milliseconds) { return std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds); }

std::unique_ptr<Communicator> Make(MpiTransport transport, const char* expected) {
  std::unique_ptr<Communicator> group;
  const Status made = MakeMpiCommunicator(MPI_COMM_WORLD, &group, transport);
  Require(made.ok(), "MakeMpiCommunicator", made.message());
  if (!made.ok()) MPI_Abort(MPI_COMM_WORLD, 1);
  Require(std::strcmp(group->transport(), expected) == 0, "transport", group->transport());
  return group;
}

void DataArrives(Communicator& group) {
  for (uint64_t i = 0; i < 30; ++i) {
    const TestCall call = {.rows = i * i * 3, .cols = 1 + i * 7 % 50, .blocks = 1 + i % 5, .number = i};
    std::vector<float> output;
    const Status status = RunTestCall(group, call, &output);
    Require(status.ok(), "call", status.message());
    Require(output == ExpectedOutput(group.size(), call), "output");
  }
}

/// 40 MiB cross: more than any eager limit.
void MuchDataArrives(Communicator& group) {
  const TestCall call = {.rows = 640, .cols = 8192, .blocks = 3, .number = 5};
  std::vector<float> output;
  const Status status = RunTestCall(group, call, &output);
  Require(status.ok(), "large call", status.message());
  Require(output == ExpectedOutput(group.size(), call), "large output");
}

void Fails(Communicator& group, const TestCall& call, Code code, const char* text) {
  std::vector<float> output = {-1.0f};
  const Status status = RunTestCall(group, call, &output);
  Require(status.code() == code, "code", status.message());
  Require(std::strstr(status.message(), text) != nullptr, text, status.message());
  Require(output == std::vector<float>{-1.0f}, "output is touched", status.message());
}

void FailuresReachAll(MpiTransport transport, const char* name) {
  int rank = 0, ranks = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  const int last = ranks - 1;
  {
    const std::unique_ptr<Communicator> group = Make(transport, name);
    Fails(*group, {.header = {.refused = rank == last ? 4u : 0u}, .deadline = In(20000)}, Code::kPeer, "refused its arguments (bad value)");
    DataArrives(*group);
    Fails(*group, {.cols = rank == last ? size_t{8} : size_t{9}, .deadline = In(20000)}, Code::kPeer, "disagree: cols is 8 on rank");
    Fails(*group, {.deadline = In(20000)}, Code::kPeer, "disagree: cols is 8 on rank");
    MPI_Barrier(MPI_COMM_WORLD);
  }
  const std::unique_ptr<Communicator> group = Make(transport, name);
  DataArrives(*group);
  if (rank != last) Fails(*group, {.deadline = In(300)}, Code::kTimeout, ("rank " + std::to_string(last)).c_str());
  MPI_Barrier(MPI_COMM_WORLD);
}

void RankThatDoesNotTakePart() {
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  if (rank == 0) {
    std::unique_ptr<Communicator> group;
    const Status made = MakeMpiCommunicator(MPI_COMM_WORLD, &group, MpiTransport::kBest, std::chrono::milliseconds(200));
    Require(made.code() == Code::kTimeout, "no partners", made.message());
  }
  std::unique_ptr<Communicator> group;
  Require(MakeMpiCommunicator(MPI_COMM_NULL, &group).code() == Code::kBadValue, "MPI_COMM_NULL");
}

int Main() {
  int rank = 0, ranks = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  for (const auto& [transport, name] :
       {std::pair(MpiTransport::kBest, "shared memory"), std::pair(MpiTransport::kMessages, "messages (mpi)")}) {
    {
      const std::unique_ptr<Communicator> group = Make(transport, name);
      DataArrives(*group);
      MuchDataArrives(*group);
    }
    FailuresReachAll(transport, name);
  }
  MPI_Comm half;  // a group of some ranks, whose numbers differ from those of the world
  MPI_Comm_split(MPI_COMM_WORLD, rank % 2, -rank, &half);
  {
    std::unique_ptr<Communicator> group;
    const Status made = MakeMpiCommunicator(half, &group);
    Require(made.ok(), "half", made.message());
    if (made.ok()) DataArrives(*group);
  }
  MPI_Comm_free(&half);
  RankThatDoesNotTakePart();
  int all = 0;
  MPI_Allreduce(&failures, &all, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
  if (rank == 0) std::printf("%d ranks: %d failures\n", ranks, all);
  return all == 0 ? 0 : 1;
}

}  // namespace
}  // namespace addnorm::test

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  const int result = addnorm::test::Main();
  MPI_Finalize();
  return result;
}
