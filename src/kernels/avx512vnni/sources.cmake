set(NW_AVX512VNNI_SOURCES)
foreach(name requant gemm gemm_pack init)
  list(APPEND NW_AVX512VNNI_SOURCES ${CMAKE_CURRENT_LIST_DIR}/${name}.c)
endforeach()
