// SPDX-License-Identifier: Apache-2.0
#include "tests/parallel_problem.h"

#include <cmath>
#include <cstring>
#include <sstream>
#include <thread>

#include "tests/numbers.h"

namespace addnorm::test {
namespace {

constexpr long double kUnit = 0x1p-24L;

Operand Make(DType dtype, std::vector<int64_t> shape, std::vector<int64_t> strides = {}) {
  return Operand(dtype, std::move(shape), std::move(strides), false, Placement::kHeap);
}

// A matrix in the layout that the options ask for.
Operand Matrix(DType dtype, int64_t rows, int64_t cols, bool transposed, bool padded) {
  const int64_t pad = padded ? 3 : 0;
  if (transposed) return Make(dtype, {rows, cols}, {1, rows + pad});
  return padded ? Make(dtype, {rows, cols}, {cols + pad, 1}) : Make(dtype, {rows, cols});
}

void Fill(const TensorView& view, const std::function<long double()>& next) {
  const int64_t rows = view.shape.size() == 2 ? view.shape[0] : 1, cols = view.shape.back();
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < cols; ++j) Put(view, i, j, next());
  }
}

long double Int8(Random& random, Values values) {
  if (values == Values::kExtreme) return -128;
  if (values == Values::kOddLarge) return random.OneIn(50) ? 126 : 127;  // sums far above 2^24, odd and even
  return static_cast<long double>(static_cast<int64_t>(random.Below(256)) - 128);
}

std::vector<int64_t> ScaleDims(const ParallelOptions& o, int64_t k) {
  switch (o.scale_shape) {
    case ScaleShape::kTensor:
      return {1};
    case ScaleShape::kVector:
      return {o.n};
    case ScaleShape::kMatrix:
      return {1, o.n};
    case ScaleShape::kGroups:
      return {(k + o.group - 1) / o.group, o.n};
  }
  return {};
}

// A packed word: the value in its low half, and in the others what must not matter.
void PutScale(const TensorView& view, int64_t i, int64_t j, float value, Random& random) {
  if (view.dtype != DType::kI64 && view.dtype != DType::kU64) return Put(view, i, j, static_cast<long double>(value));
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  const uint64_t word = random.Bits() << 32 | bits;
  std::memcpy(static_cast<std::byte*>(view.data) + 8 * (i * view.shape.back() + j), &word, 8);
}

}  // namespace

std::string Describe(const ParallelOptions& o) {
  std::ostringstream text;
  text << "kind " << static_cast<int>(o.kind) << " seed " << o.seed << " ranks " << o.ranks << " m " << o.m << " k " << o.k << " n " << o.n
       << " x1 " << NameOf(o.x1) << " x2 " << NameOf(o.x2) << " residual " << NameOf(o.residual) << " gamma " << NameOf(o.gamma)
       << " scale " << NameOf(o.scale) << " shape " << static_cast<int>(o.scale_shape) << " offset " << o.offset << " group " << o.group
       << " bias " << static_cast<int>(o.bias) << " values " << static_cast<int>(o.values) << " transposed " << o.transposed << " padded "
       << o.padded << " comm " << NameOf(o.comm_dtype);
  return text.str();
}

long double At(const TensorView& view, int64_t i, int64_t j) {
  const bool matrix = view.shape.size() == 2;
  const int64_t row = view.strides.empty() ? view.shape.back() : view.strides[0];
  const int64_t col = view.strides.empty() ? 1 : view.strides.back();
  const int64_t index = matrix ? i * row + j * col : j * col;
  if (view.dtype == DType::kI8) return static_cast<const int8_t*>(view.data)[index];
  if (view.dtype == DType::kI32) return static_cast<const int32_t*>(view.data)[index];
  if (view.dtype == DType::kI64 || view.dtype == DType::kU64) {
    float value;
    std::memcpy(&value, static_cast<const std::byte*>(view.data) + 8 * index, 4);
    return static_cast<long double>(value);
  }
  return Load(view.dtype, view.data, index);
}

void Put(const TensorView& view, int64_t i, int64_t j, long double value) {
  const bool matrix = view.shape.size() == 2;
  const int64_t row = view.strides.empty() ? view.shape.back() : view.strides[0];
  const int64_t col = view.strides.empty() ? 1 : view.strides.back();
  const int64_t index = matrix ? i * row + j * col : j * col;
  if (view.dtype == DType::kI8) {
    static_cast<int8_t*>(view.data)[index] = static_cast<int8_t>(value);
  } else if (view.dtype == DType::kI32) {
    static_cast<int32_t*>(view.data)[index] = static_cast<int32_t>(value);
  } else {
    Store(view.dtype, view.data, index, value);
  }
}

ParallelProblem::ParallelProblem(const ParallelOptions& options) : options_(options), ranks_(static_cast<size_t>(options.ranks)) {
  const ParallelOptions& o = options_;
  Random shared(Mix(o.seed, 1000));
  const auto normal = [](Random& random, long double scale) {
    return [&random, scale] { return scale * static_cast<long double>(random.Normal()); };
  };
  Operand residual = Matrix(o.residual, o.m, o.n, false, o.padded), gamma = Make(o.gamma, {o.n});
  Fill(residual.view(), normal(shared, 4));
  Fill(gamma.view(), normal(shared, 1));
  for (int q = 0; q < o.ranks; ++q) {
    Random random(Mix(o.seed, static_cast<uint64_t>(q)));
    const int64_t k = o.k + (o.uneven_k ? q : 0);
    RankOperands& r = ranks_[static_cast<size_t>(q)];
    r.residual = residual, r.gamma = gamma;
    r.y = Matrix(o.residual, o.m, o.n, false, o.padded);
    r.norm_out = Matrix(o.residual, o.m, o.n, false, o.padded);
    r.x1 = Matrix(o.x1, o.m, k, false, o.padded);
    r.x2 = Matrix(o.x2, k, o.n, o.transposed, o.padded);
    const auto int8 = [&] { return Int8(random, o.values); };
    o.x1 == DType::kI8 ? Fill(r.x1.view(), int8) : Fill(r.x1.view(), normal(random, 1));
    o.x2 == DType::kI8 ? Fill(r.x2.view(), int8) : Fill(r.x2.view(), normal(random, 0.1L));
    if (o.bias == Bias::kAllRanks || (o.bias == Bias::kOneRank && q == o.ranks - 1)) {
      r.bias = Make(o.kind == Kind::kInt8 ? DType::kI32 : o.x1, {o.n});
      const auto wide = [&] { return static_cast<long double>(static_cast<int32_t>(random.Bits())); };
      o.kind == Kind::kInt8 ? Fill(r.bias.view(), wide) : Fill(r.bias.view(), normal(random, 1));
    }
    if (o.kind == Kind::kFloat) continue;
    Operand scale = Make(o.scale, ScaleDims(o, k));
    const int64_t rows = scale.view().shape.size() == 2 ? scale.view().shape[0] : 1;
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < scale.view().shape.back(); ++j)
        PutScale(scale.view(), i, j, static_cast<float>((0.5 + random.Uniform()) * (random.OneIn(4) ? -1e-3 : 1e-3)), random);
    }
    (o.kind == Kind::kInt8 ? r.dequant_scale : r.antiquant_scale) = scale;
    if (o.offset) {
      r.antiquant_offset = Make(o.scale, ScaleDims(o, k));
      Fill(r.antiquant_offset.view(), normal(random, 20));
    }
  }
}

MatmulAllReduceAddRmsNormProblem ParallelProblem::problem(int rank) const {
  const RankOperands& r = ranks_[static_cast<size_t>(rank)];
  return {.api = "the_operator",
          .x1 = r.x1.view(),
          .x2 = r.x2.view(),
          .bias = r.bias ? r.bias.view() : TensorView{},
          .residual = r.residual.view(),
          .gamma = r.gamma.view(),
          .dequant_scale = r.dequant_scale.view(),
          .antiquant_scale = r.antiquant_scale.view(),
          .antiquant_offset = r.antiquant_offset.view(),
          .antiquant_group_size = options_.kind == Kind::kInt8Weights ? options_.group : 0,
          .epsilon = options_.epsilon,
          .comm_dtype = options_.comm_dtype,
          .y = r.y.view(),
          .norm_out = r.norm_out.view()};
}

ParallelProblem::Sum ParallelProblem::PartialOf(int rank, int64_t i, int64_t j) const {
  const RankOperands& r = ranks_[static_cast<size_t>(rank)];
  Sum sum;
  for (int64_t k = 0; k < r.x1.view().shape[1]; ++k) {
    long double weight = At(r.x2.view(), k, j);
    if (r.antiquant_scale) {
      const int64_t group = options_.group > 0 ? k / options_.group : 0, column = r.antiquant_scale.view().shape.back() == 1 ? 0 : j;
      if (r.antiquant_offset) weight += At(r.antiquant_offset.view(), group, column);
      weight *= At(r.antiquant_scale.view(), group, column);
    }
    const long double product = At(r.x1.view(), i, k) * weight;
    sum.value += product;
    sum.magnitude += std::fabs(product);
  }
  if (r.bias) {
    sum.value += At(r.bias.view(), 0, j);
    sum.magnitude += std::fabs(At(r.bias.view(), 0, j));
  }
  return sum;
}

float ParallelProblem::Int8PartialOf(int rank, int64_t i, int64_t j) const {
  const RankOperands& r = ranks_[static_cast<size_t>(rank)];
  int64_t sum = r.bias ? static_cast<int64_t>(At(r.bias.view(), 0, j)) : 0;
  for (int64_t k = 0; k < r.x1.view().shape[1]; ++k)
    sum += static_cast<int64_t>(At(r.x1.view(), i, k)) * static_cast<int64_t>(At(r.x2.view(), k, j));
  const double scale = static_cast<double>(At(r.dequant_scale.view(), 0, r.dequant_scale.view().shape.back() == 1 ? 0 : j));
  return static_cast<float>(static_cast<double>(sum) * scale);
}

ParallelExpected ParallelProblem::Expect() const {
  const ParallelOptions& o = options_;
  ParallelExpected expected;
  expected.exact = o.kind == Kind::kInt8;
  expected.sums.resize(expected.exact ? static_cast<size_t>(o.ranks) : 0);
  std::vector<long double> y32, y_error;
  for (int64_t i = 0; i < o.m; ++i) {
    for (int64_t j = 0; j < o.n; ++j) {
      const long double residual = At(ranks_[0].residual.view(), i, j);
      long double value = 0, error = 0, magnitude = std::fabs(residual);
      float exact = 0;
      for (int q = 0; q < o.ranks; ++q) {
        if (expected.exact) {
          const float part = static_cast<float>(Round(o.comm_dtype, static_cast<long double>(Int8PartialOf(q, i, j))));
          expected.sums[static_cast<size_t>(q)].push_back(part);
          exact = q == 0 ? part : exact + part;
          continue;
        }
        const Sum sum = PartialOf(q, i, j);
        const auto k = static_cast<long double>(ranks_[static_cast<size_t>(q)].x1.view().shape[1]);
        value += sum.value;
        magnitude += sum.magnitude;
        error += (k / 64 + 64) * kUnit * sum.magnitude;
        if (o.comm_dtype != DType::kF32) error += Ulp(o.comm_dtype, sum.value);
      }
      y32.push_back(expected.exact ? static_cast<long double>(exact + static_cast<float>(residual)) : value + residual);
      y_error.push_back(expected.exact ? 0 : error + (o.ranks + 1) * kUnit * magnitude);
    }
  }
  for (size_t e = 0; e < y32.size(); ++e) {
    expected.y.push_back(expected.exact ? Round(o.residual, y32[e]) : y32[e]);
    expected.y_bound.push_back(expected.exact ? 0 : y_error[e] + Ulp(o.residual, std::fabs(y32[e]) + y_error[e]) / 2);
  }
  ExpectNorms(y32, y_error, &expected);
  return expected;
}

// norm = y rstd gamma, and how far it moves when every y moves by its own error, to first order with a margin.
void ParallelProblem::ExpectNorms(const std::vector<long double>& y32, const std::vector<long double>& y_error,
                                  ParallelExpected* expected) const {
  const auto n = static_cast<size_t>(options_.n);
  for (size_t row = 0; row < static_cast<size_t>(options_.m); ++row) {
    long double squares = 0, moved = 0;
    for (size_t j = 0; j < n; ++j) {
      const long double y = y32[row * n + j];
      squares += y * y;
      moved += std::fabs(y) * y_error[row * n + j];
    }
    const auto count = static_cast<long double>(n);
    const long double rstd = 1 / std::sqrt(squares / count + static_cast<long double>(options_.epsilon));
    for (size_t j = 0; j < n; ++j) {
      const long double y = y32[row * n + j], gamma = At(ranks_[0].gamma.view(), 0, static_cast<int64_t>(j));
      const long double value = y * rstd * gamma;
      const long double error =
          1.01L * std::fabs(gamma) * (rstd * y_error[row * n + j] + std::fabs(y) * rstd * rstd * rstd * moved / count) +
          5 * kUnit * std::fabs(gamma) * (1 + std::fabs(y * rstd));
      expected->norm.push_back(value);
      expected->norm_bound.push_back(error + Ulp(options_.residual, std::fabs(value) + error) / 2);
    }
  }
}

std::string ParallelProblem::Compare(const ParallelExpected& expected, int rank) const {
  const RankOperands& r = ranks_[static_cast<size_t>(rank)];
  const auto n = static_cast<size_t>(options_.n);
  for (size_t e = 0; e < expected.y.size(); ++e) {
    const auto i = static_cast<int64_t>(e / n), j = static_cast<int64_t>(e % n);
    const struct {
      const char* name;
      long double got, want, bound;
    } both[] = {{"y", At(r.y.view(), i, j), expected.y[e], expected.y_bound[e]},
                {"norm_out", At(r.norm_out.view(), i, j), expected.norm[e], expected.norm_bound[e]}};
    for (const auto& one : both) {
      if (one.got == one.want || std::fabs(one.got - one.want) <= one.bound) continue;
      std::ostringstream text;
      text.precision(12);
      text << one.name << "[" << i << ", " << j << "] on rank " << rank << " is " << one.got << ", expected " << one.want << " +- "
           << one.bound << " (" << Describe(options_) << ")";
      return text.str();
    }
  }
  return {};
}

std::vector<std::byte> ParallelProblem::Outputs(int rank) const {
  const RankOperands& r = ranks_[static_cast<size_t>(rank)];
  std::vector<std::byte> bytes = r.y.Copy();
  const std::vector<std::byte> norm = r.norm_out.Copy();
  bytes.insert(bytes.end(), norm.begin(), norm.end());
  return bytes;
}

void ParallelProblem::FillOutputs(int byte) {
  for (RankOperands& r : ranks_) r.y.Fill(byte), r.norm_out.Fill(byte);
}

std::vector<Status> OnRanks(int ranks, const std::function<Status(int, Communicator&)>& body) {
  std::vector<std::unique_ptr<Communicator>> group(static_cast<size_t>(ranks));
  std::vector<Status> statuses(group.size());
  if (Status status = MakeThreadRanks(group); !status.ok()) {
    statuses.assign(group.size(), status);
    return statuses;
  }
  std::vector<std::thread> threads;
  for (int q = 0; q < ranks; ++q) {
    threads.emplace_back([&, q] { statuses[static_cast<size_t>(q)] = body(q, *group[static_cast<size_t>(q)]); });
  }
  for (std::thread& thread : threads) thread.join();
  return statuses;
}

}  // namespace addnorm::test
