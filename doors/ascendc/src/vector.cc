// SPDX-License-Identifier: Apache-2.0
// Elementwise vector operations.
#include "addnorm/ascendc/vector.h"

#include <algorithm>
#include <cmath>

#include "doors/ascendc/src/elements.h"

namespace addnorm::ascendc {
namespace {

int SourceCount(VectorOp op) {
  if (op == VectorOp::kDuplicate) return 0;
  return op <= VectorOp::kMin ? 2 : 1;
}

bool IsFloatOnly(VectorOp op) {
  return op == VectorOp::kDiv || op == VectorOp::kAxpy || op == VectorOp::kReciprocal || op == VectorOp::kAbs ||
         (op >= VectorOp::kSqrt && op <= VectorOp::kLn);
}

void CheckTypes(const VectorCall& call, Here here) {
  const Type type = call.dst.type;
  const uint32_t size = SizeOf(type);
  if (call.op == VectorOp::kCast) return;
  if (call.op == VectorOp::kDuplicate) {
    if (size == 2 || size == 4) return;
    Fail(Rule::kParameter, here, "Duplicate: argument 'T' is %s, expected a type of 2 or 4 bytes", NameOf(type));
  }
  const bool floating = type == Type::kF32 || type == Type::kF16;
  if (floating || (!IsFloatOnly(call.op) && (type == Type::kI16 || type == Type::kI32))) return;
  Fail(Rule::kParameter, here, "%s: argument 'T' is %s, expected half%s", call.api, NameOf(type),
       IsFloatOnly(call.op) ? " or float" : ", float, int16_t or int32_t");
}

// Floating arithmetic of one element: float operands, a float result; half is rounded again when it is stored.
float Compute(VectorOp op, float a, float b, float scalar) {
  switch (op) {
    case VectorOp::kAdd:
      return a + b;
    case VectorOp::kSub:
      return a - b;
    case VectorOp::kMul:
      return a * b;
    case VectorOp::kDiv:
      return a / b;
    case VectorOp::kMax:
      return std::isnan(a) || std::isnan(b) ? NAN : std::max(a, b);
    case VectorOp::kMin:
      return std::isnan(a) || std::isnan(b) ? NAN : std::min(a, b);
    case VectorOp::kAdds:
      return a + scalar;
    case VectorOp::kMuls:
      return a * scalar;
    case VectorOp::kMaxs:
      return Compute(VectorOp::kMax, a, scalar, 0);
    case VectorOp::kMins:
      return Compute(VectorOp::kMin, a, scalar, 0);
    case VectorOp::kAxpy:
      return b + scalar * a;
    case VectorOp::kSqrt:
      return std::sqrt(a);
    case VectorOp::kRsqrt:
      return static_cast<float>(1.0 / std::sqrt(static_cast<double>(a)));
    case VectorOp::kExp:
      return static_cast<float>(std::exp(static_cast<double>(a)));
    case VectorOp::kLn:
      return static_cast<float>(std::log(static_cast<double>(a)));
    case VectorOp::kAbs:
      return std::abs(a);
    case VectorOp::kRelu:
      return std::isnan(a) ? a : std::max(a, 0.0f);
    case VectorOp::kReciprocal:
      return 1.0f / a;
    case VectorOp::kDuplicate:
    case VectorOp::kCast:
      break;
  }
  return scalar;
}

// Integer arithmetic: exact in 64 bits for 32-bit operands, wrapped when it is stored.
int64_t ComputeInteger(VectorOp op, int64_t a, int64_t b, int64_t scalar) {
  switch (op) {
    case VectorOp::kAdd:
      return a + b;
    case VectorOp::kSub:
      return a - b;
    case VectorOp::kMul:
      return a * b;
    case VectorOp::kMax:
      return std::max(a, b);
    case VectorOp::kMin:
      return std::min(a, b);
    case VectorOp::kAdds:
      return a + scalar;
    case VectorOp::kMuls:
      return a * scalar;
    case VectorOp::kMaxs:
      return std::max(a, scalar);
    case VectorOp::kMins:
      return std::min(a, scalar);
    default:  // Relu; CheckTypes refuses the others
      return std::max<int64_t>(a, 0);
  }
}

long double Result(const VectorCall& call, long double a, long double b) {
  if (IsFloating(call.dst.type)) return Compute(call.op, static_cast<float>(a), static_cast<float>(b), static_cast<float>(call.scalar));
  return static_cast<long double>(
      ComputeInteger(call.op, static_cast<int64_t>(a), static_cast<int64_t>(b), static_cast<int64_t>(call.scalar)));
}

void CheckOverlap(const VectorCall& call, const VectorOperand& source, uint64_t dst_bytes, uint64_t source_bytes, Here here) {
  const uint8_t* dst = call.dst.view.data;
  const uint8_t* src = source.view.data;
  // Element i of a narrower dst ends before element i of src, so that in place is safe.
  if (dst == src && SizeOf(call.dst.type) <= SizeOf(source.type)) return;
  const bool contiguous = !call.lanes.masked || (call.dst.block_stride == 1 && source.block_stride == 1);
  if (!contiguous || dst + dst_bytes <= src || src + source_bytes <= dst) return;
  Fail(Rule::kOverlap, here, "%s: argument 'dst' overlaps a source by a part, expected the same memory or disjoint memory", call.api);
}

}  // namespace

void RunVector(const VectorCall& call, Here here) {
  Core& core = Core::Current();
  const int sources = SourceCount(call.op);
  CheckTypes(call, here);
  uint32_t widest = SizeOf(call.dst.type);
  if (sources >= 1) widest = std::max(widest, SizeOf(call.src0.type));
  const uint32_t per_repeat = kRepeatBytes / widest;
  CheckLanes(call.lanes, std::min(per_repeat, 128u), call.api, here);
  const uint64_t dst_bytes = ExtentOf(call.dst, call.lanes, per_repeat);
  core.CheckOperand(call.dst.view, dst_bytes, Access::kWrite, {call.api, "dst", here});
  const VectorOperand* operands[] = {&call.src0, &call.src1};
  for (int i = 0; i < sources; ++i) {
    const uint64_t bytes = ExtentOf(*operands[i], call.lanes, per_repeat);
    core.CheckOperand(operands[i]->view, bytes, Access::kRead, {call.api, sources == 1 ? "src" : i == 0 ? "src0" : "src1", here});
    CheckOverlap(call, *operands[i], dst_bytes, bytes, here);
  }

  const uint32_t dst_size = SizeOf(call.dst.type);
  ForEach(call.lanes, per_repeat, [&](uint32_t repeat, uint32_t lane) {
    uint8_t* const dst = call.dst.view.data + OffsetOf(call.dst, call.lanes, repeat, lane);
    long double values[2] = {0, 0};
    bool written = true;
    for (int i = 0; i < sources; ++i) {
      const uint8_t* const src = operands[i]->view.data + OffsetOf(*operands[i], call.lanes, repeat, lane);
      values[i] = Load(operands[i]->type, src);
      written = core.IsWritten(src, SizeOf(operands[i]->type)) && written;
    }
    if (call.op == VectorOp::kAxpy) {
      values[1] = Load(call.dst.type, dst);
      written = core.IsWritten(dst, dst_size) && written;
    }
    if (call.op == VectorOp::kCast) {
      StoreCast(call.dst.type, dst, values[0], call.src0.type, call.rounding);
    } else if (call.op == VectorOp::kDuplicate) {
      StoreElement(call.dst.type, dst, call.scalar);
    } else {
      StoreElement(call.dst.type, dst, Result(call, values[0], values[1]));
    }
    core.SetWritten(dst, dst_size, written);
  });
}

}  // namespace addnorm::ascendc
