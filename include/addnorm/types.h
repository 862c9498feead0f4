// SPDX-License-Identifier: Apache-2.0
// The vocabulary of addnorm: element types, Status, tensor views, the norm and dropout specifications, and the executor.
// Needs nothing but the C++ standard library. Sizes and strides are in elements unless the name ends in _bytes.
#ifndef ADDNORM_TYPES_H_
#define ADDNORM_TYPES_H_

#include <cstddef>
#include <cstdint>
#include <span>

#if defined(_WIN32)
#define ADDNORM_API
#else
#define ADDNORM_API [[gnu::visibility("default")]]
#endif

namespace addnorm {

/// Element types: X(enumerator, size in bytes, name in messages). The one list to edit when a type is added.
#define ADDNORM_DTYPES(X) \
  X(kF32, 4, "float32")   \
  X(kF16, 2, "float16")   \
  X(kBF16, 2, "bfloat16") \
  X(kF64, 8, "float64")   \
  X(kBool, 1, "bool")     \
  X(kI8, 1, "int8")       \
  X(kI32, 4, "int32")     \
  X(kI64, 8, "int64")     \
  X(kU64, 8, "uint64")

enum class DType : uint8_t {
#define ADDNORM_X(name, bytes, text) name,
  ADDNORM_DTYPES(ADDNORM_X)
#undef ADDNORM_X
};

/// Bytes of one element; 0 for a value outside the list.
ADDNORM_API size_t SizeOf(DType dtype);
/// "float32", ...; "invalid" for a value outside the list.
ADDNORM_API const char* NameOf(DType dtype);

enum class Code : uint8_t {
  kOk = 0,
  kNullArg,      // a required operand is absent
  kBadShape,     // rank, size, stride or overlap
  kBadDType,     // element type not accepted here
  kBadValue,     // an attribute (eps, p, ...) is out of range
  kUnsupported,  // a target or backend that this build or machine does not have
  kInternal,     // a broken invariant of addnorm itself
  kTimeout,      // a collective call did not end before its deadline
  kPeer,         // another rank died, disagrees or failed
};

/// A Code and a text that names the API, the argument, what it got and what it expected. Holds its text, never allocates.
class [[nodiscard]] ADDNORM_API Status {
 public:
  Status() { text_[0] = '\0'; }
  /// printf-style; the text is cut at 383 characters.
  static Status Error(Code code, const char* format, ...) __attribute__((format(printf, 2, 3)));

  bool ok() const { return code_ == Code::kOk; }
  Code code() const { return code_; }
  const char* message() const { return text_; }

 private:
  Code code_ = Code::kOk;
  char text_[384];
};

/// An n-dimensional view of memory that somebody else owns. Null data = the operand is absent (unless a dimension is 0:
/// an empty tensor may have null data, and counts as present when `shape` has an entry).
/// Strides are in elements; an empty `strides` means contiguous (row-major).
struct TensorView {
  void* data = nullptr;
  DType dtype = DType::kF32;
  std::span<const int64_t> shape = {};
  std::span<const int64_t> strides = {};

  explicit operator bool() const { return data != nullptr || !shape.empty(); }
};

enum class NormKind : uint8_t { kLayer, kRms };

/// LayerNorm: xhat = (h - mean) * rstd, rstd = (mean((h - mean)^2) + eps)^-1/2.  RMSNorm: mean = 0.  eps is inside the root.
struct NormSpec {
  NormKind kind = NormKind::kLayer;
  double eps = 1e-5;  // finite, >= 0
  /// false: statistics and norm see the unrounded fp32 h.  true: h is rounded to the type of `prenorm` first, and everything,
  /// forward and backward, uses the rounded value (as Hugging Face, Liger and vLLM's C++ kernels do).
  bool from_rounded = false;
};

/// Inverted dropout with probability p of dropping. The mask is a pure function of (seed, offset, row, column):
/// Philox4x32-10 with key = seed, counter = {offset, block}, block = (row_base + row) * ceil(cols_total / 4) + (col_base + col) / 4,
/// word = (col_base + col) % 4; kept where word < round((1 - p) * 2^32); kept values are multiplied by 1 / (1 - p).
struct Dropout {
  double p = 0.0;  // in [0, 1]; 0 = no dropout, 1 = drop all
  uint64_t seed = 0;
  uint64_t offset = 0;
  uint64_t row_base = 0;    // index of row 0 in the whole tensor, for a slice of a batch
  uint64_t col_base = 0;    // index of column 0 in the whole row, for a shard of a row
  uint64_t cols_total = 0;  // columns of the whole row; 0 = the columns given
};

/// Runs loops on threads that the caller owns. All three members must be set.
struct Executor {
  /// Calls task(arg, begin, end) for disjoint ranges that cover [0, count); returns when all have returned.
  void (*parallel_for)(void* context, size_t count, void (*task)(void* arg, size_t begin, size_t end), void* arg) = nullptr;
  /// The number of ranges worth making, >= 1.
  size_t (*concurrency)(void* context) = nullptr;
  void* context = nullptr;
};

/// The calling thread only.
ADDNORM_API const Executor& SerialExecutor();
/// The core's own pool, started on first use by work that is large enough. ADDNORM_NUM_THREADS sets its size
/// (default: the CPUs this process may run on). Safe to use from several threads and after fork.
ADDNORM_API const Executor& DefaultExecutor();

}  // namespace addnorm
#endif  // ADDNORM_TYPES_H_
