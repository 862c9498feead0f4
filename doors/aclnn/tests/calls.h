// SPDX-License-Identifier: Apache-2.0
// The six operators of this door as data: named operands, attributes, and the two phases behind one interface.
#ifndef ADDNORM_DOORS_ACLNN_TESTS_CALLS_H_
#define ADDNORM_DOORS_ACLNN_TESTS_CALLS_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "aclnnop/aclnn_add_layer_norm.h"
#include "aclnnop/aclnn_add_layer_norm_grad.h"
#include "aclnnop/aclnn_add_rms_norm.h"
#include "aclnnop/aclnn_layer_norm.h"
#include "aclnnop/aclnn_layer_norm_backward.h"
#include "aclnnop/aclnn_rms_norm.h"
#include "doors/aclnn/tests/tensors.h"

namespace addnorm::aclnn_test {

enum class Op { kLayerNormBackward, kAddLayerNormGrad, kLayerNorm, kAddLayerNorm, kAddRmsNorm, kRmsNorm };
inline constexpr Op kAllOps[] = {Op::kLayerNormBackward, Op::kAddLayerNormGrad, Op::kLayerNorm,
                                 Op::kAddLayerNorm,      Op::kAddRmsNorm,       Op::kRmsNorm};

struct OpInfo {
  const char* api;
  std::vector<const char*> inputs, outputs;  // in the order of the parameters
  aclnnStatus (*phase2)(void*, uint64_t, aclOpExecutor*, aclrtStream);
};
const OpInfo& InfoOf(Op op);

// One call of phase 1. Tensors not in the map are passed as null.
struct OpCall {
  Op op = Op::kLayerNormBackward;
  std::map<std::string, TestTensor> tensors;
  std::map<std::string, void*> raw;  // handles that go before the tensors'
  Dims normalized_shape;
  bool null_normalized_shape = false, null_mask = false;
  std::vector<bool> mask{true, true, true};
  double eps = 1e-5;
  std::optional<int32_t> impl_mode;  // of kLayerNorm: the call is aclnnLayerNormWithImplMode's
  bool additional_output = true;
  bool null_workspace_size = false, null_executor = false;

  aclTensor* Handle(const char* name) {
    if (const auto given = raw.find(name); given != raw.end()) return static_cast<aclTensor*>(given->second);
    const auto found = tensors.find(name);
    return found == tensors.end() ? nullptr : found->second.Handle();
  }
  TensorView View(const char* name) {
    const auto found = tensors.find(name);
    return found == tensors.end() ? TensorView{} : found->second.View();
  }
  const char* api() const { return impl_mode ? "aclnnLayerNormWithImplMode" : InfoOf(op).api; }
  // workspaceSize and executor are left alone if it fails; the test may see that.
  aclnnStatus Phase1(uint64_t* workspace_size, aclOpExecutor** executor);
  aclnnStatus Phase2(void* workspace, uint64_t size, aclOpExecutor* executor, aclrtStream stream) const {
    return (impl_mode ? aclnnLayerNormWithImplMode : InfoOf(op).phase2)(workspace, size, executor, stream);
  }
  // Both phases with a workspace of the size asked for, on the default stream.
  aclnnStatus Run();
};

// A valid call with contiguous operands: leading dimensions, normalised dimensions, type of the full tensors.
OpCall MakeCall(Op op, const Dims& leading, const Dims& normalized, aclDataType type);

}  // namespace addnorm::aclnn_test
#endif  // ADDNORM_DOORS_ACLNN_TESTS_CALLS_H_
