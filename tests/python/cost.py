"""What a call of a known plan costs the host: all of it but the C interface's own work, which a stand-in leaves out."""
import time

MOST_MICROSECONDS = 8.0
LEAST_OF, CALLS = 400, 25  # of the processor, since tests run beside others


def cost(plan, call):
    """Microseconds of `call()`, the least of several runs, with the plan's calls into the library left out."""
    plan._run = lambda pack: 0
    best = float("inf")
    for _ in range(LEAST_OF):
        begin = time.process_time()
        for _ in range(CALLS):
            call()
        best = min(best, (time.process_time() - begin) / CALLS * 1e6)
    del plan._run
    return best
