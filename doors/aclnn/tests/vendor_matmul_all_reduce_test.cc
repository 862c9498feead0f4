// SPDX-License-Identifier: Apache-2.0
// The tensor-parallel operators in a program as users of CANN write them: one process, a thread, context and stream per virtual device,
// nothing included but the operator's own header, by the path that lies next to CANN's sources. Built once per operator (ADDNORM_SAMPLE),
// as C++17, without our compiler flags; the argument is the number of ranks, 8 without one. Results are compared with exact sums.
#if ADDNORM_SAMPLE == 0
#include "../op_host/op_api/aclnn_matmul_all_reduce_add_rms_norm.h"
#elif ADDNORM_SAMPLE == 1
#include "../op_host/op_api/aclnn_quant_matmul_all_reduce_add_rms_norm.h"
#elif ADDNORM_SAMPLE == 2
#include "../op_host/op_api/aclnn_weight_quant_matmul_all_reduce_add_rms_norm.h"
#elif ADDNORM_SAMPLE == 3
#include "../op_host/op_api/aclnn_inplace_matmul_all_reduce_add_rms_norm.h"
#elif ADDNORM_SAMPLE == 4
#include "../op_host/op_api/aclnn_inplace_quant_matmul_all_reduce_add_rms_norm.h"
#else
#include "../op_host/op_api/aclnn_inplace_weight_quant_matmul_all_reduce_add_rms_norm.h"
#endif

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <thread>
#include <vector>

#define CHECK_RET(cond, return_expr) \
  do {                               \
    if (!(cond)) {                   \
      return_expr;                   \
    }                                \
  } while (0)

#define LOG_PRINT(message, ...)     \
  do {                              \
    printf(message, ##__VA_ARGS__); \
  } while (0)

namespace {

constexpr bool kInplace = ADDNORM_SAMPLE >= 3, kQuant = ADDNORM_SAMPLE % 3 == 1, kWeightQuant = ADDNORM_SAMPLE % 3 == 2;
constexpr int kMaxDev = 8, kTimeout = 10000;
constexpr int64_t kB = 2, kS = 5, kK = 96, kN = 40, kGroupSize = 64, kGroups = 2;
constexpr double kEpsilon = 1e-5;

struct Args {
  uint32_t rankId;
  HcclComm hcclComm;
  aclrtStream stream;
  aclrtContext context;
};

// Small whole and half numbers, other ones on each rank: every sum below is exact in float16.
int Number(int64_t i, int64_t step, int64_t range) { return static_cast<int>(i * step % (2 * range + 1) - range); }
int X1(uint32_t rank, int64_t row, int64_t k) { return Number(row * 17 + k * 5 + rank, 7, 2); }
int X2(uint32_t rank, int64_t k, int64_t n) { return Number(k * 3 + n * 11 + 2 * rank, 5, 2); }
int Bias(uint32_t rank, int64_t n) { return Number(n + rank, 3, 3); }
double Residual(int64_t row, int64_t n) { return 0.5 * Number(row * 7 + n, 11, 9); }
double Gamma(int64_t n) { return 0.5 + 0.25 * static_cast<double>(n % 5); }
double Scale(int64_t group, int64_t n) { return kWeightQuant ? (group + n) % 2 == 0 ? 0.5 : 1 : kQuant ? 0.25 : 1; }
int Offset(int64_t group, int64_t n) { return kWeightQuant ? static_cast<int>((group * 3 + n) % 3) - 1 : 0; }

double Sum(uint32_t ranks, int64_t row, int64_t n) {
  double sum = 0;
  for (uint32_t rank = 0; rank < ranks; rank++) {
    double part = 0;
    for (int64_t k = 0; k < kK; k++) {
      const int64_t group = k / kGroupSize;
      part += X1(rank, row, k) * (X2(rank, k, n) + Offset(group, n)) * (kQuant ? 1 : Scale(group, n));
    }
    sum += (part + Bias(rank, n)) * (kQuant ? Scale(0, n) : 1);
  }
  return sum;
}

struct DeviceTensor {
  void* addr = nullptr;
  aclTensor* tensor = nullptr;
  ~DeviceTensor() {
    if (tensor != nullptr) aclDestroyTensor(tensor);
    if (addr != nullptr) aclrtFree(addr);
  }
};

template <typename T>
int CreateAclTensor(const std::vector<T>& hostData, const std::vector<int64_t>& shape, aclDataType dataType, DeviceTensor* out,
                    bool transposed = false) {
  auto size = hostData.size() * sizeof(T);
  auto ret = aclrtMalloc(&out->addr, size, ACL_MEM_MALLOC_HUGE_FIRST);
  CHECK_RET(ret == ACL_SUCCESS, LOG_PRINT("[ERROR] aclrtMalloc failed. ret: %d\n", ret); return ret);
  ret = aclrtMemcpy(out->addr, size, hostData.data(), size, ACL_MEMCPY_HOST_TO_DEVICE);
  CHECK_RET(ret == ACL_SUCCESS, LOG_PRINT("[ERROR] aclrtMemcpy failed. ret: %d\n", ret); return ret);
  std::vector<int64_t> strides(shape.size(), 1), storage = shape;
  for (int64_t i = static_cast<int64_t>(shape.size()) - 2; i >= 0; i--) {
    strides[i] = shape[i + 1] * strides[i + 1];
  }
  if (transposed) {
    strides = {1, shape[0]};
    storage = {shape[1], shape[0]};
  }
  out->tensor = aclCreateTensor(shape.data(), shape.size(), dataType, strides.data(), 0, aclFormat::ACL_FORMAT_ND, storage.data(),
                                storage.size(), out->addr);
  CHECK_RET(out->tensor != nullptr, return -1);
  return 0;
}

// row-major numbers in the type of a tensor
template <typename T, typename Value>
std::vector<T> Fill(int64_t rows, int64_t cols, T (*convert)(float), Value value) {
  std::vector<T> data(rows * cols);
  for (int64_t i = 0; i < rows * cols; i++) {
    data[i] = convert(static_cast<float>(value(i / cols, i % cols)));
  }
  return data;
}
aclFloat16 Half(float value) { return aclFloatToFloat16(value); }
int8_t Int8(float value) { return static_cast<int8_t>(value); }
int32_t Int32(float value) { return static_cast<int32_t>(value); }
uint64_t Word(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

int CompareResults(const Args& args, uint32_t ranks, const DeviceTensor& tY, const DeviceTensor& tNormOut) {
  const int64_t count = kB * kS * kN;
  std::vector<aclFloat16> y(count), normOut(count);
  auto ret = aclrtMemcpy(y.data(), count * sizeof(y[0]), tY.addr, count * sizeof(y[0]), ACL_MEMCPY_DEVICE_TO_HOST);
  CHECK_RET(ret == ACL_SUCCESS, LOG_PRINT("[ERROR] aclrtMemcpy failed. ret: %d\n", ret); return ret);
  ret = aclrtMemcpy(normOut.data(), count * sizeof(y[0]), tNormOut.addr, count * sizeof(y[0]), ACL_MEMCPY_DEVICE_TO_HOST);
  CHECK_RET(ret == ACL_SUCCESS, LOG_PRINT("[ERROR] aclrtMemcpy failed. ret: %d\n", ret); return ret);
  for (int64_t row = 0; row < kB * kS; row++) {
    double squares = 0;
    for (int64_t n = 0; n < kN; n++) {
      const double value = Sum(ranks, row, n) + Residual(row, n);
      squares += value * value / kN;
    }
    for (int64_t n = 0; n < kN; n++) {
      const double value = Sum(ranks, row, n) + Residual(row, n), norm = value / std::sqrt(squares + kEpsilon) * Gamma(n);
      const double gotY = aclFloat16ToFloat(y[row * kN + n]), gotNorm = aclFloat16ToFloat(normOut[row * kN + n]);
      CHECK_RET(gotY == value && std::fabs(gotNorm - norm) <= 1e-3 * (1e-3 + std::fabs(norm)),
                LOG_PRINT("[ERROR] rank %u [%ld, %ld]: y %g, normOut %g, expected %g, %g\n", args.rankId, static_cast<long>(row),
                          static_cast<long>(n), gotY, gotNorm, value, norm);
                return -1);
    }
  }
  return 0;
}

int LaunchOneThread(Args& args, uint32_t ranks) {
  auto ret = aclrtSetCurrentContext(args.context);
  CHECK_RET(ret == ACL_SUCCESS, LOG_PRINT("[ERROR] aclrtSetCurrentContext failed. ret: %d\n", ret); return ret);
  char hcomName[128];
  auto hcclRet = HcclGetCommName(args.hcclComm, hcomName);
  CHECK_RET(hcclRet == HCCL_SUCCESS, LOG_PRINT("[ERROR] HcclGetCommName failed. ret: %d\n", hcclRet); return -1);

  const uint32_t rank = args.rankId;
  DeviceTensor x1, x2, bias, residual, gamma, y, normOut, scale, offset;
  const std::vector<int64_t> outShape = {kB, kS, kN};
  const auto x1Value = [&](int64_t row, int64_t k) { return X1(rank, row, k); };
  const auto x2Value = [&](int64_t k, int64_t n) { return X2(rank, k, n); };
  const auto turned = [&](int64_t n, int64_t k) { return X2(rank, k, n); };
  const auto biasValue = [&](int64_t, int64_t n) { return Bias(rank, n); };
  const auto zero = [](int64_t, int64_t) { return 0; };
  ret = 0;
  if (kQuant) {
    ret |= CreateAclTensor(Fill(kB * kS, kK, Int8, x1Value), {kB, kS, kK}, ACL_INT8, &x1) |
           CreateAclTensor(Fill(kN, kK, Int8, turned), {kK, kN}, ACL_INT8, &x2, true) |
           CreateAclTensor(Fill(1, kN, Int32, biasValue), {kN}, ACL_INT32, &bias) |
           CreateAclTensor(Fill(1, kN, Word, [](int64_t, int64_t n) { return Scale(0, n); }), {kN}, ACL_INT64, &scale);
  } else {
    ret |= CreateAclTensor(Fill(kB * kS, kK, Half, x1Value), {kB * kS, kK}, ACL_FLOAT16, &x1) |
           CreateAclTensor(Fill(1, kN, Half, biasValue), {kN}, ACL_FLOAT16, &bias);
    ret |= kWeightQuant ? CreateAclTensor(Fill(kK, kN, Int8, x2Value), {kK, kN}, ACL_INT8, &x2)
                        : CreateAclTensor(Fill(kK, kN, Half, x2Value), {kK, kN}, ACL_FLOAT16, &x2);
    ret |= CreateAclTensor(Fill(kGroups, kN, Half, Scale), {kGroups, kN}, ACL_FLOAT16, &scale) |
           CreateAclTensor(Fill(kGroups, kN, Half, Offset), {kGroups, kN}, ACL_FLOAT16, &offset);
  }
  ret |= CreateAclTensor(Fill(kB * kS, kN, Half, Residual), outShape, ACL_FLOAT16, &residual) |
         CreateAclTensor(Fill(1, kN, Half, [](int64_t, int64_t n) { return Gamma(n); }), {kN}, ACL_FLOAT16, &gamma) |
         CreateAclTensor(Fill(kB * kS, kN, Half, zero), outShape, ACL_FLOAT16, &y) |
         CreateAclTensor(Fill(kB * kS, kN, Half, zero), outShape, ACL_FLOAT16, &normOut);
  CHECK_RET(ret == ACL_SUCCESS, return ret);

  int64_t commTurn = 0;
  int64_t streamMode = 1;
  uint64_t workspaceSize = 0;
  aclOpExecutor* executor = nullptr;
#if ADDNORM_SAMPLE == 0
  const auto run = aclnnMatmulAllReduceAddRmsNorm;
  ret = aclnnMatmulAllReduceAddRmsNormGetWorkspaceSize(x1.tensor, x2.tensor, bias.tensor, residual.tensor, gamma.tensor, kEpsilon, hcomName,
                                                       "sum", commTurn, streamMode, y.tensor, normOut.tensor, &workspaceSize, &executor);
#elif ADDNORM_SAMPLE == 1
  const auto run = aclnnQuantMatmulAllReduceAddRmsNorm;
  ret = aclnnQuantMatmulAllReduceAddRmsNormGetWorkspaceSize(x1.tensor, x2.tensor, bias.tensor, scale.tensor, residual.tensor, gamma.tensor,
                                                            kEpsilon, hcomName, "sum", commTurn, streamMode, y.tensor, normOut.tensor,
                                                            &workspaceSize, &executor);
#elif ADDNORM_SAMPLE == 2
  const auto run = aclnnWeightQuantMatmulAllReduceAddRmsNorm;
  ret = aclnnWeightQuantMatmulAllReduceAddRmsNormGetWorkspaceSize(
      x1.tensor, x2.tensor, bias.tensor, scale.tensor, offset.tensor, residual.tensor, gamma.tensor, kEpsilon, hcomName, "sum", commTurn,
      streamMode, kGroupSize, y.tensor, normOut.tensor, &workspaceSize, &executor);
#elif ADDNORM_SAMPLE == 3
  const auto run = aclnnInplaceMatmulAllReduceAddRmsNorm;
  ret = aclnnInplaceMatmulAllReduceAddRmsNormGetWorkspaceSize(x1.tensor, x2.tensor, bias.tensor, residual.tensor, gamma.tensor, kEpsilon,
                                                              hcomName, "sum", commTurn, streamMode, normOut.tensor, &workspaceSize,
                                                              &executor);
#elif ADDNORM_SAMPLE == 4
  const auto run = aclnnInplaceQuantMatmulAllReduceAddRmsNorm;
  ret = aclnnInplaceQuantMatmulAllReduceAddRmsNormGetWorkspaceSize(x1.tensor, x2.tensor, bias.tensor, scale.tensor, residual.tensor,
                                                                   gamma.tensor, kEpsilon, hcomName, "sum", commTurn, streamMode,
                                                                   normOut.tensor, &workspaceSize, &executor);
#else
  const auto run = aclnnInplaceWeightQuantMatmulAllReduceAddRmsNorm;
  ret = aclnnInplaceWeightQuantMatmulAllReduceAddRmsNormGetWorkspaceSize(x1.tensor, x2.tensor, bias.tensor, scale.tensor, offset.tensor,
                                                                         residual.tensor, gamma.tensor, kEpsilon, hcomName, "sum", commTurn,
                                                                         streamMode, kGroupSize, normOut.tensor, &workspaceSize, &executor);
#endif
  CHECK_RET(ret == ACL_SUCCESS, LOG_PRINT("[ERROR] GetWorkspaceSize failed. ret: %d %s\n", ret, aclGetRecentErrMsg()); return ret);
  std::unique_ptr<void, aclError (*)(void*)> workspace(nullptr, aclrtFree);
  void* workspaceAddr = nullptr;
  if (workspaceSize > 0) {
    ret = aclrtMalloc(&workspaceAddr, workspaceSize, ACL_MEM_MALLOC_HUGE_FIRST);
    CHECK_RET(ret == ACL_SUCCESS, LOG_PRINT("[ERROR] aclrtMalloc workspace failed. ret: %d\n", ret); return ret);
    workspace.reset(workspaceAddr);
  }
  ret = run(workspaceAddr, workspaceSize, executor, args.stream);
  CHECK_RET(ret == ACL_SUCCESS, LOG_PRINT("[ERROR] second phase failed. ret: %d\n", ret); return ret);
  ret = aclrtSynchronizeStreamWithTimeout(args.stream, kTimeout);
  CHECK_RET(ret == ACL_SUCCESS, LOG_PRINT("[ERROR] aclrtSynchronizeStreamWithTimeout failed. ret: %d %s\n", ret, aclGetRecentErrMsg());
            return ret);
  return CompareResults(args, ranks, kInplace ? residual : y, normOut);
}

int RunOneThread(Args& args, uint32_t ranks) {
  int ret = LaunchOneThread(args, ranks);
  ret |= aclrtDestroyStream(args.stream);
  ret |= HcclCommDestroy(args.hcclComm);
  ret |= aclrtDestroyContext(args.context);
  ret |= aclrtResetDevice(static_cast<int32_t>(args.rankId));
  return ret;
}

}  // namespace

int main(int argc, char** argv) {
  const uint32_t ndev = argc > 1 ? static_cast<uint32_t>(std::atoi(argv[1])) : kMaxDev;
  auto ret = aclInit(nullptr);
  CHECK_RET(ret == ACL_SUCCESS, LOG_PRINT("[ERROR] aclInit failed. ret: %d\n", ret); return ret);
  int32_t devices[kMaxDev];
  for (uint32_t i = 0; i < ndev; i++) {
    ret = aclrtSetDevice(static_cast<int32_t>(i));
    CHECK_RET(ret == ACL_SUCCESS, LOG_PRINT("[ERROR] aclrtSetDevice failed. ret: %d\n", ret); return ret);
    devices[i] = static_cast<int32_t>(i);
  }
  HcclComm comms[kMaxDev];
  ret = HcclCommInitAll(ndev, devices, comms);
  CHECK_RET(ret == ACL_SUCCESS, LOG_PRINT("[ERROR] HcclCommInitAll failed. ret: %d\n", ret); return ret);
  Args args[kMaxDev];
  int results[kMaxDev] = {};
  for (uint32_t rankId = 0; rankId < ndev; rankId++) {
    ret = aclrtSetDevice(static_cast<int32_t>(rankId));
    CHECK_RET(ret == ACL_SUCCESS, LOG_PRINT("[ERROR] aclrtSetDevice failed. ret: %d\n", ret); return ret);
    ret = aclrtCreateContext(&args[rankId].context, static_cast<int32_t>(rankId));
    CHECK_RET(ret == ACL_SUCCESS, LOG_PRINT("[ERROR] aclrtCreateContext failed. ret: %d\n", ret); return ret);
    ret = aclrtCreateStream(&args[rankId].stream);
    CHECK_RET(ret == ACL_SUCCESS, LOG_PRINT("[ERROR] aclrtCreateStream failed. ret: %d\n", ret); return ret);
    args[rankId].rankId = rankId;
    args[rankId].hcclComm = comms[rankId];
  }
  std::vector<std::unique_ptr<std::thread>> threads(ndev);
  for (uint32_t rankId = 0; rankId < ndev; rankId++) {
    threads[rankId].reset(new std::thread([&, rankId] { results[rankId] = RunOneThread(args[rankId], ndev); }));
  }
  int failed = 0;
  for (uint32_t rankId = 0; rankId < ndev; rankId++) {
    threads[rankId]->join();
    failed += results[rankId] != 0;
  }
  aclFinalize();
  LOG_PRINT("%u ranks, %d failed\n", ndev, failed);
  return failed;
}
