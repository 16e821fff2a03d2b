"""Line charts as SVG, by hand: a row of panels, a line a contestant, lengths on a logarithmic axis."""
import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT, TOP, LEFT, BOTTOM = 300, 240, 46, 52, 40
OURS = ["#c2410c", "#f59e0b"]
OTHERS = ["#1d4ed8", "#047857", "#7c3aed", "#0e7490", "#64748b", "#9d174d", "#4d7c0f", "#92400e", "#334155", "#0369a1"]


def nice_top(value):
    """A round number at or above."""
    if value <= 0:
        return 1.0
    step = 10 ** math.floor(math.log10(value))
    return next(step * n for n in (1, 2, 2.5, 4, 5, 8, 10) if step * n >= value)


def length_text(n):
    return f"{n // 1024}k" if n >= 1024 and n % 1024 == 0 else str(n)


def styles(names):
    """Colour and width of each: ours warm and thick."""
    ours = [name for name in names if name.startswith("attune")]
    rest = [name for name in names if name not in ours]
    return {**{name: (OURS[n % len(OURS)], 2.6) for n, name in enumerate(ours)},
            **{name: (OTHERS[n % len(OTHERS)], 1.5) for n, name in enumerate(rest)}}


def panel_svg(x0, name, lines, style):
    lengths = sorted({n for points in lines.values() for n in points})
    top = nice_top(max(max(points.values()) for points in lines.values()))
    low, high = math.log2(lengths[0]), math.log2(lengths[-1])

    def x(n):
        return x0 + LEFT + (WIDTH - LEFT - 12) * ((math.log2(n) - low) / (high - low) if high > low else 0.5)

    def y(value):
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top)
    out = [f'<text x="{x0 + LEFT}" y="{TOP - 8}" class="panel">{escape(name)}</text>']
    for k in range(5):
        value = top * k / 4
        out.append(f'<line x1="{x0 + LEFT}" y1="{y(value):.1f}" x2="{x0 + WIDTH - 12}" y2="{y(value):.1f}" class="grid"/>')
        out.append(f'<text x="{x0 + LEFT - 6}" y="{y(value) + 4:.1f}" class="number">{value:g}</text>')
    for n in lengths:
        out.append(f'<text x="{x(n):.1f}" y="{HEIGHT - BOTTOM + 16}" class="length">{length_text(n)}</text>')
    for who, points in sorted(lines.items(), key=lambda line: line[0].startswith("attune")):
        colour, width = style[who]
        path = " ".join(f"{x(n):.1f},{y(points[n]):.1f}" for n in sorted(points))
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>')
        out += [f'<circle cx="{x(n):.1f}" cy="{y(points[n]):.1f}" r="{width + 0.4:.1f}" fill="{colour}">'
                f'<title>{escape(who)}, {length_text(n)}: {points[n]:.1f} TFLOP/s</title></circle>' for n in sorted(points)]
    return out


def chart(title, panels):
    """`panels`: name to {contestant: {length: TFLOP/s}}."""
    names = sorted({name for lines in panels.values() for name in lines}, key=lambda name: (not name.startswith("attune"), name))
    style = styles(names)
    width = max(WIDTH * len(panels), 2 * WIDTH)
    columns = (width - LEFT) // 190
    legend_rows = -(-len(names) // columns)
    height = HEIGHT + 20 * legend_rows + 14
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
           'font-family="sans-serif">',
           '<style>.title{font-size:15px;font-weight:bold}.panel{font-size:13px;font-weight:bold}.number{font-size:11px;'
           'text-anchor:end;fill:#555}.length{font-size:11px;text-anchor:middle;fill:#555}.grid{stroke:#ddd}'
           '.legend{font-size:12px}</style>',
           f'<rect width="{width}" height="{height}" fill="#fff"/>',
           f'<text x="{LEFT}" y="20" class="title">{escape(title)}, TFLOP/s by length</text>']
    for n, (name, lines) in enumerate(panels.items()):
        if any(lines.values()):
            out += panel_svg(n * WIDTH, name, lines, style)
    for n, name in enumerate(names):
        x, y = LEFT + (width - LEFT) // columns * (n % columns), HEIGHT + 20 * (n // columns) + 6
        colour, thick = style[name]
        out.append(f'<line x1="{x}" y1="{y}" x2="{x + 20}" y2="{y}" stroke="{colour}" stroke-width="{thick}"/>')
        out.append(f'<text x="{x + 26}" y="{y + 4}" class="legend">{escape(name)}</text>')
    return "\n".join(out + ["</svg>"]) + "\n"
