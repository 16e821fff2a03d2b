"""A TMA kernel on the simulated driver, as a program that calls the driver runs it: cuTensorMapEncodeTiled makes
the maps, a wrong description is refused. tensor_map_test.py DRIVER KERNEL.ptx"""
import array
import ctypes
import sys

driver = ctypes.CDLL(sys.argv[1])
INVALID_VALUE, FLOAT32, SWIZZLE_128B = 1, 7, 3
ROWS, COLUMNS = 100, 72


def call(name, *arguments, expected=0):
    status = getattr(driver, name)(*arguments)
    if status != expected:
        sys.exit(f"{name}: expected status {expected}, got {status}")


def tensor_map(address, box=(32, 32), stride=COLUMNS * 4, at=0, expected=0):
    room = ctypes.create_string_buffer(192)
    place = (ctypes.addressof(room) + 63) // 64 * 64 + at
    call("cuTensorMapEncodeTiled", ctypes.c_void_p(place), FLOAT32, 2, ctypes.c_void_p(address),
         (ctypes.c_uint64 * 2)(COLUMNS, ROWS), (ctypes.c_uint64 * 1)(stride), (ctypes.c_uint32 * 2)(*box),
         (ctypes.c_uint32 * 2)(1, 1), 0, SWIZZLE_128B, 0, 0, expected=expected)
    return ctypes.create_string_buffer(ctypes.string_at(place, 128), 128)


call("cuInit", 0)
size = ROWS * COLUMNS * 4
source, target = ctypes.c_uint64(), ctypes.c_uint64()
call("cuMemAlloc_v2", ctypes.byref(source), ctypes.c_size_t(size))
call("cuMemAlloc_v2", ctypes.byref(target), ctypes.c_size_t(size))
values = array.array("f", [k * 0.25 for k in range(ROWS * COLUMNS)])
call("cuMemcpyHtoDAsync_v2", source, (ctypes.c_char * size).from_buffer(values), ctypes.c_size_t(size), None)

tensor_map(source.value, box=(64, 32), expected=INVALID_VALUE)  # wider than the swizzle
tensor_map(source.value, stride=COLUMNS * 4 + 4, expected=INVALID_VALUE)
tensor_map(source.value + 8, expected=INVALID_VALUE)
tensor_map(source.value, at=16, expected=INVALID_VALUE)  # the map itself is misaligned

module, function = ctypes.c_void_p(), ctypes.c_void_p()
text = open(sys.argv[2], "rb").read()
call("cuModuleLoadDataEx", ctypes.byref(module), text, 0, None, None)
call("cuModuleGetFunction", ctypes.byref(function), module, b"scaleTiles")
arguments = [tensor_map(source.value), tensor_map(target.value), ctypes.c_int(3), ctypes.c_int(12), ctypes.c_float(2)]
pointers = (ctypes.c_void_p * 5)(*[ctypes.addressof(a) for a in arguments])
call("cuLaunchKernel", function, 2, 1, 1, 160, 1, 1, 5 * 4096, None, pointers, None)
result = array.array("f", bytes(size))
call("cuMemcpyDtoHAsync_v2", (ctypes.c_char * size).from_buffer(result), target, ctypes.c_size_t(size), None)
wrong = [k for k in range(ROWS * COLUMNS) if result[k] != values[k] * 2]
if wrong:
    sys.exit(f"element {wrong[0]}: expected {values[wrong[0]] * 2}, got {result[wrong[0]]}")
