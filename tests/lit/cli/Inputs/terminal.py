"""usage: terminal.py COMMAND...: runs it with standard error on a terminal, and prints what that showed, a line a state."""
import os
import pty
import subprocess
import sys

ours, theirs = pty.openpty()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=theirs)
os.close(theirs)
shown = b""
while True:
    try:
        got = os.read(ours, 4096)
    except OSError:  # nobody holds the other end any more
        got = b""
    if not got:
        break
    shown += got
print(shown.decode().replace("\r", "\n").replace("\033[K", ""))
print("status", process.wait())
