// SPDX-License-Identifier: Apache-2.0
// The names of the vector operations; vector.h says what they share. Each name has three forms: `count` elements; a mask of the first
// elements of each repeat; a bit mask of two words.
#ifndef ADDNORM_ASCENDC_VECTOR_OPS_H_
#define ADDNORM_ASCENDC_VECTOR_OPS_H_

#include "addnorm/ascendc/vector.h"

namespace AscendC {

namespace internal {
inline uint32_t Unsigned(int32_t value) { return value < 0 ? UINT32_MAX : static_cast<uint32_t>(value); }  // refused when it runs
inline Lanes First(int32_t mask, int32_t repeats) { return addnorm::ascendc::FirstLanes(Unsigned(mask), Unsigned(repeats)); }
template <typename T>
addnorm::ascendc::VectorOperand Strided(const LocalTensor<T>& tensor, int32_t block_stride, int32_t repeat_stride) {
  return addnorm::ascendc::Operand(tensor, Unsigned(block_stride), Unsigned(repeat_stride));
}
template <typename T>
void Reduce(const char* api, addnorm::ascendc::Reduction kind, const LocalTensor<T>& dst, const LocalTensor<T>& src,
            const LocalTensor<T>& work, const Lanes& lanes, int32_t repeat_stride, bool index, Here here) {
  addnorm::ascendc::RunReduce(
      {api, kind, addnorm::ascendc::Groups::kAll, Strided(dst, 1, 8), Strided(src, 1, repeat_stride), work.view(), lanes, index}, here);
}
inline void ReduceGroups(const char* api, addnorm::ascendc::Reduction kind, addnorm::ascendc::Groups groups,
                         const addnorm::ascendc::VectorOperand& dst, const addnorm::ascendc::VectorOperand& src, const Lanes& lanes,
                         Here here) {
  addnorm::ascendc::RunReduce({api, kind, groups, dst, src, {}, lanes}, here);
}
}  // namespace internal

// dst = src0 op src1.
#define ADDNORM_ASCENDC_BINARY(X) X(Add, kAdd) X(Sub, kSub) X(Mul, kMul) X(Div, kDiv) X(Max, kMax) X(Min, kMin)
#define ADDNORM_X(Name, op)                                                                                                               \
  template <typename T>                                                                                                                   \
  void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1, const int32_t& count, Here here = {}) {    \
    internal::Binary(#Name, internal::VectorOp::op, dst, src0, src1, internal::Count(count), {}, here);                                   \
  }                                                                                                                                       \
  template <typename T>                                                                                                                   \
  void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1, uint64_t mask, const uint8_t repeatTime,   \
            const BinaryRepeatParams& params, Here here = {}) {                                                                           \
    internal::Binary(#Name, internal::VectorOp::op, dst, src0, src1, addnorm::ascendc::FirstLanes(mask, repeatTime), params, here);       \
  }                                                                                                                                       \
  template <typename T>                                                                                                                   \
  void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1, uint64_t mask[], const uint8_t repeatTime, \
            const BinaryRepeatParams& params, Here here = {}) {                                                                           \
    internal::Binary(#Name, internal::VectorOp::op, dst, src0, src1, internal::Masked(mask, repeatTime), params, here);                   \
  }
ADDNORM_ASCENDC_BINARY(ADDNORM_X)
#undef ADDNORM_X

// dst = src op scalar; Axpy: dst += scalar * src.
#define ADDNORM_ASCENDC_SCALAR(X) X(Adds, kAdds) X(Muls, kMuls) X(Maxs, kMaxs) X(Mins, kMins) X(Axpy, kAxpy)
#define ADDNORM_X(Name, op)                                                                                                               \
  template <typename T>                                                                                                                   \
  void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const typename LocalTensor<T>::PrimType& scalar, const int32_t& count,  \
            Here here = {}) {                                                                                                             \
    internal::Unary(#Name, internal::VectorOp::op, dst, src, static_cast<double>(scalar), internal::Count(count), {}, here);              \
  }                                                                                                                                       \
  template <typename T>                                                                                                                   \
  void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const typename LocalTensor<T>::PrimType& scalar, uint64_t mask,         \
            const uint8_t repeatTime, const UnaryRepeatParams& params, Here here = {}) {                                                  \
    internal::Unary(#Name, internal::VectorOp::op, dst, src, static_cast<double>(scalar), addnorm::ascendc::FirstLanes(mask, repeatTime), \
                    params, here);                                                                                                        \
  }                                                                                                                                       \
  template <typename T>                                                                                                                   \
  void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const typename LocalTensor<T>::PrimType& scalar, uint64_t mask[],       \
            const uint8_t repeatTime, const UnaryRepeatParams& params, Here here = {}) {                                                  \
    internal::Unary(#Name, internal::VectorOp::op, dst, src, static_cast<double>(scalar), internal::Masked(mask, repeatTime), params,     \
                    here);                                                                                                                \
  }
ADDNORM_ASCENDC_SCALAR(ADDNORM_X)
#undef ADDNORM_X

// dst = f(src). Rsqrt and Reciprocal are exact divisions here, approximations on the device.
#define ADDNORM_ASCENDC_UNARY(X) \
  X(Sqrt, kSqrt) X(Rsqrt, kRsqrt) X(Exp, kExp) X(Ln, kLn) X(Abs, kAbs) X(Relu, kRelu) X(Reciprocal, kReciprocal)
#define ADDNORM_X(Name, op)                                                                                                    \
  template <typename T>                                                                                                        \
  void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const int32_t& count, Here here = {}) {                      \
    internal::Unary(#Name, internal::VectorOp::op, dst, src, 0, internal::Count(count), {}, here);                             \
  }                                                                                                                            \
  template <typename T>                                                                                                        \
  void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, uint64_t mask, const uint8_t repeatTime,                     \
            const UnaryRepeatParams& params, Here here = {}) {                                                                 \
    internal::Unary(#Name, internal::VectorOp::op, dst, src, 0, addnorm::ascendc::FirstLanes(mask, repeatTime), params, here); \
  }                                                                                                                            \
  template <typename T>                                                                                                        \
  void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, uint64_t mask[], const uint8_t repeatTime,                   \
            const UnaryRepeatParams& params, Here here = {}) {                                                                 \
    internal::Unary(#Name, internal::VectorOp::op, dst, src, 0, internal::Masked(mask, repeatTime), params, here);             \
  }
ADDNORM_ASCENDC_UNARY(ADDNORM_X)
#undef ADDNORM_X

/// dst = scalar.
template <typename T>
void Duplicate(const LocalTensor<T>& dst, const typename LocalTensor<T>::PrimType& scalar, const int32_t& count, Here here = {}) {
  internal::Unary("Duplicate", internal::VectorOp::kDuplicate, dst, dst, static_cast<double>(scalar), internal::Count(count), {}, here);
}
template <typename T>
void Duplicate(const LocalTensor<T>& dst, const typename LocalTensor<T>::PrimType& scalar, uint64_t mask, const uint8_t repeatTime,
               uint16_t dstBlockStride, uint8_t dstRepeatStride, Here here = {}) {
  internal::Unary("Duplicate", internal::VectorOp::kDuplicate, dst, dst, static_cast<double>(scalar),
                  addnorm::ascendc::FirstLanes(mask, repeatTime), {dstBlockStride, dstBlockStride, dstRepeatStride, dstRepeatStride}, here);
}

/// dst = src in another type. CAST_NONE: exact, or to nearest even where it cannot be. Integers saturate, NaN becomes 0.
template <typename D, typename S>
void Cast(const LocalTensor<D>& dst, const LocalTensor<S>& src, const RoundMode& mode, const uint32_t count, Here here = {}) {
  internal::Unary("Cast", internal::VectorOp::kCast, dst, src, 0, internal::Count(count), {}, here, mode);
}
template <typename D, typename S>
void Cast(const LocalTensor<D>& dst, const LocalTensor<S>& src, const RoundMode& mode, uint64_t mask, const uint8_t repeatTime,
          const UnaryRepeatParams& params, Here here = {}) {
  internal::Unary("Cast", internal::VectorOp::kCast, dst, src, 0, addnorm::ascendc::FirstLanes(mask, repeatTime), params, here, mode);
}

// ReduceSum(dst, src, work, count): dst[0] = the sum. ReduceMax and ReduceMin with calIndex: dst[0] = value, dst[1] = bits of its position.
// BlockReduce: one result per 32-byte block, 8 per repeat.
#define ADDNORM_ASCENDC_REDUCE(X) X(Sum, kSum) X(Max, kMax) X(Min, kMin)
#define ADDNORM_X(Name, kind)                                                                                                            \
  template <typename T>                                                                                                                  \
  void Reduce##Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<T>& work, const int32_t count,               \
                    bool calIndex = false, Here here = {}) {                                                                             \
    internal::Reduce("Reduce" #Name, addnorm::ascendc::Reduction::kind, dst, src, work, internal::Count(count), 8, calIndex, here);      \
  }                                                                                                                                      \
  template <typename T>                                                                                                                  \
  void Reduce##Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<T>& work, const int32_t mask,                \
                    const int32_t repeatTime, const int32_t srcRepStride, bool calIndex = false, Here here = {}) {                       \
    internal::Reduce("Reduce" #Name, addnorm::ascendc::Reduction::kind, dst, src, work, internal::First(mask, repeatTime), srcRepStride, \
                     calIndex, here);                                                                                                    \
  }                                                                                                                                      \
  template <typename T>                                                                                                                  \
  void BlockReduce##Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const int32_t repeatTime, const int32_t mask,             \
                         const int32_t dstRepStride, const int32_t srcBlkStride, const int32_t srcRepStride, Here here = {}) {           \
    internal::ReduceGroups("BlockReduce" #Name, addnorm::ascendc::Reduction::kind, addnorm::ascendc::Groups::kPerBlock,                  \
                           internal::Strided(dst, 1, dstRepStride), internal::Strided(src, srcBlkStride, srcRepStride),                  \
                           internal::First(mask, repeatTime), here);                                                                     \
  }
ADDNORM_ASCENDC_REDUCE(ADDNORM_X)
#undef ADDNORM_X

/// dst[repeat * dstRepStride] = the sum of the masked elements of that repeat; dstRepStride in elements, the others in units of 32 bytes.
template <typename T>
void WholeReduceSum(const LocalTensor<T>& dst, const LocalTensor<T>& src, const int32_t mask, const int32_t repeatTime,
                    const int32_t dstRepStride, const int32_t srcBlkStride, const int32_t srcRepStride, Here here = {}) {
  internal::ReduceGroups("WholeReduceSum", addnorm::ascendc::Reduction::kSum, addnorm::ascendc::Groups::kPerRepeat,
                         internal::Strided(dst, 1, dstRepStride), internal::Strided(src, srcBlkStride, srcRepStride),
                         internal::First(mask, repeatTime), here);
}

/// Element 8 r + i of src fills the 32-byte block at r * dstRepStride + i * dstBlkStride of dst.
template <typename T>
void Brcb(const LocalTensor<T>& dst, const LocalTensor<T>& src, const uint8_t repeatTime, const BrcbRepeatParams& params, Here here = {}) {
  static_assert(sizeof(T) == 2 || sizeof(T) == 4, "Brcb: T is 2 or 4 bytes");
  addnorm::ascendc::RunBroadcastBlocks(addnorm::ascendc::Operand(dst, params.dstBlkStride, params.dstRepStride),
                                       addnorm::ascendc::Operand(src), repeatTime, here);
}

}  // namespace AscendC
#endif  // ADDNORM_ASCENDC_VECTOR_OPS_H_
