// SPDX-License-Identifier: Apache-2.0
#ifndef ADDNORM_SRC_PARALLEL_FINGERPRINT_H_
#define ADDNORM_SRC_PARALLEL_FINGERPRINT_H_

#include <cstdint>

#include "src/parallel/check.h"

namespace addnorm {

// Of a sample of residual and gamma. Ranks that hold different ones have different fingerprints as a rule: a wrong residual is wrong in
// more places than one. Cheap enough for a call of one row.
uint64_t Fingerprint(const NormArgs& norm);

}  // namespace addnorm
#endif  // ADDNORM_SRC_PARALLEL_FINGERPRINT_H_
