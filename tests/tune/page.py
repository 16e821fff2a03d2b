#!/usr/bin/env python3
"""The page of `attune tune --report`: what is in it, and how it looks in headless Chromium, as wide as a desk's screen
and as a phone's: nothing is wider than the screen, no text of a picture is cut off, no picture is empty.

usage: page.py ATTUNE [--pictures FOLDER]     FOLDER: also puts desk.png and phone.png there, to be looked at
"""

import argparse
import html
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

from stores import Checks

TUNE = ["tune", "--head-dim", "32", "--stages", "1", "--warps", "4", "--target", "ptx", "--len", "300", "--device", "sim",
        "--all", "--budget", "10m"]
WIDTHS = {"desk": 1200, "phone": 390}

# Runs beside the page, which lies in a frame of the width in question.
MEASURE = """
const frame = document.querySelector('iframe');
frame.onload = () => {
  const page = frame.contentDocument, wide = page.documentElement.scrollWidth, found = [];
  for (const svg of page.querySelectorAll('svg')) {
    const box = svg.getBoundingClientRect();
    const cut = [...svg.querySelectorAll('text')].filter(text => {
      const at = text.getBoundingClientRect();
      return at.left < box.left - 1 || at.right > box.right + 1 || at.top < box.top - 1 || at.bottom > box.bottom + 1;
    }).map(text => text.textContent);
    const small = [...svg.querySelectorAll('text')].filter(text => text.getBoundingClientRect().height < 8).length;
    found.push({label: svg.getAttribute('aria-label'), width: box.width, height: box.height, cut, small,
                marks: svg.querySelectorAll('rect,circle').length});
  }
  document.body.innerHTML = '<pre id=found></pre>';
  document.getElementById('found').textContent = JSON.stringify({wide, pictures: found,
    broken: [...page.querySelectorAll('th')].filter(th => th.getBoundingClientRect().height > 40).map(th => th.textContent)});
};
"""


def browser():
    for name in ("chromium", "chromium-browser", "google-chrome", "chrome"):
        if found := shutil.which(name):
            return found
    return None


def chromium(program, folder, *words):
    command = [program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
               f"--user-data-dir={folder}/profile", "--virtual-time-budget=5000", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=240)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("attune")
    parser.add_argument("--pictures")
    args = parser.parse_args()
    check, skipped = Checks(), 0
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "page.html")
        environment = dict(os.environ, ATTUNE_STORE="", TMPDIR=folder)
        done = subprocess.run([args.attune, *TUNE, "--store", os.path.join(folder, "s.sqlite"), "--report", path],
                              env=environment, capture_output=True, text=True)
        check(done.returncode == 0, f"exit status {done.returncode}: {done.stderr}")
        with open(path) as file:
            page = file.read()
        check("http" not in page and "src=" not in page, "the page asks for something else")
        for heading in ("The fastest", "Tiles", "Time against the model", "Pipes", "Refused"):
            check(f"<h3>{heading}" in page, f"no heading {heading}")
        check("<th>clock<th>counters" in page, "no column of the virtual clock")
        program = browser()
        if not program:
            print("skipped: no Chromium to look at it")
            skipped = 1
        for name, width in WIDTHS.items() if program else ():
            frame = os.path.join(folder, f"{name}.html")
            with open(frame, "w") as file:
                file.write(f"<!doctype html><meta charset=utf-8><body style='margin:0'><iframe style='border:0;width:{width}px;"
                           f"height:4000px' srcdoc='{html.escape(page)}'></iframe><script>{MEASURE}</script>")
            out = chromium(program, folder, "--dump-dom", "file://" + frame).stdout
            match = re.search(r'<pre id="found">(.*?)</pre>', out, re.S)
            check(match, f"{name}: no answer of the browser: {out[:500]}")
            if match:
                found = json.loads(html.unescape(match[1]))
                check(found["wide"] <= width, f"{name}: the page is {found['wide']} wide on a screen of {width}")
                check(not found["broken"], f"{name}: headings that are broken: {found['broken']}")
                check(len(found["pictures"]) == 3, f"{name}: {len(found['pictures'])} pictures")
                for picture in found["pictures"]:
                    label = f"{name}: {picture['label']}"
                    check(picture["width"] > 100 and picture["height"] > 50 and picture["marks"] > 3, f"{label}: {picture}")
                    check(not picture["cut"], f"{label}: cut off: {picture['cut']}")
                    check(not picture["small"], f"{label}: {picture['small']} texts too small to be read")
            if args.pictures:
                bare = os.path.join(folder, f"{name}-bare.html")
                with open(bare, "w") as file:
                    file.write(f"<!doctype html><meta charset=utf-8><body style='margin:0'><iframe style='border:0;width:{width}px;"
                               f"height:2600px' srcdoc='{html.escape(page)}'></iframe>")
                chromium(program, folder, f"--window-size={max(width, 500)},2600",
                         f"--screenshot={os.path.join(os.path.abspath(args.pictures), name)}.png", "file://" + bare)
    return check.report(skipped)


sys.exit(main())
