#!/usr/bin/env python3
"""Makes the tables and charts of measured results: what stands in tests/perf/README.md and in README.md's headline comes
from the files that tests/gpu/accept.sh wrote into tests/perf/results, and from nowhere else.

  tests/perf/report.py            writes the sections and tests/perf/charts
  tests/perf/report.py --check    writes nothing; exit status 1 if something there is not what the results give

Of each GPU the newest full run of every part counts; where there is none, the newest quick one, or one of some parts."""
import argparse
import json
import math
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "gpu"))
sys.path.insert(0, str(HERE))
from accept import schema, summary  # noqa: E402
from charts import chart  # noqa: E402

NOTHING = "No result of a GPU is stored yet: `tests/gpu/accept.sh` on a machine with one makes the first."


def load(folder, allow_samples):
    """(file name, result), newest of each GPU, and what is wrong with the files."""
    found, wrong = {}, []
    for path in sorted(folder.glob("*.json")):
        if path.name == "schema.json":
            continue
        try:
            result = json.loads(path.read_text())
        except ValueError as error:
            wrong.append(f"{path}: expected JSON, got: {error}")
            continue
        if "attune_tuning" in result:
            continue  # the export of a tuning store, which a result names
        broken = schema.check(result)
        if broken:
            wrong += [f"{path}: {line}" for line in broken[:5]]
            continue
        if result["sample"] and not allow_samples:
            wrong.append(f"{path}: expected the result of a GPU, got a sample of a simulated device")
            continue
        key = (len(result["parts"]), result["mode"] == "full", result["machine"]["date"])
        gpu = result["machine"]["gpu"]
        if gpu not in found or key > found[gpu][0]:
            found[gpu] = (key, path.name, result)
    return [(name, result) for _, name, result in (found[gpu] for gpu in sorted(found))], wrong


def slug(text):
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def geometric(values):
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def ratios(result):
    part = result["parts"].get("benchmark")
    return [row for row in summary.table_rows(part) if row["ratio"]] if part else []


def machine_line(name, result):
    machine, smi = result["machine"], result["machine"]["nvidia_smi"]
    words = [f"driver {machine['driver']}", f"CUDA {machine['cuda_version'] // 1000}.{machine['cuda_version'] % 1000 // 10}"]
    words += [f"{key} {value}" for key, value in machine["packages"].items() if value and key in ("torch", "triton", "jax")]
    if isinstance(smi.get("power.limit"), float):
        words.append(f"power limit {smi['power.limit']:.0f} W, {smi['clocks.max.sm']:.0f} MHz at most")
    sample = " **A sample of a simulated device: its figures say nothing.**" if result["sample"] else ""
    return (f"{', '.join(words)}; attune {result['attune']['version']} ({result['attune']['commit']}), {machine['date'][:10]}, "
            f"a {result['mode']} run{' that was interrupted' if result['interrupted'] else ''}. Raw: "
            f"[{name}](results/{name}).{sample}")


def parts_table(result):
    lines = ["| part | outcome | rows | not finished |", "|---|---|---|---|"]
    for name, part in result["parts"].items():
        counts = {}
        for row in part["rows"]:
            counts[row["status"]] = counts.get(row["status"], 0) + 1
        told = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        why = f": {part['why']}" if part["why"] else ""
        lines.append(f"| {name} | {part['status']}{why} | {told} | {len(part['unfinished']) or ''} |")
    return lines


def cell(one):
    return f"{one['tflops']:.1f} ({one['spread_ms'][0]:.3f}-{one['spread_ms'][1]:.3f} ms)" if one else "-"


def benchmark_tables(result):
    part = result["parts"].get("benchmark")
    rows = summary.table_rows(part) if part else []
    if not rows:
        return ["The benchmark has no cells."]
    lines = ["| cell | attune, TFLOP/s | best peer, TFLOP/s | ratio | share of limit |", "|---|---|---|---|---|"]
    for row in rows:
        peer = f"{row['peer']['name']}: {cell(row['peer'])}" if row["peer"] else "-"
        lines.append(f"| {row['name']} | {cell(row['ours'])} | {peer} | {'%.3f' % row['ratio'] if row['ratio'] else '-'} | "
                     f"{'%.1f %%' % (100 * row['share']) if row['share'] else '-'} |")
    return lines


def claims_table(result):
    part = result["parts"].get("claims")
    rows = {row["name"]: row for row in part["rows"]} if part else {}
    lines = []
    speed = rows.get("speed")
    if speed and "times_ms" in speed:
        told = ", ".join(f"{name} {ms:.3f} ms" for name, ms in speed["times_ms"].items())
        lines += ["", f"Batch 64, 16 heads, length 1024, d64, fp16, causal: {told}; {speed['ratio']:.2f} times as fast as the five "
                  f"operations ({speed['ratio_with_dropout']:.2f} with their dropout)."]
    memory = [row for name, row in rows.items() if name.startswith("memory") and "length" in row]
    if memory:
        lines += ["", "| length (batch 16, 8 heads, d64) | attune, MB | five operations, MB | ratio |", "|---|---|---|---|"]
        for row in memory:
            five = f"{row['five_operations_bytes'] / 1e6:.1f}" if row["five_operations_bytes"] else row["five_operations"]
            lines.append(f"| {row['length']} | {row['attune_bytes'] / 1e6:.1f} | {five} | "
                         f"{'%.1f' % row['ratio'] if row['ratio'] else '-'} |" if row["attune_bytes"] else
                         f"| {row['length']} | - | {five} | - |")
    return lines


def probes_table(result):
    part = result["parts"].get("probes")
    rules = [row for row in part["rows"] if "expected" in row] if part else []
    dumps = [row for row in part["rows"] if row["name"].startswith("dump ") and "bytes" in row] if part else []
    lines = []
    if rules:
        lines += ["", "How the tensor core sums, by random vectors:", "", "| instruction | vectors | rule that fits | as expected |",
                  "|---|---|---|---|"]
        lines += [f"| {row['name']} | {row['vectors']} | {'; or '.join(row.get('fits', [])) or 'none that is known'} | "
                  f"{'yes' if row['status'] == 'passed' else '**no**: ' + row['expected']} |" for row in rules]
    if dumps:
        told = ", ".join(f"{row['name'][5:]} ({row['arguments']} arguments in {row['bytes'] / 1e3:.0f} KB)" for row in dumps)
        lines += ["", f"Functions dumped: {told}."]
    return lines


def charts_of(result):
    """(file name, SVG): one a dtype, mask and head grouping, a panel a head dim."""
    part = result["parts"].get("benchmark")
    kinds = {}
    for row in part["rows"] if part else []:
        if "cell" not in row:
            continue
        c = row["cell"]
        group = c["heads_q"] // c["heads_kv"]
        mask = c["spec"]["mask"] if isinstance(c["spec"]["mask"], str) else "+".join(c["spec"]["mask"])
        key = (c["op"], c["spec"]["dtype"], "full" if mask == "none" else mask, group)
        panel = kinds.setdefault(key, {}).setdefault((c["spec"]["head_dim_qk"], c["spec"]["head_dim_v"]), {})
        for one in row["contestants"]:
            if one["status"] == "ok":
                panel.setdefault(one["name"], {})[c["length_q"]] = one["tflops"]
    gpu = result["machine"]["gpu"]
    for (op, dtype, mask, group), panels in sorted(kinds.items()):
        heads = f", {group} query heads a KV head" if group > 1 else ""
        title = f"{gpu}: {op}, {dtype}, {mask}{heads}" + (" (sample)" if result["sample"] else "")
        named = {f"d{dims[0]}" if dims[0] == dims[1] else f"d{dims[0]}/{dims[1]}": lines for dims, lines in sorted(panels.items())}
        yield f"{slug(gpu)}-{op}-{dtype}-{slug(mask)}{f'-gqa{group}' if group > 1 else ''}.svg", chart(title, named)


def section(results):
    if not results:
        return NOTHING
    lines = []
    for name, result in results:
        lines += [f"### {result['machine']['gpu']}", "", machine_line(name, result), "", *parts_table(result), ""]
        lines += [f"![{file[:-4]}](charts/{file})" for file, _ in charts_of(result)]
        found = [row["ratio"] for row in ratios(result)]
        if found:
            lines += ["", f"Against the best peer of each cell: geometric mean {geometric(found):.3f}, worst {min(found):.3f}, "
                      f"{sum(ratio >= 1 for ratio in found)} of {len(found)} cells at least as fast."]
        lines += ["", "Median of the launches, with the time of the fastest and slowest tenth; worst first.", "",
                  *benchmark_tables(result), *claims_table(result), *probes_table(result), ""]
    lines.append("Command: `tests/perf/report.py`.")
    return "\n".join(lines)


def headline(results):
    if not results:
        return NOTHING
    lines = ["| GPU | forward, against the best peer of each cell | best |", "|---|---|---|"]
    for _, result in results:
        rows = ratios(result)
        some = [row["ratio"] for row in rows]
        part = result["parts"].get("benchmark")
        fastest = max((row["ours"] for row in summary.table_rows(part) if row["ours"]), key=lambda one: one["tflops"],
                      default=None) if part else None
        told = f"geometric mean {geometric(some):.2f} over {len(some)} cells, worst {min(some):.2f}" if some else "no peer ran"
        best = f"{fastest['tflops']:.0f} TFLOP/s" if fastest else "-"
        lines.append(f"| {result['machine']['gpu']}{' (a sample: says nothing)' if result['sample'] else ''} | {told} | {best} |")
    return "\n".join(lines + ["", "Tables, charts and how they were measured: [tests/perf](tests/perf/README.md)."])


def with_section(path, name, body):
    text = path.read_text()
    begin, end = f"<!-- {name} begins -->", f"<!-- {name} ends -->"
    if begin not in text or end not in text:
        sys.exit(f"{path}: expected '{begin}' and '{end}'")
    return re.sub(re.escape(begin) + ".*?" + re.escape(end), lambda _: f"{begin}\n{body}\n{end}", text, flags=re.S)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; say what is stale")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--charts", type=Path, default=HERE / "charts")
    parser.add_argument("--tables", type=Path, default=HERE / "README.md", help="where the tables go")
    parser.add_argument("--headline", type=Path, default=HERE.parents[1] / "README.md", help="where the headline goes")
    parser.add_argument("--samples", action="store_true", help="take results of a simulated device too: for a look alone")
    options = parser.parse_args()
    if options.samples and options.results.resolve() == HERE / "results":
        parser.error("expected --results elsewhere with --samples: samples are never kept there")
    results, wrong = load(options.results, options.samples)
    for line in wrong:
        print(f"report: error: {line}", file=sys.stderr)
    if wrong:
        return 1
    wanted = {options.tables: with_section(options.tables, "report.py", section(results)),
              options.headline: with_section(options.headline, "report.py headline", headline(results))}
    for _, result in results:
        wanted.update({options.charts / name: svg for name, svg in charts_of(result)})
    surplus = [path for path in options.charts.glob("*.svg") if path not in wanted]
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text] + surplus
    if options.check:
        for path in stale:
            print(f"report: error: {path} is not what the results give: run tests/perf/report.py", file=sys.stderr)
        return 1 if stale else 0
    options.charts.mkdir(exist_ok=True)
    for path, text in wanted.items():
        path.write_text(text)
    for path in surplus:
        path.unlink()
    if not any(options.charts.iterdir()):
        options.charts.rmdir()
    print(f"report: {len(results)} GPU{'' if len(results) == 1 else 's'}, {len(stale)} files changed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
