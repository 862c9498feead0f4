// SPDX-License-Identifier: Apache-2.0
// The acl subset: initialisation, devices, contexts, memory, half precision, getters, and misuse of each.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <thread>

#include "aclnn/aclnn_base.h"
#include "doors/aclnn/tests/tensors.h"

namespace addnorm::aclnn_test {
namespace {

void Refused(int got, int want, const std::string& part) {
  EXPECT_EQ(got, want);
  const std::string text = RecentText();
  EXPECT_NE(text.find(part), std::string::npos) << "'" << part << "' in: " << text;
}

TEST(Runtime, InitialiseOnce) {
  Refused(aclFinalize(), ACL_ERROR_UNINITIALIZE, "aclFinalize: rule 100001-1: the interface is not initialised, expected aclInit first");
  EXPECT_EQ(aclInit(nullptr), ACL_SUCCESS);
  Refused(aclInit("config.json"), ACL_ERROR_REPEAT_INITIALIZE,
          "aclInit: rule 100002-1: the interface is initialised already, expected no aclInit before aclFinalize");
  EXPECT_EQ(aclFinalize(), ACL_SUCCESS);
  Refused(aclFinalize(), ACL_ERROR_REPEAT_FINALIZE,
          "aclFinalize: rule 100037-1: the interface is finalised already, expected one aclFinalize");
  EXPECT_EQ(aclInit(nullptr), ACL_SUCCESS);
  EXPECT_EQ(aclnnInit(nullptr), ACLNN_SUCCESS);
  EXPECT_EQ(aclnnFinalize(), ACLNN_SUCCESS);
  EXPECT_EQ(OK, 0);
}

TEST(Runtime, Devices) {
  uint32_t count = 0;
  EXPECT_EQ(aclrtGetDeviceCount(&count), ACL_SUCCESS);
  const char* wanted = std::getenv("ADDNORM_ACL_DEVICES");
  EXPECT_EQ(count, wanted == nullptr ? 8u : static_cast<uint32_t>(std::atoi(wanted)));
  const auto last = static_cast<int32_t>(count) - 1;
  Refused(aclrtSetDevice(last + 1), ACL_ERROR_INVALID_DEVICE,
          "argument 'deviceId' is " + std::to_string(last + 1) + ", expected 0 to " + std::to_string(last));
  Refused(aclrtSetDevice(-1), ACL_ERROR_INVALID_DEVICE, "argument 'deviceId' is -1");
  Refused(aclrtResetDevice(64), ACL_ERROR_INVALID_DEVICE, "aclrtResetDevice");
  Refused(aclrtGetDeviceCount(nullptr), ACL_ERROR_INVALID_PARAM, "argument 'count' is null");
  int32_t device = -1;
  std::thread([&] { Refused(aclrtGetDevice(&device), ACL_ERROR_RT_CONTEXT_NULL, "no current context"); }).join();
  EXPECT_EQ(aclrtSetDevice(last), ACL_SUCCESS);
  EXPECT_EQ(aclrtGetDevice(&device), ACL_SUCCESS);
  EXPECT_EQ(device, last);
  Refused(aclrtGetDevice(nullptr), ACL_ERROR_INVALID_PARAM, "argument 'deviceId' is null");
  EXPECT_EQ(aclrtSynchronizeDevice(), ACL_SUCCESS);
  EXPECT_EQ(aclrtResetDevice(last), ACL_SUCCESS);
  Refused(aclrtGetDevice(&device), ACL_ERROR_RT_CONTEXT_NULL, "expected aclrtSetDevice");
  aclrtStream stream = nullptr;
  Refused(aclrtCreateStream(&stream), ACL_ERROR_RT_CONTEXT_NULL, "aclrtCreateStream");
  Refused(aclrtSynchronizeStream(nullptr), ACL_ERROR_RT_CONTEXT_NULL, "aclrtSynchronizeStream");
  Refused(aclrtSynchronizeDevice(), ACL_ERROR_RT_CONTEXT_NULL, "aclrtSynchronizeDevice");
}

TEST(Runtime, RunMode) {
  aclrtRunMode mode = ACL_DEVICE;
  EXPECT_EQ(aclrtGetRunMode(&mode), ACL_SUCCESS);
  EXPECT_EQ(mode, ACL_HOST);
  Refused(aclrtGetRunMode(nullptr), ACL_ERROR_INVALID_PARAM, "aclrtGetRunMode: rule 100000-1: argument 'runMode' is null");
}

TEST(Runtime, Contexts) {
  aclrtContext context = nullptr, other = nullptr;
  EXPECT_EQ(aclrtCreateContext(&context, 3), ACL_SUCCESS);
  int32_t device = -1;
  EXPECT_EQ(aclrtGetDevice(&device), ACL_SUCCESS);
  EXPECT_EQ(device, 3);
  std::thread([&] {
    EXPECT_EQ(aclrtSetCurrentContext(context), ACL_SUCCESS);
    EXPECT_EQ(aclrtGetCurrentContext(&other), ACL_SUCCESS);
    EXPECT_EQ(other, context);
    EXPECT_EQ(aclrtSynchronizeStream(nullptr), ACL_SUCCESS);
  }).join();
  EXPECT_EQ(aclrtDestroyContext(context), ACL_SUCCESS);
  Refused(aclrtDestroyContext(context), ACL_ERROR_INVALID_PARAM, "a destroyed or foreign handle, expected a live aclrtContext");
  Refused(aclrtSetCurrentContext(context), ACL_ERROR_INVALID_PARAM, "a destroyed or foreign handle");
  Refused(aclrtGetCurrentContext(&other), ACL_ERROR_RT_CONTEXT_NULL, "no current context");
  Refused(aclrtCreateContext(nullptr, 0), ACL_ERROR_INVALID_PARAM, "argument 'context' is null");
  Refused(aclrtCreateContext(&other, 99), ACL_ERROR_INVALID_DEVICE, "argument 'deviceId' is 99");
  Refused(aclrtDestroyContext(nullptr), ACL_ERROR_INVALID_PARAM, "argument 'context' is null");
  Refused(aclrtSetCurrentContext(nullptr), ACL_ERROR_INVALID_PARAM, "argument 'context' is null");
  ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
  ASSERT_EQ(aclrtGetCurrentContext(&context), ACL_SUCCESS);
  Refused(aclrtDestroyContext(context), ACL_ERROR_INVALID_PARAM, "is a device's default one");
}

TEST(Runtime, Streams) {
  ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
  aclrtStream stream = nullptr;
  Refused(aclrtCreateStream(nullptr), ACL_ERROR_INVALID_PARAM, "argument 'stream' is null");
  EXPECT_EQ(aclrtCreateStream(&stream), ACL_SUCCESS);
  EXPECT_EQ(aclrtSynchronizeStreamWithTimeout(stream, 0), ACL_SUCCESS);
  EXPECT_EQ(aclrtSynchronizeStreamWithTimeout(stream, -1), ACL_SUCCESS);
  Refused(aclrtSynchronizeStreamWithTimeout(stream, -2), ACL_ERROR_INVALID_PARAM, "argument 'timeout' is -2");
  char from[4] = "abc", to[4] = "";
  EXPECT_EQ(aclrtMemcpyAsync(to, 4, from, 4, ACL_MEMCPY_HOST_TO_DEVICE, stream), ACL_SUCCESS);
  EXPECT_EQ(aclrtSynchronizeStream(stream), ACL_SUCCESS);
  EXPECT_STREQ(to, "abc");
  EXPECT_EQ(aclrtMemsetAsync(to, 4, 'x', 2, stream), ACL_SUCCESS);
  EXPECT_EQ(aclrtSynchronizeDevice(), ACL_SUCCESS);
  EXPECT_STREQ(to, "xxc");
  EXPECT_EQ(aclrtDestroyStream(stream), ACL_SUCCESS);
  Refused(aclrtDestroyStream(stream), ACL_ERROR_INVALID_PARAM, "argument 'stream' is a destroyed or foreign handle");
  Refused(aclrtSynchronizeStream(stream), ACL_ERROR_INVALID_PARAM, "argument 'stream' is a destroyed or foreign handle");
  Refused(aclrtMemcpyAsync(to, 4, from, 4, ACL_MEMCPY_DEFAULT, stream), ACL_ERROR_INVALID_PARAM, "expected a live aclrtStream");
  Refused(aclrtDestroyStream(nullptr), ACL_ERROR_INVALID_PARAM, "argument 'stream' is null");
}

TEST(Runtime, Memory) {
  void *device = nullptr, *host = nullptr;
  EXPECT_EQ(aclrtMalloc(&device, 100, ACL_MEM_MALLOC_HUGE_FIRST), ACL_SUCCESS);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(device) % 64, 0u);
  EXPECT_EQ(aclrtMallocHost(&host, 100), ACL_SUCCESS);
  std::memset(host, 5, 100);
  EXPECT_EQ(aclrtMemcpy(device, 100, host, 100, ACL_MEMCPY_HOST_TO_DEVICE), ACL_SUCCESS);
  EXPECT_EQ(static_cast<char*>(device)[99], 5);
  EXPECT_EQ(aclrtMemset(device, 100, 7, 50), ACL_SUCCESS);
  EXPECT_EQ(static_cast<char*>(device)[49], 7);
  EXPECT_EQ(static_cast<char*>(device)[50], 5);
  Refused(aclrtMemcpy(device, 99, host, 100, ACL_MEMCPY_HOST_TO_DEVICE), ACL_ERROR_INVALID_PARAM,
          "argument 'count' is 100, expected at most 99");
  Refused(aclrtMemcpy(device, 100, nullptr, 1, ACL_MEMCPY_HOST_TO_DEVICE), ACL_ERROR_INVALID_PARAM, "argument 'src' is null");
  Refused(aclrtMemcpy(nullptr, 100, host, 1, ACL_MEMCPY_HOST_TO_DEVICE), ACL_ERROR_INVALID_PARAM, "argument 'dst' is null");
  Refused(aclrtMemcpy(device, 100, host, 1, static_cast<aclrtMemcpyKind>(7)), ACL_ERROR_INVALID_PARAM, "argument 'kind' is 7");
  Refused(aclrtMemset(device, 10, 0, 11), ACL_ERROR_INVALID_PARAM, "argument 'count' is 11, expected at most 10");
  Refused(aclrtMalloc(&device, 0, ACL_MEM_MALLOC_HUGE_FIRST), ACL_ERROR_INVALID_PARAM, "argument 'size' is 0");
  Refused(aclrtMalloc(nullptr, 1, ACL_MEM_MALLOC_HUGE_FIRST), ACL_ERROR_INVALID_PARAM, "argument 'devPtr' is null");
  Refused(aclrtMalloc(&device, 1, static_cast<aclrtMemMallocPolicy>(99)), ACL_ERROR_INVALID_PARAM, "argument 'policy' is 99");
  Refused(aclrtMalloc(&device, SIZE_MAX, ACL_MEM_MALLOC_NORMAL_ONLY), ACL_ERROR_BAD_ALLOC, "no memory");
  Refused(aclrtMallocHost(&host, 0), ACL_ERROR_INVALID_PARAM, "argument 'size' is 0");
  Refused(aclrtFree(host), ACL_ERROR_INVALID_PARAM, "expected a block of aclrtMalloc");
  Refused(aclrtFreeHost(device), ACL_ERROR_INVALID_PARAM, "expected a block of aclrtMallocHost");
  Refused(aclrtFree(nullptr), ACL_ERROR_INVALID_PARAM, "argument 'devPtr' is null");
  Refused(aclrtFree(static_cast<char*>(device) + 64), ACL_ERROR_INVALID_PARAM, "not freed yet");
  EXPECT_EQ(aclrtFree(device), ACL_SUCCESS);
  EXPECT_EQ(aclrtFreeHost(host), ACL_SUCCESS);
  Refused(aclrtFree(device), ACL_ERROR_INVALID_PARAM, "not freed yet");
}

// Halves without infinities, exhaustively to float, and to half at and around every half and every tie.
TEST(Runtime, HalfPrecision) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const uint32_t exponent = bits >> 10 & 31, fraction = bits & 1023;
    const double magnitude = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024.0 + fraction, static_cast<int>(exponent) - 25);
    const auto want = static_cast<float>((bits & 0x8000) != 0 ? -magnitude : magnitude);
    const float got = aclFloat16ToFloat(static_cast<aclFloat16>(bits));
    ASSERT_EQ(got, want) << bits;
    if (exponent == 31) continue;
    ASSERT_EQ(aclFloatToFloat16(got), bits) << bits;
    if ((bits & 0x7fff) == 0x7bff) continue;
    const float next = aclFloat16ToFloat(static_cast<aclFloat16>(bits + 1)), tie = got + (next - got) / 2;
    const auto even = static_cast<aclFloat16>((bits & 1) == 0 ? bits : bits + 1);
    ASSERT_EQ(aclFloatToFloat16(tie), even) << bits;
    ASSERT_EQ(aclFloatToFloat16(std::nextafter(tie, got)), bits) << bits;
    ASSERT_EQ(aclFloatToFloat16(std::nextafter(tie, next)), bits + 1) << bits;
  }
  for (const float large : {65504.0f, 65519.0f, 65520.0f, 65536.0f, 1e30f, HUGE_VALF}) {
    EXPECT_EQ(aclFloatToFloat16(large), 0x7bff) << large;
    EXPECT_EQ(aclFloatToFloat16(-large), 0xfbff) << large;
  }
  EXPECT_EQ(aclFloatToFloat16(NAN), 0x7bff);
  EXPECT_EQ(aclFloatToFloat16(std::copysign(NAN, -1.0f)), 0xfbff);
  EXPECT_EQ(aclFloatToFloat16(1e-30f), 0);
  EXPECT_EQ(aclFloat16ToFloat(0x7c00), 65536.0f);
  EXPECT_EQ(aclFloat16ToFloat(0x7e00), 98304.0f);
}

TEST(Runtime, DataTypeSizes) {
  EXPECT_EQ(aclDataTypeSize(ACL_FLOAT), 4u);
  EXPECT_EQ(aclDataTypeSize(ACL_FLOAT16), 2u);
  EXPECT_EQ(aclDataTypeSize(ACL_BF16), 2u);
  EXPECT_EQ(aclDataTypeSize(ACL_BOOL), 1u);
  EXPECT_EQ(aclDataTypeSize(ACL_COMPLEX128), 16u);
  EXPECT_EQ(aclDataTypeSize(ACL_INT4), 0u);
  EXPECT_EQ(aclDataTypeSize(static_cast<aclDataType>(1234)), 0u);
}

TEST(Runtime, TensorGetters) {
  const int64_t shape[] = {2, 3}, strides[] = {1, 2}, storage[] = {7};
  float data[7];
  aclTensor* tensor = aclCreateTensor(shape, 2, ACL_BF16, strides, 1, ACL_FORMAT_NCHW, storage, 1, data);
  ASSERT_NE(tensor, nullptr);
  int64_t* dims = nullptr;
  uint64_t count = 0;
  ASSERT_EQ(aclGetViewShape(tensor, &dims, &count), ACLNN_SUCCESS);
  EXPECT_EQ(Dims(dims, dims + count), (Dims{2, 3}));
  delete[] dims;
  ASSERT_EQ(aclGetViewStrides(tensor, &dims, &count), ACLNN_SUCCESS);
  EXPECT_EQ(Dims(dims, dims + count), (Dims{1, 2}));
  delete[] dims;
  ASSERT_EQ(aclGetStorageShape(tensor, &dims, &count), ACLNN_SUCCESS);
  EXPECT_EQ(Dims(dims, dims + count), (Dims{7}));
  delete[] dims;
  int64_t offset = 0;
  aclFormat format;
  aclDataType type;
  void* address = nullptr;
  EXPECT_EQ(aclGetViewOffset(tensor, &offset), ACLNN_SUCCESS);
  EXPECT_EQ(aclGetFormat(tensor, &format), ACLNN_SUCCESS);
  EXPECT_EQ(aclGetDataType(tensor, &type), ACLNN_SUCCESS);
  EXPECT_EQ(aclSetRawTensorAddr(tensor, data + 1), ACLNN_SUCCESS);
  EXPECT_EQ(aclGetRawTensorAddr(tensor, &address), ACLNN_SUCCESS);
  EXPECT_EQ(offset, 1);
  EXPECT_EQ(format, ACL_FORMAT_NCHW);
  EXPECT_EQ(type, ACL_BF16);
  EXPECT_EQ(address, data + 1);
  Refused(aclGetViewShape(nullptr, &dims, &count), 161001, "argument 'tensor' is null");
  Refused(aclGetViewShape(tensor, nullptr, &count), 161001, "argument 'viewDims' is null");
  Refused(aclGetViewShape(tensor, &dims, nullptr), 161001, "aclGetViewShape: rule 161001-1: argument 'viewDimsNum' is null");
  Refused(aclGetViewStrides(tensor, &dims, nullptr), 161001, "aclGetViewStrides: rule 161001-1: argument 'stridesNum' is null");
  Refused(aclGetStorageShape(tensor, &dims, nullptr), 161001, "aclGetStorageShape: rule 161001-1: argument 'storageDimsNum' is null");
  Refused(aclGetDataType(tensor, nullptr), 161001, "argument 'dataType' is null");
  EXPECT_EQ(aclDestroyTensor(tensor), ACLNN_SUCCESS);
  Refused(aclGetDataType(tensor, &type), 161002, "argument 'tensor' is a destroyed or foreign handle, expected a live aclTensor");
  Refused(aclDestroyTensor(tensor), 161002, "aclDestroyTensor: rule 161002-20");
  EXPECT_EQ(aclDestroyTensor(nullptr), ACLNN_SUCCESS);
}

TEST(Runtime, ArraysAndLists) {
  const float values[] = {1, 2, 3};
  aclFloatArray* floats = aclCreateFloatArray(values, 3);
  uint64_t size = 0;
  EXPECT_EQ(aclGetFloatArraySize(floats, &size), ACLNN_SUCCESS);
  EXPECT_EQ(size, 3u);
  Refused(aclGetIntArraySize(reinterpret_cast<aclIntArray*>(floats), &size), 161002,
          "is a live aclFloatArray, expected a live aclIntArray");
  Refused(aclDestroyBoolArray(reinterpret_cast<aclBoolArray*>(floats)), 161002, "is a live aclFloatArray, expected a live aclBoolArray");
  EXPECT_EQ(aclDestroyFloatArray(floats), ACLNN_SUCCESS);
  Refused(aclDestroyFloatArray(floats), 161002, "a destroyed or foreign handle");
  Refused(aclGetBoolArraySize(nullptr, &size), 161001, "argument 'array' is null");
  aclIntArray* empty = aclCreateIntArray(nullptr, 0);
  EXPECT_EQ(aclGetIntArraySize(empty, &size), ACLNN_SUCCESS);
  EXPECT_EQ(size, 0u);
  EXPECT_EQ(aclDestroyIntArray(empty), ACLNN_SUCCESS);
  EXPECT_EQ(aclCreateIntArray(nullptr, 2), nullptr);
  EXPECT_NE(RecentText().find("aclCreateIntArray: rule 161001-1: argument 'value' is null, expected 2 values"), std::string::npos);
  const int64_t one = 1;
  EXPECT_EQ(aclCreateIntArray(&one, uint64_t{1} << 60), nullptr);
  EXPECT_NE(RecentText().find("no memory"), std::string::npos);
  EXPECT_EQ(aclCreateTensor(&one, 33, ACL_FLOAT, nullptr, 0, ACL_FORMAT_ND, &one, 1, nullptr), nullptr);
  EXPECT_NE(RecentText().find("'viewDimsNum' is 33, expected at most 32"), std::string::npos);

  const aclTensor* members[] = {aclCreateTensor(&one, 1, ACL_FLOAT, nullptr, 0, ACL_FORMAT_ND, &one, 1, nullptr),
                                aclCreateTensor(&one, 1, ACL_FLOAT, nullptr, 0, ACL_FORMAT_ND, &one, 1, nullptr)};
  aclTensorList* list = aclCreateTensorList(members, 2);
  EXPECT_EQ(aclGetTensorListSize(list, &size), ACLNN_SUCCESS);
  EXPECT_EQ(size, 2u);
  EXPECT_EQ(aclDestroyTensorList(list), ACLNN_SUCCESS);
  Refused(aclDestroyTensor(members[1]), 161002, "a destroyed or foreign handle");
  Refused(aclDestroyTensorList(list), 161002, "a destroyed or foreign handle");
}

}  // namespace
}  // namespace addnorm::aclnn_test
