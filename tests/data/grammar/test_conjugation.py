import pytest

from transformer.data.grammar.conjugation import conjugate


@pytest.mark.parametrize(
    ("infinitive", "person", "forms"),
    [
        ("manger", 3, "mangeons mangions mangerons"),
        ("commencer", 3, "commençons commencions commencerons"),
        ("acheter", 2, "achète achetait achètera"),
        ("préférer", 5, "préfèrent préféraient préféreront"),
        ("nettoyer", 2, "nettoie nettoyait nettoiera"),
        ("essayer", 0, "essaie essayais essaierai"),
        ("choisir", 4, "choisissez choisissiez choisirez"),
        ("attendre", 2, "attend attendait attendra"),
        ("protéger", 3, "protégeons protégions protégerons"),
        ("envoyer", 5, "envoient envoyaient enverront"),
        ("voir", 3, "voyons voyions verrons"),
        ("être", 5, "sont étaient seront"),
        ("avoir", 0, "ai avais aurai"),
        ("aller", 5, "vont allaient iront"),
        ("peindre", 3, "peignons peignions peindrons"),
        ("étudier", 3, "étudions étudiions étudierons"),
    ],
)
def test_french_conjugation(infinitive, person, forms):
    verb = conjugate(infinitive)
    assert f"{verb.present[person]} {verb.imperfect[person]} {verb.future[person]}" == forms


def test_a_verb_that_cannot_be_conjugated_is_refused():
    with pytest.raises(ValueError, match="'pouvant': add a row"):
        conjugate("pouvant")
