// SPDX-License-Identifier: Apache-2.0
// Tensors of libtorch as this door needs them: owned references, the arguments and results of a boxed kernel, and views for the core.
// torch::stable::Tensor would do, but costs an allocation and several atomic operations per argument; a small call has no room for them.
#ifndef ADDNORM_DOORS_TORCH_TENSOR_H_
#define ADDNORM_DOORS_TORCH_TENSOR_H_

#include <torch/csrc/stable/library.h>

#include <array>
#include <cstdint>
#include <span>
#include <utility>

#include "addnorm/types.h"

namespace addnorm::torch_door {

// An owned reference; null = an optional argument that was not given.
class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(AtenTensorHandle handle) : handle_(handle) {}
  Tensor(Tensor&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Tensor& operator=(Tensor&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Tensor();

  explicit operator bool() const { return handle_ != nullptr; }
  AtenTensorHandle get() const { return handle_; }
  AtenTensorHandle release() { return std::exchange(handle_, nullptr); }

  // None of the following may be asked of a null tensor.
  std::span<const int64_t> shape() const;
  std::span<const int64_t> strides() const;
  void* data() const;

 private:
  AtenTensorHandle handle_ = nullptr;
};

// Takes the arguments off a boxed kernel's stack in the order of its schema.
class Arguments {
 public:
  explicit Arguments(const StableIValue* stack) : next_(stack) {}
  Tensor TakeTensor();
  Tensor TakeOptionalTensor();
  double TakeDouble();
  int64_t TakeInt();
  bool TakeBool();
  // A list of exactly `size` < 32 bools, as schemas write bool[N]: bit i is element i. kNotThatMany for any other length.
  uint32_t TakeBools(size_t size);
  static constexpr uint32_t kNotThatMany = ~uint32_t{0};

 private:
  const StableIValue* next_;
};

// Hands `results` to the caller of a boxed kernel.
void Return(std::span<Tensor> results, StableIValue* stack);

// "[2, 3]"
std::string ShapeText(std::span<const int64_t> shape);
// The element type of a tensor that must be floating point. `api` and `name` are for the message.
DType FloatType(const char* api, const char* name, const Tensor& tensor);

// The element type of a tensor, any that the core knows. `expected` is for the message.
DType AnyType(const char* api, const char* name, const Tensor& tensor, const char* expected);
// `tensor` becomes a contiguous copy of itself.
void MakeContiguous(Tensor& tensor);
// True if the last `inner_rank` dimensions are contiguous and the others have one stride.
bool IsRowStrided(std::span<const int64_t> shape, std::span<const int64_t> strides, size_t inner_rank);

// A view of `tensor` as the core takes it: the last `inner_rank` dimensions contiguous, the others with one stride. Any other layout is
// first replaced by a contiguous copy, which `tensor` then owns. A null tensor gives an absent operand.
TensorView View(const char* api, const char* name, Tensor& tensor, size_t inner_rank);

// A new contiguous tensor on the CPU, not initialised.
Tensor Empty(std::span<const int64_t> shape, DType dtype);
// What stands for an output that was not asked for.
Tensor Nothing(DType dtype);
// A view of all of a tensor that Empty made.
TensorView Whole(const Tensor& tensor, DType dtype);

// The dropout that probability `p` and `seed` (int64[2] = key, offset; needed where 0 < p < 1) describe.
Dropout MakeDropout(const char* api, double p, const Tensor& seed);

// Turns a failure into the C++ exception that reaches Python as ValueError, or as RuntimeError with the wanted type as a prefix.
void Check(const Status& status);
[[noreturn]] void ThrowTypeError(const char* api, const char* name, int32_t got, const char* expected);

}  // namespace addnorm::torch_door

#endif  // ADDNORM_DOORS_TORCH_TENSOR_H_
