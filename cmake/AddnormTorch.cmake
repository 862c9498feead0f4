# SPDX-License-Identifier: Apache-2.0
# Sets ADDNORM_TORCH_FOUND and defines addnorm_libtorch: the headers and libraries of the torch that this Python imports.
# find_package(Torch) is not used: it brings in Caffe2's and CUDA's logic, of which nothing is needed.
include_guard(GLOBAL)
set(ADDNORM_TORCH_FOUND OFF)

if(ADDNORM_TORCH STREQUAL "OFF" OR NOT EXISTS "${PROJECT_SOURCE_DIR}/doors/torch/CMakeLists.txt")
  return()
endif()

if(NOT Python_EXECUTABLE AND EXISTS "${PROJECT_SOURCE_DIR}/.venv/bin/python")
  set(Python_EXECUTABLE "${PROJECT_SOURCE_DIR}/.venv/bin/python")
endif()
find_package(Python COMPONENTS Interpreter QUIET)
set(ask "import os, torch; print(os.path.dirname(torch.__file__), torch.__version__, sep=';')")
set(answer "")
if(Python_EXECUTABLE)
  execute_process(COMMAND "${Python_EXECUTABLE}" -c "${ask}" OUTPUT_VARIABLE answer ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
endif()
if(NOT answer)
  string(CONCAT line "torch not visible in this build environment (${Python_EXECUTABLE}); building without the torch front door. "
    "Use: pip install --no-build-isolation .")
  if(ADDNORM_TORCH STREQUAL "ON")
    message(FATAL_ERROR "${line}")
  endif()
  message(STATUS "${line}")
  return()
endif()

list(GET answer 0 torch_folder)
list(GET answer 1 torch_version)
if(torch_version VERSION_LESS 2.10)
  message(FATAL_ERROR "addnorm needs torch >= 2.10 (its stable ABI); ${Python_EXECUTABLE} has ${torch_version}")
endif()
message(STATUS "torch ${torch_version}: ${torch_folder}")

add_library(addnorm_libtorch INTERFACE)
target_include_directories(addnorm_libtorch SYSTEM INTERFACE
  "${torch_folder}/include" "${torch_folder}/include/torch/csrc/api/include")
# The stable ABI of 2.10: one binary for every later torch.
target_compile_definitions(addnorm_libtorch INTERFACE TORCH_TARGET_VERSION=0x020a000000000000ULL)
# torch is loaded RTLD_LOCAL, so its symbols resolve only through DT_NEEDED; the process has loaded it, so no RPATH.
target_link_options(addnorm_libtorch INTERFACE -Wl,--no-as-needed)
target_link_libraries(addnorm_libtorch INTERFACE
  "${torch_folder}/lib/libtorch_cpu.so" "${torch_folder}/lib/libtorch.so" "${torch_folder}/lib/libc10.so")
set(ADDNORM_TORCH_FOUND ON)
set(ADDNORM_TORCH_LIBRARY_FOLDER "${torch_folder}/lib")
