"""Adjectives and states, as data.

`ADJECTIVES`: "english = french position : what it fits", position "pre" (before the noun in French), "post" (after it),
"beside" (before it, and never after être) or "pred" (only after être). What it fits is a list of kinds or of single
nouns. `STATES`: predicates that French says with avoir and a bare noun ("avoir faim") or with être and a fixed phrase
("être en colère").
"""

from __future__ import annotations

ADJECTIVES = """
    small = petit pre : youth animal fruit cake object building furniture clothing vehicle room garden island toy tree
    big = gros pre : animal fruit vegetable cake object book truck
    tall = grand pre : person tall
    young = jeune pre : grown animal
    old = vieux pre : grown animal object building furniture clothing vehicle device tree part room instrument built \
book
    new = nouveau beside : own furniture vehicle movie song plan
    beautiful = beau pre : woman lady queen princess scenic precious building clothing plant picture song movie \
instrument winged horse story
    pretty = joli pre : clothing picture bloom room box basket doll kitchenware island village valley beach
    good = bon pre : food drink readable movie match song idea answer plan eatery pro friend
    bad = mauvais pre : readable movie match song idea answer plan dream
    long = long pre : lengthy street road bridge valley rope
    high = haut pre : high
    rich = riche post : grown
    poor = pauvre post : farmer fisherman man woman writer student painter musician shepherd musician soldier
    brave = courageux post : person dog
    famous = célèbre post : famed readable movie song painting museum castle restaurant
    intelligent = intelligent post : person dog monkey
    kind = gentil post : grown youth kin
    shy = timide post : grown youth kin
    polite = poli post : grown youth kin
    honest = honnête post : pro kin neighbor student customer
    funny = drôle post : youth kin tale joke story neighbor
    patient = patient post : grown
    lazy = paresseux post : grown youth kin pet
    curious = curieux post : grown youth kin animal
    happy = heureux post : person
    sad = triste post : person song tale story letter
    tired = fatigué post : person animal
    sick = malade post : person animal
    busy = occupé pred : grown
    worried = inquiet post : grown youth kin
    jealous = jaloux post : grown youth kin
    proud = fier post : grown youth kin
    nervous = nerveux post : grown youth kin horse dog
    elegant = élégant post : grown clothing
    red = rouge post : clothing box bag suitcase pen pencil ball ladder vehicle bloom sofa armchair carpet apple door
    blue = bleu post : clothing box bag suitcase pen pencil ball umbrella vehicle bird sofa armchair carpet flower \
door cup
    green = vert post : clothing box bag suitcase pen pencil ball umbrella vehicle apple frog sofa carpet bottle door
    yellow = jaune post : clothing box pencil ball umbrella car bus bicycle taxi bloom armchair carpet bird
    white = blanc post : clothing horse cat rabbit goose cow house wall bloom sofa car plate cup
    black = noir post : clothing horse cat dog cow sheep bull bag suitcase umbrella car motorcycle piano pen
    gray = gris post : clothing cat donkey wolf rabbit mouse sofa carpet car
    brown = marron post : clothing horse cow dog bear bag suitcase sofa armchair
    expensive = cher post : food wine clothing furniture vehicle device instrument eatery hotel precious bag
    heavy = lourd post : heavy furniture
    broken = cassé post : fragile device chair bed umbrella toy instrument bicycle
    dirty = sale post : clothing kitchenware car truck bicycle room carpet sofa window knife
    clean = propre post : clothing kitchenware car bicycle room carpet window knife
    wet = mouillé post : clothing book letter dog cat carpet newspaper umbrella
    dry = sec post : clothing baked
    empty = vide post : empties room suitcase wardrobe
    wide = large post : wide
    narrow = étroit post : street bridge
    dangerous = dangereux post : danger road mountain knife desert
    deep = profond post : deep
    interesting = intéressant post : readable movie story adventure lesson question idea plan museum
    boring = ennuyeux post : readable movie match lesson
    difficult = difficile post : solved lesson book question novel article
    easy = facile post : solved lesson question
    useful = utile post : map knife rope hammer book device answer idea rule
    fragile = fragile post : fragile
    precious = précieux post : precious
    comfortable = confortable post : seat shoe boot coat sweater hotel car train
    modern = moderne post : building device kitchen train plane bridge
    delicious = délicieux post : dish sweet fruit drink bread honey cheese ham
    fresh = frais post : fruit vegetable bread milk egg
    sweet = sucré post : hotdrink juice cake pie fruit lemonade
    salty = salé post : soup ham cheese fish rice
    ripe = mûr post : fruit tomato
    rotten = pourri post : fruit vegetable
    raw = cru post : meat fish onion carrot
    hot = chaud post : hotdish hotdrink milk water
    cold = froid post : dish drink
    quiet = calme post : eatery room village street outdoor library hotel
    noisy = bruyant post : street restaurant market factory station youth
    fast = rapide post : car train boat plane motorcycle horse
    slow = lent post : bus train turtle computer
    strange = étrange post : talk tale song idea plan object house
    magnificent = magnifique post : building scenic precious dress winged horse
    ugly = laid post : clothing furniture house hotel painting
    wild = sauvage post : horse duck goose cat
    fierce = féroce post : danger
    loyal = fidèle post : dog friend
    gentle = doux post : pet horse sheep cow donkey
    round = rond post : table box mirror carpet window
    wooden = en_bois post : table chair desk shelf bed ladder bridge door gate toy spoon
    Italian = italien post : pro wine cheese movie restaurant car shoe
    French = français post : pro wine cheese bread movie restaurant car song novel newspaper
    English = anglais post : pro novel song car newspaper movie tea
    Spanish = espagnol post : pro wine ham movie restaurant song
"""

# Adjectives that would say something else beside these nouns: "un grand homme" is a great man, "ma jeune sœur" a
# younger sister, and "mon grand père" one hyphen from "my grandfather". After être they are what they seem.
NOT_BESIDE = {"tall": "kin man", "young": "brother sister"}

STATES = """
    afraid = avoir peur : person animal
    hungry = avoir faim : person animal
    thirsty = avoir soif : person animal
    cold = avoir froid : person pet
    hot = avoir chaud : person pet
    sleepy = avoir sommeil : person pet
    right = avoir raison : grown kin youth
    wrong = avoir tort : grown kin youth
    angry = être en colère : person
    late = être en retard : grown kin youth public
    on vacation = être en vacances : grown
"""
