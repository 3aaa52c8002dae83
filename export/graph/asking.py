"""Ask a finished flatbuffer what it answers to pictures.

In:  a flatbuffer, pictures RGB uint8 (n, N, N, 3).
Out: what it puts out, float32 (n, num_classes).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.model.interpreter import Interpreter


def answers(flatbuffer: bytes, pictures: NDArray[np.uint8], name: str = "the model") -> NDArray[np.float32]:
    """What a flatbuffer puts out (n, num_classes) for pictures RGB uint8 (n, N, N, 3), n >= 1."""
    interpreter = Interpreter(flatbuffer, name)
    return np.stack([interpreter(picture) for picture in pictures])
