// SPDX-License-Identifier: Apache-2.0
// Bad input to the tensor-parallel operators: every rule has a problem that breaks it and nothing else, and a nearest one that must pass.
// The refusing rank gets the message, the others an error that names it; no output byte changes; the next call succeeds.
#include <gtest/gtest.h>

#include <functional>

#include "addnorm/parallel.h"
#include "tests/parallel_problem.h"
#include "tests/parallel_rules.h"

namespace addnorm::test::parallel {
namespace {

std::vector<std::byte> Bytes(const Case& c) {
  std::vector<std::byte> bytes(c.y.storage, c.y.storage + sizeof(c.y.storage));
  for (const Case::Tensor* t : {&c.norm_out, &c.residual, &c.x1, &c.x2, &c.gamma})
    bytes.insert(bytes.end(), t->storage, t->storage + sizeof(t->storage));
  return bytes;
}

// Rank 1 of 3 breaks the rule; then all do as they should.
void ExpectRefused(const Rule& rule) {
  std::vector<Case> cases;
  for (int q = 0; q < 3; ++q) cases.emplace_back(rule.kind);
  rule.spoil(cases[1]);
  std::vector<std::vector<std::byte>> before;
  for (const Case& c : cases) before.push_back(Bytes(c));
  std::vector<std::string> after(3);
  const std::vector<Status> statuses = OnRanks(3, [&](int q, Communicator& ranks) {
    Case& c = cases[static_cast<size_t>(q)];
    const Status status = MatmulAllReduceAddRmsNorm(c.call(), ranks, c.timeout, c.executor);
    Case sound(rule.kind);
    after[static_cast<size_t>(q)] = MatmulAllReduceAddRmsNorm(sound.call(), ranks, std::chrono::seconds(20), SerialExecutor()).message();
    return status;
  });
  for (size_t q = 0; q < 3; ++q) {
    const std::string text = statuses[q].message();
    EXPECT_EQ(Bytes(cases[q]), before[q]) << rule.name << " wrote on rank " << q;
    EXPECT_EQ(after[q], "") << rule.name << ": the next call failed on rank " << q;
    if (q != 1) {
      EXPECT_EQ(statuses[q].code(), Code::kPeer) << rule.name << ": " << text;
      EXPECT_NE(text.find("rank 1"), std::string::npos) << rule.name << ": " << text;
      continue;
    }
    EXPECT_EQ(statuses[q].code(), rule.code) << rule.name << ": " << text;
    EXPECT_EQ(text.find("the_operator: "), 0u) << rule.name << ": " << text;
    EXPECT_NE(text.find("expected"), std::string::npos) << rule.name << ": " << text;
    for (const std::string& piece : rule.says)
      EXPECT_NE(text.find(piece), std::string::npos) << rule.name << " should say \"" << piece << "\": " << text;
  }
}

TEST(ParallelRules, EveryRuleRefusesOnAllRanks) {
  for (const Rule& rule : Rules()) ExpectRefused(rule);
  EXPECT_GE(Rules().size(), 70u);
}

TEST(ParallelRules, WhatIsAllowed) {
  const struct {
    const char* name;
    Kind kind;
    Spoil change;
  } allowed[] = {
      {"nothing changed", kFloat, [](Case&) {}},
      {"nothing changed, int8", kInt8, [](Case&) {}},
      {"nothing changed, int8 weights", kWeights, [](Case&) {}},
      {"no bias", kFloat, [](Case& c) { c.bias.absent = true; }},
      {"no offset", kWeights, [](Case& c) { c.antiquant_offset.absent = true; }},
      {"epsilon 0", kFloat, [](Case& c) { c.epsilon = 0; }},
      {"any mixture of float types", kFloat,
       [](Case& c) {
         c.x1.dtype = kF16, c.x2.dtype = kBF16, c.bias.dtype = kF32, c.gamma.dtype = kBF16;
         c.residual.dtype = c.y.dtype = c.norm_out.dtype = kF16;
       }},
      {"offset of another type than the scale", kWeights, [](Case& c) { c.antiquant_scale.dtype = kBF16; }},
      {"a group larger than k", kWeights,
       [](Case& c) {
         c.group = 100, c.antiquant_scale.shape = c.antiquant_offset.shape = {1, 4};
       }},
      {"a group with a tail", kWeights, [](Case& c) { c.group = 5; }},
      {"one scale", kWeights, [](Case& c) { c.group = 0, c.antiquant_scale.shape = c.antiquant_offset.shape = {1}; }},
      {"packed scales", kInt8, [](Case& c) { c.dequant_scale.dtype = kI64; }},
      {"unsigned packed scales", kInt8,
       [](Case& c) {
         c.dequant_scale.dtype = kU64, c.dequant_scale.shape = {1, 4};
       }},
      {"one scale for all, bfloat16", kInt8, [](Case& c) { c.dequant_scale.dtype = kBF16, c.dequant_scale.shape = {1}; }},
      {"every other scale", kInt8, [](Case& c) { c.dequant_scale.strides = {2}; }},
      {"x2 transposed", kFloat,
       [](Case& c) {
         c.x2.strides = {1, 8};
       }},
      {"x2 with a row stride", kFloat,
       [](Case& c) {
         c.x2.strides = {9, 1};
       }},
      {"x1 with a row stride", kFloat,
       [](Case& c) {
         c.x1.strides = {30, 10, 1};
       }},
      {"x1 flat", kFloat,
       [](Case& c) {
         c.x1.shape = {6, 8};
       }},
      {"y is the residual", kFloat, [](Case& c) { c.y.at = c.residual.storage; }},
      {"more blocks than rows", kFloat, [](Case& c) { c.comm_turn = 1000000; }},
      {"narrow partial sums", kFloat, [](Case& c) { c.comm_dtype = kBF16; }},
      {"no rows", kFloat,
       [](Case& c) {
         c.x1.shape = {2, 0, 8}, c.residual.shape = c.y.shape = c.norm_out.shape = {2, 0, 4};
         for (Case::Tensor* t : {&c.x1, &c.residual, &c.y, &c.norm_out}) t->null = true;
       }},
      {"no columns", kFloat,
       [](Case& c) {
         c.x2.shape = {8, 0}, c.bias.shape = c.gamma.shape = {0}, c.residual.shape = c.y.shape = c.norm_out.shape = {2, 3, 0};
         for (Case::Tensor* t : {&c.x2, &c.bias, &c.gamma, &c.residual, &c.y, &c.norm_out}) t->null = true;
       }},
      {"unlimited time", kFloat, [](Case& c) { c.timeout = std::chrono::nanoseconds::max(); }},
  };
  for (const auto& one : allowed) {
    for (const Status& status : OnRanks(2, [&](int, Communicator& ranks) {
           Case c(one.kind);
           one.change(c);
           return MatmulAllReduceAddRmsNorm(c.call(), ranks, c.timeout, c.executor);
         }))
      EXPECT_TRUE(status.ok()) << one.name << ": " << status.message();
  }
}

// ---- Prepared weights. ----------------------------------------------------------------------------------------------

std::string Refusal(Case& c, const PreparedWeights* prepared) {
  c.prepared = prepared;
  std::string text;
  for (const Status& status : OnRanks(1, [&](int, Communicator& ranks) { return MatmulAllReduceAddRmsNorm(c.call(), ranks); }))
    text = status.message();
  return text;
}

TEST(ParallelRules, PreparedWeights) {
  for (const Kind kind : {kFloat, kInt8, kWeights}) {
    Case c(kind);
    PreparedWeightsPtr prepared;
    ASSERT_TRUE(PrepareWeights(c.call(), &prepared).ok());
    EXPECT_EQ(RowsOf(*prepared), 8);
    EXPECT_EQ(ColumnsOf(*prepared), 4);
    EXPECT_GE(BytesOf(*prepared), kind == kFloat ? 128u : 32u);
    EXPECT_NE(Refusal(c, prepared.get()).find("'x2' is given, expected none"), std::string::npos);
    c.x2.absent = true;
    if (kind == kWeights) {
      EXPECT_NE(Refusal(c, prepared.get()).find("'antiquant_scale' is given, expected none"), std::string::npos);
      c.antiquant_scale.absent = true;
      EXPECT_NE(Refusal(c, prepared.get()).find("'antiquant_offset' is given, expected none"), std::string::npos);
      c.antiquant_offset.absent = true;
      EXPECT_NE(Refusal(c, prepared.get()).find("'antiquant_group_size' is 4, expected 0"), std::string::npos);
      c.has_antiquant = false;
    }
    EXPECT_EQ(Refusal(c, prepared.get()), "");
    c.x1.dtype = kind == kInt8 ? kF32 : kI8;
    EXPECT_NE(Refusal(c, prepared.get()).find(kind == kInt8 ? "'x1' is float32, expected int8" : "'x1' is int8, expected float32"),
              std::string::npos);
    Case longer(kind);
    longer.x2.absent = true, longer.has_antiquant = false, longer.x1.shape = {2, 3, 9};
    EXPECT_NE(Refusal(longer, prepared.get()).find("'x1' has shape [2, 3, 9], expected 8 columns"), std::string::npos);
  }
}

TEST(ParallelRules, PreparingRefuses) {
  const struct {
    Kind kind;
    Spoil spoil;
    const char* says;
  } rules[] = {
      {kFloat, [](Case& c) { c.x2.absent = true; }, "'x2' is absent"},
      {kFloat, [](Case& c) { c.x2.dtype = kF64; }, "'x2' is float64, expected float32"},
      {kFloat,
       [](Case& c) {
         c.x2.shape = {0, 4};
       },
       "expected k >= 1"},
      {kFloat,
       [](Case& c) {
         c.x2.strides = {8, 2};
       },
       "transposed"},
      {kFloat, [](Case& c) { c.has_antiquant = true; }, "'antiquant_scale' is given, expected none"},
      {kWeights,
       [](Case& c) {
         c.antiquant_scale.shape = {3, 4};
       },
       "'antiquant_scale' has shape [3, 4], expected [2, 4]"},
      {kWeights, [](Case& c) { c.antiquant_scale.absent = true; }, "'antiquant_offset' is given, expected none"},
  };
  for (const auto& rule : rules) {
    Case c(rule.kind);
    rule.spoil(c);
    PreparedWeightsPtr prepared;
    const Status status = PrepareWeights(c.call(), &prepared);
    EXPECT_NE(std::string(status.message()).find(rule.says), std::string::npos) << status.message();
    EXPECT_EQ(prepared, nullptr);
  }
}

// ---- What ranks must have alike. -------------------------------------------------------------------------------------

TEST(ParallelRules, RanksMustAgree) {
  const struct {
    const char* says;
    Spoil change;  // on rank 1 of 2
  } differences[] = {
      {"rows",
       [](Case& c) {
         c.x1.shape = {2, 2, 8}, c.residual.shape = c.y.shape = c.norm_out.shape = {2, 2, 4};
       }},
      {"cols",
       [](Case& c) {
         c.x2.shape = {8, 3}, c.bias.shape = c.gamma.shape = {3}, c.residual.shape = c.y.shape = c.norm_out.shape = {2, 3, 3};
       }},
      {"scenario", [](Case& c) { c.x1.dtype = kF16; }},
      {"blocks", [](Case& c) { c.comm_turn = 2; }},
      {"epsilon", [](Case& c) { c.epsilon = 1e-5; }},
      {"partial_type", [](Case& c) { c.comm_dtype = kF16; }},
      {"fingerprint of residual and gamma", [](Case& c) { c.residual.storage[3] = std::byte{0x40}; }},
      {"fingerprint of residual and gamma", [](Case& c) { c.gamma.storage[15] = std::byte{0x40}; }},
  };
  for (const auto& difference : differences) {
    std::vector<Case> cases(2, Case(kFloat));
    difference.change(cases[1]);
    const std::vector<std::byte> before = Bytes(cases[0]);
    const std::vector<Status> statuses = OnRanks(2, [&](int q, Communicator& ranks) {
      return MatmulAllReduceAddRmsNorm(cases[static_cast<size_t>(q)].call(), ranks, std::chrono::seconds(20), SerialExecutor());
    });
    for (const Status& status : statuses) {
      EXPECT_EQ(status.code(), Code::kPeer);
      EXPECT_NE(std::string(status.message()).find(difference.says), std::string::npos) << difference.says << ": " << status.message();
      EXPECT_NE(std::string(status.message()).find("rank 1"), std::string::npos) << status.message();
    }
    EXPECT_EQ(Bytes(cases[0]), before);
  }
}

TEST(ParallelRules, PartialSums) {
  float data[64] = {}, y[64] = {}, norm[64] = {};
  const int64_t shape[] = {3, 4}, column[] = {4}, short_column[] = {3}, other[] = {2, 4};
  const auto status_of = [&](const std::function<void(AllReduceAddRmsNormProblem&)>& spoil) {
    AllReduceAddRmsNormProblem p{.api = "the_sum",
                                 .partial = {data, kF32, shape, {}},
                                 .residual = {data + 16, kF32, shape, {}},
                                 .gamma = {data + 32, kF32, column, {}},
                                 .y = {y, kF32, shape, {}},
                                 .norm_out = {norm, kF32, shape, {}}};
    spoil(p);
    return OnRanks(1, [&](int, Communicator& ranks) { return AllReduceAddRmsNorm(p, ranks); })[0];
  };
  EXPECT_TRUE(status_of([](auto&) {}).ok());
  const struct {
    const char* says;
    std::function<void(AllReduceAddRmsNormProblem&)> spoil;
  } rules[] = {
      {"'partial' is absent", [](auto& p) { p.partial = {}; }},
      {"'partial' is int8", [](auto& p) { p.partial.dtype = kI8; }},
      {"'residual' is absent", [](auto& p) { p.residual = {}; }},
      {"'gamma' has shape [3], expected [4]", [&](auto& p) { p.gamma.shape = short_column; }},
      {"'residual' has shape [2, 4], expected 3 rows of 4", [&](auto& p) { p.residual.shape = p.y.shape = p.norm_out.shape = other; }},
      {"'epsilon' is -1", [](auto& p) { p.epsilon = -1; }},
      {"'comm_turn' is -2", [](auto& p) { p.comm_turn = -2; }},
      {"output 'y' overlaps 'partial'", [&](auto& p) { p.y.data = data; }},
  };
  for (const auto& rule : rules) {
    const std::string text = status_of(rule.spoil).message();
    EXPECT_NE(text.find(rule.says), std::string::npos) << rule.says << ": " << text;
    EXPECT_EQ(text.find("the_sum: "), 0u) << text;
  }
}

TEST(ParallelRules, OperatorsNameTheirArguments) {
  constexpr ArgName kNames[] = {{"norm_out", "normOut"}, {"x1", "left"}};
  Case c(kFloat);
  c.norm_out.shape = {1};
  Call p = c.call();
  p.names = kNames;
  Status status = OnRanks(1, [&](int, Communicator& ranks) { return MatmulAllReduceAddRmsNorm(p, ranks); })[0];
  EXPECT_NE(std::string(status.message()).find("'normOut'"), std::string::npos) << status.message();
}

}  // namespace
}  // namespace addnorm::test::parallel
