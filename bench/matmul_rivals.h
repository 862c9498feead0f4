// SPDX-License-Identifier: Apache-2.0
// The matmuls of other libraries, as far as the build found them: OpenBLAS and oneDNN.
#ifndef ADDNORM_BENCH_MATMUL_RIVALS_H_
#define ADDNORM_BENCH_MATMUL_RIVALS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "addnorm/types.h"
#include "bench/timing.h"

namespace addnorm::bench {

struct MatmulShape {
  size_t m, k, n;
};

/// Names and versions of what was built in; a line for what was not.
std::string MatmulRivals();
/// Threads that the libraries may use from now on.
void SetRivalThreads(size_t threads);
/// x1 [m, k] times x2 [k, n], both of `dtype`; out holds [m, n] of 4 bytes. fp32 and bf16 give fp32, int8 gives int32 (not scaled).
std::vector<Variant> RivalMatmuls(const MatmulShape& shape, DType dtype, const void* x1, const void* x2, void* out);

}  // namespace addnorm::bench
#endif  // ADDNORM_BENCH_MATMUL_RIVALS_H_
