// SPDX-License-Identifier: Apache-2.0
// What a broken rule of the device looks like: which rule, where in the kernel, on which core, in words.
// Kernel headers are C++17 and light: no addnorm core header, no SIMD, no torch, nothing heavier than <cstdint>.
#ifndef ADDNORM_ASCENDC_REPORT_H_
#define ADDNORM_ASCENDC_REPORT_H_

#include <cstddef>
#include <cstdint>

#define ADDNORM_ASCENDC_API __attribute__((visibility("default")))

namespace addnorm::ascendc {

/// Where a call stands in the user's source. As a default argument it names the line of the call, on g++ and clang++.
struct Here {
  const char* file;
  int line;
  Here(const char* f = __builtin_FILE(), int l = __builtin_LINE()) : file(f), line(l) {}  // NOLINT: implicit by design
};

/// The rules that are checked: X(enumerator, name in messages). docs/ascendc.md explains each.
#define ADDNORM_ASCENDC_RULES(X)                                                                        \
  X(kAlignment, "alignment")          /* local operands start at a multiple of 32 bytes */              \
  X(kCopyLength, "copy-length")       /* DataCopy moves whole 32-byte units */                          \
  X(kCapacity, "ub-capacity")         /* buffers fit in the memory of the chosen architecture */        \
  X(kPipe, "pipe")                    /* one live TPipe, 1..64 buffers, no buffer of 0 bytes */         \
  X(kQueueDepth, "queue-depth")       /* no more tensors in a queue than its depth, or than buffers */  \
  X(kQueueState, "queue-state")       /* Alloc, EnQue, DeQue, Free in this order */                     \
  X(kFlag, "flag")                    /* SetFlag, then WaitFlag, of the same event and id */            \
  X(kUseAfterFree, "use-after-free")  /* no use of a tensor after FreeTensor or after its pipe */       \
  X(kUninitialised, "never-written")  /* no value leaves UB that nobody wrote */                        \
  X(kLocalBounds, "local-bounds")     /* an operation stays inside its local tensors */                 \
  X(kGlobalBounds, "gm-bounds")       /* an access stays inside its global tensor and its allocation */ \
  X(kGlobalArgument, "gm-argument")   /* kernel pointers come from GmAlloc or the launcher */           \
  X(kTmpSize, "tmp-size")             /* temporary memory is as large as the call needs */              \
  X(kPosition, "position")            /* operands are in VECIN, VECCALC or VECOUT */                    \
  X(kFormat, "format")                /* DataFormat::ND only */                                         \
  X(kTailAxis, "tail-axis")           /* the last axis is a multiple of 32 bytes */                     \
  X(kShape, "shape")                  /* sizes agree with the tiling and are not zero */                \
  X(kOverlap, "overlap")              /* operands are the same memory or disjoint */                    \
  X(kParameter, "parameter")          /* masks, repeats, strides and lengths are in range */            \
  X(kBlockConflict, "block-conflict") /* two cores do not write the same bytes of GM */                 \
  X(kUnfreed, "unfreed")              /* every tensor is freed at the end of the kernel */              \
  X(kLaunch, "launch")                /* the launch itself: cores, memory, the core library */

enum class Rule : uint8_t {
#define ADDNORM_X(name, text) name,
  ADDNORM_ASCENDC_RULES(ADDNORM_X)
#undef ADDNORM_X
};

/// "alignment", ...; "invalid" for a value outside the list.
ADDNORM_ASCENDC_API const char* NameOf(Rule rule);

/// One broken rule. Thrown through the kernel to stop its core; the launcher catches it. A kernel that is called outside a
/// launch throws it to its caller under OnViolation::kReport.
struct ADDNORM_ASCENDC_API Violation {
  Rule rule = Rule::kLaunch;
  int core = 0;  // index among the cores of the launch
  int line = 0;
  char file[256] = {};
  char text[512] = {};  // "<api>: argument '<name>' <property> is <got>, expected <rule>"
};

/// What a broken rule does: print and abort (as the vendor's host mode), or stop that core and report to the caller.
enum class OnViolation : uint8_t { kAbort, kReport };

/// For ICPU_RUN_KF and for kernels called outside a launch. Initially kAbort, or kReport if ADDNORM_ASCENDC_REPORT=1 is set.
ADDNORM_ASCENDC_API void SetOnViolation(OnViolation action);
ADDNORM_ASCENDC_API OnViolation GetOnViolation();

/// "file:line: rule 'name' broken on core n: text"; without file and line where none is known. Writes at most `size` bytes with the ending
/// zero; returns `out`.
ADDNORM_ASCENDC_API char* Describe(const Violation& violation, char* out, size_t size);

}  // namespace addnorm::ascendc
#endif  // ADDNORM_ASCENDC_REPORT_H_
