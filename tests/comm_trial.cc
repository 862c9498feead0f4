// SPDX-License-Identifier: Apache-2.0
#include "tests/comm_trial.h"

#include <dirent.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <new>
#include <thread>

#include "addnorm/ranks.h"
#include "tests/comm_engine.h"

namespace addnorm::test {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kMost = 16;

double Now() { return std::chrono::duration<double>(Clock::now().time_since_epoch()).count(); }
double Seconds(Deadline time) { return std::chrono::duration<double>(time.time_since_epoch()).count(); }

/// Shared by the parent and its children; outlives any of them.
struct Control {
  struct Meeting {
    std::atomic<bool> open;
    char address[80];
  } meetings[2];
  std::atomic<int> returned;  // ranks that have returned from the call with the fault
  std::atomic<double> struck;
  RankReport reports[kMost];
};

int CountDescriptors() {
  int count = 0;
  DIR* folder = opendir("/proc/self/fd");
  while (readdir(folder) != nullptr) ++count;
  closedir(folder);
  return count;
}

int CountMaps() {
  int count = 0;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) count += line.find("memfd:addnorm") != std::string::npos;
  return count;
}

template <typename Condition>
bool WaitFor(const Condition& condition, double seconds) {
  for (const double end = Now() + seconds; !condition();) {
    if (Now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

bool Dies(Fault fault) { return fault == Fault::kKill || fault == Fault::kExit; }
bool Stops(Fault fault) { return fault == Fault::kStop || fault == Fault::kStopThenContinue; }

/// One rank of the trial, in its own process.
class Worker {
 public:
  Worker(const Trial& trial, Control* control, int rank, std::vector<Line> mesh, std::vector<Line> next_mesh)
      : trial_(trial), control_(control), rank_(rank), report_(control->reports[rank]), meshes_{std::move(mesh), std::move(next_mesh)} {}

  void Run() {
    // The sockets of a mesh are there from the start and are closed with its group.
    const int descriptors = CountDescriptors() - (trial_.messages ? 2 * (trial_.ranks - 1) : 0);
    std::vector<int> all;
    for (int r = 0; r < trial_.ranks; ++r) all.push_back(r);
    std::unique_ptr<Communicator> group = Meet(0, all);
    if (group == nullptr) return;
    for (uint64_t i = 0; i < 3; ++i) {
      const TestCall call = {.rows = 3 + 40 * i, .cols = 9, .blocks = 1 + i, .number = i};
      std::vector<float> output;
      const Status status = RunTestCall(*group, call, &output);
      if (!status.ok() || output != ExpectedOutput(trial_.ranks, call)) return Break(std::string("before the fault: ") + status.message());
    }
    CallWithFault(*group);
    // No rank leaves before all have seen the fault: leaving is another one.
    const int expected = trial_.ranks - (Dies(trial_.fault) || Stops(trial_.fault));
    if (!IsStopped() && !WaitFor([&] { return control_->returned.load() >= expected; }, 60)) return Break("the others have not returned");
    if (!IsStopped()) CallAgain(*group);
    group.reset();
    report_.leaked_descriptors = CountDescriptors() - descriptors;
    report_.leaked_maps = CountMaps();
    if (!IsStopped()) CallInNextGroup(all);
    report_.done = true;
  }

 private:
  bool IsVictim() const { return rank_ == trial_.victim; }
  bool IsStopped() const { return IsVictim() && Stops(trial_.fault); }
  void Break(const std::string& text) { std::snprintf(report_.broken, sizeof(report_.broken), "%s", text.c_str()); }

  /// The group of `members`, which all call this; the first is rank 0.
  std::unique_ptr<Communicator> Meet(int meeting, const std::vector<int>& members) {
    const int rank = static_cast<int>(std::ranges::find(members, rank_) - members.begin()), ranks = static_cast<int>(members.size());
    const Deadline deadline = Clock::now() + std::chrono::seconds(30);
    std::unique_ptr<Communicator> group;
    Status status;
    Control::Meeting& place = control_->meetings[meeting];
    if (trial_.messages) {
      std::vector<Line> lines;
      for (const int member : members) lines.push_back(meshes_[meeting][static_cast<size_t>(member)]);
      status = MakeMessageRanks(MakeSocketEngine(lines, rank), &group);
    } else if (rank == 0) {
      std::unique_ptr<SharedMemoryHost> host;
      status = SharedMemoryHost::Listen(ranks, &host);
      if (status.ok()) {
        std::snprintf(place.address, sizeof(place.address), "%s", host->address().c_str());
        place.open.store(true);
        status = host->Accept(deadline, &group);
      }
    } else if (WaitFor([&] { return place.open.load(); }, 30)) {
      status = JoinSharedMemory(place.address, rank, ranks, deadline, &group);
    } else {
      status = Status::Error(Code::kTimeout, "no address");
    }
    if (!status.ok()) Break("meeting " + std::to_string(meeting) + ": " + status.message());
    return group;
  }

  void Strike(Communicator& group, Phase phase, size_t block) {
    if (phase != trial_.phase || block != trial_.block) return;
    switch (trial_.fault) {
      case Fault::kKill:
        control_->struck = Now();
        raise(SIGKILL);
        break;
      case Fault::kStop:
      case Fault::kStopThenContinue:
        control_->struck = Now();
        raise(SIGSTOP);
        break;
      case Fault::kExit:
        control_->struck = Now();
        _exit(3);
      case Fault::kLate:
        std::this_thread::sleep_for(trial_.deadline / 2);
        break;
      case Fault::kAbort:
        control_->struck = Now();
        group.Abort(Status::Error(Code::kUnsupported, "an injected failure"));
        break;
      default:
        break;
    }
  }

  void Disturb(CallHeader* header) const {
    uint32_t* const words[] = {&header->operation, &header->scenario, &header->reduce_op, &header->partial_type, &header->result_type};
    uint64_t* const longs[] = {&header->rows, &header->cols, &header->blocks, &header->epsilon_bits, &header->replicated};
    if (trial_.fault == Fault::kRefuse) {
      header->refused = static_cast<uint32_t>(Code::kBadValue);
    } else if (trial_.fault == Fault::kMismatch && trial_.field < 5) {
      *words[trial_.field] += 1;
    } else if (trial_.fault == Fault::kMismatch && trial_.field < 10) {
      *longs[trial_.field - 5] += 1;
    }
  }

  void CallWithFault(Communicator& group) {
    const Deadline deadline = Clock::now() + trial_.deadline;
    TestCall call = {.rows = trial_.rows, .cols = trial_.cols, .blocks = trial_.blocks, .number = 17, .deadline = deadline};
    const std::vector<float> expected = ExpectedOutput(trial_.ranks, call);
    if (IsVictim()) {
      Disturb(&call.header);
      if (trial_.fault == Fault::kMismatch && trial_.field == 10) call.rows += 1;  // the layout, with it
      call.at = [&](Phase phase, size_t block) { Strike(group, phase, block); };
    }
    report_.begun = Now();
    report_.deadline = Seconds(deadline);
    std::vector<float> output = {-1.0f};
    Status status;
    if (IsVictim() && trial_.fault == Fault::kSkip) {
      control_->returned.fetch_add(1);
      if (!WaitFor([&] { return control_->returned.load() >= trial_.ranks; }, 60)) Break("the others have not returned");
      return;
    }
    status = RunTestCall(group, call, &output);
    report_.ended = Now();
    report_.returned = true;
    report_.code = status.code();
    std::snprintf(report_.text, sizeof(report_.text), "%s", std::string(status.message()).c_str());
    report_.untouched = output == std::vector<float>{-1.0f};
    report_.right = output == expected;
    control_->returned.fetch_add(1);
  }

  void CallAgain(Communicator& group) {
    const TestCall call = {.rows = 8, .blocks = 2, .number = 18, .deadline = Clock::now() + trial_.deadline};
    std::vector<float> output = {-1.0f};
    const double begun = Now();
    const Status status = RunTestCall(group, call, &output);
    report_.again_took = Now() - begun;
    report_.again_code = status.code();
    std::snprintf(report_.again_text, sizeof(report_.again_text), "%s", std::string(status.message()).c_str());
    report_.again_right = output == (status.ok() ? ExpectedOutput(trial_.ranks, call) : std::vector<float>{-1.0f});
  }

  void CallInNextGroup(std::vector<int> members) {
    if (Dies(trial_.fault) || Stops(trial_.fault)) std::erase(members, trial_.victim);
    const std::unique_ptr<Communicator> group = Meet(1, members);
    if (group == nullptr) return;
    const TestCall call = {.rows = 21, .blocks = 3, .number = 19};
    std::vector<float> output;
    const Status status = RunTestCall(*group, call, &output);
    if (!status.ok()) Break(std::string("in the next group: ") + status.message());
    report_.next_group_right = output == ExpectedOutput(static_cast<int>(members.size()), call);
  }

  const Trial& trial_;
  Control* const control_;
  const int rank_;
  RankReport& report_;
  const std::vector<Line> meshes_[2];
};

}  // namespace

bool TrialResult::Survives(const Trial& trial, int rank) const {
  return rank != trial.victim || !(Dies(trial.fault) || Stops(trial.fault));
}

TrialResult RunTrial(const Trial& trial) {
  TrialResult result;
  const int descriptors = CountDescriptors();
  void* const memory = mmap(nullptr, sizeof(Control), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  auto* const control = new (memory) Control();
  const std::vector<std::vector<Line>> mesh = MakeMesh(trial.messages ? trial.ranks : 0), next = MakeMesh(trial.messages ? trial.ranks : 0);
  std::vector<pid_t> children;
  for (int rank = 0; rank < trial.ranks; ++rank) {
    const pid_t child = fork();
    if (child < 0) std::abort();
    if (child == 0) {
      CloseMesh(mesh, rank);
      CloseMesh(next, rank);
      const auto r = static_cast<size_t>(rank);
      Worker(trial, control, rank, trial.messages ? mesh[r] : std::vector<Line>(), trial.messages ? next[r] : std::vector<Line>()).Run();
      _exit(0);
    }
    children.push_back(child);
  }
  CloseMesh(mesh);
  CloseMesh(next);

  const auto reap = [&](int rank) {
    return waitpid(children[static_cast<size_t>(rank)], nullptr, WNOHANG) == children[static_cast<size_t>(rank)];
  };
  const auto finish = [&](int rank, double seconds) {
    if (WaitFor([&] { return reap(rank); }, seconds)) return;
    result.broken += "rank " + std::to_string(rank) + " hangs; ";
    kill(children[static_cast<size_t>(rank)], SIGKILL);
    waitpid(children[static_cast<size_t>(rank)], nullptr, 0);
  };
  for (int rank = 0; rank < trial.ranks; ++rank) {
    if (rank != trial.victim || !Stops(trial.fault)) finish(rank, 90);
  }
  if (Stops(trial.fault)) {
    kill(children[static_cast<size_t>(trial.victim)], trial.fault == Fault::kStop ? SIGKILL : SIGCONT);
    finish(trial.victim, 60);
  }
  result.ranks.assign(control->reports, control->reports + trial.ranks);
  result.struck = control->struck;
  control->~Control();
  munmap(memory, sizeof(Control));
  if (CountDescriptors() != descriptors) result.broken += "the parent has leaked descriptors; ";
  return result;
}

}  // namespace addnorm::test
