"""Do zeros make a float32 network faster, when the file stores them as sparse tensors?

In:  shares of zeros among the weights of the 1x1 convolutions.
Out: kilobytes and, timed in turns with one thread, how many times as fast as the dense network of the same size.

XNNPACK's sparse kernels want two thirds of zeros at least, and padding that is the same on all sides where the stride
is 2: MobileNetV2 has that with 225 pixels and not with 224. The weights are random: time does not depend on them.

example: python -m tests.studies.sparse 0.5 0.75 0.9
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from edge.base.intervals import ratio
from export.quantising.convert import converter_of
from training.network.backbone import build
from training.network.keras import keras, tf

SIZES, CLASSES = (224, 225), 5
WARM_UP, ROUNDS = 10, 100


def flatbuffer(size: int, share: float) -> bytes:
    """MobileNetV2 1.0 in float32 with that share of zeros, stored sparsely if there are any."""
    network = build("mobilenet_v2", 1.0, size, CLASSES)
    for layer in network.layers:
        if type(layer) is keras.layers.Conv2D and layer.kernel_size == (1, 1) and share:
            kernel, *others = layer.get_weights()
            small = np.abs(kernel) <= np.quantile(np.abs(kernel), share)
            layer.set_weights([np.where(small, 0.0, kernel), *others])
    converter = converter_of(network, takes_pixels=False)
    if share:
        converter.optimizations = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY]
    return bytes(converter.convert())


def invoke_ms(interpreter: Interpreter) -> float:
    """Milliseconds of one invoke on noise."""
    wanted = interpreter.get_input_details()[0]
    interpreter.set_tensor(wanted["index"], np.random.default_rng(0).random(wanted["shape"], np.float32))
    started = time.perf_counter()
    interpreter.invoke()
    return (time.perf_counter() - started) * 1e3


def study(size: int, shares: Sequence[float]) -> str:
    """A row for each share."""
    files = {share: flatbuffer(size, share) for share in (0.0, *shares)}
    running = {share: Interpreter(model_content=data, num_threads=1) for share, data in files.items()}
    for interpreter in running.values():
        interpreter.allocate_tensors()
    rounds = [{share: invoke_ms(one) for share, one in running.items()} for _ in range(WARM_UP + ROUNDS)][WARM_UP:]
    times = {share: np.array([one[share] for one in rounds]) for share in files}
    speeds = {share: ratio(times[0.0], times[share]) for share in files}
    return "\n".join(
        f"| {size} | {share:.0%} | {len(data) / 1000:.0f} | {np.median(times[share]):.2f} | {speeds[share].value:.2f} "
        f"({speeds[share].low:.2f}-{speeds[share].high:.2f}) |"
        for share, data in files.items()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shares", nargs="*", type=float, default=[0.5, 0.75, 0.9])
    print("| pixels | zeros | kB | ms | times as fast |\n|---|---|---|---|---|")
    for size in SIZES:
        print(study(size, parser.parse_args().shares), flush=True)


if __name__ == "__main__":
    main()
