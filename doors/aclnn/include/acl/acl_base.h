/* SPDX-License-Identifier: Apache-2.0
 * Base vocabulary of the acl interface: status codes, element types, formats, half precision, the error text.
 * Compiles as C11 and as C++11. Names, values and prototypes are those of CANN; the implementation is addnorm's, on the host.
 */
#ifndef ADDNORM_ACL_ACL_BASE_H_
#define ADDNORM_ACL_ACL_BASE_H_

#include <stddef.h>
#include <stdint.h>
#ifndef __cplusplus
#include <stdbool.h>
#endif

#ifndef ACL_FUNC_VISIBILITY
#if defined(_WIN32)
#define ACL_FUNC_VISIBILITY
#else
#define ACL_FUNC_VISIBILITY __attribute__((visibility("default")))
#endif
#endif

/* No function of this interface lets an exception out, which the library holds itself to. Programs do not see the noexcept: one that
 * declares a function itself, as CANN's headers do, has to compile. */
#ifdef ADDNORM_ACLNN_BUILDING
#define ADDNORM_ACL_NOEXCEPT noexcept
#else
#define ADDNORM_ACL_NOEXCEPT
#endif

/* Enumerations hold any int, as they do in C. */
#ifdef __cplusplus
#define ADDNORM_ACL_ANY_INT : int
extern "C" {
#else
#define ADDNORM_ACL_ANY_INT
#endif

typedef int aclError;
typedef uint16_t aclFloat16;
typedef void* aclrtStream;
typedef void* aclrtContext;
typedef void* aclrtEvent;

static const int ACL_SUCCESS = 0;
static const int ACL_ERROR_NONE = 0;
static const int ACL_ERROR_INVALID_PARAM = 100000;
static const int ACL_ERROR_UNINITIALIZE = 100001;
static const int ACL_ERROR_REPEAT_INITIALIZE = 100002;
static const int ACL_ERROR_REPEAT_FINALIZE = 100037;
static const int ACL_ERROR_RT_CONTEXT_NULL = 107002;
static const int ACL_ERROR_RT_STREAM_SYNC_TIMEOUT = 107020;
static const int ACL_ERROR_BAD_ALLOC = 200000;
static const int ACL_ERROR_API_NOT_SUPPORT = 200001;
static const int ACL_ERROR_INVALID_DEVICE = 200002;
static const int ACL_ERROR_MEMORY_ADDRESS_UNALIGNED = 200003;
static const int ACL_ERROR_INTERNAL_ERROR = 500000;
static const int ACL_ERROR_FAILURE = 500001;
static const int ACL_ERROR_RT_FAILURE = 500003;

typedef enum ADDNORM_ACL_ANY_INT {
  ACL_DT_UNDEFINED = -1,
  ACL_FLOAT = 0,
  ACL_FLOAT16 = 1,
  ACL_INT8 = 2,
  ACL_INT32 = 3,
  ACL_UINT8 = 4,
  ACL_INT16 = 6,
  ACL_UINT16 = 7,
  ACL_UINT32 = 8,
  ACL_INT64 = 9,
  ACL_UINT64 = 10,
  ACL_DOUBLE = 11,
  ACL_BOOL = 12,
  ACL_STRING = 13,
  ACL_COMPLEX64 = 16,
  ACL_COMPLEX128 = 17,
  ACL_BF16 = 27,
  ACL_INT4 = 29,
  ACL_UINT1 = 30,
  ACL_COMPLEX32 = 33,
  ACL_HIFLOAT8 = 34,
  ACL_FLOAT8_E5M2 = 35,
  ACL_FLOAT8_E4M3FN = 36,
  ACL_FLOAT8_E8M0 = 37,
  ACL_FLOAT6_E3M2 = 38,
  ACL_FLOAT6_E2M3 = 39,
  ACL_FLOAT4_E2M1 = 40,
  ACL_FLOAT4_E1M2 = 41
} aclDataType;

typedef enum ADDNORM_ACL_ANY_INT {
  ACL_FORMAT_UNDEFINED = -1,
  ACL_FORMAT_NCHW = 0,
  ACL_FORMAT_NHWC = 1,
  ACL_FORMAT_ND = 2,
  ACL_FORMAT_NC1HWC0 = 3,
  ACL_FORMAT_FRACTAL_Z = 4,
  ACL_FORMAT_HWCN = 16,
  ACL_FORMAT_NDHWC = 27,
  ACL_FORMAT_FRACTAL_NZ = 29,
  ACL_FORMAT_NCDHW = 30,
  ACL_FORMAT_NCL = 47
} aclFormat;

/* Bytes of one element; 0 for types of less than a byte, strings and values outside the enumeration. */
ACL_FUNC_VISIBILITY size_t aclDataTypeSize(aclDataType dataType) ADDNORM_ACL_NOEXCEPT;

/* Half precision without infinities, as the hardware has it. To float: exponent 31 is an ordinary exponent (0x7C00 = 65536, 0x7E00 =
 * 98304). To half: rounded to nearest even; what is too large, infinite or NaN becomes 65504 with the sign of the value. */
ACL_FUNC_VISIBILITY float aclFloat16ToFloat(aclFloat16 value) ADDNORM_ACL_NOEXCEPT;
ACL_FUNC_VISIBILITY aclFloat16 aclFloatToFloat16(float value) ADDNORM_ACL_NOEXCEPT;

/* The text of the calling thread's most recent refusal, null if there was none since the last call. It names API, rule, argument, what was
 * given and what was expected; it lives until the thread's next refusal. */
ACL_FUNC_VISIBILITY const char* aclGetRecentErrMsg(void) ADDNORM_ACL_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif /* ADDNORM_ACL_ACL_BASE_H_ */
