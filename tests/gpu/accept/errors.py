"""What this command's own errors mean for its exit status."""


class BadInput(Exception):
    """Exit status 2: the command line or a file is wrong."""


class Missing(Exception):
    """Exit status 3: something needed is not on this machine."""
