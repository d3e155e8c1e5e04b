"""What a run prints: its model, corpus, devices and batches, and sample translations."""

from collections.abc import Sequence

import jax

from experiments.runs.system import System
from experiments.runtime import distributed
from transformer.data import token_dataset
from transformer.data.batches.plan import BatchPlan
from transformer.data.corpus import Pair
from transformer.data.pairs import too_few_pairs
from transformer.data.token_dataset import Batch
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.spec import Spec
from transformer.training import freezing
from transformer.training.state import parameter_count


def lines(spec: Spec, system: System, plan: BatchPlan) -> list[str]:
    """Returns the description of a run's model, corpus, devices and batches."""
    report, data = plan.report(), spec.data
    corpus = spec.data.mixture or {"grammar": "the generated corpus", "files": data.path}.get(data.source, data.name)
    trained, frozen = map(parameter_count, freezing.partition(system.param_shapes, spec.train))
    model = (
        f"{spec.model.architecture}, {trained + frozen:,} parameters" + (f", {trained:,} trained" if frozen else ""),
        f"{data.direction} of {corpus}",
        f"vocabulary {system.tokenizer.vocab_size:,}",
        _devices(spec),
    )
    batches = (
        f"{report['pairs']:,} training pairs ({report['dropped']:,} left out)",
        f"{report['batches_per_epoch']:,} batches per epoch in {len(report['shapes'])} shapes",
        *([f"{report['pairs_per_row']:.1f} pairs per row"] if report["pairs_per_row"] > 1 else []),
        f"padding efficiency {report['padding_efficiency']:.3f}",
        f"{report['tokens_per_batch']:,.0f} source and target tokens per batch",
    )
    return ["; ".join(model), "; ".join(batches), *too_few_pairs(data, report["pairs"] + report["dropped"])]


def samples(pairs: Sequence[Pair], texts: Sequence[str], count: int) -> list[str]:
    """Returns lines with `count` translations: the same sentences each time, evenly spaced over the split."""
    shown = []
    for index in (len(texts) * number // count for number in range(count)):
        pair = pairs[index]
        shown += [f"  source      {pair.source}", f"  reference   {pair.target}", f"  translation {texts[index]}", ""]
    return shown


def _devices(spec: Spec) -> str:
    """Returns the devices, and how they share the work, as text."""
    parallel, devices = spec.parallel, jax.devices()
    fsdp, tensor = f"fsdp {parallel.fsdp}" * (parallel.fsdp > 1), f"tensor {parallel.tensor}" * (parallel.tensor > 1)
    processes = f" in {jax.process_count()} processes" if distributed.is_distributed() else ""
    axes = ", ".join(filter(None, (parallel.mode, fsdp, tensor)))
    return f"{len(devices)} × {devices[0].device_kind}{processes} ({axes})"


def sentences(batch: Batch, tokenizer: Tokenizer) -> list[dict[str, str]]:
    """Returns the sentence pairs of a batch as text."""
    decode = tokenizer.decode
    return [
        {"source": decode(source), "target": decode(target)}
        for rows in zip(batch.source.tolist(), batch.target.tolist(), strict=True)
        for source, target in zip(*map(token_dataset.sentences_in_row, rows), strict=True)
    ]
