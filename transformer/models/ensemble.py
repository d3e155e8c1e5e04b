"""Several models that translate as one, as in the tables of Sutskever et al. 2014."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from transformer.models.interface import Decoded, DecodeState, Memory, Seq2Seq
from transformer.ops.dropout import Dropout, at_site


class Ensemble:
    """Predicts with the mean of its members' probabilities; implements `interface.Seq2Seq`.

    Members may be of different architectures; what they share is the vocabulary.

    Args:
      members: the models.

    Raises:
      ValueError: there are none.
    """

    def __init__(self, members: Sequence[Seq2Seq]) -> None:
        if not members:
            raise ValueError("an ensemble of no models")
        self.members = tuple(members)

    def encode(self, source_BS: jax.Array, dropout: Dropout | None = None) -> Memory:
        """What every member makes of the source: its vectors side by side, its attention by "NUMBER/NAME"."""
        memories = [member.encode(source_BS, at_site(dropout, number)) for number, member in enumerate(self.members)]
        states_BSD = jnp.concatenate([memory.states_BSD for memory in memories], axis=-1)
        return Memory(states_BSD, memories[0].mask_BS, _numbered(memories), summary=memories)

    def decode(self, memory: Memory, target_BT: jax.Array, dropout: Dropout | None = None) -> Decoded:
        """Every member's reading of the shifted target; its log-probabilities of the next token, side by side."""
        decoded = [
            member.decode(each, target_BT, at_site(dropout, number))
            for number, (member, each) in enumerate(zip(self.members, memory.summary, strict=True))
        ]
        logits = [member.logits(each.hidden_BTD) for member, each in zip(self.members, decoded, strict=True)]
        hidden_BTD = jnp.concatenate([jax.nn.log_softmax(each) for each in logits], axis=-1)
        return Decoded(hidden_BTD, _numbered(decoded))

    def logits(self, hidden_D: jax.Array) -> jax.Array:
        """The logarithm of the mean probability, float32 [..., V]."""
        return _mean(jnp.split(hidden_D, len(self.members), axis=-1))

    def start(self, memory: Memory, beams: int, max_length: int, frugal: bool = False) -> DecodeState:
        """Every member's start."""
        states = [
            member.start(each, beams, max_length, frugal)
            for member, each in zip(self.members, memory.summary, strict=True)
        ]
        return _joined(states)

    def step(self, state: DecodeState, token_BN: jax.Array, position: jax.Array) -> tuple[jax.Array, DecodeState]:
        """Every member's step with the same tokens."""
        states = [DecodeState(*parts) for parts in zip(*state, strict=True)]
        found = [member.step(each, token_BN, position) for member, each in zip(self.members, states, strict=True)]
        return _mean([jax.nn.log_softmax(logits_BNV) for logits_BNV, _ in found]), _joined([new for _, new in found])


def _joined(states: Sequence[DecodeState]) -> DecodeState:
    return DecodeState(*(list(parts) for parts in zip(*states, strict=True)))


def _mean(log_probabilities: Sequence[jax.Array]) -> jax.Array:
    return jax.nn.logsumexp(jnp.stack(log_probabilities), axis=0) - jnp.log(float(len(log_probabilities)))


def _numbered(parts: Sequence[Memory] | Sequence[Decoded]) -> dict[str, jax.Array]:
    return {f"{number}/{name}": each for number, part in enumerate(parts) for name, each in part.attention.items()}
