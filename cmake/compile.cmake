# Flags every target shares, and the function that makes a library of one source folder.

add_library(nw_flags INTERFACE)
target_compile_options(nw_flags INTERFACE
  -Wall -Wextra -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -ffp-contract=off -fno-math-errno)
if(NARROW_WERROR)
  target_compile_options(nw_flags INTERFACE -Werror)
endif()
if(NARROW_SANITIZE)
  target_compile_options(nw_flags INTERFACE -fsanitize=${NARROW_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(nw_flags INTERFACE -fsanitize=${NARROW_SANITIZE})
endif()
target_include_directories(nw_flags INTERFACE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)

# nw_add_library(NAME SOURCES a.c b.c LIBS x y)
function(nw_add_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;LIBS" ${ARGN})
  add_library(${name} STATIC ${arg_SOURCES})
  target_link_libraries(${name} PUBLIC nw_flags ${arg_LIBS})
endfunction()
