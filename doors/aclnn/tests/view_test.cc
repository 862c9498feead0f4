// SPDX-License-Identifier: Apache-2.0
// Overlap searches and copies against the obvious way of doing them.
#include "doors/aclnn/src/view.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <numeric>
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

constexpr Sharing kNone = Sharing::kNone, kSome = Sharing::kSome;

TEST_F(Views, OverlapsItself) {
  std::byte memory[1];
  int overlapping = 0;
  for (int i = 0; i < 40000; ++i) {
    // Ranks up to 8 at sizes up to 3, up to 4 at sizes up to 4.
    const View v = i % 2 == 0 ? Random(memory, 4, 4, 12) : Random(memory, 8, 3, 1 + static_cast<int64_t>(Below(300)));
    std::map<const std::byte*, int> seen;
    bool want = false;
    for (const std::byte* element : Elements(v)) want = seen[element]++ != 0 || want;
    ASSERT_EQ(OverlapsItself(v), want ? kSome : kNone) << i;
    overlapping += want;
  }
  EXPECT_GT(overlapping, 4000);
  EXPECT_LT(overlapping, 36000);
}

TEST_F(Views, Intersect) {
  std::vector<std::byte> memory(8192);
  int meeting = 0, same = 0;
  for (int i = 0; i < 40000; ++i) {
    const bool wide = i % 4 == 0;  // more dimensions, longer strides
    const auto any = [&] {
      std::byte* at = memory.data() + Below(100);
      return wide ? Random(at, 8, 2, 90) : Random(at, 3, 4, 9);
    };
    const View a = any(), b = any();
    std::map<const std::byte*, int> touched;
    for (const std::byte* element : Elements(a)) {
      for (int k = 0; k < a.element_bytes; ++k) touched[element + k] = 1;
    }
    bool want = false;
    for (const std::byte* element : Elements(b)) {
      for (int k = 0; k < b.element_bytes; ++k) want = want || touched.count(element + k) != 0;
    }
    ASSERT_EQ(Intersect(a, b), want ? kSome : kNone) << i;
    ASSERT_EQ(Intersect(b, a), want ? kSome : kNone) << i;
    ASSERT_TRUE(!want || RangesMeet(a, b)) << i;
    meeting += want;
    View c = b;
    c.data = a.data;
    if (!Elements(a).empty() && !Elements(c).empty() && a.element_bytes == c.element_bytes) {
      const bool equal = Elements(a) == Elements(c);
      // Repeats fold in more than one way; such views are inputs only, and "not the same" is the safe answer.
      ASSERT_TRUE(!SameMemory(a, c) || equal) << i;
      ASSERT_TRUE(!equal || OverlapsItself(a) == kSome || SameMemory(a, c)) << i;
      same += equal;
    }
  }
  EXPECT_GT(meeting, 4000);
  EXPECT_LT(meeting, 36000);
  EXPECT_GT(same, 100);
}

View Make(std::byte* data, const std::vector<int64_t>& shape, const std::vector<int64_t>& strides, int element_bytes = 2) {
  View v;
  v.rank = static_cast<int>(shape.size());
  v.element_bytes = element_bytes;
  v.data = data;
  std::copy(shape.begin(), shape.end(), v.shape);
  std::copy(strides.begin(), strides.end(), v.strides);
  return v;
}

// Memory that is only pointed at.
std::byte* const kBase = reinterpret_cast<std::byte*>(uintptr_t{1} << 50);

// Halves of the rows of one large buffer interleave without touching; this must not be lost to the search's limit.
TEST_F(Views, LargeSlicesInterleave) {
  const View left = Make(kBase, {512, 4096, 2048}, {int64_t{4096} * 4096, 4096, 1});
  View right = left;
  right.data += 2048 * 2;
  EXPECT_EQ(OverlapsItself(left), kNone);
  EXPECT_TRUE(RangesMeet(left, right));
  EXPECT_EQ(Intersect(left, right), kNone);
  right.data -= 2;
  EXPECT_EQ(Intersect(left, right), kSome);
}

// Every other element, every other row, every other of both, rows of different length, as outputs of one operator may be.
TEST_F(Views, EvenAndOddInterleave) {
  for (const int bytes : {2, 4}) {
    for (const int64_t cols : {4096, 4097}) {
      const View even = Make(kBase, {100000, cols / 2}, {cols, 2}, bytes);
      View odd = even;
      odd.data += bytes;
      EXPECT_EQ(OverlapsItself(even), kNone);
      EXPECT_EQ(Intersect(even, odd), kNone) << cols;
      EXPECT_EQ(Intersect(even, Make(kBase + bytes, {cols / 2, 100000}, {2, cols}, bytes)), kNone) << "the same, transposed";
      odd.data = kBase + 2 * cols * bytes;
      EXPECT_EQ(Intersect(even, odd), kSome) << cols;
      const View rows = Make(kBase, {50000, cols}, {2 * cols, 1}, bytes);
      EXPECT_EQ(Intersect(rows, Make(kBase + cols * bytes, {50000, cols}, {2 * cols, 1}, bytes)), kNone);
      EXPECT_EQ(Intersect(rows, even), kSome);
      const View both = Make(kBase, {50000, cols / 2}, {2 * cols, 2}, bytes);
      for (const int64_t shift : {int64_t{1}, cols, cols + 1}) {
        View other = both;
        other.data += shift * bytes;
        EXPECT_EQ(Intersect(both, other), kNone) << cols << " " << shift;
      }
    }
  }
  // Steps of 3 and of 2 meet, of 6 and 4 do where their starts are an even number apart.
  EXPECT_EQ(Intersect(Make(kBase, {1000000}, {3}), Make(kBase + 2, {1000000}, {2})), kSome);
  EXPECT_EQ(Intersect(Make(kBase, {1000000}, {6}), Make(kBase + 2, {1000000}, {4})), kNone);
  EXPECT_EQ(Intersect(Make(kBase, {1000000}, {6}), Make(kBase + 4, {1000000}, {4})), kSome);
  // Halves of 4-byte elements.
  EXPECT_EQ(Intersect(Make(kBase, {1000000}, {2}), Make(kBase + 2, {1000000}, {2})), kNone);
  EXPECT_EQ(Intersect(Make(kBase, {1000000}, {1}, 4), Make(kBase + 2, {1000000}, {2})), kSome);
}

// Two slices of one tensor, each dimension with a start, a step and a size of its own, in any order of dimensions: they share an element
// if and only if they share an index in every dimension, however large they are.
TEST_F(Views, SlicesOfOneTensor) {
  int meeting = 0;
  for (int i = 0; i < 30000; ++i) {
    const size_t rank = 1 + Below(8);
    const uint64_t largest = uint64_t{1} << (40 / rank);
    std::vector<int64_t> sizes(rank), strides(rank);
    int64_t next = 1 + static_cast<int64_t>(Below(3));  // the tensor itself may be stepped, and padded
    for (size_t d = rank; d-- > 0;) {
      sizes[d] = 1 + static_cast<int64_t>(Below(Below(2) == 0 ? 6 : largest));
      strides[d] = next;
      next = next * sizes[d] + static_cast<int64_t>(Below(2) * Below(5));
    }
    std::vector<int64_t> start[2], step[2], count[2];
    View view[2];
    for (int k = 0; k < 2; ++k) {
      int64_t offset = 0;
      std::vector<size_t> order(rank);
      for (size_t d = 0; d < rank; ++d) {
        order[d] = d;
        start[k].push_back(static_cast<int64_t>(Below(Below(2) == 0 ? 2 : static_cast<uint64_t>(sizes[d]))) % sizes[d]);
        const int64_t left = sizes[d] - start[k][d];
        step[k].push_back(1 + static_cast<int64_t>(Below(Below(2) == 0 ? 3 : static_cast<uint64_t>(left))));
        count[k].push_back((left - 1) / step[k][d] + 1 -
                           static_cast<int64_t>(Below(2) * Below(static_cast<uint64_t>((left - 1) / step[k][d] + 1))));
        offset += start[k][d] * strides[d];
      }
      std::shuffle(order.begin(), order.end(), random_);
      std::vector<int64_t> shape, view_strides;
      for (const size_t d : order) shape.push_back(count[k][d]), view_strides.push_back(step[k][d] * strides[d]);
      view[k] = Make(kBase + offset * 2, shape, view_strides);
      ASSERT_EQ(OverlapsItself(view[k]), kNone) << i;
    }
    bool want = true;
    for (size_t d = 0; d < rank && want; ++d) {
      // start0 + i step0 = start1 + j step1: the lesser of the two is walked until they meet, or a whole period has passed.
      int64_t at[2] = {start[0][d], start[1][d]};
      const int64_t begin = std::max(at[0], at[1]);
      int64_t last = 0;  // within a period of `begin`
      if (__builtin_mul_overflow(step[0][d] / std::gcd(step[0][d], step[1][d]), step[1][d], &last)) last = int64_t{1} << 50;
      last += begin;
      const int64_t end[2] = {at[0] + (count[0][d] - 1) * step[0][d], at[1] + (count[1][d] - 1) * step[1][d]};
      while (at[0] != at[1] && at[0] <= end[0] && at[1] <= end[1] && std::min(at[0], at[1]) < last) {
        const int k = at[0] < at[1] ? 0 : 1;
        at[k] += std::max(step[k][d], (at[1 - k] - at[k]) / step[k][d] * step[k][d]);
      }
      want = at[0] == at[1] && at[0] <= std::min(end[0], end[1]);
    }
    ASSERT_EQ(Intersect(view[0], view[1]), want ? kSome : kNone) << i;
    ASSERT_EQ(Intersect(view[1], view[0]), want ? kSome : kNone) << i;
    meeting += want;
  }
  EXPECT_GT(meeting, 3000);
  EXPECT_LT(meeting, 27000);
}

// Slices of one buffer that is taken for two tensors of different shapes: the strides of the two have nothing to do with each other.
TEST_F(Views, SlicesOfTwoLayouts) {
  std::vector<char> touched;
  int meeting = 0;
  for (int i = 0; i < 4000; ++i) {
    View view[2];
    for (View& v : view) {
      std::vector<int64_t> shape, strides;
      const size_t rank = 1 + Below(5);
      int64_t next = 1 + static_cast<int64_t>(Below(4));
      for (size_t d = 0; d < rank; ++d) {
        const auto step = 1 + static_cast<int64_t>(Below(3)), size = 1 + static_cast<int64_t>(Below(9));
        shape.push_back(size);
        strides.push_back(next * step);
        next *= step * size + static_cast<int64_t>(Below(3));
      }
      v = Make(kBase + 2 * Below(40), shape, strides);
    }
    touched.assign(static_cast<size_t>(Extent(view[0])) * 2 + 100, 0);
    for (const std::byte* element : Elements(view[0])) touched[static_cast<size_t>(element - kBase)] = 1;
    bool want = false;
    for (const std::byte* element : Elements(view[1])) {
      const auto at = static_cast<size_t>(element - kBase);
      want = want || (at < touched.size() && touched[at] != 0);
    }
    ASSERT_EQ(Intersect(view[0], view[1]), want ? kSome : kNone) << i;
    meeting += want;
  }
  EXPECT_GT(meeting, 400);
  EXPECT_LT(meeting, 3600);
}

// Strides that no tensor has can be too many to search. Then the answer is "unknown", and never that nothing is shared.
TEST_F(Views, IrregularStridesAreNotTakenForDisjoint) {
  int unknown = 0;
  for (int i = 0; i < 40; ++i) {
    View view[2];
    for (View& v : view) {
      std::vector<int64_t> strides;
      for (int d = 0; d < 8; ++d) strides.push_back((int64_t{1} << 36) + static_cast<int64_t>(Below(uint64_t{1} << 36)) * 2);
      v = Make(kBase, {16, 16, 16, 16, 16, 16, 16, 16}, strides);
    }
    // One element of the second lies on one of the first.
    for (int d = 0; d < 8; ++d) {
      view[1].data += (static_cast<int64_t>(Below(16)) * view[0].strides[d] - static_cast<int64_t>(Below(16)) * view[1].strides[d]) * 2;
    }
    ASSERT_TRUE(RangesMeet(view[0], view[1]));
    const Sharing sharing = Intersect(view[0], view[1]);
    EXPECT_NE(sharing, kNone);
    unknown += sharing == Sharing::kUnknown;
  }
  EXPECT_GT(unknown, 0) << "harder ones are needed to show what happens then";
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
    if (OverlapsItself(v) != kNone) continue;
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
