"""Noun phrases and prepositional phrases, in both languages at once."""

from __future__ import annotations

from transformer.data.grammar.agreement import Features
from transformer.data.grammar.draft import Draft, Phrase, Tokens, merge
from transformer.data.grammar.english import indefinite_article
from transformer.data.grammar.french import CONTRACTIONS, FourForms, starts_with_vowel
from transformer.data.grammar.lexicon import CONJUNCTIONS
from transformer.data.grammar.lexicon.entries import Adjective, Fixed
from transformer.data.grammar.nodes import Couple, NounPhrase, Place


def _same(word: str) -> FourForms:
    return word, word, word, word


# name: four French forms, English singular and plural
DETERMINERS: dict[str, tuple[FourForms, str, str]] = {
    "the": (("le", "la", "les", "les"), "the", "the"),
    "generic": (("le", "la", "les", "les"), "", ""),
    "a": (("un", "une", "des", "des"), "a", "some"),
    "this": (("ce", "cette", "ces", "ces"), "this", "these"),
    "my": (("mon", "ma", "mes", "mes"), "my", "my"),
    "our": (("notre", "notre", "nos", "nos"), "our", "our"),
    "your": (("votre", "votre", "vos", "vos"), "your", "your"),
    "two": (_same("deux"), "two", "two"),
    "three": (_same("trois"), "three", "three"),
    "four": (_same("quatre"), "four", "four"),
    "five": (_same("cinq"), "five", "five"),
    "ten": (_same("dix"), "ten", "ten"),
    "several": (_same("plusieurs"), "several", "several"),
    "few": (_same("quelques"), "a few", "a few"),
    "every": (_same("chaque"), "every", "every"),
    "which": (("quel", "quelle", "quels", "quelles"), "which", "which"),
    "many": (_same("beaucoup de"), "many", "many"),
    "how many": (_same("combien de"), "how many", "how many"),
}

# "own": the possessive of the clause's subject, by its person, with the English form for a masculine, feminine or thing
OWN_FRENCH: dict[int, FourForms] = {
    0: ("mon", "ma", "mes", "mes"),
    2: ("son", "sa", "ses", "ses"),
    3: ("notre", "notre", "nos", "nos"),
    4: ("votre", "votre", "vos", "vos"),
    5: ("leur", "leur", "leurs", "leurs"),
}
OWN_ENGLISH = {0: "my", 3: "our", 4: "your", 5: "their"}

# The feminine possessive becomes masculine before a vowel ("mon amie"), and "ce" becomes "cet".
BEFORE_VOWEL = {"ma": "mon", "sa": "son", "ce": "cet"}


def nominal(draft: Draft, node: NounPhrase | Couple, owner: Features | None = None, negated: bool = False) -> Phrase:
    """Returns the words of a noun phrase or of two joined ones.

    Args:
        draft: the realisation in progress.
        node: what to say; a pronoun is the business of its clause.
        owner: the subject that the determiner "own" refers to.
        negated: whether it is the direct object of a negated verb ("pas de pain").
    """
    if isinstance(node, NounPhrase):
        return noun_phrase(draft, node, owner, negated)
    draft.tags.add("coordination")
    french, english = noun_phrase(draft, node.first, owner, negated)
    joint_french, joint_english = draft.fixed(CONJUNCTIONS[node.conjunction])
    second_french, second_english = noun_phrase(draft, node.second, owner, negated)
    return french + joint_french + second_french, english + joint_english + second_english


def noun_phrase(draft: Draft, node: NounPhrase, owner: Features | None, negated: bool) -> Phrase:
    """Returns the words of a noun phrase: determiner, adjective, noun, complements, relative clause."""
    noun, plural, adjective = node.noun, node.plural, node.adjective
    anchor = draft.fresh()
    french: Tokens = [(noun.french[plural], anchor)]
    english: Tokens = [(noun.english[plural], anchor)]
    if noun.name:
        if noun.article:
            french.insert(0, (noun.article, 0))
    else:
        if plural:
            draft.tags.add("agreement-number")
        if adjective is not None:
            _modify(draft, adjective, noun.feminine + 2 * plural, french, english)
        if node.possessor is not None:
            french, english = _possessed(draft, node, node.possessor, french, english)
        else:
            french, english = _determined(draft, node, french, english, owner, negated)
    if node.complement is not None:
        of = draft.fresh()
        inner_french, inner_english = noun_phrase(draft, node.complement, None, False)
        french += attach(draft, [("de", of)], inner_french)
        english.append(("of", of))
        english += inner_english
    if node.relative is not None:
        clause_french, clause_english = draft.relative(draft, node)
        french += clause_french
        english += clause_english
    return french, english


def _modify(draft: Draft, adjective: Adjective, gender_number: int, french: Tokens, english: Tokens) -> None:
    """Puts an adjective beside the noun that the two lists hold."""
    anchor = draft.fresh()
    words = adjective.forms[gender_number]
    draft.tags.add("adjective-placement")
    if gender_number & 1 and words != adjective.forms[gender_number - 1]:
        draft.tags.add("agreement-gender")
    english.insert(0, (adjective.english, anchor))
    if not adjective.prenominal:
        french += [(word, anchor) for word in words]
    elif gender_number == 0 and adjective.before_vowel and starts_with_vowel(french[0][0]):
        french.insert(0, (adjective.before_vowel, anchor))
    else:
        french.insert(0, (words[0], anchor))


def _determined(
    draft: Draft, node: NounPhrase, french: Tokens, english: Tokens, owner: Features | None, negated: bool
) -> Phrase:
    """Returns the phrase with its determiner before it."""
    noun, plural, determiner = node.noun, node.plural, node.determiner
    gender_number = noun.feminine + 2 * plural
    anchor = draft.fresh()
    if determiner == "own":
        draft.tags.add("possessive")
        if owner is None:
            raise ValueError(f'the determiner "own" of {noun.lemma!r} needs a subject to refer to')
        form = OWN_FRENCH[owner.slot][gender_number]
        word = OWN_ENGLISH.get(owner.slot) or (("his", "her")[owner.gender_number & 1] if owner.human else "its")
    elif determiner in ("a", "some") and (noun.mass or determiner == "some"):
        draft.tags.add("partitive")
        english.insert(0, ("any" if negated else "some", anchor))
        if negated:
            return [("de", anchor), *french], english
        return attach(draft, [("de", anchor)], [(("le", "la")[noun.feminine], anchor), *french], tag=False), english
    else:
        forms, singular, many = DETERMINERS[determiner]
        form, word = forms[gender_number], many if plural else singular
        if determiner == "a":
            if plural and node.adjective is not None and node.adjective.prenominal:
                form = "de"
            if negated:
                form = "de"
                word = "any" if plural else word
        elif determiner == "generic":
            return [(form, 0), *french], english
        elif determiner in ("my", "our", "your"):
            draft.tags.add("possessive")
    if form in BEFORE_VOWEL and starts_with_vowel(french[0][0]):
        form = BEFORE_VOWEL[form]
    if word == "a":
        word = indefinite_article(english[0][0])
    if " " in form or " " in word:
        return [(w, anchor) for w in form.split()] + french, [(w, anchor) for w in word.split()] + english
    return [(form, anchor), *french], [(word, anchor), *english]


def _possessed(draft: Draft, node: NounPhrase, possessor: NounPhrase, french: Tokens, english: Tokens) -> Phrase:
    """Returns "le livre de Marie", "Marie's book"; the possessor's last English word answers for "le" and "de"."""
    draft.tags.add("possessive")
    article, of = draft.fresh(), draft.fresh()
    form = DETERMINERS["the"][0][node.noun.feminine + 2 * node.plural]
    owner_french, owner_english = noun_phrase(draft, possessor, None, False)
    word, anchor = owner_english[-1]
    owner_english[-1] = (word + "'s", merge(merge(anchor, of), article))
    return [(form, article), *french, *attach(draft, [("de", of)], owner_french)], owner_english + english


def attach(draft: Draft, preposition: Tokens, french: Tokens, tag: bool = True) -> Tokens:
    """Returns a French preposition before a phrase, contracted with its article where it must be ("du", "aux")."""
    word, anchor = preposition[-1]
    article, article_anchor = french[0]
    contracted = CONTRACTIONS.get((word, article))
    if contracted is None or (article == "le" and starts_with_vowel(french[1][0])):
        return preposition + french
    if tag:
        draft.tags.add("contraction")
    return [*preposition[:-1], (contracted, merge(anchor, article_anchor)), *french[1:]]


def prepositional(draft: Draft, preposition: Fixed, node: NounPhrase, owner: Features | None = None) -> Phrase:
    """Returns a preposition with the noun phrase after it."""
    french, english = draft.fixed(preposition)
    if node.noun.where is not None and node.noun.name:  # "en France", "au Canada": the preposition has the article
        anchor = draft.fresh()
        if french[-1][0] in ("au", "aux", "du"):
            draft.tags.add("contraction")
        return [*french, (node.noun.french[0], anchor)], [*english, (node.noun.english[0], anchor)]
    inner_french, inner_english = noun_phrase(draft, node, owner, False)
    return attach(draft, french, inner_french), english + inner_english


def place(draft: Draft, node: Place, owner: Features) -> Phrase:
    """Returns the words of a place."""
    return prepositional(draft, node.preposition, node.nominal, owner)
