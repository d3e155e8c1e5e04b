"""Nouns, as data: kinds → "english[/plural]=french gender [+more kinds]" entries, separated by ";".

The kinds say what a noun can be the subject or the object of (lexicon/verbs.py) and which adjectives fit it
(lexicon/adjectives.py). Every noun has one English and one French lemma: "fille" is always "girl", never "daughter".
`loc:dans=in` and `dest:à=to` give the prepositions of a place, French=English: where one is, and where one goes.
"""

from __future__ import annotations

NOUNS = {
    "person": """
        man/men=homme m +grown; woman/women=femme f +grown; boy=garçon m +youth; girl=fille f +youth;
        child/children=enfant m +youth; baby/babies=bébé m; neighbor=voisin m +grown; tourist=touriste m +grown;
        king=roi m +grown +famed; queen=reine f +grown +famed; prince=prince m +grown +famed; patient=patient m +grown;
        princess=princesse f +grown +famed; pirate=pirate m +grown +famed; witch=sorcière f +grown; hero=héros m +grown;
        thief/thieves=voleur m +grown; student=étudiant m +grown; traveler=voyageur m +grown; guest=invité m +grown;
        customer=client m +grown; lady=dame f +grown; giant=géant m +grown; passenger=passager m +grown
    """,
    "person grown pro": """
        doctor=médecin m; lawyer=avocat m; teacher=professeur m; nurse=infirmière f; baker=boulanger m;
        farmer=fermier m; fisherman/fishermen=pêcheur m; policeman/policemen=policier m; firefighter=pompier m;
        soldier=soldat m; sailor=marin m; painter=peintre m +famed; writer=écrivain m +famed; singer=chanteuse f +famed;
        dancer=danseuse f +famed; actress=actrice f +famed; waitress=serveuse f; hairdresser=coiffeuse f;
        saleswoman/saleswomen=vendeuse f; judge=juge m; chef=cuisinier m +famed; gardener=jardinier m;
        mechanic=mécanicien m; mailman/mailmen=facteur m; butcher=boucher m; pilot=pilote m; journalist=journaliste m;
        engineer=ingénieur m; musician=musicien m +famed; shepherd=berger m
    """,
    "person kin": """
        father=père m +grown; mother=mère f +grown; brother=frère m; sister=sœur f; uncle=oncle m +grown;
        aunt=tante f +grown; cousin=cousin m; grandfather=grand-père m +grown; grandmother=grand-mère f +grown;
        friend=ami m +grown; nephew=neveu m; niece=nièce f
    """,
    "animal pet furry": "cat=chat m; dog=chien m +barks; rabbit=lapin m; hamster=hamster m",
    "animal livestock": """
        cow=vache f; horse=cheval m; donkey=âne m; goat=chèvre f; pig=cochon m; sheep/sheep=mouton m; chicken=poulet m;
        duck=canard m; goose/geese=oie f; bull=taureau m +danger
    """,
    "animal wild furry": """
        wolf/wolves=loup m +danger +predator; fox=renard m +predator; bear=ours m +danger;
        lion=lion m +danger +predator; tiger=tigre m +danger +predator; monkey=singe m; mouse/mice=souris f +prey;
        squirrel=écureuil m +prey
    """,
    "animal wild": """
        elephant=éléphant m; snake=serpent m +danger; giraffe=girafe f; turtle=tortue f; frog=grenouille f +prey;
        hedgehog=hérisson m
    """,
    "animal wild winged": "bird=oiseau m +prey; owl=hibou m +predator; eagle=aigle m +predator",
    "food": """
        apple=pomme f +fruit; pear=poire f +fruit; orange=orange f +fruit; banana=banane f +fruit;
        strawberry=fraise f +fruit +plenty; cherry=cerise f +fruit +plenty; lemon=citron m; peach=pêche f +fruit;
        carrot=carotte f +vegetable +plenty; tomato=tomate f +vegetable; onion=oignon m +vegetable +plenty;
        mushroom=champignon m +vegetable +plenty; bean=haricot m +vegetable +plenty; egg=œuf m; cake=gâteau m +sweet;
        sandwich=sandwich m +dish; pizza=pizza f +dish +hotdish; omelet=omelette f +dish +hotdish; pie=tarte f +sweet;
        sausage=saucisse f +dish +hotdish; cookie=biscuit m +sweet +plenty; salad=salade f +dish; lobster=homard m +dish
    """,
    "food mass": """
        bread=pain m +baked; cheese=fromage m; meat=viande f +dish +hotdish; rice=riz m +dish +hotdish;
        soup=soupe f +dish +hotdish; butter=beurre m; honey=miel m; chocolate=chocolat m +sweet; ham=jambon m;
        jam=confiture f +sweet; fish=poisson m +dish +hotdish
    """,
    "drink mass": """
        water=eau f; milk=lait m; coffee=café m +hotdrink; tea=thé m +hotdrink; wine=vin m; juice=jus m; beer=bière f;
        lemonade=limonade f
    """,
    "readable portable own": """
        book=livre m +lengthy; letter=lettre f +writable +opens +lengthy +sent; newspaper=journal m;
        magazine=magazine m; novel=roman m +writable +lengthy +tale; poem=poème m +writable +lengthy +tale;
        message=message m +writable +lengthy +sent; article=article m +writable +lengthy;
        report=rapport m +writable +lengthy +sent
    """,
    "clothing portable own": """
        shirt=chemise f; dress=robe f; hat=chapeau m; coat=manteau m; skirt=jupe f; sweater=pull m; jacket=veste f;
        scarf/scarves=écharpe f; tie=cravate f; belt=ceinture f; glove=gant m +pair +plenty;
        shoe=chaussure f +pair +plenty; boot=botte f +pair +plenty; sock=chaussette f +pair +plenty
    """,
    "furniture": """
        table=table f +surface; chair=chaise f +seat +surface; armchair=fauteuil m +seat; sofa=canapé m +seat;
        bed=lit m +seat +surface; desk=bureau m +surface; wardrobe=armoire f +opens +holds; lamp=lampe f +fragile;
        shelf/shelves=étagère f +surface; carpet=tapis m; mirror=miroir m +fragile
    """,
    "object portable own": """
        key=clé f; box/boxes=boîte f +opens +holds +empties; bag=sac m +opens +holds +heavy;
        basket=panier m +holds +empties; knife/knives=couteau m; pencil=crayon m; pen=stylo m; umbrella=parapluie m;
        suitcase=valise f +opens +holds +heavy; wallet=portefeuille m; ring=bague f +precious; coin=pièce f;
        toy=jouet m; doll=poupée f; ball=balle f; axe=hache f +heavy; hammer=marteau m +heavy; gift=cadeau m +opens;
        ticket=billet m; photo=photo f +picture; map=carte f; painting=tableau m +picture +precious;
        package=paquet m +opens +sent +heavy; necklace=collier m +precious; treasure=trésor m +precious; flag=drapeau m;
        rope=corde f; candle=bougie f
    """,
    "object portable kitchenware": """
        cup=tasse f +fragile +empties; glass/glasses=verre m +fragile +empties; plate=assiette f +fragile;
        spoon=cuillère f; bottle=bouteille f +fragile +opens +empties; fork=fourchette f; bowl=bol m +fragile +empties
    """,
    "plant": "tree=arbre m +tall; flower=fleur f +portable +bloom; rose=rose f +portable +bloom",
    "device own": """
        phone=téléphone m +portable; computer=ordinateur m; radio=radio f +heard; television=télévision f;
        clock=horloge f
    """,
    "vehicle": """
        car=voiture f +drivable +own; truck=camion m +drivable; bus=bus m +public; train=train m +public;
        bicycle=vélo m +own; boat=bateau m; plane=avion m +public; taxi=taxi m; tractor=tracteur m +drivable;
        motorcycle=moto f +own +drivable
    """,
    "instrument portable own": """
        guitar=guitare f; violin=violon m; flute=flûte f; trumpet=trompette f; harp=harpe f
    """,
    "instrument": "piano=piano m",
    "path": """
        road=route f +wide; street=rue f +wide +loc:dans=in; bridge=pont m +built;
        river=rivière f +wide +deep +loc:dans=in; field=champ m +loc:dans=in +outdoor; square=place f +loc:sur=on;
        desert=désert m +scenic; valley=vallée f +scenic; lake=lac m +deep +scenic +loc:dans=in
    """,
    "scenic": "mountain=montagne f +high; hill=colline f",
    "part built": "wall=mur m +high",
    "heavy": "ladder=échelle f",
    "place outdoor loc:dans=in": """
        garden=jardin m +dest:dans=into +scenic; forest=forêt f +dest:dans=into; park=parc m +dest:à=to +scenic;
        courtyard=cour f +dest:dans=into
    """,
    "place outdoor scenic visited loc:sur=on dest:à=to": "beach/beaches=plage f",
    "place outdoor scenic visited loc:sur=on dest:sur=to": "island=île f",
    "place building loc:à=at dest:à=to": """
        school=école f +study; hospital=hôpital m; library=bibliothèque f +study +visited;
        restaurant=restaurant m +eatery; hotel=hôtel m; museum=musée m +visited; theater=théâtre m;
        bakery=boulangerie f; bank=banque f; airport=aéroport m; station=gare f; market=marché m;
        store=magasin m; university=université f +study; castle=château m +visited +built;
        church=église f +visited +built; cinema=cinéma m; factory=usine f; pharmacy=pharmacie f;
        farm=ferme f +visited
    """,
    "place building loc:dans=in dest:dans=into": """
        house=maison f +visited +built; tower=tour f +high +built +visited; village=village m +visited
    """,
    "place room loc:dans=in dest:dans=into": """
        kitchen=cuisine f +eatery; bedroom=chambre f; attic=grenier m; cellar=cave f;
        garage=garage m
    """,
    "part opens": "door=porte f; window=fenêtre f +fragile; gate=portail m",
    "part": "roof=toit m",
    "talk": """
        story=histoire f +lengthy; secret=secret m; joke=blague f; dream=rêve m; adventure=aventure f
    """,
    "thought": """
        question=question f +asked; answer=réponse f; problem=problème m +solved; exercise=exercice m +solved;
        idea=idée f; lesson=leçon f +lengthy; mistake=erreur f; plan=projet m; riddle=énigme f +solved; rule=règle f
    """,
    "show": "movie=film m +lengthy +tale; match/matches=match m +lengthy",
    "known": "truth=vérité f",
    "lengthy": "song=chanson f",
}

# Names are the same in both languages; the letter is the gender.
NAMES = (
    "Marie f; Sophie f; Claire f; Julie f; Camille f; Alice f; Hélène f; Emma f; Louise f; Anne f; Paul m; Pierre m; "
    "Marc m; Antoine m; David m; Martin m; Daniel m; Philippe m; Olivier m; Léo m"
)

# Cities and countries: english=french | where one is or goes | where one comes back from | article as a plain object
REGIONS = """
    Paris=Paris|à|de|; Lyon=Lyon|à|de|; London=Londres|à|de|; Rome=Rome|à|de|; Geneva=Genève|à|de|;
    Brussels=Bruxelles|à|de|; Moscow=Moscou|à|de|; Vienna=Vienne|à|de|; Lisbon=Lisbonne|à|de|; Athens=Athènes|à|de|;
    France=France|en|de|la; Spain=Espagne|en|de|la; Italy=Italie|en|de|la; Germany=Allemagne|en|de|la;
    Holland=Hollande|en|de|la; Canada=Canada|au|du|le; Japan=Japon|au|du|le; Portugal=Portugal|au|du|le;
    Mexico=Mexique|au|du|le; England=Angleterre|en|de|la
"""
