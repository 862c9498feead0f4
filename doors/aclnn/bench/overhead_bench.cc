// SPDX-License-Identifier: Apache-2.0
// What the door costs over the core's direct call: phase 1 + phase 2 on an idle stream beside MakePlan + Run, at 1x64 and beyond, for
// LayerNormBackward and AddLayerNormGrad. The two are timed in turns; the figure is the median difference.
// usage: aclnn_bench [ROUNDS] [--json FILE]. The goal is an overhead of at most 2 microseconds at 1x64; missing it is printed, and no
// error.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "acl/acl.h"
#include "aclnnop/aclnn_add_layer_norm_grad.h"
#include "aclnnop/aclnn_layer_norm_backward.h"
#include "addnorm/addnorm.h"

namespace {

constexpr double kLimitNs = 2000;
constexpr int kCallsPerRound = 200;

double Now() { return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

struct Problem {
  Problem(int64_t rows, int64_t cols) : full_shape{rows, cols}, stat_shape{rows, 1}, cols_shape{cols} {
    const auto count = static_cast<size_t>(rows * cols);
    for (std::vector<float>* each : {&dy, &x1, &x2, &dx}) each->assign(count, 0.5f);
    for (size_t i = 0; i < count; ++i) x1[i] = static_cast<float>(i % 13) - 6.0f, dy[i] = static_cast<float>(i % 7) - 3.0f;
    mean.assign(static_cast<size_t>(rows), 0.1f), rstd.assign(static_cast<size_t>(rows), 0.3f);
    for (std::vector<float>* each : {&gamma, &dgamma, &dbeta}) each->assign(static_cast<size_t>(cols), 1.0f);
    const auto tensor = [](const std::vector<int64_t>& shape, std::vector<float>& data) {
      return aclCreateTensor(shape.data(), shape.size(), ACL_FLOAT, nullptr, 0, ACL_FORMAT_ND, shape.data(), shape.size(), data.data());
    };
    t_dy = tensor(full_shape, dy), t_x1 = tensor(full_shape, x1), t_x2 = tensor(full_shape, x2), t_dx = tensor(full_shape, dx);
    t_mean = tensor(stat_shape, mean), t_rstd = tensor(stat_shape, rstd);
    t_gamma = tensor(cols_shape, gamma), t_dgamma = tensor(cols_shape, dgamma), t_dbeta = tensor(cols_shape, dbeta);
    normalized = aclCreateIntArray(cols_shape.data(), 1);
    const bool all[3] = {true, true, true};
    mask = aclCreateBoolArray(all, 3);
    workspace.resize(size_t{1} << 26);
  }
  ~Problem() {
    for (aclTensor* t : {t_dy, t_x1, t_x2, t_dx, t_mean, t_rstd, t_gamma, t_dgamma, t_dbeta}) aclDestroyTensor(t);
    aclDestroyIntArray(normalized);
    aclDestroyBoolArray(mask);
  }
  Problem(const Problem&) = delete;

  bool Door(bool add, aclrtStream stream) {
    uint64_t size = 0;
    aclOpExecutor* executor = nullptr;
    if (add) {
      return aclnnAddLayerNormGradGetWorkspaceSize(t_dy, t_x1, t_x2, t_rstd, t_mean, t_gamma, nullptr, t_dx, t_dgamma, t_dbeta, &size,
                                                   &executor) == 0 &&
             size <= workspace.size() && aclnnAddLayerNormGrad(workspace.data(), workspace.size(), executor, stream) == 0;
    }
    return aclnnLayerNormBackwardGetWorkspaceSize(t_dy, t_x1, normalized, t_mean, t_rstd, t_gamma, nullptr, mask, t_dx, t_dgamma, t_dbeta,
                                                  &size, &executor) == 0 &&
           size <= workspace.size() && aclnnLayerNormBackward(workspace.data(), workspace.size(), executor, stream) == 0;
  }

  bool Core(bool add) {
    using namespace addnorm;
    const auto view = [](std::vector<float>& data, const std::vector<int64_t>& shape) {
      return TensorView{data.data(), DType::kF32, {shape.data(), shape.size()}, {}};
    };
    const TensorView v_dx = view(dx, full_shape), v_dgamma = view(dgamma, cols_shape), v_dbeta = view(dbeta, cols_shape);
    Plan plan;
    const BackwardProblem problem =
        add ? AddLayerNormGrad(view(dy, full_shape), view(x1, full_shape), view(x2, full_shape), view(rstd, stat_shape),
                               view(mean, stat_shape), view(gamma, cols_shape), {}, v_dx, v_dgamma, v_dbeta)
            : LayerNormBackward(view(dy, full_shape), view(x1, full_shape), 1, view(mean, stat_shape), view(rstd, stat_shape),
                                view(gamma, cols_shape), v_dx, v_dgamma, v_dbeta);
    return MakePlan(problem, &plan).ok() && plan.workspace_bytes(DefaultExecutor()) <= workspace.size() &&
           plan.Run({workspace.data(), workspace.size()}, DefaultExecutor()).ok();
  }

  std::vector<int64_t> full_shape, stat_shape, cols_shape;
  std::vector<float> dy, x1, x2, dx, mean, rstd, gamma, dgamma, dbeta;
  aclTensor *t_dy, *t_x1, *t_x2, *t_dx, *t_mean, *t_rstd, *t_gamma, *t_dgamma, *t_dbeta;
  aclIntArray* normalized;
  aclBoolArray* mask;
  std::vector<std::byte> workspace;
};

template <class Call>
double NsPerCall(int calls, Call call) {
  const double start = Now();
  for (int i = 0; i < calls; ++i) {
    if (!call()) {
      const char* text = aclGetRecentErrMsg();
      std::fprintf(stderr, "refused: %s\n", text != nullptr ? text : "by the core");
      std::exit(2);
    }
  }
  return (Now() - start) / calls;
}

}  // namespace

int main(int argc, char** argv) {
  int rounds = 200;
  const char* json_path = nullptr;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--json") == 0 && i + 1 < argc) {
      json_path = argv[++i];
    } else {
      rounds = std::atoi(argv[i]);
    }
  }
  if (rounds < 1) {
    std::fprintf(stderr, "usage: %s [ROUNDS] [--json FILE]\n", argv[0]);
    return 2;
  }
  aclrtStream stream = nullptr;
  if (aclrtSetDevice(0) != ACL_SUCCESS || aclrtCreateStream(&stream) != ACL_SUCCESS) return 2;
  bool within = true;
  std::string json;
  std::printf("%-20s %10s %14s %14s %14s\n", "operator", "shape", "core ns", "door ns", "overhead ns");
  for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{1, 64}, {8, 768}, {64, 1024}}) {
    for (const bool add : {false, true}) {
      Problem problem(rows, cols);
      const int calls = rows * cols > 10000 ? 20 : kCallsPerRound;
      std::vector<double> core, door, difference;
      for (int round = -2; round < rounds; ++round) {
        const double c = NsPerCall(calls, [&] { return problem.Core(add); }),
                     d = NsPerCall(calls, [&] { return problem.Door(add, stream); });
        if (round < 0) continue;  // warm-up
        core.push_back(c), door.push_back(d), difference.push_back(d - c);
      }
      const double overhead = Median(difference);
      char shape[32];
      std::snprintf(shape, sizeof shape, "%lldx%lld", static_cast<long long>(rows), static_cast<long long>(cols));
      std::printf("%-20s %10s %14.0f %14.0f %14.0f\n", add ? "AddLayerNormGrad" : "LayerNormBackward", shape, Median(core), Median(door),
                  overhead);
      if (rows == 1) within = within && overhead <= kLimitNs;
      char line[200];
      std::snprintf(line, sizeof line, "%s\n  {\"problem\": \"%s %s\", \"core_ns\": %.0f, \"door_ns\": %.0f, \"overhead_ns\": %.0f}",
                    json.empty() ? "" : ",", add ? "AddLayerNormGrad" : "LayerNormBackward", shape, Median(core), Median(door), overhead);
      json += line;
    }
  }
  aclrtDestroyStream(stream);
  std::printf("overhead at 1x64 <= %.0f ns: %s\n", kLimitNs, within ? "ok" : "MISSED");
  if (json_path == nullptr) return 0;
  std::FILE* file = std::fopen(json_path, "w");
  const bool written = file != nullptr && std::fprintf(file, "{\"program\": \"aclnn_bench\", \"measurements\": [%s]}\n", json.c_str()) > 0;
  if (file == nullptr || std::fclose(file) != 0 || !written) {
    std::fprintf(stderr, "cannot write %s\n", json_path);
    return 1;
  }
  return 0;
}
