"""usage: watched.py [--pipe] [--until TEXT] COMMAND...: runs it with standard error on a terminal (or through a pipe), and
prints what that showed, a line a state. From the moment that TEXT is shown on the command is left two seconds, then
interrupted."""
import argparse
import os
import pty
import select
import signal
import subprocess
import time

parser = argparse.ArgumentParser()
parser.add_argument("--pipe", action="store_true")
parser.add_argument("--until")
parser.add_argument("command", nargs=argparse.REMAINDER)
options = parser.parse_args()
ours, theirs = os.pipe() if options.pipe else pty.openpty()
process = subprocess.Popen(options.command, stdout=subprocess.DEVNULL, stderr=theirs)
os.close(theirs)
shown, end = b"", None
while True:
    if end is None and options.until and options.until.encode() in shown:
        end = time.monotonic() + 2
    left = None if end is None else end - time.monotonic()
    if left is not None and left <= 0:
        process.send_signal(signal.SIGINT)
        end = None
        options.until = None
        continue
    if not select.select([ours], [], [], left)[0]:
        continue
    try:
        got = os.read(ours, 4096)
    except OSError:  # nobody holds the other end any more
        got = b""
    if not got:
        break
    shown += got
print(shown.decode().replace("\r", "\n").replace("\033[K", ""))
print("status", process.wait())
