// SPDX-License-Identifier: Apache-2.0
#include "aclnnop/aclnn_trans_quant_param.h"

#include <algorithm>
#include <bit>
#include <cinttypes>
#include <cmath>
#include <new>

#include "doors/aclnn/src/message.h"

namespace addnorm::aclnn {
namespace {

constexpr const char* kApi = "aclnnTransQuantParam";
constexpr uint32_t kHardwareBits = 0xFFFFE000u;  // sign, 8 bits of exponent, 10 of mantissa
constexpr uint64_t kSignBit = uint64_t{1} << 46, kOffsetBits = 0x1FF;
constexpr int kOffsetAt = 37;
constexpr uint64_t kMaxWords = uint64_t{1} << 32;

uint64_t OffsetField(float offset) {
  const float whole = std::isnan(offset) ? 0.0f : std::clamp(std::nearbyint(offset), -256.0f, 255.0f);
  return (static_cast<uint64_t>(static_cast<int64_t>(whole)) & kOffsetBits) << kOffsetAt;
}

aclnnStatus Null(const char* name) noexcept {
  return Fail(ACLNN_ERR_PARAM_NULLPTR, "%s: rule 161001-1: argument '%s' is null, expected a pointer", kApi, name);
}

}  // namespace
}  // namespace addnorm::aclnn

using namespace addnorm::aclnn;

extern "C" aclnnStatus aclnnTransQuantParam(const float* scaleArray, uint64_t scaleSize, const float* offsetArray, uint64_t offsetSize,
                                            uint64_t** quantParam, uint64_t* quantParamSize) noexcept {
  if (scaleArray == nullptr) return Null("scaleArray");
  if (offsetArray == nullptr && offsetSize != 0) return Null("offsetArray");
  if (quantParam == nullptr) return Null("quantParam");
  if (quantParamSize == nullptr) return Null("quantParamSize");
  if (scaleSize == 0 || scaleSize > kMaxWords) {
    return Fail(ACLNN_ERR_PARAM_INVALID, "%s: rule 161002-1: argument 'scaleSize' is %" PRIu64 ", expected 1 to 2^32", kApi, scaleSize);
  }
  const bool offsets = offsetSize != 0;
  if (offsets && offsetSize != scaleSize && std::min(offsetSize, scaleSize) != 1) {
    return Fail(ACLNN_ERR_PARAM_INVALID, "%s: rule 161002-2: argument 'offsetSize' is %" PRIu64 ", expected 0, 1 or %" PRIu64 ", scaleSize",
                kApi, offsetSize, scaleSize);
  }
  const uint64_t count = std::max(scaleSize, offsetSize);
  auto* words = count > kMaxWords ? nullptr : new (std::nothrow) uint64_t[count];
  if (words == nullptr) return Fail(ACLNN_ERR_INNER, "%s: no memory for %" PRIu64 " words", kApi, count);
  for (uint64_t i = 0; i < count; ++i) {
    words[i] = (std::bit_cast<uint32_t>(scaleArray[scaleSize == 1 ? 0 : i]) & kHardwareBits) | kSignBit;
    if (offsets) words[i] |= OffsetField(offsetArray[offsetSize == 1 ? 0 : i]);
  }
  *quantParam = words;
  *quantParamSize = count;
  return ACLNN_SUCCESS;
}
