"""The samples of docs/python.md and README.md run as they stand; a page's samples are one program."""
import importlib.util
import linecache
import re
import os
import unittest
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
os.environ["HF_HUB_OFFLINE"] = "1"


class Samples(unittest.TestCase):
    def run_page(self, page):
        text = page.read_text()
        samples = [(text[:found.start()].count("\n") + 1, found[1], found[2])
                   for found in re.finditer(r"^```python(.*?)\n(.*?)^```", text, flags=re.M | re.S)]
        self.assertTrue(samples)
        names = {}
        for line, needs, source in samples:
            if not all(importlib.util.find_spec(module) for module in needs.split()):
                continue
            with self.subTest(f"{page.name}:{line}"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                linecache.cache[f"{page}:{line}"] = (len(source), None, source.splitlines(True), f"{page}:{line}")
                exec(compile(source, f"{page}:{line}", "exec"), names)

    def test_python_page(self):
        self.run_page(ROOT / "docs/python.md")

    def test_readme(self):
        self.run_page(ROOT / "README.md")


if __name__ == "__main__":
    unittest.main()
