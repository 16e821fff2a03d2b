# How every target of attune is built: flags, include paths, and the two ways to link LLVM.
include_guard()

include_directories(${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR})
include_directories(SYSTEM ${LLVM_INCLUDE_DIRS} ${MLIR_INCLUDE_DIRS})
separate_arguments(attune_llvm_definitions NATIVE_COMMAND "${LLVM_DEFINITIONS}")
add_definitions(${attune_llvm_definitions})
add_compile_options(-Wall -Wextra -Werror -Wno-unused-parameter -ffunction-sections -fdata-sections)
if(ATTUNE_SANITIZE)
  string(REPLACE ";" "," attune_sanitizers "${ATTUNE_SANITIZE}")
  add_compile_options(-fsanitize=${attune_sanitizers} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${attune_sanitizers})
endif()

# Debian has no static libfmt, so a release takes its headers alone.
add_library(attune_fmt INTERFACE)
target_link_libraries(attune_fmt INTERFACE $<IF:$<BOOL:${ATTUNE_RELEASE}>,fmt::fmt-header-only,fmt::fmt>)

if(ATTUNE_RELEASE)
  include(AttuneStaticLLVM)
else()
  # Only the two dylibs: naming an MLIR component would pull its static archive into a process that
  # already has libMLIR.so, and two copies of one type id do not mix.
  add_library(attune_llvm INTERFACE)
  target_link_libraries(attune_llvm INTERFACE MLIR LLVM)
endif()

# For tests and the command line of a developer build, which spend their time in the libraries: they compile in half
# the time.
set(attune_thin_options $<$<NOT:$<BOOL:${ATTUNE_RELEASE}>>:-O0>)

set(attune_standard_headers ${CMAKE_SOURCE_DIR}/compiler/support/Precompiled.h)

# attune_library(NAME SOURCES... [MLIR] [LINK targets...]): one static library of the project. Headers are
# precompiled: without the standard ones a source file takes twice as long, without MLIR's (MLIR) six times.
function(attune_library name)
  cmake_parse_arguments(arg "MLIR" "" "LINK" ${ARGN})
  add_library(${name} STATIC ${arg_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PUBLIC ${arg_LINK} attune_fmt)
  if(arg_MLIR)
    target_link_libraries(${name} PUBLIC attune_llvm)
    target_precompile_headers(${name} PRIVATE ${CMAKE_SOURCE_DIR}/compiler/MlirPrecompiled.h)
  else()
    target_precompile_headers(${name} PRIVATE ${attune_standard_headers})
  endif()
endfunction()

# doctest's own main takes as long to compile as most tests: once for all of them.
add_library(attune_unit_main OBJECT EXCLUDE_FROM_ALL ${CMAKE_SOURCE_DIR}/tests/unit/Main.cpp)
target_link_libraries(attune_unit_main PRIVATE doctest::doctest attune_fmt)
target_precompile_headers(attune_unit_main PRIVATE ${attune_standard_headers})
target_compile_options(attune_unit_main PRIVATE ${attune_thin_options})

# Code for libraries and for programs alike, so that they share precompiled headers.
set(CMAKE_CXX_COMPILE_OPTIONS_PIE ${CMAKE_CXX_COMPILE_OPTIONS_PIC})


# attune_unit_test(NAME SOURCES... [INSTRUMENTED target] [LINK targets...]): one doctest executable, run by ctest.
# INSTRUMENTED: it is compiled as that library is (see attune_instrumented), and linked to it.
function(attune_unit_test name)
  cmake_parse_arguments(arg "" "INSTRUMENTED" "LINK" ${ARGN})
  add_executable(${name} ${arg_UNPARSED_ARGUMENTS} $<TARGET_OBJECTS:attune_unit_main>)
  target_link_libraries(${name} PRIVATE ${arg_INSTRUMENTED} ${arg_LINK} doctest::doctest attune_fmt)
  if(arg_INSTRUMENTED)
    target_precompile_headers(${name} REUSE_FROM ${arg_INSTRUMENTED})
  else()
    target_compile_options(${name} PRIVATE ${attune_thin_options})
    target_precompile_headers(${name} REUSE_FROM attune_unit_main)
  endif()
  add_test(NAME ${name} COMMAND ${name})
endfunction()

# attune_instrumented(NAME FLAGS flags... LIBRARIES targets... [EXCLUDE regex]): the sources of libraries, compiled
# anew with flags that whoever links it is compiled with too. Once for all tests that want them so: sanitizers make
# a third of what there is to build.
function(attune_instrumented name)
  cmake_parse_arguments(arg "" "EXCLUDE" "FLAGS;LIBRARIES" ${ARGN})
  set(sources "")
  foreach(library IN LISTS arg_LIBRARIES)
    get_target_property(folder ${library} SOURCE_DIR)
    get_target_property(more ${library} SOURCES)
    foreach(source IN LISTS more)
      cmake_path(ABSOLUTE_PATH source BASE_DIRECTORY ${folder})
      list(APPEND sources ${source})
    endforeach()
  endforeach()
  if(arg_EXCLUDE)
    list(FILTER sources EXCLUDE REGEX "${arg_EXCLUDE}")
  endif()
  add_library(${name} STATIC EXCLUDE_FROM_ALL ${sources})
  add_dependencies(${name} ${arg_LIBRARIES}) # their generated sources
  target_compile_options(${name} PUBLIC ${arg_FLAGS})
  target_link_libraries(${name} PUBLIC attune_fmt Threads::Threads ${CMAKE_DL_LIBS} z)
  target_precompile_headers(${name} PRIVATE ${attune_standard_headers})
endfunction()
