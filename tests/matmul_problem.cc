// SPDX-License-Identifier: Apache-2.0
#include "tests/matmul_problem.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace addnorm::test {
namespace {

constexpr DType kFloats[] = {DType::kF32, DType::kF16, DType::kBF16};

int64_t Signed(size_t n) { return static_cast<int64_t>(n); }

Operand Matrix(DType dtype, size_t rows, size_t cols, size_t pad, Placement placement) {
  return {dtype, {Signed(rows), Signed(cols)}, {Signed(cols + pad), 1}, false, placement};
}

bool IsInt(const MatmulOptions& o) { return o.x1 == DType::kI8; }
bool IsQuantised(const MatmulOptions& o) { return o.x2 == DType::kI8 && !IsInt(o); }

}  // namespace

MatmulOptions RandomMatmulOptions(uint64_t seed) {
  Random random(Mix(seed, 0x3A7));
  MatmulOptions o;
  o.seed = seed;
  const size_t sizes[] = {1, 2, 3, 7, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 257};
  o.m = random.OneIn(4) ? 1 + random.Below(40) : random.Pick(sizes);
  o.n = random.Pick(sizes), o.k = random.OneIn(4) ? 1 + random.Below(700) : random.Pick(sizes);
  if (random.OneIn(4)) {
    o.x1 = o.x2 = DType::kI8;
  } else {
    o.x1 = random.Pick(kFloats);
    o.x2 = random.OneIn(3) ? DType::kI8 : random.OneIn(2) ? o.x1 : random.Pick(kFloats);
  }
  o.transposed = random.OneIn(2);
  if (random.OneIn(2)) o.x1_pad = random.Below(9), o.x2_pad = random.Below(9), o.out_pad = random.Below(9);
  o.has_bias = !random.OneIn(3), o.per_column = !random.OneIn(3), o.has_offset = !random.OneIn(3);
  o.integral_offset = random.OneIn(2);
  if (random.OneIn(2)) o.group = random.OneIn(3) ? 32 : 1 + random.Below(std::min<size_t>(o.k, 150));
  o.scale = random.Pick(kFloats), o.scale_step = random.OneIn(4) ? 3 : 1;
  o.values = static_cast<Values>(random.Below(static_cast<uint64_t>(Values::kCount)));
  return o;
}

std::string Describe(const MatmulOptions& o) {
  char text[320];
  std::snprintf(text, sizeof(text),
                "seed %llu: m %zu n %zu k %zu, %s x %s%s, pads %zu %zu %zu, bias %d, per column %d, offset %d (integral %d), group %zu, "
                "scale %s step %zu, "
                "values %d, placement %d",
                static_cast<unsigned long long>(o.seed), o.m, o.n, o.k, NameOf(o.x1), NameOf(o.x2), o.transposed ? " transposed" : "",
                o.x1_pad, o.x2_pad, o.out_pad, o.has_bias, o.per_column, o.has_offset, o.integral_offset, o.group, NameOf(o.scale),
                o.scale_step, static_cast<int>(o.values), static_cast<int>(o.placement));
  return text;
}

void MatmulProblem::Fill(const Operand& operand, Random* random) const {
  const TensorView view = operand.view();
  const auto integer = [&]() -> int32_t {
    if (view.dtype == DType::kI32) {  // near the ends of int32, small, or anything
      const auto any = static_cast<int32_t>(random->Bits());
      return random->OneIn(3) ? (random->OneIn(2) ? INT32_MAX : INT32_MIN) ^ (any & 0xFF) : random->OneIn(2) ? any >> 20 : any;
    }
    if (options_.values == Values::kLowest) return -128;
    if (options_.values == Values::kExtreme) return random->OneIn(3) ? 127 : -128;
    return static_cast<int8_t>(random->Bits());
  };
  const auto real = [&]() -> long double {
    const long double v = random->Normal();
    switch (options_.values) {
      case Values::kWide:
        return std::ldexp(v, static_cast<int>(random->Below(25)) - 12);
      case Values::kTiny:
        return std::ldexp(v, -static_cast<int>(random->Below(view.dtype == DType::kF16 ? 25 : 140)));
      case Values::kBoundary:
        return std::ldexp(1 + v / 64, -50 - static_cast<int>(options_.seed % 12) - static_cast<int>(random->Below(3))) *
               (random->OneIn(2) ? -1 : 1);
      case Values::kSpecial:
        if (random->OneIn(400)) return random->OneIn(2) ? -HUGE_VALL : HUGE_VALL;
        if (random->OneIn(900)) return std::nanl("");
        return random->OneIn(9) ? (random->OneIn(2) ? -0.0L : 0.0L) : v;
      default:
        return v;
    }
  };
  const size_t rows = view.shape.size() == 2 ? static_cast<size_t>(view.shape[0]) : 1, cols = static_cast<size_t>(view.shape.back());
  for (size_t i = 0; i < rows; ++i) {
    for (size_t j = 0; j < cols; ++j) {
      ptrdiff_t at = static_cast<ptrdiff_t>(j);
      if (!view.strides.empty()) at = static_cast<ptrdiff_t>(i) * view.strides[0] + static_cast<ptrdiff_t>(j) * view.strides.back();
      if (view.dtype == DType::kI8) {
        static_cast<int8_t*>(view.data)[at] = static_cast<int8_t>(integer());
      } else if (view.dtype == DType::kI32) {
        static_cast<int32_t*>(view.data)[at] = integer();
      } else {
        Store(view.dtype, view.data, at, real());
      }
    }
  }
}

void MatmulProblem::MakeScales(Random* random) {
  const MatmulOptions& o = options_;
  const size_t groups = o.group == 0 ? 1 : (o.k + o.group - 1) / o.group, columns = o.per_column ? o.n : 1;
  const int64_t step = Signed(o.scale_step), row = Signed(columns) * step;
  const auto make = [&] { return Operand(o.scale, {Signed(groups), Signed(columns)}, {row, step}, false, o.placement); };
  scale_ = make();
  Fill(scale_, random);
  args_.antiquant = {
      scale_.view().data, nullptr, o.scale, static_cast<ptrdiff_t>(row), o.per_column ? static_cast<ptrdiff_t>(step) : 0, o.group};
  if (!o.has_offset) return;
  offset_ = make();
  Fill(offset_, random);
  for (ptrdiff_t i = 0; o.integral_offset && i < static_cast<ptrdiff_t>(groups * columns); ++i)
    Store(o.scale, offset_.view().data, i * static_cast<ptrdiff_t>(step),
          random->OneIn(8) ? static_cast<long double>(random->Below(4001)) - 2000 : static_cast<long double>(random->Below(257)) - 128);
  args_.antiquant.offset = offset_.view().data;
}

MatmulProblem::MatmulProblem(const MatmulOptions& options) : options_(options) {
  const MatmulOptions& o = options_;
  Random random(Mix(o.seed, 0xDA7A));
  x1_ = Matrix(o.x1, o.m, o.k, o.x1_pad, o.placement);
  x2_ = o.transposed ? Matrix(o.x2, o.n, o.k, o.x2_pad, o.placement) : Matrix(o.x2, o.k, o.n, o.x2_pad, o.placement);
  Fill(x1_, &random), Fill(x2_, &random);
  args_.m = o.m, args_.n = o.n, args_.k = o.k;
  args_.x1 = {x1_.view().data, static_cast<ptrdiff_t>(o.k + o.x1_pad), o.x1};
  const auto stride = static_cast<ptrdiff_t>((o.transposed ? o.k : o.n) + o.x2_pad);
  args_.x2 = {x2_.view().data, o.transposed ? 1 : stride, o.transposed ? stride : 1, o.x2};
  if (o.has_bias) {
    bias_ = Operand(IsInt(o) ? DType::kI32 : o.x1, {Signed(o.n)}, {}, false, o.placement);
    Fill(bias_, &random);
    args_.bias = {bias_.view().data, 0, bias_.view().dtype};
  }
  if (IsInt(o)) {
    dequant_ = Operand(DType::kF32, {Signed(o.per_column ? o.n : 1)}, {}, false, o.placement);
    Fill(dequant_, &random);
    args_.dequant_scale = static_cast<const float*>(dequant_.view().data), args_.dequant_stride = o.per_column ? 1 : 0;
  }
  if (IsQuantised(o)) MakeScales(&random);
}

std::vector<float> MatmulProblem::Run(const Way& way) const {
  const Executor& executor = way.executor ? *way.executor : SerialExecutor();
  const size_t m = args_.m, n = args_.n, stride = n + options_.out_pad;
  const auto memory = [&](size_t bytes) { return Operand(DType::kBool, {Signed(bytes)}, {}, false, options_.placement); };
  Operand packed;
  if (way.packed) {
    packed = memory(PackedWeightBytes(*way.target, args_));
    packed.Fill(0xA5);
    PackWeights(*way.target, args_, packed.bytes(), executor);
  }
  const Operand out = Matrix(DType::kF32, m, n, options_.out_pad, options_.placement);
  Operand(out).Fill(0x5A);
  MatmulArgs args = args_;
  args.m = way.rows_at_once ? std::min(way.rows_at_once, m) : m;  // the workspace is for this many
  Operand workspace = memory(MatmulWorkspaceBytes(*way.target, args, way.packed, executor));
  for (size_t r = 0; r < m; r += args.m) {
    workspace.Fill(0xFF);  // NaN everywhere: nothing may depend on what was there
    const RowRange rows = {r, std::min(r + args.m, m)};
    RunMatmul(*way.target, args, packed.bytes(), rows, static_cast<float*>(out.view().data) + r * stride, stride,
              {workspace.bytes(), workspace.byte_count()}, executor);
  }
  EXPECT_TRUE(out.PaddingIs(0x5A)) << "bytes between the rows of out changed: " << Describe(options_);
  std::vector<float> result(m * n);
  for (size_t r = 0; r < m && n != 0; ++r) std::memcpy(&result[r * n], static_cast<const float*>(out.view().data) + r * stride, n * 4);
  return result;
}

long double MatmulProblem::Antiquant(const void* data, size_t k, size_t j, long double absent) const {
  if (data == nullptr) return absent;
  const MatmulArgs::Antiquant& q = args_.antiquant;
  const ptrdiff_t row = options_.group == 0 ? 0 : static_cast<ptrdiff_t>(k / options_.group);
  return Load(options_.scale, data, row * q.group_stride + static_cast<ptrdiff_t>(j) * q.n_stride);
}
long double MatmulProblem::Weight(size_t k, size_t j) const {
  const ptrdiff_t at = static_cast<ptrdiff_t>(k) * args_.x2.k_stride + static_cast<ptrdiff_t>(j) * args_.x2.n_stride;
  if (options_.x2 != DType::kI8) return Load(options_.x2, args_.x2.data, at);
  return static_cast<const int8_t*>(args_.x2.data)[at] + Antiquant(args_.antiquant.offset, k, j, 0);
}

std::string MatmulProblem::CheckInt(size_t r, size_t j, float got) const {
  int64_t sum = options_.has_bias ? static_cast<const int32_t*>(args_.bias.data)[j] : 0;
  const int8_t* row = static_cast<const int8_t*>(args_.x1.data) + static_cast<ptrdiff_t>(r) * args_.x1.row_stride;
  for (size_t i = 0; i < options_.k; ++i) sum += int64_t{row[i]} * static_cast<int64_t>(Weight(i, j));
  const double scale = static_cast<double>(args_.dequant_scale[j * args_.dequant_stride]);
  const float want = static_cast<float>(static_cast<double>(sum) * scale);
  if (std::memcmp(&want, &got, 4) == 0 || (std::isnan(want) && std::isnan(got))) return "";
  char text[200];
  std::snprintf(text, sizeof(text), "[%zu, %zu]: got %.9g, expected %.9g = %lld * %.9g", r, j, got, want, static_cast<long long>(sum),
                scale);
  return text;
}

std::string MatmulProblem::CheckFloat(size_t r, size_t j, float got) const {
  const MatmulOptions& o = options_;
  // Each block of at most 64 k of one group is summed from zero, which rounds once for each k; then one rounding for adding each
  // block, one for q + offset, one for the bias. What rounds to a subnormal is off by up to 2^-150, in a block before its scale.
  const size_t group = std::max<size_t>(1, IsQuantised(o) && o.group != 0 ? std::min(o.group, o.k) : o.k);
  const size_t blocks = (o.k + group - 1) / group * ((group + 63) / 64);
  const long double roundings = static_cast<long double>(std::min<size_t>(group, 64) + blocks + 2);
  const long double bias = o.has_bias ? Load(o.x1, args_.bias.data, static_cast<ptrdiff_t>(j)) : 0;
  long double sum = bias, magnitude = std::fabs(bias), subnormal = static_cast<long double>(blocks + 1), scales = 0;
  for (size_t i = 0; i < o.k; ++i) {
    const long double scale = Antiquant(args_.antiquant.scale, i, j, 1);
    const long double x = Load(o.x1, args_.x1.data, static_cast<ptrdiff_t>(r) * args_.x1.row_stride + static_cast<ptrdiff_t>(i));
    const long double term = x * Weight(i, j) * scale;
    sum += term, magnitude += std::fabs(term), subnormal += std::fabs(scale), scales += std::fabs(scale);
  }
  if (!std::isfinite(scales)) return "";  // 0 * Inf for a term, not for a sum with it: the targets must agree, no more
  const long double bound = roundings * magnitude * 0x1p-24L * 1.0001L + subnormal * 0x1p-150L;
  const bool right = !std::isfinite(magnitude) ? (std::isnan(sum) ? std::isnan(got) : static_cast<long double>(got) == sum)
                                               : std::fabs(static_cast<long double>(got) - sum) <= bound;
  if (right) return "";
  char text[200];
  std::snprintf(text, sizeof(text), "[%zu, %zu]: got %.9g, expected %.12Lg within %.3Lg", r, j, got, sum, bound);
  return text;
}

std::string MatmulProblem::Check(const std::vector<float>& result) const {
  for (size_t r = 0; r < options_.m; ++r) {
    for (size_t j = 0; j < options_.n; ++j) {
      const float got = result[r * options_.n + j];
      if (std::string what = IsInt(options_) ? CheckInt(r, j, got) : CheckFloat(r, j, got); !what.empty()) return what;
    }
  }
  return "";
}

}  // namespace addnorm::test
