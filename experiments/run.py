"""One training run in its folder, from the first batch to the scored test split."""

import dataclasses
from collections.abc import Callable, Sequence

import jax

from experiments import assemble
from experiments.console import Watch, number
from experiments.scoring import evaluate_split, picture
from experiments.workdir import Workdir
from transformer.data import batching
from transformer.data.corpus import Pair, open_corpus
from transformer.evaluation import bleu
from transformer.spec import Spec
from transformer.training import loop, metrics
from transformer.training.checkpoint import Checkpoints, evaluated
from transformer.training.state import TrainState, count


class Run:
    """What `experiments.train` does, step by step.

    Args:
      spec: the experiment.
      path: its folder.
      allowed: settings that may differ from those the run in the folder began with.
      clock: seconds, from any origin.

    Raises:
      ValueError, FileNotFoundError: a setting, a corpus or the folder is not as it must be.
    """

    def __init__(self, spec: Spec, path: str, allowed: Sequence[str], clock: Callable[[], float]) -> None:
        self.spec = spec
        self.clock = clock
        self.workdir = Workdir(path)
        self.corpus = open_corpus(spec.data)
        train_pairs = self.corpus.split(spec.data.train_split)
        self.validation = self.corpus.split(spec.data.validation_split)
        self.workdir.begin(spec, allowed)
        self.system = assemble.System.make(spec, assemble.tokenizer_for(spec, train_pairs, self.workdir))
        self.workdir.write_versions(f"{device.platform}:{device.device_kind}" for device in jax.devices())
        self.plan = self.system.plan(train_pairs)
        pairs = batching.tokenize(self.validation, self.system.tokenizer, None)
        # Two of the plan's shapes: to compile for all of them takes longer than the padding that they save.
        shapes = dict.fromkeys((self.plan.shapes[len(self.plan.shapes) // 2], self.plan.shapes[-1]))
        self.validation_batches = [
            batch
            for _, batch in batching.ordered_batches(
                pairs, spec.data.tokens_per_batch, tuple(shapes), row_multiple=self.system.placement.devices
            )
        ]
        self.checkpoints = Checkpoints(self.workdir.checkpoints, spec.checkpoint.keep)
        self.watch = Watch(spec.train.steps, 0)

    def describe(self) -> None:
        """Prints what is about to be trained on what."""
        report, system, data = self.plan.report(), self.system, self.spec.data
        corpus = {"grammar": "the generated corpus", "files": data.path}.get(data.source, data.name)
        facts = (
            f"{self.spec.model.architecture}, {count(system.shapes):,} parameters",
            f"{data.direction} of {corpus}",
            f"vocabulary {system.tokenizer.vocab_size}",
            f"{system.placement.devices} × {jax.devices()[0].device_kind} ({self.spec.parallel.mode})",
        )
        self.watch.line("; ".join(facts))
        facts = (
            f"{report['pairs']:,} training pairs ({report['dropped']} left out)",
            f"{report['batches_per_epoch']} batches an epoch in {len(report['shapes'])} shapes",
            f"padding efficiency {report['padding_efficiency']:.3f}",
            f"{report['tokens_per_batch']:,.0f} tokens a batch, both sides",
        )
        self.watch.line("; ".join(facts))

    def train(self) -> None:
        """Trains from the newest checkpoint, or from the start, to the end."""
        system, spec = self.system, self.spec
        saved = self.checkpoints.steps()
        shapes = system.state_shapes()
        state = self.checkpoints.restore(saved[-1], shapes) if saved else None
        position = 0 if state is None else int(state.batch)
        # The first shapes are being compiled while parameters are drawn.
        step = system.placement.compile_shapes(
            system.model, spec.train, shapes, system.numbers, self._shapes_by_need(position)
        )
        state = system.fresh_state() if state is None else state
        start = int(state.step)
        self.recorder = metrics.Recorder(self.workdir.path, start)
        self.describe()
        if saved:
            self.watch.line(f"continuing after step {start}")
        past = [event for event in metrics.read(self.workdir.path) if event["split"] == spec.data.validation_split]
        hooks = loop.Hooks(self._log, self._evaluate, self._save, self._save_best, self.watch.advance, self.clock)
        batches = system.batches(self.plan, position)
        state, numbers = (system.placement.replicate(tree) for tree in (state, system.numbers))
        with self.watch:
            loop.fit(spec, step, state, numbers, start, batches, hooks, past)
        self.checkpoints.wait()

    def _shapes_by_need(self, position: int) -> list[tuple[int, int, int]]:
        """The plan's shapes, those of the next batches first."""
        epoch = self.plan.batches_per_epoch()
        near = (self.plan.shape(number) for number in range(position, position + epoch))
        shapes = dict.fromkeys((*near, *self.plan.shapes))
        return [(shape.rows, shape.source, shape.target) for shape in shapes]

    def _log(self, step: int, values: dict[str, float]) -> None:
        self.recorder.write(step, "train", values)
        self.watch.metrics(step, values)

    def _save(self, step: int, state: TrainState) -> None:
        self.checkpoints.save(step, self.system.placement.host(state))

    def _save_best(self, step: int, state: TrainState) -> None:
        best = Checkpoints(self.workdir.best, keep=1)
        best.save(step, self.system.placement.host(state))
        best.close()

    def _evaluate(self, step: int, state: TrainState) -> dict[str, float]:
        spec, split = self.spec, self.spec.data.validation_split
        params = self.system.on_devices(evaluated(self.system.placement.host(state)))
        values = self.system.loss(params, self.validation_batches)
        pairs = self.validation[: spec.evaluate.sentences]
        if len(pairs):
            greedy = dataclasses.replace(spec.decode, method="greedy")
            found = self.system.translator(params, greedy).translate([pair.source for pair in pairs])
            texts = [translations[0].text for translations in found]
            values["bleu"] = bleu.bleu(texts, [pair.target for pair in pairs])
            self.workdir.write_translations(split, step, texts)
            self._show(step, split, pairs, texts)
        self.recorder.write(step, split, values)
        self.watch.line(f"step {step} {split}: " + ", ".join(number(*item) for item in values.items()))
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

    def finish(self, begun: float) -> dict[str, float]:
        """Opens the test split, once: translates and scores it, and draws one sentence's attention."""
        params, steps = self.system.result(self.workdir)
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
        if picture(self.system, params, pairs, drawn):
            self.watch.line(f"attention picture: {drawn}")
        self.watch.line(
            f"{split}: " + ", ".join(number(*item) for item in values.items()) + f" ({scores['signature']})"
        )
        self.watch.line(f"{(self.clock() - begun) / 60:.1f} minutes")
        return values
