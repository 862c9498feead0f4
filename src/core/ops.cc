// SPDX-License-Identifier: Apache-2.0
// The named operators: each fills a problem and computes nothing.
#include "addnorm/addnorm.h"

namespace addnorm {
namespace {

constexpr ArgName kPlainNames[] = {{"x0", "x"}};
constexpr ArgName kAddNames[] = {{"x0", "x1"}, {"residual", "x2"}, {"prenorm", "sum"}};
constexpr ArgName kAddGradNames[] = {{"x0", "x1"},        {"residual", "x2"},    {"weight", "gamma"},
                                     {"dresidual", "dx"}, {"dweight", "dgamma"}, {"dbias", "dbeta"}};
constexpr ArgName kBackwardNames[] = {
    {"dy", "grad_out"}, {"prenorm", "input"}, {"dresidual", "grad_input"}, {"dweight", "grad_weight"}, {"dbias", "grad_bias"}};

ForwardProblem Norm(const char* api, NormKind kind, TensorView x, TensorView weight, TensorView bias, double eps, TensorView y) {
  ForwardProblem p;
  p.api = api;
  p.names = kPlainNames;
  p.norm = {kind, eps, false};
  p.pre.x0 = x;
  p.weight = weight;
  p.bias = bias;
  p.y = y;
  return p;
}

ForwardProblem AddNorm(const char* api, NormKind kind, TensorView x1, TensorView x2, TensorView weight, TensorView bias, double eps,
                       TensorView y, TensorView sum) {
  ForwardProblem p = Norm(api, kind, x1, weight, bias, eps, y);
  p.names = kAddNames;
  p.pre.residual = x2;
  p.prenorm = sum;
  return p;
}

}  // namespace

ForwardProblem LayerNorm(TensorView x, TensorView weight, TensorView bias, double eps, TensorView y, int normalized_rank) {
  ForwardProblem p = Norm("layer_norm", NormKind::kLayer, x, weight, bias, eps, y);
  p.normalized_rank = normalized_rank;
  return p;
}

ForwardProblem RmsNorm(TensorView x, TensorView weight, double eps, TensorView y, int normalized_rank) {
  ForwardProblem p = Norm("rms_norm", NormKind::kRms, x, weight, {}, eps, y);
  p.normalized_rank = normalized_rank;
  return p;
}

ForwardProblem AddLayerNorm(TensorView x1, TensorView x2, TensorView weight, TensorView bias, double eps, TensorView y, TensorView sum) {
  return AddNorm("add_layer_norm", NormKind::kLayer, x1, x2, weight, bias, eps, y, sum);
}

ForwardProblem AddRmsNorm(TensorView x1, TensorView x2, TensorView weight, double eps, TensorView y, TensorView sum) {
  return AddNorm("add_rms_norm", NormKind::kRms, x1, x2, weight, {}, eps, y, sum);
}

BackwardProblem AddLayerNormGrad(TensorView dy, TensorView x1, TensorView x2, TensorView rstd, TensorView mean, TensorView gamma,
                                 TensorView dsum, TensorView dx, TensorView dgamma, TensorView dbeta) {
  BackwardProblem p;
  p.api = "add_layer_norm_grad";
  p.names = kAddGradNames;
  p.normalized_rank = gamma ? static_cast<int>(gamma.shape.size()) : dgamma ? static_cast<int>(dgamma.shape.size()) : 1;
  p.dy = dy;
  p.pre.x0 = x1;
  p.pre.residual = x2;
  p.rstd = rstd;
  p.mean = mean;
  p.statistics = BackwardProblem::Statistics::kGiven;
  p.weight = gamma;
  p.dsum = dsum;
  p.dresidual = dx;
  p.dweight = dgamma;
  p.dbias = dbeta;
  return p;
}

BackwardProblem LayerNormBackward(TensorView grad_out, TensorView input, int normalized_rank, TensorView mean, TensorView rstd,
                                  TensorView weight, TensorView grad_input, TensorView grad_weight, TensorView grad_bias) {
  BackwardProblem p;
  p.api = "layer_norm_backward";
  p.names = kBackwardNames;
  p.normalized_rank = normalized_rank;
  p.dy = grad_out;
  p.prenorm = input;
  p.mean = mean;
  p.rstd = rstd;
  p.statistics = BackwardProblem::Statistics::kGiven;
  p.weight = weight;
  p.dresidual = grad_input;
  p.dweight = grad_weight;
  p.dbias = grad_bias;
  return p;
}

}  // namespace addnorm
