"""Noun phrases and prepositional phrases, in both languages at once."""

from __future__ import annotations

from transformer.data.grammar.agreement import HE, Agreement
from transformer.data.grammar.draft import AlignedPhrase, Realisation, Tokens, concatenate, merge_anchors
from transformer.data.grammar.english import indefinite_article
from transformer.data.grammar.french import CONTRACTIONS, FourForms, starts_with_vowel
from transformer.data.grammar.lexicon import CONJUNCTIONS
from transformer.data.grammar.lexicon.entries import Adjective
from transformer.data.grammar.nodes import CoordinatedNounPhrase, NounPhrase, PlacePhrase
from transformer.data.grammar.tables import read_mapping

# name → four French forms, English singular and plural
DETERMINERS: dict[str, tuple[FourForms, str, str]] = read_mapping(
    "determiners.tsv",
    "determiner ms fs mp fp singular? plural?",
    lambda row: ((row["ms"], row["fs"], row["mp"], row["fp"]), row["singular"], row["plural"]),
)

# "own": the possessive of the clause's subject, by person; in English, "his" stands for his, her and its.
OWN = {0: "my", 2: "his", 3: "our", 4: "your", 5: "their"}

# The feminine possessive becomes masculine before a vowel ("mon amie"), and "ce" becomes "cet".
BEFORE_VOWEL = {"ma": "mon", "sa": "son", "ce": "cet"}


def nominal(
    context: Realisation,
    node: NounPhrase | CoordinatedNounPhrase,
    owner: Agreement | None = None,
    negated: bool = False,
) -> AlignedPhrase:
    """Returns the words of a noun phrase or of two coordinated ones.

    Args:
        context: the realisation in progress.
        node: the noun phrase; clauses realise pronouns.
        owner: agreement features of the subject that the determiner "own" refers to.
        negated: whether it is the direct object of a negated verb ("pas de pain").
    """
    if isinstance(node, NounPhrase):
        return _noun_phrase(context, node, owner, negated)
    context.tags.add("coordination")
    first = _noun_phrase(context, node.first, owner, negated)
    conjunction = context.uninflected(CONJUNCTIONS[node.conjunction])
    return concatenate(first, conjunction, _noun_phrase(context, node.second, owner, negated))


def _noun_phrase(context: Realisation, node: NounPhrase, owner: Agreement | None, negated: bool) -> AlignedPhrase:
    """Returns the words of a noun phrase: determiner, adjective, noun, complements, relative clause."""
    noun, plural, adjective = node.noun, node.plural, node.adjective
    anchor = context.new_anchor()
    french: Tokens = [(noun.french[plural], anchor)]
    english: Tokens = [(noun.english[plural], anchor)]
    if noun.name:
        if noun.article:
            french.insert(0, (noun.article, 0))
    else:
        if plural:
            context.tags.add("agreement-number")
        if adjective is not None:
            _add_adjective(context, adjective, noun.feminine + 2 * plural, french, english)
        if node.possessor is not None:
            french, english = _with_possessor(context, node, node.possessor, (french, english))
        else:
            french, english = _with_determiner(context, node, (french, english), owner, negated)
    words = french, english
    if node.complement is not None:
        of = context.word("de", "of")
        words = concatenate(words, attach_preposition(context, of, nominal(context, node.complement)))
    return words if node.relative is None else concatenate(words, context.realise_relative(context, node))


def _add_adjective(
    context: Realisation, adjective: Adjective, gender_number: int, french: Tokens, english: Tokens
) -> None:
    """Adds an attributive adjective to the noun in the two lists."""
    anchor = context.new_anchor()
    words = adjective.forms[gender_number]
    context.tags.add("adjective-placement")
    if gender_number & 1 and words != adjective.forms[gender_number - 1]:
        context.tags.add("agreement-gender")
    english.insert(0, (adjective.english, anchor))
    if not adjective.prenominal:
        french += [(word, anchor) for word in words]
    elif gender_number == 0 and adjective.before_vowel and starts_with_vowel(french[0][0]):
        french.insert(0, (adjective.before_vowel, anchor))
    else:
        french.insert(0, (words[0], anchor))


def _with_determiner(
    context: Realisation, node: NounPhrase, phrase: AlignedPhrase, owner: Agreement | None, negated: bool
) -> AlignedPhrase:
    """Returns the phrase with its determiner."""
    french, english = phrase
    noun, plural, determiner = node.noun, node.plural, node.determiner
    gender_number = noun.feminine + 2 * plural
    anchor = context.new_anchor()
    if determiner == "own" and owner is None:
        raise ValueError(f'the determiner "own" of {noun.lemma!r} needs a subject to refer to')
    if determiner in ("a", "some") and (noun.mass or determiner == "some"):
        context.tags.add("partitive")
        english.insert(0, ("any" if negated else "some", anchor))
        if negated:
            return [("de", anchor), *french], english
        french.insert(0, (("le", "la")[noun.feminine], anchor))
        return attach_preposition(context, ([("de", anchor)], []), (french, english), tag=False)
    forms, singular, many = DETERMINERS[OWN[owner.person] if owner and determiner == "own" else determiner]
    form, word = forms[gender_number], many if plural else singular
    if determiner in ("my", "our", "your", "own"):
        context.tags.add("possessive")
    if determiner == "own" and owner is not None and owner.person == HE:
        word = ("his", "her")[owner.gender_number & 1] if owner.human else "its"
    elif determiner == "generic":  # English has no article
        return [(form, 0), *french], english
    elif determiner == "a":
        if negated or (plural and node.adjective is not None and node.adjective.prenominal):
            form = "de"
        if negated and plural:
            word = "any"
    if form in BEFORE_VOWEL and starts_with_vowel(french[0][0]):
        form = BEFORE_VOWEL[form]
    if word == "a":
        word = indefinite_article(english[0][0])
    if " " in form or " " in word:
        return [(w, anchor) for w in form.split()] + french, [(w, anchor) for w in word.split()] + english
    return [(form, anchor), *french], [(word, anchor), *english]


def _with_possessor(
    context: Realisation, node: NounPhrase, possessor: NounPhrase, noun: AlignedPhrase
) -> AlignedPhrase:
    """Returns "le livre de Marie", "Marie's book"; the possessor's last English word is aligned with "le" and "de"."""
    context.tags.add("possessive")
    article, of = context.new_anchor(), context.new_anchor()
    form = DETERMINERS["the"][0][node.noun.feminine + 2 * node.plural]
    french, english = attach_preposition(context, ([("de", of)], []), nominal(context, possessor))
    word, anchor = english[-1]
    english[-1] = (word + "'s", merge_anchors(anchor, of, article))
    return [(form, article), *noun[0], *french], [*english, *noun[1]]


def attach_preposition(
    context: Realisation, preposition: AlignedPhrase, phrase: AlignedPhrase, tag: bool = True
) -> AlignedPhrase:
    """Returns a phrase after a preposition, which French contracts with an article if necessary ("du", "aux")."""
    french = phrase[0]
    word, anchor = preposition[0][-1]
    article, article_anchor = french[0]
    contracted = CONTRACTIONS.get((word, article))
    if contracted is None or (article == "le" and starts_with_vowel(french[1][0])):
        return concatenate(preposition, phrase)
    if tag:
        context.tags.add("contraction")
    contraction = (contracted, merge_anchors(anchor, article_anchor))
    return [*preposition[0][:-1], contraction, *french[1:]], preposition[1] + phrase[1]


def place_phrase(context: Realisation, node: PlacePhrase, owner: Agreement) -> AlignedPhrase:
    """Returns the words of a place: a preposition with the noun phrase after it."""
    preposition = context.uninflected(node.preposition)
    noun = node.nominal.noun
    if noun.location is None or not noun.name:
        return attach_preposition(context, preposition, nominal(context, node.nominal, owner))
    # "au Canada": the preposition contains the article
    if preposition[0][-1][0] in ("au", "aux", "du"):
        context.tags.add("contraction")
    return concatenate(preposition, context.word(noun.french[0], noun.english[0]))
