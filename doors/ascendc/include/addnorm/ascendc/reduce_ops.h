// SPDX-License-Identifier: Apache-2.0
// The names of the reductions. Masks as for the other vector operations.
#ifndef ADDNORM_ASCENDC_REDUCE_OPS_H_
#define ADDNORM_ASCENDC_REDUCE_OPS_H_

#include "addnorm/ascendc/vector_calls.h"

namespace AscendC {

/// What WholeReduceMax and WholeReduceMin store for each repeat.
enum class ReduceOrder : uint8_t { ORDER_VALUE_INDEX = 0, ORDER_INDEX_VALUE, ORDER_ONLY_VALUE, ORDER_ONLY_INDEX };

// clang-format 14 aligns the ends of these lines differently each time it runs.
// clang-format off
// ReduceSum(dst, src, work, count): dst[0] = the sum. work is undefined afterwards.
#define ADDNORM_FORM(lanes, stride, ...)                                                                                          \
  template <typename T, bool isSetMask = true>                                                                                    \
  void ReduceSum(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<T>& sharedTmpBuffer, __VA_ARGS__,        \
                 addnorm::ascendc::Here here = {}) {                                                                              \
    addnorm::ascendc::internal::Reduce("ReduceSum", addnorm::ascendc::Reduction::kSum, dst, src, sharedTmpBuffer, lanes, stride,  \
                                       false, here);                                                                              \
  }
ADDNORM_FORM(addnorm::ascendc::internal::Count(count), 8, const int32_t count)
ADDNORM_FORM(addnorm::ascendc::internal::Masked<isSetMask>(mask, repeatTime), srcRepStride,
             const int32_t mask, const int32_t repeatTime, const int32_t srcRepStride)
ADDNORM_FORM(addnorm::ascendc::internal::Masked<isSetMask>(mask, repeatTime), srcRepStride,
             const uint64_t mask[], const int32_t repeatTime, const int32_t srcRepStride)
#undef ADDNORM_FORM

// ReduceMax, ReduceMin: dst[0] = the value; with calIndex also dst[1] = the bits of its position.
#define ADDNORM_ASCENDC_EXTREMES(X) X(Max, kMax) X(Min, kMin)
#define ADDNORM_FORM(Name, kind, lanes, stride, ...)                                                                              \
  template <typename T, bool isSetMask = true>                                                                                    \
  void Reduce##Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<T>& sharedTmpBuffer, __VA_ARGS__,     \
                    bool calIndex = false, addnorm::ascendc::Here here = {}) {                                                    \
    addnorm::ascendc::internal::Reduce("Reduce" #Name, addnorm::ascendc::Reduction::kind, dst, src, sharedTmpBuffer, lanes,       \
                                       stride, calIndex, here);                                                                   \
  }
#define ADDNORM_X(Name, kind)                                                                                                     \
  ADDNORM_FORM(Name, kind, addnorm::ascendc::internal::Count(count), 8, const int32_t count)                                      \
  ADDNORM_FORM(Name, kind, addnorm::ascendc::internal::Masked<isSetMask>(mask, repeatTime), srcRepStride,                         \
               const int32_t mask, const int32_t repeatTime, const int32_t srcRepStride)                                          \
  ADDNORM_FORM(Name, kind, addnorm::ascendc::internal::Masked<isSetMask>(mask, repeatTime), srcRepStride,                         \
               const uint64_t mask[], const int32_t repeatTime, const int32_t srcRepStride)
ADDNORM_ASCENDC_EXTREMES(ADDNORM_X)
#undef ADDNORM_X
#undef ADDNORM_FORM

// BlockReduce: one result per 32-byte block, 8 per repeat; dstRepStride in units of 8 results.
#define ADDNORM_FORM(Name, kind, Mask)                                                                                            \
  template <typename T, bool isSetMask = true>                                                                                    \
  void BlockReduce##Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const int32_t repeatTime, Mask,                    \
                         const int32_t dstRepStride, const int32_t srcBlkStride, const int32_t srcRepStride,                      \
                         addnorm::ascendc::Here here = {}) {                                                                      \
    addnorm::ascendc::internal::ReduceGroups("BlockReduce" #Name, addnorm::ascendc::Reduction::kind,                              \
                                             addnorm::ascendc::Groups::kPerBlock,                                                 \
                                             addnorm::ascendc::internal::Strided(dst, 1, dstRepStride),                           \
                                             addnorm::ascendc::internal::Strided(src, srcBlkStride, srcRepStride),                \
                                             addnorm::ascendc::internal::Masked<isSetMask>(mask, repeatTime), here);              \
  }
#define ADDNORM_X(Name, kind) ADDNORM_FORM(Name, kind, const int32_t mask) ADDNORM_FORM(Name, kind, const uint64_t mask[])
ADDNORM_X(Sum, kSum) ADDNORM_ASCENDC_EXTREMES(ADDNORM_X)
#undef ADDNORM_X
#undef ADDNORM_FORM

// WholeReduce: one result per repeat; dstRepStride in results (a pair of value and index is one), the others in units of 32 bytes.
#define ADDNORM_FORM(Mask)                                                                                                        \
  template <typename T, bool isSetMask = true>                                                                                    \
  void WholeReduceSum(const LocalTensor<T>& dst, const LocalTensor<T>& src, Mask, const int32_t repeatTime,                       \
                      const int32_t dstRepStride, const int32_t srcBlkStride, const int32_t srcRepStride,                         \
                      addnorm::ascendc::Here here = {}) {                                                                         \
    addnorm::ascendc::internal::ReduceGroups("WholeReduceSum", addnorm::ascendc::Reduction::kSum,                                 \
                                             addnorm::ascendc::Groups::kPerRepeat,                                                \
                                             addnorm::ascendc::internal::Strided(dst, 1, dstRepStride),                           \
                                             addnorm::ascendc::internal::Strided(src, srcBlkStride, srcRepStride),                \
                                             addnorm::ascendc::internal::Masked<isSetMask>(mask, repeatTime), here);              \
  }
ADDNORM_FORM(const int32_t mask)
ADDNORM_FORM(const uint64_t mask[])
#undef ADDNORM_FORM
#define ADDNORM_FORM(Name, kind, Mask)                                                                                            \
  template <typename T, bool isSetMask = true>                                                                                    \
  void WholeReduce##Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, Mask, const int32_t repeatTime,                    \
                         const int32_t dstRepStride, const int32_t srcBlkStride, const int32_t srcRepStride,                      \
                         ReduceOrder order = ReduceOrder::ORDER_VALUE_INDEX, addnorm::ascendc::Here here = {}) {                  \
    addnorm::ascendc::internal::ReduceGroups("WholeReduce" #Name, addnorm::ascendc::Reduction::kind,                              \
                                             addnorm::ascendc::Groups::kPerRepeat,                                                \
                                             addnorm::ascendc::internal::Strided(dst, 1, dstRepStride),                           \
                                             addnorm::ascendc::internal::Strided(src, srcBlkStride, srcRepStride),                \
                                             addnorm::ascendc::internal::Masked<isSetMask>(mask, repeatTime), here,               \
                                             static_cast<addnorm::ascendc::Result>(order));                                       \
  }
#define ADDNORM_X(Name, kind) ADDNORM_FORM(Name, kind, const int32_t mask) ADDNORM_FORM(Name, kind, const uint64_t mask[])
ADDNORM_ASCENDC_EXTREMES(ADDNORM_X)
#undef ADDNORM_X
#undef ADDNORM_FORM
// clang-format on

}  // namespace AscendC
#endif  // ADDNORM_ASCENDC_REDUCE_OPS_H_
