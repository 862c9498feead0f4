// SPDX-License-Identifier: Apache-2.0
// Whether the results that are timed are right: a naive fp64 computation beside them. The tests judge numerics; this one only keeps a
// benchmark from timing nonsense.
#ifndef ADDNORM_BENCH_VERIFY_H_
#define ADDNORM_BENCH_VERIFY_H_

#include <string>

#include "bench/operands.h"

namespace addnorm::bench {

/// Runs the forward and looks at sum and y of up to 64 rows. Empty = right, else what is wrong.
std::string VerifyForward(const Operands& operands, NormKind kind, double p, const Executor& executor);
/// Runs the backward and looks at dx of up to 64 rows and at every column sum. Needs sum, and statistics if they are `saved`.
std::string VerifyBackward(const Operands& operands, NormKind kind, bool saved_statistics, const Executor& executor);

}  // namespace addnorm::bench
#endif  // ADDNORM_BENCH_VERIFY_H_
