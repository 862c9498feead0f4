// SPDX-License-Identifier: Apache-2.0
// The one place where element types known when running become types known when compiling.

#include <initializer_list>

#include "hwy/highway.h"
#include "src/cpu/prenorm-inl.h"

#if defined(ADDNORM_CPU_DISPATCH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ADDNORM_CPU_DISPATCH_INL_H_
#undef ADDNORM_CPU_DISPATCH_INL_H_
#else
#define ADDNORM_CPU_DISPATCH_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace addnorm {
namespace HWY_NAMESPACE {

using F32 = StaticType<DType::kF32>;
using BF16 = StaticType<DType::kBF16>;
using F16 = StaticType<DType::kF16>;

// Hot recipes (activations, residual stream, parameters); Any is complete.
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

// The type that all present operands share, kBool (which no recipe has) if they differ, `absent` if there is none.
HWY_INLINE DType Common(std::initializer_list<In> ins, std::initializer_list<Out> outs, DType absent) {
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

}  // namespace HWY_NAMESPACE
}  // namespace addnorm
HWY_AFTER_NAMESPACE();

#endif  // ADDNORM_CPU_DISPATCH_INL_H_
