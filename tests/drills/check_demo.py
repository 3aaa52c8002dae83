"""Did the demo do what it promises? For CI, after `make demo`.

    python tests/drills/check_demo.py runs/demo

In:  the folder that `flora demo` wrote.
Out: one line; exit code 1 if the int8 file names under 90 % of the held-out test pictures, the clip's flowers were not
     named, it took over five minutes, or a file is missing.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

LEAST_TOP1 = 0.90
LEAST_NAMED = 0.8  # of the flowers in the clip
MOST_MINUTES = 5.0
FILES = ("garden.tflite", "clip.avi", "annotated.avi", "answers.jsonl", "contact-sheet.png", "run/report.html")


def _main(folder: str) -> int:
    record = json.loads((Path(folder) / "demo.json").read_text())
    chosen = next(row for row in record["export"]["variants"] if row["is_chosen"])
    top1, named = chosen["test"]["top1"], record["scenes_named"] / record["scenes"]
    missing = [name for name in FILES if not (Path(folder) / name).stat().st_size]
    print(f"demo: {chosen['name']} top-1 {top1:.1%}, {named:.0%} of the clip's flowers, {record['minutes']} minutes")
    return int(top1 < LEAST_TOP1 or named < LEAST_NAMED or record["minutes"] > MOST_MINUTES or bool(missing))


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1]))
