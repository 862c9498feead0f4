// SPDX-License-Identifier: Apache-2.0
// Host side: sizes of temporary memory and the tiling structs of LayerNormGrad, LayerNormGradBeta and LayerNorm.
// srcShape = {B, S, H as stored, H as meant}. typeSize 2 (half) or 4 (float). Formulas: docs/ascendc.md.
#ifndef ADDNORM_ASCENDC_TILING_API_H_
#define ADDNORM_ASCENDC_TILING_API_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <utility>
#include <vector>

#include "addnorm/ascendc/report.h"
#include "addnorm/ascendc/tiling_data.h"

namespace ge {

/// The dimensions of a tensor.
class Shape {
 public:
  Shape() = default;
  explicit Shape(std::vector<int64_t> dims) : dims_(std::move(dims)) {}
  Shape(std::initializer_list<int64_t> dims) : dims_(dims) {}
  size_t GetDimNum() const { return dims_.size(); }
  int64_t GetDim(size_t index) const { return index < dims_.size() ? dims_[index] : 0; }
  void SetDim(size_t index, int64_t value) {
    if (index < dims_.size()) dims_[index] = value;
  }
  std::vector<int64_t> GetDims() const { return dims_; }
  int64_t GetShapeSize() const {
    int64_t size = dims_.empty() ? 0 : 1;
    for (int64_t dim : dims_) size *= dim;
    return size;
  }

 private:
  std::vector<int64_t> dims_;
};

}  // namespace ge

// The flavour that op hosts serialise: accessors around the same fields.
namespace optiling {
#define ADDNORM_FIELD(name)                               \
  void set_##name(uint32_t value) { data_.name = value; } \
  uint32_t get_##name() const { return data_.name; }
#define ADDNORM_X(Name, FIELDS)                                                                 \
  class Name {                                                                                  \
   public:                                                                                      \
    FIELDS(ADDNORM_FIELD)                                                                       \
    size_t GetDataSize() const { return sizeof(data_); }                                        \
    /* Writes nothing if `capacity` is too small. */                                            \
    void SaveToBuffer(void* out, size_t capacity) const {                                       \
      if (out != nullptr && capacity >= sizeof(data_)) std::memcpy(out, &data_, sizeof(data_)); \
    }                                                                                           \
    const AscendC::tiling::Name& data() const { return data_; }                                 \
    AscendC::tiling::Name& data() { return data_; }                                             \
                                                                                                \
   private:                                                                                     \
    AscendC::tiling::Name data_;                                                                \
  };
ADDNORM_ASCENDC_TILINGS(ADDNORM_X)
#undef ADDNORM_X
#undef ADDNORM_FIELD
}  // namespace optiling

namespace addnorm::ascendc {

/// B, S, H, originalH; dimensions that a shape lacks are 0.
struct TileShape {
  uint32_t b, s, h, original_h;
};
inline TileShape TileOf(const ge::Shape& shape) {
  return {static_cast<uint32_t>(shape.GetDim(0)), static_cast<uint32_t>(shape.GetDim(1)), static_cast<uint32_t>(shape.GetDim(2)),
          static_cast<uint32_t>(shape.GetDim(3))};
}
struct TmpSize {
  uint32_t max, min;  // bytes
};
struct TilingRequest {
  TileShape shape;
  uint32_t stack_bytes;
  uint32_t type_size;
  bool reuse_source;
};

#define ADDNORM_X(Call, Tiling)                                                               \
  ADDNORM_ASCENDC_API TmpSize Call##TmpSize(TileShape shape, uint32_t type_size, bool reuse); \
  /* Leaves `tiling` as it is where stack_bytes is too small for one row. */                  \
  ADDNORM_ASCENDC_API void Make##Tiling(const TilingRequest& request, AscendC::tiling::Tiling* tiling);
#define ADDNORM_ASCENDC_TILING_CALLS(X) \
  X(LayerNormGrad, LayerNormGradTiling) X(LayerNormGradBeta, LayerNormGradBetaTiling) X(LayerNorm, LayerNormTiling)
ADDNORM_ASCENDC_TILING_CALLS(ADDNORM_X)
#undef ADDNORM_X

}  // namespace addnorm::ascendc

namespace AscendC {

using TensorShape = ge::Shape;

// Get<Call>MaxMinTmpSize: bytes of temporary memory, the most that helps and the least that works.
// Get<Call>NDTilingInfo: the tiling for `stackBufferSize` bytes, in either flavour.
#define ADDNORM_X(Call, Tiling)                                                                                                            \
  inline void Get##Call##MaxMinTmpSize(const TensorShape& srcShape, const uint32_t typeSize, const bool isReuseSource, uint32_t& maxValue, \
                                       uint32_t& minValue) {                                                                               \
    const addnorm::ascendc::TmpSize size = addnorm::ascendc::Call##TmpSize(addnorm::ascendc::TileOf(srcShape), typeSize, isReuseSource);   \
    maxValue = size.max;                                                                                                                   \
    minValue = size.min;                                                                                                                   \
  }                                                                                                                                        \
  inline void Get##Call##NDTilingInfo(const TensorShape& srcShape, const uint32_t stackBufferSize, const uint32_t typeSize,                \
                                      const bool isReuseSource, AscendC::tiling::Tiling& tiling) {                                         \
    addnorm::ascendc::Make##Tiling({addnorm::ascendc::TileOf(srcShape), stackBufferSize, typeSize, isReuseSource}, &tiling);               \
  }                                                                                                                                        \
  inline void Get##Call##NDTilingInfo(const TensorShape& srcShape, const uint32_t stackBufferSize, const uint32_t typeSize,                \
                                      const bool isReuseSource, optiling::Tiling& tiling) {                                                \
    addnorm::ascendc::Make##Tiling({addnorm::ascendc::TileOf(srcShape), stackBufferSize, typeSize, isReuseSource}, &tiling.data());        \
  }
ADDNORM_ASCENDC_TILING_CALLS(ADDNORM_X)
#undef ADDNORM_X

/// The vendor's older spelling.
template <typename Tiling>
inline void GetLayerNormNDTillingInfo(const TensorShape& srcShape, const uint32_t stackBufferSize, const uint32_t typeSize,
                                      const bool isReuseSource, Tiling& tiling) {
  GetLayerNormNDTilingInfo(srcShape, stackBufferSize, typeSize, isReuseSource, tiling);
}

}  // namespace AscendC
#endif  // ADDNORM_ASCENDC_TILING_API_H_
