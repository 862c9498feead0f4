// SPDX-License-Identifier: Apache-2.0
// What runs a plan: splits a problem over threads and sums the column gradients in a fixed order. Implemented in src/cpu.
#ifndef ADDNORM_SRC_CORE_BACKEND_H_
#define ADDNORM_SRC_CORE_BACKEND_H_

#include <cstddef>
#include <span>

#include "src/core/rows.h"

namespace addnorm {

size_t ForwardWorkspace(const Target& target, const ForwardArgs& args, const Executor& executor);
size_t BackwardWorkspace(const Target& target, const BackwardArgs& args, const Executor& executor);
// The workspace must hold at least what the functions above say.
void RunForward(const Target& target, const ForwardArgs& args, std::span<std::byte> workspace, const Executor& executor);
void RunBackward(const Target& target, const BackwardArgs& args, std::span<std::byte> workspace, const Executor& executor);

}  // namespace addnorm
#endif  // ADDNORM_SRC_CORE_BACKEND_H_
