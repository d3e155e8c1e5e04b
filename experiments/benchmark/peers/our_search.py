"""Peer: the translator of `experiments.translate`; the second argument is its --dtype."""

import functools
import importlib.metadata
import sys
from collections.abc import Callable
from typing import Any

from experiments.benchmark.peers import worker
from experiments.runs.workdir import Workdir
from experiments.runtime import xla_env


def make_translator(
    settings: dict[str, Any], dtype: str | None = None
) -> tuple[dict[str, str], Callable[[list[str]], list[str]]]:
    """Returns the version of JAX and the translate function."""
    import dataclasses

    spec = Workdir(settings["workdir"]).spec()
    xla_env.prepare_for(spec.parallel)
    from experiments.runs import loading

    system, params, _ = loading.load([settings["workdir"]], dtype)
    decode = dataclasses.replace(
        system.spec.decode,
        method="beam" if settings["beam_size"] > 1 else "greedy",
        beam_size=settings["beam_size"],
        length_penalty=settings["length_penalty"],
        batch_size=settings["batch_size"],
    )
    translator = system.translator(params, decode)
    versions = {"jax": importlib.metadata.version("jax")}
    return versions, lambda lines: [hypotheses[0].text for hypotheses in translator.translate(lines)]


if __name__ == "__main__":
    sys.exit(worker.serve_translator(functools.partial(make_translator, dtype=(sys.argv[2:] or [None])[0])))
