// SPDX-License-Identifier: Apache-2.0
// The matmul kernels of one rank beside OpenBLAS and oneDNN: every scenario, weights packed before and not, one thread and all.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "addnorm/addnorm.h"
#include "bench/matmul_rivals.h"
#include "bench/report.h"
#include "src/base/dtype.h"
#include "src/core/matmul.h"
#include "src/core/target.h"

namespace addnorm::bench {
namespace {

struct Scenario {
  const char* name;
  DType x1, x2;
  DType rival;  // the type in which the libraries compete
};
constexpr Scenario kScenarios[] = {{"float32", DType::kF32, DType::kF32, DType::kF32},
                                   {"bfloat16", DType::kBF16, DType::kBF16, DType::kBF16},
                                   {"float16", DType::kF16, DType::kF16, DType::kF32},
                                   {"float32 x int8 weights", DType::kF32, DType::kI8, DType::kF32},
                                   {"bfloat16 x int8 weights", DType::kBF16, DType::kI8, DType::kF32},
                                   {"int8", DType::kI8, DType::kI8, DType::kI8}};

class Memory {
 public:
  explicit Memory(size_t bytes)
      : bytes_((bytes + 63) / 64 * 64), data_(static_cast<std::byte*>(std::aligned_alloc(64, bytes_)), std::free) {
    std::memset(data_.get(), 0, bytes_);  // pages in place before anything is timed
  }
  std::byte* data() const { return data_.get(); }
  std::span<std::byte> span() const { return {data_.get(), bytes_}; }

 private:
  size_t bytes_;
  std::unique_ptr<std::byte, void (*)(void*)> data_;
};

// Values of about 1, none subnormal: libraries are slow on those.
Memory Values(DType dtype, size_t count, uint32_t seed) {
  Memory memory(count * SizeOf(dtype) + 1);
  for (size_t i = 0; i < count; ++i) {
    seed = seed * 1664525u + 1013904223u;
    if (dtype == DType::kI8) {
      StoreBits(memory.data(), i, static_cast<int8_t>(seed >> 24));
    } else {
      StoreElement(memory.data(), dtype, i, (static_cast<double>(seed >> 9) - 0x1p22 + 0.5) * 0x1p-22);
    }
  }
  return memory;
}

class Case {
 public:
  Case(const Scenario& scenario, const MatmulShape& shape, const Target& target, const Executor& executor)
      : scenario_(scenario),
        shape_(shape),
        target_(target),
        executor_(executor),
        x1_(Values(scenario.x1, shape.m * shape.k, 1)),
        x2_(Values(scenario.x2, shape.k * shape.n, 2)),
        out_(shape.m * shape.n * 4),
        scale_(shape.n, 0.01f) {
    const auto k = static_cast<ptrdiff_t>(shape.k), n = static_cast<ptrdiff_t>(shape.n);
    args_ = {.m = shape.m, .n = shape.n, .k = shape.k, .x1 = {x1_.data(), k, scenario.x1}, .x2 = {x2_.data(), n, 1, scenario.x2}};
    args_.dequant_scale = scale_.data(), args_.dequant_stride = 1;
    args_.antiquant.scale = scale_.data(), args_.antiquant.n_stride = 1;
    transposed_ = args_;
    transposed_.x2 = {x2_.data(), 1, k, scenario.x2};
    packed_ = std::make_unique<Memory>(PackedWeightBytes(target, args_));
    PackWeights(target, args_, packed_->data(), executor);
    workspace_ = std::make_unique<Memory>(MatmulWorkspaceBytes(target, args_, false, executor));
  }

  void Run(const MatmulArgs& args, const Memory* packed) {
    RunMatmul(target_, args, packed ? packed->data() : nullptr, {0, shape_.m}, reinterpret_cast<float*>(out_.data()), shape_.n,
              workspace_->span(), executor_);
  }
  std::vector<Variant> Ours() {
    return {{"addnorm, packed", [this] { Run(args_, packed_.get()); }},
            {"addnorm", [this] { Run(args_, nullptr); }},
            {"addnorm, transposed view", [this] { Run(transposed_, nullptr); }}};
  }
  std::vector<Variant> Rivals() {
    const DType type = scenario_.rival;
    if (type != scenario_.x1) rival_x1_ = std::make_unique<Memory>(Values(type, shape_.m * shape_.k, 1));
    if (type != scenario_.x2) rival_x2_ = std::make_unique<Memory>(Values(type, shape_.k * shape_.n, 2));
    return RivalMatmuls(shape_, type, rival_x1_ ? rival_x1_->data() : x1_.data(), rival_x2_ ? rival_x2_->data() : x2_.data(), out_.data());
  }

  // "" if a handful of elements are right.
  std::string Verify() {
    for (const Memory* packed : {packed_.get(), static_cast<Memory*>(nullptr)}) {
      Run(args_, packed);
      for (size_t i = 0; i < 20; ++i) {
        const size_t r = i * 7919 % shape_.m, j = (i * 104729 + 31) % shape_.n;
        double sum = 0, magnitude = 0;
        for (size_t k = 0; k < shape_.k; ++k) {
          const double term =
              LoadElement(x1_.data(), scenario_.x1, r * shape_.k + k) * LoadElement(x2_.data(), scenario_.x2, k * shape_.n + j);
          sum += term, magnitude += std::fabs(term);
        }
        const double scale = scenario_.x2 == DType::kI8 ? static_cast<double>(scale_[j]) : 1;
        const double got = LoadElement(out_.data(), DType::kF32, r * shape_.n + j);
        const double bound = (static_cast<double>(shape_.k) / 64 + 66) * 0x1p-24 * magnitude * scale;
        if (std::fabs(got - sum * scale) <= bound) continue;
        return "element " + std::to_string(r) + ", " + std::to_string(j) + " is " + std::to_string(got) + ", not " +
               std::to_string(sum * scale);
      }
    }
    return "";
  }

 private:
  const Scenario& scenario_;
  const MatmulShape shape_;
  const Target& target_;
  const Executor& executor_;
  Memory x1_, x2_, out_;
  std::vector<float> scale_;
  MatmulArgs args_, transposed_;
  std::unique_ptr<Memory> packed_, workspace_, rival_x1_, rival_x2_;
};

// The libraries' best; infinite without one.
double BestRival(const std::vector<Times>& times, size_t ours) {
  double best = HUGE_VAL;
  for (size_t i = ours; i < times.size(); ++i) best = std::min(best, times[i].p10);
  return best;
}

void Measure(const Scenario& scenario, const MatmulShape& shape, bool all_threads, const Target& target, double seconds, Report* report) {
  char problem[160];
  std::snprintf(problem, sizeof(problem), "%s, M %zu K %zu N %zu, %s", scenario.name, shape.m, shape.k, shape.n,
                all_threads ? "all threads" : "1 thread");
  if (!report->Wanted(problem)) return;
  const Executor& executor = all_threads ? DefaultExecutor() : SerialExecutor();
  SetRivalThreads(executor.concurrency(executor.context));
  Case c(scenario, shape, target, executor);
  if (const std::string wrong = c.Verify(); !wrong.empty()) return report->Fail(problem, wrong);
  std::vector<Variant> variants = c.Ours();
  const size_t ours = variants.size();
  for (Variant& rival : c.Rivals()) {
    if (scenario.rival != scenario.x1 || scenario.x2 != scenario.x1) rival.name += std::string(" ") + NameOf(scenario.rival);
    variants.push_back(std::move(rival));
  }
  const std::vector<Times> times = Interleave(variants, all_threads ? Clock::kWall : Clock::kThread, seconds);
  report->Add(problem, times, 0);
  const double operations = 2.0 * static_cast<double>(shape.m) * static_cast<double>(shape.k) * static_cast<double>(shape.n);
  std::printf("    %7.0f G operations/s packed, %.0f not, %.0f from a transposed view\n", operations / times[0].p10 * 1e-9,
              operations / times[1].p10 * 1e-9, operations / times[2].p10 * 1e-9);
  if (times.size() == ours) return;
  const bool judged = shape.m >= 32;
  report->Add({std::string(problem) + ": best library's time / packed", BestRival(times, ours) / times[0].p10, judged ? 0.85 : 0, true});
}

int Main(int argc, char** argv) {
  Options options;
  if (!ParseOptions(argc, argv, &options)) return 2;
  const Target* target = nullptr;
  if (const Status status = ChooseTarget("bench_matmul", &target); !status.ok()) {
    std::fprintf(stderr, "%s\n", status.message());
    return 2;
  }
  Report report("bench_matmul", options);
  std::printf("one rank's matmul beside other libraries; target %s\n%s\n", target->name, MatmulRivals().c_str());
  std::printf("'packed': weights brought into the library's own layout before; results fp32, of oneDNN's int8 int32\n");
  const size_t threads = DefaultExecutor().concurrency(DefaultExecutor().context);
  for (const bool all_threads : {false, true}) {
    if (all_threads && threads < 2) continue;
    for (const auto& [k, n] : {std::pair<size_t, size_t>{1024, 8192}, {4096, 2048}}) {
      for (const Scenario& scenario : kScenarios) {
        for (const size_t m : {1, 8, 32, 64, 256, 4096}) {
          if (m == 4096 && n != 8192) continue;
          const double seconds = options.seconds > 0 ? options.seconds : m >= 4096 ? 2 : 0.3;
          Measure(scenario, {m, k, n}, all_threads, *target, seconds, &report);
        }
      }
    }
  }
  return report.Finish();
}

}  // namespace
}  // namespace addnorm::bench

int main(int argc, char** argv) { return addnorm::bench::Main(argc, argv); }
