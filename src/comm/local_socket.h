// SPDX-License-Identifier: Apache-2.0
// Unix sockets with abstract names, packets that carry descriptors, and a deadline on everything. For the rendezvous only.
#ifndef ADDNORM_SRC_COMM_LOCAL_SOCKET_H_
#define ADDNORM_SRC_COMM_LOCAL_SOCKET_H_

#include <span>
#include <string>
#include <vector>

#include "addnorm/communicator.h"
#include "src/comm/descriptor.h"

namespace addnorm::comm {

/// A new random address.
Status MakeAddress(std::string* address);
bool IsAddress(const std::string& address);
Status ListenAt(const std::string& address, Descriptor* listener);
/// A peer of the same user.
Status ConnectTo(const std::string& address, Deadline deadline, Descriptor* peer);
/// A connection that waits at `listener` and is of this user; empty if there is none.
Descriptor AcceptFrom(int listener);

Status SendPacket(int peer, std::span<const std::byte> bytes, std::span<const int> descriptors, Deadline deadline);
/// Exactly bytes.size() bytes and at most `most` descriptors. Does not wait.
Status ReceivePacket(int peer, std::span<std::byte> bytes, size_t most, std::vector<Descriptor>* descriptors);
/// Indices of those of `sockets` that have something to read, or are closed; empty at the deadline.
std::vector<size_t> AwaitReadable(std::span<const int> sockets, Deadline deadline);

}  // namespace addnorm::comm
#endif  // ADDNORM_SRC_COMM_LOCAL_SOCKET_H_
