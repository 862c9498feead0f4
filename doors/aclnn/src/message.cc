// SPDX-License-Identifier: Apache-2.0
#include "doors/aclnn/src/message.h"

#include <cstdio>

#include "acl/acl_base.h"

namespace addnorm::aclnn {
namespace {

struct Recent {
  char text[512];
  bool unread;
  bool failed_creation;
};
thread_local constinit Recent recent = {};

}  // namespace

int32_t FailV(int32_t code, const char* format, va_list arguments) noexcept {
  std::vsnprintf(recent.text, sizeof recent.text, format, arguments);  // NOLINT(clang-analyzer-valist.Uninitialized)
  recent.unread = true;
  return code;
}

int32_t Fail(int32_t code, const char* format, ...) noexcept {
  va_list arguments;
  va_start(arguments, format);
  FailV(code, format, arguments);
  va_end(arguments);
  return code;
}

void NoteFailedCreation() noexcept { recent.failed_creation = true; }

bool TakeFailedCreation() noexcept {
  const bool failed = recent.failed_creation;
  recent.failed_creation = false;
  return failed;
}

}  // namespace addnorm::aclnn

extern "C" const char* aclGetRecentErrMsg(void) noexcept {
  auto& recent = addnorm::aclnn::recent;
  if (!recent.unread) return nullptr;
  recent.unread = false;
  recent.failed_creation = false;
  return recent.text;
}
