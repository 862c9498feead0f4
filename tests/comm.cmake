# SPDX-License-Identifier: Apache-2.0
# Tests of the communicators.
add_library(addnorm_comm_tools STATIC comm_call.cc comm_engine.cc comm_judge.cc comm_trial.cc)
target_link_libraries(addnorm_comm_tools PUBLIC addnorm_objects)

addnorm_test(comm_test comm_test.cc LIBRARIES addnorm_comm_tools addnorm_objects)
addnorm_test(comm_messages_test comm_messages_test.cc LIBRARIES addnorm_comm_tools addnorm_objects)
addnorm_test(comm_damage_test comm_damage_test.cc LIBRARIES addnorm_comm_tools addnorm_objects)
addnorm_test(comm_host_test comm_host_test.cc LIBRARIES addnorm_comm_tools addnorm_objects)
addnorm_test(comm_fault_test comm_fault_test.cc LIBRARIES addnorm_comm_tools addnorm_objects)
# Forked children of a process that had threads start threads: that is what is tested.
set_tests_properties(comm_host_test comm_fault_test PROPERTIES ENVIRONMENT "TSAN_OPTIONS=die_after_fork=0")
# They stop and wake processes against deadlines: not beside each other.
set_tests_properties(comm_fault_test PROPERTIES RESOURCE_LOCK comm_processes)

# Random faults. `fault_storm --strict` also holds every survivor to the promised 0.1 s, for an idle machine.
add_executable(fault_storm fault_storm.cc)
target_link_libraries(fault_storm PRIVATE addnorm_comm_tools addnorm_objects)
add_test(NAME fault_storm COMMAND fault_storm --trials 150)
set_tests_properties(fault_storm PROPERTIES TIMEOUT 600 RESOURCE_LOCK comm_processes ENVIRONMENT "TSAN_OPTIONS=die_after_fork=0")

# An MPI program without torch.
find_package(MPI COMPONENTS C)
if(MPI_C_FOUND AND NOT ADDNORM_SANITIZE)
  add_executable(comm_mpi_test comm_mpi_test.cc comm_call.cc)
  target_link_libraries(comm_mpi_test PRIVATE addnorm_flags addnorm::addnorm MPI::MPI_C)
  target_include_directories(comm_mpi_test PRIVATE "${PROJECT_SOURCE_DIR}")
  foreach(ranks IN ITEMS 2 4)
    add_test(NAME comm_mpi_test_${ranks} COMMAND ${MPIEXEC_EXECUTABLE} ${MPIEXEC_NUMPROC_FLAG} ${ranks} $<TARGET_FILE:comm_mpi_test>)
    # Open MPI wants to be told that root and more ranks than cores are meant. Elsewhere these are just names.
    set_tests_properties(comm_mpi_test_${ranks} PROPERTIES TIMEOUT 300 RESOURCE_LOCK comm_processes ENVIRONMENT
      "OMPI_ALLOW_RUN_AS_ROOT=1;OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1;OMPI_MCA_rmaps_base_oversubscribe=1;OMPI_MCA_btl_vader_single_copy_mechanism=none")
  endforeach()
else()
  set(why "there is no MPI (Debian: openmpi-bin libopenmpi-dev)")
  if(ADDNORM_SANITIZE)
    set(why "MPI itself does not run under ${ADDNORM_SANITIZE}")
  endif()
  add_test(NAME comm_mpi_test COMMAND ${CMAKE_COMMAND} -E echo "skipped: ${why}")
  set_tests_properties(comm_mpi_test PROPERTIES SKIP_REGULAR_EXPRESSION "skipped")
endif()
