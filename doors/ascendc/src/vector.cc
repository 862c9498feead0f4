// SPDX-License-Identifier: Apache-2.0
// Elementwise vector operations.
#include "addnorm/ascendc/vector.h"

#include <algorithm>
#include <cmath>
#include <string>

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

constexpr int kNone = 1 << 0, kOdd = 1 << 6;  // bits by Rounding
constexpr int kFive = 0b0111110;              // RINT, FLOOR, CEIL, ROUND, TRUNC
struct CastPair {
  Type from, to;
  int modes;
};
// What Atlas A2 and A3 have.
constexpr CastPair kCasts[] = {
    {Type::kF16, Type::kF32, kNone},         {Type::kF16, Type::kI32, kFive},        {Type::kF16, Type::kI16, kFive},
    {Type::kF16, Type::kI8, kFive | kNone},  {Type::kF16, Type::kU8, kFive | kNone}, {Type::kF32, Type::kF32, kFive},
    {Type::kF32, Type::kF16, 0b1111111},     {Type::kF32, Type::kBF16, kFive},       {Type::kF32, Type::kI64, kFive},
    {Type::kF32, Type::kI32, kFive},         {Type::kF32, Type::kI16, kFive},        {Type::kBF16, Type::kF32, kNone},
    {Type::kBF16, Type::kI32, kFive},        {Type::kI8, Type::kF16, kNone},         {Type::kU8, Type::kF16, kNone},
    {Type::kI16, Type::kF16, kFive | kNone}, {Type::kI16, Type::kF32, kNone},        {Type::kI32, Type::kF32, kFive | kNone},
    {Type::kI32, Type::kI64, kNone},         {Type::kI32, Type::kI16, kNone},        {Type::kI32, Type::kF16, kNone},
    {Type::kI64, Type::kI32, kNone},         {Type::kI64, Type::kF32, kFive},
};
static_assert(kOdd == 0b1000000, "the last of Rounding");

void CheckCast(const VectorCall& call, Here here) {
  static constexpr const char* kNames[] = {"CAST_NONE", "CAST_RINT", "CAST_FLOOR", "CAST_CEIL", "CAST_ROUND", "CAST_TRUNC", "CAST_ODD"};
  const auto mode = static_cast<size_t>(call.rounding);
  for (const CastPair& pair : kCasts) {
    if (pair.from != call.src0.type || pair.to != call.dst.type) continue;
    if (mode < std::size(kNames) && (pair.modes >> mode & 1) != 0) return;
    std::string expected;
    for (size_t i = 0; i < std::size(kNames); ++i) {
      if ((pair.modes >> i & 1) != 0) expected += (expected.empty() ? "" : ", ") + std::string(kNames[i]);
    }
    Fail(Rule::kParameter, here, "Cast: argument 'roundMode' is %s from %s to %s, expected %s",
         mode < std::size(kNames) ? kNames[mode] : "none of RoundMode", NameOf(pair.from), NameOf(pair.to), expected.c_str());
  }
  Fail(Rule::kParameter, here, "Cast: argument 'dst' is %s with a source of %s, expected a pair of docs/ascendc.md", NameOf(call.dst.type),
       NameOf(call.src0.type));
}

void CheckTypes(const VectorCall& call, Here here) {
  const Type type = call.dst.type;
  const uint32_t size = SizeOf(type);
  if (call.op == VectorOp::kCast) return CheckCast(call, here);
  if (call.op == VectorOp::kAxpy && call.src0.type != type && !(type == Type::kF32 && call.src0.type == Type::kF16)) {
    Fail(Rule::kParameter, here, "Axpy: argument 'U' is %s with T %s, expected T, or half with T float", NameOf(call.src0.type),
         NameOf(type));
  }
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

long double Value(const VectorCall& call, long double a, long double b) {
  if (IsFloating(call.dst.type)) return Compute(call.op, static_cast<float>(a), static_cast<float>(b), static_cast<float>(call.scalar));
  return static_cast<long double>(
      ComputeInteger(call.op, static_cast<int64_t>(a), static_cast<int64_t>(b), static_cast<int64_t>(call.scalar)));
}

}  // namespace

void SetMaskMode(bool counter) { Core::Current().mask_counts = counter; }
void SetMaskRegister(uint64_t high, uint64_t low) {
  Core& core = Core::Current();
  core.mask[0] = low;
  core.mask[1] = high;
}
void SetCastScale(float scale) { Core::Current().cast_scale = scale; }

void RunVector(const VectorCall& call, Here here) {
  Core& core = Core::Current();
  const int sources = SourceCount(call.op);
  CheckTypes(call, here);
  uint32_t widest = SizeOf(call.dst.type);
  if (sources >= 1) widest = std::max(widest, SizeOf(call.src0.type));
  const uint32_t per_repeat = kRepeatBytes / widest;
  const Lanes lanes = TakeLanes(call.lanes, std::min(per_repeat, 128u), call.api, here);
  const Use dst_use{call.api, "dst", here};
  core.CheckOperand(call.dst.view, ExtentOf(call.dst, lanes, per_repeat), Access::kWrite, dst_use);
  const VectorOperand* operands[] = {&call.src0, &call.src1};
  for (int i = 0; i < sources; ++i) {
    const Use use{call.api, sources == 1 ? "src" : i == 0 ? "src0" : "src1", here};
    core.CheckOperand(operands[i]->view, ExtentOf(*operands[i], lanes, per_repeat), Access::kRead, use);
    Work(*operands[i], lanes, per_repeat, Access::kRead, use);
    CheckOverlap(call.api, call.dst, *operands[i], lanes, per_repeat, here);
  }
  Work(call.dst, lanes, per_repeat, Access::kWrite, dst_use);

  const uint32_t dst_size = SizeOf(call.dst.type);
  ForEach(lanes, per_repeat, [&](uint32_t repeat, uint32_t lane) {
    uint8_t* const dst = call.dst.view.data + OffsetOf(call.dst, lanes, repeat, lane);
    long double values[2] = {0, 0};
    bool written = true;
    for (int i = 0; i < sources; ++i) {
      const uint8_t* const src = operands[i]->view.data + OffsetOf(*operands[i], lanes, repeat, lane);
      values[i] = Load(operands[i]->type, src);
      written = core.IsWritten(src, SizeOf(operands[i]->type)) && written;
    }
    if (call.op == VectorOp::kAxpy) {
      values[1] = Load(call.dst.type, dst);
      written = core.IsWritten(dst, dst_size) && written;
    }
    if (call.op == VectorOp::kCast) {
      // The one narrowing that takes a factor.
      if (call.src0.type == Type::kI32 && call.dst.type == Type::kF16) values[0] *= static_cast<long double>(core.cast_scale);
      StoreCast(call.dst.type, dst, values[0], call.src0.type, call.rounding);
    } else if (call.op == VectorOp::kDuplicate) {
      StoreElement(call.dst.type, dst, call.scalar);
    } else {
      StoreElement(call.dst.type, dst, Value(call, values[0], values[1]));
    }
    core.SetWritten(dst, dst_size, written);
  });
}

}  // namespace addnorm::ascendc
