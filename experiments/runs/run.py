"""One training run in its folder, from the first batch to the scored test split."""

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from experiments.runs import description, goodput, loading, preparation, pretrained, system, trackers
from experiments.runs.alignment_error import AlignmentMonitor
from experiments.runs.goodput import GoodputLog, Stopwatch
from experiments.runs.model_flops import ModelFlops
from experiments.runs.scoring import attention_figure, evaluate_split
from experiments.runs.training_data import TrainingData
from experiments.runs.workdir import Workdir
from experiments.runtime import distributed, xla_env
from experiments.runtime.progress import ProgressBar, format_metric
from experiments.runtime.signals import Interrupts
from transformer.data import doctor
from transformer.data.batches.plan import BatchPlan
from transformer.data.corpus import Corpus, Pair, open_corpus
from transformer.data.token_dataset import Batch
from transformer.data.tokenizers.marian import load_tokenizer
from transformer.evaluation import bleu
from transformer.spec import SCORING_DTYPE, Spec
from transformer.training import loop, metrics
from transformer.training.checkpoint import Checkpoints, evaluated_params, is_scheduled
from transformer.training.state import Params, TrainState, all_finite

# Metrics in the lines of training progress.
_LOGGED = ("loss", "perplexity", "learning_rate", "tokens_per_second", "model_flops_per_second", "mfu")
_ROLLBACK = "rollback"  # the "split" of rollback events in metrics.jsonl
_NONFINITE = "nonfinite"  # the "split" of skipped updates in metrics.jsonl


class SharedData(NamedTuple):
    """What all runs of a population share.

    Attributes:
      corpus: the corpus.
      validation: pairs of the validation split.
      findings: what the corpus doctor reports.
      validation_batches: batches of the validation split.
      scoring: the system of one run, with the dtype of scores.
      alignment_monitor: computes alignment error rates of parameters.
      flops: the model FLOPs of batches.
      stopwatch: the time of this process.
      interrupts: reports the signals that stop training.
    """

    corpus: Corpus
    validation: Sequence[Pair]
    findings: Sequence[doctor.Finding]
    validation_batches: Sequence[Batch]
    scoring: system.System
    alignment_monitor: AlignmentMonitor
    flops: ModelFlops
    stopwatch: Stopwatch
    interrupts: Interrupts


class Run:
    """A run: its settings, folder, model and batches, and the hooks of the training loop. `Run.open` creates one.

    Attributes:
      spec: the settings.
      workdir: the folder.
      system: the model on its devices.
      plan: the training batches.
      progress: the progress bar.
      shared: the state that all runs of a population share.
      checkpoints: the checkpoints.
      devices_before: number of devices that the run used before it was continued; 0 for a new run.
      on_evaluation: called with the update and the validation metrics after each evaluation.
    """

    def __init__(
        self,
        spec: Spec,
        workdir: Workdir,
        system: system.System,
        plan: BatchPlan,
        progress: ProgressBar,
        shared: SharedData,
        devices_before: int,
    ) -> None:
        self.spec, self.workdir, self.system, self.plan = spec, workdir, system, plan
        self.progress, self.shared, self.devices_before = progress, shared, devices_before
        self.checkpoints = Checkpoints(
            workdir.checkpoints, spec.checkpoint.keep, progress.print, lambda step: is_scheduled(spec, step)
        )
        self._goodput = GoodputLog(workdir.goodput, shared.stopwatch)
        self.recorder: metrics.Recorder = metrics.NullRecorder()  # until training starts
        self.on_evaluation: Callable[[int, dict[str, float]], None] = lambda step, values: None
        self._final_params: tuple[Params, list[int]] | None = None
        self._scored: dict[str, tuple[dict[str, Any], list[str]]] = {}
        # Updates that the run returned to. In memory, because other processes do not see the file change at once.
        self._rollbacks = [event["step"] for event in metrics.read(workdir.path) if event["split"] == _ROLLBACK]

    @classmethod
    def open(
        cls,
        spec: Spec,
        path: str,
        allowed: Sequence[str],
        clock: Callable[[], float],
        name: str = "",
        interrupts: Interrupts | None = None,
        start: float | None = None,
    ) -> "Run":
        """Opens a run: reads the corpus, builds the model, and creates or checks the folder.

        Args:
          spec: the settings.
          path: the folder.
          allowed: settings that may differ from those of the run in the folder.
          clock: seconds, from any origin.
          name: prefix of printed lines, for the members of a population.
          interrupts: reports the signals that stop training; default: none do.
          start: time at which the command started, by `clock`; default: now.

        Raises:
          ValueError, FileNotFoundError: a setting, the corpus or the folder is invalid.
        """
        stopwatch, workdir = Stopwatch(clock, start), Workdir(path, distributed.is_primary())
        if workdir.writes:
            trackers.check(spec)
        progress = ProgressBar("training", spec.train.steps, "updates", name=name, quiet=not distributed.is_primary())
        bleu.metric(spec.data.target_language)  # raises ValueError if its tokenizer is missing
        with distributed.primary_first():
            model = pretrained.load_for(spec, workdir, allowed)
            corpus = open_corpus(spec.data, xla_env.cache_dir() / "corpus")
            training_data = TrainingData.open(spec.data, corpus)
            validation = corpus.split(spec.data.validation_split)
            findings = doctor.check_at_start(training_data.pairs, validation, spec.data)
            with workdir.opened(spec, allowed):
                if model and workdir.writes and not workdir.tokenizer.exists():
                    model.tokenizer.save(workdir.tokenizer)
                tokenizer = training_data.tokenizer(workdir)
                own_system = system.System.make(spec, tokenizer, model.params if model else None)
            plan = own_system.plan(training_data.tokenize(tokenizer))
            workdir.check_data(tokenizer.fingerprint, plan.fingerprint, allowed)
            devices_before = preparation.write_versions(workdir, {spec.train.init_from: model.commit} if model else {})
            preparation.prepare_checkpoints(workdir, own_system, progress)
        shared = SharedData(
            corpus,
            validation,
            findings,
            own_system.eval_batches(validation, plan),
            loading.scoring_system(own_system),
            AlignmentMonitor(own_system, validation),
            ModelFlops(own_system, plan),
            stopwatch,
            interrupts or Interrupts(),
        )
        return cls(spec, workdir, own_system, plan, progress, shared, devices_before)

    def sibling(self, spec: Spec, path: str, name: str) -> "Run":
        """Opens a run in another folder whose spec differs only in hyperparameters; for populations.

        Raises:
          ValueError: the folder holds a run of another config, or has another tokenizer.
        """
        tokenizer, workdir = self.system.tokenizer, Workdir(path)
        workdir.create_or_check(spec)
        if not workdir.tokenizer.exists():
            tokenizer.save(workdir.tokenizer)
        elif load_tokenizer(workdir.tokenizer).fingerprint != tokenizer.fingerprint:
            raise ValueError(f"{workdir.tokenizer} is not the tokenizer of {self.workdir.path}")
        workdir.check_data(tokenizer.fingerprint, self.plan.fingerprint)
        devices_before = preparation.write_versions(workdir, {})
        own_system, plan = self.system.with_spec(spec), self.plan.with_seed(spec.train.seed)
        progress = self.progress.with_name(name)
        preparation.prepare_checkpoints(workdir, own_system, progress)
        return Run(spec, workdir, own_system, plan, progress, self.shared, devices_before)

    def describe(self) -> None:
        """Prints the model, the corpus, the devices and the batches."""
        for line in description.lines(self.spec, self.system, self.plan):
            self.progress.print(line)
        for finding in self.shared.findings:
            self.progress.print(finding.headline())

    def save_pretrained(self) -> None:
        """Saves the pretrained model that the run starts from, if there is one, as the checkpoint of step 0."""
        if self.system.pretrained_params is not None:
            self._save(0, self.system.initial_state())
            self.checkpoints.wait()

    def latest_step(self) -> int | None:
        """Returns the step of the newest checkpoint; None without checkpoints."""
        return max(self.checkpoints.steps(), default=None)

    def restore(self, step: int) -> TrainState:
        """Returns the state of a checkpoint."""
        return self.checkpoints.restore(step, self.system.state_shapes())

    def start(self, update: int) -> tuple[loop.Hooks, list[dict[str, Any]]]:
        """Opens the metrics file, to train from `update` on; deletes records of later updates.

        Returns:
          The hooks of the training loop, and the validation events up to `update`.
        """
        self.recorder = trackers.open_recorder(self.workdir, self.spec, update)
        self._goodput.restart(update, self.recorder)
        self._logged = update
        self.shared.flops.start()
        self._rollbacks = [step for step in self._rollbacks if step <= update]
        self.checkpoints.discard_after(update)
        if self.workdir.best.exists():
            best = self._best_checkpoints()
            best.discard_after(update)
            best.close()
        past = [event for event in self.workdir.evaluations(self.spec) if event["step"] <= update]
        hooks = loop.Hooks(
            log=self._log,
            evaluate=self._evaluate,
            save=self._save,
            best=self._save_best,
            nonfinite=self._save_skipped_update,
            progress=self._progress,
            clock=self.shared.stopwatch.clock,
            check=self.shared.interrupts.check_after,
            single_process=not distributed.is_distributed(),
            nonfinite_before=self._skipped_before(update),
        )
        return hooks, past

    def _skipped_before(self, update: int) -> int:
        """Returns the number of consecutive updates up to `update` that were skipped."""
        skipped = {event["step"] for event in metrics.read(self.workdir.path) if event["split"] == _NONFINITE}
        return next(count for count in itertools.count() if update - count not in skipped)

    def _progress(self, update: int) -> None:
        self.progress.set_done(update)
        self._goodput.reach(update)

    def _log(self, step: int, values: dict[str, float]) -> None:
        numbers = range(self._logged * self.spec.train.accumulate, step * self.spec.train.accumulate)
        values |= self.shared.flops.rates(self.plan, numbers, values["seconds"], values.get("members", 1))
        self._logged = step
        self.recorder.write(step, "train", values)
        self.progress.set_status(f"loss {values['loss']:.3f}, {values['tokens_per_second']:,.0f} tokens/s")
        if not self.progress.in_terminal:
            text = ", ".join(format_metric(name, values[name]) for name in _LOGGED if name in values)
            self.progress.print(f"step {step}/{self.spec.train.steps}: {text}")

    def _save(self, step: int, state: TrainState) -> None:
        if not all_finite(evaluated_params(state)):
            raise FloatingPointError(f"parameters are not finite after update {step}; they are not saved")
        self._goodput.record(step)
        self.recorder.flush()  # in a bucket, a checkpoint must not be newer than the metrics
        with self.shared.stopwatch.phase(goodput.SAVING):
            self.checkpoints.save(step, state)
        self._goodput.record(step)

    def _save_skipped_update(self, update: int) -> None:
        """Writes the sentences of an update that was skipped because its gradient was not finite."""
        accumulate = self.spec.train.accumulate
        batches = {number: self.plan.batch(number) for number in range((update - 1) * accumulate, update * accumulate)}
        texts = {number: description.sentences(batch, self.system.tokenizer) for number, batch in batches.items()}
        path = self.workdir.write_skipped_update(update, texts)
        self.recorder.write(update, _NONFINITE, {})
        self.progress.print(f"update {update} is skipped: its gradient is not finite; its sentences are in {path}")

    def learning_rate_factor(self, update: int) -> float:
        """Returns the factor of the learning rate that results from the rollbacks up to `update`."""
        return 0.5 ** sum(step <= update for step in self._rollbacks)

    def roll_back(self, reason: object) -> None:
        """Makes training restart from the newest scheduled checkpoint, with half the learning rate.

        Raises:
          DivergenceError: the run has had `train.rollback_limit` rollbacks.
        """
        limit = self.spec.train.rollback_limit
        if len(self._rollbacks) >= limit:
            raise loop.DivergenceError(
                f"{reason}, after {limit} rollbacks; lower train.learning_rate, or raise train.rollback_limit={limit}"
            )
        self.checkpoints.wait()
        update = max(self.checkpoints.scheduled_steps(), default=0)
        self.checkpoints.discard_after(update)  # an interruption's checkpoint must not change the result
        self._rollbacks.append(update)
        factor = self.learning_rate_factor(update)
        self.recorder.write(update, _ROLLBACK, {"learning_rate_factor": factor})
        self.recorder.close()
        self.progress.print(f"{reason}: back to update {update}, with {factor:g} times the learning rate")

    def _save_best(self, step: int, state: TrainState) -> None:
        with self.shared.stopwatch.phase(goodput.SAVING), contextlib.closing(self._best_checkpoints()) as best:
            best.save(step, state)

    def _best_checkpoints(self) -> Checkpoints:
        """Opens the best checkpoints: the newest, and the one that is the best if training restarts."""
        restart = self.latest_step() or 0
        return Checkpoints(self.workdir.best, keep=1, scheduled=lambda step: step <= restart)

    def _evaluate(self, step: int, state: TrainState) -> dict[str, float]:
        with self.shared.interrupts.undeferred(), self.shared.stopwatch.phase(goodput.EVALUATION):
            values, attention_stats = self._validate(step, state)
        # Without signals, so that each recorded evaluation also has its best checkpoint.
        split = self.spec.data.validation_split
        self.recorder.write(step, split, values | attention_stats)
        self.recorder.flush()
        self.progress.print(f"step {step} {split}: " + ", ".join(format_metric(*item) for item in values.items()))
        self.on_evaluation(step, values)
        return values

    def _validate(self, step: int, state: TrainState) -> tuple[dict[str, float], dict[str, float]]:
        """Returns the scores and the attention statistics of a state on the validation split."""
        spec, split = self.spec, self.spec.data.validation_split
        params = self.system.evaluated_params(state)
        values, attention_stats = self.system.loss_and_attention_stats(params, self.shared.validation_batches)
        attention_stats |= self.shared.alignment_monitor(params)
        pairs = self.shared.validation[: spec.evaluate.sentences]
        if len(pairs):
            greedy = dataclasses.replace(spec.decode, method="greedy")
            translations = self.system.translator(params, greedy).translate([pair.source for pair in pairs])
            texts = [n_best[0].text for n_best in translations]
            references = [pair.target for pair in pairs]
            values["bleu"] = bleu.bleu(texts, references, spec.data.target_language)
            if spec.data.uncased:  # BLEU counts case, which such a model does not produce
                values["bleu_paper"] = bleu.paper_bleu(texts, references, spec.data.target_language)
            self.workdir.write_translations(split, step, texts)
            self._print_samples(step, split, pairs, texts)
        return values, attention_stats

    def _print_samples(self, step: int, split: str, pairs: Sequence[Pair], texts: Sequence[str]) -> None:
        """Prints some translations."""
        lines = description.samples(pairs, texts, self.spec.evaluate.samples)
        for line in lines:
            self.progress.print(line)
        if lines:
            self.recorder.write_text(step, f"{split}/translations", "\n".join(lines))

    def final_params(self) -> tuple[Params, list[int]]:
        """Returns the parameters of the finished run, and the steps of the checkpoints that they come from."""
        self._final_params = self._final_params or self.system.final_params(self.workdir)
        return self._final_params

    @functools.cached_property
    def scoring_system(self) -> system.System:
        """The system that computes test scores: `system`, with matmuls in `SCORING_DTYPE`."""
        return self.shared.scoring.with_spec(loading.with_dtype(self.spec, SCORING_DTYPE))

    def score_split(self, split: str) -> tuple[dict[str, Any], list[str]]:
        """Translates a split with the final parameters and `decode`, once; returns scores and translations.

        Raises:
          FileNotFoundError: the run has no checkpoint.
          ValueError: the corpus has no such split.
        """
        if split not in self._scored:
            params, steps = self.final_params()
            pairs = self.shared.corpus.split(split)
            own_system, decode = self.scoring_system, self.spec.decode
            self._scored[split] = evaluate_split(own_system, params, pairs, decode, self.progress.print)
            self.workdir.write_translations(split, steps[-1], self._scored[split][1])
        return self._scored[split]

    def goodput(self) -> dict[str, float]:
        """Returns the goodput account of the run until now, see `goodput.account`."""
        return self._goodput.account(self.latest_step() or 0)

    def finish(self) -> dict[str, float]:
        """Opens the test split: translates it, prints scores and times, and draws the attention of a sentence."""
        self.shared.stopwatch.enter(goodput.EVALUATION)
        params, steps = self.final_params()
        split = self.spec.data.test_split
        label = "the mean of checkpoints" if len(steps) > 1 else "checkpoint"
        self.progress.print(f"testing {label} {', '.join(map(str, steps))}")
        pairs = self.shared.corpus.split(split)
        scores, texts = self.score_split(split)
        self._print_samples(steps[-1], split, pairs, texts)
        values = {name: scores[name] for name in ("bleu", "chrf", "bleu_paper")}
        self.recorder.write(steps[-1], split, values)
        self._goodput.record(steps[-1])
        self.recorder.close()
        self.checkpoints.close()
        metrics_text = ", ".join(format_metric(*item) for item in values.items())
        self.progress.print(f"{split}: {metrics_text} ({scores['signature']})")
        figure = self.workdir.figures / "cross_attention.png"
        self.progress.print(attention_figure(self.scoring_system, params, pairs, figure))
        self.progress.print(goodput.describe(self.goodput()))
        self.progress.print(f"{self.shared.stopwatch.total() / 60:.1f} minutes")
        return values
