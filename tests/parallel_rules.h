// SPDX-License-Identifier: Apache-2.0
// The argument rules of the tensor-parallel operator, each as a problem that breaks it and nothing else.
#ifndef ADDNORM_TESTS_PARALLEL_RULES_H_
#define ADDNORM_TESTS_PARALLEL_RULES_H_

#include <functional>
#include <string>
#include <vector>

#include "addnorm/parallel.h"
#include "tests/parallel_problem.h"

namespace addnorm::test::parallel {

using enum DType;
using Call = MatmulAllReduceAddRmsNormProblem;

// Views and their shapes, to be spoilt: [2, 3, 8] @ [8, 4].
struct Case {
  explicit Case(Kind kind) {
    if (kind != Kind::kFloat) x2.dtype = kI8;
    if (kind == Kind::kInt8) x1.dtype = kI8, bias.dtype = kI32, has_dequant = true;
    if (kind == Kind::kInt8Weights) has_antiquant = true;
  }
  struct Tensor {
    std::vector<int64_t> shape, strides;
    DType dtype = kF32;
    bool absent = false;
    int64_t shift = 0;  // bytes
    std::byte* at = nullptr;
    bool null = false;
    alignas(64) std::byte storage[1024] = {};
    TensorView view() {
      if (absent) return {};
      return {null ? nullptr : (at ? at : storage) + shift, dtype, shape, strides};
    }
  };
  Tensor x1{{2, 3, 8}, {}}, x2{{8, 4}, {}}, bias{{4}, {}}, residual{{2, 3, 4}, {}}, gamma{{4}, {}}, dequant_scale{{4}, {}},
      antiquant_scale{{2, 4}, {}}, antiquant_offset{{2, 4}, {}}, y{{2, 3, 4}, {}}, norm_out{{2, 3, 4}, {}};
  bool has_dequant = false, has_antiquant = false;
  int64_t group = 4, comm_turn = 0;
  double epsilon = 1e-6;
  DType comm_dtype = kF32;
  const PreparedWeights* prepared = nullptr;
  Executor executor = SerialExecutor();
  std::chrono::nanoseconds timeout = std::chrono::seconds(20);

  Call call() {
    Call p;
    p.api = "the_operator";
    p.x1 = x1.view(), p.x2 = x2.view(), p.bias = bias.view(), p.residual = residual.view(), p.gamma = gamma.view();
    if (has_dequant) p.dequant_scale = dequant_scale.view();
    if (has_antiquant) {
      p.antiquant_scale = antiquant_scale.view(), p.antiquant_offset = antiquant_offset.view();
      p.antiquant_group_size = group;
    }
    p.prepared = prepared;
    p.epsilon = epsilon, p.comm_turn = comm_turn, p.comm_dtype = comm_dtype;
    p.y = y.view(), p.norm_out = norm_out.view();
    return p;
  }
};

using Spoil = std::function<void(Case&)>;
struct Rule {
  const char* name;
  Kind kind;
  Spoil spoil;
  Code code;
  std::vector<std::string> says;  // argument, got, expected
};

constexpr Kind kFloat = Kind::kFloat, kInt8 = Kind::kInt8, kWeights = Kind::kInt8Weights;

/// One entry per rule.
const std::vector<Rule>& Rules();

}  // namespace addnorm::test::parallel
#endif  // ADDNORM_TESTS_PARALLEL_RULES_H_
