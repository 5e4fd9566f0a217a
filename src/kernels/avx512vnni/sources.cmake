# Shared by CMakeLists.txt and tests/kernels/emulated.
set(NW_AVX512VNNI_SOURCES)
foreach(name gemm gemm_narrow depthwise depthwise_columns winograd init)
  list(APPEND NW_AVX512VNNI_SOURCES ${CMAKE_CURRENT_LIST_DIR}/${name}.c)
endforeach()
