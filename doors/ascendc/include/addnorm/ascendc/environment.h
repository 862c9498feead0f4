// SPDX-License-Identifier: Apache-2.0
// What a kernel asks of its surroundings: which core it is, where its workspace starts, the sizes of the vector unit.
#ifndef ADDNORM_ASCENDC_ENVIRONMENT_H_
#define ADDNORM_ASCENDC_ENVIRONMENT_H_

#include "addnorm/ascendc/memory.h"

namespace AscendC {

inline int64_t GetBlockIdx() { return addnorm::ascendc::CurrentCore().block_index; }
inline int64_t GetBlockNum() { return addnorm::ascendc::CurrentCore().block_count; }
inline int64_t GetSubBlockIdx() { return addnorm::ascendc::CurrentCore().sub_block; }
inline int64_t GetSubBlockNum() { return addnorm::ascendc::CurrentCore().sub_blocks; }
inline int64_t GetTaskRation() { return addnorm::ascendc::CurrentCore().sub_blocks; }

// Values of g_coreType.
constexpr int32_t MIX = static_cast<int32_t>(addnorm::ascendc::CoreType::kMix);
constexpr int32_t AIC = static_cast<int32_t>(addnorm::ascendc::CoreType::kAic);
constexpr int32_t AIV = static_cast<int32_t>(addnorm::ascendc::CoreType::kAiv);

/// The device puts its own part before the user's; here there is none.
inline __gm__ uint8_t* GetUserWorkspace(GM_ADDR workspace) { return workspace; }
inline void SetSysWorkspace(GM_ADDR) {}

inline float ToFloat(const bfloat16_t& value) { return value; }
inline bfloat16_t ToBfloat16(const float& value) { return value; }
template <typename T, typename U>
struct IsSameType : std::is_same<T, U> {};

/// The device's caches need hints; the host's do not.
enum class CacheMode : uint8_t { CACHE_MODE_DISABLE, CACHE_MODE_NORMAL, CACHE_MODE_LAST, CACHE_MODE_PERSISTENT };
enum class CacheLine : uint8_t { SINGLE_CACHE_LINE, ENTIRE_DATA_CACHE };
enum class DcciDst : uint8_t { CACHELINE_ALL, CACHELINE_UB, CACHELINE_OUT, CACHELINE_ATOMIC };
template <typename T, CacheLine line, DcciDst destination = DcciDst::CACHELINE_ALL, typename Tensor>
void DataCacheCleanAndInvalid(const Tensor&) {}

// Bytes, elements, repeats; strides in units of 32 bytes.
constexpr int32_t ONE_BLK_SIZE = 32;
constexpr int32_t ONE_REPEAT_BYTE_SIZE = 256;
constexpr int32_t B8_BYTE_SIZE = 1;
constexpr int32_t B16_BYTE_SIZE = 2;
constexpr int32_t B32_BYTE_SIZE = 4;
constexpr int32_t ONE_BLK_HALF_NUM = 16;
constexpr int32_t ONE_BLK_FLOAT_NUM = 8;
constexpr int32_t DEFAULT_BLK_NUM = 8;
constexpr int32_t BRCB_BROADCAST_NUMBER = 8;
constexpr int32_t MAX_REPEAT_TIMES = 255;
constexpr uint8_t DEFAULT_BLK_STRIDE = 1;
constexpr uint8_t DEFAULT_REPEAT_STRIDE = 8;
constexpr uint8_t HALF_DEFAULT_REPEAT_STRIDE = 4;

}  // namespace AscendC

namespace addnorm::ascendc {
/// The kind of core that runs, whenever it is asked for.
struct RunningCoreType {
  operator int32_t() const { return static_cast<int32_t>(CurrentCore().type); }  // NOLINT: implicit by design
};
}  // namespace addnorm::ascendc
inline constexpr addnorm::ascendc::RunningCoreType g_coreType;

// Kernels write `if ASCEND_IS_AIC {`: the parentheses are part of the macro.
#define ASCEND_IS_AIC (g_coreType == AscendC::AIC)
#define ASCEND_IS_AIV (g_coreType == AscendC::AIV)
#define ASCEND_IS_NOT_AIC (!ASCEND_IS_AIC)
#define ASCEND_IS_NOT_AIV (!ASCEND_IS_AIV)

#ifndef likely
#define likely(x) __builtin_expect(!!(x), 1)
#endif
#ifndef unlikely
#define unlikely(x) __builtin_expect(!!(x), 0)
#endif

#endif  // ADDNORM_ASCENDC_ENVIRONMENT_H_
