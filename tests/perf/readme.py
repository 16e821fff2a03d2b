"""What the measuring scripts share: the executable, and their sections of README.md."""
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def find_attune():
    """The newest executable under build/*/bin."""
    found = sorted(HERE.parent.parent.glob("build/*/bin/attune"), key=lambda path: path.stat().st_mtime)
    if not found:
        sys.exit("no attune executable under build/*/bin: build it, or name one by --attune")
    return found[-1]


def put_section(name, table):
    """Replaces what stands in README.md between `<!-- NAME begins -->` and `<!-- NAME ends -->`."""
    readme = HERE / "README.md"
    text = readme.read_text()
    begin, end = f"<!-- {name} begins -->", f"<!-- {name} ends -->"
    if begin not in text or end not in text:
        sys.exit(f"{readme}: expected '{begin}' and '{end}'")
    readme.write_text(re.sub(re.escape(begin) + ".*?" + re.escape(end), lambda _: f"{begin}\n{table}\n{end}", text, flags=re.S))
