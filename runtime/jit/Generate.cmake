# Writes the two generated sources of attune_jit: the templates that emitted CUDA C++ includes, as strings, and
# an identifier that changes with every source of the compiler.
#
# cmake -DSOURCE=<root> -DTEMPLATES=<output.cpp> -DBUILD_ID=<output.cpp> -P Generate.cmake

file(GLOB headers ${SOURCE}/templates/*.cuh)
list(SORT headers)
set(text "// Generated from templates/.\n#include \"runtime/jit/Assemble.h\"\n\nnamespace attune {\n\n")
string(APPEND text "const std::vector<NamedText> &templateHeaders() {\n")
string(APPEND text "  static const std::vector<NamedText> headers = {\n")
foreach(header ${headers})
  get_filename_component(name ${header} NAME)
  file(READ ${header} content)
  string(APPEND text "      {\"${name}\", R\"attune-text(${content})attune-text\"},\n")
endforeach()
string(APPEND text "  };\n  return headers;\n}\n\n} // namespace attune\n")
file(WRITE ${TEMPLATES} "${text}")

file(GLOB_RECURSE sources ${SOURCE}/compiler/*.h ${SOURCE}/compiler/*.cpp ${SOURCE}/compiler/*.td
     ${SOURCE}/templates/*.cuh)
list(SORT sources)
set(hashes "")
foreach(source ${sources})
  file(SHA256 ${source} hash)
  file(RELATIVE_PATH name ${SOURCE} ${source})
  string(APPEND hashes "${name} ${hash}\n")
endforeach()
string(SHA256 id "${hashes}")
string(SUBSTRING ${id} 0 16 id)
file(WRITE ${BUILD_ID} "// Generated from compiler/ and templates/.
#include \"runtime/jit/ProgramBuild.h\"

const char *attune::compilerBuildId() { return \"${id}\"; }
")
