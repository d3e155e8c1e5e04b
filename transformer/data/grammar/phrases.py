"""Noun phrases and prepositional phrases, in both languages at once."""

from __future__ import annotations

from transformer.data.grammar.agreement import AgreementFeatures
from transformer.data.grammar.draft import AlignedPhrase, RealisationContext, Tokens, merge_anchors
from transformer.data.grammar.english import indefinite_article
from transformer.data.grammar.french import CONTRACTIONS, FourForms, starts_with_vowel
from transformer.data.grammar.lexicon import CONJUNCTIONS
from transformer.data.grammar.lexicon.entries import Adjective, UninflectedPhrase
from transformer.data.grammar.nodes import CoordinatedNounPhrase, NounPhrase, PlacePhrase


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

# "own": the possessive of the clause's subject, by person; English chooses his, her or its for the others.
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


def nominal(
    context: RealisationContext,
    node: NounPhrase | CoordinatedNounPhrase,
    owner: AgreementFeatures | None = None,
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
        return noun_phrase(context, node, owner, negated)
    context.tags.add("coordination")
    french, english = noun_phrase(context, node.first, owner, negated)
    joint_french, joint_english = context.uninflected(CONJUNCTIONS[node.conjunction])
    second_french, second_english = noun_phrase(context, node.second, owner, negated)
    return french + joint_french + second_french, english + joint_english + second_english


def noun_phrase(
    context: RealisationContext, node: NounPhrase, owner: AgreementFeatures | None, negated: bool
) -> AlignedPhrase:
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
            french, english = _with_possessor(context, node, node.possessor, french, english)
        else:
            french, english = _with_determiner(context, node, french, english, owner, negated)
    if node.complement is not None:
        of = context.new_anchor()
        inner_french, inner_english = noun_phrase(context, node.complement, None, False)
        french += attach_preposition(context, [("de", of)], inner_french)
        english.append(("of", of))
        english += inner_english
    if node.relative is not None:
        clause_french, clause_english = context.realise_relative(context, node)
        french += clause_french
        english += clause_english
    return french, english


def _add_adjective(
    context: RealisationContext, adjective: Adjective, gender_number: int, french: Tokens, english: Tokens
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
    context: RealisationContext,
    node: NounPhrase,
    french: Tokens,
    english: Tokens,
    owner: AgreementFeatures | None,
    negated: bool,
) -> AlignedPhrase:
    """Returns the phrase with its determiner."""
    noun, plural, determiner = node.noun, node.plural, node.determiner
    gender_number = noun.feminine + 2 * plural
    anchor = context.new_anchor()
    if determiner == "own":
        context.tags.add("possessive")
        if owner is None:
            raise ValueError(f'the determiner "own" of {noun.lemma!r} needs a subject to refer to')
        form = OWN_FRENCH[owner.person][gender_number]
        word = OWN_ENGLISH.get(owner.person) or (("his", "her")[owner.gender_number & 1] if owner.human else "its")
    elif determiner in ("a", "some") and (noun.mass or determiner == "some"):
        context.tags.add("partitive")
        english.insert(0, ("any" if negated else "some", anchor))
        if negated:
            return [("de", anchor), *french], english
        return attach_preposition(
            context, [("de", anchor)], [(("le", "la")[noun.feminine], anchor), *french], tag=False
        ), english
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
            context.tags.add("possessive")
    if form in BEFORE_VOWEL and starts_with_vowel(french[0][0]):
        form = BEFORE_VOWEL[form]
    if word == "a":
        word = indefinite_article(english[0][0])
    if " " in form or " " in word:
        return [(w, anchor) for w in form.split()] + french, [(w, anchor) for w in word.split()] + english
    return [(form, anchor), *french], [(word, anchor), *english]


def _with_possessor(
    context: RealisationContext, node: NounPhrase, possessor: NounPhrase, french: Tokens, english: Tokens
) -> AlignedPhrase:
    """Returns "le livre de Marie", "Marie's book"; the possessor's last English word is aligned with "le" and "de"."""
    context.tags.add("possessive")
    article, of = context.new_anchor(), context.new_anchor()
    form = DETERMINERS["the"][0][node.noun.feminine + 2 * node.plural]
    owner_french, owner_english = noun_phrase(context, possessor, None, False)
    word, anchor = owner_english[-1]
    owner_english[-1] = (word + "'s", merge_anchors(merge_anchors(anchor, of), article))
    return [(form, article), *french, *attach_preposition(context, [("de", of)], owner_french)], owner_english + english


def attach_preposition(context: RealisationContext, preposition: Tokens, french: Tokens, tag: bool = True) -> Tokens:
    """Returns a French preposition before a phrase, contracted with its article if necessary ("du", "aux")."""
    word, anchor = preposition[-1]
    article, article_anchor = french[0]
    contracted = CONTRACTIONS.get((word, article))
    if contracted is None or (article == "le" and starts_with_vowel(french[1][0])):
        return preposition + french
    if tag:
        context.tags.add("contraction")
    return [*preposition[:-1], (contracted, merge_anchors(anchor, article_anchor)), *french[1:]]


def prepositional(
    context: RealisationContext,
    preposition: UninflectedPhrase,
    node: NounPhrase,
    owner: AgreementFeatures | None = None,
) -> AlignedPhrase:
    """Returns a preposition with the noun phrase after it."""
    french, english = context.uninflected(preposition)
    if node.noun.location is not None and node.noun.name:  # "au Canada": the preposition contains the article
        anchor = context.new_anchor()
        if french[-1][0] in ("au", "aux", "du"):
            context.tags.add("contraction")
        return [*french, (node.noun.french[0], anchor)], [*english, (node.noun.english[0], anchor)]
    inner_french, inner_english = noun_phrase(context, node, owner, False)
    return attach_preposition(context, french, inner_french), english + inner_english


def place_phrase(context: RealisationContext, node: PlacePhrase, owner: AgreementFeatures) -> AlignedPhrase:
    """Returns the words of a place."""
    return prepositional(context, node.preposition, node.nominal, owner)
