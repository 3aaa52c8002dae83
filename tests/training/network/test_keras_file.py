"""Files of strangers: what Keras may build is read before it builds it, and nothing in them is run."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.errors import ModelError
from training.network.keras import keras, tf
from training.network.keras_file import load_keras

h5py: Any = import_module("h5py")
pytestmark = pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning")


def network(middle: Any = None) -> Any:
    """Four pixels to two classes, with `middle` between."""
    picture = keras.Input((2, 2, 3))
    x = middle(picture) if middle else picture
    return keras.Model(picture, keras.layers.Dense(2, "softmax", name="dense")(keras.layers.Flatten(name="flat")(x)))


def doctored(path: Path, change: Callable[[Any], object], entry: str = "config.json") -> Path:
    """A .keras file of which one JSON entry was written by hand."""
    network().save(path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    content = json.loads(parts[entry])
    change(content)
    parts[entry] = json.dumps(content).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return path


def last_layer(content: Any) -> Any:
    """Its entry, ready to be that of another class or module."""
    entry = content["config"]["layers"][-1]
    entry["registered_name"] = None
    return entry


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as refused:
        load_keras(path)
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith(f"{path}: ")
    return str(refused.value)


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_network_loads_with_its_weights(suffix: str, tmp_path: Path) -> None:
    made = network(keras.layers.Conv2D(4, 1, activation="relu", kernel_regularizer="l2"))
    made.compile("adam", "categorical_crossentropy")
    made.save(tmp_path / f"net.{suffix}")
    for before, after in zip(
        made.get_weights(), load_keras(tmp_path / f"net.{suffix}").get_weights(), strict=True
    ):  # fmt: skip
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_lambda_is_refused_and_never_run(suffix: str, tmp_path: Path) -> None:
    mark = str(tmp_path / "run")

    def code(x: Any) -> Any:
        import pathlib

        pathlib.Path(mark).touch()
        return x

    network(keras.layers.Lambda(code, name="sly")).save(tmp_path / f"net.{suffix}")
    Path(mark).unlink()
    assert "sly is a Lambda, that is code, which is not run" in refusal(tmp_path / f"net.{suffix}")
    assert not Path(mark).exists()


def test_hdf5_under_the_name_of_a_keras_file_is_read_as_carefully(tmp_path: Path) -> None:
    network(keras.layers.Lambda(lambda x: x * 2, name="sly")).save(tmp_path / "net.h5")
    (tmp_path / "net.h5").rename(tmp_path / "net.keras")
    assert "sly is a Lambda" in refusal(tmp_path / "net.keras")


def test_a_layer_of_ones_own_is_refused_by_its_name(tmp_path: Path) -> None:
    class Petals(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return inputs

    network(Petals(name="petals_1")).save(tmp_path / "net.keras")
    assert "petals_1 is a Petals, which is not known here; expected layers of Keras alone" in refusal(
        tmp_path / "net.keras"
    )


def test_an_operation_that_could_touch_files_is_refused(tmp_path: Path) -> None:
    def write(content: Any) -> None:
        last_layer(content).update(class_name="TFOpLambda", config={"name": "w", "function": "io.write_file"})

    assert "w calls io.write_file, which is not known here" in refusal(doctored(tmp_path / "net.keras", write))


def test_arithmetic_on_pixels_is_not(tmp_path: Path) -> None:
    network(lambda picture: tf.cast(picture, tf.float32) / 127.5 - 1.0).save(tmp_path / "net.keras")
    assert load_keras(tmp_path / "net.keras").count_params() == 26


FUNCTION = {"class_name": "function", "module": "os", "config": "system", "registered_name": "system"}
BY_HAND: dict[str, tuple[Callable[[Any], object], str]] = {
    "function of another module": (
        lambda c: last_layer(c)["config"].update(activation=FUNCTION),
        "calls {'class_name'",
    ),
    "function as initialiser": (
        lambda c: last_layer(c)["config"].update(kernel_initializer=FUNCTION),
        "system is a function, which is not known",
    ),
    "class of another module": (lambda c: last_layer(c).update(module="subprocess"), "dense is a Dense, which is not"),
    "class registered elsewhere": (
        lambda c: last_layer(c).update(registered_name="x>Popen"),
        "dense is a Dense, which",
    ),
    "class that is no layer": (lambda c: last_layer(c).update(class_name="Popen"), "dense is a Popen, which is not"),
    "activation that is none": (
        lambda c: last_layer(c)["config"].update(activation="deserialize"),
        "calls deserialize",
    ),
    "no layers": (lambda c: c["config"].pop("layers"), "cannot be read as a Keras model"),
    "layers that are text": (lambda c: c["config"].update(layers="all"), "cannot be read as a Keras model"),
}


@pytest.mark.parametrize("what", BY_HAND)
def test_what_was_written_by_hand_is_one_line(what: str, tmp_path: Path) -> None:
    change, message = BY_HAND[what]
    assert message in refusal(doctored(tmp_path / "net.keras", change))


@pytest.mark.parametrize("version", ["3.5.0", "1.2"])
def test_another_keras_is_told_and_what_to_do(version: str, tmp_path: Path) -> None:
    path = doctored(tmp_path / "net.keras", lambda content: content.update(keras_version=version), "metadata.json")
    assert f"saved by Keras {version}; the pruning toolkit needs Keras 2: build the network with tf_keras" in refusal(
        path
    )


def as_text(path: Path) -> None:
    path.write_text("no network")


def cut(path: Path) -> None:
    network().save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def as_empty_zip(path: Path) -> None:
    zipfile.ZipFile(path, "w").close()


WRECKS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "nothing": (lambda path: None, "keras", "no such file"),
    "nothing.h5": (lambda path: None, "h5", "no such file"),
    "a folder": (Path.mkdir, "keras", "cannot be read as a Keras model"),
    "text": (as_text, "keras", "cannot be read as a Keras model (neither a zip nor HDF5)"),
    "text.h5": (as_text, "h5", "cannot be read as a Keras model (neither a zip nor HDF5)"),
    "half a file": (cut, "keras", "cannot be read as a Keras model (neither a zip nor HDF5)"),
    "half an HDF5": (cut, "h5", "cannot be read as a Keras model"),
    "an empty zip": (as_empty_zip, "keras", "cannot be read as a Keras model"),
    "weights alone": (lambda path: network().save_weights(path), "h5", "weights without a network; save it again"),
}


@pytest.mark.parametrize("wreck", WRECKS)
def test_what_is_no_network_is_one_line(wreck: str, tmp_path: Path) -> None:
    spoil, suffix, message = WRECKS[wreck]
    spoil(tmp_path / f"net.{suffix}")
    assert message in refusal(tmp_path / f"net.{suffix}")


def test_weights_in_another_file_are_refused(tmp_path: Path) -> None:
    network().save(tmp_path / "net.h5")
    with h5py.File(tmp_path / "net.h5", "a") as file:
        file["model_weights"]["stolen"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/secret")
    assert "its weights stolen are in another file" in refusal(tmp_path / "net.h5")


def test_weights_in_another_file_are_refused_within_a_zip_too(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file["stolen"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/secret")
    network().save(tmp_path / "net.keras")
    with zipfile.ZipFile(tmp_path / "net.keras", "a") as archive:
        archive.write(tmp_path / "weights.h5", "assets/weights.h5")
    assert "its weights stolen are in another file" in refusal(tmp_path / "net.keras")


def test_weights_stored_outside_are_refused(tmp_path: Path) -> None:
    network().save(tmp_path / "net.h5")
    (tmp_path / "secret").write_bytes(bytes(16))
    with h5py.File(tmp_path / "net.h5", "a") as file:
        file.create_dataset("raw", (4,), "f4", external=[(str(tmp_path / "secret"), 0, 16)])
    assert "its weights raw are in another file" in refusal(tmp_path / "net.h5")
