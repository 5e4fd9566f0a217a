# Toolchain: 64-bit Arm Linux by Debian's cross compiler, programs run by qemu-user with every extension it knows.
#
#     cmake -S . -B build-aarch64 -DCMAKE_TOOLCHAIN_FILE=cmake/aarch64.cmake -DNARROW_KERNELS_ONLY=ON
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
find_program(NARROW_QEMU_AARCH64 NAMES qemu-aarch64 qemu-aarch64-static)
if(NARROW_QEMU_AARCH64)
  set(CMAKE_CROSSCOMPILING_EMULATOR ${NARROW_QEMU_AARCH64} -cpu max -L /usr/aarch64-linux-gnu)
endif()
