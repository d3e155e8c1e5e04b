"""What a request may hold and what it gets, with its limits: FastAPI checks and documents both from here."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

CHARACTERS = 2000  # of a text
PARTS = 32  # lines of a text, and parts of lines that are too long
BEAMS = 16  # each number of beams is a program of its own
BODY = 1 << 15  # bytes of a request: its characters, each written as an escape, and some more

Text = Annotated[str, Field(max_length=CHARACTERS, description="Lines are translated one by one.")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Asked(_Strict):
    """A text to translate, and how."""

    text: Text
    method: Literal["beam", "sample"] = Field(default="beam", description="Beam search, or drawing each token.")
    beam_size: int | None = Field(default=None, ge=1, le=BEAMS, description="Hypotheses kept; as configured.")
    n_best: int = Field(default=1, ge=1, le=BEAMS, description="Translations wanted, best first; at most beam_size.")
    length_penalty: float | None = Field(default=None, ge=0, le=5, description="Of Wu et al. 2016; as configured.")
    temperature: float = Field(default=1, ge=0.01, le=10, description="Sampling: divides the logits.")
    top_p: float = Field(default=1, gt=0, le=1, description="Sampling: only from the smallest set of this probability.")
    seed: int = Field(default=0, ge=0, lt=2**31, description="Sampling: another seed, another sample.")


class Translation(BaseModel):
    """A translation of a whole text."""

    text: str
    score: float = Field(description="Natural logarithm of its probability.")


class Hypothesis(Translation):
    """A translation of a part, with its tokens."""

    tokens: list[int] = Field(description="Token ids, the end symbol included.")


class Part(BaseModel):
    """A line, or a part of a line that is too long for the model."""

    line: int = Field(description="Number of the line, from 0.")
    source: str
    translations: list[Hypothesis] = Field(description="Best first.")


class Translated(BaseModel):
    """What became of a text."""

    text: str = Field(description="The best translation.")
    translations: list[Translation] = Field(description="The n_best translations, best first.")
    parts: list[Part]
    warnings: list[str] = Field(description="Of lines that were divided.")


class Pair(_Strict):
    """A sentence and its translation to look into: tokens, or a text, or neither for what beam search finds."""

    text: Text
    tokens: list[int] | None = Field(
        None, max_length=CHARACTERS, description="Of the translation, as /translate gives."
    )
    target: Text | None = Field(default=None, description="The translation as text.")


class Side(BaseModel):
    """One side of a pair."""

    pieces: list[str]
    words: list[tuple[int, int, str]] = Field(description="First piece, piece after the last, text.")


class Alternative(BaseModel):
    """What could have stood at a place."""

    piece: str
    probability: float


class Attention(BaseModel):
    """The weights of one layer's heads: heads × rows × columns."""

    name: str = Field(description='"encoder/0", "decoder/0" or "cross/0": kind and layer.')
    weights: list[list[list[float]]]


class Looks(BaseModel):
    """How the model reads a pair."""

    source: Side
    target: Side
    probability: list[float] = Field(description="Of each target piece, given those before it.")
    alternatives: list[list[Alternative]] = Field(description="For each target piece, the most probable.")
    attention: list[Attention]


class Health(BaseModel):
    """Whether the server works, and on what."""

    status: Literal["ok", "preparing"] = Field(description='"preparing": it answers, but still compiles programs.')
    run: str
    direction: str
    beam_size: int
    waiting: int = Field(description="Texts in the queue.")
    places: int = Field(description="Most texts in the queue.")
    max_tokens: int = Field(description="Longer lines are divided.")
    max_characters: int


class Problem(BaseModel):
    """Why there is no answer."""

    error: str
