// SPDX-License-Identifier: Apache-2.0
// Memory that one call owns: aligned for any vector, asked for before the ranks meet, so that its lack can still be told to all.
#ifndef ADDNORM_SRC_PARALLEL_BUFFER_H_
#define ADDNORM_SRC_PARALLEL_BUFFER_H_

#include <cstddef>
#include <memory>
#include <new>
#include <span>

#include "addnorm/types.h"

namespace addnorm {

class Buffer {
 public:
  static constexpr std::align_val_t kAlign{64};

  // Forgets what it held. kInternal if there is no memory.
  Status Allocate(const char* api, const char* what, size_t bytes) {
    memory_.reset(bytes ? static_cast<std::byte*>(operator new(bytes, kAlign, std::nothrow)) : nullptr);
    bytes_ = memory_ ? bytes : 0;
    if (bytes != bytes_) return Status::Error(Code::kInternal, "%s: %zu bytes for %s could not be allocated", api, bytes, what);
    return Status();
  }
  std::byte* data() const { return memory_.get(); }
  size_t bytes() const { return bytes_; }
  std::span<std::byte> span() const { return {memory_.get(), bytes_}; }

 private:
  struct Free {
    void operator()(std::byte* memory) const { operator delete(memory, kAlign); }
  };
  std::unique_ptr<std::byte, Free> memory_;
  size_t bytes_ = 0;
};

}  // namespace addnorm
#endif  // ADDNORM_SRC_PARALLEL_BUFFER_H_
