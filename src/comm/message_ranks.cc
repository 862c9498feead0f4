// SPDX-License-Identifier: Apache-2.0
// The communicator over a message engine. Nothing is shared, so nothing is seen between exchanges: a rank that fails within a call goes on
// exchanging rows that nobody will use, until the agreement at the end, where it can say so.
#include <algorithm>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

#include "addnorm/messages.h"
#include "src/comm/headers.h"

namespace addnorm {
namespace {

using comm::Cause;
using comm::PostedHeader;

/// What the ranks tell each other at the end of a call.
struct Closing {
  static constexpr uint64_t kMagic = 0x6164646e6f726d02;
  uint64_t magic = kMagic, call = 0, aborted = 0;
  char text[232] = "";
};
static_assert(sizeof(Closing) == 256, "no padding: the bytes cross processes");

/// How long a rank whose deadline has passed waits for word from the others.
constexpr std::chrono::milliseconds kRollCall(30);

struct Free {
  void operator()(std::byte* p) const { std::free(p); }
};
using Memory = std::unique_ptr<std::byte, Free>;

/// Exchanges of one kind: numbered by block, at most two in flight.
struct Flights {
  static constexpr size_t kMost = 2;
  size_t published = 0, started = 0, arrived = 0;
  bool pending[kMost] = {};  // false: there was nothing to exchange
  uint64_t tickets[kMost] = {};
};

/// Where things are in the memory of a call. Multiples of 64 bytes.
struct Places {
  size_t partial = 0, part = 0, result = 0, gathered = 0;      // of one block: partials sent, received; results sent, received
  size_t parts = 0, results = 0, all_gathered = 0, total = 0;  // where the last three begin, and the end
};

bool FindPlaces(const CallLayout& layout, Places* out) {
  bool fits = true;
  const auto ceil = [](size_t whole, size_t parts) { return whole / parts + (whole % parts != 0); };
  const auto product = [&](size_t a, size_t b) {
    size_t bytes = 0;
    fits = fits && !__builtin_mul_overflow(a, b, &bytes) && bytes <= size_t{1} << 46;
    return (bytes + 63) & ~size_t{63};
  };
  const auto ranks = static_cast<size_t>(layout.ranks);
  const size_t block = ceil(layout.rows, layout.blocks), share = ceil(block, ranks), slots = std::min(layout.blocks, Flights::kMost);
  out->partial = product(block, layout.partial_row_bytes);
  out->part = product(ranks, product(share, layout.partial_row_bytes));
  out->result = product(share, layout.result_row_bytes);
  out->gathered = product(block, layout.result_row_bytes);
  out->parts = product(slots, out->partial);
  out->results = out->parts + product(slots, out->part);
  out->all_gathered = out->results + product(layout.blocks, out->result);
  out->total = out->all_gathered + product(layout.blocks, out->gathered);
  return fits;
}

class MessageRanks final : public Communicator {
 public:
  explicit MessageRanks(const MessageEngine& engine)
      : engine_(engine),
        name_(std::string("messages (") + engine.name + ")"),
        headers_(static_cast<size_t>(engine.ranks)),
        closings_(headers_.size()),
        send_bytes_(headers_.size()),
        recv_bytes_(headers_.size()) {}
  MessageRanks(const MessageRanks&) = delete;
  ~MessageRanks() override {
    if (engine_.release != nullptr && engine_.release(engine_.context) != 0) (void)memory_.release();
  }

  int rank() const override { return engine_.rank; }
  int size() const override { return engine_.ranks; }
  const char* transport() const override { return name_.c_str(); }

  Status Begin(const CallHeader& header, const CallLayout& layout, Deadline deadline) override;
  std::byte* Partial(size_t b) override { return memory_.get() + b % Flights::kMost * places_.partial; }
  Status PublishPartial(size_t b) override;
  Status CollectPartials(size_t b, std::span<const std::byte*> parts) override;
  std::byte* Result(size_t b) override { return memory_.get() + places_.results + b * places_.result; }
  Status PublishResult(size_t b) override;
  Status Commit() override;
  const std::byte* ResultOf(size_t b, int q) override {
    return Gathered(b) + (layout_.Share(b, q).begin - layout_.Block(b).begin) * layout_.result_row_bytes;
  }
  void End() override {
    if (state_ == State::kCommitted) state_ = State::kIdle;
  }
  void Abort(const Status& why) override;

 private:
  enum class State : uint8_t { kIdle, kCalling, kCommitted };

  std::byte* Part(size_t b) { return memory_.get() + places_.parts + b % Flights::kMost * places_.part; }
  std::byte* Gathered(size_t b) { return memory_.get() + places_.all_gathered + b * places_.gathered; }

  Status Reserve(const CallLayout& layout);
  /// Starts what has been published, in an order that is the same on every rank: partials 0 and 1, results 0, partials 2, results 1, ...
  Status Advance();
  Status StartPartial(size_t b);
  Status StartResult(size_t b);
  Status Start(const char* what, const MessageExchange& exchange, uint64_t* ticket);
  Status Wait(const char* what, uint64_t ticket);
  /// Waits until block b of this kind has arrived.
  Status Land(const char* what, Flights& flights, size_t b);
  Status GatherNow(const char* what, const void* mine, void* all, size_t each);
  Status Agree(const Closing& mine);
  Status Finish(Closing closing);

  int64_t TimeLeft() const { return std::max<int64_t>(std::chrono::nanoseconds(deadline_ - std::chrono::steady_clock::now()).count(), 0); }
  Status Fail(Cause cause, std::string text, bool known_to_all = false);
  std::string CallRoll();
  Status Misuse(const char* what, size_t b);

  const MessageEngine engine_;
  const std::string name_;
  std::vector<PostedHeader> headers_;
  std::vector<Closing> closings_;
  std::vector<size_t> send_bytes_, recv_bytes_;
  Memory memory_;
  size_t capacity_ = 0;

  Status cause_;  // of the end of this group
  State state_ = State::kIdle;
  uint64_t call_ = 0;
  CallLayout layout_;
  Places places_;
  Deadline deadline_;
  Flights partials_, results_;
};

/// After the deadline: the ranks that have not noticed it themselves are those that everybody waits for.
std::string MessageRanks::CallRoll() {
  std::vector<uint8_t> failed(headers_.size());
  engine_.roll_call(engine_.context, std::chrono::nanoseconds(kRollCall).count(), failed.data());
  std::string names;
  for (size_t q = 0; q < failed.size(); ++q) {
    if (failed[q] == 0 && q != static_cast<size_t>(rank())) names += (names.empty() ? "; no word from rank " : ", ") + std::to_string(q);
  }
  return names;
}

Status MessageRanks::Fail(Cause cause, std::string text, bool known_to_all) {
  state_ = State::kIdle;
  if (engine_.fail != nullptr && !known_to_all) {
    engine_.fail(engine_.context, cause == Cause::kLate ? kMessageLate : kMessageFailed, text.c_str());
    if (cause == Cause::kLate && engine_.roll_call != nullptr) text += CallRoll();
  }
  cause_ = Status::Error(CodeOf(cause), "%s, rank %d of %d, call %llu: %s", transport(), rank(), size(),
                         static_cast<unsigned long long>(call_), text.c_str());
  return cause_;
}

Status MessageRanks::Misuse(const char* what, size_t b) {
  if (!cause_.ok()) return cause_;
  const Status why = Status::Error(Code::kInternal, "%s(%zu) is out of order: %zu partials, %zu results of %zu blocks are published", what,
                                   b, partials_.published, results_.published, layout_.blocks);
  Abort(why);
  return why;
}

Status MessageRanks::Start(const char* what, const MessageExchange& exchange, uint64_t* ticket) {
  char error[256] = "";
  const int32_t result = engine_.start(engine_.context, &exchange, TimeLeft(), ticket, error, sizeof(error));
  if (result == kMessageOk) return Status();
  error[sizeof(error) - 1] = '\0';
  return Fail(result == kMessageLate ? Cause::kLate : Cause::kEngine, std::string(what) + ": " + error);
}

Status MessageRanks::Wait(const char* what, uint64_t ticket) {
  char error[256] = "";
  const int32_t result = engine_.wait(engine_.context, ticket, TimeLeft(), error, sizeof(error));
  if (result == kMessageOk) return Status();
  error[sizeof(error) - 1] = '\0';
  return Fail(result == kMessageLate ? Cause::kLate : Cause::kEngine, std::string("waiting for ") + what + ": " + error);
}

Status MessageRanks::GatherNow(const char* what, const void* mine, void* all, size_t each) {
  std::ranges::fill(recv_bytes_, each);
  const MessageExchange exchange = {
      .kind = 1, .ranks = size(), .send = mine, .send_bytes = &each, .recv = all, .recv_bytes = recv_bytes_.data()};
  uint64_t ticket = 0;
  if (const Status started = Start(what, exchange, &ticket); !started.ok()) return started;
  return Wait(what, ticket);
}

Status MessageRanks::Reserve(const CallLayout& layout) {
  if (!FindPlaces(layout, &places_)) {
    return Status::Error(Code::kBadShape, "communicator over %s: %zu rows of %zu and %zu bytes do not fit in memory", transport(),
                         layout.rows, layout.partial_row_bytes, layout.result_row_bytes);
  }
  if (places_.total <= capacity_) return Status();
  memory_.reset();
  capacity_ = 0;
  memory_.reset(static_cast<std::byte*>(std::aligned_alloc(64, places_.total)));
  if (memory_ == nullptr) return Status::Error(Code::kUnsupported, "%s: out of memory for %zu bytes of rows", transport(), places_.total);
  capacity_ = places_.total;
  return Status();
}

Status MessageRanks::Begin(const CallHeader& header, const CallLayout& layout, Deadline deadline) {
  if (!cause_.ok()) return cause_;
  if (state_ != State::kIdle) return Misuse("Begin", 0);
  call_ += 1;
  layout_ = layout;
  deadline_ = deadline;
  partials_ = results_ = Flights();

  // What fails here must be known to the others, who wait for this rank.
  CallHeader mine = header;
  Status local = comm::CheckLayout(transport(), header, layout, size());
  if (local.ok() && header.refused == 0) local = Reserve(layout);
  if (!local.ok()) mine.refused = static_cast<uint32_t>(local.code());

  const PostedHeader posted = comm::Post(mine, layout, call_);
  if (const Status met = GatherNow("the headers", &posted, headers_.data(), sizeof(posted)); !met.ok()) return met;
  const comm::Verdict verdict = comm::Judge(headers_);
  if (verdict.cause == Cause::kRefused) {  // every rank knows, and is ready for the next call
    if (!local.ok()) return local;
    return Status::Error(Code::kPeer, "%s, rank %d of %d: %s", transport(), rank(), size(), verdict.text);
  }
  if (verdict.cause != Cause::kNone) return Fail(verdict.cause, verdict.text, true);
  state_ = State::kCalling;
  return Status();
}

Status MessageRanks::StartPartial(size_t b) {
  const CallLayout::Range block = layout_.Block(b), share = layout_.Share(b, rank());
  Flights& flights = partials_;
  flights.pending[b % Flights::kMost] = block.size() * layout_.partial_row_bytes != 0;
  flights.started += 1;
  if (!flights.pending[b % Flights::kMost]) return Status();
  for (int q = 0; q < size(); ++q) send_bytes_[static_cast<size_t>(q)] = layout_.Share(b, q).size() * layout_.partial_row_bytes;
  std::ranges::fill(recv_bytes_, share.size() * layout_.partial_row_bytes);
  return Start(
      "the partials",
      {.kind = 0, .ranks = size(), .send = Partial(b), .send_bytes = send_bytes_.data(), .recv = Part(b), .recv_bytes = recv_bytes_.data()},
      &flights.tickets[b % Flights::kMost]);
}

Status MessageRanks::StartResult(size_t b) {
  Flights& flights = results_;
  if (b >= Flights::kMost) {
    if (const Status landed = Land("the results", flights, b - Flights::kMost); !landed.ok()) return landed;
  }
  flights.pending[b % Flights::kMost] = layout_.Block(b).size() * layout_.result_row_bytes != 0;
  flights.started += 1;
  if (!flights.pending[b % Flights::kMost]) return Status();
  const size_t mine = layout_.Share(b, rank()).size() * layout_.result_row_bytes;
  for (int q = 0; q < size(); ++q) recv_bytes_[static_cast<size_t>(q)] = layout_.Share(b, q).size() * layout_.result_row_bytes;
  return Start("the results",
               {.kind = 1, .ranks = size(), .send = Result(b), .send_bytes = &mine, .recv = Gathered(b), .recv_bytes = recv_bytes_.data()},
               &flights.tickets[b % Flights::kMost]);
}

Status MessageRanks::Advance() {
  for (;;) {
    const bool partial = partials_.started < layout_.blocks && partials_.started <= results_.started + 1;
    const Flights& next = partial ? partials_ : results_;
    if (next.started == next.published) return Status();
    if (const Status started = partial ? StartPartial(next.started) : StartResult(next.started); !started.ok()) return started;
  }
}

Status MessageRanks::Land(const char* what, Flights& flights, size_t b) {
  for (; flights.arrived <= b; ++flights.arrived) {
    const size_t slot = flights.arrived % Flights::kMost;
    if (!flights.pending[slot]) continue;
    if (const Status arrived = Wait(what, flights.tickets[slot]); !arrived.ok()) return arrived;
  }
  return Status();
}

Status MessageRanks::PublishPartial(size_t b) {
  if (state_ != State::kCalling || b != partials_.published || b > results_.published + 1 || b >= layout_.blocks) {
    return Misuse("PublishPartial", b);
  }
  partials_.published += 1;
  return Advance();
}

Status MessageRanks::CollectPartials(size_t b, std::span<const std::byte*> parts) {
  if (state_ != State::kCalling || b != results_.published || b >= partials_.published || parts.size() != headers_.size()) {
    return Misuse("CollectPartials", b);
  }
  if (const Status landed = Land("the partials", partials_, b); !landed.ok()) return landed;
  const size_t each = layout_.Share(b, rank()).size() * layout_.partial_row_bytes;
  for (size_t q = 0; q < parts.size(); ++q) parts[q] = Part(b) + q * each;
  return Status();
}

Status MessageRanks::PublishResult(size_t b) {
  if (state_ != State::kCalling || b != results_.published || b >= partials_.published) return Misuse("PublishResult", b);
  // Its memory is used again; a caller with no rows may not have collected it.
  if (const Status landed = Land("the partials", partials_, b); !landed.ok()) return landed;
  results_.published += 1;
  return Advance();
}

Status MessageRanks::Commit() {
  if (state_ != State::kCalling || results_.published != layout_.blocks) return Misuse("Commit", results_.published);
  if (const Status finished = Finish({.call = call_}); !finished.ok()) return finished;
  state_ = State::kCommitted;
  return Status();
}

/// Receives all results, and agrees.
Status MessageRanks::Finish(Closing closing) {
  if (const Status landed = Land("the results", results_, layout_.blocks - 1); !landed.ok()) return landed;
  if (const Status met = GatherNow("the agreement", &closing, closings_.data(), sizeof(closing)); !met.ok()) return met;
  for (size_t q = 0; q < closings_.size(); ++q) {
    Closing& other = closings_[q];
    other.text[sizeof(other.text) - 1] = '\0';
    const std::string name = "rank " + std::to_string(q);
    if (other.magic != Closing::kMagic || other.call != call_) return Fail(Cause::kCorrupt, name + " ended another call", true);
    if (other.aborted != 0) return Fail(Cause::kAborted, name + " failed: " + other.text, true);
  }
  return Status();
}

void MessageRanks::Abort(const Status& why) {
  if (!cause_.ok()) return;
  Closing closing = {.call = call_, .aborted = 1};
  std::string(why.message()).copy(closing.text, sizeof(closing.text) - 1);
  // The others learn of it in the agreement; until then this rank sends what is there.
  while (state_ == State::kCalling && results_.published < layout_.blocks) {
    const bool partial = partials_.published < layout_.blocks && partials_.published <= results_.published + 1;
    if (!(partial ? PublishPartial(partials_.published) : PublishResult(results_.published)).ok()) return;
  }
  if (state_ == State::kCalling) {
    (void)Finish(closing);
  } else {
    (void)Fail(Cause::kAborted, "rank " + std::to_string(rank()) + " failed: " + why.message());
  }
}

}  // namespace

Status MakeMessageRanks(const MessageEngine& engine, std::unique_ptr<Communicator>* out) {
  Status status;
  if (engine.ranks < 1 || engine.rank < 0 || engine.rank >= engine.ranks) {
    status = Status::Error(Code::kBadValue, "MakeMessageRanks: rank %d of %d ranks", engine.rank, engine.ranks);
  } else if (engine.start == nullptr || engine.wait == nullptr || engine.name == nullptr) {
    status = Status::Error(Code::kNullArg, "MakeMessageRanks: engine.%s is null",
                           engine.start == nullptr  ? "start"
                           : engine.wait == nullptr ? "wait"
                                                    : "name");
  }
  if (status.ok()) {
    try {
      *out = std::make_unique<MessageRanks>(engine);
      return Status();
    } catch (const std::bad_alloc&) {
      status = Status::Error(Code::kUnsupported, "MakeMessageRanks: out of memory");
    }
  }
  if (engine.release != nullptr) (void)engine.release(engine.context);
  return status;
}

}  // namespace addnorm
