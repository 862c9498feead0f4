// SPDX-License-Identifier: Apache-2.0
// A word in shared memory that the kernel marks when this process dies, before it takes the process's memory apart. A pidfd or a socket
// tells only after that, which takes about 0.1 s per GiB.
#ifndef ADDNORM_SRC_COMM_DEATH_MARK_H_
#define ADDNORM_SRC_COMM_DEATH_MARK_H_

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <semaphore>

namespace addnorm::comm {

/// A robust futex, held by a thread that does nothing else and ends only with the process (or with this). Without such a thread, if the
/// system gives none, the word is never marked.
class DeathMark {
 public:
  explicit DeathMark(std::atomic<uint32_t>* word);
  ~DeathMark();
  DeathMark(const DeathMark&) = delete;
  DeathMark& operator=(const DeathMark&) = delete;

  static bool IsSet(const std::atomic<uint32_t>& word);

 private:
  struct Holder {
    std::binary_semaphore held{0}, end{0}, ended{0};
  };
  static void Hold(Holder& holder, std::atomic<uint32_t>* word);

  const pid_t owner_;
  std::shared_ptr<Holder> holder_;  // null: there is no thread
};

}  // namespace addnorm::comm
#endif  // ADDNORM_SRC_COMM_DEATH_MARK_H_
