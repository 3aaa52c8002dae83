"""Which devices a training runs on, with the hardware played by stand-ins where it is missing here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from edge.errors import UsageError
from training.network.keras import keras, tf
from training.network.strategy import choose_devices, is_chief

CLUSTER = {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}
WITH_CHIEF = {"chief": ["127.0.0.1:3"], **CLUSTER}


@pytest.fixture(autouse=True)
def float32_afterwards(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    yield
    keras.mixed_precision.set_global_policy("float32")


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The GPUs that TensorFlow sees: none at first."""
    found: list[Any] = []
    details = {"compute_capability": (8, 0), "device_name": "Stand-in"}
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: found if kind == "GPU" else [])
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", lambda gpu, on: setattr(gpu, "grows", on))
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: details | getattr(gpu, "details", {}))
    return found


@pytest.mark.usefixtures("gpus")
def test_cpu_computes_in_float32_and_says_so() -> None:
    devices = choose_devices(mixed_precision=True, threads=0)
    assert devices.description.startswith("CPU, ")
    assert devices.description.endswith("float32 (no GPU visible)")
    assert devices.is_chief
    assert not devices.mixed_precision
    assert keras.mixed_precision.global_policy().name == "float32"
    assert devices.strategy.num_replicas_in_sync == 1


@pytest.mark.parametrize(
    ("capability", "asked", "policy"),
    [((8, 0), True, "mixed_float16"), ((8, 0), False, "float32"), ((6, 1), True, "float32")],
    ids=["tensor cores", "switched off", "no tensor cores"],
)
def test_gpu_computes_in_float16_where_that_is_fast(
    gpus: list[Any], capability: tuple[int, int], asked: bool, policy: str
) -> None:
    gpus.append(SimpleNamespace(name="GPU:0", details={"compute_capability": capability}))
    devices = choose_devices(mixed_precision=asked, threads=0)
    assert devices.description.startswith("GPU Stand-in, ")
    assert keras.mixed_precision.global_policy().name == policy
    assert gpus[0].grows  # memory is taken as it is needed


def test_all_gpus_are_mirrored(gpus: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    gpus += [SimpleNamespace(name="GPU:0"), SimpleNamespace(name="GPU:1")]
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda: "mirrored")
    devices = choose_devices(mixed_precision=False, threads=0)
    assert (devices.strategy, devices.description) == ("mirrored", "2 GPUs, mirrored, float32")


@pytest.mark.usefixtures("gpus")
def test_threads_are_set_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    monkeypatch.setattr(tf.config.threading, "set_intra_op_parallelism_threads", given.append)
    monkeypatch.setattr(tf.config.threading, "set_inter_op_parallelism_threads", given.append)
    choose_devices(mixed_precision=False, threads=0)
    assert given == []
    choose_devices(mixed_precision=False, threads=3)
    assert given == [3, 3]


@pytest.mark.usefixtures("gpus")
def test_threads_that_come_too_late_are_told_in_one_line() -> None:
    tf.constant(0)  # TensorFlow runs from here on
    with pytest.raises(UsageError, match="--threads 1023: TensorFlow is running already"):
        choose_devices(mixed_precision=False, threads=1023)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (None, True),
        ({}, True),
        ({"cluster": CLUSTER, "task": {"type": "worker", "index": 0}}, True),
        ({"cluster": CLUSTER, "task": {"type": "worker", "index": 1}}, False),
        ({"cluster": WITH_CHIEF, "task": {"type": "chief", "index": 0}}, True),
        ({"cluster": WITH_CHIEF, "task": {"type": "worker", "index": 0}}, False),
    ],
    ids=["one machine", "empty", "first worker", "second worker", "chief", "first worker beside a chief"],
)
def test_one_process_alone_is_the_chief(monkeypatch: pytest.MonkeyPatch, config: Any, expected: bool) -> None:
    if config is not None:
        monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    assert is_chief() is expected


@pytest.mark.parametrize("text", ["{", "3", '{"task": {"type": "worker", "index": "x"}}'])
def test_broken_cluster_description_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UsageError, match="expected JSON with cluster and task"):
        is_chief()


@pytest.mark.usefixtures("gpus")
def test_several_machines_share_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": CLUSTER, "task": {"type": "worker", "index": 1}}))
    stand_in = SimpleNamespace(num_replicas_in_sync=2)
    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", lambda: stand_in)
    devices = choose_devices(mixed_precision=False, threads=0)
    assert devices.description == "2 devices on several machines, float32"
    assert not devices.is_chief
