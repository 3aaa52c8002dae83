"""Which devices a training runs on: CPU, one GPU, all GPUs of a machine, or several machines."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from edge.errors import UsageError
from training.network.keras import keras, tf


@dataclass(frozen=True)
class Devices:
    """The chosen devices. `strategy` is a tf.distribute.Strategy; `is_chief` writes the run folder."""

    strategy: Any
    description: str
    mixed_precision: bool
    is_chief: bool = True


def choose_devices(*, mixed_precision: bool, threads: int) -> Devices:
    """All visible GPUs, mirrored; several machines if TF_CONFIG says so; else the CPU, with repeatable operators."""
    if threads and not tf.config.get_visible_devices("GPU"):
        _limit_threads(threads)
    gpus = tf.config.get_visible_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    mixed = mixed_precision and bool(gpus) and all(_has_tensor_cores(gpu) for gpu in gpus)
    keras.mixed_precision.set_global_policy("mixed_float16" if mixed else "float32")
    if not gpus:
        tf.config.experimental.enable_op_determinism()
    precision = "mixed float16" if mixed else "float32"
    if "TF_CONFIG" in os.environ:
        chief = is_chief()
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        return Devices(
            strategy, f"{strategy.num_replicas_in_sync} devices on several machines, {precision}", mixed, chief
        )
    if len(gpus) > 1:
        return Devices(tf.distribute.MirroredStrategy(), f"{len(gpus)} GPUs, mirrored, {precision}", mixed)
    if gpus:
        return Devices(tf.distribute.get_strategy(), f"GPU {_name(gpus[0])}, {precision}", mixed)
    return Devices(tf.distribute.get_strategy(), f"CPU, {os.cpu_count()} cores, {precision} (no GPU visible)", mixed)


def is_chief() -> bool:
    """Whether this process writes the run folder: it does unless TF_CONFIG makes it another's helper."""
    try:
        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
        kind, index, jobs = resolver.task_type, resolver.task_id, resolver.cluster_spec().jobs
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(
            f"TF_CONFIG is {os.environ.get('TF_CONFIG')!r} ({error}); expected JSON with cluster and task, "
            "or take it out of the environment"
        ) from error
    return kind in {None, "", "chief"} or (kind == "worker" and index == 0 and "chief" not in jobs)


def _limit_threads(threads: int) -> None:
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError as error:
        raise UsageError(
            f"--threads {threads}: TensorFlow is running already and takes no other number; start a new process"
        ) from error


def _has_tensor_cores(gpu: Any) -> bool:
    return bool(tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0)) >= (7, 0))


def _name(gpu: Any) -> str:
    return str(tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name))
