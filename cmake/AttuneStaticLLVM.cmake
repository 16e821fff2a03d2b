# A release is one executable: LLVM and MLIR from their static archives, linked by path. Their CMake targets
# cannot be used, for they would pull libLLVM.so and libMLIR.so in beside the archives.
#
# The linker takes from an archive only what something needs, so naming too many costs a moment of its time and
# nothing else. What stays out by name are other targets' code generators, and archives of tools and tests.
include_guard()

file(GLOB attune_archives ${LLVM_LIBRARY_DIRS}/libMLIR*.a ${LLVM_LIBRARY_DIRS}/libLLVM*.a)
list(FILTER attune_archives EXCLUDE REGEX
  "LLVM(AArch64|AMDGPU|ARM|AVR|BPF|Hexagon|Lanai|LoongArch|M68k|MSP430|Mips|PowerPC|RISCV|SPIRV|Sparc|SystemZ|VE|WebAssembly|X86|XCore|Xtensa)[A-Z]")
list(FILTER attune_archives EXCLUDE REGEX
  "LLVM(BOLT|Exegesis|Debuginfod|LineEditor|Fuzz|TableGen)|MLIR(CAPI|Test|TableGen|Tblgen)|MLIR.*Test")
if(NOT attune_archives)
  message(FATAL_ERROR "no static archives of LLVM and MLIR in ${LLVM_LIBRARY_DIRS}: "
                      "install llvm-22-dev and libmlir-22-dev")
endif()

# The archives need each other in circles: one group, in a linker script so that the command line stays short.
list(JOIN attune_archives "\n  " attune_group)
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/static_llvm.ld CONTENT "GROUP(\n  @attune_group@\n)\n" @ONLY)
add_library(attune_llvm INTERFACE)
target_link_libraries(attune_llvm INTERFACE ${CMAKE_BINARY_DIR}/static_llvm.ld z zstd m)

add_link_options(-Wl,--gc-sections -static-libstdc++ -static-libgcc)
