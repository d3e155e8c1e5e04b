"""A generated corpus of French–English sentence pairs, to measure what a model has learned.

`generate(split, index, seed)` is a pure function. Each pair carries its gold word alignment and tags for the phenomena
in it. The splits share no sentence in either language, for any seed (see sampling.py). The sentences of "long" are
longer than those of all other splits.

Rules determine the translation, so that a perfect score is possible in both directions:

- Tenses correspond one to one (verb_group.py): "a mangé" = "ate", "mangeait" = "was eating", "mange" = "is eating",
  but "mange souvent" = "often eats". States have the imperfect: "connaissait" = "knew".
- "you" is always "vous", addressed to several people. "I", "we", "you", and "they" without an antecedent are masculine.
- "he" and "she" are people, "it" is a thing or an animal. A pronoun without an antecedent in the sentence is a person.
  In French, "il", "elle", "le" and "la" have the gender of their antecedent.
- "du pain" = "some bread" and "des livres" = "some books", but with aimer, adorer, détester and préférer "les livres" =
  "books". Negated, "pas de livre" = "not a book" and "pas de livres" = "not any books".
- Questions have "est-ce que", except with "qui" as the subject. English has no contractions (did not, cannot).

The parts, in the order of use:

- lexicon/: the entries, and which of them occur together;
- nodes.py: derivations, the trees that both languages share;
- generation/, corpus.py: sample derivations;
- phrases.py, predicates.py, clauses.py, sentences.py: realise a derivation in both languages, aligned word by word
  (`sentences.realise` also accepts a derivation that was built by hand);
- conjugation.py, french.py, english.py: inflection.
"""

from transformer.data.grammar.corpus import PHENOMENA, generate
from transformer.data.grammar.sampling import SPLITS
from transformer.data.grammar.sentences import AnnotatedPair

__all__ = ["PHENOMENA", "SPLITS", "AnnotatedPair", "generate"]
