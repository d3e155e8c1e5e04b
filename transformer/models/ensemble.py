"""Ensembles of models, as in the tables of Sutskever et al. 2014."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from transformer.models.interface import Decoded, DecodeState, Memory, Seq2Seq
from transformer.ops.dropout import Dropout, fold_in


class Ensemble:
    """Predicts with the mean of its members' probabilities; implements `interface.Seq2Seq`.

    Members share a vocabulary and may have different architectures.

    Args:
      members: the models.

    Raises:
      ValueError: `members` is empty.
    """

    def __init__(self, members: Sequence[Seq2Seq]) -> None:
        if not members:
            raise ValueError("an ensemble needs at least one model")
        self.members = tuple(members)

    def encode(self, source_BS: jax.Array, dropout: Dropout | None = None) -> Memory:
        """Encodes with every member; concatenates their states and names their attention "NUMBER/NAME"."""
        memories = [member.encode(source_BS, fold_in(dropout, number)) for number, member in enumerate(self.members)]
        states_BSD = jnp.concatenate([memory.states_BSD for memory in memories], axis=-1)
        return Memory(states_BSD, memories[0].mask_BS, _numbered(memories), decoder_init=memories)

    def decode(self, memory: Memory, target_BT: jax.Array, dropout: Dropout | None = None) -> Decoded:
        """Decodes with every member; `hidden_BTD` is the concatenation of their log-probabilities."""
        decoded = [
            member.decode(own_memory, target_BT, fold_in(dropout, number))
            for number, (member, own_memory) in enumerate(zip(self.members, memory.decoder_init, strict=True))
        ]
        logits = [member.logits(own.hidden_BTD) for member, own in zip(self.members, decoded, strict=True)]
        hidden_BTD = jnp.concatenate([jax.nn.log_softmax(logits_BTV) for logits_BTV in logits], axis=-1)
        return Decoded(hidden_BTD, _numbered(decoded))

    def logits(self, hidden_D: jax.Array) -> jax.Array:
        """Computes the logarithm of the mean probability, float32 [..., V]."""
        return _mean(jnp.split(hidden_D, len(self.members), axis=-1))

    def start(self, memory: Memory, beams: int, max_length: int) -> DecodeState:
        """Starts every member."""
        states = [
            member.start(own_memory, beams, max_length)
            for member, own_memory in zip(self.members, memory.decoder_init, strict=True)
        ]
        return _zipped(states)

    def step(self, state: DecodeState, token_BN: jax.Array, position_B: jax.Array) -> tuple[jax.Array, DecodeState]:
        """Steps every member with the same tokens."""
        states = [DecodeState(*fields) for fields in zip(*state, strict=True)]
        steps = [member.step(own, token_BN, position_B) for member, own in zip(self.members, states, strict=True)]
        return _mean([jax.nn.log_softmax(logits_BNV) for logits_BNV, _ in steps]), _zipped([new for _, new in steps])


def _zipped(states: Sequence[DecodeState]) -> DecodeState:
    return DecodeState(*(list(fields) for fields in zip(*states, strict=True)))


def _mean(log_probabilities: Sequence[jax.Array]) -> jax.Array:
    return jax.nn.logsumexp(jnp.stack(log_probabilities), axis=0) - jnp.log(float(len(log_probabilities)))


def _numbered(outputs: Sequence[Memory] | Sequence[Decoded]) -> dict[str, jax.Array]:
    return {
        f"{number}/{name}": weights
        for number, output in enumerate(outputs)
        for name, weights in output.attention.items()
    }
