// SPDX-License-Identifier: Apache-2.0
// Groups of ranks. A group's name spells its handle, so that the handle table is all that finds it.
#include "hccl/hccl.h"

#include <algorithm>
#include <charconv>
#include <cinttypes>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

#include "addnorm/ranks.h"
#include "doors/aclnn/src/handles.h"
#include "doors/aclnn/src/message.h"
#include "doors/aclnn/src/ranks.h"

namespace addnorm::aclnn {
namespace {

constexpr char kNamePrefix[] = "addnorm_group_";
constexpr size_t kNamePrefixLength = sizeof kNamePrefix - 1;

struct Group {
  static constexpr Kind kKind = Kind::kGroup;
  std::mutex mutex;
  std::vector<std::shared_ptr<Rank>> ranks;  // null once destroyed
  size_t alive = 0;
};

// What an HcclComm stands for.
struct Comm {
  static constexpr Kind kKind = Kind::kComm;
  void* group = nullptr;
  uint32_t rank = 0, size = 0;
};

HcclResult Refuse(HcclResult code, const char* format, ...) noexcept __attribute__((format(printf, 2, 3)));
HcclResult Refuse(HcclResult code, const char* format, ...) noexcept {
  va_list arguments;
  va_start(arguments, format);
  FailV(code, format, arguments);
  va_end(arguments);
  return code;
}

HcclResult Null(const char* api, const char* name) noexcept {
  return Refuse(HCCL_E_PTR, "%s: rule 2-1: argument '%s' is null, expected a pointer", api, name);
}

HcclResult CheckDevices(const char* api, uint32_t count, const int32_t* devices) noexcept {
  uint32_t available = 0;
  aclrtGetDeviceCount(&available);
  if (count == 0 || count > available) {
    return Refuse(HCCL_E_PARA, "%s: rule 1-1: argument 'ndev' is %u, expected 1 to %u, the number of devices", api, count, available);
  }
  for (uint32_t i = 0; i < count; ++i) {
    if (devices[i] < 0 || static_cast<uint32_t>(devices[i]) >= available) {
      return Refuse(HCCL_E_PARA, "%s: rule 1-2: argument 'devices[%u]' is %d, expected 0 to %u", api, i, devices[i], available - 1);
    }
    for (uint32_t j = 0; j < i; ++j) {
      if (devices[i] != devices[j]) continue;
      return Refuse(HCCL_E_PARA, "%s: rule 1-3: argument 'devices[%u]' is %d, as is devices[%u], expected each device once", api, i,
                    devices[i], j);
    }
  }
  return HCCL_SUCCESS;
}

HcclResult ReadTimeout(const char* api, std::chrono::nanoseconds* timeout) noexcept {
  const char* text = std::getenv("ADDNORM_TIMEOUT");
  double seconds = 30;
  if (text != nullptr) {
    char* end = nullptr;
    seconds = std::strtod(text, &end);
    if (end == text || *end != '\0' || !(seconds > 0)) {
      return Refuse(HCCL_E_PARA, "%s: rule 1-4: the environment variable ADDNORM_TIMEOUT is '%.60s', expected seconds > 0", api, text);
    }
  }
  constexpr double kMost = 1e9;
  const double nanoseconds = (seconds < kMost ? seconds : kMost) * 1e9;
  *timeout = std::chrono::nanoseconds(nanoseconds < 1 ? 1 : static_cast<int64_t>(nanoseconds));
  return HCCL_SUCCESS;
}

void Free(std::vector<void*>* comms, void* group) noexcept {
  for (void* comm : *comms) delete static_cast<Comm*>(RetireHandle(comm, Kind::kComm));
  if (group != nullptr) delete static_cast<Group*>(RetireHandle(group, Kind::kGroup));
}

// Throws bad_alloc.
HcclResult MakeGroup(const char* api, uint32_t count, const int32_t* devices, std::chrono::nanoseconds timeout, HcclComm* out) {
  std::vector<std::unique_ptr<Communicator>> communicators(count);
  if (const Status status = MakeThreadRanks(communicators); !status.ok()) return Refuse(HCCL_E_MEMORY, "%s: %s", api, status.message());
  auto group = std::make_unique<Group>();
  std::vector<std::unique_ptr<Comm>> comms;
  for (uint32_t i = 0; i < count; ++i) {
    group->ranks.push_back(std::make_shared<Rank>());
    Rank& rank = *group->ranks.back();
    rank.communicator = std::move(communicators[i]);
    rank.device = devices[i];
    rank.timeout = timeout;
    comms.push_back(std::make_unique<Comm>(Comm{nullptr, i, count}));
  }
  group->alive = count;
  std::vector<void*> handles;
  handles.reserve(count);
  void* group_handle = AddHandle(Kind::kGroup, group.get());
  if (group_handle != nullptr) static_cast<void>(group.release());  // the handle table has it now
  for (auto& comm : comms) {
    comm->group = group_handle;
    void* handle = group_handle == nullptr ? nullptr : AddHandle(Kind::kComm, comm.get());
    if (handle == nullptr) {
      Free(&handles, group_handle);
      return Refuse(HCCL_E_MEMORY, "%s: no free handle", api);
    }
    static_cast<void>(comm.release());
    handles.push_back(handle);
  }
  std::copy(handles.begin(), handles.end(), out);
  return HCCL_SUCCESS;
}

// Calls get(comm) if no pointer is null and the handle is alive.
template <class Get>
HcclResult WithComm(const char* api, HcclComm handle, const void* out, const char* out_name, Get get) noexcept {
  if (handle == nullptr) return Null(api, "comm");
  if (out == nullptr) return Null(api, out_name);
  Pinned<Comm> comm(handle);
  if (comm) {
    get(*comm);
    return HCCL_SUCCESS;
  }
  return Refuse(HCCL_E_PARA, "%s: rule 1-5: argument 'comm' is %s, expected a live HcclComm", api, DescribeHandle(handle));
}

}  // namespace

std::shared_ptr<Rank> FindRank(const char* name, int32_t device, bool* exists) noexcept {
  *exists = false;
  if (std::strncmp(name, kNamePrefix, kNamePrefixLength) != 0) return nullptr;
  const char *begin = name + kNamePrefixLength, *end = begin + std::strlen(begin);
  uint64_t bits = 0;
  if (const auto read = std::from_chars(begin, end, bits, 16); read.ec != std::errc() || read.ptr != end) return nullptr;
  Pinned<Group> group(reinterpret_cast<const void*>(bits));  // NOLINT(performance-no-int-to-ptr): a handle is no address
  if (!group) return nullptr;
  *exists = true;
  std::lock_guard lock(group->mutex);
  for (const std::shared_ptr<Rank>& rank : group->ranks) {
    if (rank != nullptr && rank->device == device) return rank;
  }
  return nullptr;
}

}  // namespace addnorm::aclnn

using namespace addnorm::aclnn;

extern "C" {

HcclResult HcclCommInitAll(uint32_t ndev, int32_t* devices, HcclComm* comms) noexcept {
  constexpr const char* kApi = "HcclCommInitAll";
  if (devices == nullptr) return Null(kApi, "devices");
  if (comms == nullptr) return Null(kApi, "comms");
  std::chrono::nanoseconds timeout;
  if (const HcclResult status = CheckDevices(kApi, ndev, devices); status != HCCL_SUCCESS) return status;
  if (const HcclResult status = ReadTimeout(kApi, &timeout); status != HCCL_SUCCESS) return status;
  try {
    return MakeGroup(kApi, ndev, devices, timeout, comms);
  } catch (const std::bad_alloc&) {
    return Refuse(HCCL_E_MEMORY, "%s: no memory", kApi);
  }
}

HcclResult HcclGetCommName(HcclComm comm, char* commName) noexcept {
  return WithComm("HcclGetCommName", comm, commName, "commName", [&](const Comm& c) {
    std::snprintf(commName, COMM_NAME_MAX_LENGTH, "%s%" PRIx64, kNamePrefix, reinterpret_cast<uint64_t>(c.group));
  });
}
HcclResult HcclGetRankSize(HcclComm comm, uint32_t* rankSize) noexcept {
  return WithComm("HcclGetRankSize", comm, rankSize, "rankSize", [&](const Comm& c) { *rankSize = c.size; });
}
HcclResult HcclGetRankId(HcclComm comm, uint32_t* rank) noexcept {
  return WithComm("HcclGetRankId", comm, rank, "rank", [&](const Comm& c) { *rank = c.rank; });
}

HcclResult HcclCommDestroy(HcclComm comm) noexcept {
  constexpr const char* kApi = "HcclCommDestroy";
  if (comm == nullptr) return Null(kApi, "comm");
  const std::unique_ptr<Comm> gone(static_cast<Comm*>(RetireHandle(comm, Kind::kComm)));
  if (gone == nullptr) {
    return Refuse(HCCL_E_PARA, "%s: rule 1-5: argument 'comm' is %s, expected a live HcclComm", kApi, DescribeHandle(comm));
  }
  std::shared_ptr<Rank> rank;  // freed without the group's mutex
  bool last = false;
  {
    Pinned<Group> group(gone->group);
    std::lock_guard lock(group->mutex);
    rank = std::move(group->ranks[gone->rank]);
    last = --group->alive == 0;
  }
  if (last) delete static_cast<Group*>(RetireHandle(gone->group, Kind::kGroup));
  return HCCL_SUCCESS;
}

}  // extern "C"
