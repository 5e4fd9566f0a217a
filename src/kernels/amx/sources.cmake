# Shared by CMakeLists.txt and tests/kernels/emulated.
set(NW_AMX_SOURCES)
foreach(name gemm gemm_pack init)
  list(APPEND NW_AMX_SOURCES ${CMAKE_CURRENT_LIST_DIR}/${name}.c)
endforeach()
