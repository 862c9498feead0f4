// SPDX-License-Identifier: Apache-2.0
// GlobalTensor and LocalTensor: typed views of GM and UB. Copying one copies the view.
#ifndef ADDNORM_ASCENDC_TENSOR_H_
#define ADDNORM_ASCENDC_TENSOR_H_

#include "addnorm/ascendc/memory.h"

namespace AscendC {

/// Layout of a tensor. This door computes on ND only and refuses the others.
enum class DataFormat : uint8_t { ND = 0, NZ, NCHW, NC1HWC0, NHWC, NCDHW, NDC1HWC0, FRACTAL_Z_3D };

constexpr uint32_t K_MAX_SHAPE_DIM = 8;

struct ShapeInfo {
  ShapeInfo() = default;
  ShapeInfo(uint8_t dims, const uint32_t sizes[], DataFormat format = DataFormat::ND)
      : shapeDim(dims), originalShapeDim(dims), dataFormat(format) {
    for (uint32_t i = 0; i < dims && i < K_MAX_SHAPE_DIM; ++i) shape[i] = originalShape[i] = sizes[i];
  }
  uint8_t shapeDim = 0;
  uint8_t originalShapeDim = 0;
  uint32_t shape[K_MAX_SHAPE_DIM] = {};
  uint32_t originalShape[K_MAX_SHAPE_DIM] = {};
  DataFormat dataFormat = DataFormat::ND;
};

/// `size` elements of T in global memory, from a kernel argument.
template <typename T>
class GlobalTensor {
 public:
  using PrimType = T;

  void SetGlobalBuffer(__gm__ T* buffer, uint64_t size) { view_ = {reinterpret_cast<uint8_t*>(buffer), Bytes(size), true}; }
  /// Without a size only the allocation behind the pointer bounds the tensor.
  void SetGlobalBuffer(__gm__ T* buffer) { view_ = {reinterpret_cast<uint8_t*>(buffer), 0, false}; }
  const __gm__ T* GetPhyAddr() const { return reinterpret_cast<const T*>(view_.data); }
  __gm__ T* GetPhyAddr(uint64_t offset) const { return reinterpret_cast<T*>(view_.data) + offset; }
  uint64_t GetSize() const { return view_.bytes / sizeof(T); }

  T GetValue(uint64_t offset, addnorm::ascendc::Here here = {}) const {
    addnorm::ascendc::TouchGlobal(view_, Bytes(offset), sizeof(T), addnorm::ascendc::Access::kRead, here);
    T value;
    __builtin_memcpy(&value, view_.data + offset * sizeof(T), sizeof(T));
    return value;
  }
  void SetValue(uint64_t offset, T value, addnorm::ascendc::Here here = {}) {
    addnorm::ascendc::TouchGlobal(view_, Bytes(offset), sizeof(T), addnorm::ascendc::Access::kWrite, here);
    __builtin_memcpy(view_.data + offset * sizeof(T), &value, sizeof(T));
  }
  /// The rest of the tensor from element `offset` on. Beyond the end it is empty, and the operation that uses it reports that.
  GlobalTensor operator[](uint64_t offset) const {
    GlobalTensor rest = *this;
    const uint64_t bytes = Bytes(offset);
    if (bytes > INT64_MAX) {  // a negative offset, more likely than such a size
      rest.view_ = {view_.data, 0, true};
      return rest;
    }
    rest.view_.data += bytes;
    rest.view_.bytes = bytes < view_.bytes ? view_.bytes - bytes : 0;
    return rest;
  }
  void SetShapeInfo(const ShapeInfo& info) { shape_info_ = info; }
  ShapeInfo GetShapeInfo() const { return shape_info_; }
  template <typename Mode>
  void SetL2CacheHint(Mode) {}

  const addnorm::ascendc::GlobalView& view() const { return view_; }

 private:
  /// Saturates, so that a huge element count stays out of bounds.
  static constexpr uint64_t Bytes(uint64_t elements) { return elements > UINT64_MAX / sizeof(T) ? UINT64_MAX : elements * sizeof(T); }

  addnorm::ascendc::GlobalView view_;
  ShapeInfo shape_info_;
};

/// Elements of T in local memory: a buffer of a queue or TBuf, or a part of one.
template <typename T>
class LocalTensor {
 public:
  using PrimType = T;
  LocalTensor() = default;
  explicit LocalTensor(const addnorm::ascendc::LocalView& view) : view_(view) {}

  /// Elements up to the end of the buffer, which is a multiple of 32 bytes and may exceed what the kernel asked for.
  uint32_t GetSize() const { return view_.bytes / static_cast<uint32_t>(sizeof(T)); }
  uint32_t GetLength() const { return view_.bytes; }
  void SetSize(uint32_t size) { view_.bytes = size * static_cast<uint32_t>(sizeof(T)); }
  TPosition GetPosition() const { return view_.position; }

  T GetValue(uint32_t index, addnorm::ascendc::Here here = {}) const {
    addnorm::ascendc::TouchLocal(view_, uint64_t{index} * sizeof(T), sizeof(T), addnorm::ascendc::Access::kRead, here);
    T value;
    __builtin_memcpy(&value, view_.data + uint64_t{index} * sizeof(T), sizeof(T));
    return value;
  }
  template <typename V>
  void SetValue(uint32_t index, V value, addnorm::ascendc::Here here = {}) const {
    addnorm::ascendc::TouchLocal(view_, uint64_t{index} * sizeof(T), sizeof(T), addnorm::ascendc::Access::kWrite, here);
    const T element = static_cast<T>(value);
    __builtin_memcpy(view_.data + uint64_t{index} * sizeof(T), &element, sizeof(T));
  }
  /// What is done through the reference cannot be seen: the element counts as written once its content has changed.
  T& operator()(uint32_t index, addnorm::ascendc::Here here = {}) const {
    addnorm::ascendc::TouchLocal(view_, uint64_t{index} * sizeof(T), sizeof(T),
                                 kShowsWrites ? addnorm::ascendc::Access::kReference : addnorm::ascendc::Access::kWrite, here);
    return reinterpret_cast<T*>(view_.data)[index];
  }
  /// The rest of the tensor from element `offset` on. Beyond the end it is empty, and the operation that uses it reports that.
  LocalTensor operator[](uint32_t offset) const {
    LocalTensor rest = *this;
    const uint64_t bytes = uint64_t{offset} * sizeof(T);
    rest.view_.data += bytes;
    rest.view_.bytes = bytes < view_.bytes ? view_.bytes - static_cast<uint32_t>(bytes) : 0;
    return rest;
  }
  template <typename U>
  LocalTensor<U> ReinterpretCast() const {
    return LocalTensor<U>(view_);
  }
  /// The address; an element counts as written once its content has changed.
  __ubuf__ T* GetPhyAddr(uint32_t offset = 0, addnorm::ascendc::Here here = {}) const {
    addnorm::ascendc::ExposeLocal(view_, kShowsWrites ? sizeof(T) : 0, here);
    return reinterpret_cast<T*>(view_.data) + offset;
  }
  void SetShapeInfo(const ShapeInfo& info) { shape_info_ = info; }
  ShapeInfo GetShapeInfo() const { return shape_info_; }

  const addnorm::ascendc::LocalView& view() const { return view_; }

 private:
  /// Untouched memory holds a pattern that no value of these types has: NaNs of no arithmetic, integers that nobody writes.
  static constexpr bool kShowsWrites = sizeof(T) >= 4 || (sizeof(T) == 2 && !std::is_integral_v<T>);

  addnorm::ascendc::LocalView view_;
  ShapeInfo shape_info_;
};

/// All local memory that no buffer holds.
template <typename T, TPosition position = TPosition::LCM>
bool PopStackBuffer(LocalTensor<T>& tensor, addnorm::ascendc::Here here = {}) {
  addnorm::ascendc::LocalView rest = addnorm::ascendc::RemainingLocal(here);
  rest.position = position;
  tensor = LocalTensor<T>(rest);
  return rest.bytes != 0;
}

}  // namespace AscendC

// Spec 003's sample names it without AscendC::.
using AscendC::DataFormat;  // NOLINT(google-global-names-in-headers)

#endif  // ADDNORM_ASCENDC_TENSOR_H_
