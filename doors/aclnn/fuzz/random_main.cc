// SPDX-License-Identifier: Apache-2.0
// The same target without libFuzzer: random bytes for a number of seconds, or one input from a file. usage: aclnn_fuzz_random SECONDS
// [SEED] | FILE
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "doors/aclnn/fuzz/fuzz_ops.h"

using addnorm::aclnn_test::Finding;
using addnorm::aclnn_test::RunOne;

int main(int argc, char** argv) {
  char* end = nullptr;
  const double seconds = argc > 1 ? std::strtod(argv[1], &end) : 10;
  if (argc > 1 && *end != '\0') {
    std::ifstream file(argv[1], std::ios::binary);
    const std::vector<char> bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    const Finding finding = RunOne(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    std::printf("%s\n", finding.found ? finding.text.c_str() : "nothing found");
    return finding.found ? 1 : 0;
  }
  std::mt19937_64 random(argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1);
  const auto start = std::chrono::steady_clock::now();
  uint64_t runs = 0, valid = 0;
  double passed = 0;
  std::vector<uint8_t> bytes(320);
  for (; passed < seconds; ++runs) {
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
    const Finding finding = RunOne(bytes.data(), bytes.size());
    if (finding.found) {
      std::printf("after %llu runs: %s\n", static_cast<unsigned long long>(runs), finding.text.c_str());
      return 1;
    }
    valid += finding.valid;
    if (runs % 64 == 0) passed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  std::printf("%llu runs in %.1f s, %.0f %% of them valid calls, nothing found\n", static_cast<unsigned long long>(runs), passed,
              100.0 * static_cast<double>(valid) / static_cast<double>(runs));
  return valid * 10 < runs || valid * 10 > runs * 9 ? 1 : 0;
}
