"""What a person reads at the end: what each part found, the benchmark's table, and what did not finish."""
import re

from . import cases


def listing(parts, quick):
    lines = [f"{name:<14} {share * 100:3.0f} %  {what}" for name, full, short, what in parts for share in [short if quick else full]]
    lines += [f"cells of the benchmark: {len(cases.benchmark(quick))}; specs of the correctness part: "
              f"{len(cases.correctness(quick))}, each with targets {' and '.join(cases.TARGETS)}"]
    return "\n".join(lines)


def best(contestants, ours):
    """The fastest that is right; by events where one has them, since the host's clock has launches in it."""
    some = [one for one in contestants if one["status"] == "ok" and one["ours"] == ours]
    some = [one for one in some if one["clock"] == "events"] or some
    return min(some, key=lambda one: one["median_ms"], default=None)


def table_rows(part):
    """(ratio to the best peer or None, name, ours, peer, share): worst first, cells without a peer last."""
    rows = []
    for row in part["rows"]:
        if "contestants" not in row:
            continue
        ours, peer = best(row["contestants"], True), best(row["contestants"], False)
        ratio = peer["median_ms"] / ours["median_ms"] if ours and peer else None
        rows.append({"name": row["name"], "ours": ours, "peer": peer, "ratio": ratio,
                     "share": ours.get("share_of_limit") if ours else None, "cell": row["cell"]})
    return sorted(rows, key=lambda row: (row["ours"] is not None, row["ratio"] is None, row["ratio"] or 0))


def benchmark_text(part):
    rows = table_rows(part)
    if not rows:
        return []
    lines = [f"{'cell':<44} {'attune':>9} {'TFLOP/s':>8} {'target':>6}   {'best peer':<24} {'ms':>9} {'ratio':>6} {'limit':>6}"]
    for row in rows:
        ours, peer = row["ours"], row["peer"]
        own = f"{ours['median_ms']:9.4f} {ours['tflops']:8.1f} {ours['name'].split()[-1]:>6}" if ours else f"{'none':>9} {'':>8} {'':>6}"
        other = f"{peer['name']:<24} {peer['median_ms']:9.4f}" if peer else f"{'none':<24} {'':>9}"
        ratio = f"{row['ratio']:6.3f}" if row["ratio"] else f"{'':>6}"
        share = f"{row['share'] * 100:5.1f}%" if row["share"] else ""
        lines.append(f"{row['name']:<44} {own}   {other} {ratio} {share}")
    reasons = {}
    for row in part["rows"]:
        for one in row.get("contestants", []):
            if one["status"] != "ok":
                first = (one["why"].splitlines() or [""])[0][:160]
                same = re.sub(r"[0-9.e+-]+", "#", first)  # numbers apart, it is one reason
                reasons.setdefault((one["name"], one["status"], same), (first, []))[1].append(row["name"])
    for (name, status, _), (why, where) in sorted(reasons.items()):
        lines.append(f"  {name}: {status} in {len(where)} cell{'s' if len(where) > 1 else ''} ({where[0]}...): {why}")
    for name, why in part["facts"].get("peers_absent", {}).items():
        lines.append(f"  {name}: not here: {why}")
    return lines


def text(result):
    machine = result["machine"]
    lines = [f"\n{machine['gpu']}, driver {machine['driver']}, attune {result['attune']['version']} "
             f"({result['attune']['commit']}), {result['seconds']:.0f} s" + (", interrupted" if result["interrupted"] else "")
             + (", a SAMPLE of a simulated device: its figures say nothing" if result["sample"] else "")]
    for name, part in result["parts"].items():
        counts = {}
        for row in part["rows"]:
            counts[row["status"]] = counts.get(row["status"], 0) + 1
        told = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        lines.append(f"{name:<14} {part['status']:<10} {told}" + (f"; {part['why']}" if part["why"] else ""))
        for row in part["rows"]:
            if row["status"] == "failed":
                why = row.get("why") or ", ".join(
                    f"{key}: {row[key]}" for key in ("differs", "error", "simulator_error", "unwritten") if row.get(key))
                lines.append(f"  FAILED {row['name']} {row.get('target', '')}: {str(why)[:400]}")
        if name == "benchmark":
            lines += benchmark_text(part)
        if part["unfinished"]:
            lines.append(f"  not finished ({len(part['unfinished'])}): {', '.join(part['unfinished'][:12])}"
                         + (", ..." if len(part["unfinished"]) > 12 else ""))
    return "\n".join(lines)
