// SPDX-License-Identifier: Apache-2.0
// Runs a kernel once per core, in this process.
#include "addnorm/ascendc/launch.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <optional>
#include <thread>
#include <vector>

#include "addnorm/ascendc/data_copy.h"
#include "doors/ascendc/src/core.h"

namespace addnorm::ascendc {
namespace {

constexpr uint32_t kMaxBlocks = 65535;

struct IcpuState {
  std::atomic<KernelMode> mode{KernelMode::MIX_MODE};
  std::atomic<uint64_t> tiling_key{0};
  std::atomic<uint32_t> threads{1};
};
IcpuState& Icpu() {
  static IcpuState state;
  static const bool read_environment = [] {
    const char* threads = std::getenv("ADDNORM_ASCENDC_THREADS");
    const long count = threads == nullptr ? 1 : std::strtol(threads, nullptr, 10);
    state.threads = static_cast<uint32_t>(std::clamp(count, 1L, 1024L));
    return true;
  }();
  (void)read_environment;
  return state;
}

uint64_t& RunningTilingKey() {
  thread_local uint64_t key = 0;
  return key;
}
LaunchResult& LastResult() {
  thread_local LaunchResult result;
  return result;
}

std::vector<CoreId> CoresOf(const LaunchOptions& options) {
  std::vector<CoreId> cores;
  const bool mixed = options.mode == KernelMode::MIX_MODE || options.mode == KernelMode::MIX_AIC_1_1;
  const int64_t vectors = options.mode == KernelMode::MIX_MODE ? 2 : options.mode == KernelMode::AIC_MODE ? 0 : 1;
  for (int64_t block = 0; block < options.blocks; ++block) {
    if (vectors != 1 || mixed) cores.push_back({block, options.blocks, 0, 1, CoreType::kAic});
    for (int64_t sub = 0; sub < vectors; ++sub) cores.push_back({block * vectors + sub, options.blocks, sub, vectors, CoreType::kAiv});
  }
  return cores;
}

Violation LaunchViolation(const LaunchOptions& options, Here here, const char* text) {
  Violation violation;
  violation.line = here.line;
  std::snprintf(violation.file, sizeof(violation.file), "%s", here.file);
  std::snprintf(violation.text, sizeof(violation.text), "%s: %s", options.kernel, text);
  return violation;
}

// One core from start to end: what it broke, if anything.
std::optional<Violation> RunCore(const LaunchOptions& options, const KernelCall& call, Core* core, Here here) {
  std::optional<Violation> broken;
  Core* const before = Core::Exchange(core);
  const uint64_t key_before = std::exchange(RunningTilingKey(), options.tiling_key);
  try {
    call.run(call.context);
    core->NoteUnfreed();  // of a pipe that outlives the kernel
    core->NoteUnwaited();
    broken = core->unfinished;
  } catch (const Violation& violation) {
    broken = violation;
  } catch (const std::exception& error) {
    broken = LaunchViolation(options, here, error.what());
    broken->core = static_cast<int>(core->number);
  } catch (...) {
    broken = LaunchViolation(options, here, "the kernel threw something");
    broken->core = static_cast<int>(core->number);
  }
  RunningTilingKey() = key_before;
  Core::Exchange(before);
  return broken;
}

LaunchResult RunAll(const LaunchOptions& options, const KernelCall& call, Here here) {
  const std::vector<CoreId> cores = CoresOf(options);
  GlobalMemory global(call.ranges, call.range_count, true, static_cast<uint32_t>(cores.size()));
  std::vector<std::optional<Violation>> broken(cores.size());
  std::atomic<size_t> next{0};
  auto work = [&] {
    for (size_t i = next++; i < cores.size(); i = next++) {
      Core core(cores[i], static_cast<uint32_t>(i), options.architecture, &global, options.on_violation);
      broken[i] = RunCore(options, call, &core, here);
    }
  };
  const size_t workers = std::min<size_t>(std::max<uint32_t>(options.threads, 1), cores.size());
  std::vector<std::thread> threads;
  try {
    for (size_t i = 1; i < workers; ++i) threads.emplace_back(work);
  } catch (const std::system_error&) {
    // Fewer threads than asked for: the ones there are do all the cores.
  }
  work();
  for (std::thread& thread : threads) thread.join();

  LaunchResult result;
  for (const auto& violation : broken) {
    if (!violation) continue;
    if (result.violations++ == 0) result.first = *violation;
  }
  return result;
}

}  // namespace

uint64_t TilingKey() { return RunningTilingKey(); }

LaunchResult RunCores(const LaunchOptions& options, const KernelCall& call, Here here) noexcept {
  LaunchResult result;
  try {
    char text[128] = "";
    if (options.blocks < 1 || options.blocks > kMaxBlocks) {
      std::snprintf(text, sizeof(text), "argument 'blocks' is %u, expected 1 to %u", options.blocks, kMaxBlocks);
    } else if (UbBytes(options.architecture) == 0) {
      std::snprintf(text, sizeof(text), "argument 'architecture' is %u, expected 2201 or another one of docs/ascendc.md",
                    options.architecture);
    }
    if (text[0] == '\0') {
      result = RunAll(options, call, here);
    } else {
      result = {1, LaunchViolation(options, here, text)};
    }
  } catch (const std::exception& error) {
    result = {1, LaunchViolation(options, here, error.what())};
  }
  // Broken rules inside a kernel aborted already; what is left over at the end and the launch itself are known only here.
  if (!result.ok() && options.on_violation == OnViolation::kAbort) {
    Print(result.first);
    EndProcess();
  }
  return result;
}

void SetIcpuMode(KernelMode mode) { Icpu().mode = mode; }
void SetIcpuTilingKey(uint64_t key) { Icpu().tiling_key = key; }
void SetIcpuThreads(uint32_t threads) { Icpu().threads = std::clamp<uint32_t>(threads, 1, 1024); }

LaunchOptions IcpuOptions(const char* kernel, uint32_t blocks) {
  LaunchOptions options;
  options.kernel = kernel;
  options.blocks = blocks;
  options.threads = Icpu().threads;
  options.mode = Icpu().mode;
  options.tiling_key = Icpu().tiling_key;
  options.on_violation = GetOnViolation();
  return options;
}

const LaunchResult& RunIcpu(const LaunchOptions& options, const KernelCall& call, Here here) noexcept {
  LaunchResult& last = LastResult();
  last = LaunchResult();
  for (uint32_t i = 0; i < call.range_count; ++i) {
    const void* data = call.ranges[i].data;
    if (data == nullptr || FindAllocated(data).data != nullptr) continue;
    char text[128];
    std::snprintf(text, sizeof(text), "argument %u is %p, expected a pointer of GmAlloc or null", i + 1, data);
    last = {1, LaunchViolation(options, here, text)};
    last.first.rule = Rule::kGlobalArgument;
    break;
  }
  if (last.ok()) {
    last = RunCores(options, call, here);
    if (last.ok()) return last;
  }
  Print(last.first);
  if (options.on_violation == OnViolation::kAbort) EndProcess();
  return last;
}

const LaunchResult& LastIcpuResult() { return LastResult(); }

}  // namespace addnorm::ascendc
