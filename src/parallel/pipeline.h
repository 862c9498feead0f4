// SPDX-License-Identifier: Apache-2.0
// What every tensor-parallel operator does once its partial sums can be made: agree, exchange, reduce, add, normalise, commit.
#ifndef ADDNORM_SRC_PARALLEL_PIPELINE_H_
#define ADDNORM_SRC_PARALLEL_PIPELINE_H_

#include "addnorm/communicator.h"
#include "src/parallel/check.h"

namespace addnorm {

// Where a rank's partial sums come from.
struct PartialSource {
  DType dtype = DType::kF32;
  // Writes rows [rows.begin, rows.end) of the partial sums, contiguous, to `out`.
  void (*write)(const void* self, RowRange rows, std::byte* out) = nullptr;
  const void* self = nullptr;
  // Partial sums that exist already: rows that no other rank needs are read from here and not written.
  In existing;
};

struct PipelineArgs {
  const char* api = "";
  uint32_t operation = 0, scenario = 0;
  NormArgs norm;
  int64_t comm_turn = 0;
  bool saturate = false;           // float16 results end at +-65504
  bool per_rank_residual = false;  // ranks share the sums, not what becomes of them
  PartialSource source;
};

// How many row blocks overlap: a function of what all ranks know.
size_t CountBlocks(size_t rows, size_t partial_row_bytes, int ranks, int64_t comm_turn);

Status RunPipeline(const PipelineArgs& args, Communicator& communicator, Deadline deadline, const Executor& executor);

// Tells the other ranks that this one cannot take part, and why it cannot: `why`.
Status RefuseOnAllRanks(const Status& why, uint32_t operation, Communicator& communicator, Deadline deadline);

}  // namespace addnorm
#endif  // ADDNORM_SRC_PARALLEL_PIPELINE_H_
