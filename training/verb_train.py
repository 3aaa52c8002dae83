"""Fine-tune a pretrained MobileNet on a folder of class folders, or on `flowers` (downloads flower_photos).

example: flora train photos/ --out runs/flowers
         flora train --resume runs/flowers
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge.errors import OutputError, UsageError
from edge.options import add_options, read_options
from edge.progress import Stages
from training.config import TrainConfig, numbered, read_config
from training.flowers import default_cache, flower_photos

FLOWERS = "flowers"


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
    with Stages() as stages:
        folder, config = _resumed(args) if args.resume else _begun(args, stages)
        stages.tell("\n".join(f"  {name} {value}" for name, value in asdict(config).items()))
        from training.evaluate import evaluate_run
        from training.fit import fit

        cache = Path(args.cache).expanduser() if args.cache else default_cache()
        trained = fit(config, folder, cache, stages, stages.tell)
        result = evaluate_run(trained, stages)
    if args.json:
        print(
            json.dumps({"run": str(folder), "validation": result.validation.to_json(), "test": result.test.to_json()})
        )
    else:
        print(result.test.table())
    print(
        f"wrote {folder}; look at {folder / 'report.html'}; next: flora export {folder} -o {folder.name}.tflite",
        file=sys.stderr,
    )
    return 0


def _resumed(args: argparse.Namespace) -> tuple[Path, TrainConfig]:
    if args.photos or args.out:
        raise UsageError(f"--resume {args.resume} knows its photos and its folder; leave out PHOTOS and --out")
    return Path(args.resume), read_config(Path(args.resume))


def _begun(args: argparse.Namespace, stages: Any) -> tuple[Path, TrainConfig]:
    if not args.photos:
        raise UsageError("no photos were named; expected: flora train PHOTOS --out RUN, or: flora train --resume RUN")
    config = read_options(TrainConfig, args)
    photos = (
        flower_photos(progress=stages("downloading flower_photos")) if args.photos == FLOWERS else Path(args.photos)
    )
    folder = Path(args.out) if args.out else numbered(Path("runs"), photos.resolve().name)
    try:
        if folder.exists() and any(folder.iterdir()):
            raise OutputError(
                f"{folder}: there is something in it already; give another --out, or go on with: flora train --resume {folder}"
            )
        _require_photos(photos)
        folder.mkdir(parents=True, exist_ok=True)
        config = read_options(TrainConfig, args, photos=str(photos.resolve()))
        config.write(folder / "config.json")
    except OSError as error:
        raise OutputError(f"{folder}: the run folder cannot be made ({error.strerror or error})") from error
    return folder, config


def _require_photos(photos: Path) -> None:
    """Refuse a folder that cannot be trained on before anything is made for it. Raises PhotoError."""
    from edge.folder import class_folders

    class_folders(photos)
