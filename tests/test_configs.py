"""Every config is a valid spec, has a lab note, and builds and trains at a small size.

A config module is any file of configs/ that has `get_config`. One that takes an argument, `configs/x.py:big`, lists its
arguments in `ARGUMENTS`; the first of them is the default.
"""

import ast
import copy
import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import numpy as np
import pytest

from transformer.models.build import abstract_model
from transformer.spec import PAD, UNK, Spec
from transformer.training import state as states
from transformer.training import step as steps
from transformer.training.parallel import MeshPartitioner

ROOT = Path(__file__).parents[1]
WIDTH = 4  # of sentences: the number of unrolled steps of a recurrence, so that no remainder is compiled
LAB_NOTE = ("Source:", "Hardware:", "Time:", "Score:", "Command:")

# Compiles faster; the slower program runs once.
QUICKLY = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
}

# These parameters add the same number to every score of a query, which the softmax cancels: only rounding changes.
NO_GRADIENT = ("to_key.bias",)


def has_get_config(path: Path) -> bool:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef) and node.name == "get_config" for node in tree.body)


def module_of(path: Path) -> ModuleType:
    return importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


PATHS = [path for path in sorted((ROOT / "configs").rglob("*.py")) if has_get_config(path)]
VARIANTS = [(path, argument) for path in PATHS for argument in getattr(module_of(path), "ARGUMENTS", (None,))]
VARIANT_NAMES = [name_of(path) + (f":{argument}" if argument else "") for path, argument in VARIANTS]
every_variant = pytest.mark.parametrize(("path", "argument"), VARIANTS, ids=VARIANT_NAMES)


def load(path: Path, argument: str | None) -> dict[str, Any]:
    get_config = module_of(path).get_config
    return (get_config(argument) if argument else get_config()).to_dict()


def note_problems(docstring: str | None) -> list[str]:
    return [f"no {word}" for word in LAB_NOTE if word not in (docstring or "")]


def shrink(config: dict[str, Any]) -> dict[str, Any]:
    """Returns the config at a size that compiles in seconds; only sizes change."""
    small = copy.deepcopy(config)
    heads = small["model"]["heads"]  # unchanged, because ablations may change it
    sizes = {
        "model": {
            "d_model": 2 * heads * max(1, 4 // heads),  # even, at least 8, a multiple of heads
            "d_ff": 12,
            "d_k": 3,
            "d_v": 3,
            "encoder_layers": 1,
            "decoder_layers": 1,
        },
        "data": {"vocab_size": 37, "max_length": 7, "tokens_per_batch": 35, "buckets": 1},
        "train": {"steps": 2, "loss_chunk": 15},
    }
    for section, changes in sizes.items():
        # A size that is derived stays derived.
        small[section] |= {key: size for key, size in changes.items() if small[section][key] is not None}
    return small


def trained(path: Path, argument: str | None) -> str:
    """Returns the settings of the model and of training at the small size."""
    small = shrink(load(path, argument))
    return repr([sorted(small[section].items()) for section in ("model", "train")])


# Arguments change sizes, optimisation and data: outside of slow tests, only the defaults of these files train a step,
# and of files whose model and training are equal at this size, the first. They cover architectures and optimizers.
FAST = ("quickstart", "rnnsearch", "seq2seq", "multi30k")
DEFAULTS = {path: argument for path, argument in reversed(VARIANTS) if path.stem in FAST}
FIRST = {trained(path, argument): (path, argument) for path, argument in DEFAULTS.items()}.values()
every_variant_others_slow = pytest.mark.parametrize(
    ("path", "argument"),
    [
        pytest.param(path, argument, id=name, marks=[] if (path, argument) in FIRST else pytest.mark.slow)
        for (path, argument), name in zip(VARIANTS, VARIANT_NAMES, strict=True)
    ],
)


def test_configs_are_found() -> None:
    assert ROOT / "configs/base.py" in PATHS


@every_variant
def test_config_is_a_spec(path: Path, argument: str | None) -> None:
    config = load(path, argument)
    assert Spec.from_config(config).to_dict() == config


@pytest.mark.parametrize("path", [path for path in PATHS if hasattr(module_of(path), "ARGUMENTS")], ids=name_of)
def test_first_argument_is_the_default_and_unknown_ones_are_rejected(path: Path) -> None:
    module = module_of(path)
    assert module.get_config().to_dict() == module.get_config(module.ARGUMENTS[0]).to_dict()
    with pytest.raises(ValueError, match="enormous"):
        module.get_config("enormous")


@pytest.mark.parametrize("path", [path for path in PATHS if name_of(path) != "configs/base.py"], ids=name_of)
def test_config_has_a_lab_note(path: Path) -> None:
    assert note_problems(module_of(path).__doc__) == []


def test_an_incomplete_lab_note_is_reported() -> None:
    assert note_problems("Source: x\nHardware: y\nTime: z\nScore: w\nCommand: v") == []
    assert note_problems("Source: x\nHardware: y\nTime: z\nCommand: v") == ["no Score:"]
    assert note_problems(None) == [f"no {word}" for word in LAB_NOTE]


@every_variant
def test_shrinking_keeps_every_name(path: Path, argument: str | None) -> None:
    config = load(path, argument)
    small = Spec.from_config(shrink(config)).to_dict()
    for section, values in config.items():
        for key, value in values.items():
            if isinstance(value, str | bool) or value is None:
                assert small[section][key] == value, f"{section}.{key}"


def unchanged(before: Any, after: Any) -> list[str]:
    """Returns the names of arrays that are equal in `before` and `after`."""
    pairs = zip(jax.tree.leaves_with_path(before), jax.tree.leaves(after), strict=True)
    still = [path for (path, old), new in pairs if np.array_equal(old, new)]
    return [jax.tree_util.keystr(path, simple=True, separator=".") for path in still]


@every_variant_others_slow
def test_config_builds_and_steps(path: Path, argument: str | None) -> None:
    spec = Spec.from_config(shrink(load(path, argument)))
    model, shapes = states.split(abstract_model(spec.model, spec.data.vocab_size))
    generator = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: generator.normal(0, 0.5, leaf.shape).astype(leaf.dtype), shapes)
    source_BS, target_BT = generator.integers(UNK + 1, spec.data.vocab_size, (2, 4, WIDTH)).astype(np.int32)
    source_BS[1, 3:] = target_BT[2, 2:] = PAD

    placement, numbers = MeshPartitioner(), steps.hyperparams(spec.train, spec.model)
    state = steps.initial_state(params, spec.train, numbers, jax.random.key_data(jax.random.key(1)))
    state, numbers = placement.put_state(state), placement.put_state(numbers)
    arrays = placement.shard(source_BS), placement.shard(target_BT)
    jitted: Any = placement.compile_step(model, spec.train)
    step = jitted.lower(state, *arrays, numbers).compile(QUICKLY)
    for _ in range(spec.train.accumulate - 1):
        state, _ = step(state, *arrays, numbers)
    state, sums = step(state, *arrays, numbers)

    assert sums.sums.weight == 4 * WIDTH - 2
    assert np.isfinite(sums.sums.loss)
    assert 0 < sums.gradient_norm < np.inf
    assert state.step == 1
    still = unchanged(params, state.params)
    assert [name for name in still if not name.endswith(NO_GRADIENT)] == []
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))
