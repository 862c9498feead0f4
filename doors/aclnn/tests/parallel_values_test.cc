// SPDX-License-Identifier: Apache-2.0
// Values of the tensor-parallel operators: the bits of the core's C++ API, on every rank, and exact integers in the int8 scenario.
#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "addnorm/ranks.h"
#include "doors/aclnn/tests/parallel_calls.h"

namespace addnorm::aclnn_test {
namespace {

struct Case {
  ParallelOp op = ParallelOp::kPlain;
  ParallelShape shape;
  aclDataType type = ACL_FLOAT16;
  int ranks = 1;
  int64_t group_size = 0;
  bool bias = true, offset = true, signed_words = false, per_tensor = false;
};

ParallelCall MakeRank(const Case& c, int rank, const std::string& group) {
  ParallelCall call = MakeParallelCall(c.op, c.shape, c.type, group);
  const int64_t groups = c.group_size == 0 ? 1 : (c.shape.k + c.group_size - 1) / c.group_size;
  if (!c.bias || (rank == 1 && c.ranks > 2)) call.tensors.erase("bias");  // ranks may differ in that
  if (const char* scale = ScaleOf(c.op)) {
    Dims dims = c.per_tensor ? Dims{1} : c.group_size != 0 ? Dims{groups, c.shape.n} : Dims{1, c.shape.n};
    call.tensors[scale] = TestTensor(c.signed_words && IsQuant(c.op) && c.type == ACL_FLOAT16 ? ACL_INT64 : call[scale].type, dims);
    if (IsWeightQuant(c.op)) call.tensors["antiquantOffset"] = TestTensor(c.type, dims);
    if (!c.offset) call.tensors.erase("antiquantOffset");
  }
  call.group_size = c.group_size;
  for (auto& [name, tensor] : call.tensors) tensor.Allocate();
  FillInputs(&call, 77, rank);
  return call;
}

std::vector<std::byte> Outputs(ParallelCall& call) {
  std::vector<std::byte> bytes = *call[call.y_name()].memory;
  bytes.insert(bytes.end(), call["normOut"].memory->begin(), call["normOut"].memory->end());
  return bytes;
}

// The same by the core's API on a group of its own.
std::vector<std::vector<std::byte>> RunCore(const Case& c) {
  std::vector<std::unique_ptr<Communicator>> group(static_cast<size_t>(c.ranks));
  EXPECT_TRUE(MakeThreadRanks(group).ok());
  std::vector<std::vector<std::byte>> outputs(group.size());
  std::vector<std::thread> threads;
  for (int rank = 0; rank < c.ranks; ++rank) {
    threads.emplace_back([&, rank] {
      ParallelCall call = MakeRank(c, rank, "");
      const Status status = MatmulAllReduceAddRmsNorm(call.Problem(), *group[static_cast<size_t>(rank)]);
      EXPECT_TRUE(status.ok()) << status.message();
      outputs[static_cast<size_t>(rank)] = Outputs(call);
    });
  }
  for (std::thread& thread : threads) thread.join();
  return outputs;
}

void ExpectBitsOfTheCore(const Case& c, const RankGroup& group) {
  SCOPED_TRACE(std::string(ApiOf(c.op)) + " type " + std::to_string(c.type) + " ranks " + std::to_string(c.ranks) + " k " +
               std::to_string(c.shape.k) + " n " + std::to_string(c.shape.n) + " transposed " + std::to_string(c.shape.transposed) +
               " group size " + std::to_string(c.group_size));
  const auto expected = RunCore(c);
  std::vector<std::vector<std::byte>> got(expected.size());
  group.OnRanks([&](int rank) {
    ParallelCall call = MakeRank(c, rank, group.name);
    EXPECT_EQ(call.Run(), ACLNN_SUCCESS) << RecentText();
    got[static_cast<size_t>(rank)] = Outputs(call);
    aclDataType type;
    if (c.signed_words && IsQuant(c.op) && aclGetDataType(call.Handle("dequantScale"), &type) == ACLNN_SUCCESS) {
      EXPECT_EQ(type, c.type == ACL_FLOAT16 ? ACL_UINT64 : ACL_BF16);
    }
  });
  for (size_t rank = 0; rank < got.size(); ++rank) {
    EXPECT_TRUE(got[rank] == expected[rank]) << "rank " << rank;
    EXPECT_TRUE(got[rank] == got[0]) << "rank " << rank << " differs from rank 0";
  }
}

TEST(ParallelValues, BitsOfTheCore) {
  for (const int ranks : {1, 2, 4, 8}) {
    const RankGroup group(ranks, ranks == 8 ? 0 : 1);  // rank and device are not the same number
    for (const ParallelOp op : kParallelOps) {
      for (const aclDataType type : {ACL_FLOAT16, ACL_BF16}) {
        for (const bool odd : {false, true}) {
          Case c{.op = op, .type = type, .ranks = ranks};
          c.shape.transposed = odd;
          c.shape.flat_x1 = odd;
          c.bias = !odd || ranks > 1;
          c.signed_words = odd;
          if (odd) c.shape.k = 77, c.shape.n = 33, c.shape.s = 5;
          ExpectBitsOfTheCore(c, group);
          if (!IsWeightQuant(op)) continue;
          c.group_size = odd ? 64 : 32;  // odd: the last group is shorter
          c.offset = !odd;
          ExpectBitsOfTheCore(c, group);
        }
        if (ScaleOf(op) == nullptr) continue;
        Case one{.op = op, .type = type, .ranks = ranks};
        one.per_tensor = true;
        ExpectBitsOfTheCore(one, group);
      }
    }
  }
}

// k = 1 or n = 1: strides that could be read either way.
TEST(ParallelValues, SlimMatrices) {
  const RankGroup group(2);
  for (const ParallelOp op : kParallelOps) {
    for (const bool transposed : {false, true}) {
      Case c{.op = op, .ranks = 2};
      c.shape = {1, 3, 1, 40, false, transposed};
      ExpectBitsOfTheCore(c, group);
      c.shape = {3, 1, 70, 1, true, transposed};
      ExpectBitsOfTheCore(c, group);
      c.shape = {1, 1, 1, 1, false, transposed};
      ExpectBitsOfTheCore(c, group);
    }
  }
}

// y in the memory of residual, as in the Inplace operators.
TEST(ParallelValues, YMayBeResidual) {
  const RankGroup group(2);
  for (const ParallelOp op : {ParallelOp::kPlain, ParallelOp::kQuant, ParallelOp::kWeightQuant}) {
    const Case c{.op = op, .ranks = 2};
    const auto expected = RunCore(c);
    group.OnRanks([&](int rank) {
      ParallelCall call = MakeRank(c, rank, group.name);
      call["y"].memory = call["residual"].memory;
      EXPECT_EQ(call.Run(), ACLNN_SUCCESS) << RecentText();
      EXPECT_TRUE(Outputs(call) == expected[static_cast<size_t>(rank)]);
    });
  }
}

float HalfAt(const TestTensor& t, size_t i) {
  uint16_t bits;
  std::memcpy(&bits, t.memory->data() + 2 * i, 2);
  return aclFloat16ToFloat(bits);
}

// Sums by integers, products with the scale's 19 bits in double, one float per rank, added in rank order; float16 saturates.
TEST(ParallelValues, Int8IsExact) {
  const RankGroup group(4);
  Case c{.op = ParallelOp::kQuant, .ranks = 4};
  c.shape = {2, 3, 4096, 24, false, true};
  std::vector<ParallelCall> calls;
  for (int rank = 0; rank < 4; ++rank) {
    calls.push_back(MakeRank(c, rank, group.name));
    ParallelCall& call = calls.back();
    // Rows 0 and 1: all extremes, sums above 2^24 and results beyond float16.
    std::memset(call["x1"].memory->data(), 0x80, 2 * 4096);
    for (size_t n = 0; n < 24; n += 3) std::memset(call["x2"].memory->data() + n * 4096, n % 2 == 0 ? 0x80 : 0x7F, 4096);
  }
  group.OnRanks([&](int rank) { EXPECT_EQ(calls[static_cast<size_t>(rank)].Run(), ACLNN_SUCCESS) << RecentText(); });
  int saturated = 0, large = 0;
  for (size_t i = 0; i < 6; ++i) {
    for (size_t j = 0; j < 24; ++j) {
      float sum = 0;
      for (ParallelCall& call : calls) {
        const auto* x1 = reinterpret_cast<const int8_t*>(call["x1"].memory->data());
        const auto* x2 = reinterpret_cast<const int8_t*>(call["x2"].memory->data());
        int64_t exact = 0;
        for (size_t k = 0; k < 4096; ++k) exact += int64_t{x1[i * 4096 + k]} * x2[j * 4096 + k];
        if (call.has("bias")) exact += reinterpret_cast<const int32_t*>(call["bias"].memory->data())[j];
        large += exact > 1 << 24;
        uint32_t bits;
        std::memcpy(&bits, call["dequantScale"].memory->data() + 8 * j, 4);
        bits &= 0xFFFFE000u;
        float scale;
        std::memcpy(&scale, &bits, 4);
        sum += static_cast<float>(static_cast<double>(exact) * static_cast<double>(scale));
      }
      sum += HalfAt(calls[0]["residual"], i * 24 + j);
      const float expected = aclFloat16ToFloat(aclFloatToFloat16(sum));
      saturated += std::fabs(expected) == 65504;
      for (ParallelCall& call : calls) EXPECT_EQ(HalfAt(call["y"], i * 24 + j), expected) << i << " " << j;
    }
  }
  EXPECT_GT(saturated, 0);
  EXPECT_GT(large, 0);
}

// x2 of zeros and scales of ones leave the residual: what is stored is what came in.
TEST(ParallelValues, OnlyTheLowBitsOfWordsCount) {
  const RankGroup group(1);
  group.OnRanks([&](int) {
    ParallelCall call = MakeParallelCall(ParallelOp::kQuant, {1, 1, 1, 8, false, false}, ACL_FLOAT16, group.name);
    for (auto& [name, tensor] : call.tensors) tensor.Allocate();
    call["x1"].memory->at(0) = std::byte{1};
    // 1 with its low 13 bits set, and with any upper half; the last word is float bits 1, which vanish.
    const uint64_t words[8] = {0x3F800000, 0x3F801FFF, 0xFFFFFFFF3F800000, 0x00007FE03F801FFF, 0xBF801FFF, 0x3F802000, 0x0, 0x1};
    const float wanted[8] = {1, 1, 1, 1, -1, 1 + 1.0f / 1024, 0, 0};
    std::memset(call["x2"].memory->data(), 1, 8);
    std::memcpy(call["dequantScale"].memory->data(), words, sizeof words);
    ASSERT_EQ(call.Run(), ACLNN_SUCCESS) << RecentText();
    for (size_t i = 0; i < 8; ++i) EXPECT_EQ(HalfAt(call["y"], i), wanted[i]) << i;
  });
}

// No rows or no columns: nothing is done, and group, streamMode and outputs are not looked at.
TEST(ParallelValues, EmptyTensors) {
  ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
  for (const ParallelOp op : kParallelOps) {
    for (const ParallelShape& shape : {ParallelShape{0, 3, 64, 40, false, false}, ParallelShape{2, 3, 64, 0, false, false}}) {
      ParallelCall call = MakeParallelCall(op, shape, ACL_FLOAT16, "");
      EXPECT_EQ(call.Run(), ACLNN_SUCCESS) << RecentText();
      call.null_group = true;
      call.stream_mode = 7;
      call.comm_turn = 3;
      call.epsilon = -1;
      call.reduce_op = "max";
      if (!IsInplace(op)) call.tensors.erase("y");
      call.tensors.erase("normOut");
      uint64_t size = 9;
      aclOpExecutor* executor = nullptr;
      EXPECT_EQ(call.Phase1(&size, &executor), ACLNN_SUCCESS) << RecentText();
      EXPECT_EQ(size, 0u);
      EXPECT_EQ(call.Phase2(nullptr, 0, executor, nullptr), ACLNN_SUCCESS) << RecentText();
    }
  }
}

}  // namespace
}  // namespace addnorm::aclnn_test
