"""attune and its peers on the same buffers, launches interleaved, the L2 flushed before each."""
import statistics
import time
import warnings

from . import cases, kernels, machine, peers
from .driver import DriverError
from .sides import now_ms, open_side

WARM_UP = 3
SUSTAINED_MS = 60  # of back-to-back launches, the second figure


class Contestant:
    def __init__(self, name, ours, run, host=False):
        self.name, self.ours, self.run, self.host = name, ours, run, host
        self.samples, self.sustained = [], None


def timed(side, contestant):
    """One launch in ms, as a thing to be read later: a number, or a pair of events."""
    side.flush()
    if contestant.host:
        side.synchronize()
        begun = now_ms()
        contestant.run()
        return now_ms() - begun
    start, stop = side.event(), side.event()
    side.record(start)
    contestant.run()
    side.record(stop)
    return start, stop


def measure(side, contestants, rounds):
    for number in range(rounds):
        turn = number % max(len(contestants), 1)
        taken = [(one, timed(side, one)) for one in contestants[turn:] + contestants[:turn]]
        side.synchronize()
        for one, value in taken:
            one.samples.append(value if one.host else side.elapsed(*value))


def sustain(side, contestant, budget_ms):
    """Mean ms of back-to-back launches."""
    if contestant.host:
        return None
    count = int(min(max(budget_ms / max(statistics.median(contestant.samples), 1e-3), 3), 300))
    start, stop = side.event(), side.event()
    side.record(start)
    for _ in range(count):
        contestant.run()
    side.record(stop)
    return side.elapsed(start, stop) / count


class Cell:
    """One problem's arrays, and what O should be."""

    def __init__(self, side, cell, seed):
        s = cell["spec"]
        self.side, self.cell = side, cell
        shapes = [(cell["batch"], cell["length_q"], cell["heads_q"], s["head_dim_qk"]),
                  (cell["batch"], cell["length_kv"], cell["heads_kv"], s["head_dim_qk"]),
                  (cell["batch"], cell["length_kv"], cell["heads_kv"], s["head_dim_v"])]
        self.q, self.k, self.v = (side.random(shape, s["dtype"], seed * 3 + n) for n, shape in enumerate(shapes))
        self.out_shape = shapes[0][:3] + (s["head_dim_v"],)
        # Of every contestant's O every element is judged by the same rule: against fp64, within twice the plain algorithm's
        # error. Comparing contestants with each other instead calls one wrong for one unit of its type.
        self.errors = None if side.recorded else side.judge(s, self.q, self.k, self.v)

    def error(self, out):
        if self.errors is None:
            return {"max": None, "limit": None, "good": True, "why": "launches were recorded, not run"}
        return self.errors(out)


def ours(job, side, compiler, cell, data, target):
    """attune's kernel as a contestant; raises with the reason."""
    kernel, why = kernels.to_device(job.driver, compiler, cell, target)
    if kernel is None:
        raise peers.Refused(why["why"]) if why["status"] == "skipped" else RuntimeError(why["why"])
    out = side.empty(data.out_shape, cell["spec"]["dtype"])
    tensors = [(array.address, *array.strides()) for array in (data.q, data.k, data.v, out)] + [(0, 0, 0, 0)]
    shape = (cell["batch"], cell["heads_q"], cell["heads_kv"], cell["length_q"], cell["length_kv"])

    def run():
        kernel.launch(tensors, *shape, stream=side.stream())
        return out.data if out.data is not None else out
    run.facts = {"schedule": kernel.schedule, "why": kernel.why}
    return run


def row_of(contestant, cell, limit):
    samples = sorted(contestant.samples)
    median = statistics.median(samples)
    rate = cases.flops(cell) / median / 1e9
    row = {"name": contestant.name, "ours": contestant.ours, "status": "ok", "samples_ms": [round(x, 6) for x in samples],
           "median_ms": median, "spread_ms": [samples[len(samples) // 10], samples[-1 - len(samples) // 10]], "tflops": rate,
           "clock": "host" if contestant.host else "events", **getattr(contestant.run, "facts", {})}
    if contestant.sustained:
        row["sustained_ms"] = contestant.sustained
        row["sustained_tflops"] = cases.flops(cell) / contestant.sustained / 1e9
    if limit:
        row["share_of_limit"] = rate / limit
    return row


def enter(job, side, compiler, cell, data, asked):
    """One contestant, warmed up and right, or the row that says why not."""
    name, is_ours, peer, target = asked
    run = ours(job, side, compiler, cell, data, target) if is_ours else peer.make(side, cell, data.q, data.k, data.v)
    one = Contestant(name, is_ours, run, bool(peer and peer.host))
    for _ in range(WARM_UP):
        got = one.run()
    side.synchronize()
    if is_ours and not side.recorded and side.name == "numpy":
        got = side.whole(got)
    one.error = data.error(got)
    why = "" if one.error["good"] else f"error {one.error['max']} above {one.error['limit']}"
    if why:
        return None, {"name": name, "ours": is_ours, "status": "wrong", "error": one.error, "why": why}
    return one, None


def field(job, side, compiler, cell, data, listed):
    """Who runs, and the rows of those who do not. A contestant that brings the process down is named in the part's state;
    the next process leaves it out here, and everywhere once it has done so twice."""
    ready, rows = [], []
    everyone = [(f"attune {target}", True, None, target) for target in cases.TARGETS]
    everyone += [(peer.name, False, peer, None) for peer in listed if not peer.missing()]  # the facts have those
    banned = job.state["banned"]
    for asked in everyone:
        name, is_ours = asked[:2]
        here = [why for who, where, why in banned if who == name and where == cases.cell_name(cell)]
        if here or sum(who == name for who, *_ in banned) > 1:
            rows.append({"name": name, "ours": is_ours, "status": "failed", "why": here[0] if here else
                         "left out: it brought the process down twice"})
            continue
        job.begin(cases.cell_name(cell), name)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                one, row = enter(job, side, compiler, cell, data, asked)
                ready, rows = (ready + [one], rows) if one else (ready, rows + [row])
            except DriverError:
                raise  # the context may be lost: a fresh process goes on
            except peers.Refused as why:
                rows.append({"name": name, "ours": is_ours, "status": "skipped", "why": str(why)})
            except Exception as error:  # noqa: BLE001: a peer's reason, whatever it is
                text = f"{type(error).__name__}: {error}".strip()
                if "CUDA error" in text or "illegal memory access" in text:
                    raise
                # Torch says in warnings why a back end that was named cannot.
                text = "; ".join([text, *dict.fromkeys(str(one.message).strip() for one in said)])
                rows.append({"name": name, "ours": is_ours, "status": "failed", "why": text[:900]})
    job.begin(cases.cell_name(cell))
    return ready, rows


def run(job):
    cells = cases.tiny_benchmark() if job.tiny else cases.benchmark(job.quick)
    cells = [cell for cell in cells if job.wanted(cases.cell_name(cell))]
    compiler = job.compiler()
    for cell in cells:
        for target in cases.TARGETS:
            compiler.ask(cell, target)
    compiler.wait()
    side, why_plain = open_side(job.driver)
    listed = peers.TEST_PEERS if job.plan["peers"] == "test" else peers.PEERS if side.name == "torch" else []
    if job.quick:
        listed = [peer for peer in listed if peer.name != "FlexAttention"]
    absent = {peer.name: peer.missing() for peer in listed if peer.missing()}
    if job.quick and side.name == "torch":
        absent["FlexAttention"] = "not in a quick run: it compiles for seconds a cell"
    job.fact("peers_absent", absent)
    job.fact("side", {"arrays": side.name, "why": why_plain})
    rounds = 3 if job.tiny else 10 if job.quick else 20
    facts, sampler = job.plan["machine"], machine.Sampler()
    slowest = 0.0
    for number, cell in enumerate(cells):
        name = cases.cell_name(cell)
        if job.has(name):
            continue
        if job.late(slowest):
            job.unfinished([name])
            continue
        job.begin(name)
        begun = time.time()
        data = Cell(side, cell, number)
        contestants, rows = field(job, side, compiler, cell, data, listed)
        started = time.time()
        measure(side, contestants, rounds)
        for one in contestants:
            one.sustained = sustain(side, one, SUSTAINED_MS)
        side.synchronize()
        limit = cases.limit_tflops(facts["gpu"], facts["multiprocessors"], facts["clock_khz"], cell)
        rows = [dict(row_of(one, cell, limit), error=one.error) for one in contestants] + rows
        wrong = any(row["ours"] and row["status"] in ("wrong", "failed") for row in rows)
        job.add(name, {"name": name, "cell": cell, "flops": cases.flops(cell), "limit_tflops": limit, "contestants": rows,
                       "clocks": sampler.between(started, time.time()), "seconds": round(time.time() - begun, 2),
                       "status": "failed" if wrong else "passed"})
        del data, contestants
        side.release()
        slowest = max(slowest * 0.9, min(time.time() - begun, 8.0))
    sampler.close()
    compiler.close()
