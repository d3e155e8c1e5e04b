"""Records PyTorch's results, for parity tests without PyTorch.

    python tests/parity/make_reference.py

writes reference.npz next to this file: for each case random parameters and inputs, and PyTorch's outputs and gradients.
It needs the extra `parity`. Arrays are named CASE/KIND/NAME. A mask is True where a query may attend, as in
transformer/ops/masks.py. PyTorch computes in float64, so that only our float32 rounding differs.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

FILE = Path(__file__).with_name("reference.npz")

Arrays = dict[str, np.ndarray]
Tensors = dict[str, torch.Tensor]

ROWS, SOURCE, TARGET, VOCABULARY = 3, 7, 5, 13
D_MODEL, HEADS, D_FF, D_STATE = 10, 2, 11, 6
LENGTH_B = np.array([4, SOURCE, 1])
SMOOTHING = 0.1
SETTINGS: dict[str, Any] = {"dropout": 0.0, "batch_first": True}


def inputs(generator: np.random.Generator) -> Arrays:
    """Returns the inputs of all cases."""
    source_ids = generator.integers(1, VOCABULARY, (ROWS, SOURCE))
    target_ids = generator.integers(1, VOCABULARY, (ROWS, TARGET))
    target_ids[0, 3:] = 0
    mask = np.arange(SOURCE) < LENGTH_B[:, None]
    # From a separate generator, so that these inputs do not change those of other cases.
    states = generator.spawn(1)[0].normal(size=(2, ROWS, D_STATE))
    return {
        "source": generator.normal(size=(ROWS, SOURCE, D_MODEL)).astype(np.float32),
        "target": generator.normal(size=(ROWS, TARGET, D_MODEL)).astype(np.float32),
        "logits": generator.normal(size=(ROWS, TARGET, VOCABULARY)).astype(np.float32),
        "source_mask": mask,
        "causal_mask": np.tril(np.ones((TARGET, TARGET), bool)),
        "source_ids": np.where(mask, source_ids, 0).astype(np.int32),
        "shifted_ids": np.roll(target_ids, 1, axis=1).astype(np.int32),
        "target_ids": target_ids.astype(np.int32),
        "hidden": states[0].astype(np.float32),
        "memory": states[1].astype(np.float32),
    }


def attention(module: nn.Module, target: torch.Tensor, memory: torch.Tensor, **mask: torch.Tensor) -> Tensors:
    output, weights = module(target, memory, memory, average_attn_weights=False, **mask)
    return {"output": output, "weights": weights}


def smoothed(logits: torch.Tensor, target_ids: torch.Tensor) -> torch.Tensor:
    loss = nn.CrossEntropyLoss(ignore_index=0, label_smoothing=SMOOTHING, reduction="sum")
    return loss(logits.flatten(0, 1), target_ids.flatten().long())


class Transformer(nn.Module):
    """PyTorch's stacks with one table for source, target and output."""

    def __init__(self, norm_first: bool) -> None:
        super().__init__()

        def layer(kind: Callable[..., nn.Module]) -> Any:
            return kind(D_MODEL, HEADS, D_FF, norm_first=norm_first, **SETTINGS)

        def norm() -> nn.Module | None:
            return nn.LayerNorm(D_MODEL) if norm_first else None

        self.table = nn.Parameter(torch.empty(VOCABULARY, D_MODEL))
        self.encoder = nn.TransformerEncoder(layer(nn.TransformerEncoderLayer), 1, norm(), enable_nested_tensor=False)
        self.decoder = nn.TransformerDecoder(layer(nn.TransformerDecoderLayer), 1, norm())

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Computes Section 3.5 for an even width."""
        frequency = 10000.0 ** (-torch.arange(0, D_MODEL, 2, dtype=torch.float64) / D_MODEL)
        angle = torch.arange(ids.shape[1])[:, None] * frequency[None]
        position = torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)
        return self.table[ids] * D_MODEL**0.5 + position

    def forward(self, t: Tensors) -> Tensors:
        hidden = self.decoder(
            self.embed(t["shifted_ids"]),
            self.encoder(self.embed(t["source_ids"]), src_key_padding_mask=~t["source_mask"]),
            ~t["causal_mask"],
            memory_key_padding_mask=~t["source_mask"],
        )
        logits = hidden @ self.table.T
        return {"logits": logits, "loss": smoothed(logits, t["target_ids"])}


class Recurrent(nn.Module):
    """PyTorch's nn.LSTM or nn.GRU without redundant biases; matrices are [inputs, gates]."""

    def __init__(self, kind: type[nn.LSTM] | type[nn.GRU]) -> None:
        super().__init__()
        self.networks = [
            kind(D_MODEL, D_STATE, batch_first=True)
        ]  # in a list, which hides its parameters from this module
        gates = {nn.LSTM: 4, nn.GRU: 3}[kind] * D_STATE
        self.to_gates = nn.Linear(D_MODEL, gates)
        self.cell = nn.ParameterDict({"recurrent_RG": torch.empty(D_STATE, gates)})
        if kind is nn.GRU:
            self.cell["new_bias_R"] = torch.empty(D_STATE)

    def forward(self, t: Tensors, *first: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Returns outputs, zero at padding, and the states after the last token."""
        others = self.to_gates.bias.new_zeros(self.to_gates.bias.numel() - D_STATE)
        new = self.cell["new_bias_R"] if "new_bias_R" in self.cell else self.to_gates.bias.new_zeros(D_STATE)
        parameters = {
            "weight_ih_l0": self.to_gates.weight,
            "weight_hh_l0": self.cell["recurrent_RG"].T,
            "bias_ih_l0": self.to_gates.bias,
            "bias_hh_l0": torch.cat([others, new]),
        }
        lengths = t["source_mask"].sum(dim=1)
        packed = nn.utils.rnn.pack_padded_sequence(t["source"], lengths, batch_first=True, enforce_sorted=False)
        states = [state[None] for state in first]
        state = tuple(states) if len(states) > 1 else states[0]
        output, last = torch.func.functional_call(self.networks[0].double(), parameters, (packed, state))
        output, _ = nn.utils.rnn.pad_packed_sequence(output, batch_first=True, total_length=SOURCE)
        return output, [each[0] for each in (last if isinstance(last, tuple) else (last,))]


def lstm(module: nn.Module, t: Tensors) -> Tensors:
    output, (hidden, memory) = module(t, t["hidden"], t["memory"])
    return {"output": output, "last_hidden": hidden, "last_memory": memory}


def gru(module: nn.Module, t: Tensors) -> Tensors:
    output, (hidden,) = module(t, t["hidden"])
    return {"output": output, "last_hidden": hidden}


@dataclasses.dataclass(frozen=True)
class Case:
    """A PyTorch module, the names of its inputs, and how to run it."""

    module: Callable[[], nn.Module]
    reads: str
    run: Callable[[Any, Tensors], Tensors]


def layers(norm_first: bool) -> dict[str, Case]:
    sizes = (D_MODEL, HEADS, D_FF)
    return {
        "encoder": Case(
            lambda: nn.TransformerEncoderLayer(*sizes, norm_first=norm_first, **SETTINGS),
            "source source_mask",
            lambda module, t: {"output": module(t["source"], src_key_padding_mask=~t["source_mask"])},
        ),
        "decoder": Case(
            lambda: nn.TransformerDecoderLayer(*sizes, norm_first=norm_first, **SETTINGS),
            "target causal_mask source source_mask",
            lambda module, t: {
                "output": module(t["target"], t["source"], ~t["causal_mask"], memory_key_padding_mask=~t["source_mask"])
            },
        ),
        "model": Case(
            lambda: Transformer(norm_first),
            "source_ids source_mask shifted_ids causal_mask target_ids",
            lambda module, t: module(t),
        ),
    }


CASES: dict[str, Case] = {
    "loss": Case(nn.Identity, "logits target_ids", lambda _, t: {"loss": smoothed(t["logits"], t["target_ids"])}),
    "self_attention": Case(
        lambda: nn.MultiheadAttention(D_MODEL, HEADS, batch_first=True),
        "target causal_mask",
        lambda module, t: attention(module, t["target"], t["target"], attn_mask=~t["causal_mask"]),
    ),
    "cross_attention": Case(
        lambda: nn.MultiheadAttention(D_MODEL, HEADS, batch_first=True),
        "target source source_mask",
        lambda module, t: attention(module, t["target"], t["source"], key_padding_mask=~t["source_mask"]),
    ),
    "lstm": Case(lambda: Recurrent(nn.LSTM), "source source_mask hidden memory", lstm),
    "gru": Case(lambda: Recurrent(nn.GRU), "source source_mask hidden", gru),
    **{f"{name}_post": case for name, case in layers(norm_first=False).items()},
    **{f"{name}_pre": case for name, case in layers(norm_first=True).items()},
}


def draw(name: str, generator: np.random.Generator) -> Arrays:
    """Draws parameters, inputs and cotangents of a case."""
    module = CASES[name].module()
    everything = inputs(generator)
    arrays = {f"input/{key}": everything[key] for key in CASES[name].reads.split()}
    for key, parameter in module.named_parameters():
        mean = 1.0 if "norm" in key and key.endswith("weight") else 0.0
        arrays[f"parameter/{key}"] = generator.normal(mean, 0.4, tuple(parameter.shape)).astype(np.float32)
    for key, output in compute(name, arrays).items():
        cotangent = generator.normal(size=output.shape)
        arrays[key.replace("output/", "cotangent/")] = np.asarray(cotangent, np.float32)
    return arrays


def compute(name: str, arrays: Arrays) -> Arrays:
    """Computes outputs and, if there are cotangents, gradients of the outputs' inner product with them."""

    def tensors(kind: str) -> Tensors:
        chosen = {key.removeprefix(kind): torch.tensor(array) for key, array in arrays.items() if key.startswith(kind)}
        return {key: tensor.double() if tensor.is_floating_point() else tensor for key, tensor in chosen.items()}

    module = CASES[name].module().double()
    module.load_state_dict(tensors("parameter/"))
    inputs, cotangents = tensors("input/"), tensors("cotangent/")
    inputs = {key: tensor.requires_grad_(tensor.is_floating_point()) for key, tensor in inputs.items()}
    outputs = CASES[name].run(module, inputs)
    results = {f"output/{key}": tensor for key, tensor in outputs.items()}
    if cotangents:
        torch.stack([(tensor * cotangents[key]).sum() for key, tensor in outputs.items()]).sum().backward()
        differentiated = {f"parameter/{key}": tensor for key, tensor in module.named_parameters()}
        differentiated |= {f"input/{key}": tensor for key, tensor in inputs.items() if tensor.requires_grad}
        results |= {f"gradient/{key}": tensor.grad for key, tensor in differentiated.items() if tensor.grad is not None}
    return {key: tensor.detach().numpy().astype(np.float32) for key, tensor in results.items()}


def make(name: str, seed: int) -> Arrays:
    """Makes a complete case: random arrays and PyTorch's results."""
    drawn = draw(name, np.random.default_rng(seed))
    return drawn | compute(name, drawn)


def main() -> None:
    reference = {f"{name}/{key}": array for name in CASES for key, array in make(name, seed=0).items()}
    np.savez_compressed(FILE, **reference)  # type: ignore[arg-type]
    print(
        f"{FILE}: {len(CASES)} cases, {len(reference)} arrays, {FILE.stat().st_size} bytes, torch {torch.__version__}"
    )


if __name__ == "__main__":
    main()
