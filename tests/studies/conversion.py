"""Are conversions straight from a traced function the same as those by way of a SavedModel, and what do they cost?

In:  nothing, or the folder of a finished run whose network is to be converted as well.
Out: a Markdown table, one row for each network, variant and road: the largest difference between the roads' answers to
     24 pictures, seconds of a conversion and of processor time (medians of four calls), and megabytes that the process
     grew by from the first call to the last.

The straight road is what `export.quantising.convert` takes; the detour is `TFLiteConverter.from_keras_model`. Each
network goes each road in a process of its own, so that one does not use the memory that the other has left.

example: python -m tests.studies.conversion runs/flowers
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.base.board import Board
from edge.picture import geometry
from export.graph.asking import answers
from export.quantising import aware
from export.quantising import convert as quantize
from tests.export import colours
from training.garden.planting import SPECIES, render_flower
from training.network import backbone
from training.network.inference import load_model, normalise
from training.network.keras import keras, tf

CALLS, PICTURES, CALIBRATION = 4, 24, 40
STRAIGHT, DETOUR = "straight", "SavedModel"
SPREAD = 20.0  # of the fresh head's weights, so that its answers differ from picture to picture

Pixels = NDArray[np.uint8]


def pictures(size: int, number: int, seed: int) -> Pixels:
    """Rendered flowers, RGB uint8 (n, size, size, 3)."""
    flowers = [render_flower(SPECIES[i % len(SPECIES)], seed + i) for i in range(number)]
    return np.stack([geometry.model_input(flower, size) for flower in flowers])


def mobilenet() -> Any:
    """MobileNetV2 1.0 / 224 with drawn weights; its BatchNorm has seen a few pictures, its head tells them apart."""
    network = backbone.build("mobilenet_v2", 1.0, 224, len(SPECIES), momentum=0.5)
    backbone.initialise(network, seed=1)
    for _ in range(4):
        network(normalise(pictures(224, CALIBRATION, 1000)), training=True)
    kernel, bias = network.get_layer(backbone.EVIDENCE).get_weights()
    network.get_layer(backbone.EVIDENCE).set_weights([SPREAD * kernel, bias])
    return network


OWN: dict[str, Callable[[], Any]] = {"small": colours.trained_network, "MobileNetV2": mobilenet}


def network_named(name: str) -> Any:
    """One of the study's own networks, or that of a run folder."""
    return OWN[name]() if name in OWN else load_model(Path(name))


def detour(model: Any, *, takes_pixels: bool) -> Any:
    """`quantize.converter_of` as it was: of a Keras model, which TensorFlow saves and reads again."""
    if takes_pixels:
        pixels = keras.Input(model.input_shape[1:], dtype="uint8", batch_size=1)
        rescaled = keras.layers.Rescaling(quantize.PIXEL_SCALE, offset=quantize.BLACK)(tf.cast(pixels, tf.float32))
        model = keras.Model(pixels, model(rescaled))
    return tf.lite.TFLiteConverter.from_keras_model(model)


def conversions(network: Any) -> dict[str, Callable[[], bytes]]:
    """Every variant's conversion, by its name."""
    calibration = pictures(network.input_shape[1], CALIBRATION, 1000)
    taught = aware.aware(network)
    aware.calibrate(taught, [normalise(calibration)])
    return {
        "float32": lambda: quantize.convert_float(network),
        "float16": lambda: quantize.convert_float16(network),
        "dynamic_range": lambda: quantize.convert_dynamic_range(network),
        "int8": lambda: quantize.convert_int8(network, calibration),
        "int8_qat": lambda: aware.convert_aware(taught),
    }


@dataclass(frozen=True)
class Walked:
    """One network's conversion to one variant by one road."""

    flatbuffer: bytes
    size: int  # of the network's input, pixels
    seconds: float  # median of the calls
    cpu_seconds: float
    grown_mb: float


def walked(name: str, road: str) -> dict[str, Walked]:
    """Convert one network by one road to every variant, a few times each."""
    if road == DETOUR:
        quantize.converter_of = detour
    network, found = network_named(name), {}
    for variant, convert in conversions(network).items():
        calls = [_timed(convert) for _ in range(CALLS)]
        _, seconds, cpu_seconds, memory_mb = zip(*calls, strict=True)
        found[variant] = Walked(
            calls[-1][0], int(network.input_shape[1]), float(np.median(seconds)), float(np.median(cpu_seconds)),
            memory_mb[-1] - memory_mb[0],
        )  # fmt: skip
    return found


def _timed(convert: Callable[[], bytes]) -> tuple[bytes, float, float, float]:
    """The flatbuffer, seconds, seconds of processor time, and the process's megabytes afterwards."""
    started, cpu_started = time.perf_counter(), time.process_time()
    flatbuffer = convert()
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    return flatbuffer, seconds, cpu_seconds, Board().memory_mb() or float("nan")


def rows(name: str) -> list[str]:
    """A row for each variant and road of one network."""
    found: dict[str, dict[str, Walked]] = {}
    for road in (DETOUR, STRAIGHT):
        with get_context("spawn").Pool(1) as process:
            found[road] = process.apply(walked, (name, road))
    lines = []
    for variant in found[STRAIGHT]:
        difference, spread = _difference(*(found[road][variant] for road in found))
        for road, variants in found.items():
            one = variants[variant]
            lines.append(
                f"| {Path(name).name} | {variant} | {road} | {difference:.2g} of {spread:.2f} | {one.seconds:.1f} "
                f"| {one.cpu_seconds:.1f} | {one.grown_mb:+.0f} |"
            )
    return lines


def _difference(one: Walked, other: Walked) -> tuple[float, float]:
    """The largest difference between two files' probabilities, and how far those of one picture are from another's."""
    seen = [answers(walked.flatbuffer, pictures(one.size, PICTURES, 1)) for walked in (one, other)]
    return float(np.abs(seen[0] - seen[1]).max()), float(np.ptp(seen[0], axis=0).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", help="a finished run whose network is converted as well")
    print("| network | variant | road | largest difference | seconds | processor seconds | grown by, MB |")
    print("|---|---|---|---|---|---|---|")
    for name in (*OWN, *filter(None, [parser.parse_args().run])):
        print("\n".join(rows(name)), flush=True)


if __name__ == "__main__":
    main()
