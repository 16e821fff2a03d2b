"""usage: early.py COMMAND...: says whether its first line comes through a pipe while it runs, and ends it."""
import subprocess
import sys

process = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, text=True)
print(process.stdout.readline(), end="")
print("still running" if process.poll() is None else "ended")
process.kill()
process.wait()
