// SPDX-License-Identifier: Apache-2.0
#include "doors/aclnn/src/message.h"

#include <cstdio>

#include "acl/acl_base.h"

namespace addnorm::aclnn {
namespace {

struct Recent {
  char text[512];
  bool unread;
  bool is_creation;      // `text` is why no tensor was created
  bool failed_creation;  // and no phase 1 has been told, nor has the program read it
  char creation[200];
};
thread_local constinit Recent recent = {};

}  // namespace

int32_t FailV(int32_t code, const char* format, va_list arguments) noexcept {
  std::vsnprintf(recent.text, sizeof recent.text, format, arguments);  // NOLINT(clang-analyzer-valist.Uninitialized)
  recent.unread = true;
  recent.is_creation = false;
  return code;
}

int32_t Fail(int32_t code, const char* format, ...) noexcept {
  va_list arguments;
  va_start(arguments, format);
  FailV(code, format, arguments);
  va_end(arguments);
  return code;
}

const char* RecentText() noexcept { return recent.text; }

void NoteFailedCreation() noexcept {
  recent.is_creation = recent.failed_creation = true;
  std::snprintf(recent.creation, sizeof recent.creation, "%.199s", recent.text);
}

const char* TakeFailedCreation() noexcept {
  const bool failed = recent.failed_creation;
  recent.failed_creation = false;
  return failed ? recent.creation : nullptr;
}

}  // namespace addnorm::aclnn

extern "C" const char* aclGetRecentErrMsg(void) noexcept {
  auto& recent = addnorm::aclnn::recent;
  if (!recent.unread) return nullptr;
  recent.unread = false;
  if (recent.is_creation) recent.failed_creation = false;
  return recent.text;
}
