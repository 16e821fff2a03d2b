# What an installed attune gives to programs, through find_package(attune):
#
#   attune::attune  the whole: one shared library that shows nothing but the C interface, so that its LLVM never
#                   meets another one in the same process
#   attune::core    cache, devices and launches, without the compiler: one static library
#
# and through pkg-config (attune, attune-core); beside them the command, its manual page and completions.
# `./dev install PREFIX` builds what is installed (the target attune_package) and installs it.
include_guard()
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(attune_core_parts attune_support attune_program attune_spec attune_sim attune_runtime)
set(attune_core_objects "")
foreach(part ${attune_core_parts})
  list(APPEND attune_core_objects $<TARGET_OBJECTS:${part}>)
endforeach()

function(attune_public_library name export_name)
  set_target_properties(${name} PROPERTIES LINKER_LANGUAGE CXX EXPORT_NAME ${export_name}
    ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
  target_include_directories(${name} INTERFACE $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/runtime/include>
                                               $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  add_library(attune::${export_name} ALIAS ${name})
endfunction()

# What a program does not use of it, its linker leaves out.
add_library(attune_core STATIC ${attune_core_objects})
target_link_libraries(attune_core PUBLIC Threads::Threads ${CMAKE_DL_LIBS} z
                      $<$<NOT:$<BOOL:${ATTUNE_RELEASE}>>:fmt::fmt>)
target_link_libraries(attune_core INTERFACE $<$<LINK_LANGUAGE:C>:stdc++> $<$<LINK_LANGUAGE:C>:m>) # for programs in C
target_link_options(attune_core INTERFACE LINKER:--gc-sections)
attune_public_library(attune_core core)

add_library(attune_shared SHARED ${attune_core_objects} $<TARGET_OBJECTS:attune_jit> $<TARGET_OBJECTS:attune_compiler>
  $<TARGET_OBJECTS:attune_library> $<TARGET_OBJECTS:attune_tuner> $<TARGET_OBJECTS:attune_reference> $<TARGET_OBJECTS:attune_device_tables>)
target_link_libraries(attune_shared PRIVATE attune_llvm attune_fmt attune_sqlite Threads::Threads z ${CMAKE_DL_LIBS})
set(attune_exports ${CMAKE_SOURCE_DIR}/runtime/exports.map)
target_link_options(attune_shared PRIVATE LINKER:--version-script=${attune_exports} LINKER:--gc-sections)
set_target_properties(attune_shared PROPERTIES OUTPUT_NAME attune LINK_DEPENDS ${attune_exports}
  VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR} INSTALL_RPATH_USE_LINK_PATH ON)
attune_public_library(attune_shared attune)

set_target_properties(attune PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
install(TARGETS attune DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS attune_core attune_shared EXPORT attuneTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${CMAKE_SOURCE_DIR}/runtime/include/attune/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/attune)

set(attune_package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/attune)
install(EXPORT attuneTargets NAMESPACE attune:: DESTINATION ${attune_package_folder})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/attuneConfig.cmake.in ${CMAKE_BINARY_DIR}/attuneConfig.cmake
  INSTALL_DESTINATION ${attune_package_folder})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/attuneConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/attuneConfig.cmake ${CMAKE_BINARY_DIR}/attuneConfigVersion.cmake
  DESTINATION ${attune_package_folder})

# A path inside the prefix, so that an installed tree may be moved.
file(RELATIVE_PATH attune_pc_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
set(attune_core_libs "-lz -lpthread -ldl -lstdc++ -lm")
if(NOT ATTUNE_RELEASE)
  string(APPEND attune_core_libs " -lfmt")
endif()
foreach(package attune attune-core)
  configure_file(${CMAKE_CURRENT_LIST_DIR}/${package}.pc.in ${CMAKE_BINARY_DIR}/${package}.pc @ONLY)
  install(FILES ${CMAKE_BINARY_DIR}/${package}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()

install(FILES ${CMAKE_BINARY_DIR}/share/attune.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${CMAKE_BINARY_DIR}/share/attune.bash RENAME attune
  DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES ${CMAKE_BINARY_DIR}/share/_attune DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
install(FILES ${CMAKE_BINARY_DIR}/share/attune.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE ${CMAKE_SOURCE_DIR}/README.md ${CMAKE_SOURCE_DIR}/CHANGELOG.md
  DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY ${CMAKE_SOURCE_DIR}/docs DESTINATION ${CMAKE_INSTALL_DOCDIR})

# A package for Debian of the same files: `./dev deb`, which builds them before. Its dependencies are those of what is in it.
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON)
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME attune)
set(CPACK_PACKAGE_CONTACT "The attune authors <attune@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Attention kernels that are generated, tuned and checked")
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_COMPRESSION_TYPE gzip)
include(CPack)

add_custom_target(attune_package DEPENDS attune attune_core attune_shared attune_documents)
