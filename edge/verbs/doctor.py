"""What works on this machine, what does not, and the next command to type.

Looks at Python, packages, the bundled model, processor, heat, clock, disk, cameras, display and port. It needs no
package to run, and changes nothing. Exit code 1 where something stops `flora run`.

example: flora doctor
         flora doctor --json
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from edge.base.board import Board
from edge.base.packages import DISTRIBUTION, installed
from edge.base.progress import Progress
from edge.machine.examination import FAIL, WARN, Finding, Surroundings, examine

STEPS = 2


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def run(args: argparse.Namespace) -> int:
    board, done = Board(), iter(range(STEPS))
    with Progress("looking", STEPS) as bar:
        findings = examine(Surroundings(board=board), lambda what: bar(next(done), note=what))
        bar(STEPS)
    failed = [finding for finding in findings if finding.verdict == FAIL]
    if args.json:
        found = {
            "flora": installed([DISTRIBUTION]).get(DISTRIBUTION),
            "board": board.facts(),
            "findings": [asdict(one) for one in findings],
        }
        print(json.dumps(found | {"can_run": not failed}))
    else:
        print(_text(findings))
    print(_last_line(findings, failed), file=sys.stderr)
    return int(bool(failed))


def _text(findings: Sequence[Finding]) -> str:
    width = max(len(finding.about) for finding in findings)
    lines = []
    for one in findings:
        lines.append(f"{one.verdict:4}  {one.about:{width}}  {one.text}")
        lines += [f"{'':4}  {'':{width}}  next: {one.next}"] if one.next else []
    return "\n".join(lines)


def _last_line(findings: Sequence[Finding], failed: Sequence[Finding]) -> str:
    warned = sum(finding.verdict == WARN for finding in findings)
    notes = f"{warned} warning{'' if warned == 1 else 's'}"
    if failed:
        return f"flora run cannot work: {failed[0].about}: {failed[0].text}; next: {failed[0].next}"
    cameras = [one.next for one in findings if one.about == "camera" and one.next]
    return f"flora run can work, {notes}; next: {cameras[0] if cameras else 'flora run --source test'}"
