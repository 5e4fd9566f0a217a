# Toolchain: s390x Linux, big-endian, by Debian's cross compiler, programs run by qemu-user.
#
#     cmake -S . -B build-s390x -DCMAKE_TOOLCHAIN_FILE=cmake/s390x.cmake -DNARROW_ENGINE_ONLY=ON -DNARROW_THREADS=OFF
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR s390x)
set(CMAKE_C_COMPILER s390x-linux-gnu-gcc)
# In ISO mode gcc would compute binary32 in binary64 here, an old habit of this target; the machine has both.
add_compile_options(-fexcess-precision=fast)
set(CMAKE_FIND_ROOT_PATH /usr/s390x-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
find_program(NARROW_QEMU_S390X NAMES qemu-s390x qemu-s390x-static)
if(NARROW_QEMU_S390X)
  set(CMAKE_CROSSCOMPILING_EMULATOR ${NARROW_QEMU_S390X} -L /usr/s390x-linux-gnu)
endif()
