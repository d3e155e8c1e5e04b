"""Every variant of configs/ablations and configs/sweeps changes the keys that it names, and changes the loss."""

import dataclasses
import functools
import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import algoperf_wmt, multi30k, quickstart, variants, wmt14_en_de
from configs.sweeps import mechanisms
from experiments.sweeps import cells
from transformer.models.build import abstract_model
from transformer.spec import ModelSpec, Spec
from transformer.training import state as states
from transformer.training import step as steps

ROOT = Path(__file__).parents[1]
BASES: dict[str, Callable[[], Any]] = {
    "published": wmt14_en_de.get_config,
    "algoperf": algoperf_wmt.get_config,
    "multi30k": multi30k.get_config,
    "small": lambda: multi30k.get_config("small"),
    "fast": lambda: multi30k.get_config("fast"),
    "quickstart": quickstart.get_config,
    **dict.fromkeys(mechanisms.ARGUMENTS, quickstart.get_config),
}


def module_of(path: Path) -> ModuleType:
    return importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))


PATHS = [path for folder in ("ablations", "sweeps") for path in sorted((ROOT / "configs" / folder).glob("[!_]*.py"))]
SWEEPS = [(path, argument) for path in PATHS for argument in getattr(module_of(path), "ARGUMENTS", ("quickstart",))]
every_sweep = pytest.mark.parametrize(
    ("path", "argument"), SWEEPS, ids=[f"{path.stem}:{argument}" for path, argument in SWEEPS]
)


def sweep_of(path: Path, argument: str) -> variants.Sweep:
    module = module_of(path)
    return module.get_sweep(argument) if hasattr(module, "ARGUMENTS") else module.get_sweep()


def sweep_for(path: Path) -> variants.Sweep:
    """Returns the sweep for quickstart.py, or for the base that it has."""
    arguments = getattr(module_of(path), "ARGUMENTS", ("quickstart",))
    return sweep_of(path, "quickstart" if "quickstart" in arguments else arguments[0])


def count(spec: ModelSpec, vocabulary: int) -> int:
    return states.parameter_count(states.split(abstract_model(spec, vocabulary))[1])


def test_sweeps_are_found() -> None:
    assert {path.stem for path in PATHS} >= {"table3", "anatomy", "lineage", "mechanisms", "scaling"}


@every_sweep
def test_every_variant_changes_exactly_the_keys_that_it_names(path: Path, argument: str) -> None:
    base = BASES["algoperf" if path.stem == "algoperf" else argument]().to_dict()
    sweep = sweep_of(path, argument)
    expanded = cells.expand(base, sweep, [0], Path())
    assert [cell.variant for cell in expanded] == list(sweep)
    differing = {}
    for cell in expanded:
        config = cell.spec.to_dict()
        differing[cell.variant] = {
            f"{section}.{key}" for section, keys in config.items() for key, value in keys.items()
            if value != base[section][key]
        }  # fmt: skip
    # The direction is always named, and so is a key that differs in other variants of a grid.
    anywhere = set().union(*differing.values(), {"data.direction"})
    for variant, keys in differing.items():
        assert keys <= set(sweep[variant]) <= anywhere, variant


@pytest.mark.parametrize(
    "path", [path for path in PATHS if hasattr(module_of(path), "ARGUMENTS")], ids=lambda p: p.stem
)
def test_unknown_arguments_are_rejected(path: Path) -> None:
    assert module_of(path).get_sweep() == module_of(path).get_sweep(module_of(path).ARGUMENTS[0])
    with pytest.raises(ValueError, match="enormous"):
        module_of(path).get_sweep("enormous")


def test_table_3_has_exactly_one_published_value_per_row() -> None:
    table3 = module_of(ROOT / "configs/ablations/table3.py")
    assert list(table3.get_sweep()) == list(table3.PUBLISHED)
    assert set(table3.get_sweep("multi30k")) <= set(table3.PUBLISHED)


def test_parameters_of_table_3_are_those_of_the_paper() -> None:
    """In millions, with 37,000 tokens; rows without a number equal the base. One layer of each stack is counted.

    The paper does not state the number of embeddings, so differences to the base are compared, and totals more roughly.
    """
    table3 = module_of(ROOT / "configs/ablations/table3.py")
    sizes = {}
    for cell in cells.expand(wmt14_en_de.get_config().to_dict(), table3.get_sweep(), [0], Path()):
        model, embeddings = cell.spec.model, 37_000 * cell.spec.model.d_model
        positions = 2 * 512 * model.d_model if model.positions == "learned" else 0
        pair = count(dataclasses.replace(model, encoder_layers=1, decoder_layers=1), 37_000) - embeddings - positions
        sizes[cell.variant] = (embeddings + positions + model.encoder_layers * pair) / 1e6
    for variant, published in table3.PUBLISHED.items():
        expected = published.get("parameters", 65)
        assert sizes[variant] == pytest.approx(expected, rel=0.07), variant
        if variant != "big" and not variant.startswith("C d_model"):  # embeddings of another size
            assert sizes[variant] - sizes["base"] == pytest.approx(expected - 65, abs=1.1), variant


def test_parameters_that_anatomy_adds_or_removes() -> None:
    base = quickstart.get_config().to_dict()
    sweep = sweep_of(ROOT / "configs/ablations/anatomy.py", "quickstart")
    expanded = cells.expand(base, sweep, [0], Path())
    models = {cell.spec.model: 0 for cell in expanded}  # variants that only change training have the base's model
    models = {model: count(model, 1500) for model in models}
    sizes = {cell.variant: models[cell.spec.model] for cell in expanded}
    added = {variant: size - sizes["base"] for variant, size in sizes.items() if size != sizes["base"]}
    assert added == {
        "cosine scores": 6 * 4,
        "no norm": -10 * 256,
        "pre-norm": 2 * 256,
        "no feed-forward": -4 * (129 * 256 + 257 * 128 + 256),
        "learned positions": 2 * 512 * 128,
        "relative positions": 4 * 33 * 32,
        "untied embeddings": 2 * 1500 * 128,
    }


# The base of algoperf.py has pre-norm; √d_k is not 2, another of its scales.
ALGOPERF = {"norm": "pre", "heads": 4}
SMALL = {"d_model": 32, "d_ff": 12, "heads": 8}
ONE_LAYER = {"encoder_layers": 1, "decoder_layers": 1}  # for variants that do not change the number of layers


@functools.cache
def loss(spec: Spec) -> float:
    """Returns the loss of a batch with dropout, for random parameters, none of which is zero or one."""
    vocabulary, generator = 37, np.random.default_rng(0)
    shapes = abstract_model(spec.model, vocabulary)
    model, params = states.split(shapes)
    params = jax.tree.map(lambda leaf: generator.normal(0.1, 0.4, leaf.shape).astype(np.float32), params)
    source_BS, target_BT = (jnp.asarray(generator.integers(4, vocabulary, (3, width))) for width in (7, 5))
    numbers = steps.hyperparams(spec.train, spec.model)

    def run(params: Any) -> jax.Array:
        dropout = steps.Dropout.from_key(jax.random.key(0), numbers["dropout"])
        return steps.training_sums(model, spec.train, params, source_BS, target_BT, numbers, dropout).loss

    return float(jax.jit(run, compiler_options={"xla_backend_optimization_level": 0})(params))


SWITCHED = [
    (path, variant)
    for path in PATHS
    if path.parent.name == "ablations"
    for variant, changes in sweep_for(path).items()
    if changes and not set(changes) <= {"train.steps", "train.warmup_steps"}
]


def changed_keys(path: Path, variant: str) -> frozenset[str]:
    return frozenset(sweep_for(path)[variant])


# Only the first variant with the same keys runs by default, of all files; the others are slow tests.
FIRST = {changed_keys(path, variant): (path, variant) for path, variant in reversed(SWITCHED)}
CASES = [
    pytest.param(
        path,
        variant,
        id=f"{path.stem}:{variant}",
        marks=() if FIRST[changed_keys(path, variant)] == (path, variant) else pytest.mark.slow,
    )
    for path, variant in SWITCHED
]


@pytest.mark.parametrize(("path", "variant"), CASES)
def test_every_variant_changes_the_loss(path: Path, variant: str) -> None:
    """At a size that compiles in seconds, with the changes scaled to it."""
    large = quickstart.get_config().to_dict()
    changes = dict(sweep_for(path)[variant])
    base = large | {"model": large["model"] | SMALL | (ALGOPERF if path.stem == "algoperf" else {})}
    if not {f"model.{name}" for name in ONE_LAYER} & set(changes):
        base["model"] |= ONE_LAYER
    for key, value in changes.items():
        section, _, name = key.partition(".")
        if name in SMALL:  # the same multiple of the small size
            changes[key] = max(1, round(SMALL[name] * value / large[section][name]))
    plain, changed = cells.expand(base, {"base": {}, variant: changes}, [0], Path())
    assert np.isfinite(loss(changed.spec))
    assert abs(loss(changed.spec) - loss(plain.spec)) > 1e-4


def test_grids_have_all_combinations() -> None:
    """The sizes of the studies; their cells are what a sweep costs."""
    sizes = {grid: len(mechanisms.get_sweep(grid)) for grid in mechanisms.ARGUMENTS}
    assert sizes == {"scaling": 10, "depth": 36, "heads": 6, "scores": 6, "smoothing": 5}
    for name, size in {"positions": 6, "scaling": 20}.items():
        assert len(module_of(ROOT / f"configs/sweeps/{name}.py").get_sweep()) == size
    lineage, data_size = (
        module_of(ROOT / f"configs/sweeps/{name}.py").get_sweep("small") for name in ("lineage", "data_size")
    )
    assert len(data_size) == 4 * len(lineage) == 20


def test_a_part_that_the_base_lacks_is_left_out() -> None:
    anatomy = module_of(ROOT / "configs/ablations/anatomy.py")
    assert not {"no dropout", "R-Drop", "post-norm"} & set(anatomy.get_sweep())
    assert {"no dropout", "R-Drop", "pre-norm"} <= set(anatomy.get_sweep("small"))
    dropped = {f"model.dropout_{kind}" for kind in ("embedding", "sublayer", "word")}
    assert set(anatomy.get_sweep("fast")["no dropout"]) == dropped
