# SPDX-License-Identifier: Apache-2.0
# Tests of the communicators.
add_library(addnorm_comm_tools STATIC comm_call.cc comm_engine.cc)
target_link_libraries(addnorm_comm_tools PUBLIC addnorm_flags)
target_include_directories(addnorm_comm_tools PUBLIC "${PROJECT_SOURCE_DIR}" "${PROJECT_SOURCE_DIR}/include")

addnorm_test(comm_test comm_test.cc LIBRARIES addnorm_comm_tools addnorm_objects)
