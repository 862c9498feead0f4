// SPDX-License-Identifier: Apache-2.0
#include "bench/operands.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>
#include <random>

namespace addnorm::bench {
namespace {

constexpr size_t kHuge = size_t{2} << 20;
constexpr size_t kStagger = 17 * 64;

uint16_t BFloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if (std::isnan(value)) return 0x7fc0;
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// A block of normal numbers, repeated at another phase: filling hundreds of megabytes must not take longer than measuring.
void Fill(Tensor& tensor, uint32_t seed, double mean, double scale) {
  constexpr size_t kBlock = 65521;  // prime, so that no two rows are alike
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(mean, scale);
  const size_t count = tensor.count();
  for (size_t i = 0; i < count && i < kBlock; ++i) tensor.set(i, normal(random));
  const size_t size = SizeOf(tensor.dtype);
  for (size_t done = kBlock; done < count; done += kBlock) {
    std::memcpy(tensor.data + done * size, tensor.data, std::min(kBlock, count - done) * size);
  }
}

}  // namespace

double Tensor::at(size_t i) const {
  if (dtype == DType::kF32) {
    float value;
    std::memcpy(&value, data + i * 4, 4);
    return static_cast<double>(value);
  }
  uint16_t bits;
  std::memcpy(&bits, data + i * 2, 2);
  return static_cast<double>(std::bit_cast<float>(static_cast<uint32_t>(bits) << 16));
}

void Tensor::set(size_t i, double value) {
  const float single = static_cast<float>(value);
  if (dtype == DType::kF32) {
    std::memcpy(data + i * 4, &single, 4);
    return;
  }
  const uint16_t bits = BFloat16(single);
  std::memcpy(data + i * 2, &bits, 2);
}

Arena::Arena(size_t slot_bytes)
    : slot_bytes_(slot_bytes),
      stride_((slot_bytes + kSlots * kStagger + kHuge - 1) / kHuge * kHuge),
      memory_(static_cast<std::byte*>(std::aligned_alloc(kHuge, kSlots * stride_))) {
  if (memory_ == nullptr) throw std::bad_alloc();
  std::memset(memory_, 0, kSlots * stride_);  // every page is there before anything is timed
}
Arena::~Arena() { std::free(memory_); }

std::byte* Arena::Slot(size_t k, Placement placement) const {
  return memory_ + k * stride_ + (placement == Placement::kStaggered ? k * kStagger : 0);
}

Tensor Operands::Small(size_t index, DType dtype, int64_t size) {
  constexpr size_t kAlign = 64;  // as allocators of tensors align
  small_[index].assign(static_cast<size_t>(size) * SizeOf(dtype) + kAlign, std::byte{0});
  std::byte* data = small_[index].data();
  return {data + (kAlign - reinterpret_cast<uintptr_t>(data) % kAlign) % kAlign, dtype, {size, 0}, 1};
}

Operands::Operands(const Arena& arena, Placement placement, DType dtype, int64_t rows, int64_t cols) {
  Tensor* full[] = {&x1, &x2, &sum, &y, &dy, &dx};
  for (size_t k = 0; k < Arena::kSlots; ++k) {
    *full[k] = {arena.Slot(k, placement), dtype, {rows, cols}, 2};
    std::memset(full[k]->data, 0, full[k]->bytes());
  }
  weight = Small(0, dtype, cols);
  bias = Small(1, dtype, cols);
  dweight = Small(2, dtype, cols);
  dbias = Small(3, dtype, cols);
  mean = Small(4, DType::kF32, rows);
  mean_lo = Small(5, DType::kF32, rows);
  rstd = Small(6, DType::kF32, rows);
  Fill(x1, 1, 0, 1);
  Fill(x2, 2, 0.5, 2);
  Fill(dy, 3, 0, 1);
  Fill(weight, 4, 1, 0.1);
  Fill(bias, 5, 0, 0.1);
}

ForwardProblem Operands::Forward(NormKind kind, double p) const {
  ForwardProblem problem = kind == NormKind::kLayer
                               ? AddLayerNorm(x1.view(), x2.view(), weight.view(), bias.view(), eps, y.view(), sum.view())
                               : AddRmsNorm(x1.view(), x2.view(), weight.view(), eps, y.view(), sum.view());
  problem.pre.dropout = {.p = p, .seed = 7, .offset = 3};
  return problem;
}

BackwardProblem Operands::Backward(NormKind kind, bool saved_statistics) const {
  BackwardProblem problem;
  problem.norm = {.kind = kind, .eps = eps};
  problem.dy = dy.view();
  problem.prenorm = sum.view();
  problem.weight = weight.view();
  problem.dresidual = dx.view();
  problem.dweight = dweight.view();
  if (kind == NormKind::kLayer) problem.dbias = dbias.view();
  if (!saved_statistics) return problem;
  problem.rstd = rstd.view();
  if (kind == NormKind::kLayer) problem.mean = mean.view(), problem.mean_lo = mean_lo.view();
  return problem;
}

Status Operands::SaveStatistics(NormKind kind) const {
  ForwardProblem problem;
  problem.norm = {.kind = kind, .eps = eps};
  problem.pre.x0 = sum.view();
  problem.rstd = rstd.view();
  if (kind == NormKind::kLayer) problem.mean = mean.view(), problem.mean_lo = mean_lo.view();
  return addnorm::Forward(problem);
}

}  // namespace addnorm::bench
