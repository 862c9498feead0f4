// SPDX-License-Identifier: Apache-2.0
// Overlap searches and copies against the obvious way of doing them.
#include "doors/aclnn/src/view.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <random>
#include <vector>

namespace addnorm::aclnn {
namespace {

class Views : public ::testing::Test {
 protected:
  uint64_t Below(uint64_t n) { return random_() % n; }
  View Random(std::byte* data, int max_rank, int64_t max_size, int64_t max_stride) {
    View v;
    v.rank = static_cast<int>(Below(static_cast<uint64_t>(max_rank) + 1));
    v.element_bytes = Below(2) == 0 ? 2 : 4;
    v.data = data;
    for (int i = 0; i < v.rank; ++i) {
      v.shape[i] = static_cast<int64_t>(Below(static_cast<uint64_t>(max_size) + 1));
      if (v.shape[i] == 0 && Below(4) != 0) v.shape[i] = 1;
      v.strides[i] = static_cast<int64_t>(Below(static_cast<uint64_t>(max_stride) + 1));
    }
    return v;
  }
  // Byte addresses of all elements, in order.
  static std::vector<const std::byte*> Elements(const View& v) {
    std::vector<const std::byte*> all;
    const int64_t count = CountElements(v.shape, v.rank);
    for (int64_t i = 0; i < count; ++i) {
      int64_t rest = i, at = 0;
      for (int d = v.rank; d-- > 0; rest /= v.shape[d]) at += rest % v.shape[d] * v.strides[d];
      all.push_back(v.data + at * v.element_bytes);
    }
    return all;
  }
  std::mt19937_64 random_{7};
};

TEST_F(Views, OverlapsItself) {
  std::byte memory[1];
  int overlapping = 0;
  for (int i = 0; i < 40000; ++i) {
    const View v = Random(memory, 4, 4, 12);
    std::map<const std::byte*, int> seen;
    bool want = false;
    for (const std::byte* element : Elements(v)) want = seen[element]++ != 0 || want;
    ASSERT_EQ(OverlapsItself(v), want) << i;
    overlapping += want;
  }
  EXPECT_GT(overlapping, 4000);
  EXPECT_LT(overlapping, 36000);
}

TEST_F(Views, Intersect) {
  std::vector<std::byte> memory(1024);
  int meeting = 0, same = 0;
  for (int i = 0; i < 40000; ++i) {
    const View a = Random(memory.data() + Below(100), 3, 4, 9), b = Random(memory.data() + Below(100), 3, 4, 9);
    std::map<const std::byte*, int> touched;
    for (const std::byte* element : Elements(a)) {
      for (int k = 0; k < a.element_bytes; ++k) touched[element + k] = 1;
    }
    bool want = false;
    for (const std::byte* element : Elements(b)) {
      for (int k = 0; k < b.element_bytes; ++k) want = want || touched.count(element + k) != 0;
    }
    ASSERT_EQ(Intersect(a, b), want) << i;
    ASSERT_EQ(Intersect(b, a), want) << i;
    ASSERT_TRUE(!want || RangesMeet(a, b)) << i;
    meeting += want;
    View c = b;
    c.data = a.data;
    if (!Elements(a).empty() && !Elements(c).empty() && a.element_bytes == c.element_bytes) {
      const bool equal = Elements(a) == Elements(c);
      // Repeats fold in more than one way; such views are inputs only, and "not the same" is the safe answer.
      ASSERT_TRUE(!SameMemory(a, c) || equal) << i;
      ASSERT_TRUE(!equal || OverlapsItself(a) || SameMemory(a, c)) << i;
      same += equal;
    }
  }
  EXPECT_GT(meeting, 4000);
  EXPECT_LT(meeting, 36000);
  EXPECT_GT(same, 100);
}

// Halves of the rows of one large buffer interleave without touching; this must not be lost to the search's limit.
TEST_F(Views, LargeSlicesInterleave) {
  auto* base = reinterpret_cast<std::byte*>(uintptr_t{1} << 40);
  View left, right;
  left.rank = right.rank = 3;
  left.element_bytes = right.element_bytes = 2;
  const int64_t shape[] = {512, 4096, 2048}, strides[] = {int64_t{4096} * 4096, 4096, 1};
  std::copy(shape, shape + 3, left.shape), std::copy(shape, shape + 3, right.shape);
  std::copy(strides, strides + 3, left.strides), std::copy(strides, strides + 3, right.strides);
  left.data = base;
  right.data = base + 2048 * 2;
  EXPECT_FALSE(OverlapsItself(left));
  EXPECT_TRUE(RangesMeet(left, right));
  EXPECT_FALSE(Intersect(left, right));
  right.data -= 2;
  EXPECT_TRUE(Intersect(left, right));
}

TEST_F(Views, GatherAndScatter) {
  std::vector<std::byte> memory(1 << 16), dense(1 << 16);
  for (std::byte& b : memory) b = static_cast<std::byte>(random_());
  for (int i = 0; i < 3000; ++i) {
    View v = Random(memory.data() + Below(7), 5, 4, 40);
    if (i % 10 == 0)
      v.rank = 2, v.shape[0] = static_cast<int64_t>(Below(150)), v.shape[1] = static_cast<int64_t>(Below(90)), v.strides[0] = 1,
      v.strides[1] = 150;
    if (Extent(v) * v.element_bytes + 7 > static_cast<int64_t>(memory.size())) continue;
    const auto elements = Elements(v);
    const auto bytes = static_cast<size_t>(v.element_bytes);
    std::fill(dense.begin(), dense.end(), std::byte{0});
    std::byte* to = dense.data() + Below(3);
    Gather(v, to);
    for (size_t k = 0; k < elements.size(); ++k) ASSERT_EQ(std::memcmp(to + k * bytes, elements[k], bytes), 0) << i;
    ASSERT_EQ(to[elements.size() * bytes], std::byte{0});
    if (OverlapsItself(v)) continue;
    std::vector<std::byte> before = memory;
    for (size_t k = 0; k < elements.size() * bytes; ++k) to[k] ^= std::byte{0x5A};
    Scatter(to, v);
    for (size_t k = 0; k < elements.size(); ++k) {
      ASSERT_EQ(std::memcmp(to + k * bytes, elements[k], bytes), 0) << i;
      std::memcpy(before.data() + (elements[k] - memory.data()), elements[k], bytes);
    }
    ASSERT_TRUE(before == memory) << i << ": written between the elements";
  }
}

TEST_F(Views, LargeTransposedCopy) {
  constexpr int64_t kRows = 700, kCols = 900;
  std::vector<float> from(kRows * kCols), to(kRows * kCols);
  for (size_t i = 0; i < from.size(); ++i) from[i] = static_cast<float>(i);
  View v;
  v.rank = 2;
  v.element_bytes = 4;
  v.shape[0] = kCols, v.shape[1] = kRows, v.strides[0] = 1, v.strides[1] = kCols;
  v.data = reinterpret_cast<std::byte*>(from.data());
  Gather(v, reinterpret_cast<std::byte*>(to.data()));
  for (int64_t c = 0; c < kCols; ++c) {
    for (int64_t r = 0; r < kRows; ++r) ASSERT_EQ(to[static_cast<size_t>(c * kRows + r)], from[static_cast<size_t>(r * kCols + c)]);
  }
}

TEST_F(Views, Counts) {
  const int64_t huge[] = {int64_t{1} << 40, int64_t{1} << 40, 0}, fits[] = {int64_t{1} << 23, int64_t{1} << 23}, over[] = {kMaxElements, 2};
  EXPECT_EQ(CountElements(huge, 3), 0) << "a zero goes before everything";
  EXPECT_EQ(CountElements(huge, 2), -1);
  EXPECT_EQ(CountElements(fits, 2), kMaxElements);
  EXPECT_EQ(CountElements(over, 2), -1);
  EXPECT_EQ(CountElements(nullptr, 0), 1);
}

}  // namespace
}  // namespace addnorm::aclnn
