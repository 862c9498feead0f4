# SPDX-License-Identifier: Apache-2.0
# addnorm_highway: Google Highway's headers. addnorm has its own dispatch, so nothing of Highway is linked.
include_guard(GLOBAL)

# Headers serve every architecture: a cross build takes the host's, but must not see the rest of the host's include folder.
find_path(ADDNORM_HIGHWAY_INCLUDE hwy/highway.h NO_CMAKE_FIND_ROOT_PATH REQUIRED
  DOC "Folder that holds hwy/highway.h (Debian: libhwy-dev)")
set(ADDNORM_HIGHWAY_USED "${ADDNORM_HIGHWAY_INCLUDE}")
if(CMAKE_CROSSCOMPILING)
  set(ADDNORM_HIGHWAY_USED "${PROJECT_BINARY_DIR}/highway")
  file(MAKE_DIRECTORY "${ADDNORM_HIGHWAY_USED}")
  file(CREATE_LINK "${ADDNORM_HIGHWAY_INCLUDE}/hwy" "${ADDNORM_HIGHWAY_USED}/hwy" SYMBOLIC)
endif()
add_library(addnorm_highway INTERFACE)
target_include_directories(addnorm_highway SYSTEM INTERFACE "${ADDNORM_HIGHWAY_USED}")
