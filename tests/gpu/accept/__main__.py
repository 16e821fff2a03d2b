"""Takes from a GPU machine what only it can tell. Each part runs in a process of its own, so that a kernel that
faults, or a library that hangs, costs that part alone; rows are on disk as soon as they are known.

Exit status: 0 every part that ran passed; 1 something is wrong or did not end well; 2 bad usage; 3 something needed is
missing; 130 interrupted (what was measured is kept)."""
import argparse
import contextlib
import datetime
import importlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

from . import machine, schema, summary
from .driver import Driver
from .errors import BadInput, Missing
from .job import PRIVATE, Job, ask, blame, write_json

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parents[1] / "perf" / "results"

# name, share of the time in a full and in a quick run, what it does
PARTS = [
    ("probes", 0.20, 0.22, "the tensor core's rule and the approximate functions, dumped for the simulator"),
    ("correctness", 0.13, 0.24, "specs against fp64 and bit for bit against the simulator"),
    ("large-offsets", 0.03, 0.06, "strides that reach beyond 2^31 elements"),
    ("tune", 0.12, 0.00, "sweeps by `attune tune`, whose winners the benchmark takes; not in a quick run"),
    ("benchmark", 0.34, 0.38, "beside every peer that this Python holds"),
    ("ceilings", 0.08, 0.00, "others where attune has no kernel yet, and the GPU's limits; not in a quick run"),
    ("claims", 0.05, 0.10, "FlashAttention's first claims"),
    ("sanitizer", 0.05, 0.00, "a few kernels under compute-sanitizer; not in a quick run"),
]
NAMES = [part[0] for part in PARTS]
FULL_SECONDS, QUICK_SECONDS = 300, 70
ATTEMPTS = 8  # at a part whose processes die, each in another row
GRACE = 15  # seconds that a part has to save what it holds after its deadline


def arguments():
    parser = argparse.ArgumentParser(prog="accept.sh", description="Acceptance of attune on a GPU machine.")
    parser.add_argument("--attune", help="the release executable (build/release/attune, else one of build/*/bin)")
    parser.add_argument("--part", action="append", choices=NAMES + ["report"], help="only this part; repeatable")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_SECONDS} seconds")
    parser.add_argument("--seconds", type=float, help=f"time in all ({FULL_SECONDS}, or {QUICK_SECONDS} with --quick)")
    parser.add_argument("--out", type=Path, help="the result (tests/perf/results/GPU-DATE.json)")
    parser.add_argument("--tables", type=Path, help="where the dump of approximate functions goes (beside the result)")
    parser.add_argument("--commit", help="of attune, to be written into the result (git's, where there is a checkout)")
    parser.add_argument("--only", help="a regular expression: only rows whose names it finds")
    parser.add_argument("--seed", type=int, default=0, help="of the probes' random vectors")
    parser.add_argument("--list", action="store_true", help="what would run; needs no GPU")
    parser.add_argument("--driver", default="libcuda.so.1", help=argparse.SUPPRESS)
    parser.add_argument("--tiny", action="store_true", help=argparse.SUPPRESS)  # tests: what a simulated GPU does
    parser.add_argument("--sample", action="store_true", help=argparse.SUPPRESS)  # tests: never under results/
    parser.add_argument("--rule-of", type=int, help=argparse.SUPPRESS)  # tests: expect this capability's rule
    parser.add_argument("--target-of-probes", type=int, help=argparse.SUPPRESS)  # tests: compile probes for it
    parser.add_argument("--peers", default="", help=argparse.SUPPRESS)  # tests: made-up ones
    parser.add_argument("--child", nargs=2, metavar=("PART", "PLAN"), help=argparse.SUPPRESS)
    return parser.parse_args()


def find_attune(given):
    if given:
        return str(Path(given).resolve())
    root = HERE.parents[2]
    found = [root / "build" / "release" / "attune"] + sorted(root.glob("build/*/bin/attune"))
    found = [path for path in found if path.is_file()] or ([shutil.which("attune")] if shutil.which("attune") else [])
    if not found:
        raise Missing("expected an attune executable (build/release/attune), got none: `./dev release`, or --attune PATH")
    return str(found[0])


def commit_of(given):
    if given:
        return given
    done = subprocess.run(["git", "-C", str(HERE), "describe", "--always", "--dirty", "--abbrev=12"], capture_output=True,
                          text=True) if shutil.which("git") else None
    return done.stdout.strip() if done and done.returncode == 0 else "unknown"


def child(part, plan_path):
    """Runs one part; rows are in its file, whatever happens."""
    job = Job(json.loads(Path(plan_path).read_text()), part)

    def stop(*_):
        raise KeyboardInterrupt
    signal.signal(signal.SIGTERM, stop)
    module = importlib.import_module("." + part.replace("-", "_"), __package__)
    status = run_part(module, job)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # threads that still work on what nobody waits for are not waited for


def run_part(module, job):
    try:
        module.run(job)
    except KeyboardInterrupt:
        job.end("unfinished", "stopped in the middle")
        return 130
    except Missing as error:
        job.end("skipped", str(error))
        return 0
    except Exception as error:  # noqa: BLE001: whatever it is belongs into the result
        traceback.print_exc()
        why = f"{type(error).__name__}: {error}"[:1500]
        job.state["blamed"] = blame(job.state, why)
        job.end("crashed", why)
        return 1
    if job.state["status"] == "running":
        failed = any(row.get("status") in ("failed", "wrong") for row in job.state["rows"].values())
        job.end("failed" if failed else "unfinished" if job.state["unfinished"] else "passed")
    return 0


class Runner:
    def __init__(self, options):
        self.options, self.interrupted = options, False
        attune = find_attune(options.attune)
        driver = Driver(options.driver)
        doctor = ask([attune, "doctor", "--json"])
        self.work = Path(tempfile.mkdtemp(prefix="attune-accept-"))
        self.begun = time.time()
        self.total = options.seconds or (QUICK_SECONDS if options.quick else FULL_SECONDS)
        self.machine = {**driver.facts(), **machine.facts()}
        arch = self.arch_of(ask([attune, "devices", "--json"]), driver)
        ptxas = doctor["tools"].get("ptxas", {}).get("found") and not driver.simulated
        self.machine["driver"] = self.machine["nvidia_smi"].get("driver_version") or (
            "simulated" if driver.simulated else "unknown")
        self.attune = {"path": attune, "version": doctor["version"], "commit": commit_of(options.commit), "arch": arch,
                       "tools": {name: tool.get("version") or tool.get("how_to_get") for name, tool in doctor["tools"].items()}}
        self.sample = options.sample or driver.simulated
        self.out = self.place(options.out)
        self.tables = (options.tables or self.out.with_suffix(".tables")).resolve()
        self.plan = {"attune": attune, "work": str(self.work), "quick": options.quick, "tiny": options.tiny, "arch": arch,
                     "driver": options.driver, "only": options.only, "seed": options.seed, "tables": str(self.tables),
                     "store": str(self.work / "tuning.sqlite"), "export": str(self.out.with_suffix(".tuning.json")),
                     "images": {"ptx": "cubin" if ptxas else "ptx", "cuda": "ptx" if driver.simulated else "cubin"},
                     "rule_of": options.rule_of, "target_of_probes": options.target_of_probes, "peers": options.peers,
                     "machine": self.machine}

    @staticmethod
    def arch_of(devices, driver):
        for device in devices["devices"]:
            if not device["simulated"]:
                return device["arch"]
        # attune opens the driver by its usual name, which a test's driver need not have.
        return f"sm_{driver.capability()}"

    def place(self, given):
        if given:
            path = given.resolve()
        else:
            name = re.sub(r"[^a-z0-9]+", "-", self.machine["gpu"].lower()).strip("-")
            stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%d-%H%M%S")
            path = RESULTS / f"{name}-{stamp}{'-quick' if self.options.quick else ''}.json"
        if self.sample and RESULTS in path.parents:
            raise BadInput(f"expected --out outside {RESULTS}: results of a simulated device are samples, never kept there")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def collect(self):
        """All that is known now, as the result's JSON."""
        parts = {}
        for name in NAMES:
            path = self.work / f"{name}.json"
            if path.exists():
                state = json.loads(path.read_text())
                state["rows"] = list(state["rows"].values())
                for key in PRIVATE:
                    state.pop(key, None)
                parts[name] = state
        for name, state in self.outcomes.items():
            parts.setdefault(name, {"status": "unfinished", "why": "", "rows": [], "unfinished": [], "facts": {}})
            parts[name].update(state)
        return {"format": 1, "sample": self.sample, "mode": "quick" if self.options.quick else "full",
                "interrupted": self.interrupted, "seconds": round(time.time() - self.begun, 1), "machine": self.machine,
                "attune": self.attune, "parts": parts}

    def save(self):
        write_json(self.out, self.collect())

    def run(self):
        chosen = [part for part in PARTS if not self.options.part or part[0] in self.options.part]
        shares = {part[0]: part[2 if self.options.quick else 1] for part in chosen}
        if self.options.part:
            shares = {name: max(share, 0.02) for name, share in shares.items()}
        self.outcomes = {}
        end = self.begun + self.total
        for name, *_ in chosen:
            left = sum(shares[other] for other in list(shares)[list(shares).index(name):])
            now = time.time()
            if self.interrupted or shares[name] == 0 or (end - now < 1 and not self.options.part):
                self.outcomes[name] = {"status": "skipped" if shares[name] == 0 else "unfinished",
                                       "why": "not in a quick run" if shares[name] == 0 else "interrupted before it began"
                                       if self.interrupted else "no time was left for it"}
                continue
            # What earlier parts left over is shared out among those that are still to come.
            self.plan["deadline"] = now + max(end - now, 1) * shares[name] / left
            self.one(name)
            self.save()
        self.save()
        return self.collect()

    def one(self, name):
        plan = self.work / "plan.json"
        plan.write_text(json.dumps(self.plan))
        begun = time.time()
        print(f"accept: {name} ({self.plan['deadline'] - begun:.0f} s at most)", file=sys.stderr, flush=True)
        for attempt in range(ATTEMPTS):
            status = self.attend(name, plan)
            if status in (0, 130) or self.interrupted:
                break
            if time.time() > self.plan["deadline"] or attempt == ATTEMPTS - 1 or not self.can_go_on(name, status):
                break
        self.outcomes[name] = {"seconds": round(time.time() - begun, 1)}
        path = self.work / f"{name}.json"
        if path.exists():
            state = json.loads(path.read_text())
            if state["status"] == "running":
                self.outcomes[name].update(status="crashed", why=f"its process ended with status {status}")
            elif any(row.get("status") == "failed" for row in state["rows"].values()) and state["status"] == "passed":
                self.outcomes[name]["status"] = "failed"
        else:
            self.outcomes[name].update(status="crashed", why=f"its process ended with status {status} before its first row")

    def attend(self, name, plan):
        """Waits for a part's process, stops it when its time is over."""
        environment = dict(os.environ, PYTHONUNBUFFERED="1",
                           XLA_PYTHON_CLIENT_PREALLOCATE="false")
        process = subprocess.Popen([sys.executable, "-m", "accept", "--child", name, str(plan)], env=environment,
                                   start_new_session=True)
        try:
            return self.wait_for(process)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # compilers and the like that it left behind

    def wait_for(self, process):
        asked = False
        while True:
            try:
                return process.wait(max(0.1, self.plan["deadline"] + GRACE - time.time()) if not asked else GRACE)
            except KeyboardInterrupt:
                self.interrupted = asked = True
                process.terminate()
            except subprocess.TimeoutExpired:
                if asked:
                    process.kill()
                    return process.wait()
                asked = True
                process.terminate()

    def can_go_on(self, name, status):
        """After a part's process died: whether what it died in is known, so that a fresh one can do the rest."""
        path = self.work / f"{name}.json"
        if not path.exists():
            return False
        state = json.loads(path.read_text())
        if not (state.pop("blamed", False) or blame(state, f"the process died ({status})")):
            return False
        state["status"] = "running"
        write_json(path, state)
        return True


def check_options(options):
    if options.seconds is not None and not options.seconds > 0:
        raise BadInput(f"--seconds: expected a time above 0, got {options.seconds:g}")
    try:
        re.compile(options.only or "")
    except re.error as error:
        raise BadInput(f"--only: expected a regular expression, got '{options.only}': {error}") from error


def main():
    options = arguments()
    if not importlib.util.find_spec("numpy"):
        print(f"accept: error: expected a Python with numpy, got {sys.executable}, which has none: set ATTUNE_PYTHON",
              file=sys.stderr)
        return 3
    try:
        if options.child:
            return child(*options.child)
        if options.list:
            print(summary.listing(PARTS, options.quick))
            return 0
        check_options(options)
        if options.part == ["report"]:
            return subprocess.run([sys.executable, str(HERE.parents[1] / "perf" / "report.py")]).returncode
        runner = Runner(options)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            result = runner.run()
        except KeyboardInterrupt:
            runner.interrupted = True
            runner.save()
            result = runner.collect()
        wrong = schema.check(result)
        print(summary.text(result))
        print(f"result: {runner.out}")
        for line in wrong:
            print(f"accept: error: the result breaks its schema: {line}", file=sys.stderr)
        if runner.out.parent == RESULTS and not options.part:
            subprocess.run([sys.executable, str(HERE.parents[1] / "perf" / "report.py")])
        shutil.rmtree(runner.work, ignore_errors=True)
        if runner.interrupted:
            return 130
        bad = any(part["status"] in ("failed", "crashed") for part in result["parts"].values())
        return 1 if bad or wrong else 0
    except BadInput as error:
        print(f"accept: error: {error}", file=sys.stderr)
        return 2
    except Missing as error:
        print(f"accept: error: {error}", file=sys.stderr)
        return 3
    except OSError as error:
        print(f"accept: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


sys.exit(main())
