"""What "none of these" holds: other things held out in thirds, and the same networks without any of it.

In:  a folder of class folders, a folder of pictures of other things, and one to keep the trained runs in (about six
     minutes each on two cores, with the small trunk that is the default here).
Out: Markdown: of each recipe how many pictures of other things are named, how many with 0.9 and more, AUROC, how many
     known photos are called unknown, top-1 and calibration error; all of it int8, pooled over three splits, with 95 %
     intervals; and the top-1 with other things against that without, photo by photo.

Recipe "with" is taught with two thirds of the pictures, and asked about the other third, each left out once. "none" is
taught without one, "off" knows nothing of the kind: both are asked about all of them.

example: python -m tests.studies.others photos/ pictures/ work/ --weights mobilenet_5_0_160_tf_no_top.h5
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.base.intervals import Interval, share
from edge.cli import main as flora
from edge.contract.rejection import UNKNOWN
from edge.evaluation.accuracy import mcnemar, paired_difference
from edge.evaluation.calibration import error_interval, expected_calibration_error
from edge.evaluation.evaluation import Answers, Asked, ask
from edge.evaluation.held_out import HeldOut, from_run, of_unknown_things, pictures
from edge.evaluation.known import over_known
from edge.evaluation.others import SURE
from edge.evaluation.unknowns import auroc
from edge.model.classifier import Classifier
from edge.photos.folders import photo_paths

THIRDS = 3
RECIPES = ("with", "none", "off")
SMALL = ("--backbone", "mobilenet", "--alpha", "0.5", "--size", "160")
PLAIN = ("--preset", "accurate", "--self-epochs", "0", "--max-drop", "100")  # int8 of the trained network


@dataclass(frozen=True, eq=False)
class Found:
    """What one int8 file said."""

    known: NDArray[np.bool_]  # (n,) known test photos: called unknown
    right: NDArray[np.bool_]  # (n,) their class is the most probable known one
    rows: NDArray[np.float64]  # (n, K) their probabilities
    truth: NDArray[np.int64]  # (n,)
    named: NDArray[np.bool_]  # (m,) pictures of other things: named
    surely: NDArray[np.bool_]  # (m,) with 0.9 and more
    auroc: float


def folders(others: Path, work: Path) -> list[Path]:
    """Three folders of links; which one a picture is in depends on its name."""
    found = [work / f"others-{number}" for number in range(THIRDS)]
    for path in photo_paths(str(others)):
        folder = found[int(hashlib.sha256(path.name.encode()).hexdigest(), 16) % THIRDS]
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / path.name).exists():
            (folder / path.name).symlink_to(path.resolve())
    return found


def made(name: str, photos: Path, work: Path, options: Sequence[str]) -> tuple[Path, Path]:
    """A run and its file, trained and exported unless they are there."""
    run, file = work / "runs" / name, work / f"{name}.tflite"
    cache = ("--cache", str(work / "cache"))
    if not (run / "metrics.json").exists():
        start = ("--resume", str(run)) if (run / "config.json").exists() else (str(photos), "--out", str(run), *options)
        _done(flora(["train", *start, *cache]))
    if not file.exists():
        _done(flora(["export", str(run), "-o", str(file), *PLAIN, *cache]))
    return run, file


def _done(code: int) -> None:
    if code:
        sys.exit(code)


def found(run: Path, file: Path, others: Sequence[Path]) -> Found:
    classify = Classifier(file)
    known = _ask(classify, from_run(run, "test"))
    things = [_ask(classify, of_unknown_things(folder)).answers[0] for folder in others]
    answers = known.answers[0]
    truth = np.array([answers.labels.index(label) for label in known.labels], np.int64)
    is_known = np.array(known.labels) != UNKNOWN
    seen = over_known(truth, answers.probabilities, answers.labels)
    probabilities = np.concatenate([one.probabilities for one in things])
    pooled = Answers(answers.labels, probabilities, answers.rejection)
    named, rows = ~pooled.is_unknown, answers.probabilities[is_known].astype(np.float64)
    return Found(
        answers.is_unknown[is_known], seen.is_right, rows, truth[is_known],
        named, named & (probabilities.max(axis=1) >= SURE), auroc(answers.sureties[is_known], pooled.sureties),
    )  # fmt: skip


def _ask(classify: Classifier, held: HeldOut) -> Asked:
    return ask([classify], pictures(held, print, lambda done: None))


def row(recipe: str, files: Sequence[Found]) -> str:
    named, surely, known, right = (
        np.concatenate([getattr(one, name) for one in files]) for name in ("named", "surely", "known", "right")
    )
    errors = [expected_calibration_error(one.rows, one.truth) for one in files]
    width = max(one.rows.shape[1] for one in files)
    rows = np.concatenate([one.rows for one in files if one.rows.shape[1] == width])
    truth = np.concatenate([one.truth for one in files if one.rows.shape[1] == width])
    pooled = expected_calibration_error(rows, truth)
    interval = error_interval(rows.max(axis=1), rows.argmax(axis=1) == truth)
    cells = [recipe, str(len(named)), _counted(named), _counted(surely), f"{np.mean([one.auroc for one in files]):.3f}"]
    cells += [_percent(share(int(known.sum()), len(known))), _percent(share(int(right.sum()), len(right)))]
    spread = ", ".join(f"{error:.3f}" for error in errors)
    return f"| {' | '.join(cells)} | {pooled:.3f} ({interval.low:.3f}-{interval.high:.3f}; {spread}) |"


def _counted(hits: NDArray[np.bool_]) -> str:
    return f"{int(hits.sum())}, {_percent(share(int(hits.sum()), len(hits)))}"


def _percent(found: Interval) -> str:
    return f"{found.value:.1%} ({found.low:.1%}-{found.high:.1%})"


def against(one: Sequence[Found], other: Sequence[Found]) -> str:
    """Top-1 over known classes, on the same photos."""
    right, before = (np.concatenate([file.right for file in files]) for files in (one, other))
    gap, test = paired_difference(right, before), mcnemar(right, before)
    return (
        f"{100 * gap.difference:+.1f} points ({100 * gap.low:+.1f} to {100 * gap.high:+.1f}) on {len(right)} photos, "
        f"McNemar p = {test.p_value:.2g}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Other things held out in thirds, and the same without them.")
    parser.add_argument("photos", type=Path)
    parser.add_argument("others", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--weights", default="imagenet", help="as in flora train")
    parser.add_argument("--recipes", default=",".join(RECIPES), help="those to do, with commas")
    parser.add_argument("--splits", type=int, default=THIRDS, help="of the recipes without other things")
    asked = parser.parse_args()
    thirds, files = folders(asked.others, asked.work), dict[str, list[Found]]()
    for recipe in asked.recipes.split(","):
        for number in range(THIRDS if recipe == "with" else asked.splits):
            taught = [folder for folder in thirds if folder != thirds[number]] if recipe == "with" else []
            options = [*SMALL, "--weights", asked.weights, "--seed", str(number + 1)]
            options += [word for folder in taught for word in ("--others", str(folder))]
            options += ["--others", "none", "--keep-features", "0"] * (recipe == "off")
            run, file = made(f"{recipe}{number}", asked.photos, asked.work, options)
            files.setdefault(recipe, []).append(found(run, file, [thirds[number]] if taught else thirds))
    print("| taught | other things | named | with 0.9 and more | AUROC | known called unknown | top-1 | calibration |")
    print("|---|---|---|---|---|---|---|---|")
    for recipe, answers in files.items():
        print(row(recipe, answers))
    for recipe, answers in files.items():
        if recipe != "off" and "off" in files:
            both = min(len(answers), len(files["off"]))
            print(f"\n{recipe} against off: {against(answers[:both], files['off'][:both])}")


if __name__ == "__main__":
    main()
