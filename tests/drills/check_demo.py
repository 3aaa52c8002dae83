"""Did the demo do what it promises? For CI, with what the demo says piped through.

    flora demo --out runs/demo 2>&1 | python tests/drills/check_demo.py runs/demo [TIMES]

In:  the folder that `flora demo` writes, and its words, which are passed on with the seconds since the first of them.
     TIMES: how much longer than alone on two cores it may take, where the machine has other work to do (default: 1).
Out: one line; exit code 1 if the int8 file names under 95 % of the held-out test pictures, one of the clip's flowers
     was not named, more than a tenth of its frames without a flower were, it took over four minutes or was silent for
     over five seconds (TIMES as long), or a file is missing.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

LEAST_TOP1 = 0.95
MOST_NAMED = 0.1  # of frames without a flower
MOST_MINUTES, MOST_SILENT_S = 4.0, 5.0
FILES = ("garden.tflite", "clip.avi", "annotated.avi", "answers.jsonl", "contact-sheet.png", "run/report.html")


def longest_silence(
    lines: Iterable[str], clock: Callable[[], float] = time.monotonic, show: Callable[[str], None] = print
) -> tuple[float, str]:
    """Seconds of the longest silence after the first line, and the line before it."""
    longest, started_s = (0.0, ""), None
    said_s, said = 0.0, ""
    for line in lines:
        now_s = clock()
        if started_s is None:
            started_s = said_s = now_s
        longest = max(longest, (now_s - said_s, said))
        said_s, said = now_s, line.strip()
        show(f"{now_s - started_s:6.1f}  {line.rstrip()}")
    return longest


def failures(folder: Path, silence: tuple[float, str], times: float = 1.0) -> list[str]:
    """What was promised and not kept, one line each; everything may take `times` as long."""
    record = json.loads((folder / "demo.json").read_text())
    chosen = next(row for row in record["export"]["variants"] if row["is_chosen"])
    top1, named, scenes, minutes = chosen["test"]["top1"], record["scenes_named"], record["scenes"], record["minutes"]
    empty, false = record["empty_frames"], record["empty_named"]
    missing = [name for name in FILES if not (folder / name).is_file() or not (folder / name).stat().st_size]
    print(
        f"demo: {chosen['name']} top-1 {top1:.1%}, {named} of {scenes} flowers of the clip, {false} of {empty} frames "
        f"without one named, {minutes} minutes, at most {silence[0]:.1f} s silent, after {silence[1]!r}"
    )
    found = {
        f"top-1 under {LEAST_TOP1:.0%}": top1 < LEAST_TOP1,
        "not all flowers of the clip were named": named < scenes,
        f"over {MOST_NAMED:.0%} of the frames without a flower were named": false > MOST_NAMED * empty,
        f"over {times * MOST_MINUTES:g} minutes": minutes > times * MOST_MINUTES,
        f"silent for over {times * MOST_SILENT_S:g} s": silence[0] > times * MOST_SILENT_S,
        f"missing: {', '.join(missing)}": bool(missing),
    }
    return [failure for failure, is_so in found.items() if is_so]


if __name__ == "__main__":
    heard = longest_silence(sys.stdin, show=lambda line: print(line, flush=True))
    found = failures(Path(sys.argv[1]), heard, *map(float, sys.argv[2:3]))
    sys.exit("; ".join(found) if found else 0)
