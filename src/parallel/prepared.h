// SPDX-License-Identifier: Apache-2.0
#ifndef ADDNORM_SRC_PARALLEL_PREPARED_H_
#define ADDNORM_SRC_PARALLEL_PREPARED_H_

#include "src/parallel/buffer.h"
#include "src/parallel/check.h"

namespace addnorm {

class PreparedWeights {
 public:
  static Status Make(const MatmulAllReduceAddRmsNormProblem& problem, const Executor& executor,
                     std::unique_ptr<const PreparedWeights, PreparedWeightsDelete>* made);

  // Scenario, k, n, group and the type of x2, without memory of the caller's.
  const WeightArgs& shape() const { return shape_; }
  const MatmulArgs::Antiquant& antiquant() const { return antiquant_; }
  const Target& target() const { return *target_; }
  const std::byte* packed() const { return packed_.data(); }
  size_t bytes() const { return packed_.bytes() + scales_.bytes(); }

 private:
  const Target* target_ = nullptr;
  WeightArgs shape_;
  MatmulArgs::Antiquant antiquant_;
  Buffer packed_, scales_;
};

}  // namespace addnorm
#endif  // ADDNORM_SRC_PARALLEL_PREPARED_H_
