"""Adverbs, time expressions, prepositions and conjunctions: words that do not inflect, as data.

"english = french : links" where a link "2-0" joins French word 2 to English word 0 (counted from 0); without links
every word of one side is joined to every word of the other.
"""

from __future__ import annotations

FREQUENCY = "often = souvent; always = toujours; sometimes = parfois; rarely = rarement; usually = généralement"

# "english = french : the verbs it goes with"
MANNER = """
    quickly = rapidement : run walk eat work read write clean cross fold prepare;
    slowly = lentement : walk eat swim drive read cross climb open; softly = doucement : sing talk_to smile snore;
    silently = silencieusement : cry walk pray work wait_for read;
    cautiously = prudemment : drive cross climb open carry; carefully = soigneusement : fold clean brush cut wash write;
    patiently = patiemment : wait_for listen_to explain work; attentively = attentivement : listen_to watch read study;
    gracefully = gracieusement : dance run; peacefully = paisiblement : sleep rest;
    noisily = bruyamment : eat laugh cough; seriously = sérieusement : work study;
    cheerfully = joyeusement : sing dance work; politely = poliment : answer thank;
    nervously = nerveusement : laugh smile wait_for; secretly = secrètement : hide follow
"""

PAST_TIMES = """
    yesterday = hier; last week = la semaine dernière : 1-1 2-0; last month = le mois dernier : 1-1 2-0;
    last year = l' année dernière : 1-1 2-0; last night = hier soir : 0-0 1-1; yesterday morning = hier matin : 0-0 1-1;
    this morning = ce matin : 0-0 1-1; last Monday = lundi dernier : 0-1 1-0; last Tuesday = mardi dernier : 0-1 1-0;
    last Friday = vendredi dernier : 0-1 1-0; last Saturday = samedi dernier : 0-1 1-0;
    two days ago = il y a deux jours : 0-2 1-2 2-2 3-0 4-1; last summer = l' été dernier : 1-1 2-0;
    last winter = l' hiver dernier : 1-1 2-0
"""

FUTURE_TIMES = """
    tomorrow = demain; next week = la semaine prochaine : 1-1 2-0; next month = le mois prochain : 1-1 2-0;
    next year = l' année prochaine : 1-1 2-0; tomorrow morning = demain matin : 0-0 1-1; soon = bientôt;
    this evening = ce soir : 0-0 1-1; next Thursday = jeudi prochain : 0-1 1-0;
    next Sunday = dimanche prochain : 0-1 1-0; next Wednesday = mercredi prochain : 0-1 1-0;
    in two days = dans deux jours : 0-0 1-1 2-2
"""

PRESENT_TIMES = "now = maintenant; today = aujourd'hui; at the moment = en ce moment : 0-0 1-1 2-2"

HABIT_TIMES = """
    every day = tous les jours : 0-0 1-0 2-1; every morning = tous les matins : 0-0 1-0 2-1;
    every evening = tous les soirs : 0-0 1-0 2-1; every week = toutes les semaines : 0-0 1-0 2-1;
    every Saturday = tous les samedis : 0-0 1-0 2-1
"""

PREPOSITIONS = """
    in = dans; at = à; on = sur; under = sous; behind = derrière; in front of = devant;
    next to = à côté de : 0-0 1-0 2-1; near = près de; into = dans; to = à; from = de;
    to [do] = pour; without [doing] = sans; before [doing] = avant de
"""

CONJUNCTIONS = """
    and = et; and [too] = et; but = mais; or = ou; so = donc; because = parce que; when = quand; if = si;
    while = pendant que; although = bien que; that = que
"""

DEGREES = "very = très; too = trop"
