// SPDX-License-Identifier: Apache-2.0
// Digests of forward and backward results over a fixed set of problems, whose data come from integer arithmetic alone.
//   bit_digest          prints one line per problem, computed by the current target: what tests/data/digests.txt stores
//   bit_digest FILE     computes them on every target of this machine and compares with FILE
// Needs nothing but the C++ API, so that it can be cross-built. A NaN counts as one value: its payload is the processor's.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "addnorm/addnorm.h"

namespace {

using addnorm::DType;
using addnorm::NormKind;
using addnorm::TensorView;

constexpr int64_t kRows = 70;  // more than one block of column-gradient rows
constexpr int64_t kCols[] = {1, 3, 7, 64, 100, 768, 1000};

struct Types {
  DType x, residual, weight;
};
constexpr Types kTypes[] = {
    {DType::kF32, DType::kF32, DType::kF32},   {DType::kF16, DType::kF16, DType::kF16},  {DType::kBF16, DType::kBF16, DType::kBF16},
    {DType::kF64, DType::kF64, DType::kF64},   {DType::kBF16, DType::kF32, DType::kF32}, {DType::kF16, DType::kF32, DType::kF16},
    {DType::kF32, DType::kBF16, DType::kBF16},
};

enum class Variant { kPlain, kSaved, kEverything, kStrided, kGiven, kVariance };
constexpr Variant kVariants[] = {Variant::kPlain,   Variant::kSaved, Variant::kEverything,
                                 Variant::kStrided, Variant::kGiven, Variant::kVariance};
constexpr const char* kVariantNames[] = {"plain", "saved", "everything", "strided", "given", "variance"};

uint64_t Mix(uint64_t z) {  // the finaliser of splitmix64
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

struct Format {
  int bytes, mantissa_bits, exponent_bias, extreme;  // extreme: how far special rows move the exponent
};
Format FormatOf(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return {4, 23, 127, 80};
    case DType::kF16:
      return {2, 10, 15, 4};
    case DType::kBF16:
      return {2, 7, 127, 80};
    case DType::kF64:
      return {8, 52, 1023, 600};
    case DType::kBool:
      return {1, 0, 0, 0};
    default:
      break;  // no operand of a norm
  }
  return {};
}

// A tensor of [rows, cols] or [n], with its storage; `padding` elements between rows.
class Tensor {
 public:
  Tensor() = default;
  Tensor(DType dtype, std::vector<int64_t> shape, int64_t padding = 0) : dtype_(dtype), shape_(std::move(shape)) {
    const int64_t cols = shape_.back() + padding;
    strides_ = shape_.size() == 1 ? std::vector<int64_t>{1} : std::vector<int64_t>{cols, 1};
    bytes_.assign(static_cast<size_t>(Rows() * cols * FormatOf(dtype).bytes), 0xA5);
  }

  // Values around 1 with every kind of row that arithmetic treats apart: huge, tiny, constant, and of large mean.
  Tensor& Fill(uint64_t seed, bool special_rows = false, bool positive = false) {
    const Format f = FormatOf(dtype_);
    for (int64_t r = 0; r < Rows(); ++r) {
      const int64_t kind = special_rows ? r % 16 : 0;
      for (int64_t i = 0; i < shape_.back(); ++i) {
        const uint64_t random =
            Mix(seed * 0x9E3779B97F4A7C15u + static_cast<uint64_t>(r) * 0x10001u + (kind == 11 ? 0u : static_cast<uint64_t>(i)));
        int exponent = f.exponent_bias - 4 + static_cast<int>(random >> 60) / 3;
        if (kind == 5) exponent += f.extreme;
        if (kind == 9) exponent -= f.extreme;
        if (kind == 13) exponent = f.exponent_bias + 6;
        const uint64_t sign = positive || kind == 13 ? 0 : (random >> 59) & 1;
        const uint64_t mantissa = random & ((uint64_t{1} << f.mantissa_bits) - 1);
        const uint64_t value = (sign << (8 * f.bytes - 1)) | (static_cast<uint64_t>(exponent) << f.mantissa_bits) | mantissa;
        std::memcpy(At(r, i), &value, static_cast<size_t>(f.bytes));  // little-endian, as all targets are
      }
    }
    return *this;
  }

  TensorView View() const {
    if (shape_.empty()) return {};
    return {const_cast<uint8_t*>(bytes_.data()), dtype_, shape_, strides_};
  }

  // FNV-1a over the elements.
  void AddTo(uint64_t* digest) const {
    if (shape_.empty()) return;
    const Format f = FormatOf(dtype_);
    const uint64_t infinity = dtype_ == DType::kBool ? ~uint64_t{0} : (uint64_t{1} << (8 * f.bytes - 1)) - (uint64_t{1} << f.mantissa_bits);
    for (int64_t r = 0; r < Rows(); ++r) {
      for (int64_t i = 0; i < shape_.back(); ++i) {
        uint64_t value = 0;
        std::memcpy(&value, At(r, i), static_cast<size_t>(f.bytes));
        const uint64_t magnitude = value & ~(uint64_t{1} << (8 * f.bytes - 1));
        if (magnitude > infinity) value = infinity + 1;
        for (int b = 0; b < f.bytes; ++b) *digest = (*digest ^ ((value >> (8 * b)) & 0xFF)) * 0x100000001B3u;
      }
    }
  }

 private:
  int64_t Rows() const { return shape_.size() == 1 ? 1 : shape_[0]; }
  uint8_t* At(int64_t r, int64_t i) const {
    const int64_t row_stride = shape_.size() == 1 ? 0 : strides_[0];
    return const_cast<uint8_t*>(bytes_.data()) + (r * row_stride + i) * FormatOf(dtype_).bytes;
  }

  DType dtype_ = DType::kF32;
  std::vector<int64_t> shape_, strides_;
  std::vector<uint8_t> bytes_;
};

uint64_t Digest(std::initializer_list<const Tensor*> tensors) {
  uint64_t digest = 0xCBF29CE484222325u;
  for (const Tensor* tensor : tensors) tensor->AddTo(&digest);
  return digest;
}

void Require(const addnorm::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "bit_digest: %s\n", status.message());
  std::exit(1);
}

struct Case {
  Types types;
  NormKind kind;
  Variant variant;
  int64_t cols;
};

std::string NameOf(const Case& c) {
  return std::string(addnorm::NameOf(c.types.x)) + "/" + addnorm::NameOf(c.types.residual) + "/" + addnorm::NameOf(c.types.weight) +
         (c.kind == NormKind::kLayer ? " layer " : " rms ") + kVariantNames[static_cast<int>(c.variant)] + " " + std::to_string(c.cols);
}

// One line: the problem's name, the digest of all forward outputs, the digest of all backward outputs.
std::string Compute(const Case& c) {
  const auto [x_type, residual_type, weight_type] = c.types;
  const DType row_type = x_type == DType::kF64 ? DType::kF64 : DType::kF32;
  const bool everything = c.variant == Variant::kEverything, layer = c.kind == NormKind::kLayer;
  const bool given = c.variant == Variant::kGiven || c.variant == Variant::kVariance;
  const int64_t padding = c.variant == Variant::kStrided ? 5 : 0, cols = c.cols;
  const auto full = [&](DType dtype) { return Tensor(dtype, {kRows, cols}, padding); };

  // Inputs.
  addnorm::ForwardProblem forward{.norm = {.kind = c.kind, .eps = 1e-5, .from_rounded = everything}};
  const Tensor x = full(x_type).Fill(1, true);
  Tensor residual, rowscale, layerscale, prebias, weight, bias;
  forward.pre.x0 = x.View();
  if (c.variant != Variant::kPlain) forward.pre.residual = (residual = full(residual_type).Fill(2, true)).View();
  if (c.variant == Variant::kSaved || everything) {
    forward.pre.dropout = {.p = everything ? 0.37 : 0.1, .seed = 0x123456789ABCDEF0u, .offset = 7, .row_base = 3};
  }
  if (everything) {
    forward.pre.rowscale = (rowscale = Tensor(x_type, {kRows}).Fill(3)).View();
    forward.pre.layerscale = (layerscale = Tensor(weight_type, {cols}).Fill(4)).View();
    forward.pre.prebias = (prebias = Tensor(weight_type, {cols}).Fill(5)).View();
  }
  if (c.variant != Variant::kStrided) forward.weight = (weight = Tensor(weight_type, {cols}).Fill(6)).View();
  if (layer) forward.bias = (bias = Tensor(weight_type, {cols}).Fill(7)).View();

  // Outputs of forward.
  Tensor y = full(x_type), prenorm = full(residual_type), keep = full(DType::kBool), mean, mean_lo, rstd(row_type, {kRows});
  forward.y = y.View();
  forward.prenorm = prenorm.View();
  forward.keep = keep.View();
  forward.rstd = rstd.View();
  if (layer) {
    forward.mean = (mean = Tensor(row_type, {kRows})).View();
    forward.mean_lo = (mean_lo = Tensor(row_type, {kRows})).View();
  }
  Require(addnorm::Forward(forward, addnorm::SerialExecutor()));

  // Backward: from the saved sum, from the inputs, from given statistics, or with nothing saved at all.
  const Tensor dy = full(x_type).Fill(8), dsum = full(residual_type).Fill(9);
  const Tensor given_mean = Tensor(row_type, {kRows}).Fill(10), given_rstd = Tensor(row_type, {kRows}).Fill(11, false, true);
  addnorm::BackwardProblem backward{.norm = forward.norm, .dy = dy.View(), .pre = forward.pre, .prenorm_dtype = residual_type};
  if (c.variant == Variant::kSaved) backward.prenorm = prenorm.View();
  if (given) {
    backward.statistics =
        c.variant == Variant::kGiven ? addnorm::BackwardProblem::Statistics::kGiven : addnorm::BackwardProblem::Statistics::kVariance;
    backward.rstd = given_rstd.View();
    if (layer) backward.mean = given_mean.View();
  } else if (c.variant != Variant::kStrided) {
    backward.mean = forward.mean;
    backward.mean_lo = forward.mean_lo;
    backward.rstd = forward.rstd;
  }
  backward.weight = forward.weight;
  if (c.variant != Variant::kPlain) backward.dsum = dsum.View();

  Tensor dx0 = full(x_type), dresidual, xhat, drowscale, dweight, dbias, dlayerscale;
  backward.dx0 = dx0.View();
  if (c.variant != Variant::kPlain) backward.dresidual = (dresidual = full(residual_type)).View();
  if (given) backward.xhat = (xhat = full(row_type)).View();
  backward.dweight = (dweight = Tensor(weight_type, {cols})).View();
  if (layer) backward.dbias = (dbias = Tensor(weight_type, {cols})).View();
  if (everything) {
    backward.drowscale = (drowscale = Tensor(x_type, {kRows})).View();
    backward.dlayerscale = (dlayerscale = Tensor(weight_type, {cols})).View();
  }
  Require(addnorm::Backward(backward, addnorm::SerialExecutor()));

  char digests[40];
  std::snprintf(digests, sizeof digests, " %016llx %016llx",
                static_cast<unsigned long long>(Digest({&y, &prenorm, &keep, &mean, &mean_lo, &rstd})),
                static_cast<unsigned long long>(Digest({&dx0, &dresidual, &xhat, &drowscale, &dweight, &dbias, &dlayerscale})));
  return NameOf(c) + digests;
}

std::vector<std::string> ComputeAll() {
  std::vector<std::string> lines;
  for (const Types& types : kTypes) {
    for (const NormKind kind : {NormKind::kLayer, NormKind::kRms}) {
      for (const Variant variant : kVariants) {
        if (variant == Variant::kVariance && kind == NormKind::kRms) continue;  // a variance is LayerNorm's
        for (const int64_t cols : kCols) lines.push_back(Compute({types, kind, variant, cols}));
      }
    }
  }
  return lines;
}

int Compare(const char* path) {
  std::ifstream file(path);
  std::vector<std::string> expected;
  for (std::string line; std::getline(file, line);) expected.push_back(line);
  int bad_targets = 0;
  for (const char* target : addnorm::AvailableTargets()) {
    Require(addnorm::SetThreadTarget(target));
    const std::vector<std::string> got = ComputeAll();
    size_t different = 0;
    for (size_t k = 0; k < std::max(got.size(), expected.size()); ++k) {
      const std::string is = k < got.size() ? got[k] : "(nothing)", was = k < expected.size() ? expected[k] : "(nothing)";
      if (is == was) continue;
      if (++different <= 10)
        std::fprintf(stderr, "%s: got      %s\n%*s  expected %s\n", target, is.c_str(), static_cast<int>(std::strlen(target)), "",
                     was.c_str());
    }
    std::printf("%s: %zu of %zu problems differ\n", target, different, got.size());
    bad_targets += different != 0;
  }
  return bad_targets != 0 || addnorm::AvailableTargets().empty();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2) return Compare(argv[1]);
  for (const std::string& line : ComputeAll()) std::printf("%s\n", line.c_str());
  return 0;
}
