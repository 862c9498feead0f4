// SPDX-License-Identifier: Apache-2.0
// Seeded problems: what to compute (Options), and memory that holds exactly that and not a byte more (Problem).
#ifndef ADDNORM_TESTS_PROBLEMS_H_
#define ADDNORM_TESTS_PROBLEMS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "addnorm/addnorm.h"
#include "tests/numbers.h"

namespace addnorm::test {

enum class Data : uint8_t {
  kNormal,
  kOffset,
  kConstant,
  kMagnitude,
  kHuge,
  kDenormal,
  kOutlier,
  kHeavyTail,
  kAlternating,
  kStep,
  kNanRow,
  kInfRow,
  kMixed,
  kCount
};
enum class Weights : uint8_t { kAbsent, kOnes, kZeros, kNormal, kLarge, kTiny, kCount };
enum class Layout : uint8_t { kContiguous, kPadded, kUnaligned, kMixed, kCount };  // kMixed: each operand its own, also stride 0 and < 0
enum class Placement : uint8_t { kHeap, kGuardAfter, kGuardBefore };               // kGuard*: against a page that must not be touched
/// Where backward has its statistics from. kSaved: what this problem's forward wrote. kDerived: nowhere.
enum class Saved : uint8_t { kSaved, kDerived, kGiven, kVariance, kCount };
enum Gradients : unsigned {
  kDx0 = 1,
  kDresidual = 2,
  kXhat = 4,
  kDrowscale = 8,
  kDweight = 16,
  kDbias = 32,
  kDlayerscale = 64,
  kAllGradients = 127
};

struct Options {
  uint64_t seed = 1;  // of the data, and of every choice that is not below
  size_t rows = 1, cols = 1;
  DType x0 = DType::kF32, residual = DType::kF32, weight = DType::kF32;
  bool wide = false;        // everything fp64
  bool same_types = false;  // every other operand has x0's type, statistics apart; otherwise drawn
  bool rms = false, from_rounded = false;
  bool has_residual = true, has_bias = true, has_rowscale = false, has_layerscale = false, has_prebias = false;
  bool has_y = true, has_prenorm = true, has_keep = false, has_statistics = true;
  DType prenorm = DType::kF32;
  Weights weights = Weights::kNormal;
  Data data = Data::kNormal;
  Layout layout = Layout::kContiguous;
  Placement placement = Placement::kHeap;
  double p = 0, eps = 1e-5;
  bool shard = false;  // dropout of a slice: row_base, col_base, cols_total
  Saved saved = Saved::kSaved;
  bool form_again = false;  // backward reads the parts of h instead of h
  bool has_dsum = true;
  unsigned gradients = kAllGradients;
};
/// All of it drawn from `seed`, sizes included (small: rows x cols up to about 4,000).
Options RandomOptions(uint64_t seed);
/// Removes what contradicts itself (gradients of absent operands, statistics that are not those of the saved h, ...).
void Settle(Options* options);
std::string Describe(const Options& options);

/// One tensor and its memory.
class Operand {
 public:
  Operand() = default;
  Operand(DType dtype, std::vector<int64_t> shape, std::vector<int64_t> strides, bool unaligned, Placement placement);
  explicit operator bool() const { return static_cast<bool>(view()); }
  TensorView view() const { return {data_, dtype_, shape_, strides_}; }
  std::byte* bytes() const { return memory_.get(); }
  size_t byte_count() const { return byte_count_; }
  /// Everything, padding included.
  void Fill(int byte);
  /// True if no byte outside the elements differs from `byte`.
  bool PaddingIs(int byte) const;
  std::vector<std::byte> Copy() const { return {bytes(), bytes() + byte_count_}; }
  uint64_t Hash() const;

 private:
  std::shared_ptr<std::byte> memory_;  // shared by copies: a view of an operand never dangles
  size_t byte_count_ = 0;
  void* data_ = nullptr;
  DType dtype_ = DType::kF32;
  std::vector<int64_t> shape_, strides_;
};

/// Operands and the two API structs over them.
struct Problem {
  Options options;
  Operand x0, residual, rowscale, layerscale, prebias, weight, bias, dy, dsum, given_mean, given_rstd;
  Operand y, prenorm, keep, mean, mean_lo, rstd;
  Operand dx0, dresidual, xhat, drowscale, dweight, dbias, dlayerscale;
  ForwardProblem forward;
  BackwardProblem backward;

  std::vector<Operand*> Inputs();
  std::vector<Operand*> ForwardOutputs();
  std::vector<Operand*> BackwardOutputs();
};
std::unique_ptr<Problem> MakeProblem(const Options& options);

}  // namespace addnorm::test
#endif  // ADDNORM_TESTS_PROBLEMS_H_
