// SPDX-License-Identifier: Apache-2.0
#include "doors/torch/tensor.h"

#include <torch/csrc/stable/ops.h>

#include <stdexcept>
#include <string>

namespace addnorm::torch_door {

std::string ShapeText(std::span<const int64_t> shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}
namespace {

using torch::stable::detail::to;

constexpr size_t kMaxRank = 64;  // torch's own limit

// torch's numbers of the element types, asked once.
struct TypeNumbers {
  int32_t f32 = aoti_torch_dtype_float32();
  int32_t f16 = aoti_torch_dtype_float16();
  int32_t bf16 = aoti_torch_dtype_bfloat16();
  int32_t f64 = aoti_torch_dtype_float64();
  int32_t boolean = aoti_torch_dtype_bool();
  int32_t int64 = aoti_torch_dtype_int64();
  int32_t int8 = aoti_torch_dtype_int8();
  int32_t int32 = aoti_torch_dtype_int32();
  int32_t uint64 = aoti_torch_dtype_uint64();
  int32_t cpu = aoti_torch_device_type_cpu();
};

const TypeNumbers& Numbers() {
  static const TypeNumbers numbers;
  return numbers;
}

int32_t NumberOf(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return Numbers().f32;
    case DType::kF16:
      return Numbers().f16;
    case DType::kBF16:
      return Numbers().bf16;
    case DType::kF64:
      return Numbers().f64;
    case DType::kBool:
      return Numbers().boolean;
    default:
      break;  // no output has such a type
  }
  throw std::runtime_error("addnorm: an element type that the torch door does not know");
}

int32_t TypeNumber(const Tensor& tensor) {
  int32_t number = 0;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_dtype(tensor.get(), &number));
  return number;
}

std::string NameOfNumber(int32_t number) {
  struct Entry {
    int32_t (*number)();
    const char* name;
  };
  static constexpr Entry kEntries[] = {
      {aoti_torch_dtype_float32, "float32"},
      {aoti_torch_dtype_float16, "float16"},
      {aoti_torch_dtype_bfloat16, "bfloat16"},
      {aoti_torch_dtype_float64, "float64"},
      {aoti_torch_dtype_bool, "bool"},
      {aoti_torch_dtype_uint8, "uint8"},
      {aoti_torch_dtype_int8, "int8"},
      {aoti_torch_dtype_int16, "int16"},
      {aoti_torch_dtype_int32, "int32"},
      {aoti_torch_dtype_int64, "int64"},
      {aoti_torch_dtype_uint64, "uint64"},
      {aoti_torch_dtype_complex64, "complex64"},
      {aoti_torch_dtype_complex128, "complex128"},
      {aoti_torch_dtype_float8_e5m2, "float8_e5m2"},
      {aoti_torch_dtype_float8_e4m3fn, "float8_e4m3fn"},
  };
  for (const Entry& entry : kEntries) {
    if (entry.number() == number) return entry.name;
  }
  return "dtype number " + std::to_string(number);
}

// Torch counts elements without a look at overflow, and says no more than that some call failed.
void CheckSize(const char* api, const char* name, const Tensor& tensor) {
  const std::span<const int64_t> shape = tensor.shape();
  int64_t bytes = 8;
  bool fits = true;
  for (const int64_t size : shape) fits = fits && !__builtin_mul_overflow(bytes, std::max<int64_t>(size, 1), &bytes);
  if (fits) return;
  Check(Status::Error(Code::kBadShape, "%s: argument '%s' has shape %s, expected dimensions whose product fits in memory", api, name,
                      ShapeText(shape).c_str()));
}

[[noreturn]] void ThrowNoMemory(const char* what, std::span<const int64_t> shape) {
  throw std::runtime_error(std::string("torch.ops.addnorm.memory: ") + what + " of shape " + ShapeText(shape) + " could not be allocated");
}

}  // namespace

Tensor::~Tensor() {
  // The error code says nothing that a destructor could act on.
  if (handle_ != nullptr) (void)aoti_torch_delete_tensor_object(handle_);
}

std::span<const int64_t> Tensor::shape() const {
  int64_t dim = 0;
  int64_t* sizes = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_dim(handle_, &dim));
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_sizes(handle_, &sizes));
  return {sizes, static_cast<size_t>(dim)};
}

std::span<const int64_t> Tensor::strides() const {
  int64_t dim = 0;
  int64_t* strides = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_dim(handle_, &dim));
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_strides(handle_, &strides));
  return {strides, static_cast<size_t>(dim)};
}

void* Tensor::data() const {
  void* data = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_data_ptr(handle_, &data));
  return data;
}

Tensor Arguments::TakeTensor() { return Tensor(to<AtenTensorHandle>(*next_++)); }

Tensor Arguments::TakeOptionalTensor() {
  // A present optional arrives as a StableIValue on the heap, which the kernel deletes.
  auto* value = to<StableIValue*>(*next_++);
  if (value == nullptr) return Tensor();
  Tensor tensor(to<AtenTensorHandle>(*value));
  delete value;
  return tensor;
}

double Arguments::TakeDouble() { return to<double>(*next_++); }
int64_t Arguments::TakeInt() { return to<int64_t>(*next_++); }
bool Arguments::TakeBool() { return to<bool>(*next_++); }

uint32_t Arguments::TakeBools(size_t size) {
  const auto list = to<StableListHandle>(*next_++);
  size_t length = 0;
  uint32_t bits = 0;
  bool ok = torch_list_size(list, &length) == TORCH_SUCCESS && length == size;
  for (size_t i = 0; ok && i < size; ++i) {
    StableIValue value = 0;
    ok = torch_list_get_item(list, i, &value) == TORCH_SUCCESS;
    bits |= static_cast<uint32_t>(to<bool>(value)) << i;
  }
  (void)torch_delete_list(list);
  return ok ? bits : kNotThatMany;
}

void Return(std::span<Tensor> results, StableIValue* stack) {
  for (Tensor& result : results) *stack++ = torch::stable::detail::from(result.release());
}

DType FloatType(const char* api, const char* name, const Tensor& tensor) {
  const int32_t number = TypeNumber(tensor);
  const TypeNumbers& numbers = Numbers();
  if (number == numbers.f32) return DType::kF32;
  if (number == numbers.bf16) return DType::kBF16;
  if (number == numbers.f16) return DType::kF16;
  if (number == numbers.f64) return DType::kF64;
  ThrowTypeError(api, name, number, "float32, float16, bfloat16 or float64");
}

DType AnyType(const char* api, const char* name, const Tensor& tensor, const char* expected) {
  const int32_t number = TypeNumber(tensor);
  const TypeNumbers& numbers = Numbers();
  if (number == numbers.f32) return DType::kF32;
  if (number == numbers.bf16) return DType::kBF16;
  if (number == numbers.f16) return DType::kF16;
  if (number == numbers.f64) return DType::kF64;
  if (number == numbers.int8) return DType::kI8;
  if (number == numbers.int32) return DType::kI32;
  if (number == numbers.int64) return DType::kI64;
  if (number == numbers.uint64) return DType::kU64;
  ThrowTypeError(api, name, number, expected);
}

void MakeContiguous(Tensor& tensor) {
  AtenTensorHandle again = nullptr, owned = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_new_tensor_handle(tensor.get(), &again));
  try {
    const torch::stable::Tensor copy = torch::stable::contiguous(torch::stable::Tensor(again));
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_new_tensor_handle(copy.get(), &owned));
  } catch (const std::exception&) {
    ThrowNoMemory("a contiguous copy of an argument", tensor.shape());
  }
  tensor = Tensor(owned);
}

bool IsRowStrided(std::span<const int64_t> shape, std::span<const int64_t> strides, size_t inner_rank) {
  int64_t expected = 1;
  size_t dim = shape.size();
  const size_t outer = shape.size() > inner_rank ? shape.size() - inner_rank : 0;
  for (; dim-- > outer;) {
    if (shape[dim] == 0) return true;
    if (shape[dim] != 1 && strides[dim] != expected) return false;
    expected *= shape[dim];
  }
  bool first = true;
  for (dim = outer; dim-- > 0;) {
    if (shape[dim] == 0) return true;
    if (shape[dim] == 1) continue;
    if (!first && strides[dim] != expected) return false;
    expected = strides[dim] * shape[dim];
    first = false;
  }
  return true;
}

TensorView View(const char* api, const char* name, Tensor& tensor, size_t inner_rank) {
  if (!tensor) return {};
  const DType dtype = FloatType(api, name, tensor);
  CheckSize(api, name, tensor);
  if (!IsRowStrided(tensor.shape(), tensor.strides(), inner_rank)) MakeContiguous(tensor);
  return {tensor.data(), dtype, tensor.shape(), tensor.strides()};
}

Tensor Empty(std::span<const int64_t> shape, DType dtype) {
  std::array<int64_t, kMaxRank> strides;
  if (shape.size() > kMaxRank) throw std::invalid_argument("addnorm: a tensor of more than 64 dimensions");
  int64_t stride = 1;
  for (size_t dim = shape.size(); dim-- > 0;) {
    strides[dim] = stride;
    stride *= shape[dim] > 1 ? shape[dim] : 1;
  }
  AtenTensorHandle handle = nullptr;
  if (aoti_torch_empty_strided(static_cast<int64_t>(shape.size()), shape.data(), strides.data(), NumberOf(dtype), Numbers().cpu, 0,
                               &handle) != AOTI_TORCH_SUCCESS) {
    ThrowNoMemory("an output", shape);
  }
  return Tensor(handle);
}

Tensor Nothing(DType dtype) {
  static constexpr int64_t kShape[] = {0};
  return Empty(kShape, dtype);
}

TensorView Whole(const Tensor& tensor, DType dtype) { return {tensor.data(), dtype, tensor.shape(), {}}; }

Dropout MakeDropout(const char* api, double p, const Tensor& seed) {
  Dropout dropout;
  dropout.p = p;
  if (!(p > 0.0 && p < 1.0)) return dropout;
  if (!seed) {
    Check(Status::Error(Code::kNullArg, "%s: argument 'seed' is None, expected an int64 tensor of 2 elements (key, offset), as p is %g",
                        api, p));
  }
  const int32_t number = TypeNumber(seed);
  if (number != Numbers().int64) ThrowTypeError(api, "seed", number, "int64");
  const std::span<const int64_t> shape = seed.shape();
  if (shape.size() != 1 || shape[0] != 2) {
    std::string text;
    for (const int64_t size : shape) text += (text.empty() ? "" : ", ") + std::to_string(size);
    Check(Status::Error(Code::kBadShape, "%s: argument 'seed' has shape [%s], expected [2]", api, text.c_str()));
  }
  const auto* words = static_cast<const int64_t*>(seed.data());
  dropout.seed = static_cast<uint64_t>(words[0]);
  dropout.offset = static_cast<uint64_t>(words[seed.strides()[0]]);
  return dropout;
}

void Check(const Status& status) {
  if (status.ok()) return;
  const std::string message = status.message();
  switch (status.code()) {
    case Code::kBadDType:
      throw std::runtime_error("TypeError: " + message);
    case Code::kUnsupported:
      throw std::runtime_error("NotImplementedError: " + message);
    case Code::kInternal:
      throw std::runtime_error(message);
    case Code::kTimeout:
      throw std::runtime_error("PeerTimeoutError: " + message);
    case Code::kPeer:
      throw std::runtime_error("PeerError: " + message);
    default:
      throw std::invalid_argument(message);
  }
}

void ThrowTypeError(const char* api, const char* name, int32_t got, const char* expected) {
  Check(Status::Error(Code::kBadDType, "%s: argument '%s' is %s, expected %s", api, name, NameOfNumber(got).c_str(), expected));
  throw std::runtime_error("unreachable");
}

}  // namespace addnorm::torch_door
