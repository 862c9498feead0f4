// SPDX-License-Identifier: Apache-2.0
// The schemas of torch.ops.addnorm. Every operator is pure: it returns new contiguous tensors, never an argument or a view of one, and
// randomness comes in as `seed`. An output that was not asked for is a tensor of size 0.
//
// `forward` and `backward` are `dropout_add_norm` and `dropout_add_norm_backward` under names that never get an autograd formula: torch
// enters a formula registered in Python even where no gradient is wanted, which would double the price of a small call.
#include <string>

#include "addnorm/addnorm.h"
#include "doors/torch/kernels.h"

namespace {

// One line per fact: key, '=', value.
std::string BuildInfo() {
  std::string text = "version=";
  text += addnorm::Version();
  text += "\ntarget=";
  text += addnorm::CurrentTarget();
  text += "\ntargets=";
  const char* separator = "";
  for (const char* name : addnorm::AvailableTargets()) {
    text += separator;
    text += name;
    separator = ",";
  }
  return text;
}

// y = norm(h) * weight + bias; prenorm = h in residual's type (else float32 if residual_in_fp32, else x0's);
// mask = kept; stats = [mean, mean_lo, rstd] of each row, or [rstd] for RMSNorm, as the backward takes them.
#define ADDNORM_FORWARD_SCHEMA                                                                                                    \
  "(Tensor x0, Tensor? residual, Tensor? weight, Tensor? bias, float eps, bool is_rms_norm=False, bool want_prenorm=False, "      \
  "bool want_stats=False, Tensor? rowscale=None, Tensor? layerscale=None, Tensor? seed=None, float p=0.0, bool want_mask=False, " \
  "bool residual_in_fp32=False, bool norm_from_rounded=False, int normalized_rank=1) "                                            \
  "-> (Tensor y, Tensor prenorm, Tensor mask, Tensor stats)"

// h is `prenorm` where given, else formed again from x0, residual, the scales and seed. stats None = derived again from h.
// output_mask: x0, residual, weight, bias, rowscale, layerscale. x0 is needed for the last two. Of bias only the type is used.
#define ADDNORM_BACKWARD_SCHEMA                                                                                                  \
  "(Tensor dy, Tensor? dprenorm, Tensor? prenorm, Tensor? stats, Tensor? weight, Tensor? bias, float eps, bool[6] output_mask, " \
  "bool is_rms_norm=False, Tensor? x0=None, Tensor? residual=None, Tensor? rowscale=None, Tensor? layerscale=None, "             \
  "Tensor? seed=None, float p=0.0, bool residual_in_fp32=False, bool norm_from_rounded=False, int normalized_rank=1) "           \
  "-> (Tensor dx0, Tensor dresidual, Tensor dweight, Tensor dbias, Tensor drowscale, Tensor dlayerscale)"

}  // namespace

STABLE_TORCH_LIBRARY(addnorm, library) {
  library.def("forward" ADDNORM_FORWARD_SCHEMA);
  library.def("backward" ADDNORM_BACKWARD_SCHEMA);
  library.def("dropout_add_norm" ADDNORM_FORWARD_SCHEMA);
  library.def("dropout_add_norm_backward" ADDNORM_BACKWARD_SCHEMA);
  library.def(
      "add_layer_norm_grad(Tensor dy, Tensor x1, Tensor x2, Tensor rstd, Tensor mean, Tensor? gamma=None, Tensor? dsum=None, "
      "int normalized_rank=1, bool in_gamma_dtype=False) -> (Tensor dx, Tensor dgamma, Tensor dbeta)");
  library.def(
      "layer_norm_backward(Tensor grad_out, Tensor input, int normalized_rank, Tensor mean, Tensor rstd, Tensor? weight=None, "
      "Tensor? bias=None, bool[3] output_mask=[True, True, True]) -> (Tensor grad_input, Tensor grad_weight, Tensor grad_bias)");
  library.def("build_info() -> str");
}

STABLE_TORCH_LIBRARY_IMPL(addnorm, CPU, library) {
  using namespace addnorm::torch_door;
  library.impl("forward", &DropoutAddNorm);
  library.impl("backward", &DropoutAddNormBackward);
  library.impl("dropout_add_norm", &DropoutAddNorm);
  library.impl("dropout_add_norm_backward", &DropoutAddNormBackward);
  library.impl("add_layer_norm_grad", &AddLayerNormGrad);
  library.impl("layer_norm_backward", &LayerNormBackward);
}

STABLE_TORCH_LIBRARY_IMPL(addnorm, CompositeExplicitAutograd, library) { library.impl("build_info", TORCH_BOX(&BuildInfo)); }
