"""Channels that others can stand in for: found, ranked, weighed, and made up for by the weights behind them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from export.network.channels import groups, slim
from export.slimming.ranking import TRIAL_SHARE, Ranking, rank, reconstruct, weigh
from tests.export import colours
from training.network import backbone
from training.network.inference import predict
from training.network.keras import keras

SIZE = 8  # pixels; so small that all places of a map are looked at
LAYERS = keras.layers


def settled(x: Any, name: str, *, is_linear: bool = False) -> Any:
    x = LAYERS.BatchNormalization(name=f"{name}_bn")(x)
    return x if is_linear else LAYERS.ReLU(name=f"{name}_relu")(x)


def headed(picture: Any, x: Any, kernel: int = 1) -> Any:
    """A network with the head of ours, as after a training: no two channels alike."""
    evidence = LAYERS.Conv2D(3, kernel, name="evidence")(x)
    pooled = LAYERS.GlobalAveragePooling2D(name="pool")(evidence)
    model = keras.Model(picture, LAYERS.Softmax(name="probabilities")(pooled))
    backbone.initialise(model, seed=1)
    draws = np.random.default_rng(2)
    for norm in backbone.batch_norms(model):
        gamma, beta, mean, variance = norm.get_weights()
        norm.set_weights([draws.uniform(0.5, 1.5, gamma.shape), draws.uniform(0.1, 0.6, beta.shape), mean, variance])
    weights = model.get_layer("evidence").get_weights()
    model.get_layer("evidence").set_weights([draws.normal(0, 0.5, weight.shape) for weight in weights])
    return model


def stem(channels: int = 12) -> tuple[Any, Any]:
    picture = keras.Input((SIZE, SIZE, 3))
    x = LAYERS.Conv2D(channels, 3, strides=2, padding="same", use_bias=False, name="stem")(picture)
    return picture, settled(x, "stem")


def chain() -> Any:
    """Stem -> linear bottleneck -> wide layer -> head: read through a BatchNorm, a BatchNorm and a bias."""
    picture, x = stem()
    x = settled(LAYERS.Conv2D(8, 1, use_bias=False, name="neck")(x), "neck", is_linear=True)
    return headed(picture, settled(LAYERS.Conv2D(16, 1, use_bias=False, name="wide")(x), "wide"))


def two_branches() -> Any:
    """A sum that one convolution alone reads: those behind "left" and "right" make the same channels."""
    picture, x = stem()
    made = []
    for side, channels in (("left", 8), ("right", 10)):
        wide = settled(LAYERS.Conv2D(channels, 1, use_bias=False, name=side)(x), side)
        made.append(
            settled(LAYERS.Conv2D(6, 1, use_bias=False, name=f"{side}_end")(wide), f"{side}_end", is_linear=True)
        )
    return headed(picture, LAYERS.Add(name="add")(made))


@pytest.fixture(scope="module")
def pictures() -> NDArray[np.uint8]:
    return np.random.default_rng(5).integers(0, 256, (24, SIZE, SIZE, 3), dtype=np.uint8)


def change(model: Any, name: str, **weights: Any) -> None:
    """Set weights of a layer, found by their names."""
    layer = model.get_layer(name)
    for key, value in weights.items():
        getattr(layer, key).assign(value)


def duplicated() -> Any:
    """Channel 5 of the stem does what channel 2 does, twice as strongly."""
    model = chain()
    kernel = model.get_layer("stem").get_weights()[0]
    kernel[..., 5] = kernel[..., 2]
    gamma, beta, *_ = model.get_layer("stem_bn").get_weights()
    gamma[5], beta[5] = 2 * gamma[2], 2 * beta[2]
    change(model, "stem", kernel=kernel)
    change(model, "stem_bn", gamma=gamma, beta=beta)
    return model


def constant(level: float) -> Any:
    """Channel 5 of the stem is the same everywhere."""
    model = chain()
    gamma, beta, *_ = model.get_layer("stem_bn").get_weights()
    gamma[5], beta[5] = 0.0, level
    change(model, "stem_bn", gamma=gamma, beta=beta)
    return model


def dependent() -> Any:
    """Channel 5 of the linear bottleneck is a sum of two others."""
    model = chain()
    gamma, beta, *_ = model.get_layer("neck_bn").get_weights()
    kernel = model.get_layer("neck").get_weights()[0]
    kernel[..., 5] = 2 * kernel[..., 1] - kernel[..., 4]
    gamma[[1, 4, 5]] = 1.0
    change(model, "neck", kernel=kernel)
    change(model, "neck_bn", gamma=gamma, beta=beta)
    return model


def ranked(model: Any, pictures: NDArray[np.uint8]) -> dict[str, Ranking]:
    return {ranking.group: ranking for ranking in rank(model, pictures)}


def divergence(before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
    return float((before * (np.log(before) - np.log(after))).sum(axis=1).mean())


def test_with_all_channels_nothing_changes(pictures: NDArray[np.uint8]) -> None:
    model = chain()
    rankings = rank(model, pictures)
    for widths in ({}, {group.name: group.channels for group in groups(model)}):
        same = reconstruct(model, rankings, widths, SIZE)
        for old, new in zip(model.get_weights(), same.get_weights(), strict=True):
            assert (old == new).all()


@pytest.mark.parametrize(
    ("build", "group", "spare"),
    [
        pytest.param(duplicated, "stem", {2, 5}, id="a double"),
        pytest.param(lambda: constant(-1.0), "stem", {5}, id="a dead one"),
        pytest.param(lambda: constant(3.0), "stem", {5}, id="a constant"),
        pytest.param(dependent, "neck", {1, 4, 5}, id="a sum of others"),
    ],
)
def test_a_channel_that_says_nothing_new_goes_without_loss(
    build: Any, group: str, spare: set[int], pictures: NDArray[np.uint8]
) -> None:
    model = build()
    rankings = ranked(model, pictures)
    ranking, width = rankings[group], len(rankings[group].order) - 1
    assert ranking.order[-1] in spare
    assert ranking.lost[width] < 1e-3
    assert ranking.lost[width - 1] > 3 * ranking.lost[width]  # the next one would be missed
    whole = predict(model, pictures)
    assert predict(reconstruct(model, rankings.values(), {group: width}, SIZE), pictures) == pytest.approx(
        whole, abs=2e-3
    )


@pytest.mark.parametrize("group", ["stem", "neck", "wide"])
def test_weights_fitted_anew_beat_plain_removal(group: str, pictures: NDArray[np.uint8]) -> None:
    model = chain()
    rankings, whole = ranked(model, pictures), predict(model, pictures)
    width = len(rankings[group].order) // 2
    kept = np.sort(rankings[group].order[:width])
    plain = predict(slim(model, {group: kept}), pictures)
    fitted = predict(reconstruct(model, rankings.values(), {group: width}, SIZE), pictures)
    assert divergence(whole, fitted) < 0.5 * divergence(whole, plain)


def test_the_channel_that_is_read_comes_first(pictures: NDArray[np.uint8]) -> None:
    model = chain()
    kernel = model.get_layer("neck").get_weights()[0]
    kernel[:, :, np.arange(12) != 7] = 0
    change(model, "neck", kernel=kernel)
    ranking = ranked(model, pictures)["stem"]
    assert ranking.order[0] == 7
    assert ranking.lost[0] == 1.0
    assert ranking.lost[1] < 1e-3


def test_a_ranking_is_a_permutation_and_every_channel_helps(pictures: NDArray[np.uint8]) -> None:
    steps: list[tuple[int, int]] = []
    rankings = rank(chain(), pictures, lambda done, total: steps.append((done, total)))
    assert {(r.group, r.consumer) for r in rankings} == {("stem", "neck"), ("neck", "wide"), ("wide", "evidence")}
    for ranking in rankings:
        assert sorted(ranking.order) == list(range(len(ranking.order)))
        assert ranking.lost[0] == 1.0
        assert (np.diff(ranking.lost) <= 0).all()
        assert ranking.lost[-1] < 1e-6
    assert steps == [(16, 24), (24, 24)]


def test_the_features_of_the_head_survive_even_where_classes_read_few(pictures: NDArray[np.uint8]) -> None:
    """The classes read one feature alone; the next ones stand for the other features, so they take time to explain."""
    model = chain()
    kernel, bias = model.get_layer("evidence").get_weights()
    kernel[:, :, np.arange(16) != 3] = 0
    change(model, "evidence", kernel=kernel, bias=bias)
    ranking = ranked(model, pictures)["wide"]
    assert ranking.order[0] == 3
    assert ranking.lost[1] > 1e-3
    assert ranking.lost[8] < 0.2 * ranking.lost[1]


@pytest.mark.parametrize(
    ("group", "behind", "weight"),
    [("stem", "neck_bn", "moving_mean"), ("neck", "wide_bn", "moving_mean"), ("wide", "evidence", "bias")],
    ids=["BatchNorm", "BatchNorm of a wide layer", "bias"],
)
def test_the_mean_of_what_is_computed_stays(group: str, behind: str, weight: str, pictures: NDArray[np.uint8]) -> None:
    model = chain()
    thin = reconstruct(model, rank(model, pictures), {group: 4}, SIZE)
    means = [
        predict(keras.Model(network.input, network.get_layer(behind).output), pictures).mean(axis=(0, 1, 2))
        for network in (model, thin)
    ]
    assert means[1] == pytest.approx(means[0], abs=1e-4)
    before, after = (getattr(network.get_layer(behind), weight).numpy() for network in (model, thin))
    assert np.abs(after - before).max() > 1e-3  # there was something to correct


def test_of_what_is_computed_less_varies_and_batchnorm_is_not_told(pictures: NDArray[np.uint8]) -> None:
    model = chain()
    thin = reconstruct(model, rank(model, pictures), {"stem": 3}, SIZE)
    spreads = [
        predict(keras.Model(network.input, network.get_layer("neck_bn").output), pictures).std(axis=(0, 1, 2))
        for network in (model, thin)
    ]
    assert spreads[1].sum() < spreads[0].sum()
    for kept in ("gamma", "beta", "moving_variance"):
        found = [getattr(network.get_layer("neck_bn"), kept).numpy() for network in (model, thin)]
        assert (found[0] == found[1]).all()


def test_what_a_sum_ties_together_is_cut_in_all_who_make_it(pictures: NDArray[np.uint8]) -> None:
    model = two_branches()
    rankings = ranked(model, pictures)
    assert set(rankings) == {"left", "right", "left_end"}  # the stem is read by two
    assert rankings["left_end"].consumer == "evidence"
    widths = {"left": 5, "right": 6, "left_end": 4}
    thin = reconstruct(model, rankings.values(), widths, SIZE)
    shapes = {layer.name: layer.get_weights()[0].shape[2:] for layer in thin.layers if "end" in layer.name}
    assert shapes["left_end"] == (5, 4)
    assert shapes["right_end"] == (6, 4)
    whole = predict(model, pictures)
    plain = slim(model, {name: np.sort(rankings[name].order[:width]) for name, width in widths.items()})
    assert divergence(whole, predict(thin, pictures)) < divergence(whole, predict(plain, pictures))


def test_the_channels_of_a_residual_have_no_rank() -> None:
    model = slim(backbone.build("mobilenet_v2", 0.35, 32, 3), {"Conv_1": np.arange(32)})  # 1280 would take a while
    found = {ranking.group for ranking in rank(model, colours.pictures(range(2))[0])}
    residual = {group.name for group in groups(model) if len(group.convolutions) > 1}
    assert residual == {f"block_{number}_project" for number in (1, 3, 6, 10, 13)}
    assert found == {group.name for group in groups(model)} - residual


def test_all_groups_of_mobilenet_v1_have_a_rank_and_can_be_cut() -> None:
    model = backbone.build("mobilenet", 0.25, 32, 3)
    backbone.initialise(model, seed=1)
    pictures, _ = colours.pictures(range(4))
    rankings = ranked(model, pictures)
    assert set(rankings) == {group.name for group in groups(model)}
    widths = {name: len(ranking.order) * 3 // 4 for name, ranking in rankings.items()}
    thin = reconstruct(model, rankings.values(), widths, 32)
    assert {group.name: group.channels for group in groups(thin)} == widths
    assert np.isfinite(predict(thin, pictures)).all()


@pytest.mark.parametrize(("kernel", "found"), [(1, {"stem"}), (3, set())], ids=["one group", "none"])
def test_networks_of_hardly_any_layers_are_ranked_too(
    kernel: int, found: set[str], pictures: NDArray[np.uint8]
) -> None:
    """With one map alone Keras gives no list; what a 3x3 convolution reads has no rank."""
    assert set(ranked(headed(*stem(), kernel), pictures)) == found


def test_a_reader_whose_mean_cannot_be_corrected_has_no_group(pictures: NDArray[np.uint8]) -> None:
    picture, x = stem()
    bare = LAYERS.ReLU(name="bare_relu")(LAYERS.Conv2D(8, 1, use_bias=False, name="bare")(x))
    assert set(ranked(headed(picture, bare), pictures)) == {"bare"}


def test_the_maps_are_those_of_the_pictures_size() -> None:
    """A network for 8 pixels, ranked at 16: more places, other means at the padded edge."""
    model = chain()
    large = np.random.default_rng(6).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    rankings = ranked(model, large)
    assert rankings["stem"].mean.shape == (12,)
    thin = reconstruct(model, rankings.values(), {"stem": 6}, 16)
    assert thin.input_shape == (None, 16, 16, 3)


def test_the_group_that_matters_more_has_more_harm(pictures: NDArray[np.uint8]) -> None:
    model = two_branches()
    change(model, "right_end_bn", gamma=np.full(6, 0.05))
    steps: list[tuple[int, int]] = []
    weighed = {
        ranking.group: ranking
        for ranking in weigh(model, rank(model, pictures), pictures, lambda done, total: steps.append((done, total)))
    }
    left, right = weighed["left"], weighed["right"]
    assert left.harm is not None
    assert right.harm is not None
    assert left.harm[0] > 20 * right.harm[0] > 0
    assert (np.diff(left.harm) <= 0).all()
    assert left.harm[-1] < 1e-9
    assert steps == [(1, 3), (2, 3), (3, 3)]


def test_harm_is_what_the_trial_did_and_grows_with_the_square(pictures: NDArray[np.uint8]) -> None:
    model = chain()
    rankings = rank(model, pictures)
    weighed = {ranking.group: ranking for ranking in weigh(model, rankings, pictures)}["stem"]
    width = int(np.argmax(weighed.lost <= TRIAL_SHARE))
    assert 0 < width < 12
    cut = predict(reconstruct(model, rankings, {"stem": width}, SIZE), pictures)
    assert weighed.harm is not None
    assert weighed.harm[width] == pytest.approx(divergence(predict(model, pictures), cut), rel=1e-3)
    assert weighed.harm / weighed.harm[width] == pytest.approx((weighed.lost / weighed.lost[width]) ** 2)


def test_harm_is_never_less_than_nothing(pictures: NDArray[np.uint8]) -> None:
    """A group whose trial changes nothing at all, but for rounding."""
    model = two_branches()
    change(model, "right_end_bn", gamma=np.zeros(6))
    for ranking in weigh(model, rank(model, pictures), pictures):
        assert ranking.harm is not None
        assert (ranking.harm >= 0).all()


def test_a_group_is_weighed_with_a_channel_less_even_where_none_is_spare(pictures: NDArray[np.uint8]) -> None:
    model = chain()
    rankings = rank(model, pictures)
    steep = [replace(r, lost=np.array([1.0] * len(r.order) + [0.0])) for r in rankings if r.group == "stem"]
    (weighed,) = weigh(model, steep, pictures)
    assert weighed.harm is not None
    assert weighed.harm[11] > 0
