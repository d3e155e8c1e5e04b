"""Analysis of trained models: traces, patches, attribution, attention, heads and forced decoding.

`trace(model, source_BS, target_BT)` returns every activation by name, and `patch` replaces any of them.
"""

from transformer.analysis.lens import logit_lens
from transformer.analysis.tracing import mean_activations, patch, perturb, trace

__all__ = ["logit_lens", "mean_activations", "patch", "perturb", "trace"]
