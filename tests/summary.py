"""Adds up JUnit reports and prints the closing lines of `./dev test`.

What failed stands at the very end, with what it printed last: the log of a whole run is long, and
often only its end is kept.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path

# Of each failure so many lines, and of so many failures: names alone say enough of a broken tree.
LAST_LINES = 40
LINE_WIDTH = 300
SHOWN_WHOLE = 10


@dataclass
class Failure:
    """One test that failed: its name behind its report's, and what it printed."""

    name: str
    output: str


@dataclass
class Counts:
    """What one report says."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: list[Failure] = field(default_factory=list)


def failures_of(suites: list[ET.Element], report: str) -> list[Failure]:
    """The failures of a report; pytest puts its text into the verdict, ctest beside it."""
    found = []
    for case in (case for suite in suites for case in suite.iter("testcase")):
        verdicts = [*case.iter("failure"), *case.iter("error")]
        if not verdicts:
            continue
        # ctest's class of a test is the test.
        parts = dict.fromkeys([report, case.get("classname"), case.get("name")])
        name = "::".join(part for part in parts if part)
        texts = [text for verdict in verdicts for text in (verdict.get("message"), verdict.text)]
        texts += [case.findtext("system-out"), case.findtext("system-err")]
        found.append(Failure(name, "\n".join(text for text in texts if text)))
    return found


def count(report: Path) -> Counts:
    """What a report says; one that is missing or cut off is a failure."""
    try:
        root = ET.parse(report).getroot()
    except (OSError, ET.ParseError) as error:
        return Counts(failed=1, failures=[Failure(str(report), str(error))])
    suites = [root] if root.tag == "testsuite" else list(root.iter("testsuite"))

    def total(*names: str) -> int:
        return sum(int(suite.get(name) or 0) for suite in suites for name in names)

    failed, skipped = total("failures", "errors"), total("skipped", "disabled")
    passed = total("tests") - failed - skipped
    return Counts(passed, failed, skipped, failures_of(suites, report.stem))


def show(failures: list[Failure]) -> None:
    """Prints what the failures printed last, then the name of each."""
    for failure in failures[:SHOWN_WHOLE]:
        print(f"---- {failure.name}")
        for line in failure.output.rstrip().splitlines()[-LAST_LINES:]:
            print(f"  {line[:LINE_WIDTH]}")
    for failure in failures:
        print(f"FAILED {failure.name}")


def main(reports: list[str]) -> int:
    """Prints what failed, then `N passed, N failed[, N skipped]`; 1 unless all of it passed."""
    counts = [count(Path(report)) for report in reports]
    show([failure for each in counts for failure in each.failures])
    passed, failed = (sum(each.passed for each in counts), sum(each.failed for each in counts))
    skipped = sum(each.skipped for each in counts)
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
