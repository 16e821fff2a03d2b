"""One part's run: what it may use, how long it may take, and its rows, which are on disk as soon as they are known."""
import contextlib
import json
import os
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .driver import Driver
from .errors import Missing
from .kernels import Compiler


def write_json(path, value):
    """Whole or not at all."""
    path = Path(path)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n")
    os.replace(fresh, path)


@contextlib.contextmanager
def workers(count=None):
    """Threads that are not waited for when something goes wrong, or Ctrl-C is pressed: what is known is saved instead."""
    pool = ThreadPoolExecutor(count or os.cpu_count())
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


class Job:
    """`plan` is what the parent process hands down (see __main__.py)."""

    def __init__(self, plan, part):
        self.plan, self.part = plan, part
        self.attune, self.work = plan["attune"], plan["work"]
        self.quick, self.tiny, self.arch = plan["quick"], plan["tiny"], plan["arch"]
        self.deadline = plan["deadline"]
        self.path = Path(self.work) / f"{part}.json"
        self.state = {"status": "running", "why": "", "rows": {}, "unfinished": [], "facts": {}, "current": None,
                      "within": None, "banned": []}
        if self.path.exists():  # a run before this one died on the way
            self.state.update(json.loads(self.path.read_text()))
        self.opened = None

    @property
    def driver(self):
        if not self.opened:
            self.opened = Driver(self.plan["driver"])
        return self.opened

    def compiler(self):
        store = self.plan["store"]
        return Compiler(self.attune, self.arch, self.work, self.plan["images"], store if os.path.exists(store) else None)

    def environment(self):
        """For commands on the simulated GPU: with this device's own tables, if the probes made some. The simulated
        driver has none."""
        tables = self.plan["tables"]
        named = tables if os.path.exists(tables) else "none" if self.driver.simulated else None
        return dict(os.environ, **({"ATTUNE_DEVICE_TABLES": named} if named else {}))

    def wanted(self, name):
        return not self.plan["only"] or re.search(self.plan["only"], name) is not None

    def late(self, seconds=0):
        """Whether there is no time for something that takes `seconds`."""
        return time.time() + seconds > self.deadline

    def has(self, name):
        return name in self.state["rows"]

    def begin(self, name, within=None):
        """What is blamed if this process dies: the row, or only who runs within it."""
        self.state.update(current=name, within=within)
        self.save()

    def add(self, name, row):
        self.state["rows"][name] = row
        self.state.update(current=None, within=None)
        self.save()

    def fact(self, name, value):
        self.state["facts"][name] = value
        self.save()

    def unfinished(self, names):
        self.state["unfinished"] += [name for name in names if name not in self.state["unfinished"] and not self.has(name)]
        self.save()

    def end(self, status, why=""):
        self.state.update(status=status, why=why, current=None, within=None)
        self.save()

    def save(self):
        write_json(self.path, self.state)


PRIVATE = ("current", "within", "banned", "blamed")  # of a part's state: not in the result


def blame(state, why):
    """What a part was at gets the blame; True if there was something, so that a fresh process can go on after it."""
    name, within = state["current"], state["within"]
    if not name:
        return False
    if within:
        state["banned"].append([within, name, why])
    else:
        state["rows"][name] = {"name": name, "status": "failed", "why": why}
    state.update(current=None, within=None)
    return True


def ask(command):
    """The JSON that a command of attune prints."""
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise Missing(f"expected the attune executable, got: {error}") from error
    if done.returncode != 0:
        raise Missing(f"{' '.join(command)}: exit status {done.returncode}: {(done.stderr or done.stdout).strip()}")
    try:
        return json.loads(done.stdout)
    except ValueError as error:
        raise Missing(f"{' '.join(command)}: expected JSON, got: {error}") from error
