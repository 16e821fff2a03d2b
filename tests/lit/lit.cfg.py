# How lit runs tests/lit: RUN lines find attune, attune-opt, FileCheck, not and split-file; %examples is the
# folder of example specs. A test that needs one of NVIDIA's tools says REQUIRES: ptxas, nvrtc or nvdisasm.
import os
import subprocess
import sys

import lit.formats

config.name = "attune"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir", ".test", ".json"]
config.excludes = ["Inputs"]
config.test_source_root = os.path.join(config.attune_source, "tests", "lit")
config.test_exec_root = os.path.join(config.attune_build, "tests", "lit")

tools = os.path.join(config.attune_build, "bin")
config.environment["PATH"] = os.pathsep.join([tools, config.llvm_bin, os.environ.get("PATH", "")])
# A test must not see, nor fill, the cache of whoever runs it.
config.environment["ATTUNE_CACHE_DIR"] = os.path.join(config.test_exec_root, "cache")
config.environment["ATTUNE_STORE"] = ""  # nor what they have tuned
for name in ("CUDA_HOME", "CUDA_PATH", "VIRTUAL_ENV", "HOME", "ATTUNE_TOOLS_DIR", "ASAN_OPTIONS"):
    if name in os.environ:
        config.environment[name] = os.environ[name]

config.substitutions.append(("%examples", os.path.join(config.attune_source, "examples")))
config.substitutions.append(("%python", sys.executable))


# `attune doctor --json` names the tools that it found.
doctor = subprocess.run([os.path.join(tools, "attune"), "doctor", "--json"], capture_output=True, text=True)
for tool in ("ptxas", "nvrtc", "nvdisasm"):
    if f'"{tool}":{{"found":true' in doctor.stdout.lower().replace(" ", ""):
        config.available_features.add(tool)
