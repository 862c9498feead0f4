// SPDX-License-Identifier: Apache-2.0
// A file descriptor that closes itself.
#ifndef ADDNORM_SRC_COMM_DESCRIPTOR_H_
#define ADDNORM_SRC_COMM_DESCRIPTOR_H_

#include <unistd.h>

#include <utility>

namespace addnorm::comm {

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

}  // namespace addnorm::comm
#endif  // ADDNORM_SRC_COMM_DESCRIPTOR_H_
