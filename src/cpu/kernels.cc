// SPDX-License-Identifier: Apache-2.0
// The forward kernels for every SIMD target, and the table of targets. Dispatch is ours (a plan picks its Target once), so that
// libhwy is not needed at run time.

#include "src/cpu/targets-inl.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/cpu/kernels.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "src/cpu/dispatch-inl.h"
#include "src/cpu/forward_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace addnorm {
namespace HWY_NAMESPACE {

// In backward_kernels.cc: two translation units compile side by side.
void Backward(const BackwardArgs& a, RowRange range, std::byte* scratch, void* partials);
size_t BackwardScratch(const BackwardArgs& a);

namespace {

template <class R>
struct ForwardCall {
  static void Run(const ForwardArgs& args, RowRange range, std::byte* scratch) { ForwardRowsOf<R>(args, range, scratch); }
};
void Forward(const ForwardArgs& a, RowRange range, std::byte* scratch) {
  const DType act = Common({a.pre.x}, {a.y}, DType::kF32);
  const DType res = Common({a.pre.residual}, {a.sum}, act);
  Dispatch<ForwardCall>(a, act, res, Common({a.weight, a.bias}, {}, act), range, scratch);
}
// A row of h, which the next one replaces as it is finished.
size_t ForwardScratch(const ForwardArgs& a) { return PaddedCols(a.shape.cols) * (a.wide ? 8 : 4); }

template <class T>
void AddOf(T* HWY_RESTRICT into, const T* HWY_RESTRICT from, size_t n) {
  for (size_t i = 0; i < n; i += kLanes<T>) {  // partials are padded to whole vectors
    hn::StoreU(hn::Add(hn::LoadU(Tag<T>(), into + i), hn::LoadU(Tag<T>(), from + i)), Tag<T>(), into + i);
  }
}
void Add(void* into, const void* from, size_t n, bool wide) {
  if (wide) return AddOf(static_cast<double*>(into), static_cast<const double*>(from), n);
  AddOf(static_cast<float*>(into), static_cast<const float*>(from), n);
}

template <class T>
void StoreOf(const Out& out, const T* from, size_t n) {
  const OutRow<T, AnyType> row(out, 0);
  size_t i = 0;
  for (; i + kPair<T> <= n; i += kPair<T>) row.Store(i, Whole(), LoadPair<T>(from + i, StaticType<kTypeOf<T>>()));
  if (i < n) row.Store(i, Part{n - i}, LoadPart<T>(from + i, kTypeOf<T>, n - i));
}
void Store(Out out, const void* from, size_t n, bool wide) {
  if (wide) return StoreOf(out, static_cast<const double*>(from), n);
  StoreOf(out, static_cast<const float*>(from), n);
}

bool Supported() {
#if HWY_TARGET == HWY_AVX3
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx2") &&
         __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
#elif HWY_TARGET == HWY_AVX2
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
#elif HWY_TARGET == HWY_SSE4
  return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("aes");
#else
  return true;
#endif
}

}  // namespace

const Target* GetTarget() {
  static constexpr const char* kName = HWY_TARGET == HWY_AVX3     ? "AVX3"
                                       : HWY_TARGET == HWY_AVX2   ? "AVX2"
                                       : HWY_TARGET == HWY_SSE4   ? "SSE4"
                                       : HWY_TARGET == HWY_NEON   ? "NEON"
                                       : HWY_TARGET == HWY_SCALAR ? "SCALAR"
                                                                  : "OTHER";
  static constexpr Target kTarget = {kName, Supported, ForwardScratch, BackwardScratch, Forward, Backward, Add, Store};
  return &kTarget;
}

}  // namespace HWY_NAMESPACE
}  // namespace addnorm
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace addnorm {

std::span<const Target* const> BuiltTargets() {
  static const Target* const kTargets[] = {
#if HWY_TARGETS & HWY_AVX3
    N_AVX3::GetTarget(),
#endif
#if HWY_TARGETS & HWY_AVX2
    N_AVX2::GetTarget(),
#endif
#if HWY_TARGETS & HWY_SSE4
    N_SSE4::GetTarget(),
#endif
#if HWY_TARGETS & HWY_NEON
    N_NEON::GetTarget(),
#endif
#if HWY_TARGETS & HWY_SCALAR
    N_SCALAR::GetTarget(),
#endif
  };
  return kTargets;
}

}  // namespace addnorm
#endif  // HWY_ONCE
