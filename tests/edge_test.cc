// SPDX-License-Identifier: Apache-2.0
// Named cases: the edge cases that contract 2.6 defines exactly, identities that must hold to the bit, and failures known from elsewhere.
#include <gtest/gtest.h>

#include <sys/mman.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "addnorm/addnorm.h"
#include "tests/numbers.h"
#include "tests/reference.h"
#include "tests/trial.h"

#if defined(__SANITIZE_THREAD__)
#define ADDNORM_THREAD_SANITIZER
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define ADDNORM_THREAD_SANITIZER
#endif
#endif

namespace addnorm::test {
namespace {

using Row = std::vector<float>;
using Shape = std::vector<int64_t>;

TensorView View(Row& data, const Shape& shape) { return {data.data(), DType::kF32, shape, {}}; }

// fp32 LayerNorm or RMSNorm of x, rows of `cols`; weight and bias may be empty.
struct Simple {
  Simple(Row input, int64_t cols, NormKind kind = NormKind::kLayer, double eps = 1e-5, Row gamma = {}, Row beta = {})
      : x(std::move(input)),
        weight(std::move(gamma)),
        bias(std::move(beta)),
        y(x.size()),
        shape{static_cast<int64_t>(x.size()) / cols, cols},
        column{cols},
        row{shape[0]},
        mean(static_cast<size_t>(shape[0])),
        rstd(mean.size()) {
    problem.norm = {kind, eps, false};
    problem.pre.x0 = View(x, shape);
    if (!weight.empty()) problem.weight = View(weight, column);
    if (!bias.empty()) problem.bias = View(bias, column);
    problem.y = View(y, shape);
    if (kind == NormKind::kLayer) problem.mean = View(mean, row);
    problem.rstd = View(rstd, row);
  }
  void Run() {
    const Status status = Forward(problem);
    ASSERT_TRUE(status.ok()) << status.message();
  }
  Row x, weight, bias, y;
  Shape shape, column, row;
  Row mean, rstd;
  ForwardProblem problem;
};

TEST(Edge, OneColumn) {
  for (const float value : {0.0f, 1.0f, -3e38f, 1e-40f, 1e6f}) {
    Simple norm({value, value}, 1, NormKind::kLayer, 1e-5, {7}, {0.25f});
    norm.Run();
    EXPECT_EQ(norm.y, (Row{0.25f, 0.25f}));
    EXPECT_EQ(norm.mean, (Row{value, value}));
    Row dy = {2, -5}, e = {0.5f, 3}, dx(2), dweight = {9}, dbias = {9};
    BackwardProblem back{.dy = View(dy, norm.shape),
                         .prenorm = View(norm.x, norm.shape),
                         .weight = norm.problem.weight,
                         .dsum = View(e, norm.shape),
                         .dx0 = View(dx, norm.shape),
                         .dweight = View(dweight, norm.column),
                         .dbias = View(dbias, norm.column)};
    ASSERT_TRUE(Backward(back).ok());
    EXPECT_EQ(dx, e);
    EXPECT_EQ(dweight, Row{0});
    EXPECT_EQ(dbias, Row{-3});
  }
}

TEST(Edge, ConstantRowsAreExactlyTheBias) {
  for (const float value : {14.0f, 0.1f, 1000.3f, 1234.0f, 3e4f, -7.25f, 3.4e38f, 1e-44f, 0.0f, 1e6f + 0.0625f}) {
    for (const int64_t cols : {1, 2, 3, 7, 64, 65, 255, 257, 768, 1000, 4096, 65536}) {
      for (const double eps : {1e-12, 1e-5, .3}) {
        Row beta(static_cast<size_t>(cols), 0.3f);
        Simple norm(Row(static_cast<size_t>(cols), value), cols, NormKind::kLayer, eps, Row(static_cast<size_t>(cols), 1e4f), beta);
        norm.Run();
        ASSERT_EQ(norm.y, beta) << value << " x " << cols;
        ASSERT_EQ(norm.mean[0], value);
        ASSERT_EQ(norm.rstd[0], static_cast<float>(1 / std::sqrt(eps)));
      }
    }
  }
}

TEST(Edge, NoVarianceAndNoEps) {
  Simple layer({3, 3, 3}, 3, NormKind::kLayer, 0);
  layer.Run();
  for (const float y : layer.y) EXPECT_TRUE(std::isnan(y));
  Simple rms({0, 0, 0}, 3, NormKind::kRms, 0);
  rms.Run();
  for (const float y : rms.y) EXPECT_TRUE(std::isnan(y));
  Simple fine({3, 3, 3}, 3, NormKind::kRms, 0);
  fine.Run();
  EXPECT_EQ(fine.y, (Row{1, 1, 1}));
}

TEST(Edge, NoRows) {
  Row weight(5, 2), dweight(5, 9), dbias(5, 9), dlayerscale(5, 9);
  const Shape empty = {0, 5}, column = {5}, none = {0};
  const TensorView nothing{nullptr, DType::kF32, empty, {}}, scalars{nullptr, DType::kF32, none, {}};
  ForwardProblem forward{.pre = {.x0 = nothing}, .weight = View(weight, column), .y = nothing, .mean = scalars, .rstd = scalars};
  EXPECT_TRUE(Forward(forward).ok());
  BackwardProblem back{.dy = nothing,
                       .pre = {.x0 = nothing, .layerscale = View(weight, column)},
                       .weight = View(weight, column),
                       .dx0 = nothing,
                       .dweight = View(dweight, column),
                       .dbias = View(dbias, column),
                       .dlayerscale = View(dlayerscale, column)};
  const Status status = Backward(back);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(dweight, Row(5, 0));
  EXPECT_EQ(dbias, Row(5, 0));
  EXPECT_EQ(dlayerscale, Row(5, 0));
}

TEST(Edge, NoColumns) {
  Row mean(3, 9), rstd(3, 9), drowscale(3, 9), rowscale(3, 1);
  const Shape empty = {3, 0}, row = {3}, none = {0};
  const TensorView nothing{nullptr, DType::kF32, empty, {}}, column{nullptr, DType::kF32, none, {}};
  for (const NormKind kind : {NormKind::kLayer, NormKind::kRms}) {
    ForwardProblem forward{.norm = {kind, 1e-5, false},
                           .pre = {.x0 = nothing},
                           .weight = column,
                           .y = nothing,
                           .mean = View(mean, row),
                           .rstd = View(rstd, row)};
    if (kind == NormKind::kRms) forward.mean = {};
    const Status status = Forward(forward);
    ASSERT_TRUE(status.ok()) << status.message();
    for (size_t r = 0; r < 3; ++r) EXPECT_TRUE(std::isnan(mean[r]) && std::isnan(rstd[r]));
    BackwardProblem back{.norm = {kind, 1e-5, false},
                         .dy = nothing,
                         .pre = {.x0 = nothing, .rowscale = View(rowscale, row)},
                         .dx0 = nothing,
                         .drowscale = View(drowscale, row),
                         .dweight = column};
    const Status second = Backward(back);
    ASSERT_TRUE(second.ok()) << second.message();
    EXPECT_EQ(drowscale, Row(3, 0));
  }
}

TEST(Edge, InfinitiesAndNan) {
  const float inf = std::numeric_limits<float>::infinity();
  Simple rms({1, inf, 2, -3}, 4, NormKind::kRms);
  rms.Run();
  EXPECT_TRUE(std::isnan(rms.y[1]));
  EXPECT_EQ(rms.y[0], 0);
  EXPECT_EQ(rms.y[2], 0);
  EXPECT_EQ(rms.y[3], 0);
  EXPECT_EQ(rms.rstd[0], 0);
  Simple layer({1, inf, 2, -3, 1, 2, 3, std::nanf("")}, 4);
  layer.Run();
  for (const float y : layer.y) EXPECT_TRUE(std::isnan(y));
  EXPECT_TRUE(std::isnan(layer.rstd[0]) && std::isnan(layer.rstd[1]) && std::isnan(layer.mean[1]));
}

// Reports from other libraries: PyTorch #51102, #40307, #162489, #108072, #188375; onnxruntime #21935, #28463. All are judged in our own
// bounds.
TEST(Edge, FailuresKnownFromElsewhere) {
  Random random(11);
  Row offset(512), small(512), huge(512), tiny(512);
  for (size_t i = 0; i < 512; ++i) {
    offset[i] = static_cast<float>(random.Normal() + 2000);
    small[i] = static_cast<float>(0.01 * random.Normal() + 100);
    huge[i] = static_cast<float>(1e30 * random.Normal());
    tiny[i] = static_cast<float>(1e-30 * random.Normal());
  }
  const Row rows[] = {
      offset, small, huge, tiny, {14, 14}, {40000, 40001, 40002, 40003}, Row(1024, 1234), {1e19f, 3e38f, -3e38f, 3e38f}, {1e-45f, 0, 0}};
  Comparator comparator;
  for (const Row& row : rows) {
    for (const NormKind kind : {NormKind::kLayer, NormKind::kRms}) {
      for (const double eps : {0.0, 1e-12, 1e-5}) {
        if (eps == 0 && kind == NormKind::kLayer && row[0] == row[1]) continue;
        Simple norm(row, static_cast<int64_t>(row.size()), kind, eps);
        norm.Run();
        const ForwardExpected want = Reference(norm.problem);
        for (const Verdict& verdict : {comparator.Check(norm.problem.y, want.y, ""), comparator.Check(norm.problem.rstd, want.rstd, "")}) {
          EXPECT_TRUE(verdict.ok) << verdict.message << " first element " << row[0] << ", eps " << eps;
        }
        for (const float y : norm.y) EXPECT_TRUE(std::isfinite(y)) << row[0];
      }
    }
  }
}

// ---- Identities, to the bit. -----------------------------------------------------------------------------------------

class Identity : public ::testing::TestWithParam<uint64_t> {
 protected:
  Identity() {
    options_ = RandomOptions(GetParam() + 5000000);
    options_.rows = std::max<size_t>(options_.rows, 1);
    options_.cols = std::max<size_t>(options_.cols, 1);
    options_.data = GetParam() % 2 ? Data::kNormal : Data::kOffset;
    options_.has_y = true;
    options_.layout = Layout::kContiguous;
    Settle(&options_);
    problem_ = MakeProblem(options_);
  }
  std::vector<std::byte> Outputs() {
    std::vector<std::byte> all;
    std::vector<Operand*> outputs = problem_->ForwardOutputs();
    for (Operand* output : problem_->BackwardOutputs()) outputs.push_back(output);
    for (Operand* output : outputs) output->Fill(0xFF);
    Status status = Forward(problem_->forward, SerialExecutor());
    if (status.ok()) status = Backward(problem_->backward, SerialExecutor());
    EXPECT_TRUE(status.ok()) << status.message();
    for (Operand* output : outputs) {
      const std::vector<std::byte> bytes = output->Copy();
      all.insert(all.end(), bytes.begin(), bytes.end());
    }
    return all;
  }
  Options options_;
  std::unique_ptr<Problem> problem_;
};

TEST_P(Identity, AbsentWeightIsOnes) {
  problem_->forward.weight = problem_->backward.weight = {};
  const auto absent = Outputs();
  const TensorView dy = problem_->dy.view();
  const Shape shape(dy.shape.end() - problem_->forward.normalized_rank, dy.shape.end());
  const DType dtype = options_.wide ? DType::kF64 : DType::kF16;
  const Operand ones(dtype, shape, {}, false, Placement::kHeap);
  for (size_t j = 0; j < options_.cols; ++j) Store(dtype, ones.view().data, static_cast<ptrdiff_t>(j), 1);
  problem_->forward.weight = problem_->backward.weight = ones.view();
  EXPECT_EQ(absent, Outputs()) << Describe(options_);
}

TEST_P(Identity, PZeroIsNoDropout) {
  problem_->forward.pre.dropout = problem_->backward.pre.dropout = Dropout{};
  const auto none = Outputs();
  problem_->forward.pre.dropout = problem_->backward.pre.dropout = Dropout{.p = 0, .seed = 5, .offset = 6, .row_base = 7};
  EXPECT_EQ(none, Outputs()) << Describe(options_);
}

TEST_P(Identity, AbsentBiasIsMinusZero) {
  problem_->forward.bias = {};
  const auto absent = Outputs();
  const TensorView dy = problem_->dy.view();
  const Shape shape(dy.shape.end() - problem_->forward.normalized_rank, dy.shape.end());
  const DType dtype = options_.wide ? DType::kF64 : DType::kBF16;
  const Operand zeros(dtype, shape, {}, false, Placement::kHeap);
  for (size_t j = 0; j < options_.cols; ++j)
    Store(dtype, zeros.view().data, static_cast<ptrdiff_t>(j), -0.0L);  // x + -0 = x, signed zeros too
  problem_->forward.bias = zeros.view();
  EXPECT_EQ(absent, Outputs()) << Describe(options_);
}

TEST_P(Identity, AddendsMaySwap) {
  options_.has_residual = true, options_.p = 0, options_.has_rowscale = options_.has_layerscale = false,
  options_.gradients = kDresidual | kXhat;
  Settle(&options_);
  problem_ = MakeProblem(options_);
  const auto straight = Outputs();
  std::swap(problem_->forward.pre.x0, problem_->forward.pre.residual);
  if (options_.form_again) std::swap(problem_->backward.pre.x0, problem_->backward.pre.residual);
  EXPECT_EQ(straight, Outputs()) << Describe(options_);
}

// The named operators are the problems that they say they are.
TEST_P(Identity, NamedOperators) {
  options_.p = 0,
  options_.has_rowscale = options_.has_layerscale = options_.has_prebias = options_.from_rounded = options_.has_keep = false;
  options_.has_residual = true, options_.saved = Saved::kGiven, options_.form_again = true, options_.has_statistics = false;
  options_.data = Data::kNormal, options_.gradients = kDx0 | kDweight | kDbias;
  Settle(&options_);
  if (options_.rms) options_.has_bias = false;
  problem_ = MakeProblem(options_);
  const auto direct = Outputs();
  Problem& p = *problem_;
  const int rank = p.forward.normalized_rank;
  ForwardProblem forward =
      options_.rms
          ? AddRmsNorm(p.x0.view(), p.residual.view(), p.weight.view(), options_.eps, p.y.view(), p.prenorm.view())
          : AddLayerNorm(p.x0.view(), p.residual.view(), p.weight.view(), p.bias.view(), options_.eps, p.y.view(), p.prenorm.view());
  forward.normalized_rank = rank;
  const DType prenorm_dtype = p.forward.prenorm_dtype;
  p.forward = forward;
  p.forward.prenorm_dtype = prenorm_dtype;
  if (!options_.rms) {
    p.backward = AddLayerNormGrad(p.dy.view(), p.x0.view(), p.residual.view(), p.given_rstd.view(), p.given_mean.view(), p.weight.view(),
                                  p.dsum.view(), p.dx0.view(), p.dweight.view(), p.dbias.view());
    p.backward.normalized_rank = rank;
    p.backward.prenorm_dtype = prenorm_dtype;
  }
  EXPECT_EQ(direct, Outputs()) << Describe(options_);
}

INSTANTIATE_TEST_SUITE_P(Seeds, Identity, ::testing::Range(uint64_t{0}, uint64_t{60}));

TEST(Edge, PlainOperatorsAndLayerNormBackward) {
  Row x = {1, 2, 4, -1, 0, 3}, weight = {1, -2, 0.5f}, bias = {0.1f, 0, -0.25f}, y(6), want(6), dy = {1, 0, -1, 2, 2, 5};
  const Shape shape = {2, 3}, column = {3}, row = {2};
  ASSERT_TRUE(Forward(LayerNorm(View(x, shape), View(weight, column), View(bias, column), 1e-5, View(y, shape))).ok());
  ForwardProblem direct{.pre = {.x0 = View(x, shape)}, .weight = View(weight, column), .bias = View(bias, column), .y = View(want, shape)};
  ASSERT_TRUE(Forward(direct).ok());
  EXPECT_EQ(y, want);
  ASSERT_TRUE(Forward(RmsNorm(View(x, shape), View(weight, column), 1e-5, View(y, shape))).ok());
  direct.norm.kind = NormKind::kRms, direct.bias = {};
  ASSERT_TRUE(Forward(direct).ok());
  EXPECT_EQ(y, want);

  Row mean = {2, 1}, rstd = {0.75f, 0.5f}, dx(6), dweight(3), dbias(3), dx2(6), dweight2(3), dbias2(3);
  ASSERT_TRUE(Backward(LayerNormBackward(View(dy, shape), View(x, shape), 1, View(mean, row), View(rstd, row), View(weight, column),
                                         View(dx, shape), View(dweight, column), View(dbias, column)))
                  .ok());
  BackwardProblem back{.dy = View(dy, shape),
                       .pre = {.x0 = View(x, shape)},
                       .mean = View(mean, row),
                       .rstd = View(rstd, row),
                       .statistics = BackwardProblem::Statistics::kGiven,
                       .weight = View(weight, column),
                       .dx0 = View(dx2, shape),
                       .dweight = View(dweight2, column),
                       .dbias = View(dbias2, column)};
  ASSERT_TRUE(Backward(back).ok());
  EXPECT_EQ(dx, dx2);
  EXPECT_EQ(dweight, dweight2);
  EXPECT_EQ(dbias, (Row{3, 2, 4}));
  EXPECT_EQ(dbias2, dbias);
}

// More elements than 32 bits count: rows more than 2^31 elements apart, and an input of 2^31 elements and more. Memory that is never
// touched costs nothing.
TEST(Edge, MoreThanTwoToTheThirtyOneElements) {
#if defined(ADDNORM_THREAD_SANITIZER)
  GTEST_SKIP() << "ThreadSanitizer would shadow 4 GiB of input with 16 GiB";
#endif
  constexpr size_t kCols = 4096, kRows = (size_t{1} << 31) / kCols + 3, kBytes = kRows * kCols * 2;
  void* memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(memory, MAP_FAILED) << "4 GiB of address space";
  Random random(3);
  const size_t first = (kRows - 2) * kCols;
  for (size_t i = first; i < kRows * kCols; ++i)
    Store(DType::kBF16, memory, static_cast<ptrdiff_t>(i), static_cast<long double>(random.Normal() + 5));
  const Shape shape = {static_cast<int64_t>(kRows), kCols}, row = {static_cast<int64_t>(kRows)};
  Row rstd(kRows), mean(kRows);
  ForwardProblem statistics{.pre = {.x0 = {memory, DType::kBF16, shape, {}}}, .mean = View(mean, row), .rstd = View(rstd, row)};
  ASSERT_TRUE(Forward(statistics).ok());
  EXPECT_EQ(rstd[0], static_cast<float>(1 / std::sqrt(1e-5)));
  EXPECT_NEAR(static_cast<double>(mean[kRows - 1]), 5, 0.1);
  EXPECT_NEAR(static_cast<double>(rstd[kRows - 2]), 1, 0.1);

  // Two rows, 2^31 + 4096 elements apart, in and out.
  const Shape two = {2, kCols}, far = {(int64_t{1} << 31) + kCols, 1}, near = {kCols, 1};
  TensorView x{memory, DType::kBF16, two, far};
  ASSERT_GE(kRows * kCols, static_cast<size_t>(far[0]) + kCols);
  std::vector<uint16_t> want(2 * kCols);
  ASSERT_TRUE(Forward(LayerNorm(x, {}, {}, 1e-5, {want.data(), DType::kBF16, two, near})).ok());
  ASSERT_TRUE(Forward(LayerNorm(x, {}, {}, 1e-5, x)).ok());  // in place
  const auto* end = static_cast<const uint16_t*>(memory) + far[0];
  EXPECT_EQ(std::memcmp(end, want.data() + kCols, kCols * 2), 0);
  EXPECT_EQ(std::memcmp(memory, want.data(), kCols * 2), 0);
  munmap(memory, kBytes);
}

}  // namespace
}  // namespace addnorm::test
