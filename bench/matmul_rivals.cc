// SPDX-License-Identifier: Apache-2.0
#include "bench/matmul_rivals.h"

#include <dlfcn.h>

#include <cstdio>
#include <memory>
#include <unordered_map>

#ifdef ADDNORM_BENCH_OPENBLAS
#include <cblas.h>
#endif
#ifdef ADDNORM_BENCH_DNNL
#include <dnnl.hpp>
#endif

namespace addnorm::bench {
namespace {

#ifdef ADDNORM_BENCH_DNNL
using Format = dnnl::memory::format_tag;

dnnl::memory::data_type DnnlType(DType dtype) {
  using Type = dnnl::memory::data_type;
  return dtype == DType::kI8 ? Type::s8 : dtype == DType::kBF16 ? Type::bf16 : Type::f32;
}

// packed: x2 in the layout that the library likes best, reordered once.
Variant DnnlMatmul(const MatmulShape& shape, DType dtype, bool packed, const void* x1, const void* x2, void* out) {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  const auto size = [](size_t n) { return static_cast<dnnl::memory::dim>(n); };
  const dnnl::memory::dims a = {size(shape.m), size(shape.k)}, b = {size(shape.k), size(shape.n)}, c = {size(shape.m), size(shape.n)};
  const auto result = dtype == DType::kI8 ? dnnl::memory::data_type::s32 : dnnl::memory::data_type::f32;
  const dnnl::memory::desc plain(b, DnnlType(dtype), Format::ab);
  const dnnl::matmul::desc op({a, DnnlType(dtype), Format::ab}, packed ? dnnl::memory::desc(b, DnnlType(dtype), Format::any) : plain,
                              {c, result, Format::ab});
  const dnnl::matmul::primitive_desc what(op, engine);
  dnnl::stream stream(engine);
  dnnl::memory weights(plain, engine, const_cast<void*>(x2));
  if (packed) {
    dnnl::memory reordered(what.weights_desc(), engine);
    dnnl::reorder(weights, reordered).execute(stream, weights, reordered);
    stream.wait();
    weights = reordered;
  }
  const std::unordered_map<int, dnnl::memory> operands = {{DNNL_ARG_SRC, dnnl::memory(what.src_desc(), engine, const_cast<void*>(x1))},
                                                          {DNNL_ARG_WEIGHTS, weights},
                                                          {DNNL_ARG_DST, dnnl::memory(what.dst_desc(), engine, out)}};
  const auto run = std::make_shared<dnnl::matmul>(what);
  return {packed ? "oneDNN, packed" : "oneDNN", [run, stream, operands]() mutable {
            run->execute(stream, operands);
            stream.wait();
          }};
}
#endif

}  // namespace

std::string MatmulRivals() {
  std::string text;
#ifdef ADDNORM_BENCH_OPENBLAS
  text += openblas_get_config();
#else
  text += "OpenBLAS not found when this was built (Debian: libopenblas-dev): left out";
#endif
  text += "\n";
#ifdef ADDNORM_BENCH_DNNL
  const dnnl_version_t* version = dnnl_version();
  text += "oneDNN " + std::to_string(version->major) + "." + std::to_string(version->minor) + "." + std::to_string(version->patch);
#else
  text += "oneDNN not found when this was built (Debian: libdnnl-dev): left out";
#endif
  return text;
}

void SetRivalThreads(size_t threads) {
#ifdef ADDNORM_BENCH_OPENBLAS
  openblas_set_num_threads(static_cast<int>(threads));
#endif
  // oneDNN takes as many as OpenMP gives it.
  if (void* set = dlsym(RTLD_DEFAULT, "omp_set_num_threads")) reinterpret_cast<void (*)(int)>(set)(static_cast<int>(threads));
}

std::vector<Variant> RivalMatmuls([[maybe_unused]] const MatmulShape& shape, [[maybe_unused]] DType dtype, [[maybe_unused]] const void* x1,
                                  [[maybe_unused]] const void* x2, [[maybe_unused]] void* out) {
  std::vector<Variant> variants;
#ifdef ADDNORM_BENCH_OPENBLAS
  if (dtype == DType::kF32) {
    variants.push_back({"OpenBLAS sgemm", [=] {
                          const int m = static_cast<int>(shape.m), n = static_cast<int>(shape.n), k = static_cast<int>(shape.k);
                          cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, n, k, 1.0f, static_cast<const float*>(x1), k,
                                      static_cast<const float*>(x2), n, 0.0f, static_cast<float*>(out), n);
                        }});
  }
#endif
#ifdef ADDNORM_BENCH_DNNL
  for (const bool packed : {false, true}) {
    try {
      variants.push_back(DnnlMatmul(shape, dtype, packed, x1, x2, out));
    } catch (const dnnl::error& error) {
      std::printf("oneDNN has no such matmul of %s here: %s\n", NameOf(dtype), error.what());
    }
  }
#endif
  return variants;
}

}  // namespace addnorm::bench
