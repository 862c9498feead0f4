// SPDX-License-Identifier: Apache-2.0
// Copies between GM and UB. DataCopy moves whole 32-byte units (the device silently drops the rest, here it is an error);
// DataCopyPad moves any number of bytes. Also CopyTiling.
#ifndef ADDNORM_ASCENDC_DATA_COPY_H_
#define ADDNORM_ASCENDC_DATA_COPY_H_

#include "addnorm/ascendc/pipe.h"

namespace AscendC {

/// Units of 32 bytes for DataCopy. For DataCopyPad: blockLen and the GM side's gap in bytes, the UB side's in units of 32.
struct DataCopyParams {
  DataCopyParams() = default;
  DataCopyParams(uint16_t count, uint16_t len, uint16_t src_stride, uint16_t dst_stride)
      : blockCount(count), blockLen(len), srcStride(src_stride), dstStride(dst_stride) {}
  uint16_t blockCount = 1;
  uint16_t blockLen = 0;
  uint16_t srcStride = 0;
  uint16_t dstStride = 0;
};

/// As DataCopyParams for DataCopyPad, with wider fields.
struct DataCopyExtParams {
  DataCopyExtParams() = default;
  DataCopyExtParams(uint16_t count, uint32_t len, uint32_t src_stride, uint32_t dst_stride, uint32_t reserved)
      : blockCount(count), blockLen(len), srcStride(src_stride), dstStride(dst_stride), rsv(reserved) {}
  uint16_t blockCount = 1;
  uint32_t blockLen = 0;
  uint32_t srcStride = 0;
  uint32_t dstStride = 0;
  uint32_t rsv = 0;
};

/// Elements put before and after each block in UB; at most 32 bytes each. Without isPad the filling is undefined.
struct DataCopyPadParams {
  DataCopyPadParams() = default;
  DataCopyPadParams(bool pad, uint8_t left, uint8_t right, uint64_t value)
      : isPad(pad), leftPadding(left), rightPadding(right), paddingValue(value) {}
  bool isPad = false;
  uint8_t leftPadding = 0;
  uint8_t rightPadding = 0;
  uint64_t paddingValue = 0;  // the bits of the value
};
template <typename T>
struct DataCopyPadExtParams {
  DataCopyPadExtParams() = default;
  DataCopyPadExtParams(bool pad, uint8_t left, uint8_t right, T value)
      : isPad(pad), leftPadding(left), rightPadding(right), paddingValue(value) {}
  bool isPad = false;
  uint8_t leftPadding = 0;
  uint8_t rightPadding = 0;
  T paddingValue = T(0);
};

}  // namespace AscendC

namespace addnorm::ascendc::internal {
using AscendC::DataCopyExtParams;
using AscendC::DataCopyPadExtParams;
using AscendC::DataCopyPadParams;
using AscendC::DataCopyParams;
inline CopyShape Contiguous(uint64_t bytes) { return {"DataCopy", 1, bytes, 0, 0}; }
inline CopyShape Strided(const DataCopyParams& p) {
  return {"DataCopy", p.blockCount, uint64_t{p.blockLen} * 32, uint64_t{p.srcStride} * 32, uint64_t{p.dstStride} * 32};
}
template <typename T>
CopyShape PaddedIn(const DataCopyExtParams& p, const DataCopyPadExtParams<T>& pad) {
  CopyShape shape{"DataCopyPad", p.blockCount, p.blockLen, p.srcStride, uint64_t{p.dstStride} * 32, true};
  shape.fill = pad.isPad;
  shape.element_bytes = sizeof(T);
  shape.left_bytes = pad.leftPadding * static_cast<uint32_t>(sizeof(T));
  shape.right_bytes = pad.rightPadding * static_cast<uint32_t>(sizeof(T));
  __builtin_memcpy(&shape.fill_value, &pad.paddingValue, sizeof(T));
  return shape;
}
inline CopyShape PaddedOut(const DataCopyExtParams& p) {
  return {"DataCopyPad", p.blockCount, p.blockLen, uint64_t{p.srcStride} * 32, p.dstStride, true};
}
inline DataCopyExtParams Widen(const DataCopyParams& p) { return {p.blockCount, p.blockLen, p.srcStride, p.dstStride, 0}; }
template <typename T>
DataCopyPadExtParams<T> Widen(const DataCopyPadParams& p) {
  DataCopyPadExtParams<T> wide(p.isPad, p.leftPadding, p.rightPadding, T(0));
  __builtin_memcpy(static_cast<void*>(&wide.paddingValue), &p.paddingValue, sizeof(T));
  return wide;
}
}  // namespace addnorm::ascendc::internal

namespace AscendC {

/// `count` elements; count * sizeof(T) must be a multiple of 32.
template <typename T>
void DataCopy(const LocalTensor<T>& dst, const GlobalTensor<T>& src, uint32_t count, addnorm::ascendc::Here here = {}) {
  addnorm::ascendc::CopyIn(dst.view(), src.view(), addnorm::ascendc::internal::Contiguous(uint64_t{count} * sizeof(T)), here);
}
template <typename T>
void DataCopy(const GlobalTensor<T>& dst, const LocalTensor<T>& src, uint32_t count, addnorm::ascendc::Here here = {}) {
  addnorm::ascendc::CopyOut(dst.view(), src.view(), addnorm::ascendc::internal::Contiguous(uint64_t{count} * sizeof(T)), here);
}
template <typename T>
void DataCopy(const LocalTensor<T>& dst, const LocalTensor<T>& src, uint32_t count, addnorm::ascendc::Here here = {}) {
  addnorm::ascendc::CopyLocal(dst.view(), src.view(), addnorm::ascendc::internal::Contiguous(uint64_t{count} * sizeof(T)), here);
}
template <typename T>
void DataCopy(const LocalTensor<T>& dst, const GlobalTensor<T>& src, const DataCopyParams& params, addnorm::ascendc::Here here = {}) {
  addnorm::ascendc::CopyIn(dst.view(), src.view(), addnorm::ascendc::internal::Strided(params), here);
}
template <typename T>
void DataCopy(const GlobalTensor<T>& dst, const LocalTensor<T>& src, const DataCopyParams& params, addnorm::ascendc::Here here = {}) {
  addnorm::ascendc::CopyOut(dst.view(), src.view(), addnorm::ascendc::internal::Strided(params), here);
}
template <typename T>
void DataCopy(const LocalTensor<T>& dst, const LocalTensor<T>& src, const DataCopyParams& params, addnorm::ascendc::Here here = {}) {
  addnorm::ascendc::CopyLocal(dst.view(), src.view(), addnorm::ascendc::internal::Strided(params), here);
}

/// GM to UB: each block becomes [left padding | block | right padding], rounded up to 32 bytes.
template <typename T>
void DataCopyPad(const LocalTensor<T>& dst, const GlobalTensor<T>& src, const DataCopyExtParams& params, const DataCopyPadExtParams<T>& pad,
                 addnorm::ascendc::Here here = {}) {
  addnorm::ascendc::CopyIn(dst.view(), src.view(), addnorm::ascendc::internal::PaddedIn(params, pad), here);
}
template <typename T>
void DataCopyPad(const LocalTensor<T>& dst, const GlobalTensor<T>& src, const DataCopyParams& params, const DataCopyPadParams& pad,
                 addnorm::ascendc::Here here = {}) {
  addnorm::ascendc::CopyIn(
      dst.view(), src.view(),
      addnorm::ascendc::internal::PaddedIn(addnorm::ascendc::internal::Widen(params), addnorm::ascendc::internal::Widen<T>(pad)), here);
}
/// UB to GM: the first blockLen bytes of each block, which starts at a multiple of 32 bytes in UB.
template <typename T>
void DataCopyPad(const GlobalTensor<T>& dst, const LocalTensor<T>& src, const DataCopyExtParams& params, addnorm::ascendc::Here here = {}) {
  addnorm::ascendc::CopyOut(dst.view(), src.view(), addnorm::ascendc::internal::PaddedOut(params), here);
}
template <typename T>
void DataCopyPad(const GlobalTensor<T>& dst, const LocalTensor<T>& src, const DataCopyParams& params, addnorm::ascendc::Here here = {}) {
  addnorm::ascendc::CopyOut(dst.view(), src.view(), addnorm::ascendc::internal::PaddedOut(addnorm::ascendc::internal::Widen(params)), here);
}

/// From here to SetAtomicNone, copies to GM add to what is there. T: half, float, int16_t, int32_t.
template <typename T>
void SetAtomicAdd() {
  addnorm::ascendc::SetAtomic(addnorm::ascendc::Atomic::kAdd, addnorm::ascendc::TypeOf<T>::kType);
}
inline void SetAtomicNone() { addnorm::ascendc::SetAtomic(addnorm::ascendc::Atomic::kNone, addnorm::ascendc::Type::kF32); }

}  // namespace AscendC

namespace addnorm::ascendc {

/// The two arguments of CopyTiling. Their implicit constructors make ours a worse match in both than any function or template
/// of the user that takes the pointers themselves (also as void* or const), so those win without a conflict.
struct TilingTarget {
  void* data;
  uint64_t bytes;
  template <typename T>
  TilingTarget(T* tiling) : data(tiling), bytes(sizeof(T)) {  // NOLINT: implicit by design
    static_assert(std::is_trivially_copyable_v<T>, "tiling data is plain data");
  }
};
struct TilingAddress {
  uint8_t* data;
  TilingAddress(uint8_t* pointer) : data(pointer) {}  // NOLINT: implicit by design
};

ADDNORM_ASCENDC_API uint64_t TilingKey();

}  // namespace addnorm::ascendc

/// Fills a tiling struct from GM. Complete programs define their own; spec 003's sample does not.
inline void CopyTiling(addnorm::ascendc::TilingTarget tiling, addnorm::ascendc::TilingAddress gm, addnorm::ascendc::Here here = {}) {
  const addnorm::ascendc::GlobalView view{gm.data, tiling.bytes, true};
  addnorm::ascendc::TouchGlobal(view, 0, static_cast<uint32_t>(tiling.bytes), addnorm::ascendc::Access::kRead, here);
  __builtin_memcpy(tiling.data, gm.data, tiling.bytes);
}

/// In the kernel or before it: the struct of the GET_TILING_DATA that follows.
#define REGISTER_TILING_DEFAULT(...) using AddnormDefaultTiling [[maybe_unused]] = __VA_ARGS__
#define GET_TILING_DATA(name, gm) GET_TILING_DATA_WITH_STRUCT(AddnormDefaultTiling, name, gm)
#define GET_TILING_DATA_WITH_STRUCT(type, name, gm) \
  type name;                                        \
  CopyTiling(&name, gm)
#define TILING_KEY_IS(key) (::addnorm::ascendc::TilingKey() == static_cast<uint64_t>(key))

#endif  // ADDNORM_ASCENDC_DATA_COPY_H_
