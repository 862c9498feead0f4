// SPDX-License-Identifier: Apache-2.0
// The host main for one kernel, compiled together with it by `python -m addnorm ascendc` (or by hand, for a debugger):
//   g++ -g -std=c++17 -DADDNORM_KERNEL=my_kernel -DADDNORM_KERNEL_PARAMETERS="GM_ADDR, GM_ADDR" kernel.cpp run_kernel.cc -laddnorm_ascendc
//   ./a.out [--blocks N] [--threads N] [--mode aiv|aic|mix|mix11] [--architecture N] [--key N] [--abort] ARGUMENT...
// One ARGUMENT per kernel parameter: in:FILE, out:BYTES:FILE (starts as zeros), io:FILE:OUTFILE, zeros:BYTES, null, or
// layer_norm_grad:B,S,H,ORIGINAL_H,TYPE_BYTES,REUSE,STACK_BYTES,EPSILON = LayerNormGradTiling followed by a float, as in spec 003.
// Exit status: 0 ran, 1 usage or files, 2 a rule was broken (printed to stderr).
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "addnorm/ascendc/launch.h"
#include "tiling/tiling_api.h"

extern "C" void ADDNORM_KERNEL(ADDNORM_KERNEL_PARAMETERS);

namespace {

using addnorm::ascendc::GmRange;
using addnorm::ascendc::LaunchOptions;

#define ADDNORM_TEXT_OF(x) #x
#define ADDNORM_TEXT(x) ADDNORM_TEXT_OF(x)

struct Argument {
  bool null = false;
  std::vector<unsigned char> bytes;
  std::string output;
};

[[noreturn]] void Quit(const std::string& text) {
  std::fprintf(stderr, "%s: %s\n", ADDNORM_TEXT(ADDNORM_KERNEL), text.c_str());
  std::exit(1);
}

uint64_t Number(const std::string& text) {
  char* end = nullptr;
  const unsigned long long value = std::strtoull(text.c_str(), &end, 10);
  if (text.empty() || *end != '\0' || text[0] == '-') Quit("'" + text + "' is no number, expected digits");
  return value;
}

std::vector<unsigned char> ReadFile(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) Quit("cannot read " + path);
  std::vector<unsigned char> bytes;
  unsigned char chunk[65536];
  for (size_t n; (n = std::fread(chunk, 1, sizeof(chunk), file)) > 0;) bytes.insert(bytes.end(), chunk, chunk + n);
  std::fclose(file);
  return bytes;
}

void WriteFile(const std::string& path, const std::vector<unsigned char>& bytes) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  const bool written = file != nullptr && std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
  if (file == nullptr || std::fclose(file) != 0 || !written) Quit("cannot write " + path);
}

// STACK_BYTES 0 = the size that GetLayerNormGradMaxMinTmpSize calls the largest useful one.
std::vector<unsigned char> MakeTiling(const std::string& text) {
  std::vector<std::string> words;
  for (size_t start = 0; start <= text.size();) {
    const size_t comma = std::min(text.find(',', start), text.size());
    words.push_back(text.substr(start, comma - start));
    start = comma + 1;
  }
  if (words.size() != 8) Quit("layer_norm_grad:" + text + ", expected 8 numbers");
  std::vector<int64_t> numbers;
  for (size_t i = 0; i < 7; ++i) numbers.push_back(static_cast<int64_t>(Number(words[i])));
  const ge::Shape shape({numbers[0], numbers[1], numbers[2], numbers[3]});
  const auto type_bytes = static_cast<uint32_t>(numbers[4]);
  const bool reuse = numbers[5] != 0;
  uint32_t largest = 0, least = 0;
  AscendC::GetLayerNormGradMaxMinTmpSize(shape, type_bytes, reuse, largest, least);
  AscendC::tiling::LayerNormGradTiling tiling;
  AscendC::GetLayerNormGradNDTilingInfo(shape, numbers[6] == 0 ? largest : static_cast<uint32_t>(numbers[6]), type_bytes, reuse, tiling);
  const float epsilon = std::strtof(words[7].c_str(), nullptr);
  std::vector<unsigned char> bytes(sizeof(tiling) + sizeof(epsilon));
  std::memcpy(bytes.data(), &tiling, sizeof(tiling));
  std::memcpy(bytes.data() + sizeof(tiling), &epsilon, sizeof(epsilon));
  return bytes;
}

Argument Parse(const std::string& text) {
  const size_t colon = text.find(':');
  const std::string kind = text.substr(0, colon);
  const std::string rest = colon == std::string::npos ? "" : text.substr(colon + 1);
  const size_t second = rest.find(':');
  Argument argument;
  if (text == "null") {
    argument.null = true;
  } else if (kind == "in" && !rest.empty()) {
    argument.bytes = ReadFile(rest);
  } else if (kind == "layer_norm_grad") {
    argument.bytes = MakeTiling(rest);
  } else if (kind == "zeros") {
    argument.bytes.resize(Number(rest));
  } else if (kind == "out" && second != std::string::npos) {
    argument.bytes.resize(Number(rest.substr(0, second)));
    argument.output = rest.substr(second + 1);
  } else if (kind == "io" && second != std::string::npos) {
    argument.bytes = ReadFile(rest.substr(0, second));
    argument.output = rest.substr(second + 1);
  } else {
    Quit("argument '" + text + "', expected in:FILE, out:BYTES:FILE, io:FILE:OUTFILE, zeros:BYTES, null or layer_norm_grad:...");
  }
  return argument;
}

void SetOption(const std::string& name, const std::string& value, LaunchOptions* options) {
  if (name == "--blocks") {
    options->blocks = static_cast<uint32_t>(Number(value));
  } else if (name == "--threads") {
    options->threads = static_cast<uint32_t>(Number(value));
  } else if (name == "--architecture") {
    options->architecture = static_cast<uint32_t>(Number(value));
  } else if (name == "--key") {
    options->tiling_key = Number(value);
  } else if (name == "--mode" && (value == "aiv" || value == "aic" || value == "mix" || value == "mix11")) {
    options->mode = value == "aiv"   ? KernelMode::AIV_MODE
                    : value == "aic" ? KernelMode::AIC_MODE
                    : value == "mix" ? KernelMode::MIX_MODE
                                     : KernelMode::MIX_AIC_1_1;
  } else {
    Quit("option " + name + " " + value + ", expected --blocks, --threads, --mode, --architecture or --key");
  }
}

template <typename... P, size_t... I>
addnorm::ascendc::LaunchResult Run(const LaunchOptions& options, void (*kernel)(P...), const std::vector<GmRange>& ranges,
                                   std::index_sequence<I...>) {
  return addnorm::ascendc::Launch(options, kernel, ranges[I]...);
}
template <typename... P>
addnorm::ascendc::LaunchResult Run(const LaunchOptions& options, void (*kernel)(P...), const std::vector<GmRange>& ranges) {
  if (ranges.size() != sizeof...(P)) {
    Quit(std::to_string(ranges.size()) + " arguments, expected one for each of the kernel's " + std::to_string(sizeof...(P)) +
         " parameters");
  }
  return Run(options, kernel, ranges, std::index_sequence_for<P...>());
}

}  // namespace

int main(int count, char** words) {
  LaunchOptions options;
  options.kernel = ADDNORM_TEXT(ADDNORM_KERNEL);
  std::vector<Argument> arguments;
  for (int i = 1; i < count; ++i) {
    if (std::strcmp(words[i], "--abort") == 0) {
      options.on_violation = addnorm::ascendc::OnViolation::kAbort;
    } else if (std::strncmp(words[i], "--", 2) == 0 && i + 1 < count) {
      SetOption(words[i], words[i + 1], &options);
      ++i;
    } else {
      arguments.push_back(Parse(words[i]));
    }
  }
  std::vector<GmRange> ranges;
  for (Argument& argument : arguments) {
    ranges.push_back(argument.null ? GmRange{} : GmRange{argument.bytes.data(), argument.bytes.size()});
  }
  const addnorm::ascendc::LaunchResult result = Run(options, &ADDNORM_KERNEL, ranges);
  for (const Argument& argument : arguments) {
    if (!argument.output.empty()) WriteFile(argument.output, argument.bytes);
  }
  if (result.ok()) return 0;
  char line[1024];
  std::fprintf(stderr, "%s\n", addnorm::ascendc::Describe(result.first, line, sizeof(line)));
  if (result.violations > 1) std::fprintf(stderr, "cores stopped at a broken rule: %u\n", result.violations);
  return 2;
}
