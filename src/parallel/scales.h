// SPDX-License-Identifier: Apache-2.0
// Scales as the matmul takes them.
#ifndef ADDNORM_SRC_PARALLEL_SCALES_H_
#define ADDNORM_SRC_PARALLEL_SCALES_H_

#include "src/parallel/buffer.h"
#include "src/parallel/check.h"

namespace addnorm {

// The fp32 value of element `index` of a dequant_scale. A packed word holds it in its low 32 bits; its other fields (offset, shift, sign)
// mean nothing here. hardware: the 13 low bits of a packed value are dropped, as Ascend's vector unit reads 19.
float DequantScale(const void* data, DType dtype, size_t index, bool hardware);

// dequant_scale as fp32 in `memory`: one value if it has no column stride, else n.
Status DecodeDequantScale(const char* api, const ScaleArgs& scale, size_t n, bool hardware, Buffer* memory);

// The operands of W = (x2 + offset) * scale. In place where one type and one layout serve both; else, or if `own`, as fp32 in `memory`.
Status DecodeAntiquant(const char* api, const WeightArgs& weights, bool own, Buffer* memory, MatmulArgs::Antiquant* antiquant);

}  // namespace addnorm
#endif  // ADDNORM_SRC_PARALLEL_SCALES_H_
