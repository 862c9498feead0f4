// SPDX-License-Identifier: Apache-2.0
// The tiling structs of the normalisation calls, as the host computes them and the kernel receives them: uint32 fields in this order.
// Order of LayerNormGradTiling and LayerNormGradBetaTiling: the vendor's. LayerNormTiling: the vendor's names, the values ours.
#ifndef ADDNORM_ASCENDC_TILING_DATA_H_
#define ADDNORM_ASCENDC_TILING_DATA_H_

#include <cstdint>

// clang-format 14 wraps these lists differently each time it runs.
// clang-format off
/// stackBufferSize in bytes; positions and sizes of the temporary tensors in floats.
#define ADDNORM_LAYER_NORM_GRAD_TILING(X) \
  X(stackBufferSize) X(bLength) X(sLength) X(hLength) X(originalHLength) X(oneCalSize) X(nohCalSize) X(loopNum) X(tailSize) \
  X(nohTailSize) X(tmpTensorBSHPos) X(tmpTensorBSHSize) X(pdVarTensorPos) X(pdVarTensorSize) X(pdMeanTensorPos) X(pdMeanTensorSize) \
  X(x1TensorPos) X(x1TensorSize) X(x2TensorPos) X(x2TensorSize) X(x3TensorPos) X(x3TensorSize) X(tmpTensorPos) X(tmpTensorSize) \
  X(tmpTensor1Pos) X(tmpTensor1Size) X(tmpTensor2Pos) X(tmpTensor2Size) X(lastDimValueBack) X(lastDimValueBackMulTwo)

/// stackBufferSize in floats.
#define ADDNORM_LAYER_NORM_GRAD_BETA_TILING(X) \
  X(stackBufferSize) X(bLength) X(sLength) X(hLength) X(originalHLength) X(bshLength) X(bsLength) X(oneCalSize) X(numberOfTmpBuf) \
  X(loopRound) X(inputTailSize) X(inputTailPos) X(bsTailSize) X(bshCurLength) X(bsCurLength) X(gammaTempTensorPos) \
  X(betaTempTensorPos) X(inputDyTmpTensorPos) X(resForGammaTmpTensorPos) X(reserved)

/// tmpBufSize, positions and sizes in floats.
#define ADDNORM_LAYER_NORM_TILING(X) \
  X(bLength) X(sLength) X(hLength) X(originalHLength) X(inputXSize) X(meanVarSize) X(numberOfTmpBuf) X(meanTmpTensorPos) \
  X(meanTmpTensorSize) X(varianceTmpTensorPos) X(varianceTmpTensorSize) X(tmpBufSize) X(oneTmpSize) X(firstTmpStartPos) \
  X(secondTmpStartPos) X(thirdTmpStartPos) X(loopRound) X(inputRoundSize) X(inputTailSize) X(inputTailPos) X(meanVarRoundSize) \
  X(meanVarTailSize) X(meanVarTailPos) X(bshCurLength) X(bsCurLength) X(lastDimValueBack)
// clang-format on

#define ADDNORM_ASCENDC_TILINGS(X)                                \
  X(LayerNormGradTiling, ADDNORM_LAYER_NORM_GRAD_TILING)          \
  X(LayerNormGradBetaTiling, ADDNORM_LAYER_NORM_GRAD_BETA_TILING) \
  X(LayerNormTiling, ADDNORM_LAYER_NORM_TILING)

namespace AscendC {
namespace tiling {
#define ADDNORM_FIELD(name) uint32_t name = 0;
#define ADDNORM_X(Name, FIELDS) \
  struct Name {                 \
    FIELDS(ADDNORM_FIELD)       \
  };
ADDNORM_ASCENDC_TILINGS(ADDNORM_X)
#undef ADDNORM_X
#undef ADDNORM_FIELD
}  // namespace tiling
}  // namespace AscendC

static_assert(sizeof(AscendC::tiling::LayerNormGradTiling) == 120, "30 fields");
static_assert(sizeof(AscendC::tiling::LayerNormGradBetaTiling) == 80, "20 fields");

#endif  // ADDNORM_ASCENDC_TILING_DATA_H_
