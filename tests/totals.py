"""Prints one line of totals for a ctest run, and fails if a test did.

usage: totals.py CTEST_JUNIT_XML

A ctest entry counts as the tests that its output says it ran: doctest's and lit's summaries, or a line
`N passed, N failed, N skipped`; without any of these it is one test. A test that cannot run here says so, and
counts as skipped, never as passed: a test case of doctest by MESSAGE("skipped: WHY"), once, a script by its line
or by the exit status that its SKIP_RETURN_CODE names.
"""

import re
import sys
import xml.etree.ElementTree as xml

DOCTEST = re.compile(r"test cases:\s*\d+ \|\s*(\d+) passed \|\s*(\d+) failed \|\s*(\d+) skipped")
DOCTEST_SKIPPED = re.compile(r"MESSAGE: skipped: ")
LINE = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped", re.MULTILINE)
LIT = re.compile(r"^  (\w[\w ]*?)\s*: +(\d+) \(", re.MULTILINE)
LIT_SKIPPED = {"Unsupported", "Skipped", "Excluded"}
LIT_PASSED = {"Passed", "Expectedly Failed", "Passed With Retry"}


def count(output, status):
    """(passed, failed, skipped) of one ctest entry."""
    found = DOCTEST.search(output) or LINE.search(output)
    if found:
        passed, failed, skipped = map(int, found.groups())
        told = min(passed, len(DOCTEST_SKIPPED.findall(output)))
        passed, skipped = passed - told, skipped + told
    elif LIT.search(output):
        passed = failed = skipped = 0
        for kind, number in LIT.findall(output):
            if kind in LIT_PASSED:
                passed += int(number)
            elif kind in LIT_SKIPPED:
                skipped += int(number)
            else:
                failed += int(number)
    elif status == "notrun" or status == "disabled":
        return 0, 0, 1
    else:
        return (0, 1, 0) if status == "fail" else (1, 0, 0)
    if status == "fail" and failed == 0:
        failed = 1  # it crashed after, or between, its tests
    return passed, failed, skipped


def main():
    try:
        cases = list(xml.parse(sys.argv[1]).getroot().iter("testcase"))
    except (OSError, xml.ParseError) as error:
        cases = []
        print(f"{sys.argv[1]}: {error}", file=sys.stderr)
    totals = [0, 0, 0]
    for case in cases:
        counts = count(case.findtext("system-out") or "", case.get("status"))
        totals = [total + number for total, number in zip(totals, counts)]
    failed = totals[1] > 0 or totals[0] == 0
    print("{} passed, {} failed, {} skipped".format(*totals))
    return 1 if failed else 0


sys.exit(main())
