# Shared by CMakeLists.txt and tests/kernels/emulated.
set(NW_AVXVNNI_SOURCES)
foreach(name gemm gemm_narrow depthwise winograd init)
  list(APPEND NW_AVXVNNI_SOURCES ${CMAKE_CURRENT_LIST_DIR}/${name}.c)
endforeach()
