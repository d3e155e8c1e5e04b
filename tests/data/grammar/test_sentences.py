"""Sentence pairs written by hand, which the grammar must realise from a derivation given in lemmas."""

import pytest

from transformer.data.grammar import PHENOMENA, lexicon
from transformer.data.grammar.agreement import HE, ME, THEY, WE, YOU, Agreement
from transformer.data.grammar.lexicon import ADJECTIVES, NOUNS, PREPOSITIONS, STATES, find_noun
from transformer.data.grammar.nodes import (
    Clause,
    ComparativePredicate,
    ControlPredicate,
    CoordinatedNounPhrase,
    Coordination,
    CopularPredicate,
    ExistentialPredicate,
    InfinitiveAdjunct,
    LocativePredicate,
    NounPhrase,
    OccupationPredicate,
    PlacePhrase,
    Pronoun,
    Question,
    RelativeClause,
    ReportPredicate,
    Subordination,
    VerbPhrase,
    pronoun_for,
)
from transformer.data.grammar.sentences import realise

I_ME = Pronoun(Agreement(ME, 0, True))
HE_HIM = Pronoun(Agreement(HE, 0, True))
SHE_HER = Pronoun(Agreement(HE, 1, True))
WE_US = Pronoun(Agreement(WE, 2, True))
YOU_ALL = Pronoun(Agreement(YOU, 2, True))
THEY_ALL = Pronoun(Agreement(THEY, 2, True))
IT_DUMMY = Pronoun(Agreement(HE, 0, False))


def verb(lemma):
    tables = (
        lexicon.TRANSITIVE,
        lexicon.INTRANSITIVE,
        lexicon.MOTION,
        lexicon.REPORT,
        lexicon.CONTROL,
        lexicon.WEATHER,
    )
    return next(table[lemma] for table in tables if lemma in table)


def act(lemma, thing=None, recipient=None):
    """Returns a verb phrase; with a recipient, its verb is ditransitive."""
    entry = lexicon.DITRANSITIVE[lemma] if recipient is not None else verb(lemma)
    return VerbPhrase(entry, thing, recipient)


def np(lemma, determiner="the", plural=False, adjective=None, **more):
    return NounPhrase(find_noun(lemma), determiner, plural, ADJECTIVES[adjective] if adjective else None, **more)


def many(lemma, determiner="the", adjective=None, **more):
    return np(lemma, determiner, True, adjective, **more)


def at(preposition, lemma, determiner="the", adjective=None):
    return PlacePhrase(PREPOSITIONS[preposition], np(lemma, determiner, adjective=adjective))


def place(lemma, role):
    """Returns the place phrase of a noun; `role` is "location", "destination" or "origin"."""
    preposition = getattr(find_noun(lemma), role)
    assert preposition is not None
    return PlacePhrase(preposition, np(lemma))


def control(lemma, thing):
    return ControlPredicate(lexicon.CONTROL[lemma], thing)


CHICKEN, ROAD, MARIE, PAUL = np("chicken"), np("road"), np("Marie"), np("Paul")
CROSSED = Clause(CHICKEN, act("cross", ROAD), "past", "not")
WIDE, TIRED, EXPENSIVE = ADJECTIVES["wide"], ADJECTIVES["tired"], ADJECTIVES["expensive"]
YESTERDAY, TOMORROW = lexicon.PAST_TIMES["yesterday"], lexicon.FUTURE_TIMES["tomorrow"]
OFTEN = lexicon.FREQUENCIES["often"]

PAIRS = {
    # coreference: il and elle agree with the antecedent of "it"
    "Le poulet n'a pas traversé la route parce qu'il avait peur.|"
    "The chicken did not cross the road because it was afraid.": Subordination(
        CROSSED, "because", Clause(pronoun_for(CHICKEN), CopularPredicate(STATES["afraid"]), "past")
    ),
    "Le poulet n'a pas traversé la route parce qu'elle était trop large.|"
    "The chicken did not cross the road because it was too wide.": Subordination(
        CROSSED, "because", Clause(pronoun_for(ROAD), CopularPredicate(WIDE, "too"), "past")
    ),
    "Marie a acheté un livre et elle l'a lu.|Marie bought a book and she read it.": Coordination(
        Clause(MARIE, act("buy", np("book", "a")), "past"),
        "and",
        Clause(pronoun_for(MARIE), act("read", pronoun_for(np("book"))), "past"),
    ),
    "Les pommes étaient trop chères, donc Paul ne les a pas achetées.|"
    "The apples were too expensive, so Paul did not buy them.": Coordination(
        Clause(many("apple"), CopularPredicate(EXPENSIVE, "too"), "past"),
        "so",
        Clause(PAUL, act("buy", pronoun_for(many("apple"))), "past", "not"),
    ),
    "Si la lettre est trop longue, Paul ne la lira pas.|"
    "If the letter is too long, Paul will not read it.": Subordination(
        Clause(PAUL, act("read", pronoun_for(np("letter"))), "future", "not"),
        "if",
        Clause(np("letter"), CopularPredicate(ADJECTIVES["long"], "too"), "condition"),
        fronted=True,
    ),
    # tenses, one to one
    "La fille mange une pomme.|The girl is eating an apple.": Clause(np("girl"), act("eat", np("apple", "a"))),
    "Nous avons mangé du pain.|We ate some bread.": Clause(WE_US, act("eat", np("bread", "some")), "past"),
    "Vous achèterez les livres demain.|You will buy the books tomorrow.": Clause(
        YOU_ALL, act("buy", many("book")), "future", time=TOMORROW
    ),
    "Mon oncle connaissait ce roi.|My uncle knew this king.": Clause(
        np("uncle", "my"), act("know", np("king", "this")), "past"
    ),
    "Elle dort souvent dans le jardin.|She often sleeps in the garden.": Clause(
        SHE_HER, act("sleep"), frequency=OFTEN, place=place("garden", "location")
    ),
    "Le garçon dormait quand Marie est arrivée.|The boy was sleeping when Marie arrived.": Subordination(
        Clause(np("boy"), act("sleep"), "background"), "when", Clause(MARIE, act("arrive"), "past")
    ),
    "Quand Marie arrivera, nous mangerons.|When Marie arrives, we will eat.": Subordination(
        Clause(WE_US, act("eat"), "future"), "when", Clause(MARIE, act("arrive"), "prospect"), fronted=True
    ),
    "S'il pleut, ils ne partiront pas.|If it rains, they will not leave.": Subordination(
        Clause(THEY_ALL, act("leave"), "future", "not"), "if", Clause(IT_DUMMY, act("rain"), "condition"), fronted=True
    ),
    "Paul est parti bien qu'il soit fatigué.|Paul left although he was tired.": Subordination(
        Clause(PAUL, act("leave"), "past"),
        "although",
        Clause(pronoun_for(PAUL), CopularPredicate(TIRED), "concession, past"),
    ),
    # negation
    "Ils ne mangent jamais de viande.|They never eat any meat.": Clause(
        THEY_ALL, act("eat", np("meat", "some")), negation="never"
    ),
    "Paul n'a pas acheté de livre.|Paul did not buy a book.": Clause(PAUL, act("buy", np("book", "a")), "past", "not"),
    "Vous ne pouvez pas ouvrir la porte.|You cannot open the door.": Clause(
        YOU_ALL, control("can", act("open", np("door"))), negation="not"
    ),
    # questions
    "Est-ce que la reine est fatiguée ?|Is the queen tired?": Question(Clause(np("queen"), CopularPredicate(TIRED))),
    "Est-ce qu'Hélène a traversé le pont ?|Did Hélène cross the bridge?": Question(
        Clause(np("Hélène"), act("cross", np("bridge")), "past")
    ),
    "Pourquoi est-ce que le bébé ne dort pas ?|Why is the baby not sleeping?": Question(
        Clause(np("baby"), act("sleep"), negation="not"), "why"
    ),
    "Qu'est-ce qu'elle cherche ?|What is she looking for?": Question(Clause(SHE_HER, act("look for")), "what"),
    "Qui a cassé la tasse ?|Who broke the cup?": Question(Clause(None, act("break", np("cup")), "past"), "who"),
    "Où est-ce que votre frère habite ?|Where does your brother live?": Question(
        Clause(np("brother", "your"), act("live")), "where"
    ),
    "Quelle robe est-ce que Marie a achetée ?|Which dress did Marie buy?": Question(
        Clause(MARIE, act("buy"), "past"), "which", np("dress", "which")
    ),
    "Combien d'œufs est-ce que vous avez mangés ?|How many eggs did you eat?": Question(
        Clause(YOU_ALL, act("eat"), "past"), "which", many("egg", "how many")
    ),
    "À qui est-ce que Paul a donné la clé ?|Who did Paul give the key to?": Question(
        Clause(PAUL, VerbPhrase(lexicon.DITRANSITIVE["give"], np("key")), "past"), "to whom"
    ),
    # articles, agreement, the place of adjectives
    "De belles fleurs sont dans un vieil hôpital.|Some beautiful flowers are in an old hospital.": Clause(
        many("flower", "a", "beautiful"), LocativePredicate(at("in", "hospital", "a", "old"))
    ),
    "Cet homme a une veste noire.|This man has a black jacket.": Clause(
        np("man", "this"), act("have", np("jacket", "a", adjective="black"))
    ),
    "Mon école est plus grande que votre église.|My school is taller than your church.": Clause(
        np("school", "my"), ComparativePredicate(ADJECTIVES["tall"], np("church", "your"))
    ),
    "Les journaux sont ennuyeux.|The newspapers are boring.": Clause(
        many("newspaper"), CopularPredicate(ADJECTIVES["boring"])
    ),
    "Deux chevaux marron boivent de l'eau.|Two brown horses are drinking some water.": Clause(
        many("horse", "two", "brown"), act("drink", np("water", "some"))
    ),
    "Sophie est infirmière.|Sophie is a nurse.": Clause(np("Sophie"), OccupationPredicate(NOUNS["nurse"])),
    # elision and contraction; nothing elides before an aspirated h
    "Le héros a besoin d'une hache.|The hero needs an axe.": Clause(np("hero"), act("need", np("axe", "a"))),
    "L'enfant joue de la harpe et le roi joue du piano.|"
    "The child is playing the harp and the king is playing the piano.": (
        Coordination(
            Clause(np("child"), act("play music", np("harp"))),
            "and",
            Clause(np("king"), act("play music", np("piano"))),
        )
    ),
    "Le chat a peur du hibou.|The cat is afraid of the owl.": Clause(np("cat"), act("be afraid of", np("owl"))),
    "Elle est allée au marché pour acheter du miel.|She went to the market to buy some honey.": Clause(
        SHE_HER,
        act("go"),
        "past",
        place=place("market", "destination"),
        adjunct=InfinitiveAdjunct(PREPOSITIONS["to do"], act("buy", np("honey", "some"))),
    ),
    "Anne est revenue du Japon hier.|Anne came back from Japan yesterday.": Clause(
        np("Anne"), act("come back"), "past", place=place("Japan", "origin"), time=YESTERDAY
    ),
    "Le voleur n'aime pas la Hollande.|The thief does not like Holland.": Clause(
        np("thief"), act("like", np("Holland")), negation="not"
    ),
    "Il y a deux chats sous la table.|There are two cats under the table.": Clause(
        IT_DUMMY, ExistentialPredicate(many("cat", "two"), at("under", "table"))
    ),
    # object pronouns
    "Paul me les a montrés.|Paul showed them to me.": Clause(
        PAUL, act("show", pronoun_for(many("book")), I_ME), "past"
    ),
    "Elle la lui a donnée.|She gave it to him.": Clause(SHE_HER, act("give", pronoun_for(np("key")), HE_HIM), "past"),
    "Le médecin nous a vus.|The doctor saw us.": Clause(np("doctor"), act("see", WE_US), "past"),
    "Je leur parlerai.|I will talk to them.": Clause(I_ME, act("talk to", THEY_ALL), "future"),
    # relative clauses
    "La pomme qu'il a mangée était mûre.|The apple that he ate was ripe.": Clause(
        np("apple", relative=RelativeClause("object", Clause(HE_HIM, act("eat"), "past"))),
        CopularPredicate(ADJECTIVES["ripe"]),
        "past",
    ),
    "La pomme qu'il a essayé de manger était pourrie.|The apple that he tried to eat was rotten.": Clause(
        np("apple", relative=RelativeClause("object", Clause(HE_HIM, control("try", act("eat")), "past"))),
        CopularPredicate(ADJECTIVES["rotten"]),
        "past",
    ),
    "L'homme qui lit le journal est juge.|The man who is reading the newspaper is a judge.": Clause(
        np("man", relative=RelativeClause("subject", Clause(None, act("read", np("newspaper"))))),
        OccupationPredicate(NOUNS["judge"]),
    ),
    "Marie a vendu la maison où elle habitait.|Marie sold the house where she lived.": Clause(
        MARIE,
        act("sell", np("house", relative=RelativeClause("place", Clause(pronoun_for(MARIE), act("live"), "past")))),
        "past",
    ),
    # coordination and subordination
    "Pierre et ma sœur chantent et dansent.|Pierre and my sister are singing and dancing.": Coordination(
        Clause(CoordinatedNounPhrase(np("Pierre"), np("sister", "my")), act("sing")), "and", Clause(None, act("dance"))
    ),
    "Marie et Anne se sont levées.|Marie and Anne got up.": Clause(
        CoordinatedNounPhrase(MARIE, np("Anne")), act("get up"), "past"
    ),
    "Julie pense que le film est très long.|Julie thinks that the movie is very long.": Clause(
        np("Julie"), ReportPredicate(verb("think"), Clause(np("movie"), CopularPredicate(ADJECTIVES["long"], "very")))
    ),
    "Paul a signé la lettre sans la lire.|Paul signed the letter without reading it.": Clause(
        PAUL,
        act("sign", np("letter")),
        "past",
        adjunct=InfinitiveAdjunct(PREPOSITIONS["without doing"], act("read", pronoun_for(np("letter")))),
    ),
    "Nous avons essayé de réparer le toit de l'église.|We tried to repair the roof of the church.": Clause(
        WE_US, control("try", act("repair", np("roof", complement=np("church")))), "past"
    ),
    # possessives
    "Le chien du voisin a perdu sa balle.|The neighbor's dog lost its ball.": Clause(
        np("dog", possessor=np("neighbor")), act("lose", np("ball", "own")), "past"
    ),
    "Julie a lavé son écharpe et ses gants.|Julie washed her scarf and her gloves.": Clause(
        np("Julie"), act("wash", CoordinatedNounPhrase(np("scarf", "own"), many("glove", "own"))), "past"
    ),
}


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.partition("|")[2])
def test_a_derivation_gives_the_pair_written_by_hand(pair):
    french, _, english = pair.partition("|")
    example = realise(PAIRS[pair])
    assert (example.french, example.english) == (french, english)


def test_there_are_forty_pairs_and_they_show_nearly_all_phenomena():
    shown = frozenset().union(*(realise(derivation).tags for derivation in PAIRS.values()))
    assert len(PAIRS) >= 40
    assert set(PHENOMENA) - shown == {"length"}


def test_own_without_a_subject_is_an_error():
    with pytest.raises(ValueError, match="'ball' needs a subject"):
        realise(Clause(np("ball", "own"), CopularPredicate(ADJECTIVES["old"])))


def test_a_clause_without_a_subject_is_an_error():
    with pytest.raises(ValueError, match="without a subject"):
        realise(Clause(None, act("sleep")))
