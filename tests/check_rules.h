// SPDX-License-Identifier: Apache-2.0
// The problems that check_test spoils, and the list of ways to spoil them (check_rules.cc).
#ifndef ADDNORM_TESTS_CHECK_RULES_H_
#define ADDNORM_TESTS_CHECK_RULES_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "addnorm/addnorm.h"

namespace addnorm::test {

// A buffer of 4 KiB per operand; shapes can be spoilt one by one.
struct Tensor {
  TensorView view() { return absent ? TensorView{} : TensorView{data, dtype, shape, strides}; }
  std::vector<int64_t> shape, strides;
  DType dtype = DType::kF32;
  bool absent = false;
  void* data = storage;
  alignas(64) unsigned char storage[4096] = {};
};

// [2, 3, 8], everything present.
struct Case {
  Tensor x0{{2, 3, 8}, {}}, residual{{2, 3, 8}, {}}, rowscale{{2, 3}, {}}, layerscale{{8}, {}}, prebias{{8}, {}}, weight{{8}, {}},
      bias{{8}, {}};
  Tensor dy{{2, 3, 8}, {}}, saved{{2, 3, 8}, {}}, dsum{{2, 3, 8}, {}}, saved_mean{{2, 3}, {}}, saved_rstd{{2, 3, 1}, {}};
  Tensor y{{2, 3, 8}, {}}, prenorm{{2, 3, 8}, {}}, keep{{2, 3, 8}, {}, DType::kBool}, mean{{2, 3}, {}}, rstd{{2, 3, 1}, {}};
  Tensor dx0{{2, 3, 8}, {}}, dresidual{{2, 3, 8}, {}}, drowscale{{2, 3}, {}}, dweight{{8}, {}}, dbias{{8}, {}}, dlayerscale{{8}, {}};
  NormSpec norm;
  Dropout dropout{.p = 0.25, .seed = 1};
  int normalized_rank = 1;
  DType prenorm_dtype = DType::kF32;

  PreNormTensors pre() { return {x0.view(), residual.view(), rowscale.view(), layerscale.view(), prebias.view(), dropout}; }
  ForwardProblem forward() {
    return {.api = "the_forward",
            .normalized_rank = normalized_rank,
            .norm = norm,
            .pre = pre(),
            .weight = weight.view(),
            .bias = bias.view(),
            .y = y.view(),
            .prenorm = prenorm.view(),
            .keep = keep.view(),
            .mean = mean.view(),
            .rstd = rstd.view(),
            .prenorm_dtype = prenorm_dtype};
  }
  BackwardProblem backward() {
    return {.api = "the_backward",
            .normalized_rank = normalized_rank,
            .norm = norm,
            .dy = dy.view(),
            .prenorm = saved.view(),
            .pre = pre(),
            .prenorm_dtype = prenorm_dtype,
            .mean = saved_mean.view(),
            .rstd = saved_rstd.view(),
            .weight = weight.view(),
            .dsum = dsum.view(),
            .dx0 = dx0.view(),
            .dresidual = dresidual.view(),
            .drowscale = drowscale.view(),
            .dweight = dweight.view(),
            .dbias = dbias.view(),
            .dlayerscale = dlayerscale.view()};
  }
  std::vector<Tensor*> Outputs() {
    return {&y, &prenorm, &keep, &mean, &rstd, &dx0, &dresidual, &drowscale, &dweight, &dbias, &dlayerscale};
  }
};

using Spoil = std::function<void(Case&)>;
enum Direction { kForward = 1, kBackward = 2, kBoth = 3 };

struct Rule {
  const char* name;
  Direction direction;
  Spoil spoil;
  Code code;
  std::vector<std::string> says;  // argument, got, expected
};

/// One entry per rule of the core, each with a problem that breaks this rule alone.
const std::vector<Rule>& Rules();

}  // namespace addnorm::test
#endif  // ADDNORM_TESTS_CHECK_RULES_H_
