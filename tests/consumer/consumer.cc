// SPDX-License-Identifier: Apache-2.0
// The smallest use of the installed library: y = LayerNorm(x), checked against the values on paper.
#include <addnorm/addnorm.h>
#include <addnorm/version.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>

int main() {
  if (std::strcmp(addnorm::Version(), ADDNORM_VERSION_STRING) != 0) {
    std::fprintf(stderr, "library %s, headers %s\n", addnorm::Version(), ADDNORM_VERSION_STRING);
    return 1;
  }
  float x[2][4] = {{1, 2, 3, 4}, {-10, -10, 10, 10}};
  float y[2][4] = {};
  const int64_t shape[] = {2, 4};
  const addnorm::TensorView in{x, addnorm::DType::kF32, shape}, out{y, addnorm::DType::kF32, shape};
  const addnorm::Status status = addnorm::Forward(addnorm::LayerNorm(in, {}, {}, 0.0, out));
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.message());
    return 1;
  }
  // Row 0: mean 2.5, variance 1.25. Row 1: mean 0, variance 100.
  const double expected[2][4] = {{-1.5 / std::sqrt(1.25), -0.5 / std::sqrt(1.25), 0.5 / std::sqrt(1.25), 1.5 / std::sqrt(1.25)},
                                 {-1, -1, 1, 1}};
  for (int r = 0; r < 2; ++r) {
    for (int i = 0; i < 4; ++i) {
      if (!(std::fabs(y[r][i] - expected[r][i]) <= 5e-7)) {
        std::fprintf(stderr, "y[%d][%d] is %.9g, expected %.9g\n", r, i, double{y[r][i]}, expected[r][i]);
        return 1;
      }
    }
  }
  std::printf("addnorm %s on %s\n", addnorm::Version(), addnorm::CurrentTarget());
  return 0;
}
