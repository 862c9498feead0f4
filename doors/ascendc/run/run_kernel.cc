// SPDX-License-Identifier: Apache-2.0
// The host main for one kernel, which it includes; for `python -m addnorm ascendc` or by hand, for a debugger:
//   g++ -g -std=c++17 -DADDNORM_KERNEL=my_kernel -DADDNORM_KERNEL_FILE='"kernel.cpp"' run_kernel.cc -laddnorm_ascendc
//   ./a.out [--blocks N] [--threads N] [--mode aiv|aic|mix|mix11] [--key N] [--abort] ARGUMENT...
// One ARGUMENT per kernel parameter: in:FILE, out:BYTES:FILE (starts as zeros), io:FILE:OUTFILE, zeros:BYTES, null, number:VALUE, or
// layer_norm_grad:B,S,H,ORIGINAL_H,TYPE_BYTES,REUSE,STACK_BYTES,EPSILON = LayerNormGradTiling followed by a float, as in spec 003.
// A parameter that is no pointer, such as a tiling struct, takes the bytes themselves.
// Exit status: 0 ran, 1 usage or files, 2 a rule was broken (printed to stderr).
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "addnorm/ascendc/launch.h"
#include "tiling/tiling_api.h"

namespace addnorm_run {

using addnorm::ascendc::GmRange;
using addnorm::ascendc::LaunchOptions;

#define ADDNORM_TEXT_OF(...) #__VA_ARGS__
#define ADDNORM_TEXT(...) ADDNORM_TEXT_OF(__VA_ARGS__)

struct Argument {
  std::string words;
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
  if (tiling.oneCalSize == 0) {
    const uint64_t row = uint64_t{type_bytes == 2 ? 9u : reuse ? 4u : 6u} * static_cast<uint64_t>(numbers[2]) * 4;
    Quit("stackBufferSize is " + words[6] + ", expected at least the " + std::to_string(row) + " bytes of one row");
  }
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
  argument.words = text;
  if (text == "null" || (kind == "number" && !rest.empty())) {
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
    Quit("argument '" + text +
         "', expected in:FILE, out:BYTES:FILE, io:FILE:OUTFILE, zeros:BYTES, null, number:VALUE or layer_norm_grad:...");
  }
  return argument;
}

void SetOption(const std::string& name, const std::string& value, LaunchOptions* options) {
  if (name == "--blocks") {
    options->blocks = static_cast<uint32_t>(Number(value));
  } else if (name == "--threads") {
    options->threads = static_cast<uint32_t>(Number(value));
  } else if (name == "--key") {
    options->tiling_key = Number(value);
  } else if (name == "--mode" && (value == "aiv" || value == "aic" || value == "mix" || value == "mix11")) {
    options->mode = value == "aiv"   ? KernelMode::AIV_MODE
                    : value == "aic" ? KernelMode::AIC_MODE
                    : value == "mix" ? KernelMode::MIX_MODE
                                     : KernelMode::MIX_AIC_1_1;
  } else {
    Quit("option " + name + " " + value + ", expected --blocks, --threads, --mode or --key");
  }
}

// What the kernel gets for its parameter of type P.
template <typename P>
auto Bind(const Argument& argument) {
  const bool number = argument.words.rfind("number:", 0) == 0;
  if constexpr (std::is_pointer_v<P>) {
    if (number) Quit("argument '" + argument.words + "', but the kernel has a pointer there");
    auto* data = const_cast<unsigned char*>(argument.bytes.data());
    return argument.null ? GmRange{} : GmRange{data, argument.bytes.size()};
  } else {
    P value{};
    if constexpr (std::is_arithmetic_v<P>) {
      char* end = nullptr;
      if (number) value = static_cast<P>(std::strtold(argument.words.c_str() + 7, &end));
      if (number && *end == '\0') return value;
    }
    static_assert(std::is_trivially_copyable_v<P>, "a kernel's parameters are plain data");
    if (argument.bytes.size() != sizeof(P)) {
      Quit("argument '" + argument.words + "' has " + std::to_string(argument.bytes.size()) + " bytes, expected the " +
           std::to_string(sizeof(P)) + " of the kernel's parameter");
    }
    std::memcpy(&value, argument.bytes.data(), sizeof(P));
    return value;
  }
}

template <typename... P, size_t... I>
addnorm::ascendc::LaunchResult Run(const LaunchOptions& options, void (*kernel)(P...), const std::vector<Argument>& arguments,
                                   std::index_sequence<I...>) {
  return addnorm::ascendc::Launch(options, kernel, Bind<P>(arguments[I])...);
}
template <typename... P>
addnorm::ascendc::LaunchResult Run(const LaunchOptions& options, void (*kernel)(P...), const std::vector<Argument>& arguments) {
  if (arguments.size() != sizeof...(P)) {
    Quit(std::to_string(arguments.size()) + " arguments, expected one for each of the kernel's " + std::to_string(sizeof...(P)) +
         " parameters");
  }
  return Run(options, kernel, arguments, std::index_sequence_for<P...>());
}

template <typename... P>
int Main(void (*kernel)(P...), int count, char** words) {
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
  const addnorm::ascendc::LaunchResult result = Run(options, kernel, arguments);
  for (const Argument& argument : arguments) {
    if (!argument.output.empty()) WriteFile(argument.output, argument.bytes);
  }
  if (result.ok()) return 0;
  char line[1024];
  std::fflush(stdout);  // what the kernel printed comes first, also in one pipe with the rule
  std::fprintf(stderr, "%s\n", addnorm::ascendc::Describe(result.first, line, sizeof(line)));
  if (result.violations > 1) std::fprintf(stderr, "cores stopped at a broken rule: %u\n", result.violations);
  return 2;
}

}  // namespace addnorm_run

// Last, so that nothing in it changes the code above.
#include ADDNORM_KERNEL_FILE

int main(int count, char** words) { return addnorm_run::Main(&ADDNORM_KERNEL, count, words); }
