// SPDX-License-Identifier: Apache-2.0
// torch.ops.addnorm_parallel, the part that makes and ends communicators. addnorm/distributed.py decides which, and when.
#include "doors/torch/parallel_ranks.h"

#include <torch/csrc/stable/library.h>

#include <chrono>
#include <cstdio>

#include "addnorm/messages.h"
#include "addnorm/ranks.h"
#include "doors/torch/tensor.h"

namespace addnorm::torch_door {
namespace {

constexpr const char* kApi = "addnorm.distributed";

Handles<SharedMemoryHost>& Hosts() {
  static Handles<SharedMemoryHost> hosts("the rendezvous");
  return hosts;
}

Deadline After(double seconds) { return std::chrono::steady_clock::now() + Timeout(kApi, seconds); }

int64_t Keep(std::unique_ptr<Communicator> communicator) {
  auto ranks = std::make_shared<Ranks>();
  ranks->communicator = std::move(communicator);
  return AllRanks().Add(std::move(ranks));
}

int64_t Listen(int64_t ranks) {
  std::unique_ptr<SharedMemoryHost> host;
  Check(SharedMemoryHost::Listen(static_cast<int>(ranks), &host));
  return Hosts().Add(std::move(host));
}

std::string Address(int64_t host) { return Hosts().Get(host)->address(); }

// The rendezvous ends here, whether it succeeds or not.
int64_t Accept(int64_t host, double timeout) {
  const std::shared_ptr<SharedMemoryHost> listening = Hosts().Get(host);
  Hosts().Remove(host);
  std::unique_ptr<Communicator> communicator;
  Check(listening->Accept(After(timeout), &communicator));
  return Keep(std::move(communicator));
}

// TORCH_BOX takes arguments by value.
// NOLINTBEGIN(performance-unnecessary-value-param)
int64_t Join(std::string address, int64_t rank, int64_t ranks, double timeout) {
  std::unique_ptr<Communicator> communicator;
  Check(JoinSharedMemory(address, static_cast<int>(rank), static_cast<int>(ranks), After(timeout), &communicator));
  return Keep(std::move(communicator));
}

// Python's functions, which are ctypes callbacks and take the GIL; no caller of these operators holds it. They return kDone where an
// engine returns kMessageOk: an interrupt that ends a callback makes ctypes return 0.
struct PythonEngine {
  static constexpr int32_t kDone = -1;
  MessageEngine inner;

  static PythonEngine& Of(void* context) { return *static_cast<PythonEngine*>(context); }
  static int32_t Read(int32_t result, char* error, size_t error_bytes) {
    if (result == kDone) return kMessageOk;
    if (result == kMessageOk) std::snprintf(error, error_bytes, "interrupted");
    return result == kMessageOk ? kMessageFailed : result;
  }
  static int32_t Start(void* context, const MessageExchange* exchange, int64_t timeout, uint64_t* ticket, char* error, size_t bytes) {
    const MessageEngine& e = Of(context).inner;
    return Read(e.start(e.context, exchange, timeout, ticket, error, bytes), error, bytes);
  }
  static int32_t Wait(void* context, uint64_t ticket, int64_t timeout, char* error, size_t bytes) {
    const MessageEngine& e = Of(context).inner;
    return Read(e.wait(e.context, ticket, timeout, error, bytes), error, bytes);
  }
  static int32_t Release(void* context) {
    const std::unique_ptr<PythonEngine> self(&Of(context));
    // An interrupt here leaves it unknown whether memory is still touched: it then counts as touched.
    return self->inner.release(self->inner.context) == kDone ? 0 : 1;
  }
  static void Fail(void* context, int32_t result, const char* text) { Of(context).inner.fail(Of(context).inner.context, result, text); }
  static void RollCall(void* context, int64_t timeout, uint8_t* failed) {
    Of(context).inner.roll_call(Of(context).inner.context, timeout, failed);
  }
};

int64_t Messages(std::string name, int64_t rank, int64_t ranks, int64_t context, int64_t start, int64_t wait, int64_t release, int64_t fail,
                 int64_t roll_call) {
  MessageEngine engine;
  engine.context = reinterpret_cast<void*>(context);  // NOLINT(performance-no-int-to-ptr): Python's addresses are integers
  engine.name = name.c_str();
  engine.rank = static_cast<int32_t>(rank);
  engine.ranks = static_cast<int32_t>(ranks);
  engine.start = reinterpret_cast<decltype(engine.start)>(start);              // NOLINT(performance-no-int-to-ptr)
  engine.wait = reinterpret_cast<decltype(engine.wait)>(wait);                 // NOLINT(performance-no-int-to-ptr)
  engine.release = reinterpret_cast<decltype(engine.release)>(release);        // NOLINT(performance-no-int-to-ptr)
  engine.fail = reinterpret_cast<decltype(engine.fail)>(fail);                 // NOLINT(performance-no-int-to-ptr)
  engine.roll_call = reinterpret_cast<decltype(engine.roll_call)>(roll_call);  // NOLINT(performance-no-int-to-ptr)
  auto python = std::make_unique<PythonEngine>(PythonEngine{engine});
  engine.context = python.release();  // until PythonEngine::Release
  engine.start = PythonEngine::Start;
  engine.wait = PythonEngine::Wait;
  engine.release = PythonEngine::Release;
  engine.fail = PythonEngine::Fail;
  engine.roll_call = PythonEngine::RollCall;
  std::unique_ptr<Communicator> communicator;
  Check(MakeMessageRanks(engine, &communicator));
  return Keep(std::move(communicator));
}

// NOLINTEND(performance-unnecessary-value-param)

void Close(int64_t handle) { AllRanks().Remove(handle); }
void StopListening(int64_t host) { Hosts().Remove(host); }
std::string Transport(int64_t handle) { return AllRanks().Get(handle)->communicator->transport(); }
std::string History(int64_t handle) { return AllRanks().Get(handle)->communicator->History(); }

// Arguments that Python has refused: the other ranks hear of it.
void Refuse(int64_t handle, double timeout) {
  const std::shared_ptr<Ranks> ranks = AllRanks().Get(handle);
  const std::lock_guard<std::mutex> lock(ranks->mutex);
  CallHeader header;
  header.refused = static_cast<uint32_t>(Code::kBadValue);
  CallLayout layout;
  layout.ranks = ranks->communicator->size();
  (void)ranks->communicator->Begin(header, layout, After(timeout));  // it fails, as it must
}

}  // namespace

Handles<Ranks>& AllRanks() {
  static Handles<Ranks> all("the group of ranks");
  return all;
}

std::chrono::nanoseconds Timeout(const char* api, double seconds) {
  if (!(seconds > 0)) Check(Status::Error(Code::kBadValue, "%s: argument 'timeout' is %g s, expected > 0", api, seconds));
  constexpr double kMost = 1e9;  // 30 years
  return std::chrono::nanoseconds(static_cast<int64_t>((seconds < kMost ? seconds : kMost) * 1e9));
}

}  // namespace addnorm::torch_door

STABLE_TORCH_LIBRARY(addnorm_parallel, library) {
  library.def("listen(int ranks) -> int");
  library.def("address(int host) -> str");
  library.def("stop_listening(int host) -> ()");
  library.def("accept(int host, float timeout) -> int");
  library.def("join(str address, int rank, int ranks, float timeout) -> int");
  library.def(
      "messages(str name, int rank, int ranks, int context, int start, int wait, int release, int fail, "
      "int roll_call) -> int");
  library.def("close(int handle) -> ()");
  library.def("transport(int handle) -> str");
  library.def("history(int handle) -> str");
  library.def("host_id() -> str");
  library.def("refuse(int handle, float timeout) -> ()");
}

STABLE_TORCH_LIBRARY_IMPL(addnorm_parallel, CompositeExplicitAutograd, library) {
  using namespace addnorm::torch_door;
  library.impl("listen", TORCH_BOX(&Listen));
  library.impl("address", TORCH_BOX(&Address));
  library.impl("stop_listening", TORCH_BOX(&StopListening));
  library.impl("accept", TORCH_BOX(&Accept));
  library.impl("join", TORCH_BOX(&Join));
  library.impl("messages", TORCH_BOX(&Messages));
  library.impl("close", TORCH_BOX(&Close));
  library.impl("transport", TORCH_BOX(&Transport));
  library.impl("history", TORCH_BOX(&History));
  library.impl("host_id", TORCH_BOX(&addnorm::HostId));
  library.impl("refuse", TORCH_BOX(&Refuse));
}
