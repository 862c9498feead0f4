// SPDX-License-Identifier: Apache-2.0
// Copies in, vector operations and copies out run side by side on the device. In the buffers of queues, each byte that one of them worked
// on must be handed over before another touches it.
#include <algorithm>

#include "doors/ascendc/src/core.h"

namespace addnorm::ascendc {
namespace {

// `engine` may not do this to bytes that `pending` worked on last.
bool Races(Engine pending, Engine engine, Access access) {
  if (pending == Engine::kNone || pending == engine) return false;
  return access != Access::kRead || pending != Engine::kCopyOut;  // two readers do not race
}

const char* DoneBy(Engine engine) {
  return engine == Engine::kCopyIn ? "copied in" : engine == Engine::kVector ? "computed" : "copied out";
}
const char* Remedy(const Buffer& buffer, Engine pending) {
  if (pending == Engine::kCopyOut) return "FreeTensor and AllocTensor, or WaitFlag";
  if (buffer.hands_over == Engine::kNone || buffer.hands_over == pending) return "EnQue and DeQue, or WaitFlag";
  return pending == Engine::kVector ? "a VECOUT queue, or WaitFlag (a VECIN queue hands over copies from GM only)"
                                    : "a VECIN queue, or WaitFlag (a VECOUT queue hands over vector results only)";
}

}  // namespace

void Core::Work(const LocalView& view, uint64_t offset, uint64_t bytes, Engine engine, const Use& use, Access access) {
  Buffer& buffer = BufferAt(view.buffer);
  if (!buffer.tracked || bytes == 0) return;
  Engine* const pending = ub_.Pending(view.data + offset);
  Engine* const end = pending + bytes;
  const Engine* const raced = std::find_if(pending, end, [=](Engine other) { return Races(other, engine, access); });
  if (raced != end) {
    const Here& before = buffer.last[static_cast<size_t>(*raced)];
    const unsigned long long byte = offset + static_cast<uint64_t>(raced - pending);
    Fail(Rule::kQueueState, use.here, "%s: argument '%s' byte %llu was %s at %s:%d and not handed over, expected %s in between", use.api,
         use.name, byte, DoneBy(*raced), before.file, before.line, Remedy(buffer, *raced));
  }
  // A vector operation that only reads leaves nothing that another engine would have to wait for, but that it computed these before.
  if (engine == Engine::kVector && access == Access::kRead) return;
  std::fill(pending, end, engine);
  buffer.last[static_cast<size_t>(engine)] = use.here;
}

void Core::HandOver(const Buffer& buffer, Engine engine) {
  if (!buffer.tracked) return;
  Engine* const pending = ub_.Pending(buffer.data);
  std::replace_if(
      pending, pending + buffer.bytes, [=](Engine other) { return engine == Engine::kNone || other == engine; }, Engine::kNone);
}

void Core::HandOver(Engine engine) {
  for (const Buffer& buffer : buffers_) {
    if (buffer.state != Buffer::State::kDead) HandOver(buffer, engine);
  }
}

void HandOver(Engine engine) { Core::Current().HandOver(engine); }

}  // namespace addnorm::ascendc
