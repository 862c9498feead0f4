// SPDX-License-Identifier: Apache-2.0
// Memory of test operands (problems.h): exact-size heap blocks, or pages with an untouchable neighbour.
#include "tests/problems.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "tests/reference-inl.h"

namespace addnorm::test {
namespace {

// `bytes` that end (kGuardAfter) or begin (kGuardBefore) exactly at a PROT_NONE page.
std::shared_ptr<std::byte> Map(size_t bytes, Placement placement) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t inside = (bytes + page - 1) / page * page, mapped = inside + 2 * page;
  void* memory = mmap(nullptr, mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  std::byte* base = static_cast<std::byte*>(memory);
  if (inside != 0 && mprotect(base + page, inside, PROT_READ | PROT_WRITE) != 0) std::abort();
  return {placement == Placement::kGuardBefore ? base + page : base + page + inside - bytes,
          [base, mapped](std::byte*) { munmap(base, mapped); }};
}

}  // namespace

Operand::Operand(DType dtype, std::vector<int64_t> shape, std::vector<int64_t> strides, bool unaligned, Placement placement)
    : dtype_(dtype), shape_(std::move(shape)), strides_(std::move(strides)) {
  const std::vector<ptrdiff_t> offsets = Offsets(view(), 0, shape_.size());
  const ptrdiff_t size = static_cast<ptrdiff_t>(SizeOf(dtype));
  if (offsets.empty()) return;  // no element: no memory, and null data
  const auto [low, high] = std::minmax_element(offsets.begin(), offsets.end());
  const ptrdiff_t lead = unaligned && placement == Placement::kHeap ? 1 : 0;
  byte_count_ = static_cast<size_t>((*high - *low + 1 + lead) * size);
  if (placement == Placement::kHeap) {
    memory_ = {new std::byte[byte_count_], std::default_delete<std::byte[]>()};
  } else {
    memory_ = Map(byte_count_, placement);
  }
  std::memset(bytes(), 0, byte_count_);
  data_ = bytes() + (lead - *low) * size;
}

void Operand::Fill(int byte) {
  if (byte_count_ != 0) std::memset(bytes(), byte, byte_count_);
}

bool Operand::PaddingIs(int byte) const {
  if (byte_count_ == 0 || strides_.empty()) return true;  // contiguous: nothing between elements
  std::vector<char> covered(byte_count_, 0);
  const size_t size = SizeOf(dtype_);
  const size_t origin = static_cast<size_t>(static_cast<std::byte*>(data_) - bytes());
  for (const ptrdiff_t offset : Offsets(view(), 0, shape_.size())) {
    const size_t at = static_cast<size_t>(static_cast<ptrdiff_t>(origin) + offset * static_cast<ptrdiff_t>(size));
    std::fill_n(covered.begin() + static_cast<ptrdiff_t>(at), size, 1);
  }
  for (size_t i = 0; i < byte_count_; ++i) {
    if (!covered[i] && bytes()[i] != static_cast<std::byte>(byte)) return false;
  }
  return true;
}

uint64_t Operand::Hash() const {  // FNV-1a over words
  uint64_t hash = 0xCBF29CE484222325u;
  size_t i = 0;
  for (; i + 8 <= byte_count_; i += 8) {
    uint64_t word;
    std::memcpy(&word, bytes() + i, 8);
    hash = (hash ^ word) * 0x100000001B3u;
  }
  for (; i < byte_count_; ++i) hash = (hash ^ static_cast<uint64_t>(bytes()[i])) * 0x100000001B3u;
  return hash;
}

}  // namespace addnorm::test
