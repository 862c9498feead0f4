// SPDX-License-Identifier: Apache-2.0
// From the typed arguments of a vector operation to the untyped call of vector.h.
#ifndef ADDNORM_ASCENDC_VECTOR_CALLS_H_
#define ADDNORM_ASCENDC_VECTOR_CALLS_H_

#include "addnorm/ascendc/vector.h"

namespace addnorm::ascendc::internal {

using AscendC::LocalTensor;

inline uint32_t Unsigned(int64_t value) { return value < 0 ? UINT32_MAX : static_cast<uint32_t>(value); }  // refused when it runs

inline Lanes Count(int64_t count) {
  Lanes lanes;
  lanes.count = Unsigned(count);
  return lanes;
}
inline Lanes FromRegister(int64_t repeats) {
  Lanes lanes;
  lanes.kind = Lanes::Kind::kRegister;
  lanes.repeats = Unsigned(repeats);
  return lanes;
}
template <bool set_mask>
Lanes Masked(uint64_t mask, int64_t repeats) {
  return set_mask ? FirstLanes(mask, Unsigned(repeats)) : FromRegister(repeats);
}
template <bool set_mask>
Lanes Masked(const uint64_t* mask, int64_t repeats) {
  if (!set_mask) return FromRegister(repeats);
  Lanes lanes;
  lanes.kind = Lanes::Kind::kMask;
  lanes.count = static_cast<uint32_t>(mask[0]);
  lanes.repeats = Unsigned(repeats);
  lanes.mask[0] = mask[0];
  lanes.mask[1] = mask[1];
  return lanes;
}
/// Reductions take an int32_t, which may be negative.
template <bool set_mask>
Lanes Masked(int32_t mask, int64_t repeats) {
  return Masked<set_mask>(uint64_t{Unsigned(mask)}, repeats);
}

template <typename T>
void Binary(const char* api, VectorOp op, const LocalTensor<T>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1,
            const Lanes& lanes, const AscendC::BinaryRepeatParams& p, Here here) {
  RunVector({api, op, Operand(dst, p.dstBlkStride, p.dstRepStride), Operand(src0, p.src0BlkStride, p.src0RepStride),
             Operand(src1, p.src1BlkStride, p.src1RepStride), lanes},
            here);
}
template <typename D, typename S>
void Unary(const char* api, VectorOp op, const LocalTensor<D>& dst, const LocalTensor<S>& src, double scalar, const Lanes& lanes,
           const AscendC::UnaryRepeatParams& p, Here here, AscendC::RoundMode mode = AscendC::RoundMode::CAST_NONE) {
  RunVector({api,
             op,
             Operand(dst, p.dstBlkStride, p.dstRepStride),
             Operand(src, p.srcBlkStride, p.srcRepStride),
             {},
             lanes,
             scalar,
             static_cast<Rounding>(mode)},
            here);
}

template <typename T>
VectorOperand Strided(const LocalTensor<T>& tensor, int32_t block_stride, int32_t repeat_stride) {
  return Operand(tensor, Unsigned(block_stride), Unsigned(repeat_stride));
}
template <typename T>
void Reduce(const char* api, Reduction kind, const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<T>& work,
            const Lanes& lanes, int32_t repeat_stride, bool index, Here here) {
  RunReduce({api, kind, Groups::kAll, Strided(dst, 1, 8), Strided(src, 1, repeat_stride), work.view(), lanes,
             index ? Result::kValueIndex : Result::kValue},
            here);
}
inline void ReduceGroups(const char* api, Reduction kind, Groups groups, const VectorOperand& dst, const VectorOperand& src,
                         const Lanes& lanes, Here here, Result result = Result::kValue) {
  RunReduce({api, kind, groups, dst, src, {}, lanes, result}, here);
}

}  // namespace addnorm::ascendc::internal
#endif  // ADDNORM_ASCENDC_VECTOR_CALLS_H_
