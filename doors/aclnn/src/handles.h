// SPDX-License-Identifier: Apache-2.0
// The one handle table of the door: an opaque pointer of the C interface is (type, generation, slot), never an address.
//
// A handle is proved alive and of its type by comparing it with its slot, so that a destroyed, foreign or random one is told from a good
// one without being dereferenced. A slot's generation grows with every object and is never used twice. Objects are pinned while in use;
// destroying one waits for pins, which are held for the time of a copy (streams: of their work).
#ifndef ADDNORM_DOORS_ACLNN_HANDLES_H_
#define ADDNORM_DOORS_ACLNN_HANDLES_H_

#include <cstdint>
#include <utility>

namespace addnorm::aclnn {

// The type of an object: X(enumerator, name in messages). Values are part of handles; 0 = none.
#define ADDNORM_ACLNN_HANDLES(X)  \
  X(kTensor, "aclTensor")         \
  X(kIntArray, "aclIntArray")     \
  X(kFloatArray, "aclFloatArray") \
  X(kBoolArray, "aclBoolArray")   \
  X(kTensorList, "aclTensorList") \
  X(kExecutor, "aclOpExecutor")   \
  X(kStream, "aclrtStream")       \
  X(kContext, "aclrtContext")     \
  X(kComm, "HcclComm")            \
  X(kGroup, "group of ranks")

enum class Kind : uint8_t {
  kNone,
#define ADDNORM_X(name, text) name,
  ADDNORM_ACLNN_HANDLES(ADDNORM_X)
#undef ADDNORM_X
};

// Null when memory or the table's 2^24 - 1 slots are exhausted.
void* AddHandle(Kind kind, void* object) noexcept;
// The object, pinned; null if the handle is not alive or of another kind.
void* PinHandle(const void* handle, Kind kind) noexcept;
void UnpinHandle(const void* handle) noexcept;
// Ends the handle's life, waits until nobody pins the object, and returns it. Null (and nothing done) if it is not alive or of another
// kind. `own_pins`: how many of the pins are the caller's.
void* RetireHandle(const void* handle, Kind kind, uint32_t own_pins = 0) noexcept;
// The handle of the n-th slot in use of this kind, from slot `*cursor` on, which is moved past it; null after the last.
void* NextHandle(Kind kind, uint32_t* cursor) noexcept;
// "a live aclIntArray", "a destroyed or foreign handle": what a bad handle is, for messages.
const char* DescribeHandle(const void* handle) noexcept;
const char* NameOf(Kind kind) noexcept;

// Each object type says which kind it is by a static member kKind.
template <class Object>
class Pinned {
 public:
  explicit Pinned(const void* handle) noexcept : handle_(handle), object_(static_cast<Object*>(PinHandle(handle, Object::kKind))) {}
  ~Pinned() {
    if (object_ != nullptr) UnpinHandle(handle_);
  }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;
  explicit operator bool() const { return object_ != nullptr; }
  Object* operator->() const { return object_; }
  Object& operator*() const { return *object_; }
  // Ends the handle's life; the caller owns the object, which nobody else uses any more. Null if another thread was first.
  Object* Retire() noexcept {
    if (RetireHandle(handle_, Object::kKind, 1) == nullptr) return nullptr;
    return std::exchange(object_, nullptr);
  }

 private:
  const void* handle_;
  Object* object_;
};

}  // namespace addnorm::aclnn
#endif  // ADDNORM_DOORS_ACLNN_HANDLES_H_
