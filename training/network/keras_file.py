"""Read a Keras file of anybody's, and run no code that it may hold.

In:  a .keras file (a zip) or a .h5 file (HDF5) with a whole network of Keras 2.
Out: the network, not compiled.

A Keras file says by name what to build: a Lambda layer brings its own Python code, other objects name any function of
any module, and HDF5 links to other files. So what it names is compared with a list of harmless things before Keras is
given the file.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from edge.base.text import first_line
from edge.errors import ModelError
from training.network.keras import keras

h5py: Any = import_module("h5py")  # it has no types

SUFFIXES = (".keras", ".h5", ".hdf5")
AGAIN = "save it again with tf_keras' model.save"
MERGED = frozenset({"Add", "Average", "Concatenate", "Maximum", "Multiply", "Subtract"})
RANDOM = frozenset(
    {"RandomBrightness", "RandomContrast", "RandomFlip", "RandomRotation", "RandomTranslation", "RandomZoom"}
    | {"ActivityRegularization", "AlphaDropout", "GaussianDropout", "GaussianNoise"}
)  # of training alone: they change nothing in an answer
LAYERS = (
    MERGED
    | RANDOM
    | {"Activation", "AveragePooling2D", "BatchNormalization", "Conv2D", "Cropping2D", "Dense", "DepthwiseConv2D"}
    | {"Dropout", "ELU", "Flatten", "GlobalAveragePooling2D", "GlobalMaxPooling2D", "InputLayer", "LeakyReLU"}
    | {"MaxPooling2D", "Normalization", "PReLU", "Permute", "ReLU", "Rescaling", "Reshape", "Resizing"}
    | {"SeparableConv2D", "Softmax", "SpatialDropout2D", "TFOpLambda", "UpSampling2D", "ZeroPadding2D"}
    | {"Functional", "Model", "Sequential"}
)
DETAILS = frozenset(
    {"Constant", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "Identity", "LecunNormal", "LecunUniform"}
    | {"Ones", "Orthogonal", "RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling", "Zeros"}
    | {"L1", "L2", "L1L2", "MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm", "Policy"}
)  # initialisers, regularisers, constraints, precision
FUNCTIONS = frozenset(
    {"__operators__.add", "cast", "math.add", "math.divide", "math.multiply", "math.subtract", "math.truediv"}
    | {"nn.relu", "nn.relu6", "nn.softmax"}
)  # of tf, as TFOpLambda names them
ACTIVATIONS = frozenset(
    {"elu", "gelu", "hard_sigmoid", "leaky_relu", "linear", "relu", "relu6", "selu", "sigmoid", "silu", "softmax"}
    | {"softplus", "softsign", "swish", "tanh"}
)


def load_keras(path: Path) -> Any:
    """The network of a Keras file. Raises ModelError for what is none, is of Keras 3 or names what is not known."""
    try:
        version, content = _in_zip(path) if _is_zip(path) else _in_hdf5(path)
        _require_keras_2(path, version)
        _require_known(path, content)
        return keras.models.load_model(path, compile=False)
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file; expected a network saved as .keras or .h5") from None
    except (
        OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, zipfile.BadZipFile, zlib.error
    ) as error:  # fmt: skip
        raise ModelError(f"{path}: cannot be read as a Keras model ({first_line(error)}); {AGAIN}") from error


def _is_zip(path: Path) -> bool:
    """By the rule that Keras has."""
    return path.suffix == ".keras" and zipfile.is_zipfile(path)


def _in_zip(path: Path) -> tuple[str, Any]:
    """Version of Keras and description of the network; the weights' file links nowhere else."""
    with zipfile.ZipFile(path) as archive:
        version = str(json.loads(archive.read("metadata.json"))["keras_version"])
        content = json.loads(archive.read("config.json"))
        content.pop("compile_config", None)  # it is not read: what is loaded is not compiled
        for name in archive.namelist():
            if name.endswith(".h5"):
                with archive.open(name) as file, h5py.File(file, "r") as weights:
                    _require_own(path, weights)
    return version, content


def _in_hdf5(path: Path) -> tuple[str, Any]:
    if path.is_file() and not h5py.is_hdf5(path):
        raise ModelError(f"{path}: cannot be read as a Keras model (neither a zip nor HDF5); {AGAIN}")
    with h5py.File(path, "r") as file:
        _require_own(path, file)
        if "model_config" not in file.attrs:
            raise ModelError(f"{path}: holds weights without a network; {AGAIN}, not save_weights")
        return _text(file.attrs.get("keras_version", "")), json.loads(_text(file.attrs["model_config"]))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _require_own(path: Path, group: Any) -> None:
    """HDF5 can have its data in any other file that it names: those are not the network's."""
    for name in group:
        link = group.get(name, getlink=True)
        entry = None if isinstance(link, h5py.ExternalLink) else group.get(name)
        if entry is None or (isinstance(entry, h5py.Dataset) and (entry.external or entry.is_virtual)):
            raise ModelError(f"{path}: its weights {name} are in another file; expected all in one; {AGAIN}")
        if isinstance(link, h5py.HardLink) and isinstance(entry, h5py.Group):
            _require_own(path, entry)


def _require_keras_2(path: Path, version: str) -> None:
    if not version.startswith("2."):
        raise ModelError(
            f"{path}: saved by Keras {version or 'of an unknown version'}; the pruning toolkit needs Keras 2: "
            "build the network with tf_keras, give it these weights with set_weights, and save that"
        )


def _require_known(path: Path, content: Any) -> None:
    for entry in _objects(content):
        kind, config = str(entry["class_name"]), entry.get("config")
        name = str(config.get("name", kind) if isinstance(config, dict) else config)[:60]
        if kind in ("Lambda", "__lambda__"):
            raise ModelError(
                f"{path}: {name} is a Lambda, that is code, which is not run; use a layer of Keras instead"
            )
        module = entry.get("module") or "keras"
        is_keras = str(module).split(".")[0] in ("keras", "tf_keras") and kind in LAYERS | DETAILS
        if not is_keras or entry.get("registered_name") not in (None, kind):
            raise ModelError(
                f"{path}: {name} is a {kind[:60]}, which is not known here; expected layers of Keras alone"
            )
        if isinstance(config, dict):
            _require_known_functions(path, name, config)


def _require_known_functions(path: Path, name: str, config: dict[str, Any]) -> None:
    for key, known in (("function", FUNCTIONS), ("activation", ACTIVATIONS)):
        value = config.get(key)
        if value is not None and (not isinstance(value, str) or value not in known):
            raise ModelError(f"{path}: {name} calls {str(value)[:60]}, which is not known here; use a layer of Keras")


def _objects(content: Any) -> Iterator[dict[str, Any]]:
    """Everything that the description of a network asks Keras to build."""
    if isinstance(content, dict) and "class_name" in content:
        yield content
    if isinstance(content, dict | list):
        for part in content.values() if isinstance(content, dict) else content:
            yield from _objects(part)
