"""One training run in its folder, from the first batch to the scored test split."""

import copy
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax

from experiments.runs import pretrained, system
from experiments.runs.alignment_error import Watched
from experiments.runs.scoring import evaluate_split, picture
from experiments.runs.training_data import TrainingSplit
from experiments.runs.workdir import Workdir
from experiments.runtime import distributed, preflight, xla_env
from experiments.runtime.progress import Watch, number
from experiments.runtime.signals import Interrupts
from transformer.data import doctor, token_dataset
from transformer.data.batches.buckets import assign
from transformer.data.batches.evaluation import ordered_batches
from transformer.data.corpus import Pair, open_corpus
from transformer.data.token_dataset import Batch
from transformer.data.tokenizers.marian import load_tokenizer
from transformer.evaluation import bleu
from transformer.spec import Spec
from transformer.training import loop, metrics
from transformer.training.checkpoint import Checkpoints, evaluated, set_aside_damaged
from transformer.training.state import Params, TrainState, count, finite


class Run:
    """What `experiments.train` does, step by step.

    Args:
      spec: the experiment.
      path: its folder.
      allowed: settings that may differ from those the run in the folder began with.
      clock: seconds, from any origin.
      name: stands before what is printed, where several runs are trained together.
      interrupts: what says that training is to end; nothing does by default.

    Raises:
      ValueError, FileNotFoundError: a setting, a corpus or the folder is not as it must be.
    """

    def __init__(
        self,
        spec: Spec,
        path: str,
        allowed: Sequence[str],
        clock: Callable[[], float],
        name: str = "",
        interrupts: Interrupts | None = None,
    ) -> None:
        self.spec = spec
        self.clock = clock
        self.interrupts = interrupts or Interrupts()
        self.workdir = Workdir(path, distributed.leader())
        self.watch = Watch(spec.train.steps, name, quiet=not distributed.leader())
        with distributed.leader_first():
            self.corpus = open_corpus(spec.data, xla_env.cache() / "corpus")
            split = TrainingSplit.of(spec.data, self.corpus)
            self.validation = self.corpus.split(spec.data.validation_split)
            self.faults = doctor.at_start(split.pairs, self.validation, spec.data)
            adopted = self._adopted(allowed)
            self.workdir.begin(spec, allowed)
            if adopted and self.workdir.writes and not self.workdir.tokenizer.exists():
                adopted.tokenizer.save(self.workdir.tokenizer)
            given = adopted.params if adopted else None
            self.system = system.System.make(spec, split.tokenizer(self.workdir), given)
            self.plan = self.system.plan(split.tokenized(self.system.tokenizer))
            self.workdir.begin_with(self.system.tokenizer.fingerprint, self.plan.fingerprint, allowed)
            self._write_versions()
            self._prepare_checkpoints()
        self.validation_batches = self.in_order(self.validation)
        self.aligned = Watched(self.system, self.validation)
        self.checkpoints = self._open_checkpoints()
        self.judge: Callable[[int, dict[str, float]], None] = lambda step, values: None  # told of each evaluation
        self._result: tuple[Params, list[int]] | None = None

    def _adopted(self, allowed: Sequence[str]) -> pretrained.Adopted | None:
        """The model that the run begins from, until it has checkpoints of its own."""
        path = self.spec.train.init_from
        return pretrained.adopt(path, self.spec.model, allowed) if path and not self.workdir.steps() else None

    def beside(self, spec: Spec, path: str, name: str) -> "Run":
        """A run in another folder whose spec differs in numbers alone; corpus and programs serve both.

        Raises:
          ValueError: the folder is that of another run, or has another tokenizer.
        """
        other = copy.copy(self)
        other.spec, other.workdir = spec, Workdir(path)
        other.workdir.begin(spec)
        if not other.workdir.tokenizer.exists():
            self.system.tokenizer.save(other.workdir.tokenizer)
        elif load_tokenizer(other.workdir.tokenizer).fingerprint != self.system.tokenizer.fingerprint:
            raise ValueError(f"{other.workdir.tokenizer} is not the tokenizer of {self.workdir.path}")
        other.workdir.begin_with(self.system.tokenizer.fingerprint, self.plan.fingerprint)
        other._write_versions()
        other.system = self.system.beside(spec)
        other.plan = self.plan.reseeded(spec.train.seed)
        other.watch = self.watch.beside(name)
        other._prepare_checkpoints()
        other.checkpoints = other._open_checkpoints()
        other._result = None
        return other

    def _prepare_checkpoints(self) -> None:
        """Makes sure that checkpoints can be written, and that damaged ones are in nobody's way."""
        if self.workdir.writes:
            preflight.disk(self.workdir.checkpoints, self.system.state_shapes(), self.spec.checkpoint.keep)
            set_aside_damaged(self.workdir.checkpoints, self.watch.line)

    def _open_checkpoints(self) -> Checkpoints:
        return Checkpoints(self.workdir.checkpoints, self.spec.checkpoint.keep, self.watch.line)

    def _write_versions(self) -> None:
        self.devices_before = len(self.workdir.devices())
        self.workdir.write_versions(f"{device.platform}:{device.device_kind}" for device in jax.devices())

    def in_order(self, pairs: Sequence[Pair]) -> list[Batch]:
        """Batches of `pairs`, all of them once, for evaluation."""
        tokenized = token_dataset.tokenize(pairs, self.system.tokenizer, None)
        tokens, rows = self.spec.data.tokens_per_batch, self.system.placement.devices
        # Two shapes, of the plan's where it has rows of one pair: to compile for more takes longer than the padding
        # that they save.
        if (width := self.spec.data.packed_width) is None:
            shapes = dict.fromkeys((self.plan.shapes[len(self.plan.shapes) // 2], self.plan.shapes[-1]))
        else:
            source, target = tokenized.lengths
            short = (source <= width) & (target <= width)
            lengths = source[short], target[short]
            shapes = assign(lengths, tokens, 2, rows, self.spec.data.width_multiple).shapes if short.any() else ()
        return [batch for _, batch in ordered_batches(tokenized, tokens, tuple(shapes), row_multiple=rows)]

    def describe(self) -> None:
        """Prints what is about to be trained on what."""
        report, system, data = self.plan.report(), self.system, self.spec.data
        corpus = {"grammar": "the generated corpus", "files": data.path}.get(data.source, data.name)
        facts = (
            f"{self.spec.model.architecture}, {count(system.shapes):,} parameters",
            f"{data.direction} of {corpus}",
            f"vocabulary {system.tokenizer.vocab_size}",
            _devices(self.spec),
        )
        self.watch.line("; ".join(facts))
        facts = (
            f"{report['pairs']:,} training pairs ({report['dropped']} left out)",
            f"{report['batches_per_epoch']} batches an epoch in {len(report['shapes'])} shapes",
            *([f"{report['pairs_per_row']:.1f} pairs a row"] if report["pairs_per_row"] > 1 else []),
            f"padding efficiency {report['padding_efficiency']:.3f}",
            f"{report['tokens_per_batch']:,.0f} tokens a batch, both sides",
        )
        self.watch.line("; ".join(facts))
        for fault in self.faults:
            self.watch.line(fault.headline())

    def save_pretrained(self) -> None:
        """Saves the model that the run starts from, if it has one, as the checkpoint of step 0."""
        if self.system.given is not None:
            self._save(0, self.system.fresh_state())
            self.checkpoints.wait()

    def saved(self) -> int | None:
        """The step of the newest checkpoint, if there is one."""
        return max(self.checkpoints.steps(), default=None)

    def restored(self, step: int) -> TrainState:
        """The state of a checkpoint."""
        return self.checkpoints.restore(step, self.system.state_shapes())

    def begin(self, start: int) -> tuple[loop.Hooks, list[dict[str, Any]]]:
        """What happens beside training from update `start` on, and what evaluations have said up to there."""
        self.recorder = metrics.Recorder(self.workdir.path, start) if self.workdir.writes else metrics.Unrecorded()
        past = [event for event in metrics.read(self.workdir.path) if event["split"] == self.spec.data.validation_split]
        hooks = loop.Hooks(
            log=self._log,
            evaluate=self._evaluate,
            save=self._save,
            best=self._save_best,
            spoiled=self._spoiled,
            progress=self.watch.advance,
            clock=self.clock,
            check=self.interrupts.after,
            alone=not distributed.several(),
        )
        return hooks, past

    def _log(self, step: int, values: dict[str, float]) -> None:
        self.recorder.write(step, "train", values)
        self.watch.metrics(step, values)

    def _save(self, step: int, state: TrainState) -> None:
        if not finite(evaluated(state)):
            raise FloatingPointError(f"parameters are not finite after update {step}; they are not saved")
        self.checkpoints.save(step, state)

    def _spoiled(self, update: int) -> None:
        """Keeps the sentences of an update whose gradient was not finite."""
        each = self.spec.train.accumulate
        batches = {number: self.plan.batch(number) for number in range((update - 1) * each, update * each)}
        decode = self.system.tokenizer.decode
        path = self.workdir.spoil(
            update,
            {
                number: [
                    {"source": decode(source), "target": decode(target)}
                    for rows in zip(batch.source.tolist(), batch.target.tolist(), strict=True)
                    for source, target in zip(*map(token_dataset.sentences, rows), strict=True)
                ]
                for number, batch in batches.items()
            },
        )
        self.watch.line(f"update {update} is skipped: its gradient is not finite; its sentences are in {path}")

    def learning_rate_factor(self, start: int) -> float:
        """By what rollbacks up to update `start` have divided the learning rate."""
        events = metrics.read(self.workdir.path)
        return 0.5 ** sum(event["split"] == _ROLLBACK and event["step"] <= start for event in events)

    def roll_back(self, reason: object) -> None:
        """Notes that training goes on from the newest checkpoint, with half the learning rate."""
        start = self.saved() or 0
        factor = 0.5 * self.learning_rate_factor(start)
        self.recorder.write(start, _ROLLBACK, {"learning_rate_factor": factor})
        self.recorder.close()
        self.watch.line(f"{reason}: back to update {start}, with {factor:g} times the learning rate")

    def _save_best(self, step: int, state: TrainState) -> None:
        best = Checkpoints(self.workdir.best, keep=1)
        best.save(step, state)
        best.close()

    def _evaluate(self, step: int, state: TrainState) -> dict[str, float]:
        with self.interrupts.unguarded():
            return self._evaluated(step, state)

    def _evaluated(self, step: int, state: TrainState) -> dict[str, float]:
        spec, split = self.spec, self.spec.data.validation_split
        params = self.system.on_devices(evaluated(state))
        values, looks = self.system.loss_and_looks(params, self.validation_batches)
        looks |= self.aligned(params)
        pairs = self.validation[: spec.evaluate.sentences]
        if len(pairs):
            greedy = dataclasses.replace(spec.decode, method="greedy")
            found = self.system.translator(params, greedy).translate([pair.source for pair in pairs])
            texts = [translations[0].text for translations in found]
            references = [pair.target for pair in pairs]
            values["bleu"] = bleu.bleu(texts, references)
            if spec.data.uncased:  # case counts in BLEU, of which such a model knows nothing
                values["bleu_paper"] = bleu.paper_bleu(texts, references, spec.data.target_language)
            self.workdir.write_translations(split, step, texts)
            self._show(step, split, pairs, texts)
        self.recorder.write(step, split, values | looks)
        self.watch.line(f"step {step} {split}: " + ", ".join(number(*item) for item in values.items()))
        self.judge(step, values)
        return values

    def _show(self, step: int, split: str, pairs: Sequence[Pair], texts: Sequence[str]) -> None:
        """Prints some translations, the same sentences each time, from all over the split."""
        shown = [len(texts) * number // self.spec.evaluate.samples for number in range(self.spec.evaluate.samples)]
        lines = []
        for index in shown:
            pair = pairs[index]
            lines += [
                f"  source      {pair.source}",
                f"  reference   {pair.target}",
                f"  translation {texts[index]}",
                "",
            ]
        for line in lines:
            self.watch.line(line)
        if lines:
            self.recorder.text(step, f"{split}/translations", "\n".join(f"    {line}" for line in lines))

    def result(self) -> tuple[Params, list[int]]:
        """The parameters that stand for the finished run, and the steps they come from."""
        self._result = self._result or self.system.result(self.workdir)
        return self._result

    def finish(self, begun: float) -> dict[str, float]:
        """Opens the test split, once: translates and scores it, and draws one sentence's attention."""
        params, steps = self.result()
        split = self.spec.data.test_split
        self.watch.line(
            f"testing the mean of checkpoints {', '.join(map(str, steps))}"
            if len(steps) > 1
            else f"testing checkpoint {steps[0]}"
        )
        pairs = self.corpus.split(split)
        scores, texts = evaluate_split(self.system, params, pairs, self.spec.decode)
        self.workdir.write_translations(split, steps[-1], texts)
        self._show(steps[-1], split, pairs, texts)
        values = {name: scores[name] for name in ("bleu", "chrf", "bleu_paper")}
        self.recorder.write(steps[-1], split, values)
        self.recorder.close()
        self.checkpoints.close()
        drawn = self.workdir.figures / "cross_attention.png"
        if distributed.several():
            self.watch.line("no attention picture: it is drawn by a process that is alone")
        elif picture(self.system, params, pairs, drawn):
            self.watch.line(f"attention picture: {drawn}")
        self.watch.line(
            f"{split}: " + ", ".join(number(*item) for item in values.items()) + f" ({scores['signature']})"
        )
        self.watch.line(f"{(self.clock() - begun) / 60:.1f} minutes")
        return values


def _devices(spec: Spec) -> str:
    """All devices, and how they share the work, in words."""
    where, every = spec.parallel, jax.devices()
    axes = (where.mode, f"fsdp {where.fsdp}" * (where.fsdp > 1), f"tensor {where.tensor}" * (where.tensor > 1))
    of = f" in {jax.process_count()} processes" if distributed.several() else ""
    return f"{len(every)} × {every[0].device_kind}{of} ({', '.join(filter(None, axes))})"


_ROLLBACK = "rollback"  # the split of the event that says so
