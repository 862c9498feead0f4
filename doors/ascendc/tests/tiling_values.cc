// SPDX-License-Identifier: Apache-2.0
// Reads lines "B S H originalH stackBytes typeBytes reuse" and prints what the host tiling gives, for test_ascendc_tiling.py.
#include <cstdio>
#include <cstring>
#include <type_traits>

#include "tiling/tiling_api.h"

// As op hosts do: the plain structs are in AscendC::tiling only.
using namespace optiling;  // NOLINT(google-build-using-namespace)
static_assert(!std::is_same_v<LayerNormGradTiling, AscendC::tiling::LayerNormGradTiling>, "optiling's");

namespace {

template <typename Plain, typename Serialised>
void Print(uint32_t most, uint32_t least, const Plain& plain, const Serialised& serialised) {
  uint32_t words[sizeof(Plain) / 4], other[sizeof(Plain) / 4] = {};
  std::memcpy(words, &plain, sizeof(plain));
  serialised.SaveToBuffer(other, sizeof(other) - 1);  // too small: nothing happens
  bool untouched = true;
  for (uint32_t word : other) untouched = untouched && word == 0;
  serialised.SaveToBuffer(other, sizeof(other));
  const bool same = untouched && serialised.GetDataSize() == sizeof(plain) && std::memcmp(words, other, sizeof(words)) == 0 &&
                    serialised.get_hLength() == plain.hLength;
  std::printf("%u %u %d", most, least, same ? 1 : 0);
  for (uint32_t word : words) std::printf(" %u", word);
}

}  // namespace

int main() {
  long long b, s, h, original_h;
  unsigned stack, type;
  int reuse;
  while (std::scanf("%lld %lld %lld %lld %u %u %d", &b, &s, &h, &original_h, &stack, &type, &reuse) == 7) {
    const ge::Shape shape({b, s, h, original_h});
    uint32_t most = 0, least = 0;
#define CALL(Call, Tiling)                                                        \
  {                                                                               \
    AscendC::tiling::Tiling plain;                                                \
    optiling::Tiling serialised;                                                  \
    plain.hLength = 77; /* stays where the stack is too small */                  \
    serialised.set_hLength(77);                                                   \
    AscendC::Get##Call##MaxMinTmpSize(shape, type, reuse != 0, most, least);      \
    AscendC::Get##Call##NDTilingInfo(shape, stack, type, reuse != 0, plain);      \
    AscendC::Get##Call##NDTilingInfo(shape, stack, type, reuse != 0, serialised); \
    Print(most, least, plain, serialised);                                        \
    std::printf(" ");                                                             \
  }
    CALL(LayerNormGrad, LayerNormGradTiling)
    CALL(LayerNormGradBeta, LayerNormGradBetaTiling)
    CALL(LayerNorm, LayerNormTiling)
    std::printf("\n");
  }
}
