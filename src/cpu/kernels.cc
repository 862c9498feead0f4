// SPDX-License-Identifier: Apache-2.0
// The Highway translation unit: the row kernels for every SIMD target, and the table of targets. Dispatch is ours (core/backend
// picks a Target once per plan), so that libhwy is not needed at run time.

// SSSE3 adds nothing over SSE4 that a machine of this century would miss.
// SVE vectors have no fixed size, so that a struct cannot hold them; machines with SVE have NEON.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
// Keep the scalar target: the widest reach, and the yardstick of the tests.
#ifndef HWY_COMPILE_ONLY_STATIC
#define HWY_COMPILE_ALL_ATTAINABLE
#endif

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/cpu/kernels.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "src/cpu/backward_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace addnorm {
namespace HWY_NAMESPACE {
namespace {

using F32 = StaticType<DType::kF32>;
using BF16 = StaticType<DType::kBF16>;
using F16 = StaticType<DType::kF16>;

// Hot recipes (activations, residual stream, parameters); Any is complete. See docs/measured.md for what each one buys.
template <template <class> class Call, class Args, class... Rest>
HWY_INLINE void Dispatch(const Args& args, DType act, DType res, DType par, Rest... rest) {
  if (args.wide) return Call<Recipe<double, StaticType<DType::kF64>, StaticType<DType::kF64>, StaticType<DType::kF64>>>::Run(args, rest...);
  const auto is = [&](DType a, DType r, DType p) { return act == a && res == r && par == p; };
  using enum DType;
  if (is(kF32, kF32, kF32)) return Call<Recipe<float, F32, F32, F32>>::Run(args, rest...);
  if (is(kBF16, kBF16, kBF16)) return Call<Recipe<float, BF16, BF16, BF16>>::Run(args, rest...);
  if (is(kBF16, kBF16, kF32)) return Call<Recipe<float, BF16, BF16, F32>>::Run(args, rest...);
  return Call<Recipe<float, AnyType, AnyType, AnyType>>::Run(args, rest...);
}

template <class R>
struct ForwardCall {
  static void Run(const ForwardArgs& args, RowRange range, std::byte* scratch) { ForwardRowsOf<R>(args, range, scratch); }
};
template <class R>
struct BackwardCall {
  static void Run(const BackwardArgs& args, RowRange range, std::byte* scratch, void* partials) {
    BackwardRowsOf<R>(args, range, scratch, partials);
  }
};

// The type that all present operands share, kBool (which no recipe has) if they differ, `absent` if there is none.
DType Common(std::initializer_list<In> ins, std::initializer_list<Out> outs, DType absent) {
  bool any = false;
  DType common = absent;
  const auto merge = [&](const void* data, DType dtype) {
    if (data == nullptr) return;
    common = any && common != dtype ? DType::kBool : dtype;
    any = true;
  };
  for (const In& in : ins) merge(in.data, in.dtype);
  for (const Out& out : outs) merge(out.data, out.dtype);
  return common;
}

void Forward(const ForwardArgs& a, RowRange range, std::byte* scratch) {
  const DType act = Common({a.pre.x}, {a.y}, DType::kF32);
  const DType res = Common({a.pre.residual}, {a.sum}, act);
  Dispatch<ForwardCall>(a, act, res, Common({a.weight, a.bias}, {}, act), range, scratch);
}
void Backward(const BackwardArgs& a, RowRange range, std::byte* scratch, void* partials) {
  const DType act = Common({a.pre.x, a.dy}, {a.dx}, DType::kF32);
  const DType res = Common({a.sum, a.pre.residual, a.dsum}, {a.dresidual}, act);
  Dispatch<BackwardCall>(a, act, res, Common({a.weight}, {}, act), range, scratch, partials);
}

// Two rows of h: one is finished while the next one is gathered.
size_t ForwardScratch(const ForwardArgs& a) { return 2 * PaddedCols(a.shape.cols) * (a.wide ? 8 : 4); }
size_t BackwardScratch(const BackwardArgs& a) {
  return a.wide ? BackwardBlock<Recipe<double, AnyType, AnyType, AnyType>>::ScratchBytes(a)
                : BackwardBlock<Recipe<float, AnyType, AnyType, AnyType>>::ScratchBytes(a);
}

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
