// SPDX-License-Identifier: Apache-2.0
// LayerNorm, LayerNormGrad and LayerNormGradBeta on tiles in UB, T = half or float. They run on addnorm's row kernels.
// Shapes: tiles are [B, S, H] with H = tiling.hLength, a multiple of 32 bytes, of which tiling.originalHLength columns are real.
// Sums and 1/H run over the real columns, the others are never read and written as zeros. Sources: spec 003, docs/ascendc.md.
#ifndef ADDNORM_ASCENDC_NORMALIZATION_H_
#define ADDNORM_ASCENDC_NORMALIZATION_H_

#include "addnorm/ascendc/tiling_data.h"
#include "addnorm/ascendc/vector.h"

// Kernels name them without a namespace; the host's tiling_api.h does not bring them, as it has optiling's of the same names.
using AscendC::tiling::LayerNormGradBetaTiling;  // NOLINT(google-global-names-in-headers)
using AscendC::tiling::LayerNormGradTiling;      // NOLINT(google-global-names-in-headers)
using AscendC::tiling::LayerNormTiling;          // NOLINT(google-global-names-in-headers)

namespace addnorm::ascendc {

/// The temporary memory of a call: shared by the kernel, or data null = what UB has left.
struct LayerNormGradCall {
  LocalView dx, xhat, dy, x, variance, mean, gamma, tmp;
  bool shared_tmp;
  bool reuse_source;
  Type type;
  double epsilon;
  AscendC::DataFormat format;
};
ADDNORM_ASCENDC_API void RunLayerNormGrad(const LayerNormGradCall& call, const LayerNormGradTiling& tiling, Here here);

struct LayerNormGradBetaCall {
  LocalView dgamma, dbeta, xhat, dy, tmp;
  bool shared_tmp;
  Type type;
};
ADDNORM_ASCENDC_API void RunLayerNormGradBeta(const LayerNormGradBetaCall& call, const LayerNormGradBetaTiling& tiling, Here here);

struct LayerNormCall {
  LocalView y, mean, variance, x, gamma, beta, tmp;
  bool shared_tmp;
  bool reuse_source;
  Type type;
  double epsilon;
};
ADDNORM_ASCENDC_API void RunLayerNorm(const LayerNormCall& call, const LayerNormTiling& tiling, Here here);

template <typename T>
constexpr Type NormType() {
  static_assert(std::is_same_v<T, half> || std::is_same_v<T, float>, "the normalisation calls take half or float");
  return TypeOf<T>::kType;
}

}  // namespace addnorm::ascendc

namespace AscendC {

struct LayerNormGradShapeInfo {
  DataFormat dataFormat = DataFormat::ND;
};

/// outputPdX = q (w - mean_j w - (xhat - mean_j xhat) mean_j(w xhat)) with w = inputDy * inputGamma, q = (inputVariance + epsilon)^-1/2,
/// resForGamma = xhat = (inputX - inputMean) q. inputVariance and inputMean are [B, S], inputGamma is [H], the others [B, S, H].
/// Outputs are rounded once. Either output may be exactly inputX or inputDy; outputPdX and resForGamma must differ.
/// isReuseSource with float: inputX and inputDy are undefined afterwards, unless they are outputs. With half it changes nothing.
template <typename T, bool isReuseSource = false>
__aicore__ inline void LayerNormGrad(const LocalTensor<T>& outputPdX, const LocalTensor<T>& resForGamma, const LocalTensor<T>& inputDy,
                                     const LocalTensor<T>& inputX, const LocalTensor<T>& inputVariance, const LocalTensor<T>& inputMean,
                                     const LocalTensor<T>& inputGamma, const LocalTensor<uint8_t>& sharedTmpBuffer,
                                     typename LocalTensor<T>::PrimType epsilon, const LayerNormGradTiling& tiling,
                                     const LayerNormGradShapeInfo& shapeInfo = {}, addnorm::ascendc::Here here = {}) {
  addnorm::ascendc::RunLayerNormGrad(
      {outputPdX.view(), resForGamma.view(), inputDy.view(), inputX.view(), inputVariance.view(), inputMean.view(), inputGamma.view(),
       sharedTmpBuffer.view(), true, isReuseSource, addnorm::ascendc::NormType<T>(), static_cast<double>(epsilon), shapeInfo.dataFormat},
      tiling, here);
}
/// The same with the temporary memory taken from what UB has left.
template <typename T, bool isReuseSource = false>
__aicore__ inline void LayerNormGrad(const LocalTensor<T>& outputPdX, const LocalTensor<T>& resForGamma, const LocalTensor<T>& inputDy,
                                     const LocalTensor<T>& inputX, const LocalTensor<T>& inputVariance, const LocalTensor<T>& inputMean,
                                     const LocalTensor<T>& inputGamma, typename LocalTensor<T>::PrimType epsilon,
                                     const LayerNormGradTiling& tiling, const LayerNormGradShapeInfo& shapeInfo = {},
                                     addnorm::ascendc::Here here = {}) {
  addnorm::ascendc::RunLayerNormGrad({outputPdX.view(),
                                      resForGamma.view(),
                                      inputDy.view(),
                                      inputX.view(),
                                      inputVariance.view(),
                                      inputMean.view(),
                                      inputGamma.view(),
                                      {},
                                      false,
                                      isReuseSource,
                                      addnorm::ascendc::NormType<T>(),
                                      static_cast<double>(epsilon),
                                      shapeInfo.dataFormat},
                                     tiling, here);
}

/// outputPdGamma[h] = sum over B, S of inputDy * resForGamma, outputPdBeta[h] = sum of inputDy; both [H], written, not added to.
template <typename T, bool isReuseSource = false>
__aicore__ inline void LayerNormGradBeta(const LocalTensor<T>& outputPdGamma, const LocalTensor<T>& outputPdBeta,
                                         const LocalTensor<T>& resForGamma, const LocalTensor<T>& inputDy,
                                         const LocalTensor<uint8_t>& sharedTmpBuffer, const LayerNormGradBetaTiling& tiling,
                                         addnorm::ascendc::Here here = {}) {
  addnorm::ascendc::RunLayerNormGradBeta({outputPdGamma.view(), outputPdBeta.view(), resForGamma.view(), inputDy.view(),
                                          sharedTmpBuffer.view(), true, addnorm::ascendc::NormType<T>()},
                                         tiling, here);
}
template <typename T, bool isReuseSource = false>
__aicore__ inline void LayerNormGradBeta(const LocalTensor<T>& outputPdGamma, const LocalTensor<T>& outputPdBeta,
                                         const LocalTensor<T>& resForGamma, const LocalTensor<T>& inputDy,
                                         const LayerNormGradBetaTiling& tiling, addnorm::ascendc::Here here = {}) {
  addnorm::ascendc::RunLayerNormGradBeta(
      {outputPdGamma.view(), outputPdBeta.view(), resForGamma.view(), inputDy.view(), {}, false, addnorm::ascendc::NormType<T>()}, tiling,
      here);
}

/// output = (inputX - mean) (variance + epsilon)^-1/2 gamma + beta per row; outputMean and outputVariance are [B, S], the variance biased.
template <typename T, bool isReuseSource = false>
__aicore__ inline void LayerNorm(const LocalTensor<T>& output, const LocalTensor<T>& outputMean, const LocalTensor<T>& outputVariance,
                                 const LocalTensor<T>& inputX, const LocalTensor<T>& gamma, const LocalTensor<T>& beta,
                                 const LocalTensor<uint8_t>& sharedTmpBuffer, const typename LocalTensor<T>::PrimType epsilon,
                                 const LayerNormTiling& tiling, addnorm::ascendc::Here here = {}) {
  addnorm::ascendc::RunLayerNorm(
      {output.view(), outputMean.view(), outputVariance.view(), inputX.view(), gamma.view(), beta.view(), sharedTmpBuffer.view(), true,
       isReuseSource, addnorm::ascendc::NormType<T>(), static_cast<double>(epsilon)},
      tiling, here);
}
template <typename T, bool isReuseSource = false>
__aicore__ inline void LayerNorm(const LocalTensor<T>& output, const LocalTensor<T>& outputMean, const LocalTensor<T>& outputVariance,
                                 const LocalTensor<T>& inputX, const LocalTensor<T>& gamma, const LocalTensor<T>& beta,
                                 const typename LocalTensor<T>::PrimType epsilon, const LayerNormTiling& tiling,
                                 addnorm::ascendc::Here here = {}) {
  addnorm::ascendc::RunLayerNorm({output.view(),
                                  outputMean.view(),
                                  outputVariance.view(),
                                  inputX.view(),
                                  gamma.view(),
                                  beta.view(),
                                  {},
                                  false,
                                  isReuseSource,
                                  addnorm::ascendc::NormType<T>(),
                                  static_cast<double>(epsilon)},
                                 tiling, here);
}

}  // namespace AscendC
#endif  // ADDNORM_ASCENDC_NORMALIZATION_H_
