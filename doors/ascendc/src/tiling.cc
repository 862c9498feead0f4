// SPDX-License-Identifier: Apache-2.0
// Host tiling. LayerNormGrad and LayerNormGradBeta give the vendor's values (also where rounding up lets the layout of LayerNormGrad
// exceed stackBufferSize: the kernel call checks what it truly needs). LayerNorm's values are our own.
#include "tiling/tiling_api.h"

#include <algorithm>

namespace addnorm::ascendc {
namespace {

constexpr uint32_t kFloatBytes = 4;

uint32_t Bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

// Temporary tensors of LayerNormGrad, in floats per element of the tile.
uint32_t GradTensors(uint32_t type_size, bool reuse) {
  if (type_size == 2) return 9;
  return reuse ? 4 : 6;
}

// ... of LayerNorm: two or three row buffers. half also keeps mean and variance in float.
uint32_t NormTensors(uint32_t type_size, bool reuse) { return reuse && type_size == kFloatBytes ? 2 : 3; }
uint32_t NormStatistics(const TileShape& shape, uint32_t type_size) { return type_size == 2 ? 2 * ((shape.b * shape.s + 7) / 8 * 8) : 0; }

}  // namespace

TmpSize LayerNormGradTmpSize(TileShape shape, uint32_t type_size, bool reuse) {
  const uint32_t tile = shape.b * shape.s * shape.h;
  const uint32_t square = shape.h * shape.h;
  const uint32_t unit = GradTensors(type_size, reuse) * type_size;
  return {std::max(tile, square) * unit, std::min(tile, square) * unit};
}

void MakeLayerNormGradTiling(const TilingRequest& request, AscendC::tiling::LayerNormGradTiling* tiling) {
  const TileShape& shape = request.shape;
  const uint32_t tensors = GradTensors(request.type_size, request.reuse_source);
  const uint32_t rows_unit = request.type_size == 2 ? 16 : 8;
  if (shape.h == 0) return;
  uint32_t rows = request.stack_bytes / kFloatBytes / tensors / shape.h;
  if (rows == 0) return;
  rows = (rows + rows_unit - 1) / rows_unit * rows_unit;
  const uint32_t one = rows * shape.h;
  const uint32_t tile = shape.b * shape.s * shape.h;
  const bool in_place = request.reuse_source && request.type_size == kFloatBytes;
  const bool narrow = request.type_size == 2;

  AscendC::tiling::LayerNormGradTiling& t = *tiling;
  t.stackBufferSize = request.stack_bytes;
  t.bLength = shape.b;
  t.sLength = shape.s;
  t.hLength = shape.h;
  t.originalHLength = shape.original_h;
  t.oneCalSize = one;
  t.nohCalSize = rows;
  t.loopNum = tile / one;
  t.tailSize = tile % one;
  t.nohTailSize = t.tailSize / shape.h;
  t.tmpTensorBSHPos = 0;
  t.pdVarTensorPos = one;
  t.pdMeanTensorPos = 2 * one;
  t.x1TensorPos = in_place ? 0 : 3 * one;
  t.x2TensorPos = in_place ? 0 : 4 * one;
  t.x3TensorPos = in_place ? 3 * one : 5 * one;
  t.tmpTensorPos = narrow ? 6 * one : 0;
  t.tmpTensor1Pos = narrow ? 7 * one : 0;
  t.tmpTensor2Pos = narrow ? 8 * one : 0;
  t.tmpTensorBSHSize = t.pdVarTensorSize = t.pdMeanTensorSize = t.x1TensorSize = t.x2TensorSize = t.x3TensorSize = one;
  t.tmpTensorSize = t.tmpTensor1Size = t.tmpTensor2Size = one;
  const auto columns = static_cast<float>(shape.original_h);
  t.lastDimValueBack = Bits(1.0f / columns);
  t.lastDimValueBackMulTwo = Bits(2.0f / columns);
}

TmpSize LayerNormGradBetaTmpSize(TileShape shape, uint32_t type_size, bool) {
  const uint32_t unit = kFloatBytes * (type_size == 2 ? 4 : 2);
  return {shape.b * shape.s * shape.h * unit, shape.h * unit};
}

void MakeLayerNormGradBetaTiling(const TilingRequest& request, AscendC::tiling::LayerNormGradBetaTiling* tiling) {
  const TileShape& shape = request.shape;
  const bool narrow = request.type_size == 2;
  const uint32_t floats = request.stack_bytes / kFloatBytes;
  if (shape.h == 0 || floats < 2 * shape.h) return;
  const uint32_t tile = shape.b * shape.s * shape.h;
  const uint32_t rows = (narrow ? (floats - 2 * shape.h) / 2 : floats) / shape.h;
  const uint32_t one = std::min(rows * shape.h, tile);
  if (one == 0) return;

  AscendC::tiling::LayerNormGradBetaTiling& t = *tiling;
  t.stackBufferSize = floats;
  t.bLength = shape.b;
  t.sLength = shape.s;
  t.hLength = shape.h;
  t.originalHLength = shape.original_h;
  t.bshLength = tile;
  t.bsLength = shape.b * shape.s;
  t.oneCalSize = one;
  t.numberOfTmpBuf = narrow ? 2 : 1;
  t.loopRound = tile / one;
  t.inputTailSize = tile % one;
  t.inputTailPos = tile - t.inputTailSize;
  t.bsTailSize = t.inputTailSize / shape.h;
  t.bshCurLength = one;
  t.bsCurLength = one / shape.h;
  t.gammaTempTensorPos = 0;
  t.betaTempTensorPos = narrow ? shape.h : 0;
  t.inputDyTmpTensorPos = narrow ? 2 * shape.h : 0;
  t.resForGammaTmpTensorPos = narrow ? 2 * shape.h + one : 0;
  t.reserved = 0;
}

TmpSize LayerNormTmpSize(TileShape shape, uint32_t type_size, bool reuse) {
  const uint32_t tensors = NormTensors(type_size, reuse);
  const uint32_t statistics = NormStatistics(shape, type_size);
  return {(tensors * shape.b * shape.s * shape.h + statistics) * kFloatBytes, (tensors * shape.h + statistics) * kFloatBytes};
}

void MakeLayerNormTiling(const TilingRequest& request, AscendC::tiling::LayerNormTiling* tiling) {
  const TileShape& shape = request.shape;
  const uint32_t statistics = NormStatistics(shape, request.type_size);
  const uint32_t floats = request.stack_bytes / kFloatBytes;
  if (shape.h == 0 || floats < statistics) return;
  const uint32_t tensors = NormTensors(request.type_size, request.reuse_source);
  const uint32_t tile = shape.b * shape.s * shape.h;
  const uint32_t one = std::min((floats - statistics) / tensors / shape.h * shape.h, tile);
  if (one == 0) return;

  AscendC::tiling::LayerNormTiling& t = *tiling;
  t.bLength = shape.b;
  t.sLength = shape.s;
  t.hLength = shape.h;
  t.originalHLength = shape.original_h;
  t.inputXSize = tile;
  t.meanVarSize = shape.b * shape.s;
  t.numberOfTmpBuf = tensors;
  t.meanTmpTensorPos = 0;
  t.meanTmpTensorSize = t.varianceTmpTensorPos = t.varianceTmpTensorSize = statistics / 2;
  t.tmpBufSize = floats;
  t.oneTmpSize = one;
  t.firstTmpStartPos = statistics;
  t.secondTmpStartPos = statistics + one;
  t.thirdTmpStartPos = tensors == 3 ? statistics + 2 * one : 0;
  t.loopRound = tile / one;
  t.inputRoundSize = one;
  t.inputTailSize = tile % one;
  t.inputTailPos = tile - t.inputTailSize;
  t.meanVarRoundSize = one / shape.h;
  t.meanVarTailSize = t.inputTailSize / shape.h;
  t.meanVarTailPos = t.meanVarSize - t.meanVarTailSize;
  t.bshCurLength = one;
  t.bsCurLength = one / shape.h;
  t.lastDimValueBack = Bits(1.0f / static_cast<float>(shape.original_h));
}

}  // namespace addnorm::ascendc
