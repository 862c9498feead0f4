# SPDX-License-Identifier: Apache-2.0
# addnorm_flags: how every target of this project is compiled and linked.
include_guard(GLOBAL)
include(CheckCXXCompilerFlag)

if(PROJECT_IS_TOP_LEVEL)
  if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
  endif()
  set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG" CACHE STRING "" FORCE)
  set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
  find_program(ADDNORM_CCACHE ccache)
  if(ADDNORM_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
    set(CMAKE_C_COMPILER_LAUNCHER "${ADDNORM_CCACHE}")
    set(CMAKE_CXX_COMPILER_LAUNCHER "${ADDNORM_CCACHE}")
  endif()
endif()
set(CMAKE_CXX_EXTENSIONS OFF)

add_library(addnorm_flags INTERFACE)
target_compile_features(addnorm_flags INTERFACE cxx_std_20)
target_compile_options(addnorm_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wformat=2
  # Naming only the operands that are present is how problems are written.
  -Wno-missing-field-initializers
  # The same bits everywhere: no multiply-add that the source does not ask for.
  -ffp-contract=off
  -fvisibility=hidden $<$<COMPILE_LANGUAGE:CXX>:-fvisibility-inlines-hidden>
  -fstack-protector-strong -fno-delete-null-pointer-checks
  "-ffile-prefix-map=${PROJECT_SOURCE_DIR}=.")
target_compile_definitions(addnorm_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:_GLIBCXX_ASSERTIONS>)

foreach(flag IN ITEMS -fstack-clash-protection -fcf-protection=full -mbranch-protection=standard)
  string(MAKE_C_IDENTIFIER "ADDNORM_HAS${flag}" known)
  check_cxx_compiler_flag("-Werror ${flag}" ${known})
  if(${known})
    target_compile_options(addnorm_flags INTERFACE ${flag})
  endif()
endforeach()

set(ADDNORM_SANITIZE "" CACHE STRING "Sanitizers, e.g. address,undefined or thread")
if(ADDNORM_SANITIZE)
  set(sanitize "-fsanitize=${ADDNORM_SANITIZE}" -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_compile_options(addnorm_flags INTERFACE ${sanitize})
  target_link_options(addnorm_flags INTERFACE ${sanitize})
else()
  # Fortified libc calls hide from the sanitizers, and need an optimised build.
  target_compile_options(addnorm_flags INTERFACE $<$<CONFIG:Release,RelWithDebInfo>:-U_FORTIFY_SOURCE$<SEMICOLON>-D_FORTIFY_SOURCE=3>)
  target_link_options(addnorm_flags INTERFACE -Wl,--no-undefined)
endif()
target_link_options(addnorm_flags INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code -Wl,--as-needed)
