"""A trained Keras network to TFLite flatbuffers.

In:  a flat Keras model, float32 [-1, 1] (batch, N, N, 3) -> probabilities (batch, num_classes).
Out: flatbuffers whose input is uint8 RGB [1, N, N, 3], raw pixel values, whatever the variant:
     the int8 file has the normalisation in its input's quantisation, the float files in two operators.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.base.streams import quiet_stderr
from edge.base.text import first_line
from edge.errors import ModelError
from edge.model.interpreter import Interpreter
from export.graph.edit import compact
from export.quantising.bias import corrected
from training.network.inference import normalise
from training.network.keras import tf

# isort: split
from tensorflow.lite.python.convert_phase import ConverterError  # after training.network.keras, which chooses Keras 2

PIXEL_SCALE, BLACK = 1 / 127.5, -1.0
ZERO_POINTS = (127, 128)
PROBABILITY_SCALE = 1 / 256


def convert_float(model: Any) -> bytes:
    """All tensors float32: the reference that quantised files are compared with."""
    return _convert(model, "float32", takes_pixels=True)


def convert_dynamic_range(model: Any) -> bytes:
    """Weights int8, activations float32, quantised on the fly."""
    return _convert(model, "dynamic range", takes_pixels=True, optimizations=[tf.lite.Optimize.DEFAULT])


def convert_float16(model: Any) -> bytes:
    """Weights float16, widened to float32 when the file is loaded: half the download, the speed of float32."""
    half = tf.lite.TargetSpec(supported_types=[tf.float16])
    return _convert(model, "float16", takes_pixels=True, optimizations=[tf.lite.Optimize.DEFAULT], target_spec=half)


def convert_int8(model: Any, calibration: NDArray[np.uint8]) -> bytes:
    """Weights and activations int8, weights per channel, their mean error corrected; uint8 in and out.

    `calibration` is RGB uint8 (n, N, N, 3), n >= 1, pictures of every class as the device would see them.
    Raises ModelError when the borders do not come out as the design has them.
    """
    return _convert_integer(corrected(model, calibration), lambda: _representative(calibration))


def convert_quantised(network: Any) -> bytes:
    """The same of a network that has the ranges of its tensors inside, as fake quantisation. Raises ModelError."""
    return _convert_integer(network, None)


def _convert_integer(model: Any, representative: Callable[[], Iterator[list[NDArray[np.float32]]]] | None) -> bytes:
    settings: dict[str, Any] = {"optimizations": [tf.lite.Optimize.DEFAULT]}
    if representative:  # the converter asks for pictures where it is asked for integer operators
        integers = tf.lite.TargetSpec(supported_ops=[tf.lite.OpsSet.TFLITE_BUILTINS_INT8])
        settings |= {"representative_dataset": representative, "target_spec": integers}
    settings |= {"inference_input_type": tf.uint8, "inference_output_type": tf.uint8}
    flatbuffer = compact(_convert(model, "int8", takes_pixels=False, **settings))
    check_borders(flatbuffer)
    return flatbuffer


def check_borders(flatbuffer: bytes) -> None:
    """Assert that pixels go in raw and probabilities come out in 256ths. Raises ModelError."""
    interpreter = Interpreter(flatbuffer, "int8", threads=1)
    scale, zero_point = interpreter.input_quantization
    if abs(scale / PIXEL_SCALE - 1) > 1e-3 or zero_point not in ZERO_POINTS:
        raise ModelError(
            f"int8: the input came out with scale {scale:.6f} and zero point {zero_point}, expected {PIXEL_SCALE:.6f} "
            "and 127 or 128; a device would see wrong pixels: export with the TensorFlow that Flora was tested with"
        )
    if interpreter.output_quantization != (PROBABILITY_SCALE, 0):
        raise ModelError(
            f"int8: the output came out with scale and zero point {interpreter.output_quantization}, expected "
            f"{(PROBABILITY_SCALE, 0)}; the last layer must be a softmax"
        )


def _representative(calibration: NDArray[np.uint8]) -> Iterator[list[NDArray[np.float32]]]:
    """The pictures, the first with one black and one white pixel: the input's range is that of pixels, not of these."""
    first = calibration[0].copy()
    first[0, 0], first[0, 1] = 0, 255
    for picture in (first, *calibration[1:]):
        yield [normalise(picture[None])]


def converter_of(model: Any, *, takes_pixels: bool) -> Any:
    """A converter of one picture (1, N, N, 3): raw uint8, if the model is to take pixels, or float32 [-1, 1].

    Of the Keras model itself TensorFlow first writes a SavedModel and traces every layer once more for it: ten times
    the time, and memory that it keeps. What comes of this one has no signature; `graph.finish` writes one.
    """

    def answer(picture: Any) -> Any:
        scaled = tf.cast(picture, tf.float32) * PIXEL_SCALE + BLACK if takes_pixels else picture
        return model(scaled, training=False)

    picture = tf.TensorSpec((1, *model.input_shape[1:]), tf.uint8 if takes_pixels else tf.float32)
    function = tf.function(answer, autograph=False).get_concrete_function(picture)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], model)
    converter.experimental_lower_to_saved_model = False
    return converter


def _convert(model: Any, what: str, *, takes_pixels: bool, **settings: Any) -> bytes:
    """`settings` are attributes of TensorFlow's converter. Raises ModelError."""
    failure: Exception
    with quiet_stderr():
        try:
            converter = converter_of(model, takes_pixels=takes_pixels)
            for name, value in settings.items():
                setattr(converter, name, value)
            return bytes(converter.convert())
        except (ConverterError, ValueError, RuntimeError, tf.errors.OpError) as error:
            failure = error
    raise ModelError(
        f"{what}: TensorFlow cannot convert this network ({first_line(failure)}); expected one trained by: flora train"
    ) from failure
