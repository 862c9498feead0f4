// SPDX-License-Identifier: Apache-2.0
// Groups of ranks, each a virtual device of this process, as the operators find them: by name and device.
#ifndef ADDNORM_DOORS_ACLNN_RANKS_H_
#define ADDNORM_DOORS_ACLNN_RANKS_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>

#include "addnorm/communicator.h"

namespace addnorm::aclnn {

// Executors hold it past HcclCommDestroy; the rank has left its group when the last one is gone.
struct Rank {
  std::unique_ptr<Communicator> communicator;
  std::mutex mutex;  // a communicator runs one call at a time, a device may have several streams
  int32_t device = 0;
  std::chrono::nanoseconds timeout{};
};

// The rank on `device` of the group that HcclGetCommName calls `name`. Null: no such group, or (*exists) none on this device.
std::shared_ptr<Rank> FindRank(const char* name, int32_t device, bool* exists) noexcept;

}  // namespace addnorm::aclnn
#endif  // ADDNORM_DOORS_ACLNN_RANKS_H_
