// SPDX-License-Identifier: Apache-2.0
// y = sum of partials + residual and its norm, for one rank's share of a block.
#ifndef ADDNORM_SRC_PARALLEL_REDUCE_H_
#define ADDNORM_SRC_PARALLEL_REDUCE_H_

#include <memory>

#include "addnorm/plan.h"
#include "src/parallel/buffer.h"
#include "src/parallel/check.h"

namespace addnorm {

// `in` from row `row` on.
In From(const In& in, size_t row);

// What becomes of the partial sums of all ranks.
struct Reduction {
  const char* api = "";
  NormArgs norm;
  size_t ranks = 0;
  DType partial = DType::kF32;
  bool only_sums = false;  // else y and norm_out
  bool saturate = false;
};

class Reducer {
 public:
  // Memory for shares of up to `rows` rows.
  Status Prepare(const Reduction& reduction, size_t rows, const Executor& executor);
  // Memory for Finish, for up to `rows` rows a time. Finish runs when nothing may fail any more.
  Status PrepareFinish(size_t rows, const Executor& executor);
  // Rank q's partial sums: row 0 is the first of the share.
  void SetPart(size_t q, const In& part) { addends_[q] = part; }
  // result: y of all rows, then norm_out of all rows; or their sums in fp32. first_row: the share's first row in the residual.
  Status Run(size_t first_row, size_t rows, std::byte* result, const Executor& executor);
  // y and norm_out of rows [first_row, first_row + rows) from their sums, where they belong.
  Status Finish(size_t first_row, size_t rows, const std::byte* sums, const Executor& executor) const;

 private:
  struct Job;
  class Rows;
  Status PlanFinish(size_t first_row, size_t rows, const In& sums, Plan* plan) const;
  Status RunRows(const Job& job, size_t begin, size_t end, float* scratch) const;
  Status RunChunk(const Job& job, size_t begin, size_t end, float* scratch) const;

  Reduction reduction_;
  size_t chunk_rows_ = 1, slices_ = 1, scratch_floats_ = 0;
  std::unique_ptr<In[]> addends_;
  Buffer scratch_, workspace_;
};

}  // namespace addnorm
#endif  // ADDNORM_SRC_PARALLEL_REDUCE_H_
