"""Fine-tune a pretrained MobileNet on a folder of class folders, or on `flowers` (downloads flower_photos).

"None of these" is learned beside the classes, as the label "unknown": from a class folder of that name, from folders of
anything else (--others), and from pictures of nothing, which are made.

example: flora train photos/ --out runs/flowers
         flora train photos/ --others pictures/of/anything/else
         flora train --resume runs/flowers
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from edge.base.files import default_cache
from edge.base.formats import remarks_on
from edge.base.options import add_options, flag_of, given_for, read_options
from edge.base.progress import Bars
from edge.contract.rejection import UNKNOWN
from edge.errors import FloraError, ModelError, OutputError, PhotoError, UsageError
from edge.photos import run_folder
from edge.photos.folders import class_folders
from training.config import ALIKE, NONE, PUBLIC, TrainConfig, numbered, read_config, told
from training.others.public import public_others
from training.photos.download import flower_photos

FLOWERS = "flowers"
# What a run folder holds before anything is trained.
BEGINNING = (run_folder.CONFIG, run_folder.MANIFEST, run_folder.LEFT_OUT)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "photos", nargs="?", metavar="PHOTOS", help="a folder with one folder of photos per class, or the word flowers"
    )
    parser.add_argument(
        "--out", metavar="RUN", help="the run folder to make (default: runs/NAME of the photos, numbered)"
    )
    parser.add_argument(
        "--resume", metavar="RUN", help="go on with a training that was interrupted; needs nothing else"
    )
    parser.add_argument("--cache", metavar="FOLDER", help=f"where decoded photos are kept (default: {default_cache()})")
    parser.add_argument("--json", action="store_true", help="the figures as one JSON object on stdout")
    add_options(parser, TrainConfig)


def run(args: argparse.Namespace) -> int:
    with Bars() as stages:
        folder, config = _resumed(args) if args.resume else _begun(args, stages)
        stages.tell("\n".join(f"  {name} {value}" for name, value in told(config).items()))
        for line in remarks_on(folder / run_folder.CONFIG, config):
            stages.tell(line)
        try:
            trained, result = _train(config, folder, args.cache, stages)
        except KeyboardInterrupt:
            stages.tell(f"stopped; go on with: flora train --resume {folder}")
            raise
        except FloraError:
            if not args.resume:
                _withdraw(folder)
            raise
    if not trained.is_chief:
        return 0
    figures = {"run": str(folder), "validation": result.validation.to_json(), "test": result.test.to_json()}
    print(json.dumps(figures) if args.json else result.test.table())
    print(
        f"wrote {folder}; look at {folder / run_folder.REPORT}; next: flora export {folder} -o {folder.name}.tflite",
        file=sys.stderr,
    )
    return 0


def _train(config: TrainConfig, folder: Path, cache: str | None, stages: Bars) -> tuple[Any, Any]:
    """Train and measure; a helper of a training on several machines has nothing to measure."""
    from training.fitting.closing import evaluate_run
    from training.fitting.fit import fit

    trained = fit(config, folder, Path(cache).expanduser() if cache else default_cache(), stages, stages.tell)
    return trained, evaluate_run(trained, stages) if trained.is_chief else None


def _resumed(args: argparse.Namespace) -> tuple[Path, TrainConfig]:
    if args.photos or args.out:
        raise UsageError(f"--resume {args.resume} knows its photos and its folder; leave out PHOTOS and --out")
    options = [field for field in fields(TrainConfig) if "help" in field.metadata]
    changed = [field for field in options if given_for(field, args) != field.default]
    if changed:
        flags = " and ".join(map(flag_of, changed))
        raise UsageError(f"--resume {args.resume} goes on with the options in its config.json; leave out {flags}")
    config = read_config(Path(args.resume))
    if not config.photos:
        raise ModelError(f"{Path(args.resume) / 'config.json'}: does not say where the photos are; start a new run")
    return Path(args.resume), config


def _begun(args: argparse.Namespace, stages: Any) -> tuple[Path, TrainConfig]:
    """Check all that can be checked at once, then make the run folder with its config.json."""
    if not args.photos:
        raise UsageError("no photos were named; expected: flora train PHOTOS --out RUN, or: flora train --resume RUN")
    read_options(TrainConfig, args)
    _require_weights(args)
    if args.out:
        _require_room(Path(args.out))
    photos = _photos(args.photos, stages)
    classes, _ = class_folders(photos)
    args.other_things = [_other_things(named, stages) for named in args.other_things or ()] or None
    args.unknown_folder = _unknown_folder(args.unknown_folder, [folder.name for folder in classes], stages)
    folder = Path(args.out) if args.out else numbered(Path("runs"), photos.name)
    config = read_options(TrainConfig, args, photos=str(photos))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: the run folder cannot be made ({error.strerror or error})") from error
    if _is_chief():
        config.write(folder / run_folder.CONFIG)
    return folder, config


def _photos(named: str, stages: Any) -> Path:
    if named == FLOWERS:
        return flower_photos(bar=stages("downloading flower_photos")).resolve()
    return Path(named).expanduser().resolve()


def _other_things(named: str, stages: Any) -> str:
    """A folder as an absolute path, so that a run can be resumed from anywhere. Raises PhotoError if there is none."""
    if named == NONE:
        return named
    if named == PUBLIC:
        return str(public_others(bar=stages("downloading pictures of other things")).resolve())
    folder = Path(named).expanduser().resolve()
    if not folder.is_dir():
        fault = "not a folder" if folder.exists() else "no such folder"
        raise PhotoError(
            f"--others {named}: {fault}; expected a folder of pictures that show none of the classes, or {PUBLIC}"
        )
    return str(folder)


def _unknown_folder(named: str, classes: list[str], stages: Any) -> str:
    """The class folder of none of the classes: the one that was named, or one called alike if a person says so."""
    if named in classes:
        return named
    if named != UNKNOWN:
        raise PhotoError(f"--unknown-folder {named}: no such class folder; expected one of {', '.join(classes)}")
    alike = next((name for name in classes if name.lower() in ALIKE), None)
    if alike is None:
        return named
    if sys.stdin.isatty() and sys.stderr.isatty():
        question = f"does the folder {alike} hold pictures of none of the classes? [Y/n] "
        print(question, end="", file=sys.stderr, flush=True)
        is_unknown = sys.stdin.readline().strip().lower() in ("", "y", "yes")
        return alike if is_unknown else named
    hint = f"if its pictures show none of the classes: --unknown-folder {alike}"
    stages.tell(f"{alike} is taken for a class like any other; {hint}")
    return named


def _require_weights(args: argparse.Namespace) -> None:
    """A file of weights is kept as an absolute path, so that a run can be resumed from anywhere."""
    if args.weights in {"imagenet", "none"}:
        return
    path = Path(args.weights).expanduser().resolve()
    if not path.is_file():
        raise ModelError(
            f"--weights {args.weights}: no such file; expected imagenet, none or a Keras weights file (.h5)"
        )
    args.weights = str(path)


def _require_room(folder: Path) -> None:
    try:
        is_taken = folder.exists() and any(folder.iterdir())
    except OSError as error:
        raise OutputError(f"{folder}: the run folder cannot be made ({error.strerror or error})") from error
    if is_taken and _is_chief():
        hint = f", or go on with: flora train --resume {folder}" if run_folder.is_run(folder) else ""
        raise OutputError(f"{folder}: there is something in it already; give another --out{hint}")


def _is_chief() -> bool:
    """False on the helpers of a training on several machines, which share the chief's folder."""
    if "TF_CONFIG" not in os.environ:
        return True
    from training.network.strategy import is_chief

    return is_chief()


def _withdraw(folder: Path) -> None:
    """Take a run folder away again in which nothing has been trained, so that the corrected command can be repeated."""
    if (folder / run_folder.CHECKPOINT).exists() or not _is_chief():
        return
    for name in BEGINNING:
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / run_folder.MADE, ignore_errors=True)
    if not any(folder.iterdir()):
        folder.rmdir()
