// SPDX-License-Identifier: Apache-2.0
// LayerNorm forward and backward through the aclnn interface in C++: two calls per operator, on a stream, with a strided input.
// Prints the gradient of a small layer and checks it against a difference quotient.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <vector>

#include "acl/acl.h"
#include "aclnnop/aclnn_layer_norm.h"
#include "aclnnop/aclnn_layer_norm_backward.h"

namespace {

struct DestroyTensor {
  void operator()(aclTensor* tensor) const { aclDestroyTensor(tensor); }
};
using Tensor = std::unique_ptr<aclTensor, DestroyTensor>;

constexpr int64_t kRows = 3, kCols = 5;

Tensor View(std::vector<int64_t> shape, std::vector<int64_t> strides, std::vector<float>& storage) {
  const int64_t size = static_cast<int64_t>(storage.size());
  return Tensor(aclCreateTensor(shape.data(), shape.size(), ACL_FLOAT, strides.data(), 0, ACL_FORMAT_ND, &size, 1, storage.data()));
}

bool Ok(aclnnStatus status) {
  if (status == ACL_SUCCESS) return true;
  const char* text = aclGetRecentErrMsg();
  std::fprintf(stderr, "status %d: %s\n", status, text != nullptr ? text : "");
  return false;
}

// Runs the second phase `run` of an operator whose first phase asked for `bytes` of workspace.
template <class Phase2>
bool Run(Phase2 run, uint64_t bytes, aclOpExecutor* executor, aclrtStream stream) {
  void* workspace = nullptr;
  if (bytes != 0 && aclrtMalloc(&workspace, bytes, ACL_MEM_MALLOC_HUGE_FIRST) != ACL_SUCCESS) return false;
  const bool ok = Ok(run(workspace, bytes, executor, stream)) && aclrtSynchronizeStream(stream) == ACL_SUCCESS;
  if (workspace != nullptr) aclrtFree(workspace);
  return ok;
}

// x is stored column by column: the strided view is what the operators see.
struct Layer {
  std::vector<float> x = std::vector<float>(kRows * kCols), y = x, mean = std::vector<float>(kRows), rstd = mean;
  std::vector<float> weight{0.5f, 1.0f, 1.5f, 2.0f, -1.0f};
  int64_t normalized[1] = {kCols};

  bool Forward(aclrtStream stream) {
    std::unique_ptr<aclIntArray, aclnnStatus (*)(const aclIntArray*)> dims(aclCreateIntArray(normalized, 1), aclDestroyIntArray);
    Tensor in = View({kRows, kCols}, {1, kRows}, x), out = View({kRows, kCols}, {kCols, 1}, y);
    Tensor m = View({kRows, 1}, {1, 1}, mean), r = View({kRows, 1}, {1, 1}, rstd), w = View({kCols}, {1}, weight);
    uint64_t bytes = 0;
    aclOpExecutor* executor = nullptr;
    return Ok(aclnnLayerNormGetWorkspaceSize(in.get(), dims.get(), w.get(), nullptr, 1e-5, out.get(), m.get(), r.get(), &bytes,
                                             &executor)) &&
           Run(aclnnLayerNorm, bytes, executor, stream);
  }

  bool Backward(aclrtStream stream, std::vector<float>& dy, std::vector<float>& dx, std::vector<float>& dw) {
    const bool mask[3] = {true, true, false};
    std::unique_ptr<aclIntArray, aclnnStatus (*)(const aclIntArray*)> dims(aclCreateIntArray(normalized, 1), aclDestroyIntArray);
    std::unique_ptr<aclBoolArray, aclnnStatus (*)(const aclBoolArray*)> wanted(aclCreateBoolArray(mask, 3), aclDestroyBoolArray);
    Tensor in = View({kRows, kCols}, {1, kRows}, x), grad = View({kRows, kCols}, {kCols, 1}, dy), w = View({kCols}, {1}, weight);
    Tensor m = View({kRows, 1}, {1, 1}, mean), r = View({kRows, 1}, {1, 1}, rstd);
    Tensor grad_in = View({kRows, kCols}, {1, kRows}, dx), grad_w = View({kCols}, {1}, dw);
    uint64_t bytes = 0;
    aclOpExecutor* executor = nullptr;
    return Ok(aclnnLayerNormBackwardGetWorkspaceSize(grad.get(), in.get(), dims.get(), m.get(), r.get(), w.get(), nullptr, wanted.get(),
                                                     grad_in.get(), grad_w.get(), nullptr, &bytes, &executor)) &&
           Run(aclnnLayerNormBackward, bytes, executor, stream);
  }
};

}  // namespace

int main() {
  aclrtStream stream = nullptr;
  if (aclInit(nullptr) != ACL_SUCCESS || aclrtSetDevice(0) != ACL_SUCCESS || aclrtCreateStream(&stream) != ACL_SUCCESS) return 1;
  Layer layer;
  for (size_t i = 0; i < layer.x.size(); ++i) layer.x[i] = std::sin(1.7f * static_cast<float>(i));
  std::vector<float> dy(kRows * kCols), dx(kRows * kCols), dw(kCols);
  for (size_t i = 0; i < dy.size(); ++i) dy[i] = std::cos(0.9f * static_cast<float>(i));
  if (!layer.Forward(stream) || !layer.Backward(stream, dy, dx, dw)) return 1;

  // L = sum(dy y): dL/dx of each element by a central difference.
  float worst = 0;
  for (size_t i = 0; i < layer.x.size(); ++i) {
    const float kept = layer.x[i], step = 1e-2f;
    double loss[2];
    for (int side = 0; side < 2; ++side) {
      layer.x[i] = side == 0 ? kept - step : kept + step;
      if (!layer.Forward(stream)) return 1;
      loss[side] = 0;
      for (size_t k = 0; k < dy.size(); ++k) loss[side] += double{dy[k]} * layer.y[k];
    }
    layer.x[i] = kept;
    worst = std::max(worst, std::fabs(static_cast<float>((loss[1] - loss[0]) / (2 * step)) - dx[i]));
  }
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t i = 0; i < kCols; ++i) std::printf("%9.5f", dx[static_cast<size_t>(i * kRows + r)]);
    std::printf("\n");
  }
  std::printf("largest difference from the difference quotient: %.2e\n", worst);
  if (aclrtDestroyStream(stream) != ACL_SUCCESS || aclrtResetDevice(0) != ACL_SUCCESS || aclFinalize() != ACL_SUCCESS) return 1;
  return worst < 5e-3f ? 0 : 1;
}
