"""What a person writes without Flora: twenty lines from a picture to an answer, with the same geometry.

    python tests/drills/bare.py MODEL.tflite PHOTO

In:  a classifier that takes uint8, and a picture of at least twice its size. Out: class number and probability.
The overhead of Flora is measured against this: nothing is checked here, and there are no labels.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import cv2
import numpy as np


def opened(model: str, threads: int = 1) -> Callable[[Any], tuple[int, float]]:
    runtime = import_module(f"{'ai_edge_litert' if find_spec('ai_edge_litert') else 'tflite_runtime'}.interpreter")
    interpreter = runtime.Interpreter(model, num_threads=threads)
    interpreter.allocate_tensors()
    into, out = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    size, (scale, zero_point) = int(into["shape"][1]), out["quantization"]

    def classify(frame_bgr: Any) -> tuple[int, float]:
        (height, width), side = frame_bgr.shape[:2], min(frame_bgr.shape[:2])
        top, left, factor = (height - side) // 2, (width - side) // 2, side // size
        whole = side // factor * factor
        square, small = frame_bgr[top : top + whole, left : left + whole], (side // factor, side // factor)
        square = cv2.resize(cv2.resize(square, small, interpolation=cv2.INTER_AREA), (size, size))
        interpreter.set_tensor(into["index"], cv2.cvtColor(square, cv2.COLOR_BGR2RGB)[None])
        interpreter.invoke()
        answer = (interpreter.get_tensor(out["index"])[0].astype(np.float32) - zero_point) * (scale or 1)
        return int(answer.argmax()), float(answer.max())

    return classify


if __name__ == "__main__":
    print(*opened(sys.argv[1])(cv2.imread(sys.argv[2])), flush=True)
