"""COMET, a learned metric (Rei et al. 2020), with a model that the user provides; needs the extra `comet`."""

import contextlib
import math
import pathlib
import statistics
import sys
from collections.abc import Sequence
from typing import Any

_INSTALL = "pip install 'transformer-research[comet]', then pip install --no-deps 'unbabel-comet>=2.2.7,<3'"
_BATCH_SIZE = 16


class CometMetric:
    """A COMET model.

    Args:
      path: a checkpoint, or the folder of a model, with checkpoints/model.ckpt and hparams.yaml.

    Raises:
      FileNotFoundError: there is no such checkpoint.
      ValueError: COMET is not installed, or it cannot read the checkpoint.
    """

    def __init__(self, path: str) -> None:
        checkpoint = pathlib.Path(path)
        if checkpoint.is_dir():
            checkpoint = checkpoint / "checkpoints" / "model.ckpt"
        if not checkpoint.is_file():
            raise FileNotFoundError(f"{checkpoint}: no such COMET checkpoint; download a model and name its folder")
        try:
            import comet
        except ImportError as error:
            raise ValueError(f"COMET needs the extra `comet` ({error}): {_INSTALL}") from error
        try:
            with contextlib.redirect_stdout(sys.stderr):
                self._model: Any = comet.load_from_checkpoint(str(checkpoint))
        except Exception as error:
            raise ValueError(f"{checkpoint}: COMET cannot read it: {error}") from error

    def score(self, sources: Sequence[str], hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> float:
        """Returns the score of a corpus; with several lists of references, the mean of the scores with each.

        Raises:
          ValueError: the score is not finite. COMET may raise other exceptions.
        """
        return statistics.fmean(self._score(sources, hypotheses, reference) for reference in references)

    def _score(self, sources: Sequence[str], hypotheses: Sequence[str], references: Sequence[str]) -> float:
        samples = [
            {"src": source, "mt": hypothesis, "ref": reference}
            for source, hypothesis, reference in zip(sources, hypotheses, references, strict=True)
        ]
        torch: Any = sys.modules.get("torch")  # COMET imports it
        gpus = int(torch is not None and torch.cuda.is_available())
        with contextlib.redirect_stdout(sys.stderr):  # where progress is shown
            prediction = self._model.predict(samples, batch_size=_BATCH_SIZE, gpus=gpus)
        score = float(prediction.system_score)
        if not math.isfinite(score):
            raise ValueError("the COMET model's score is not finite")
        return score
