// SPDX-License-Identifier: Apache-2.0
#include <cstdarg>
#include <cstdio>

#include "addnorm/types.h"

namespace addnorm {

size_t SizeOf(DType dtype) {
  switch (dtype) {
#define ADDNORM_X(name, bytes, text) \
  case DType::name:                  \
    return bytes;
    ADDNORM_DTYPES(ADDNORM_X)
#undef ADDNORM_X
  }
  return 0;
}

const char* NameOf(DType dtype) {
  switch (dtype) {
#define ADDNORM_X(name, bytes, text) \
  case DType::name:                  \
    return text;
    ADDNORM_DTYPES(ADDNORM_X)
#undef ADDNORM_X
  }
  return "invalid";
}

Status Status::Error(Code code, const char* format, ...) {
  Status status;
  status.code_ = code;
  va_list args;
  va_start(args, format);
  std::vsnprintf(status.text_, sizeof(status.text_), format, args);
  va_end(args);
  return status;
}

}  // namespace addnorm
