"""Requests and responses with their limits. FastAPI validates and documents the API from these models."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_CHARACTERS = 2000  # of one text
MAX_PARTS = 32  # lines of a text, and parts of long lines
MAX_EXPLAINED_TOKENS = 64  # of a source and its translation; the cost grows with the square of the length
MAX_BEAM_SIZE = 16  # each beam size compiles another program
MAX_BODY_BYTES = 1 << 15  # of a request: every character as an escape sequence, and the other fields

Text = Annotated[str, Field(max_length=MAX_CHARACTERS, description="Lines are translated separately.")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class TranslationRequest(_Strict):
    """A text to translate, and decoding settings."""

    text: Text
    method: Literal["beam", "sample"] = Field(default="beam", description="Beam search or sampling.")
    beam_size: int | None = Field(
        default=None, ge=1, le=MAX_BEAM_SIZE, description="Beam size; default: the run's decode.beam_size."
    )
    n_best: int = Field(default=1, ge=1, le=MAX_BEAM_SIZE, description="Translations to return; at most the beam size.")
    length_penalty: float | None = Field(
        default=None, ge=0, le=5, description="As in Wu et al. 2016; default: the run's decode.length_penalty."
    )
    temperature: float = Field(default=1, ge=0.01, le=10, description="Sampling: divides the logits.")
    top_p: float = Field(
        default=1, gt=0, le=1, description="Sampling: from the smallest set of tokens with this probability."
    )
    seed: int = Field(default=0, ge=0, lt=2**31, description="Sampling: random seed.")


class RankedTranslation(BaseModel):
    """A translation of the complete text."""

    text: str
    score: float = Field(description="Natural logarithm of the probability.")


class Hypothesis(RankedTranslation):
    """A translation of a part, with tokens."""

    tokens: list[int] = Field(description="Token ids, including the end symbol.")


class TranslatedPart(BaseModel):
    """A line, or a part of a line that is longer than the model's training sentences."""

    line: int = Field(description="Line number, from 0.")
    source: str
    translations: list[Hypothesis] = Field(description="Best first.")


class TranslationResponse(BaseModel):
    """The translations of a text."""

    text: str = Field(description="The best translation.")
    translations: list[RankedTranslation] = Field(description="The n_best translations, best first.")
    parts: list[TranslatedPart]
    warnings: list[str] = Field(description="About divided lines and unknown characters.")


class AttentionRequest(_Strict):
    """A sentence and its translation: as tokens, as text, or neither, for the result of beam search."""

    text: Text
    tokens: list[int] | None = Field(
        None, max_length=MAX_CHARACTERS, description="The translation's tokens, as in the response of /translate."
    )
    target: Text | None = Field(default=None, description="The translation as text.")


class TokenizedText(BaseModel):
    """The source or the target, as sub-words."""

    pieces: list[str]
    words: list[tuple[int, int, str]] = Field(description="For each word: first piece, end piece (exclusive), text.")


class PieceProbability(BaseModel):
    """A token's piece and its probability at a position."""

    piece: str
    probability: float


class TokenAlternative(PieceProbability):
    """A probable token at a position."""

    token: int = Field(description="Token id.")


class LayerAttention(BaseModel):
    """Attention weights of one layer: heads × rows × columns."""

    name: str = Field(description='"encoder/0", "decoder/0" or "cross/0": kind and layer.')
    weights: list[list[list[float]]]


class AttentionResponse(BaseModel):
    """The model's probabilities and attention weights for a pair."""

    source: TokenizedText
    target: TokenizedText
    probability: list[float] = Field(description="Of each target piece, given the preceding pieces.")
    alternatives: list[list[TokenAlternative]] = Field(description="The most probable tokens at each target position.")
    attention: list[LayerAttention]


class ExplanationRequest(AttentionRequest):
    """A pair as for /attention, and one token of the translation to explain."""

    position: int = Field(ge=0, description="Number of the target token, from 0.")
    other: int | None = Field(
        default=None,
        description="Id of the token to compare with, one of the alternatives of /attention; default: the best.",
    )


class MethodAttribution(BaseModel):
    """What each token contributes to the log-odds, by one method."""

    method: str
    source: list[float] = Field(description="Of each source piece.")
    prefix: list[float] = Field(description="Of the start symbol and each target piece before the position.")


class LayerPrediction(BaseModel):
    """What the decoder would predict from its residual stream after a layer (logit lens)."""

    name: str
    probability: float = Field(description="Of the explained token.")
    top: list[PieceProbability] = Field(description="The most probable tokens.")


class PartEffects(BaseModel):
    """What a part of the decoder adds to the log-odds directly: one number, or one of each head."""

    name: str
    effects: list[float]


class ExplanationResponse(BaseModel):
    """Why the model prefers a target token to another one. A model's architecture decides which lists are empty."""

    position: int
    other: str = Field(description="Piece of the token that it is compared with.")
    score: float = Field(description="Log-odds of the target token over the other one.")
    attribution: list[MethodAttribution]
    lens: list[LayerPrediction]
    parts: list[PartEffects]


class HealthResponse(BaseModel):
    """The server's state and limits."""

    status: Literal["ok", "preparing"] = Field(description='"preparing": it answers, and still compiles programs.')
    run: str
    direction: str
    beam_size: int
    waiting: int = Field(description="Waiting texts.")
    places: int = Field(description="Capacity of the queue.")
    max_tokens: int = Field(description="Longer lines are translated in parts.")
    max_characters: int


class ErrorResponse(BaseModel):
    """The reason for an error."""

    error: str
