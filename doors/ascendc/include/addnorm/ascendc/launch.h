// SPDX-License-Identifier: Apache-2.0
// Runs a kernel on the host, one call per core, in this process: one core after another, or on threads.
//   std::vector<float> x = ..., y = ...;
//   LaunchResult result = Launch({.blocks = 8}, my_kernel, InGm(x), InGm(y), nullptr, InGm(tiling));
//   if (!result.ok()) puts(result.first.text);
#ifndef ADDNORM_ASCENDC_LAUNCH_H_
#define ADDNORM_ASCENDC_LAUNCH_H_

#include <type_traits>
#include <utility>

#include "addnorm/ascendc/scalars.h"

/// What the cores of a launch are. MIX: each block is one AIC and two AIV cores; MIX_AIC_1_1: one of each.
enum class KernelMode : uint8_t { MIX_MODE = 0, AIC_MODE, AIV_MODE, MIX_AIC_1_1 };

namespace addnorm::ascendc {

struct LaunchOptions {
  uint32_t blocks = 1;
  uint32_t threads = 1;  // cores that run at the same time, at most
  KernelMode mode = KernelMode::AIV_MODE;
  uint32_t architecture = __NPU_ARCH__;  // sets the size of UB: 2201, 1001, 2002, 3002, 3003, 3102, 3113, 3510, 5102
  uint64_t tiling_key = 0;
  OnViolation on_violation = OnViolation::kReport;
  const char* kernel = "kernel";  // named in messages
};

/// The cores that broke a rule stopped there; the others ran to their end. GM holds what was written until then.
struct [[nodiscard]] LaunchResult {
  uint32_t violations = 0;
  Violation first;  // that of the lowest core
  bool ok() const { return violations == 0; }
};

/// Memory that a kernel may access as GM. It must outlive the launch.
struct GmRange {
  void* data = nullptr;
  uint64_t bytes = 0;
};
/// The elements of a contiguous container.
template <typename Container>
GmRange InGm(Container& elements) {
  return {const_cast<void*>(static_cast<const void*>(elements.data())), elements.size() * sizeof(*elements.data())};
}
/// One object, such as a tiling struct.
template <typename T>
GmRange ObjectInGm(T& object) {
  return {const_cast<void*>(static_cast<const void*>(&object)), sizeof(T)};
}

struct KernelCall {
  void (*run)(void* context);  // called once per core, from several threads if asked for
  void* context;
  const GmRange* ranges;
  uint32_t range_count;
};
/// The untyped launch. Throws nothing: what a kernel throws other than a Violation is reported as rule "launch".
ADDNORM_ASCENDC_API LaunchResult RunCores(const LaunchOptions& options, const KernelCall& call, Here here) noexcept;

namespace internal {
template <typename A>
constexpr bool kIsRange = std::is_same_v<std::remove_cv_t<std::remove_reference_t<A>>, GmRange>;

template <typename P, typename A>
P Argument(const A& argument) {
  if constexpr (kIsRange<A>) {
    return static_cast<P>(argument.data);
  } else {
    return static_cast<P>(argument);
  }
}
template <typename A>
GmRange RangeOf(const A& argument) {
  if constexpr (kIsRange<A>) {
    return argument;
  } else {
    return {};
  }
}
template <typename F>
void Invoke(void* callable) {
  (*static_cast<F*>(callable))();
}
}  // namespace internal

/// Calls kernel(arguments...) on every core. A GmRange becomes its pointer, everything else is passed as it is.
template <typename... P, typename... A>
LaunchResult LaunchAt(Here here, const LaunchOptions& options, void (*kernel)(P...), const A&... arguments) {
  static_assert(sizeof...(P) == sizeof...(A), "one argument for each parameter of the kernel");
  const GmRange ranges[] = {internal::RangeOf(arguments)..., GmRange{}};
  auto body = [&] { kernel(internal::Argument<P>(arguments)...); };
  return RunCores(options, {internal::Invoke<decltype(body)>, &body, ranges, static_cast<uint32_t>(sizeof...(A))}, here);
}
template <typename... P, typename... A>
LaunchResult Launch(const LaunchOptions& options, void (*kernel)(P...), const A&... arguments) {
  return LaunchAt(Here("", 0), options, kernel, arguments...);
}

// ---- What tikicpulib.h stands on. ---------------------------------------------------------------------------------------
ADDNORM_ASCENDC_API void* AllocateGm(size_t bytes, Here here);
ADDNORM_ASCENDC_API void FreeGm(void* data, Here here);
ADDNORM_ASCENDC_API void SetIcpuMode(KernelMode mode);
ADDNORM_ASCENDC_API void SetIcpuTilingKey(uint64_t key);
/// Cores that ICPU_RUN_KF runs at the same time. Initially 1, or ADDNORM_ASCENDC_THREADS.
ADDNORM_ASCENDC_API void SetIcpuThreads(uint32_t threads);
/// The options that the functions above and SetOnViolation chose.
ADDNORM_ASCENDC_API LaunchOptions IcpuOptions(const char* kernel, uint32_t blocks);
/// Refuses pointers that AllocateGm did not give (null is allowed), runs, prints what was broken; aborts under kAbort.
ADDNORM_ASCENDC_API const LaunchResult& RunIcpu(const LaunchOptions& options, const KernelCall& call, Here here) noexcept;
/// The result of this thread's last ICPU_RUN_KF.
ADDNORM_ASCENDC_API const LaunchResult& LastIcpuResult();

namespace internal {
template <typename P>
GmRange IcpuRange(const P& argument) {
  if constexpr (std::is_pointer_v<P>) {
    return {const_cast<void*>(static_cast<const void*>(argument)), 0};
  } else {
    return {};
  }
}
template <typename Blocks, typename... P>
void IcpuRun(const char* name, Here here, void (*kernel)(P...), Blocks blocks, std::common_type_t<P>... arguments) {
  const GmRange ranges[] = {IcpuRange<std::common_type_t<P>>(arguments)..., GmRange{}};
  auto body = [&] { kernel(arguments...); };
  LaunchOptions options = IcpuOptions(name, static_cast<uint32_t>(blocks));
  options.architecture = __NPU_ARCH__;  // the user's: the library has its own
  RunIcpu(options, {Invoke<decltype(body)>, &body, ranges, static_cast<uint32_t>(sizeof...(P))}, here);
}
}  // namespace internal

}  // namespace addnorm::ascendc
#endif  // ADDNORM_ASCENDC_LAUNCH_H_
