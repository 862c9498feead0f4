// SPDX-License-Identifier: Apache-2.0
// Shared memory: the rendezvous and who is let in, how a death is seen, and what is left behind.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>

#include "src/comm/death_mark.h"
#include "src/comm/segments.h"
#include "tests/comm_call.h"
#include "tests/comm_group.h"

namespace addnorm::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

size_t Descriptors() {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator()));
}

std::string Maps() {
  std::ifstream file("/proc/self/maps");
  return {std::istreambuf_iterator<char>(file), {}};
}

std::unique_ptr<SharedMemoryHost> Listen(int ranks) {
  std::unique_ptr<SharedMemoryHost> host;
  const Status status = SharedMemoryHost::Listen(ranks, &host);
  EXPECT_TRUE(status.ok()) << status.message();
  return host;
}

TEST(CommHost, RefusesWhatCannotBe) {
  std::unique_ptr<SharedMemoryHost> host;
  std::unique_ptr<Communicator> rank;
  for (const int ranks : {-1, 0, 65}) {
    EXPECT_THAT(SharedMemoryHost::Listen(ranks, &host).message(), HasSubstr("ranks is " + std::to_string(ranks) + ", expected 1 to 64"));
  }
  Ranks none, many(1025);
  EXPECT_THAT(MakeThreadRanks(none).message(), HasSubstr("0 ranks, expected 1 to 1024"));
  EXPECT_THAT(MakeThreadRanks(many).message(), HasSubstr("1025 ranks, expected 1 to 1024"));
  const std::string address = Listen(2)->address();  // nobody listens any more
  EXPECT_LE(address.size(), 64u);
  for (const int r : {-1, 0, 2}) {
    EXPECT_THAT(JoinSharedMemory(address, r, 2, In(seconds(1)), &rank).message(), HasSubstr("rank is " + std::to_string(r)));
  }
  for (const std::string& bad : {std::string(), std::string("addnorm-"), address + "0", std::string(1000, 'a'), "x" + address.substr(1)}) {
    EXPECT_THAT(JoinSharedMemory(bad, 1, 2, In(seconds(1)), &rank).message(), HasSubstr("expected what SharedMemoryHost::address() gave"));
  }
  EXPECT_THAT(JoinSharedMemory(address, 1, 2, In(seconds(1)), &rank).message(), HasSubstr("rank 0 does not listen"));
  EXPECT_EQ(rank, nullptr);
}

TEST(CommHost, AddressesAreRandom) {
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) seen.insert(Listen(1)->address());
  EXPECT_EQ(seen.size(), 100u);
}

TEST(CommHost, MissingRanksAreNamed) {
  const auto host = Listen(4);
  Status joined;
  std::unique_ptr<Communicator> rank0, rank2;
  std::thread other([&] { joined = JoinSharedMemory(host->address(), 2, 4, In(seconds(30)), &rank2); });
  const Status accepted = host->Accept(In(milliseconds(200)), &rank0);
  other.join();
  EXPECT_EQ(accepted.code(), Code::kTimeout);
  EXPECT_THAT(accepted.message(), HasSubstr("2 of 4 ranks joined before the deadline; missing: 1, 3"));
  EXPECT_STREQ(joined.message(), accepted.message()) << "who has joined hears of it";
  EXPECT_THAT(host->Accept(In(seconds(1)), &rank0).message(), HasSubstr("was called before"));
}

TEST(CommHost, RanksMustFitTogether) {
  struct Case {
    int rank, ranks;
    const char* text;
  };
  for (const Case& c : {Case{1, 3, "ranks is 3 on rank 1 and 2 on rank 0"}, Case{2, 3, "ranks is 3 on rank 2 and 2 on rank 0"}}) {
    const auto host = Listen(2);
    Status joined;
    std::unique_ptr<Communicator> rank0, other_rank;
    std::thread other([&] { joined = JoinSharedMemory(host->address(), c.rank, c.ranks, In(seconds(30)), &other_rank); });
    const Status accepted = host->Accept(In(seconds(30)), &rank0);
    other.join();
    EXPECT_THAT(accepted.message(), HasSubstr(c.text));
    EXPECT_STREQ(joined.message(), accepted.message());
  }
  const auto host = Listen(3);  // rank 1 twice
  Status joined[2];
  std::unique_ptr<Communicator> rank0, rank1[2];
  std::thread accept([&] { EXPECT_THAT(host->Accept(In(seconds(30)), &rank0).message(), HasSubstr("rank 1 joined twice")); });
  ForRanks(2, [&](int i) { joined[i] = JoinSharedMemory(host->address(), 1, 3, In(seconds(30)), &rank1[i]); });
  accept.join();
  for (const Status& status : joined) EXPECT_THAT(status.message(), HasSubstr("rank 1 joined twice"));
}

/// A raw connection to a host.
int Connect(const std::string& address) {
  const int socket = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  sockaddr_un name = {};
  name.sun_family = AF_UNIX;
  std::memcpy(name.sun_path + 1, address.data(), address.size());
  EXPECT_EQ(
      connect(socket, reinterpret_cast<sockaddr*>(&name), static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + address.size())), 0);
  return socket;
}

TEST(CommHost, StrangersAreNoRanksAndDoNoHarm) {
  const auto host = Listen(2);
  std::vector<int> strangers;
  for (int i = 0; i < 20; ++i) strangers.push_back(Connect(host->address()));
  for (size_t i = 0; i < 10; ++i) {
    const std::string noise(i * 7, 'x');
    EXPECT_EQ(send(strangers[i], noise.data(), noise.size(), MSG_NOSIGNAL), static_cast<ssize_t>(noise.size()));
  }
  close(strangers[15]);
  std::unique_ptr<Communicator> rank0, rank1;
  std::thread other([&] {
    const Status joined = JoinSharedMemory(host->address(), 1, 2, In(seconds(30)), &rank1);
    EXPECT_TRUE(joined.ok()) << joined.message();
  });
  const Status accepted = host->Accept(In(seconds(30)), &rank0);
  other.join();
  EXPECT_TRUE(accepted.ok()) << accepted.message();
  for (size_t i = 0; i < strangers.size(); ++i) i == 15 ? 0 : close(strangers[i]);
}

TEST(CommHost, AnotherUserIsNotLetIn) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  const auto host = Listen(2);
  const pid_t child = fork();
  if (child == 0) {
    std::unique_ptr<Communicator> rank;
    if (setuid(65534) != 0) _exit(2);
    const Status joined = JoinSharedMemory(host->address(), 1, 2, In(seconds(30)), &rank);
    _exit(strstr(joined.message(), "belongs to another user") != nullptr ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  // Nor one that does not care whose host it is.
  const pid_t rude = fork();
  if (rude == 0) {
    if (setuid(65534) != 0) _exit(2);
    const int socket = Connect(host->address());
    char answer;
    _exit(recv(socket, &answer, 1, 0) == 0 ? 0 : 1);  // closed without a word
  }
  std::unique_ptr<Communicator> rank0;
  EXPECT_THAT(host->Accept(In(milliseconds(300)), &rank0).message(), HasSubstr("missing: 1"));
  ASSERT_EQ(waitpid(rude, &status, 0), rude);
  EXPECT_EQ(status, 0);
}

TEST(CommHost, SixtyFourRanksMeet) {
  const Ranks group = MakeRanks(Transport::kSharedMemory, 64);
  ForRanks(64, [&](int r) {
    const TestCall call = {.rows = 200, .cols = 3, .blocks = 2};
    std::vector<float> output;
    const Status status = RunTestCall(*group[static_cast<size_t>(r)], call, &output);
    EXPECT_TRUE(status.ok()) << status.message();
    EXPECT_EQ(output, ExpectedOutput(64, call));
  });
}

TEST(CommHost, NothingIsLeftBehind) {
  const size_t descriptors = Descriptors();
  const auto count = [] { return std::distance(std::filesystem::directory_iterator("/dev/shm"), std::filesystem::directory_iterator()); };
  const auto named = count();
  for (int i = 0; i < 3; ++i) {
    Ranks group = MakeRanks(Transport::kSharedMemory, 4);
    ForRanks(4, [&](int r) {
      std::vector<float> output;
      EXPECT_TRUE(RunTestCall(*group[static_cast<size_t>(r)], {.rows = 1000, .cols = 1000}, &output).ok());
    });
    EXPECT_THAT(Maps(), HasSubstr("memfd:addnorm"));
    EXPECT_EQ(count(), named) << "no named segments";
  }
  EXPECT_EQ(Descriptors(), descriptors);
  EXPECT_THAT(Maps(), testing::Not(HasSubstr("memfd:addnorm")));
}

TEST(CommHost, SegmentsAreSealed) {
  comm::Descriptor segment;
  ASSERT_TRUE(comm::MakeSegment("addnorm-test", 8192, &segment).ok());
  EXPECT_EQ(fcntl(segment.get(), F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  EXPECT_NE(ftruncate(segment.get(), 0), 0);
  EXPECT_NE(ftruncate(segment.get(), 16384), 0);
  EXPECT_NE(fcntl(segment.get(), F_GETFD) & FD_CLOEXEC, 0);
  // One that is not is refused: its owner could make every access a SIGBUS.
  comm::Segments loose;
  loose.words = comm::Descriptor(memfd_create("addnorm-loose", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(loose.words.get(), 1 << 20), 0);
  loose.arenas.resize(1);
  loose.lives.resize(1);
  std::unique_ptr<Communicator> rank;
  EXPECT_THAT(comm::MakeSharedRank(std::move(loose), 1, 0, In(seconds(1)), &rank).message(), HasSubstr("not sealed"));
}

TEST(CommHost, ALifeIsSeenToEnd) {
  const auto ended = [](const comm::Descriptor& life) {
    pollfd poll_life = {life.get(), POLLIN, 0};
    return poll(&poll_life, 1, 0) == 1;
  };
  comm::Descriptor life, keep;
  ASSERT_TRUE(comm::MakePipeLife(&life, &keep).ok());
  EXPECT_FALSE(ended(life));
  keep = comm::Descriptor();
  EXPECT_TRUE(ended(life));

  // What MakeLife prefers: the end of a process, whatever its children hold.
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    char go;
    _exit(read(ready[0], &go, 1) == 1 ? 0 : 1);
  }
  const comm::Descriptor other(static_cast<int>(syscall(SYS_pidfd_open, child, 0)));
  if (!other) GTEST_SKIP() << "this kernel has no pidfd_open";
  EXPECT_FALSE(ended(other));
  EXPECT_EQ(write(ready[1], "x", 1), 1);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(ended(other));
  close(ready[0]);
  close(ready[1]);
}

TEST(CommHost, TheKernelMarksTheDead) {
  void* const memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  auto& word = *static_cast<std::atomic<uint32_t>*>(memory);
  {
    const comm::DeathMark mark(&word);
    EXPECT_NE(word.load(), 0u);
    EXPECT_FALSE(comm::DeathMark::IsSet(word));
  }
  EXPECT_EQ(word.load(), 0u) << "who gives its mark back is not dead";
  const std::function<void()> ends[] = {[] { raise(SIGKILL); }, [] { _exit(0); }, [] { execl("/bin/true", "true", nullptr); }};
  for (const auto& end : ends) {
    word = 0;
    const pid_t child = fork();
    if (child == 0) {
      const comm::DeathMark mark(&word);
      end();
    }
    ASSERT_EQ(waitpid(child, nullptr, 0), child);
    EXPECT_TRUE(comm::DeathMark::IsSet(word));
  }
  munmap(memory, 4096);
}

TEST(CommHost, AForkedChildIsAnotherProcess) {
  Ranks group = MakeRanks(Transport::kSharedMemory, 2);
  const pid_t child = fork();
  if (child == 0) {
    std::vector<float> output;
    const Status status = RunTestCall(*group[1], {.deadline = In(seconds(5))}, &output);
    const bool refused = strstr(status.message(), "forked child") != nullptr;
    group.clear();  // must not tell the others that their ranks have left
    _exit(refused ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  ForRanks(2, [&](int r) {
    std::vector<float> output;
    const Status call = RunTestCall(*group[static_cast<size_t>(r)], {}, &output);
    EXPECT_TRUE(call.ok()) << call.message();
  });
}

TEST(CommHost, HostIdIsStable) {
  EXPECT_EQ(HostId(), HostId());
  EXPECT_GT(HostId().size(), 36u);
  EXPECT_LT(HostId().size(), 100u);
}

}  // namespace
}  // namespace addnorm::test
