// SPDX-License-Identifier: Apache-2.0
#include "src/parallel/scales.h"

#include <bit>

#include "src/base/dtype.h"

namespace addnorm {
namespace {

constexpr uint32_t kHardwareBits = 0xFFFFE000u;  // sign, 8 bits of exponent, 10 of mantissa

void Widen(const ScaleArgs& from, size_t rows, size_t cols, float* to) {
  for (size_t i = 0; i < rows; ++i) {
    for (size_t j = 0; j < cols; ++j) {
      const ptrdiff_t index = static_cast<ptrdiff_t>(i) * from.row_stride + static_cast<ptrdiff_t>(j) * from.col_stride;
      const char* element = static_cast<const char*>(from.data) + index * static_cast<ptrdiff_t>(SizeOf(from.dtype));
      to[i * cols + j] = static_cast<float>(LoadElement(element, from.dtype, 0));
    }
  }
}

}  // namespace

float DequantScale(const void* data, DType dtype, size_t index, bool hardware) {
  if (dtype != DType::kI64 && dtype != DType::kU64) return static_cast<float>(LoadElement(data, dtype, index));
  const uint32_t bits = static_cast<uint32_t>(LoadBits<uint64_t>(data, index));
  return std::bit_cast<float>(hardware ? bits & kHardwareBits : bits);
}

Status DecodeDequantScale(const char* api, const ScaleArgs& scale, size_t n, bool hardware, Buffer* memory) {
  const size_t count = scale.col_stride == 0 ? 1 : n;
  if (Status status = memory->Allocate(api, "dequant_scale in fp32", count * sizeof(float)); !status.ok()) return status;
  auto* values = reinterpret_cast<float*>(memory->data());
  for (size_t j = 0; j < count; ++j) {
    const ptrdiff_t offset = static_cast<ptrdiff_t>(j) * scale.col_stride * static_cast<ptrdiff_t>(SizeOf(scale.dtype));
    values[j] = DequantScale(static_cast<const char*>(scale.data) + offset, scale.dtype, 0, hardware);
  }
  return Status();
}

Status DecodeAntiquant(const char* api, const WeightArgs& weights, bool own, Buffer* memory, MatmulArgs::Antiquant* antiquant) {
  const ScaleArgs &scale = weights.antiquant_scale, &offset = weights.antiquant_offset;
  if (!scale) return Status();
  antiquant->group = weights.group;
  const bool alike =
      !offset || (offset.dtype == scale.dtype && offset.row_stride == scale.row_stride && offset.col_stride == scale.col_stride);
  if (alike && !own) {
    antiquant->scale = scale.data;
    antiquant->offset = offset.data;
    antiquant->dtype = scale.dtype;
    antiquant->group_stride = scale.row_stride;
    antiquant->n_stride = scale.col_stride;
    return Status();
  }
  const bool per_tensor = scale.row_stride == 0 && scale.col_stride == 0;
  const size_t rows = weights.groups, cols = per_tensor ? 1 : weights.n, count = rows * cols;
  if (Status status = memory->Allocate(api, "antiquant_scale and antiquant_offset in fp32", 2 * count * sizeof(float)); !status.ok())
    return status;
  auto* values = reinterpret_cast<float*>(memory->data());
  Widen(scale, rows, cols, values);
  if (offset) Widen(offset, rows, cols, values + count);
  antiquant->scale = values;
  antiquant->offset = offset ? values + count : nullptr;
  antiquant->dtype = DType::kF32;
  antiquant->group_stride = rows == 1 ? 0 : static_cast<ptrdiff_t>(cols);
  antiquant->n_stride = cols == 1 ? 0 : 1;
  return Status();
}

}  // namespace addnorm
