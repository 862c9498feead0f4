// SPDX-License-Identifier: Apache-2.0
// Bad input: every rule has a problem that breaks it and nothing else. The code is right, the message names the call, the argument,
// what it got and what was expected, and no output byte has changed. The unspoilt problem passes.
#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "addnorm/addnorm.h"
#include "tests/check_rules.h"

namespace addnorm::test {
namespace {

constexpr unsigned char kCanary = 0xC3;

void ExpectRefused(const Rule& rule, Direction direction) {
  Case c;
  for (Tensor* output : c.Outputs()) std::memset(output->storage, kCanary, sizeof(output->storage));
  rule.spoil(c);
  const Status status = direction == kForward ? Forward(c.forward()) : Backward(c.backward());
  ASSERT_FALSE(status.ok()) << rule.name;
  EXPECT_EQ(status.code(), rule.code) << rule.name << ": " << status.message();
  const std::string text = status.message();
  EXPECT_NE(text.find(direction == kForward ? "the_forward" : "the_backward"), std::string::npos) << rule.name << ": " << text;
  EXPECT_NE(text.find("expected"), std::string::npos) << rule.name << ": " << text;
  for (const std::string& piece : rule.says)
    EXPECT_NE(text.find(piece), std::string::npos) << rule.name << " should say '" << piece << "': " << text;
  for (Tensor* output : c.Outputs()) {
    for (const unsigned char byte : output->storage) ASSERT_EQ(byte, kCanary) << rule.name << " wrote to an output";
  }
}

TEST(Check, TheUnspoiltProblemPasses) {
  Case c;
  const Status forward = Forward(c.forward()), backward = Backward(c.backward());
  EXPECT_TRUE(forward.ok()) << forward.message();
  EXPECT_TRUE(backward.ok()) << backward.message();
}

TEST(Check, EveryRuleRefuses) {
  for (const Rule& rule : Rules()) {
    SCOPED_TRACE(rule.name);
    if (rule.direction & kForward) ExpectRefused(rule, kForward);
    if (rule.direction & kBackward) ExpectRefused(rule, kBackward);
  }
  EXPECT_GE(Rules().size(), 60u);
}

// The nearest that must pass.
TEST(Check, WhatIsAllowed) {
  const std::pair<const char*, Spoil> allowed[] = {
      {"eps 0", [](Case& c) { c.norm.eps = 0; }},
      {"p 0", [](Case& c) { c.dropout.p = 0; }},
      {"p 1", [](Case& c) { c.dropout.p = 1; }},
      {"whole row as a shard", [](Case& c) { c.dropout.cols_total = 8; }},
      {"last shard",
       [](Case& c) {
         c.dropout.col_base = 4;
         c.dropout.cols_total = 12;
       }},
      {"rows in reverse",
       [](Case& c) {
         c.residual.strides = {-24, -8, 1};
         c.residual.data = c.residual.storage + 5 * 32;
       }},
      {"one row for all",
       [](Case& c) {
         c.residual.strides = {0, 0, 1};
         c.dy.strides = {0, 0, 1};
       }},
      {"rows further apart",
       [](Case& c) {
         c.y.strides = {30, 10, 1};
         c.dx0.strides = {30, 10, 1};
       }},
      {"y over x0 exactly",
       [](Case& c) {
         c.y.data = c.x0.storage;
         c.dx0.data = c.dy.storage;
       }},
      {"y over the residual, prenorm over x0",
       [](Case& c) {
         c.y.data = c.residual.storage;
         c.prenorm.data = c.x0.storage;
       }},
      {"two columns of one buffer",
       [](Case& c) {
         c.y.strides = c.prenorm.strides = {48, 16, 1};
         c.prenorm.data = c.y.storage + 32;
       }},
      {"neighbours in memory", [](Case& c) { c.prenorm.data = c.y.storage + 192; }},
      {"full prebias",
       [](Case& c) {
         c.prebias.shape = {2, 3, 8};
       }},
      {"normalized_rank 3",
       [](Case& c) {
         c.normalized_rank = 3;
         for (Tensor* t : {&c.weight, &c.bias, &c.layerscale, &c.prebias, &c.dweight, &c.dbias, &c.dlayerscale}) t->shape = {2, 3, 8};
         for (Tensor* t : {&c.rowscale, &c.drowscale, &c.mean, &c.saved_mean}) t->shape = {};
         for (Tensor* t : {&c.rstd, &c.saved_rstd}) t->shape = {1, 1, 1};
       }},
      {"only statistics",
       [](Case& c) {
         c.y.absent = c.prenorm.absent = c.keep.absent = true;
         c.dx0.absent = c.dresidual.absent = true;
       }},
      {"an empty tensor without data",
       [](Case& c) {
         for (Tensor* t : {&c.x0, &c.residual, &c.dy, &c.saved, &c.dsum, &c.y, &c.prenorm, &c.keep, &c.dx0, &c.dresidual})
           t->shape = {2, 0, 8}, t->data = nullptr;
         for (Tensor* t : {&c.rowscale, &c.saved_mean, &c.mean, &c.drowscale, &c.saved_rstd, &c.rstd}) t->shape = {2, 0}, t->data = nullptr;
       }},
      {"a zero beside a huge dimension",
       [](Case& c) {
         for (Tensor* t : {&c.x0, &c.residual, &c.dy, &c.saved, &c.dsum, &c.y, &c.prenorm, &c.keep, &c.dx0, &c.dresidual})
           t->shape = {0, int64_t{1} << 62, 8}, t->data = nullptr;
         for (Tensor* t : {&c.rowscale, &c.saved_mean, &c.mean, &c.drowscale, &c.saved_rstd, &c.rstd})
           t->shape = {0, int64_t{1} << 62}, t->data = nullptr;
       }},
  };
  for (const auto& [name, change] : allowed) {
    Case c;
    change(c);
    const Status forward = Forward(c.forward()), backward = Backward(c.backward());
    EXPECT_TRUE(forward.ok()) << name << ": " << forward.message();
    EXPECT_TRUE(backward.ok()) << name << ": " << backward.message();
  }
}

// Operators speak of their own arguments.
TEST(Check, NamedOperatorsNameTheirArguments) {
  Case c;
  c.weight.shape = {7};
  const Status grad = Backward(AddLayerNormGrad(c.dy.view(), c.x0.view(), c.residual.view(), c.saved_rstd.view(), c.saved_mean.view(),
                                                c.weight.view(), {}, c.dx0.view(), c.dweight.view(), c.dbias.view()));
  EXPECT_NE(std::string(grad.message()).find("'gamma'"), std::string::npos) << grad.message();
  c.residual.shape = {1};
  const Status add = Forward(AddLayerNorm(c.x0.view(), c.residual.view(), {}, {}, 1e-5, c.y.view()));
  EXPECT_NE(std::string(add.message()).find("'x2'"), std::string::npos) << add.message();
  const Status norm = Forward(LayerNorm({}, {}, {}, 1e-5, c.y.view()));
  EXPECT_NE(std::string(norm.message()).find("'x'"), std::string::npos) << norm.message();
  const Status back = Backward(LayerNormBackward({}, c.x0.view(), 1, c.saved_mean.view(), c.saved_rstd.view(), {}, c.dx0.view(), {}, {}));
  EXPECT_NE(std::string(back.message()).find("'grad_out'"), std::string::npos) << back.message();
}

TEST(Check, PlansAndWorkspaces) {
  // Large enough to need a workspace.
  constexpr int64_t kRows = 3, kCols = 40000;
  std::vector<int64_t> shape = {kRows, kCols}, column = {kCols};
  std::vector<float> x(kRows * kCols, 1), dy(kRows * kCols, 2), dx(kRows * kCols, 9), dweight(kCols, 9), y(kRows * kCols, 9);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 17), dy[i] = static_cast<float>(i % 5);
  const auto view = [](std::vector<float>& data, const std::vector<int64_t>& dims) {
    return TensorView{data.data(), DType::kF32, dims, {}};
  };
  BackwardProblem backward{
      .api = "the_backward", .dy = view(dy, shape), .prenorm = view(x, shape), .dx0 = view(dx, shape), .dweight = view(dweight, column)};
  ForwardProblem forward{.api = "the_forward", .pre = {.x0 = view(x, shape), .residual = view(dy, shape)}, .y = view(y, shape)};
  Plan plan, forward_plan;
  EXPECT_EQ(plan.Run({}, SerialExecutor()).code(), Code::kBadValue);
  EXPECT_EQ(plan.workspace_bytes(SerialExecutor()), 0u);
  ASSERT_TRUE(MakePlan(backward, &plan).ok());
  ASSERT_TRUE(MakePlan(forward, &forward_plan).ok());
  for (const Plan* each : {&plan, &forward_plan}) {
    const size_t bytes = each->workspace_bytes(SerialExecutor());
    ASSERT_GT(bytes, 0u);
    std::vector<std::byte> workspace(bytes);
    const Status small = each->Run({workspace.data(), bytes - 1}, SerialExecutor());
    EXPECT_EQ(small.code(), Code::kBadValue);
    for (const std::string& piece : {std::string(each == &plan ? "the_backward" : "the_forward"), std::string("workspace"),
                                     std::to_string(bytes - 1), std::to_string(bytes)}) {
      EXPECT_NE(std::string(small.message()).find(piece), std::string::npos) << small.message();
    }
    EXPECT_EQ(each->Run({static_cast<std::byte*>(nullptr), bytes}, SerialExecutor()).code(), Code::kBadValue);
    EXPECT_EQ(each->Run(workspace, Executor{}).code(), Code::kNullArg);
  }
  EXPECT_EQ(Forward(forward, Executor{}).code(), Code::kNullArg);
  EXPECT_EQ(dx, std::vector<float>(dx.size(), 9)) << "a refused run wrote";
  EXPECT_EQ(dweight, std::vector<float>(dweight.size(), 9)) << "a refused run wrote";
  EXPECT_EQ(y, std::vector<float>(y.size(), 9)) << "a refused run wrote";
  // A plan runs any number of times, also as a copy, and does not need the shapes any more.
  std::vector<std::byte> workspace(plan.workspace_bytes(SerialExecutor()));
  ASSERT_TRUE(plan.Run(workspace, SerialExecutor()).ok());
  const std::vector<float> first = dweight, first_dx = dx;
  const Plan copy = plan;
  shape.assign(2, -1), column.assign(1, -1);
  std::fill(dweight.begin(), dweight.end(), 9.0f), std::fill(dx.begin(), dx.end(), 9.0f);
  std::fill(workspace.begin(), workspace.end(), std::byte{0xFF});
  ASSERT_TRUE(copy.Run(workspace, SerialExecutor()).ok());
  EXPECT_EQ(first, dweight);
  EXPECT_EQ(first_dx, dx);
  // A plan that could not be made leaves the old one alone.
  Case bad;
  bad.norm.eps = -1;
  EXPECT_FALSE(MakePlan(bad.backward(), &plan).ok());
  std::fill(dweight.begin(), dweight.end(), 9.0f);
  EXPECT_TRUE(plan.Run(workspace, SerialExecutor()).ok());
  EXPECT_EQ(first, dweight);
}

TEST(Check, MessagesAreCutNotOverrun) {
  Case c;
  c.weight.shape.assign(300, 1234567890123);
  const Status status = Forward(c.forward());
  EXPECT_EQ(status.code(), Code::kBadShape);
  EXPECT_LT(std::strlen(status.message()), 384u);
  const Status longer = Status::Error(Code::kInternal, "%s", std::string(1000, 'x').c_str());
  EXPECT_EQ(std::strlen(longer.message()), 383u);
}

std::string AllTargets() {
  std::string all;
  for (const char* name : AvailableTargets()) all += (all.empty() ? "" : ", ") + std::string(name);
  return all;
}

TEST(Check, TargetsByName) {
  ASSERT_FALSE(AvailableTargets().empty());
  for (const char* name : AvailableTargets()) {
    ASSERT_TRUE(SetThreadTarget(name).ok());
    EXPECT_STREQ(CurrentTarget(), name);
  }
  ASSERT_TRUE(SetThreadTarget(nullptr).ok());
  const Status status = SetThreadTarget("AVX9000");
  EXPECT_EQ(status.code(), Code::kUnsupported);
  EXPECT_NE(std::string(status.message()).find("AVX9000"), std::string::npos) << status.message();
  EXPECT_NE(std::string(status.message()).find(AllTargets()), std::string::npos) << status.message();
  EXPECT_FALSE(SetThreadTarget("").ok());
}

// What a program prints that was started with ADDNORM_TARGET=value (this program, see main below).
std::string RunWith(const char* value) {
  int ends[2];
  if (pipe(ends) != 0) return "no pipe";
  const pid_t child = fork();
  if (child == 0) {
    setenv("ADDNORM_TARGET", value, 1);
    setenv("ADDNORM_CHECK_TEST_PROBE", "1", 1);
    dup2(ends[1], STDOUT_FILENO);
    execl("/proc/self/exe", "check_test", static_cast<char*>(nullptr));
    _exit(127);
  }
  close(ends[1]);
  std::string text;
  char buffer[512];
  for (ssize_t n = read(ends[0], buffer, sizeof(buffer)); n > 0; n = read(ends[0], buffer, sizeof(buffer)))
    text.append(buffer, static_cast<size_t>(n));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return text;
}

TEST(Check, TargetFromTheEnvironment) {
  for (const char* name : AvailableTargets()) EXPECT_EQ(RunWith(name), std::string(name) + "|0|");
  EXPECT_EQ(RunWith(""), std::string(AvailableTargets()[0]) + "|0|");
  const std::string unknown = RunWith("PENTIUM");
  EXPECT_EQ(unknown.find("|5|"), 0u) << unknown;  // no current target; kUnsupported
  for (const std::string& piece : {std::string("ADDNORM_TARGET"), std::string("PENTIUM"), AllTargets()}) {
    EXPECT_NE(unknown.find(piece), std::string::npos) << unknown;
  }
}

}  // namespace

// The probe: a call under the environment it was given.
int Probe() {
  Case c;
  const Status status = Forward(c.forward());
  std::printf("%s|%d|%s", CurrentTarget(), static_cast<int>(status.code()), status.message());
  return 0;
}

}  // namespace addnorm::test

int main(int argc, char** argv) {
  if (std::getenv("ADDNORM_CHECK_TEST_PROBE")) return addnorm::test::Probe();
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
