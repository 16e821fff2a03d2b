"""What attune raises."""
from __future__ import annotations


class Error(RuntimeError):
    """A call that attune refused, or that failed. Its text is the C interface's message: what was expected, what was
    got, and a way out where there is one.

    code: the status' name, such as "InvalidSpec", "InvalidStrides", "NoDevice" or "KernelFault".
    """

    def __init__(self, message: str, code: str = "InvalidArgument"):
        super().__init__(message)
        self.code = code


class TraceError(Error, TypeError):
    """A Python function that cannot become a mask or a score; its text begins with the user's file and line."""

    def __init__(self, message: str):
        super().__init__(message, "InvalidSpec")
