// SPDX-License-Identifier: Apache-2.0
// The element types: their sizes and names.
#include "addnorm/ascendc/scalars.h"

#include "doors/ascendc/src/core.h"

namespace addnorm::ascendc {
uint32_t SizeOf(Type type) {
  switch (type) {
#define ADDNORM_X(cpp, name, text) \
  case Type::name:                 \
    return sizeof(cpp);
    ADDNORM_ASCENDC_TYPES(ADDNORM_X)
#undef ADDNORM_X
  }
  return 0;
}

const char* NameOf(Type type) {
  switch (type) {
#define ADDNORM_X(cpp, name, text) \
  case Type::name:                 \
    return text;
    ADDNORM_ASCENDC_TYPES(ADDNORM_X)
#undef ADDNORM_X
  }
  return "invalid";
}

}  // namespace addnorm::ascendc
