# SPDX-License-Identifier: Apache-2.0
include_guard(GLOBAL)

# addnorm_test(name sources... [LIBRARIES lib...]): a GoogleTest program over the core's objects, run by CTest.
# Tests of a door name its library; they then link the core through it, or through addnorm::addnorm.
function(addnorm_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "LIBRARIES")
  find_package(GTest REQUIRED)
  add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE addnorm_flags GTest::gtest_main GTest::gmock)
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}")
  if(arg_LIBRARIES)
    target_link_libraries(${name} PRIVATE ${arg_LIBRARIES})
  else()
    target_link_libraries(${name} PRIVATE addnorm_objects addnorm_highway)
  endif()
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT 900)
endfunction()
