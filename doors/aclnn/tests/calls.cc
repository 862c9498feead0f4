// SPDX-License-Identifier: Apache-2.0
#include "doors/aclnn/tests/calls.h"

namespace addnorm::aclnn_test {

const OpInfo& InfoOf(Op op) {
  static const OpInfo infos[] = {
      {"aclnnLayerNormBackward",
       {"gradOut", "input", "mean", "rstd", "weightOptional", "biasOptional"},
       {"gradInputOut", "gradWeightOut", "gradBiasOut"},
       aclnnLayerNormBackward},
      {"aclnnAddLayerNormGrad",
       {"dy", "x1", "x2", "rstd", "mean", "gamma", "dsumOptional"},
       {"dxOut", "dgammaOut", "dbetaOut"},
       aclnnAddLayerNormGrad},
      {"aclnnLayerNorm", {"input", "weightOptional", "biasOptional"}, {"out", "meanOutOptional", "rstdOutOptional"}, aclnnLayerNorm},
      {"aclnnAddLayerNorm", {"x1", "x2", "gamma", "beta", "biasOptional"}, {"yOut", "meanOut", "rstdOut", "xOut"}, aclnnAddLayerNorm},
      {"aclnnAddRmsNorm", {"x1", "x2", "gamma"}, {"yOut", "rstdOut", "xOut"}, aclnnAddRmsNorm},
      {"aclnnRmsNorm", {"x", "gamma"}, {"yOut", "rstdOut"}, aclnnRmsNorm},
  };
  return infos[static_cast<size_t>(op)];
}

aclnnStatus OpCall::Phase1(uint64_t* size_out, aclOpExecutor** executor_out) {
  uint64_t* size = null_workspace_size ? nullptr : size_out;
  aclOpExecutor** executor = null_executor ? nullptr : executor_out;
  const auto t = [this](const char* name) { return Handle(name); };
  const IntArrayHandle dims(normalized_shape);
  const BoolArrayHandle wanted(mask);
  const aclIntArray* shape = null_normalized_shape ? nullptr : dims.handle;
  const aclBoolArray* mask_handle = null_mask ? nullptr : wanted.handle;
  switch (op) {
    case Op::kLayerNormBackward:
      return aclnnLayerNormBackwardGetWorkspaceSize(t("gradOut"), t("input"), shape, t("mean"), t("rstd"), t("weightOptional"),
                                                    t("biasOptional"), mask_handle, t("gradInputOut"), t("gradWeightOut"), t("gradBiasOut"),
                                                    size, executor);
    case Op::kAddLayerNormGrad:
      return aclnnAddLayerNormGradGetWorkspaceSize(t("dy"), t("x1"), t("x2"), t("rstd"), t("mean"), t("gamma"), t("dsumOptional"),
                                                   t("dxOut"), t("dgammaOut"), t("dbetaOut"), size, executor);
    case Op::kLayerNorm:
      if (impl_mode) {
        return aclnnLayerNormWithImplModeGetWorkspaceSize(t("input"), shape, t("weightOptional"), t("biasOptional"), eps, t("out"),
                                                          t("meanOutOptional"), t("rstdOutOptional"), *impl_mode, size, executor);
      }
      return aclnnLayerNormGetWorkspaceSize(t("input"), shape, t("weightOptional"), t("biasOptional"), eps, t("out"), t("meanOutOptional"),
                                            t("rstdOutOptional"), size, executor);
    case Op::kAddLayerNorm:
      return aclnnAddLayerNormGetWorkspaceSize(t("x1"), t("x2"), t("gamma"), t("beta"), t("biasOptional"), eps, additional_output,
                                               t("yOut"), t("meanOut"), t("rstdOut"), t("xOut"), size, executor);
    case Op::kAddRmsNorm:
      return aclnnAddRmsNormGetWorkspaceSize(t("x1"), t("x2"), t("gamma"), eps, t("yOut"), t("rstdOut"), t("xOut"), size, executor);
    case Op::kRmsNorm:
      return aclnnRmsNormGetWorkspaceSize(t("x"), t("gamma"), eps, t("yOut"), t("rstdOut"), size, executor);
  }
  return -1;
}

aclnnStatus OpCall::Run() {
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  if (const aclnnStatus status = Phase1(&size, &executor)) return status;
  std::vector<std::byte> workspace(size);
  const aclnnStatus status = Phase2(workspace.empty() ? nullptr : workspace.data(), size, executor, nullptr);
  return status != 0 ? status : aclrtSynchronizeStream(nullptr);
}

OpCall MakeCall(Op op, const Dims& leading, const Dims& normalized, aclDataType type) {
  OpCall call;
  call.op = op;
  call.normalized_shape = normalized;
  Dims full = leading, stat = leading;
  full.insert(full.end(), normalized.begin(), normalized.end());
  stat.resize(full.size(), 1);
  const auto add = [&](std::initializer_list<const char*> names, aclDataType t, const Dims& shape) {
    for (const char* name : names) call.tensors.emplace(name, TestTensor(t, shape));
  };
  switch (op) {
    case Op::kLayerNormBackward:
      add({"gradOut", "input", "gradInputOut"}, type, full);
      add({"mean", "rstd"}, ACL_FLOAT, stat);
      add({"weightOptional", "biasOptional", "gradWeightOut", "gradBiasOut"}, type, normalized);
      break;
    case Op::kAddLayerNormGrad:
      add({"dy", "x1", "x2", "dsumOptional", "dxOut"}, type, full);
      add({"mean", "rstd"}, ACL_FLOAT, stat);
      add({"gamma"}, type, normalized);
      add({"dgammaOut", "dbetaOut"}, ACL_FLOAT, normalized);
      break;
    case Op::kLayerNorm:
      add({"input", "out"}, type, full);
      add({"meanOutOptional", "rstdOutOptional"}, ACL_FLOAT, stat);
      add({"weightOptional", "biasOptional"}, type, normalized);
      break;
    case Op::kAddLayerNorm:
      add({"x1", "x2", "biasOptional", "yOut", "xOut"}, type, full);
      add({"meanOut", "rstdOut"}, ACL_FLOAT, stat);
      add({"gamma", "beta"}, type, normalized);
      break;
    case Op::kAddRmsNorm:
      add({"x1", "x2", "yOut", "xOut"}, type, full);
      add({"rstdOut"}, ACL_FLOAT, stat);
      add({"gamma"}, type, normalized);
      break;
    case Op::kRmsNorm:
      add({"x", "yOut"}, type, full);
      add({"rstdOut"}, ACL_FLOAT, stat);
      add({"gamma"}, type, normalized);
      break;
  }
  return call;
}

}  // namespace addnorm::aclnn_test
