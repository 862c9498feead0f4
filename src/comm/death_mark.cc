// SPDX-License-Identifier: Apache-2.0
#include "src/comm/death_mark.h"

#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <system_error>
#include <thread>

namespace addnorm::comm {

DeathMark::DeathMark(std::atomic<uint32_t>* word) : owner_(getpid()) {
  const auto holder = std::make_shared<Holder>();
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // the program's signals are for the program's threads
  try {
    std::thread([holder, word] { Hold(*holder, word); }).detach();
    holder->held.acquire();
    holder_ = holder;
  } catch (const std::system_error&) {
    // Deaths are then seen a little later.
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

DeathMark::~DeathMark() {
  if (holder_ == nullptr || getpid() != owner_) return;  // a forked child has no such thread
  holder_->end.release();
  holder_->ended.acquire();  // it does not touch the word any more
}

bool DeathMark::IsSet(const std::atomic<uint32_t>& word) { return (word.load(std::memory_order_acquire) & FUTEX_OWNER_DIED) != 0; }

/// Tells the kernel, in place of the C library's own list for this thread, of a list of one lock: `word`, which holds this thread's number.
void DeathMark::Hold(Holder& holder, std::atomic<uint32_t>* word) {
  robust_list lock = {};
  robust_list_head head = {};
  head.list.next = &lock;
  lock.next = &head.list;
  head.futex_offset = reinterpret_cast<char*>(word) - reinterpret_cast<char*>(&lock);
  word->store(static_cast<uint32_t>(syscall(SYS_gettid)), std::memory_order_release);
  syscall(SYS_set_robust_list, &head, sizeof(head));
  holder.held.release();
  holder.end.acquire();
  syscall(SYS_set_robust_list, nullptr, sizeof(head));
  word->store(0, std::memory_order_release);
  holder.ended.release();
}

}  // namespace addnorm::comm
