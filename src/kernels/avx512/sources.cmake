# Shared by CMakeLists.txt and tests/kernels/emulated.
set(NW_AVX512_SOURCES)
foreach(name requant finish gemm depthwise elementwise table pool bits squeeze winograd init)
  list(APPEND NW_AVX512_SOURCES ${CMAKE_CURRENT_LIST_DIR}/${name}.c)
endforeach()
