// SPDX-License-Identifier: Apache-2.0
// The text of the calling thread's most recent refusal.
#ifndef ADDNORM_DOORS_ACLNN_MESSAGE_H_
#define ADDNORM_DOORS_ACLNN_MESSAGE_H_

#include <cstdarg>
#include <cstdint>

namespace addnorm::aclnn {

// Records the text for aclGetRecentErrMsg and returns `code`. Never allocates; the text is cut at 511 characters.
int32_t Fail(int32_t code, const char* format, ...) noexcept __attribute__((format(printf, 2, 3)));
int32_t FailV(int32_t code, const char* format, va_list arguments) noexcept __attribute__((format(printf, 2, 0)));

// A tensor or array could not be created on this thread, and nobody has read the text yet. A null optional argument then most likely is
// that object, and not "absent". Take returns whether it was so, and forgets it.
void NoteFailedCreation() noexcept;
bool TakeFailedCreation() noexcept;

}  // namespace addnorm::aclnn
#endif  // ADDNORM_DOORS_ACLNN_MESSAGE_H_
