"""The CUDA driver by ctypes: modules, memory, launches and events, in the device's primary context, which torch
uses too, so that its buffers and streams can be passed."""
import ctypes as ct

from .errors import Missing

ERROR_LOG, ERROR_LOG_BYTES = 5, 6
MAX_DYNAMIC_SHARED = 8
ATTRIBUTES = {"clock_khz": 13, "multiprocessors": 16, "memory_clock_khz": 36, "l2_bytes": 38}
PARAM_POINTER, PARAM_SIZE = 1, 2


class DriverError(Exception):
    """A call that the driver refused. After a kernel's fault every later call gives one."""


class Kernel:
    def __init__(self, driver, function, name, dynamic_shared):
        self.driver, self.function, self.name, self.dynamic_shared = driver, function, name, dynamic_shared

    def attribute(self, number):
        value = ct.c_int()
        self.driver.call("cuFuncGetAttribute", ct.byref(value), ct.c_int(number), self.function)
        return value.value

    def launch(self, grid, block, params, stream=0):
        """`params`: the bytes of all parameters, each at its offset."""
        buffer = ct.create_string_buffer(bytes(params), len(params))
        size = ct.c_size_t(len(params))
        extra = (ct.c_void_p * 5)(PARAM_POINTER, ct.addressof(buffer), PARAM_SIZE, ct.addressof(size), 0)
        sizes = [ct.c_uint(n) for n in (*grid, *block, self.dynamic_shared)]
        self.driver.call("cuLaunchKernel", self.function, *sizes, ct.c_void_p(stream), None, extra)


class Event:
    def __init__(self, driver):
        self.driver, self.handle = driver, ct.c_void_p()
        driver.call("cuEventCreate", ct.byref(self.handle), ct.c_uint(0))

    def record(self, stream=0):
        self.driver.call("cuEventRecord", self.handle, ct.c_void_p(stream))

    def ms_since(self, start):
        ms = ct.c_float()
        self.driver.call("cuEventSynchronize", self.handle)
        self.driver.call("cuEventElapsedTime", ct.byref(ms), start.handle, self.handle)
        return ms.value


class Driver:
    def __init__(self, library="libcuda.so.1", ordinal=0):
        try:
            self.library = ct.CDLL(library)
        except OSError as error:
            raise Missing(f"expected the NVIDIA driver ({library}), got: {error}; on a machine with no GPU only "
                          "`--list` and the tests of this command run") from error
        self.simulated = hasattr(self.library, "attuneSimulatedDriver")
        self.recorded = self.simulated and self.library.attuneSimulatedDriver() == 2
        try:
            self.call("cuInit", ct.c_uint(0))
            count = ct.c_int()
            self.call("cuDeviceGetCount", ct.byref(count))
        except (DriverError, AttributeError) as error:
            raise Missing(f"expected a GPU behind {library}, got: {error}") from error
        if ordinal >= count.value:
            raise Missing(f"expected GPU {ordinal}, got a driver with {count.value}")
        self.device, self.context = ct.c_int(), ct.c_void_p()
        self.call("cuDeviceGet", ct.byref(self.device), ct.c_int(ordinal))
        self.call("cuDevicePrimaryCtxRetain", ct.byref(self.context), self.device)
        self.use()

    def use(self):
        """Makes the primary context this thread's."""
        self.call("cuCtxSetCurrent", self.context)

    def call(self, symbol, *arguments):
        result = getattr(self.library, symbol)(*arguments)
        if result:
            raise DriverError(f"{symbol}: {self.describe(result)}")

    def describe(self, result):
        texts = []
        for symbol in ("cuGetErrorName", "cuGetErrorString"):
            text = ct.c_char_p()
            if getattr(self.library, symbol)(ct.c_int(result), ct.byref(text)) == 0 and text.value:
                texts.append(text.value.decode())
        return ": ".join(texts) or f"error {result}"

    def facts(self):
        name = ct.create_string_buffer(256)
        self.call("cuDeviceGetName", name, ct.c_int(256), self.device)
        memory, version = ct.c_size_t(), ct.c_int()
        self.call("cuDeviceTotalMem_v2", ct.byref(memory), self.device)
        self.call("cuDriverGetVersion", ct.byref(version))
        facts = {"gpu": name.value.decode(), "compute_capability": self.capability(), "simulated": self.simulated,
                 "memory_bytes": memory.value, "cuda_version": version.value}
        facts.update({key: self.attribute(number) for key, number in ATTRIBUTES.items()})
        return facts

    def attribute(self, number):
        value = ct.c_int()
        self.call("cuDeviceGetAttribute", ct.byref(value), ct.c_int(number), self.device)
        return value.value

    def capability(self):
        """10 * major + minor."""
        return 10 * self.attribute(75) + self.attribute(76)

    def load(self, image, name="module"):
        """A module from PTX text or cubin bytes. It stays loaded."""
        log = ct.create_string_buffer(8192)
        names = (ct.c_int * 2)(ERROR_LOG, ERROR_LOG_BYTES)
        values = (ct.c_void_p * 2)(ct.addressof(log), 8192)
        module = ct.c_void_p()
        data = image.encode() if isinstance(image, str) else bytes(image)
        try:
            self.call("cuModuleLoadDataEx", ct.byref(module), data + b"\0", ct.c_uint(2), names, values)
        except DriverError as error:
            raise DriverError(f"{name}: {error} {log.value.decode(errors='replace').strip()}".strip()) from None
        return module

    def kernel(self, module, entry, dynamic_shared=0):
        function = ct.c_void_p()
        self.call("cuModuleGetFunction", ct.byref(function), module, entry.encode())
        if dynamic_shared > 48 * 1024:
            self.call("cuFuncSetAttribute", function, ct.c_int(MAX_DYNAMIC_SHARED), ct.c_int(dynamic_shared))
        return Kernel(self, function, entry, dynamic_shared)

    def alloc(self, nbytes):
        address = ct.c_ulonglong()
        self.call("cuMemAlloc_v2", ct.byref(address), ct.c_size_t(max(nbytes, 1)))
        return address.value

    def free(self, address):
        self.call("cuMemFree_v2", ct.c_ulonglong(address))

    def release(self, addresses):
        """Frees what it can: after a fault the driver refuses, and the fault is what should be told."""
        for address in addresses:
            try:
                self.free(address)
            except DriverError:
                pass

    def free_bytes(self):
        free, total = ct.c_size_t(), ct.c_size_t()
        self.call("cuMemGetInfo_v2", ct.byref(free), ct.byref(total))
        return free.value

    def copy_in(self, address, array):
        """A contiguous numpy array to the device."""
        self.call("cuMemcpyHtoDAsync_v2", ct.c_ulonglong(address), ct.c_void_p(array.ctypes.data),
                  ct.c_size_t(array.nbytes), ct.c_void_p(0))
        self.synchronize()

    def copy_out(self, array, address):
        self.call("cuMemcpyDtoHAsync_v2", ct.c_void_p(array.ctypes.data), ct.c_ulonglong(address),
                  ct.c_size_t(array.nbytes), ct.c_void_p(0))
        self.synchronize()

    def fill(self, address, byte, nbytes, stream=0):
        self.call("cuMemsetD8Async", ct.c_ulonglong(address), ct.c_ubyte(byte), ct.c_size_t(nbytes),
                  ct.c_void_p(stream))

    def synchronize(self):
        self.call("cuCtxSynchronize")

    def event(self):
        return Event(self)

    def buffer(self, array):
        """Device memory with an array's contents."""
        address = self.alloc(array.nbytes)
        self.copy_in(address, array)
        return address
