"""Dropout masks. They are a pure function of a seed, so the statistics are constant; bounds are about five sigma."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from transformer.ops import dropout as ops
from transformer.ops.dropout import KINDS, Dropout, drop

ROWS, WIDTH = 509, 1021  # half a million elements; no size is a power of two
UNITS = [kind for kind in KINDS if kind != "word"]  # kinds that drop single units
EVERY_KIND = {kind: jnp.float32(0.5) for kind in KINDS}

dropped = jax.jit(drop, static_argnums=2)
keep_mask = jax.jit(ops.keep_mask, static_argnums=2)
mix = jax.jit(ops.mix)


def dropout(seed: int = 0, rate: float = 0.5) -> Dropout:
    return Dropout.from_key(jax.random.key(seed), {kind: jnp.float32(rate) for kind in KINDS})


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def mask(dropout: Dropout, kind: str = "sublayer") -> np.ndarray:
    return np.asarray(dropped(np.ones((ROWS, WIDTH), np.float32), dropout, kind)) > 0


def dependence(masks: list[np.ndarray]) -> float:
    """Returns how far fair bits are from independence: chi-square over all patterns minus its mean, in sigmas."""
    pattern = sum(mask.astype(int) << number for number, mask in enumerate(masks))
    actual = np.bincount(np.ravel(pattern), minlength=2 ** len(masks))
    expected = masks[0].size / len(actual)
    freedom = len(actual) - 1
    return float((np.sum((actual - expected) ** 2 / expected) - freedom) / np.sqrt(2 * freedom))


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_rate_and_scale(rate: float) -> None:
    """Units are zero with probability `rate`, else scaled by 1 / (1 - rate), which preserves the mean."""
    x = drawn(ROWS, WIDTH) + 3
    y = np.asarray(dropped(x, dropout(rate=rate), "sublayer"))
    retained = y != 0
    sigma = np.sqrt(rate * (1 - rate) / x.size)
    assert abs(retained.mean() - (1 - rate)) <= 5 * sigma
    np.testing.assert_allclose(y[retained], x[retained] / (1 - np.float32(rate)), rtol=1e-6)
    assert abs(y.mean() / x.mean() - 1) <= 1e-6 + 5.3 * sigma / (1 - rate)  # 5.3, because x varies


def test_words_are_dropped_completely() -> None:
    """All units of a row and position are dropped, or none, with a mask independent of other kinds."""
    x = drawn(ROWS, WIDTH, 3) + 9
    y = np.asarray(dropped(x, dropout(rate=0.5), "word"))
    retained = y != 0
    np.testing.assert_array_equal(retained, retained[:, :, :1] & np.ones(3, bool))
    np.testing.assert_allclose(y[retained], 2 * x[retained])
    words = retained[:, :, 0]
    others = [
        np.asarray(dropped(np.ones((ROWS, WIDTH, 1), np.float32), dropout(), kind))[:, :, 0] > 0 for kind in UNITS
    ]
    assert -5 < dependence([words, *others]) < 5
    x = jnp.asarray(x)
    np.testing.assert_array_equal(
        ops.drop_embeddings(x, dropout()), dropped(dropped(x, dropout(), "word"), dropout(), "embedding")
    )


def test_sites_steps_and_kinds_have_independent_masks() -> None:
    base = dropout()
    nested = [base.fold_in(outer).fold_in(inner) for outer, inner in itertools.product(range(3), repeat=2)]
    families = {
        "sites": [mask(base.fold_in(site)) for site in range(9)],
        "sites of sites": [mask(site) for site in nested],
        "keys": [mask(dropout(seed)) for seed in range(9)],
        "steps": [mask(Dropout.from_key(jax.random.fold_in(jax.random.key(0), step), EVERY_KIND)) for step in range(9)],
        "kinds": [mask(base, kind) for kind in UNITS],
        "kinds of sites": [mask(base.fold_in(site), kind) for site in (0, 1) for kind in UNITS],
        "a site and its neighbours": [
            mask(base),
            mask(base.fold_in(0)),
            mask(base.fold_in(0).fold_in(0)),
            mask(base.fold_in(1)),
        ],
    }
    actual = {name: dependence(masks) for name, masks in families.items()}
    assert all(-5 < value < 5 for value in actual.values()), actual


def test_both_halves_of_a_seed_matter() -> None:
    """Except the lowest bit of the second half, which is always set."""
    seeds = np.array(list(itertools.product([0, 1, 7], [0, 2, 8])), np.uint32)
    masks = [np.asarray(keep_mask(seed, np.float32(0.5), (ROWS, WIDTH), np.uint32(0))) for seed in seeds]
    assert -5 < dependence(masks) < 5


def test_neighbours_are_independent() -> None:
    """Eight consecutive bits along each axis, and pairs at distances of 2^n and 2^n ± 1."""
    bits = mask(dropout())
    actual = {
        "along a row": dependence([bits[:, start : WIDTH - 8 + start] for start in range(8)]),
        "along a column": dependence([bits[start : ROWS - 8 + start] for start in range(8)]),
    }
    flat = bits.ravel()
    for distance in {2**power + more for power in range(1, 18) for more in (-1, 0, 1)}:
        actual[f"distance {distance}"] = dependence([flat[distance:], flat[:-distance]])
    assert all(-5 < value < 5 for value in actual.values()), actual


def test_every_input_bit_flips_every_output_bit_half_of_the_time() -> None:
    bits = np.random.default_rng(0).integers(0, 2**32, 8191, np.uint32)
    for number in range(32):
        changed = np.asarray(mix(bits)) ^ np.asarray(mix(bits ^ np.uint32(1 << number)))
        share = (changed[:, None] >> np.arange(32, dtype=np.uint32) & 1).mean(axis=0)
        assert np.abs(share - 0.5).max() < 0.05


def test_mix_is_a_bijection() -> None:
    """No two inputs have the same output."""
    # If it were two-to-one, about 32 pairs among half a million inputs would collide.
    bits = np.unique(np.random.default_rng(0).integers(0, 2**32, 2**19, np.uint32))
    assert len(np.unique(mix(bits))) == len(bits)


def test_parts_of_a_batch_have_the_masks_of_the_global_batch() -> None:
    x = drawn(6, 10, 3)
    full = dropped(x, dropout(), "sublayer")
    parts = [
        dropped(x[first : first + 2], dataclasses.replace(dropout(), first_row=jnp.uint32(first)), "sublayer")
        for first in (0, 2, 4)
    ]
    np.testing.assert_array_equal(np.concatenate(parts), full)


@pytest.mark.parametrize("spec", [PartitionSpec("data"), PartitionSpec(None, "data")])
def test_the_mask_does_not_depend_on_the_devices(spec: PartitionSpec) -> None:
    x = drawn(6, 10, 3)
    mesh = jax.make_mesh((len(jax.devices()),), ("data",), axis_types=(AxisType.Auto,))
    sharded = dropped(jax.device_put(x, NamedSharding(mesh, spec)), dropout(), "sublayer")
    assert len(sharded.sharding.device_set) == len(jax.devices())
    np.testing.assert_array_equal(sharded, dropped(x, dropout(), "sublayer"))


def test_without_a_rate_the_input_is_unchanged() -> None:
    x = jnp.asarray(drawn(6, 10, 3))
    assert drop(x, None, "sublayer") is x
    only = Dropout.from_key(jax.random.key(0), {"embedding": jnp.float32(0.5)})
    assert drop(x, only, "sublayer") is x
    assert (dropped(x, only, "embedding") != x).any()


def test_the_gradient_is_the_mask() -> None:
    """Also for an infinite input: a dropped unit has no gradient."""
    x = drawn(6, 10, 3)
    keep = np.asarray(dropped(x, dropout(rate=0.75), "sublayer")) != 0
    x[::2] = np.inf
    gradient = jax.jit(jax.grad(lambda x, dropout: jnp.sum(drop(x, dropout, "sublayer"))))(x, dropout(rate=0.75))
    assert 0 < keep.sum() < keep.size
    np.testing.assert_array_equal(gradient, np.where(keep, 4.0, 0.0))


def test_rates_seeds_and_rows_are_arguments_of_one_program() -> None:
    traces = []

    @jax.jit
    def run(x, dropout):
        traces.append(1)
        return drop(x, dropout, "sublayer")

    x = np.ones((31, 37), np.float32)
    results = [run(x, dropout(seed, rate)) for seed, rate in [(0, 0.1), (0, 0.8), (1, 0.8)]]
    results.append(run(x, dataclasses.replace(dropout(1, 0.8), first_row=jnp.uint32(3))))
    assert len(traces) == 1
    assert all((a != b).any() for a, b in itertools.combinations(results, 2))


def test_a_population_of_rates() -> None:
    x, base = jnp.asarray(drawn(6, 10, 3)), dropout()
    rates = np.array([0.2, 0.5, 0.8], np.float32)
    at_rates = jax.vmap(lambda rate: drop(x, dataclasses.replace(base, rates={"sublayer": rate}), "sublayer"))
    for a, rate in zip(jax.jit(at_rates)(rates), rates, strict=True):
        np.testing.assert_allclose(a, dropped(x, dropout(rate=rate), "sublayer"), rtol=1e-6)


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.37])
def test_the_mean_in_bfloat16(rate: float) -> None:
    """The factor 1 / (1 - rate) is not rounded to bfloat16, which would change the mean by up to 0.3 %."""
    x = jnp.asarray(drawn(ROWS, WIDTH) + 9, jnp.bfloat16)
    sizes = {
        name: np.asarray(array, np.float64)
        for name, array in (("x", x), ("y", dropped(x, dropout(rate=rate), "sublayer")))
    }
    retained = sizes["y"] != 0
    assert sizes["y"][retained].mean() * (1 - rate) == pytest.approx(sizes["x"][retained].mean(), rel=5e-4)


def test_bfloat16_stays_bfloat16() -> None:
    y = dropped(jnp.full((31, 37), 3, jnp.bfloat16), dropout(), "sublayer")
    assert y.dtype == jnp.bfloat16
    assert np.unique(y.astype(jnp.float32)).tolist() == [0.0, 6.0]
