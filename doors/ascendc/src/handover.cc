// SPDX-License-Identifier: Apache-2.0
// Copies in, vector operations and copies out run side by side on the device. In the buffers of queues, what one of them did to a byte
// must be handed over to another before that one touches it. Each hand-over has a number; a byte remembers after which one it was worked
// on, and an engine knows the work of another up to the hand-over that it got, directly or through a third.
#include <algorithm>
#include <cstdio>
#include <iterator>

#include "addnorm/ascendc/pipe.h"
#include "doors/ascendc/src/core.h"

namespace addnorm::ascendc {
namespace {

constexpr int kEventIds = 8;

Engine EngineOf(int pipe) {
  if (pipe == PIPE_MTE2) return Engine::kCopyIn;
  if (pipe == PIPE_MTE3) return Engine::kCopyOut;
  return pipe == PIPE_V || pipe == PIPE_S ? Engine::kVector : Engine::kNone;
}
const char* PipeName(int pipe) {
  static constexpr const char* kNames[] = {"S", "V", "M", "MTE1", "MTE2", "MTE3"};
  return pipe >= 0 && pipe < static_cast<int>(std::size(kNames)) ? kNames[pipe] : "another pipe";
}

size_t Index(Engine engine) { return static_cast<size_t>(engine); }

const char* DoneBy(Engine engine) {
  return engine == Engine::kCopyIn ? "copied in" : engine == Engine::kVector ? "computed" : "copied out";
}
// What orders the work of one engine before that of another.
const char* Remedy(Engine from, Engine to) {
  static constexpr const char* kRemedies[3][3] = {
      {"", "EnQue and DeQue of a VECIN queue, or SetFlag and WaitFlag of MTE2_V",
       "EnQue and DeQue of a TQueBind, or SetFlag and WaitFlag of MTE2_MTE3"},
      {"SetFlag and WaitFlag of V_MTE2", "", "EnQue and DeQue of a VECOUT queue, or SetFlag and WaitFlag of V_MTE3"},
      {"FreeTensor and AllocTensor, or SetFlag and WaitFlag of MTE3_MTE2", "FreeTensor and AllocTensor, or SetFlag and WaitFlag of MTE3_V",
       ""}};
  return kRemedies[Index(from) - 1][Index(to) - 1];
}

}  // namespace

void Merge(Clock* known, const Clock& learned) {
  for (size_t i = 0; i < known->size(); ++i) (*known)[i] = std::max((*known)[i], learned[i]);
}

// The number of the hand-over that now begins: work from here on is not part of it.
uint32_t Core::NextHandOver() { return hand_overs_++; }

bool Core::Races(const Buffer& buffer, const Mark& mark, Engine engine, Access access, Engine* other) const {
  const auto unknown = [&](Engine who, uint32_t when) {
    *other = who;
    return when > std::max(known_[Index(engine)][Index(who)], buffer.known[Index(engine)][Index(who)]);
  };
  if (mark.writer != Engine::kNone && mark.writer != engine && unknown(mark.writer, mark.written)) return true;
  // Two readers do not race.
  return access != Access::kRead && engine != Engine::kCopyOut && mark.copied_out != 0 && unknown(Engine::kCopyOut, mark.copied_out);
}

void Core::Work(const LocalView& view, uint64_t offset, uint64_t bytes, Engine engine, const Use& use, Access access) {
  Buffer& buffer = BufferAt(view.buffer);
  if (buffer.marks.empty() || bytes == 0) return;
  const auto begin = buffer.marks.begin() + (view.data + offset - buffer.data);
  const auto end = begin + static_cast<std::ptrdiff_t>(bytes);
  Engine other = Engine::kNone;
  const auto raced = std::find_if(begin, end, [&](const Mark& mark) { return Races(buffer, mark, engine, access, &other); });
  if (raced != end) {
    const Here& before = buffer.last[Index(other)];
    const unsigned long long byte = offset + static_cast<uint64_t>(raced - begin);
    Fail(Rule::kQueueState, use.here, "%s: argument '%s' byte %llu was %s at %s:%d and not handed over, expected %s in between", use.api,
         use.name, byte, DoneBy(other), before.file, before.line, Remedy(other, engine));
  }
  // Reads of vector operations leave no mark: see docs/ascendc.md.
  if (access == Access::kRead && engine == Engine::kVector) return;
  for (auto mark = begin; mark != end; ++mark) {
    if (access == Access::kRead) {
      mark->copied_out = hand_overs_;
    } else {
      *mark = {0, hand_overs_, engine};
    }
  }
  buffer.last[Index(engine)] = use.here;
}

void Core::NoteEnqueued(Buffer* buffer) {
  const uint32_t now = NextHandOver();
  buffer->enqueued = {};
  if (buffer->hands_over == Engine::kNone) {
    for (Clock& clock : buffer->enqueued) clock.fill(now);
    return;
  }
  // What the giving engine knows of others' work goes with its own.
  const size_t from = Index(buffer->hands_over);
  Clock given = known_[from];
  Merge(&given, buffer->known[from]);
  given[from] = now;
  buffer->enqueued[Index(buffer->hands_over == Engine::kCopyIn ? Engine::kVector : Engine::kCopyOut)] = given;
}

void Core::HandOverDequeued(Buffer* buffer) {
  for (size_t to = 0; to < buffer->known.size(); ++to) Merge(&buffer->known[to], buffer->enqueued[to]);
}

void Core::HandOverAll() {
  const uint32_t now = NextHandOver();
  for (Clock& clock : known_) clock.fill(now);
}

void Core::SetFlag(int from, int to, int id, Here here) {
  if (id < 0 || id >= kEventIds) Fail(Rule::kFlag, here, "SetFlag: argument 'eventID' is %d, expected 0 to %d", id, kEventIds - 1);
  const size_t giver = Index(EngineOf(from));
  Flag flag{from, to, id, here, known_[giver], {}};
  flag.known[giver] = NextHandOver();
  for (uint32_t number = 1; number <= BufferCount(); ++number) {
    const Buffer& buffer = BufferAt(number);
    if (!buffer.marks.empty()) flag.buffers.emplace_back(number, buffer.known[giver]);
  }
  flags_.push_back(std::move(flag));
}

void Core::WaitFlag(int from, int to, int id, Here here) {
  const auto flag = std::find_if(flags_.begin(), flags_.end(), [=](const Flag& f) { return f.from == from && f.to == to && f.id == id; });
  if (flag == flags_.end()) {
    Fail(Rule::kFlag, here, "WaitFlag: argument 'eventID' %d of %s_%s is not set, expected SetFlag before (the device waits forever)", id,
         PipeName(from), PipeName(to));
  }
  // Copies and the vector unit; the others' work is not watched.
  const size_t taker = Index(EngineOf(to));
  if (EngineOf(from) != Engine::kNone && EngineOf(to) != Engine::kNone) {
    Merge(&known_[taker], flag->known);
    for (const auto& [number, known] : flag->buffers) Merge(&BufferAt(number).known[taker], known);
  }
  flags_.erase(flag);
}

void Core::NoteUnwaited() noexcept {
  if (!flags_.empty()) {
    const Flag& flag = flags_.front();
    char text[sizeof(Violation::text)];
    std::snprintf(text, sizeof(text), "SetFlag: the flag %d of %s_%s is set at the end of the kernel, expected WaitFlag before", flag.id,
                  PipeName(flag.from), PipeName(flag.to));
    NoteUnfinished(Rule::kFlag, flag.here, text);
  }
  flags_.clear();
  events_.clear();
}

int Core::AllocEvent(int from, int to, bool keep, Here here) {
  uint32_t& given = events_[{from, to}];
  for (int id = 0; id < kEventIds; ++id) {
    if ((given >> id & 1) != 0) continue;
    if (keep) given |= 1u << id;
    return id;
  }
  Fail(Rule::kFlag, here, "%s: the %d ids of %s_%s are in use, expected ReleaseEventID before", keep ? "AllocEventID" : "FetchEventID",
       kEventIds, PipeName(from), PipeName(to));
}

void Core::ReleaseEvent(int from, int to, int id) {
  if (id >= 0 && id < kEventIds) events_[{from, to}] &= ~(1u << id);
}

void HandOverAll() { Core::Current().HandOverAll(); }
void SetFlag(int from, int to, int id, Here here) { Core::Current().SetFlag(from, to, id, here); }
void WaitFlag(int from, int to, int id, Here here) { Core::Current().WaitFlag(from, to, id, here); }
int AllocEvent(int from, int to, bool keep, Here here) { return Core::Current().AllocEvent(from, to, keep, here); }
void ReleaseEvent(int from, int to, int id) { Core::Current().ReleaseEvent(from, to, id); }

}  // namespace addnorm::ascendc
