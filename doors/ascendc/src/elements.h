// SPDX-License-Identifier: Apache-2.0
// Elements of local tensors by lane: where each one is, how it is read, rounded and stored.
#ifndef ADDNORM_DOORS_ASCENDC_ELEMENTS_H_
#define ADDNORM_DOORS_ASCENDC_ELEMENTS_H_

#include <cstdint>

#include "addnorm/ascendc/vector.h"
#include "doors/ascendc/src/core.h"

namespace addnorm::ascendc {

constexpr uint32_t kBlockBytes = 32;
constexpr uint32_t kRepeatBytes = 256;

/// The lanes of an operation, from its own mask or the mask register, which it also sets; kRegister becomes kMask or kCounter. Refuses
/// lanes that no instruction can have. `per_repeat`: elements of one repeat, 256 bytes of the widest operand.
Lanes TakeLanes(const Lanes& asked, uint32_t per_repeat, const char* api, Here here);
/// Lane `lane` of each repeat takes part: kMask.
inline bool IsActive(const Lanes& lanes, uint32_t lane) { return (lanes.mask[lane / 64] >> lane % 64 & 1) != 0; }
/// Byte offset of an element inside its operand.
uint64_t OffsetOf(const VectorOperand& operand, const Lanes& lanes, uint32_t repeat, uint32_t lane);
/// Bytes from the operand's start to the end of its last active element.
uint64_t ExtentOf(const VectorOperand& operand, const Lanes& lanes, uint32_t per_repeat);

/// Calls f(repeat, lane) for each active element, in order. Under a count there is one repeat.
template <typename F>
void ForEach(const Lanes& lanes, uint32_t per_repeat, const F& f) {
  if (lanes.kind == Lanes::Kind::kCount) {
    for (uint32_t i = 0; i < lanes.count; ++i) f(0u, i);
    return;
  }
  for (uint32_t repeat = 0; repeat < lanes.repeats; ++repeat) {
    for (uint32_t lane = 0; lane < per_repeat; ++lane) {
      const bool active = lanes.kind == Lanes::Kind::kCounter ? repeat * per_repeat + lane < lanes.count : IsActive(lanes, lane);
      if (active) f(repeat, lane);
    }
  }
}

/// A vector operation reads or writes these elements; see Core::Work.
void Work(const VectorOperand& operand, const Lanes& lanes, uint32_t per_repeat, Access access, const Use& use);

/// Refuses a dst that lies on elements of `source` which are read later, or by another lane of the same repeat.
void CheckOverlap(const char* api, const VectorOperand& dst, const VectorOperand& source, const Lanes& lanes, uint32_t per_repeat,
                  Here here);

bool IsFloating(Type type);
/// An element as a long double: exact for every type, on machines where that has 64 bits of mantissa or more.
long double Load(Type type, const uint8_t* data);
/// Rounded once: floating types to nearest even, integers modulo 2^bits.
void StoreElement(Type type, uint8_t* data, long double value);
/// Rounded as Cast says; integers saturate and NaN becomes 0.
void StoreCast(Type type, uint8_t* data, long double value, Type from, Rounding rounding);

}  // namespace addnorm::ascendc
#endif  // ADDNORM_DOORS_ASCENDC_ELEMENTS_H_
