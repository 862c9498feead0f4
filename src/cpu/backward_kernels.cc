// SPDX-License-Identifier: Apache-2.0
// The backward kernels for every SIMD target. The table of targets is in kernels.cc.

#include "src/cpu/targets-inl.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/cpu/backward_kernels.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "src/cpu/backward_rows-inl.h"
#include "src/cpu/dispatch-inl.h"

HWY_BEFORE_NAMESPACE();
namespace addnorm {
namespace HWY_NAMESPACE {

template <class R>
struct BackwardCall {
  static void Run(const BackwardArgs& args, RowRange range, std::byte* scratch, void* partials) {
    BackwardRowsOf<R>(args, range, scratch, partials);
  }
};

void Backward(const BackwardArgs& a, RowRange range, std::byte* scratch, void* partials) {
  const DType act = Common({a.pre.x, a.dy}, {a.dx}, DType::kF32);
  const DType res = Common({a.sum, a.pre.residual, a.dsum}, {a.dresidual}, act);
  Dispatch<BackwardCall>(a, act, res, Common({a.weight}, {}, act), range, scratch, partials);
}

size_t BackwardScratch(const BackwardArgs& a) {
  return a.wide ? BackwardBlock<Recipe<double, AnyType, AnyType, AnyType>>::ScratchBytes(a)
                : BackwardBlock<Recipe<float, AnyType, AnyType, AnyType>>::ScratchBytes(a);
}

}  // namespace HWY_NAMESPACE
}  // namespace addnorm
HWY_AFTER_NAMESPACE();
