"""A generated corpus of French–English sentence pairs: an instrument for measuring what a model has learnt.

`generate(split, index, seed)` is a pure function. Each pair carries its gold word alignment and tags for the phenomena
in it. The splits share no sentence in either language, whatever the seed (sampling.py says why), and "long" is longer
than all of them.

What a translation is, is decided by rule, so that a perfect system is possible in both directions:

- tenses correspond one to one (verb_group.py): "a mangé" = "ate", "mangeait" = "was eating", "mange" = "is eating",
  but "mange souvent" = "often eats"; states have the imperfect: "connaissait" = "knew";
- "you" is always "vous", said to several people; "I", "we" and "you" are masculine, and so is "they" without an
  antecedent;
- "he" and "she" are people, "it" is a thing or an animal; a pronoun that is about nobody in the sentence is about
  people, and in French the gender of "il", "elle", "le", "la" is that of the noun it stands for;
- "du pain" = "some bread" and "des livres" = "some books", but with aimer, adorer, détester and préférer "les livres" =
  "books"; negated, "pas de livre" = "not a book", "pas de livres" = "not any books";
- questions have "est-ce que", except "qui" as the subject; English has no contractions (did not, cannot).

Where the rest lives: lexicon/ says what there is and what goes with what, nodes.py what a sentence is before it is
said, and drawing/ which sentences there are. phrases.py, predicates.py, clauses.py and sentences.py say one in both
languages at once; conjugation.py, french.py and english.py inflect. `sentences.realise` takes a derivation that was
built by hand.
"""

from transformer.data.grammar.corpus import PHENOMENA, generate
from transformer.data.grammar.sampling import SPLITS
from transformer.data.grammar.sentences import Example

__all__ = ["PHENOMENA", "SPLITS", "Example", "generate"]
