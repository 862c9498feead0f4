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

// What Fail has recorded last on this thread, read or not; it stays unread.
const char* RecentText() noexcept;

// A tensor could not be created on this thread, for the reason that Fail has just been given. A null optional argument of the next phase 1
// then most likely is that tensor, and not "absent". Take gives the reason, null if there is none or it has been read, and forgets it.
void NoteFailedCreation() noexcept;
const char* TakeFailedCreation() noexcept;

}  // namespace addnorm::aclnn
#endif  // ADDNORM_DOORS_ACLNN_MESSAGE_H_
