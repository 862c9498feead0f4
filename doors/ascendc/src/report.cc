// SPDX-License-Identifier: Apache-2.0
// Naming, describing and raising broken rules.
#include "addnorm/ascendc/report.h"

#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "doors/ascendc/src/core.h"

namespace addnorm::ascendc {
namespace {

std::atomic<OnViolation>& Action() {
  static std::atomic<OnViolation> action = [] {
    const char* report = std::getenv("ADDNORM_ASCENDC_REPORT");
    return report != nullptr && std::strcmp(report, "1") == 0 ? OnViolation::kReport : OnViolation::kAbort;
  }();
  return action;
}

}  // namespace

const char* NameOf(Rule rule) {
  switch (rule) {
#define ADDNORM_X(name, text) \
  case Rule::name:            \
    return text;
    ADDNORM_ASCENDC_RULES(ADDNORM_X)
#undef ADDNORM_X
  }
  return "invalid";
}

void SetOnViolation(OnViolation action) { Action() = action; }
OnViolation GetOnViolation() { return Action(); }

char* Describe(const Violation& violation, char* out, size_t size) {
  // A launch knows no line of its own; its text starts with the kernel's name.
  char place[sizeof(violation.file) + 16] = "";
  if (violation.line != 0) std::snprintf(place, sizeof(place), "%s:%d: ", violation.file, violation.line);
  std::snprintf(out, size, "%srule '%s' broken on core %d: %s", place, NameOf(violation.rule), violation.core, violation.text);
  return out;
}

void Print(const Violation& violation) {
  char line[1024];
  std::fflush(stdout);  // what the kernel printed comes first, also where both go to the same pipe
  std::fprintf(stderr, "%s\n", Describe(violation, line, sizeof(line)));
}

void EndProcess() {
  // abort drops what is not flushed, and a pipe's stdout is not flushed at line ends: the prints before the fault would be lost.
  std::fflush(nullptr);
  std::abort();
}

void Core::Raise(Rule rule, Here here, const char* text) const {
  Violation violation;
  violation.rule = rule;
  violation.core = static_cast<int>(number);
  violation.line = here.line;
  std::snprintf(violation.file, sizeof(violation.file), "%s", here.file);
  std::snprintf(violation.text, sizeof(violation.text), "%s", text);
  if (on_violation == OnViolation::kAbort) {
    // Here, not where the launch ends: a debugger then shows the kernel's own frames.
    Print(violation);
    EndProcess();
  }
  throw violation;
}

void Fail(Rule rule, Here here, const char* format, ...) {
  char text[sizeof(Violation::text)];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  Core::Current().Raise(rule, here, text);
}

}  // namespace addnorm::ascendc
