// SPDX-License-Identifier: Apache-2.0
#ifndef ADDNORM_SRC_BASE_CACHE_SIZE_H_
#define ADDNORM_SRC_BASE_CACHE_SIZE_H_

#include <cstddef>

namespace addnorm {

// Bytes of the last cache level that one core can fill.
size_t LastLevelCacheBytes();

}  // namespace addnorm
#endif  // ADDNORM_SRC_BASE_CACHE_SIZE_H_
