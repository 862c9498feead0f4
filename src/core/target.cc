// SPDX-License-Identifier: Apache-2.0
#include "src/core/target.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "addnorm/addnorm.h"

namespace addnorm {
namespace {

struct Available {
  const Target* targets[8] = {};
  const char* names[8] = {};
  size_t count = 0;
  const char* wanted = nullptr;    // ADDNORM_TARGET, if set
  const Target* chosen = nullptr;  // null: `wanted` is unknown

  Available() {
    for (const Target* target : BuiltTargets()) {
      if (!target->supported()) continue;
      targets[count] = target;
      names[count++] = target->name;
    }
    wanted = std::getenv("ADDNORM_TARGET");
    if (wanted != nullptr && *wanted == '\0') wanted = nullptr;
    chosen = wanted ? Find(wanted) : targets[0];
  }
  const Target* Find(const char* name) const {
    for (size_t i = 0; i < count; ++i) {
      if (std::strcmp(names[i], name) == 0) return targets[i];
    }
    return nullptr;
  }
};

const Available& Here() {
  static const Available available;
  return available;
}

thread_local const Target* thread_target = nullptr;

Status Unknown(const char* api, const char* argument, const char* name) {
  char list[128] = "";
  size_t used = 0;
  for (size_t i = 0; i < Here().count && used < sizeof(list); ++i) {
    used += static_cast<size_t>(std::snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "", Here().names[i]));
  }
  return Status::Error(Code::kUnsupported, "%s: %s is '%.40s', expected a SIMD target of this machine: %s", api, argument, name, list);
}

}  // namespace

Status ChooseTarget(const char* api, const Target** target) {
  *target = thread_target ? thread_target : Here().chosen;
  return *target ? Status() : Unknown(api, "the environment variable ADDNORM_TARGET", Here().wanted);
}

std::span<const char* const> AvailableTargets() { return {Here().names, Here().count}; }

const char* CurrentTarget() {
  const Target* target = thread_target ? thread_target : Here().chosen;
  return target ? target->name : "";
}

Status SetThreadTarget(const char* name) {
  const Target* target = name ? Here().Find(name) : nullptr;
  if (name && target == nullptr) return Unknown("addnorm::SetThreadTarget", "argument 'name'", name);
  thread_target = target;
  return Status();
}

}  // namespace addnorm
