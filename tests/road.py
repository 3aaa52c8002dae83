"""The whole road on real photos, in small: 80 photos a class, a head on frozen ImageNet features, int8."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.cli import main

WEIGHTS = "keras/models/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
PER_CLASS = 80


@dataclass(frozen=True)
class Road:
    """What the commands left behind."""

    run: Path
    model: Path
    cache: Path


def walk(shared: Path, folder: Path) -> Road:
    """Train and export below `folder`, with the photos and weights of `shared`."""
    for species in sorted((shared / "flower_photos").iterdir()):
        if species.is_dir():
            (folder / "photos" / species.name).mkdir(parents=True)
            for photo in sorted(species.iterdir())[:PER_CLASS]:
                (folder / "photos" / species.name / photo.name).symlink_to(photo)
    road = Road(folder / "run", folder / "flowers.tflite", folder / "cache")
    trained = ["train", str(folder / "photos"), "--weights", str(shared / WEIGHTS), "--epochs", "0"]
    assert main([*trained, "--out", str(road.run), "--cache", str(road.cache)]) == 0
    export(road, road.model, "--preset", "accurate", "--self-epochs", "0", "--max-drop", "4")
    return road


def export(road: Road, out: Path, *options: str) -> None:
    """Write a model file of the trained run."""
    assert main(["export", str(road.run), "-o", str(out), "--cache", str(road.cache), *options]) == 0
