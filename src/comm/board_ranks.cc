// SPDX-License-Identifier: Apache-2.0
#include "src/comm/board_ranks.h"

#include <unistd.h>

#include <string>

namespace addnorm::comm {
namespace {

class BoardRanks final : public Communicator {
 public:
  BoardRanks(std::unique_ptr<Arenas> arenas, void* words, int ranks, int rank, std::span<const int> lives)
      : arenas_(std::move(arenas)),
        board_(words, ranks, rank, lives),
        bases_(static_cast<size_t>(ranks)),
        headers_(bases_.size()),
        owner_(getpid()) {}
  ~BoardRanks() override {
    if (getpid() == owner_) board_.Leave();  // a forked child that exits is not this rank
  }

  int rank() const override { return board_.rank(); }
  int size() const override { return board_.ranks(); }
  const char* transport() const override { return arenas_->transport(); }
  std::string History() const override { return board_.History(); }

  Status Join(Deadline deadline);
  Status Begin(const CallHeader& header, const CallLayout& layout, Deadline deadline) override;
  std::byte* Partial(size_t b) override { return PartialOf(rank(), b); }
  Status PublishPartial(size_t b) override;
  Status CollectPartials(size_t b, std::span<const std::byte*> parts) override;
  std::byte* Result(size_t b) override { return bases_[static_cast<size_t>(rank())] + ResultOffset(b); }
  Status PublishResult(size_t b) override;
  Status Commit() override;
  const std::byte* ResultOf(size_t b, int q) override { return bases_[static_cast<size_t>(q)] + ResultOffset(b); }
  void End() override;
  void Abort(const Status& why) override;

 private:
  enum class State : uint8_t { kIdle, kCalling, kCommitted };

  std::byte* PartialOf(int q, size_t b) { return bases_[static_cast<size_t>(q)] + b % Strides::kSlots * strides_.partial; }
  size_t ResultOffset(size_t b) const { return strides_.slots * strides_.partial + b * strides_.result; }
  uint64_t Count(size_t blocks) const { return call_ << kBlockBits | blocks; }
  bool Await(Board::Word word, size_t blocks) {
    return board_.Await(word, Count(blocks), Count(layout_.blocks), Count(layout_.blocks), deadline_);
  }
  /// What this rank does next, as far as an operator that overlaps is concerned.
  void NoteWork();
  Status Failed();
  Status Misuse(const char* what, size_t b);

  const std::unique_ptr<Arenas> arenas_;
  Board board_;
  std::vector<std::byte*> bases_;
  std::vector<PostedHeader> headers_;
  const pid_t owner_;

  State state_ = State::kIdle;
  uint64_t call_ = 0;
  CallLayout layout_;
  Strides strides_;
  Deadline deadline_;
  size_t partials_ = 0, results_ = 0;  // published
};

Status BoardRanks::Failed() {
  const Board::Record record = board_.cause();
  state_ = State::kIdle;
  return Status::Error(CodeOf(record.cause), "%s, rank %d of %d: %s", transport(), rank(), size(), record.text);
}

/// A step out of order would read rows that are not there: the group ends instead.
Status BoardRanks::Misuse(const char* what, size_t b) {
  if (board_.poisoned()) return Failed();
  const Status why = Status::Error(Code::kInternal, "%s(%zu) is out of order: %zu partials, %zu results of %zu blocks are published", what,
                                   b, partials_, results_, layout_.blocks);
  Abort(why);
  return why;
}

void BoardRanks::NoteWork() {
  if (partials_ < layout_.blocks && partials_ <= results_ + 1) {
    board_.Note(Step::kMatmul, call_, partials_);
  } else {
    board_.Note(Step::kReduce, call_, results_);
  }
}

Status BoardRanks::Join(Deadline deadline) {
  board_.Note(Step::kIdle, 0);
  board_.Set(&RankWords::joined, 1);
  if (!board_.Await(&RankWords::joined, 1, 1, UINT64_MAX, deadline)) return Failed();
  return Status();
}

Status BoardRanks::Begin(const CallHeader& header, const CallLayout& layout, Deadline deadline) {
  if (getpid() != owner_) return Status::Error(Code::kBadValue, "%s: used in a forked child; make a group there", transport());
  if (board_.poisoned()) return Failed();
  if (state_ != State::kIdle) return Misuse("Begin", 0);
  call_ += 1;
  layout_ = layout;
  deadline_ = deadline;
  partials_ = results_ = 0;

  // What fails here must be known to the others, who wait for this rank.
  CallHeader mine = header;
  Status local = CheckLayout(transport(), header, layout, size());
  if (local.ok() && header.refused == 0 && MakeStrides(layout, &strides_)) local = arenas_->Reserve(strides_.total);
  if (!local.ok()) mine.refused = static_cast<uint32_t>(local.code());

  board_.Note(Step::kAgree, call_);
  board_.mine().posted[call_ % 2] = Post(mine, layout, call_);
  board_.Set(&RankWords::headers, call_);
  if (!board_.Await(&RankWords::headers, call_, call_ + 1, Count(layout.blocks), deadline)) return Failed();
  for (size_t q = 0; q < headers_.size(); ++q) headers_[q] = board_.of(static_cast<int>(q)).posted[call_ % 2];
  const Verdict verdict = Judge(headers_);
  if (verdict.cause == Cause::kRefused) {  // every rank knows, and is ready for the next call
    board_.Note(Step::kIdle, call_);
    if (!local.ok()) return local;
    return Status::Error(Code::kPeer, "%s, rank %d of %d: %s", transport(), rank(), size(), verdict.text);
  }
  if (verdict.cause != Cause::kNone) {
    board_.Poison(verdict.cause, verdict.culprit, verdict.text);
    return Failed();
  }
  if (const Status attached = arenas_->Attach(strides_.total, bases_); !attached.ok()) {
    Abort(attached);
    return Failed();
  }
  state_ = State::kCalling;
  NoteWork();
  return Status();
}

Status BoardRanks::PublishPartial(size_t b) {
  if (state_ != State::kCalling || b != partials_ || b > results_ + 1 || b >= layout_.blocks) return Misuse("PublishPartial", b);
  if (board_.poisoned()) return Failed();
  board_.Set(&RankWords::partials, Count(++partials_));
  NoteWork();
  return Status();
}

Status BoardRanks::CollectPartials(size_t b, std::span<const std::byte*> parts) {
  if (state_ != State::kCalling || b != results_ || b >= partials_ || parts.size() != bases_.size()) return Misuse("CollectPartials", b);
  const CallLayout::Range block = layout_.Block(b), share = layout_.Share(b, rank());
  for (size_t q = 0; q < parts.size(); ++q) {
    parts[q] = PartialOf(static_cast<int>(q), b) + (share.begin - block.begin) * layout_.partial_row_bytes;
  }
  if (share.size() == 0) return Status();  // nothing to wait for
  board_.Note(Step::kCollect, call_, b);
  if (!Await(&RankWords::partials, b + 1)) return Failed();
  board_.Note(Step::kReduce, call_, b);
  return Status();
}

Status BoardRanks::PublishResult(size_t b) {
  if (state_ != State::kCalling || b != results_ || b >= partials_) return Misuse("PublishResult", b);
  if (board_.poisoned()) return Failed();
  board_.Set(&RankWords::results, Count(++results_));
  // The next partial but one, b + 2, goes where that of b + 2 - kSlots was: wait until no rank reads it.
  if (b + 2 < layout_.blocks && b + 2 >= Strides::kSlots) {
    board_.Note(Step::kRoom, call_, b);
    if (!Await(&RankWords::results, b + 3 - Strides::kSlots)) return Failed();
  }
  NoteWork();
  return Status();
}

Status BoardRanks::Commit() {
  if (state_ != State::kCalling || results_ != layout_.blocks) return Misuse("Commit", results_);
  board_.Note(Step::kCommit, call_);
  if (!Await(&RankWords::results, layout_.blocks)) return Failed();
  board_.Note(Step::kCopy, call_);
  state_ = State::kCommitted;
  return Status();
}

void BoardRanks::End() {
  if (state_ != State::kCommitted) return;
  state_ = State::kIdle;
  board_.Note(Step::kIdle, call_);
}

void BoardRanks::Abort(const Status& why) {
  board_.Poison(Cause::kAborted, rank(), ("rank " + std::to_string(rank()) + " failed: " + why.message()).c_str());
  state_ = State::kIdle;
}

}  // namespace

std::unique_ptr<Communicator> MakeBoardRanks(std::unique_ptr<Arenas> arenas, void* words, int ranks, int rank, std::span<const int> lives) {
  return std::make_unique<BoardRanks>(std::move(arenas), words, ranks, rank, lives);
}

Status Join(Communicator& communicator, Deadline deadline) { return static_cast<BoardRanks&>(communicator).Join(deadline); }

}  // namespace addnorm::comm
