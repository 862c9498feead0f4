// SPDX-License-Identifier: Apache-2.0
// The six tensor-parallel operators of this door as data, and groups of ranks for them.
#ifndef ADDNORM_DOORS_ACLNN_TESTS_PARALLEL_CALLS_H_
#define ADDNORM_DOORS_ACLNN_TESTS_PARALLEL_CALLS_H_

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "aclnnop/aclnn_inplace_matmul_all_reduce_add_rms_norm.h"
#include "aclnnop/aclnn_inplace_quant_matmul_all_reduce_add_rms_norm.h"
#include "aclnnop/aclnn_inplace_weight_quant_matmul_all_reduce_add_rms_norm.h"
#include "aclnnop/aclnn_matmul_all_reduce_add_rms_norm.h"
#include "aclnnop/aclnn_quant_matmul_all_reduce_add_rms_norm.h"
#include "aclnnop/aclnn_weight_quant_matmul_all_reduce_add_rms_norm.h"
#include "addnorm/parallel.h"
#include "doors/aclnn/tests/tensors.h"

namespace addnorm::aclnn_test {

enum class ParallelOp { kPlain, kQuant, kWeightQuant, kInplacePlain, kInplaceQuant, kInplaceWeightQuant };
inline constexpr ParallelOp kParallelOps[] = {ParallelOp::kPlain,        ParallelOp::kQuant,        ParallelOp::kWeightQuant,
                                              ParallelOp::kInplacePlain, ParallelOp::kInplaceQuant, ParallelOp::kInplaceWeightQuant};
inline bool IsQuant(ParallelOp op) { return op == ParallelOp::kQuant || op == ParallelOp::kInplaceQuant; }
inline bool IsWeightQuant(ParallelOp op) { return op == ParallelOp::kWeightQuant || op == ParallelOp::kInplaceWeightQuant; }
inline bool IsInplace(ParallelOp op) { return op >= ParallelOp::kInplacePlain; }
const char* ApiOf(ParallelOp op);
// The name of the scales, null for plain operators.
const char* ScaleOf(ParallelOp op);

// HcclCommInitAll over devices first, first + 1, ...
class RankGroup {
 public:
  explicit RankGroup(int ranks, int first_device = 0);
  ~RankGroup();
  RankGroup(const RankGroup&) = delete;
  RankGroup& operator=(const RankGroup&) = delete;
  int size() const { return static_cast<int>(comms.size()); }
  int device(int rank) const { return first_device_ + rank; }
  // Calls body(rank) on a thread per rank, its device set.
  void OnRanks(const std::function<void(int)>& body) const;

  std::vector<HcclComm> comms;  // null: the test has destroyed it
  std::string name;

 private:
  int first_device_;
};

// One rank's call. Tensors not in the map are passed as null.
struct ParallelCall {
  ParallelOp op = ParallelOp::kPlain;
  std::map<std::string, TestTensor> tensors;
  std::map<std::string, void*> raw;  // handles that go before the tensors'
  double epsilon = 1e-5;
  std::string group;
  bool null_group = false, null_reduce_op = false;
  std::string reduce_op = "sum";
  int64_t comm_turn = 0, stream_mode = 1, group_size = 0;
  bool null_workspace_size = false, null_executor = false;

  TestTensor& operator[](const char* name) { return tensors[name]; }
  bool has(const char* name) const { return tensors.count(name) != 0 && !tensors.at(name).null; }
  aclTensor* Handle(const char* name);
  // workspaceSize and executor are left alone if it fails.
  aclnnStatus Phase1(uint64_t* workspace_size, aclOpExecutor** executor);
  aclnnStatus Phase2(void* workspace, uint64_t size, aclOpExecutor* executor, aclrtStream stream) const;
  // Both phases on the default stream of the thread's device, to the end of the stream's work.
  aclnnStatus Run();
  // The same call of the core.
  MatmulAllReduceAddRmsNormProblem Problem();
  const char* y_name() const { return IsInplace(op) ? "residual" : "y"; }
};

struct ParallelShape {
  int64_t b = 2, s = 3, k = 96, n = 40;
  bool flat_x1 = false, transposed = false;
};
// A valid call with contiguous operands, all zeros; `type`: of residual. Scales per column, words or float as the operator takes them.
ParallelCall MakeParallelCall(ParallelOp op, const ParallelShape& shape, aclDataType type, const std::string& group);
// Random numbers into the inputs: residual and gamma from `seed` alone, the others also from `rank`.
void FillInputs(ParallelCall* call, uint64_t seed, int rank);

}  // namespace addnorm::aclnn_test
#endif  // ADDNORM_DOORS_ACLNN_TESTS_PARALLEL_CALLS_H_
