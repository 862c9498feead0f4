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
  o.scale = random.Pick(kFloats);
  o.values = static_cast<Values>(random.Below(static_cast<uint64_t>(Values::kCount)));
  return o;
}

std::string Describe(const MatmulOptions& o) {
  char text[320];
  std::snprintf(
      text, sizeof(text),
      "seed %llu: m %zu n %zu k %zu, %s x %s%s, pads %zu %zu %zu, bias %d, per column %d, offset %d (integral %d), group %zu, scale %s, "
      "values %d, placement %d",
      static_cast<unsigned long long>(o.seed), o.m, o.n, o.k, NameOf(o.x1), NameOf(o.x2), o.transposed ? " transposed" : "", o.x1_pad,
      o.x2_pad, o.out_pad, o.has_bias, o.per_column, o.has_offset, o.integral_offset, o.group, NameOf(o.scale), static_cast<int>(o.values),
      static_cast<int>(o.placement));
  return text;
}

void MatmulProblem::Fill(const Operand& operand, Random* random, bool small) const {
  const TensorView view = operand.view();
  const bool integer = view.dtype == DType::kI8 || view.dtype == DType::kI32;
  const auto value = [&]() -> long double {
    if (view.dtype == DType::kI32) return static_cast<long double>(static_cast<int32_t>(random->Bits()) >> (small ? 8 : 0));
    if (view.dtype == DType::kI8) {
      if (options_.values == Values::kExtreme) return random->OneIn(2) ? -128 : random->OneIn(2) ? 127 : -128;
      return static_cast<int8_t>(random->Bits());
    }
    long double v = random->Normal();
    switch (options_.values) {
      case Values::kWide:  // large cancelling terms
        return std::ldexp(v, static_cast<int>(random->Below(25)) - 12);
      case Values::kTiny:  // down to subnormal operands and sums
        return std::ldexp(v, -static_cast<int>(random->Below(view.dtype == DType::kF16 ? 25 : 140)));
      case Values::kSpecial:
        if (random->OneIn(60)) return random->OneIn(2) ? -HUGE_VALL : HUGE_VALL;
        if (random->OneIn(90)) return std::nanl("");
        return random->OneIn(9) ? (random->OneIn(2) ? -0.0L : 0.0L) : v;
      default:
        return v;
    }
  };
  const size_t rows = view.shape.size() == 2 ? static_cast<size_t>(view.shape[0]) : 1;
  const size_t cols = static_cast<size_t>(view.shape.back());
  const ptrdiff_t stride = view.shape.size() == 2 ? static_cast<ptrdiff_t>(view.strides[0]) : 0;
  for (size_t i = 0; i < rows; ++i) {
    for (size_t j = 0; j < cols; ++j) {
      const ptrdiff_t at = static_cast<ptrdiff_t>(i) * stride + static_cast<ptrdiff_t>(j);
      if (integer) {  // the tools' Store is for real numbers
        const auto q = static_cast<int32_t>(value());
        view.dtype == DType::kI8 ? void(static_cast<int8_t*>(view.data)[at] = static_cast<int8_t>(q))
                                 : void(static_cast<int32_t*>(view.data)[at] = q);
      } else {
        Store(view.dtype, view.data, at, value());
      }
    }
  }
}

MatmulProblem::MatmulProblem(const MatmulOptions& options) : options_(options) {
  const MatmulOptions& o = options_;
  Random random(Mix(o.seed, 0xDA7A));
  x1_ = Matrix(o.x1, o.m, o.k, o.x1_pad, o.placement);
  x2_ = o.transposed ? Matrix(o.x2, o.n, o.k, o.x2_pad, o.placement) : Matrix(o.x2, o.k, o.n, o.x2_pad, o.placement);
  Fill(x1_, &random, false), Fill(x2_, &random, false);
  args_.m = o.m, args_.n = o.n, args_.k = o.k;
  args_.x1 = {x1_.view().data, static_cast<ptrdiff_t>(o.k + o.x1_pad), o.x1};
  const auto stride = static_cast<ptrdiff_t>((o.transposed ? o.k : o.n) + o.x2_pad);
  args_.x2 = {x2_.view().data, o.transposed ? 1 : stride, o.transposed ? stride : 1, o.x2};
  if (o.has_bias) {
    bias_ = Operand(IsInt(o) ? DType::kI32 : o.x1, {Signed(o.n)}, {}, false, o.placement);
    Fill(bias_, &random, o.seed % 2 == 0);
    args_.bias = {bias_.view().data, 0, bias_.view().dtype};
  }
  const size_t columns = o.per_column ? o.n : 1;
  if (IsInt(o)) {
    dequant_ = Operand(DType::kF32, {Signed(columns)}, {}, false, o.placement);
    Fill(dequant_, &random, false);
    args_.dequant_scale = static_cast<const float*>(dequant_.view().data), args_.dequant_stride = o.per_column ? 1 : 0;
  }
  if (IsQuantised(o)) {
    const size_t groups = o.group == 0 ? 1 : (o.k + o.group - 1) / o.group;
    scale_ = Matrix(o.scale, groups, columns, 0, o.placement);
    Fill(scale_, &random, false);
    MatmulArgs::Antiquant& q = args_.antiquant;
    q = {scale_.view().data, nullptr, o.scale, static_cast<ptrdiff_t>(columns), o.per_column ? 1 : 0, o.group};
    if (o.has_offset) {
      offset_ = Matrix(o.scale, groups, columns, 0, o.placement);
      Fill(offset_, &random, false);
      for (ptrdiff_t i = 0; o.integral_offset && i < static_cast<ptrdiff_t>(groups * columns); ++i)
        Store(o.scale, offset_.view().data, i, static_cast<long double>(random.Below(257)) - 128);
      q.offset = offset_.view().data;
    }
  }
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

long double MatmulProblem::Weight(size_t k, size_t j) const {
  const ptrdiff_t at = static_cast<ptrdiff_t>(k) * args_.x2.k_stride + static_cast<ptrdiff_t>(j) * args_.x2.n_stride;
  if (options_.x2 != DType::kI8) return Load(options_.x2, args_.x2.data, at);
  const long double q = static_cast<const int8_t*>(args_.x2.data)[at];
  if (args_.antiquant.offset == nullptr) return q;
  const ptrdiff_t row = options_.group == 0 ? 0 : static_cast<ptrdiff_t>(k / options_.group);
  return q + Load(options_.scale, args_.antiquant.offset,
                  row * args_.antiquant.group_stride + static_cast<ptrdiff_t>(j) * args_.antiquant.n_stride);
}
long double MatmulProblem::Scale(size_t k, size_t j) const {
  if (args_.antiquant.scale == nullptr) return 1;
  const ptrdiff_t row = options_.group == 0 ? 0 : static_cast<ptrdiff_t>(k / options_.group);
  return Load(options_.scale, args_.antiquant.scale,
              row * args_.antiquant.group_stride + static_cast<ptrdiff_t>(j) * args_.antiquant.n_stride);
}

std::string MatmulProblem::Check(const std::vector<float>& result) const {
  const MatmulOptions& o = options_;
  const size_t n = o.n, k = o.k;
  std::vector<long double> weights(k), x1(k);
  // Each block of 64 k of one group is summed from zero: at most 64 roundings; then one for each block, bias, q + offset.
  const size_t group = IsQuantised(o) && o.group ? o.group : k;
  const size_t blocks = (k + group - 1) / group * ((std::min(group, k) + 63) / 64);
  const long double roundings = static_cast<long double>(std::min<size_t>(k, 64) + blocks + 3) * 0x1p-24L;
  for (size_t j = 0; j < n; ++j) {
    for (size_t i = 0; i < k; ++i) weights[i] = Weight(i, j) * Scale(i, j);
    const long double bias =
        o.has_bias ? (IsInt(o) ? static_cast<const int32_t*>(args_.bias.data)[j] : Load(o.x1, args_.bias.data, static_cast<ptrdiff_t>(j)))
                   : 0;
    for (size_t r = 0; r < o.m; ++r) {
      const ptrdiff_t row = static_cast<ptrdiff_t>(r) * args_.x1.row_stride;
      const float got = result[r * n + j];
      char text[200];
      if (IsInt(o)) {
        int64_t sum = static_cast<int64_t>(bias);
        for (size_t i = 0; i < k; ++i)
          sum += int64_t{static_cast<const int8_t*>(args_.x1.data)[row + static_cast<ptrdiff_t>(i)]} * static_cast<int64_t>(weights[i]);
        const float want =
            static_cast<float>(static_cast<double>(sum) * static_cast<double>(args_.dequant_scale[j * args_.dequant_stride]));
        if (std::memcmp(&want, &got, 4) == 0 || (std::isnan(want) && std::isnan(got))) continue;
        std::snprintf(text, sizeof(text), "[%zu, %zu]: got %.9g, expected %.9g (sum %lld)", r, j, got, want, static_cast<long long>(sum));
        return text;
      }
      long double sum = bias, magnitude = std::fabs(bias), unscaled = 0;
      for (size_t i = 0; i < k; ++i) {
        const long double x = Load(o.x1, args_.x1.data, row + static_cast<ptrdiff_t>(i));
        sum += x * weights[i], magnitude += std::fabs(x * weights[i]), unscaled += std::fabs(Scale(i, j));
      }
      // Subnormal results round absolutely: in a block before its scale, and after.
      const long double bound = roundings * magnitude * 1.0001L + 0x1p-149L * (static_cast<long double>(blocks + 1) + unscaled);
      if (!(std::fabs(magnitude) <= 0x1.fffffep127L)) {  // IEEE: as the terms say
        if (std::isfinite(magnitude) || (std::isnan(sum) ? std::isnan(got) : static_cast<long double>(got) == sum)) continue;
        bool infinite_terms_agree = true;  // 0 * scale and the like may differ: judged by the other targets
        if (IsQuantised(o)) infinite_terms_agree = false;
        if (!infinite_terms_agree) continue;
      } else if (std::fabs(static_cast<long double>(got) - sum) <= bound) {
        continue;
      }
      std::snprintf(text, sizeof(text), "[%zu, %zu]: got %.9g, expected %.12Lg within %.3Lg", r, j, got, sum, bound);
      return text;
    }
  }
  return "";
}

}  // namespace addnorm::test
