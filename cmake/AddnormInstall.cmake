# SPDX-License-Identifier: Apache-2.0
# The install tree: headers, library, find_package(addnorm), pkg-config addnorm. A door adds its targets to addnormTargets.
include_guard(GLOBAL)
include(CMakePackageConfigHelpers)
set(ADDNORM_CMAKE_DIR "${CMAKE_INSTALL_LIBDIR}/cmake/addnorm")

install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/addnorm" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING PATTERN "*.h")
install(FILES "${PROJECT_BINARY_DIR}/include/addnorm/version.h" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/addnorm")
install(TARGETS addnorm EXPORT addnormTargets INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DOCDIR}")

install(EXPORT addnormTargets NAMESPACE addnorm:: DESTINATION "${ADDNORM_CMAKE_DIR}")
configure_package_config_file(cmake/addnorm-config.cmake.in "${PROJECT_BINARY_DIR}/addnorm-config.cmake"
  INSTALL_DESTINATION "${ADDNORM_CMAKE_DIR}")
# Before 1.0 only the same minor version is compatible.
write_basic_package_version_file("${PROJECT_BINARY_DIR}/addnorm-config-version.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/addnorm-config.cmake" "${PROJECT_BINARY_DIR}/addnorm-config-version.cmake"
  DESTINATION "${ADDNORM_CMAKE_DIR}")

# Found from the .pc file itself, so that the tree can be moved and `cmake --install --prefix` works.
file(RELATIVE_PATH ADDNORM_PC_TO_PREFIX "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
string(REGEX REPLACE "/$" "" ADDNORM_PC_TO_PREFIX "${ADDNORM_PC_TO_PREFIX}")
configure_file(cmake/addnorm.pc.in "${PROJECT_BINARY_DIR}/addnorm.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/addnorm.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
