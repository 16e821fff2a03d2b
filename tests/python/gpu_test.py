"""Arrays of a GPU by DLPack, on a driver that is simulated: addresses as they are, what the producer is told."""
import ctypes
import os
import unittest

import numpy as np

import attune
import reference
from attune import _native
from attune._arrays import _DLTensor

DRIVER = os.path.join(os.environ["ATTUNE_BUILD"], "simulated-driver", "libcuda.so.1")

_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype, _new_capsule.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)


class DeviceArray:
    """Memory of the device with the one method by which libraries share theirs."""

    def __init__(self, context, values):
        self.context, self.shape, self.dtype, self.asked = context, values.shape, values.dtype, []
        native, made = _native.library(), ctypes.c_void_p()
        _native.check(native.attune_buffer_create(context._handle.pointer, values.nbytes, None, ctypes.byref(made)))
        self.handle = _native.Handle(made.value, native.attune_buffer_destroy)
        self.data, self.bytes = native.attune_buffer_data(made.value), values.nbytes
        values = np.ascontiguousarray(values)
        _native.check(native.attune_copy_in(context._handle.pointer, self.data, values.ctypes.data, self.bytes, None))
        extents = (ctypes.c_int64 * len(self.shape))(*self.shape)
        self.tensor = _DLTensor(self.data, 2, 0, len(self.shape), 2 if values.dtype.kind == "f" else 0, 8 * values.itemsize, 1, extents, None, 0)
        self.kept = extents

    def __dlpack_device__(self):
        return 2, 0

    def __dlpack__(self, stream=None):
        self.asked.append(stream)
        return _new_capsule(ctypes.addressof(self.tensor), b"dltensor", None)

    def numpy(self):
        values = np.empty(self.shape, self.dtype)
        native = _native.library()
        _native.check(native.attune_copy_out(self.context._handle.pointer, values.ctypes.data, self.data, self.bytes, None))
        _native.check(native.attune_synchronize(self.context._handle.pointer, None))
        return values


@unittest.skipUnless(os.path.exists(DRIVER), "no simulated driver is built")
class OnTheGpu(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.context = attune.Context("cuda", cuda_driver=DRIVER, arch="sm_80")
        cls.host = [reference.numbers((1, 70, 2, 16), seed, np.float16) for seed in range(3)]
        cls.arrays = [DeviceArray(cls.context, one) for one in (*cls.host, np.zeros((1, 70, 2, 16)).astype(np.float16))]

    def test_arrays_stay_where_they_are(self):
        self.assertFalse(self.context.simulated)
        q, k, v, out = self.arrays
        self.assertIs(attune.attention(q, k, v, out=out, context=self.context), out)
        self.assertEqual(set(q.asked), {1})  # the producer is told of the default stream
        expected = reference.attention(*self.host, lambda b, h, q, kv: kv <= q)[0]
        np.testing.assert_allclose(out.numpy(), expected, atol=0.02)

    def test_captured_arrays_and_a_workspace(self):
        q, k, v, out = self.arrays
        document = np.repeat(np.arange(7, dtype=np.int32), 10)
        on_device = DeviceArray(self.context, document)
        plan = self.context.plan(q, k, v, lambda b, h, q, kv: (kv <= q) & (on_device[q] == on_device[kv]))
        plan(q, k, v, out)
        expected = reference.attention(*self.host, lambda b, h, q, kv: (kv <= q) & (document[q] == document[kv]))[0]
        np.testing.assert_allclose(out.numpy(), expected, atol=0.02)
        if plan.facts["workspace_bytes"]:
            self.assertEqual(len(plan._workspaces), 1)

    def test_refusals(self):
        q, k, v, out = self.arrays
        with self.assertRaisesRegex(attune.Error, "expected out= for arrays of"):
            attune.attention(q, k, v, context=self.context)
        with self.assertRaisesRegex(attune.Error, r"expected array 'k' where q is \(cuda:0\), got it on the host"):
            attune.attention(q, self.host[1], v, out=out, context=self.context)
        with self.assertRaisesRegex(attune.Error, "on which the plan was made, got ones on cuda:0"):
            attune.attention(q, k, v, out=out, context=attune.Context("sim"))


if __name__ == "__main__":
    unittest.main()
