// SPDX-License-Identifier: Apache-2.0
// The names of the vector operations; vector.h says what they share. Each name has three forms: `count` elements; a mask of the first
// elements of each repeat; a bit mask of two words. isSetMask = false takes the lanes from the mask register instead.
#ifndef ADDNORM_ASCENDC_VECTOR_OPS_H_
#define ADDNORM_ASCENDC_VECTOR_OPS_H_

#include "addnorm/ascendc/vector_calls.h"

namespace AscendC {

// clang-format 14 aligns the ends of these lines differently each time it runs.
// clang-format off
// dst = src0 op src1.
#define ADDNORM_ASCENDC_BINARY(X) X(Add, kAdd) X(Sub, kSub) X(Mul, kMul) X(Div, kDiv) X(Max, kMax) X(Min, kMin)
#define ADDNORM_FORM(Name, op, params, lanes, ...)                                                                                \
  template <typename T, bool isSetMask = true>                                                                                    \
  void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1, __VA_ARGS__,                       \
            addnorm::ascendc::Here here = {}) {                                                                                   \
    addnorm::ascendc::internal::Binary(#Name, addnorm::ascendc::VectorOp::op, dst, src0, src1, lanes, params, here);              \
  }
#define ADDNORM_X(Name, op)                                                                                                       \
  ADDNORM_FORM(Name, op, {}, addnorm::ascendc::internal::Count(count), const int32_t& count)                                      \
  ADDNORM_FORM(Name, op, repeatParams, addnorm::ascendc::internal::Masked<isSetMask>(mask, repeatTime),                           \
               uint64_t mask, const uint8_t repeatTime, const BinaryRepeatParams& repeatParams)                                   \
  ADDNORM_FORM(Name, op, repeatParams, addnorm::ascendc::internal::Masked<isSetMask>(mask, repeatTime),                           \
               const uint64_t mask[], const uint8_t repeatTime, const BinaryRepeatParams& repeatParams)
ADDNORM_ASCENDC_BINARY(ADDNORM_X)
#undef ADDNORM_X
#undef ADDNORM_FORM

// dst = src op scalar.
#define ADDNORM_ASCENDC_SCALAR(X) X(Adds, kAdds) X(Muls, kMuls) X(Maxs, kMaxs) X(Mins, kMins)
#define ADDNORM_FORM(Name, op, params, lanes, ...)                                                                                \
  template <typename T, bool isSetMask = true>                                                                                    \
  void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const typename LocalTensor<T>::PrimType& scalarValue,           \
            __VA_ARGS__, addnorm::ascendc::Here here = {}) {                                                                      \
    addnorm::ascendc::internal::Unary(#Name, addnorm::ascendc::VectorOp::op, dst, src, static_cast<double>(scalarValue), lanes,   \
                                      params, here);                                                                              \
  }
#define ADDNORM_X(Name, op)                                                                                                       \
  ADDNORM_FORM(Name, op, {}, addnorm::ascendc::internal::Count(count), const int32_t& count)                                      \
  ADDNORM_FORM(Name, op, repeatParams, addnorm::ascendc::internal::Masked<isSetMask>(mask, repeatTime),                           \
               uint64_t mask, const uint8_t repeatTime, const UnaryRepeatParams& repeatParams)                                    \
  ADDNORM_FORM(Name, op, repeatParams, addnorm::ascendc::internal::Masked<isSetMask>(mask, repeatTime),                           \
               const uint64_t mask[], const uint8_t repeatTime, const UnaryRepeatParams& repeatParams)
ADDNORM_ASCENDC_SCALAR(ADDNORM_X)
#undef ADDNORM_X
#undef ADDNORM_FORM

// Axpy: dst += scalar * src, also with a half source and a float dst. dst = f(src): Rsqrt and Reciprocal are exact divisions here,
// approximations on the device. Cast: dst = src in another type; CAST_NONE: exact, or to nearest even where it cannot be.
// Integers saturate, NaN becomes 0. Duplicate: dst = scalar.
#define ADDNORM_FORM(params, lanes, ...)                                                                                          \
  template <typename T, typename U, bool isSetMask = true>                                                                        \
  void Axpy(const LocalTensor<T>& dst, const LocalTensor<U>& src, const typename LocalTensor<U>::PrimType& scalarValue,           \
            __VA_ARGS__, addnorm::ascendc::Here here = {}) {                                                                      \
    addnorm::ascendc::internal::Unary("Axpy", addnorm::ascendc::VectorOp::kAxpy, dst, src, static_cast<double>(scalarValue),      \
                                      lanes, params, here);                                                                       \
  }                                                                                                                               \
  template <typename T, typename U, bool isSetMask = true>                                                                        \
  void Cast(const LocalTensor<T>& dst, const LocalTensor<U>& src, const RoundMode& roundMode, __VA_ARGS__,                        \
            addnorm::ascendc::Here here = {}) {                                                                                   \
    addnorm::ascendc::internal::Unary("Cast", addnorm::ascendc::VectorOp::kCast, dst, src, 0, lanes, params, here, roundMode);    \
  }
ADDNORM_FORM({}, addnorm::ascendc::internal::Count(count), const uint32_t count)
ADDNORM_FORM(repeatParams, addnorm::ascendc::internal::Masked<isSetMask>(mask, repeatTime),
             uint64_t mask, const uint8_t repeatTime, const UnaryRepeatParams& repeatParams)
ADDNORM_FORM(repeatParams, addnorm::ascendc::internal::Masked<isSetMask>(mask, repeatTime),
             const uint64_t mask[], const uint8_t repeatTime, const UnaryRepeatParams& repeatParams)
#undef ADDNORM_FORM

#define ADDNORM_ASCENDC_UNARY(X) \
  X(Sqrt, kSqrt) X(Rsqrt, kRsqrt) X(Exp, kExp) X(Ln, kLn) X(Abs, kAbs) X(Relu, kRelu) X(Reciprocal, kReciprocal)
#define ADDNORM_FORM(Name, op, params, lanes, ...)                                                                                \
  template <typename T, bool isSetMask = true>                                                                                    \
  void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, __VA_ARGS__, addnorm::ascendc::Here here = {}) {                \
    addnorm::ascendc::internal::Unary(#Name, addnorm::ascendc::VectorOp::op, dst, src, 0, lanes, params, here);                   \
  }
#define ADDNORM_X(Name, op)                                                                                                       \
  ADDNORM_FORM(Name, op, {}, addnorm::ascendc::internal::Count(count), const int32_t& count)                                      \
  ADDNORM_FORM(Name, op, repeatParams, addnorm::ascendc::internal::Masked<isSetMask>(mask, repeatTime),                           \
               uint64_t mask, const uint8_t repeatTime, const UnaryRepeatParams& repeatParams)                                    \
  ADDNORM_FORM(Name, op, repeatParams, addnorm::ascendc::internal::Masked<isSetMask>(mask, repeatTime),                           \
               const uint64_t mask[], const uint8_t repeatTime, const UnaryRepeatParams& repeatParams)
ADDNORM_ASCENDC_UNARY(ADDNORM_X)
#undef ADDNORM_X
#undef ADDNORM_FORM

#define ADDNORM_FORM(params, lanes, ...)                                                                                          \
  template <typename T, bool isSetMask = true>                                                                                    \
  void Duplicate(const LocalTensor<T>& dst, const typename LocalTensor<T>::PrimType& scalarValue, __VA_ARGS__,                    \
                 addnorm::ascendc::Here here = {}) {                                                                              \
    addnorm::ascendc::internal::Unary("Duplicate", addnorm::ascendc::VectorOp::kDuplicate, dst, dst,                              \
                                      static_cast<double>(scalarValue), lanes, params, here);                                     \
  }
#define ADDNORM_STRIDES UnaryRepeatParams(dstBlockStride, dstBlockStride, dstRepeatStride, dstRepeatStride)
ADDNORM_FORM({}, addnorm::ascendc::internal::Count(count), const int32_t& count)
ADDNORM_FORM(ADDNORM_STRIDES, addnorm::ascendc::internal::Masked<isSetMask>(mask, repeatTime),
             uint64_t mask, const uint8_t repeatTime, const uint16_t dstBlockStride, const uint8_t dstRepeatStride)
ADDNORM_FORM(ADDNORM_STRIDES, addnorm::ascendc::internal::Masked<isSetMask>(mask, repeatTime),
             const uint64_t mask[], const uint8_t repeatTime, const uint16_t dstBlockStride, const uint8_t dstRepeatStride)
#undef ADDNORM_STRIDES
#undef ADDNORM_FORM
// clang-format on

/// Element 8 r + i of src fills the 32-byte block at r * dstRepStride + i * dstBlkStride of dst.
template <typename T>
void Brcb(const LocalTensor<T>& dst, const LocalTensor<T>& src, const uint8_t repeatTime, const BrcbRepeatParams& params,
          addnorm::ascendc::Here here = {}) {
  static_assert(sizeof(T) == 2 || sizeof(T) == 4, "Brcb: T is 2 or 4 bytes");
  addnorm::ascendc::RunBroadcastBlocks(addnorm::ascendc::Operand(dst, params.dstBlkStride, params.dstRepStride),
                                       addnorm::ascendc::Operand(src), repeatTime, here);
}

// ---- The mask register, for isSetMask = false ------------------------------------------------------------------------------
enum class MaskMode : uint8_t { NORMAL = 0, COUNTER };
constexpr uint64_t MASK_PLACEHOLDER = 0;
/// From here on masks are bits of lanes / how many elements an operation has in all.
inline void SetMaskNorm() { addnorm::ascendc::SetMaskMode(false); }
inline void SetMaskCount() { addnorm::ascendc::SetMaskMode(true); }
template <typename T, MaskMode mode = MaskMode::NORMAL>
void SetVectorMask(const uint64_t maskHigh, const uint64_t maskLow) {
  addnorm::ascendc::SetMaskRegister(maskHigh, maskLow);
}
template <typename T, MaskMode mode = MaskMode::NORMAL>
void SetVectorMask(int32_t len) {
  const addnorm::ascendc::Lanes lanes = addnorm::ascendc::FirstLanes(addnorm::ascendc::internal::Unsigned(len), 1);
  const bool bits = mode == MaskMode::NORMAL;
  addnorm::ascendc::SetMaskRegister(bits ? lanes.mask[1] : 0, bits ? lanes.mask[0] : addnorm::ascendc::internal::Unsigned(len));
}
inline void ResetMask() { addnorm::ascendc::SetMaskRegister(UINT64_MAX, UINT64_MAX); }
/// The same under the name that operator libraries use.
struct AscendCUtils {
  template <typename T>
  static void SetMask(const uint64_t& maskHigh, const uint64_t& maskLow) {
    SetVectorMask<T>(maskHigh, maskLow);
  }
  template <typename T>
  static void SetMask(int32_t len) {
    SetVectorMask<T>(len);
  }
};
/// The factor of a Cast from int32_t to half; initially 1.
inline void SetDeqScale(half scale) { addnorm::ascendc::SetCastScale(static_cast<float>(scale)); }

}  // namespace AscendC

#include "addnorm/ascendc/reduce_ops.h"

#endif  // ADDNORM_ASCENDC_VECTOR_OPS_H_
