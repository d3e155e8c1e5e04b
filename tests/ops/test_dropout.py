"""Masks are a pure function of a seed, so what is measured here never varies; the bounds are some five sigma wide."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from transformer.ops import dropout as ops
from transformer.ops.dropout import KINDS, Dropout, drop

ROWS, WIDTH = 509, 1021  # half a million elements, and no power of two anywhere
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
    """How far fair bits are from independent: sigmas between chi-square over all their patterns and its mean."""
    pattern = sum(mask.astype(int) << number for number, mask in enumerate(masks))
    found = np.bincount(np.ravel(pattern), minlength=2 ** len(masks))
    expected = masks[0].size / len(found)
    freedom = len(found) - 1
    return float((np.sum((found - expected) ** 2 / expected) - freedom) / np.sqrt(2 * freedom))


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_rate_and_scale(rate: float) -> None:
    """Units are zero with probability `rate` and otherwise larger by 1 / (1 - rate): the mean stays."""
    x = drawn(ROWS, WIDTH) + 3
    y = np.asarray(dropped(x, dropout(rate=rate), "sublayer"))
    kept = y != 0
    sigma = np.sqrt(rate * (1 - rate) / x.size)
    assert abs(kept.mean() - (1 - rate)) <= 5 * sigma
    np.testing.assert_allclose(y[kept], x[kept] / (1 - np.float32(rate)), rtol=1e-6)
    assert abs(y.mean() / x.mean() - 1) <= 1e-6 + 5.3 * sigma / (1 - rate)  # 5.3, because x varies


def test_words_are_dropped_whole() -> None:
    """Of each batch row and position all units or none, with a mask that no other kind shares."""
    x = drawn(ROWS, WIDTH, 3) + 9
    y = np.asarray(dropped(x, dropout(rate=0.5), "word"))
    kept = y != 0
    np.testing.assert_array_equal(kept, kept[:, :, :1] & np.ones(3, bool))
    np.testing.assert_allclose(y[kept], 2 * x[kept])
    words = kept[:, :, 0]
    others = [
        np.asarray(dropped(np.ones((ROWS, WIDTH, 1), np.float32), dropout(), kind))[:, :, 0] > 0 for kind in UNITS
    ]
    assert -5 < dependence([words, *others]) < 5
    x = jnp.asarray(x)
    np.testing.assert_array_equal(
        ops.drop_embedded(x, dropout()), dropped(dropped(x, dropout(), "word"), dropout(), "embedding")
    )


def test_places_steps_and_kinds_have_masks_of_their_own() -> None:
    base = dropout()
    nested = [base.at(outer).at(inner) for outer, inner in itertools.product(range(3), repeat=2)]
    families = {
        "sites": [mask(base.at(site)) for site in range(9)],
        "sites of sites": [mask(each) for each in nested],
        "keys": [mask(dropout(seed)) for seed in range(9)],
        "steps": [mask(Dropout.from_key(jax.random.fold_in(jax.random.key(0), step), EVERY_KIND)) for step in range(9)],
        "kinds": [mask(base, kind) for kind in UNITS],
        "kinds of sites": [mask(base.at(site), kind) for site in (0, 1) for kind in UNITS],
        "a site and the places around it": [mask(base), mask(base.at(0)), mask(base.at(0).at(0)), mask(base.at(1))],
    }
    found = {name: dependence(masks) for name, masks in families.items()}
    assert all(-5 < value < 5 for value in found.values()), found


def test_both_halves_of_a_seed_matter() -> None:
    """The lowest bit of the second is lost: it makes that half odd."""
    seeds = np.array(list(itertools.product([0, 1, 7], [0, 2, 8])), np.uint32)
    masks = [np.asarray(keep_mask(seed, np.float32(0.5), (ROWS, WIDTH), np.uint32(0))) for seed in seeds]
    assert -5 < dependence(masks) < 5


def test_neighbours_are_independent() -> None:
    """Runs of eight along each axis, and pairs at every distance that is a power of two or next to one."""
    bits = mask(dropout())
    found = {
        "along a row": dependence([bits[:, start : WIDTH - 8 + start] for start in range(8)]),
        "along a column": dependence([bits[start : ROWS - 8 + start] for start in range(8)]),
    }
    flat = bits.ravel()
    for distance in {2**power + more for power in range(1, 18) for more in (-1, 0, 1)}:
        found[f"distance {distance}"] = dependence([flat[distance:], flat[:-distance]])
    assert all(-5 < value < 5 for value in found.values()), found


def test_every_input_bit_flips_every_output_bit_half_of_the_time() -> None:
    bits = np.random.default_rng(0).integers(0, 2**32, 8191, np.uint32)
    for number in range(32):
        changed = np.asarray(mix(bits)) ^ np.asarray(mix(bits ^ np.uint32(1 << number)))
        share = (changed[:, None] >> np.arange(32, dtype=np.uint32) & 1).mean(axis=0)
        assert np.abs(share - 0.5).max() < 0.05


def test_mixing_loses_nothing() -> None:
    """A bijection: no two numbers become the same one."""
    # Were it two to one, some 32 pairs of half a million numbers would become one.
    bits = np.unique(np.random.default_rng(0).integers(0, 2**32, 2**19, np.uint32))
    assert len(np.unique(mix(bits))) == len(bits)


def test_parts_of_a_batch_have_the_masks_of_the_whole() -> None:
    x = drawn(6, 10, 3)
    whole = dropped(x, dropout(), "sublayer")
    parts = [
        dropped(x[first : first + 2], dataclasses.replace(dropout(), first_row=jnp.uint32(first)), "sublayer")
        for first in (0, 2, 4)
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("spec", [PartitionSpec("data"), PartitionSpec(None, "data")])
def test_the_mask_does_not_depend_on_the_devices(spec: PartitionSpec) -> None:
    x = drawn(6, 10, 3)
    mesh = jax.make_mesh((len(jax.devices()),), ("data",), axis_types=(AxisType.Auto,))
    sharded = dropped(jax.device_put(x, NamedSharding(mesh, spec)), dropout(), "sublayer")
    assert len(sharded.sharding.device_set) == len(jax.devices())
    np.testing.assert_array_equal(sharded, dropped(x, dropout(), "sublayer"))


def test_what_has_no_rate_is_untouched() -> None:
    x = jnp.asarray(drawn(6, 10, 3))
    assert drop(x, None, "sublayer") is x
    only = Dropout.from_key(jax.random.key(0), {"embedding": jnp.float32(0.5)})
    assert drop(x, only, "sublayer") is x
    assert (dropped(x, only, "embedding") != x).any()


def test_the_gradient_is_the_mask() -> None:
    """Also where the input is infinite: a dropped unit passes nothing on."""
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
    assert all((one != other).any() for one, other in itertools.combinations(results, 2))


def test_a_population_of_rates() -> None:
    x, base = jnp.asarray(drawn(6, 10, 3)), dropout()
    rates = np.array([0.2, 0.5, 0.8], np.float32)
    at_rates = jax.vmap(lambda rate: drop(x, dataclasses.replace(base, rates={"sublayer": rate}), "sublayer"))
    for one, rate in zip(jax.jit(at_rates)(rates), rates, strict=True):
        np.testing.assert_allclose(one, dropped(x, dropout(rate=rate), "sublayer"), rtol=1e-6)


def test_short_floats_stay_short() -> None:
    y = dropped(jnp.full((31, 37), 3, jnp.bfloat16), dropout(), "sublayer")
    assert y.dtype == jnp.bfloat16
    assert np.unique(y.astype(jnp.float32)).tolist() == [0.0, 6.0]
