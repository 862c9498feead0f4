// SPDX-License-Identifier: Apache-2.0
// Vector operations on local tensors. Two forms each: the first `count` elements, or repeats of 256 bytes under a mask with strides
// in units of 32 bytes. dst and a source may be the same memory, not overlap otherwise. Arithmetic is IEEE: half and float results are
// rounded once to nearest even, integers wrap.
#ifndef ADDNORM_ASCENDC_VECTOR_H_
#define ADDNORM_ASCENDC_VECTOR_H_

#include "addnorm/ascendc/data_copy.h"

namespace addnorm::ascendc {

enum class VectorOp : uint8_t {
  kAdd,
  kSub,
  kMul,
  kDiv,
  kMax,
  kMin,  // two tensors
  kAdds,
  kMuls,
  kMaxs,
  kMins,
  kAxpy,  // tensor and scalar; Axpy: dst += scalar * src
  kSqrt,
  kRsqrt,
  kExp,
  kLn,
  kAbs,
  kRelu,
  kReciprocal,  // one tensor
  kDuplicate,
  kCast,
};

/// How floating values become integers or narrower floating values.
enum class Rounding : uint8_t { kNone, kRint, kFloor, kCeil, kRound, kTrunc, kOdd };

struct VectorOperand {
  LocalView view;
  Type type = Type::kF32;
  uint32_t block_stride = 1;   // units of 32 bytes, between the 32-byte blocks of one repeat
  uint32_t repeat_stride = 8;  // units of 32 bytes, between repeats
};

/// Which elements take part.
struct Lanes {
  enum class Kind : uint8_t {
    kCount,     // the first `count`
    kMask,      // in each of `repeats` those whose bit is set in `mask`; under SetMaskCount as kCounter
    kCounter,   // `count` of as many repeats as that takes
    kRegister,  // what SetVectorMask or the last operation left in the mask register: isSetMask = false
  };
  Kind kind = Kind::kCount;
  uint32_t count = 0;
  uint32_t repeats = 0;
  uint64_t mask[2] = {0, 0};
};

struct VectorCall {
  const char* api;
  VectorOp op;
  VectorOperand dst;
  VectorOperand src0;
  VectorOperand src1;
  Lanes lanes;
  double scalar = 0;
  Rounding rounding = Rounding::kNone;
};
ADDNORM_ASCENDC_API void RunVector(const VectorCall& call, Here here);

/// The first `mask` elements of each repeat. 0 and too large values are refused when it runs.
ADDNORM_ASCENDC_API Lanes FirstLanes(uint64_t mask, uint32_t repeats);
/// The mask register of the core: bits of the lanes, or in counter mode how many elements.
ADDNORM_ASCENDC_API void SetMaskMode(bool counter);
ADDNORM_ASCENDC_API void SetMaskRegister(uint64_t high, uint64_t low);
/// The factor of a Cast from int32_t to half.
ADDNORM_ASCENDC_API void SetCastScale(float scale);

enum class Reduction : uint8_t { kSum, kMax, kMin };
enum class Groups : uint8_t { kAll, kPerRepeat, kPerBlock };
/// kMax, kMin: the position of the first such element can be stored too. In the order of ReduceOrder.
enum class Result : uint8_t { kValueIndex, kIndexValue, kValue, kIndex };
/// One result per group of elements; sums are accumulated in fp64 and rounded once.
struct ReduceCall {
  const char* api;
  Reduction reduction;
  Groups groups;
  VectorOperand dst;  // repeat_stride: in results (kPerRepeat), in units of 8 results (kPerBlock)
  VectorOperand src;
  LocalView work;  // undefined afterwards; data null where the call has none
  Lanes lanes;
  Result result = Result::kValue;
};
ADDNORM_ASCENDC_API void RunReduce(const ReduceCall& call, Here here);
/// Each of 8 elements per repeat is spread over one 32-byte block of dst.
ADDNORM_ASCENDC_API void RunBroadcastBlocks(const VectorOperand& dst, const VectorOperand& src, uint32_t repeats, Here here);

template <typename T>
VectorOperand Operand(const AscendC::LocalTensor<T>& tensor, uint32_t block_stride = 1, uint32_t repeat_stride = 8) {
  return {tensor.view(), TypeOf<T>::kType, block_stride, repeat_stride};
}

}  // namespace addnorm::ascendc

namespace AscendC {

enum class RoundMode : uint8_t { CAST_NONE = 0, CAST_RINT, CAST_FLOOR, CAST_CEIL, CAST_ROUND, CAST_TRUNC, CAST_ODD };

struct UnaryRepeatParams {
  UnaryRepeatParams() = default;
  UnaryRepeatParams(uint16_t dst_block, uint16_t src_block, uint8_t dst_repeat, uint8_t src_repeat)
      : dstBlkStride(dst_block), srcBlkStride(src_block), dstRepStride(dst_repeat), srcRepStride(src_repeat) {}
  uint16_t dstBlkStride = 1;
  uint16_t srcBlkStride = 1;
  uint8_t dstRepStride = 8;
  uint8_t srcRepStride = 8;
};
struct BinaryRepeatParams {
  BinaryRepeatParams() = default;
  BinaryRepeatParams(uint8_t dst_block, uint8_t src0_block, uint8_t src1_block, uint8_t dst_repeat, uint8_t src0_repeat,
                     uint8_t src1_repeat)
      : dstBlkStride(dst_block),
        src0BlkStride(src0_block),
        src1BlkStride(src1_block),
        dstRepStride(dst_repeat),
        src0RepStride(src0_repeat),
        src1RepStride(src1_repeat) {}
  uint8_t dstBlkStride = 1;
  uint8_t src0BlkStride = 1;
  uint8_t src1BlkStride = 1;
  uint8_t dstRepStride = 8;
  uint8_t src0RepStride = 8;
  uint8_t src1RepStride = 8;
};
struct BrcbRepeatParams {
  BrcbRepeatParams() = default;
  BrcbRepeatParams(uint16_t dst_block, uint16_t dst_repeat) : dstBlkStride(dst_block), dstRepStride(dst_repeat) {}
  uint16_t dstBlkStride = 1;
  uint16_t dstRepStride = 8;
};

}  // namespace AscendC

#include "addnorm/ascendc/vector_ops.h"

#endif  // ADDNORM_ASCENDC_VECTOR_H_
