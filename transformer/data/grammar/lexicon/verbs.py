"""Verbs, as data: "english = french : aspect : frames @ places".

A frame is "subjects > objects" (or "subjects" alone), in kinds, aliases or single nouns; several frames are separated
by "|", and "-guest" leaves out a noun. The places are those where the action is likely. Both sides may carry a
preposition ("look for = chercher", "obey = obéir à"). A label in brackets tells two English verbs of one name apart
("play [music]").

The aspect decides the tenses, the same way in both languages:

a  activity    present "mange" = "is eating", past "a mangé" = "ate", background "mangeait" = "was eating"
p  perception  present "voit" = "sees", past "a vu" = "saw"
e  event       no present, save a habit ("trouve souvent" = "often finds"); past "a trouvé" = "found"
s  state       present "connaît" = "knows", past "connaissait" = "knew"
"""

from __future__ import annotations

# Names for lists of kinds that many verbs share.
ALIASES = {
    "people": "grown youth kin",
    "adults": "grown kin",
    "things": "readable clothing object kitchenware device instrument bloom",
    "goods": "food drink clothing furniture car truck bicycle boat tractor motorcycle object kitchenware device \
instrument bloom book newspaper magazine",
    "meals": "dish sweet egg",
}

INTRANSITIVE = """
    sleep = dormir : a : person pet @ bedroom garden house attic
    run = courir : a : people dog horse @ park street garden beach forest field
    sing = chanter : a : people @ kitchen garden church theater street bedroom
    dance = danser : a : people @ kitchen street square theater garden beach
    work = travailler : a : adults @ kitchen garden library factory hospital school restaurant bank store farm garage \
hotel
    cry = pleurer : a : person @ bedroom kitchen garden station
    laugh = rire : a : person @ kitchen garden cinema restaurant
    smile = sourire : a : person
    swim = nager : a : people dog duck @ river lake
    walk = marcher : a : people @ street forest park beach field
    rest = se reposer : a : people @ bedroom garden hotel park beach
    shout = crier : a : people @ street garden courtyard school
    study = étudier : a : student youth kin @ library university bedroom kitchen school
    jump = sauter : a : youth furry @ garden bedroom courtyard park
    snore = ronfler : a : adults pet @ bedroom
    cough = tousser : a : person @ theater library bedroom
    hurry = se dépêcher : a : people
    bark = aboyer : a : barks @ garden street courtyard park
    travel = voyager : a : adults
    pray = prier : a : adults @ church
    hesitate = hésiter : a : people
    cook = cuisiner : a : adults @ kitchen restaurant
    arrive = arriver : e : people public taxi
    leave = partir : e : people public taxi
    fall = tomber : e : people @ street kitchen garden
    fall asleep = s'endormir : e : person pet @ bedroom garden library
    wake up = se réveiller : e : person pet
    get up = se lever : e : people
    stop = s'arrêter : e : people vehicle clock
    disappear = disparaître : e : people animal treasure key ring
    escape = s'échapper : e : thief pirate pet livestock wild
    succeed = réussir : e : people
    fail = échouer : e : people plan
"""

# "à" and "de" before an object: the object is indirect, and has no pronoun here but lui and leur after "à".
TRANSITIVE = """
    eat = manger : a : people > food | pet > meat fish cheese | livestock > apple carrot salad | wild > fruit \
@ kitchen restaurant garden park school bedroom
    drink = boire : a : people > drink | animal > water | pet > milk @ kitchen restaurant garden hotel
    buy = acheter : a : adults > goods house | youth > food toy doll ball book @ market store
    sell = vendre : a : adults > goods house | farmer > livestock fruit vegetable egg @ market store
    find = trouver : e : people > things pet | dog > ball glove shoe @ kitchen garden street attic cellar park beach \
forest
    lose = perdre : e : people > key bag wallet ring phone glove hat scarf umbrella ticket coin book necklace ball \
@ street park station market beach forest
    look for = chercher : a : people > things pet @ kitchen garden attic bedroom park cellar
    take = prendre : e : people > things public
    carry = transporter : a : adults > heavy furniture readable instrument basket ladder | donkey horse > heavy
    cut = couper : a : adults > fruit vegetable bread meat cheese cake pie rope @ kitchen
    prepare = préparer : a : adults > dish soup cake pie hotdrink lesson suitcase @ kitchen restaurant
    taste = goûter : e : people > dish sweet drink fruit
    break = casser : e : people > fragile chair toy umbrella | cat > cup plate glass lamp @ kitchen bedroom
    repair = réparer : a : adults > vehicle device chair table bed roof wall gate bridge umbrella @ garage
    clean = nettoyer : a : adults > room carpet window table knife kitchenware truck
    wash = laver : a : adults > clothing kitchenware dog horse car fruit vegetable window
    open = ouvrir : e : people > opens
    close = fermer : e : people > door window gate box suitcase wardrobe bag book store
    hide = cacher : e : people > things | dog squirrel > ball shoe @ attic cellar bedroom garden forest
    keep = garder : e : people > things
    throw = lancer : e : youth kin > ball rope
    choose = choisir : e : people > clothing book furniture pet song movie dish gift hotel restaurant
    use = utiliser : a : adults > device hammer rope map pen pencil ladder axe kitchenware umbrella
    steal = voler : e : thief pirate > precious wallet bag car bicycle phone coin horse | fox > egg chicken goose | \
monkey > banana hat
    push = pousser : a : people > bicycle door car table chair
    paint = peindre : a : adults > wall door gate house roof chair boat flower @ garden courtyard
    draw = dessiner : a : youth kin painter > animal house tree flower castle boat map @ school kitchen garden
    photograph = photographier : a : tourist journalist kin > scenic building wild bloom
    admire = admirer : a : people > scenic picture building bloom precious dress
    describe = décrire : a : adults > thief dream house painting plan picture adventure
    read = lire : a : people > readable @ library garden bedroom park kitchen station
    write = écrire : a : people > writable @ library bedroom kitchen garden
    send = envoyer : e : adults > sent gift bloom photo
    receive = recevoir : e : people > sent gift bloom report
    translate = traduire : a : student teacher writer journalist > readable song @ library university
    sign = signer : e : adults > letter report
    tear = déchirer : e : people dog > letter newspaper dress shirt coat
    wear = porter : a : people > shirt hat coat sweater jacket scarf belt pair ring | lady > dress skirt necklace | \
queen princess witch > dress necklace | girl woman actress mother aunt sister niece > dress skirt | lawyer doctor \
king > tie
    drive = conduire : a : adults > drivable bus
    watch = regarder : a : people > movie match television animal boat | cat > bird mouse
    see = voir : p : people > person animal scenic building vehicle @ forest park street market garden
    hear = entendre : p : people > dog wolf owl baby train song radio | dog > cat car
    listen to = écouter : a : people > radio song story teacher lesson kin @ kitchen bedroom garden
    follow = suivre : a : people > people dog car river road | dog > people furry
    help = aider : a : people > person
    know = connaître : s : people > person region song road truth
    meet = rencontrer : e : people > people @ market station park museum library street beach
    visit = visiter : a : adults > visited region
    invite = inviter : e : people -guest > people -guest
    thank = remercier : e : people > people
    like = aimer : s : people > food drink person pet movie song book animal scenic instrument
    love = adorer : s : people > food drink kin pet movie song book
    hate = détester : s : people > food drink hospital movie song mouse snake exercise
    prefer = préférer : s : people > food drink pet song
    kiss = embrasser : e : people > kin baby child
    wait for = attendre : a : people > people public taxi letter package @ station airport street restaurant hotel
    protect = protéger : a : adults > youth kin treasure farm village | dog > youth sheep house
    chase = poursuivre : a : predator > prey rabbit chicken | dog > cat rabbit thief | policeman > thief @ forest \
street garden
    bite = mordre : e : dog snake wolf > people
    feed = nourrir : a : people > pet livestock bird | adults > baby
    catch = attraper : e : policeman > thief | youth kin > ball frog | predator > prey rabbit
    brush = brosser : a : people > dog horse cat donkey
    cross = traverser : a : people > road street bridge river field square desert valley forest | \
animal > road street field bridge river | car bus truck train bicycle > bridge forest valley
    climb = escalader : a : people > mountain hill wall
    build = construire : a : adults > built boat shelf
    destroy = détruire : e : soldier pirate giant > built
    play [music] = jouer de : a : people > instrument @ garden bedroom theater
    ask = poser : e : people > asked
    tell = raconter : a : people > talk
    understand = comprendre : p : people > thought story secret joke book article letter message poem report
    forget = oublier : e : people > lesson rule answer umbrella key bag ticket hat phone
    learn = apprendre : a : youth kin student > song poem lesson rule @ school bedroom
    explain = expliquer : a : adults > thought
    solve = résoudre : e : people > solved
    need = avoir besoin de : s : people > object device bicycle car coat
    want = vouloir : s : people > fruit sweet toy drink clothing book object
    own = posséder : s : adults > drivable bicycle boat house castle farm hotel restaurant pet horse piano
    have = avoir : s : people > own pet horse
    be afraid of = avoir peur de : s : people > danger mouse | prey furry > dog eagle | animal > predator
    resemble = ressembler à : s : people > kin king queen prince princess
    obey = obéir à : p : youth > kin teacher | soldier > king queen prince
    phone = téléphoner à : e : adults > adults
    answer = répondre à : e : people > people question letter message
    talk to = parler à : a : people > people @ kitchen street market garden restaurant
    talk about = parler de : a : people > movie book novel people dream adventure plan @ restaurant garden
    smile at = sourire à : a : people > people
    enter = entrer dans : e : people > room house castle church library store tower
    belong to = appartenir à : s : object clothing drivable bicycle boat instrument pet farm house > adults
    win = gagner : e : people > match
    count = compter : a : people > coin sheep | shepherd > sheep goat cow
    discover = découvrir : e : people > truth secret treasure mistake island
    recognize = reconnaître : p : people > people song house
    accept = accepter : e : people > gift idea plan answer
    refuse = refuser : e : people > gift idea plan
    rent = louer : a : adults > car house boat bicycle
    decorate = décorer : a : people > tree cake bedroom house
    borrow = emprunter : e : people > book umbrella bicycle car pen pencil hammer ladder coat
    order = commander : e : adults > dish drink sweet @ restaurant hotel
    serve = servir : a : waitress chef > dish drink sweet @ restaurant hotel
    fold = plier : a : people > shirt dress skirt sweater jacket scarf sock map letter newspaper
    iron = repasser : a : adults > shirt dress skirt
    touch = toucher : e : youth kin > animal painting wall piano mirror
    move = déplacer : a : adults > furniture piano box truck
    examine = examiner : a : doctor nurse > patient youth kin | judge policeman > letter report wallet knife | \
mechanic > vehicle
    arrest = arrêter : e : policeman > thief pirate
    treat = soigner : a : doctor nurse > patient youth kin soldier animal @ hospital
    water = arroser : a : adults > garden tree bloom
    milk = traire : a : farmer shepherd > cow goat @ farm
    hire = engager : e : adults > pro
    correct = corriger : a : teacher > exercise mistake answer
"""

# subjects > themes; the recipient is a person
DITRANSITIVE = """
    give = donner : e : people > things food
    show = montrer : e : people > things
    send = envoyer : e : adults > sent gift bloom photo book
    lend = prêter : e : people > book umbrella bicycle car pen pencil hammer ladder coat
    bring = apporter : e : people > drink sweet dish object bloom chair
    offer = offrir : e : people > bloom gift precious drink sweet book
    explain = expliquer : e : adults > thought
    tell = raconter : a : people > talk
    sell = vendre : e : adults > drivable bicycle boat house furniture instrument
    read = lire : a : people > readable
    write = écrire : a : people > letter message poem
"""

# Verbs that take an infinitive; the preposition stands before it. Modals are listed in english.MODALS.
CONTROL = """
    want [to] = vouloir : s : people
    can = pouvoir : s : people
    must = devoir : p : people
    try = essayer de : e : people
    start = commencer à : e : people
    decide = décider de : e : people
    forget [to] = oublier de : e : people
    refuse [to] = refuser de : e : people
    hope [to] = espérer : s : people
    like [to] = aimer : s : people
    hate [to] = détester : s : people
    prefer [to] = préférer : s : people
    love [to] = adorer : s : people
    need [to] = avoir besoin de : s : people
    promise = promettre de : e : people
"""

REPORT = """
    think = penser : s : people
    say = dire : p : people
    know [that] = savoir : s : people
    believe = croire : s : people
    hope [that] = espérer : s : people
"""

# go: to a place or region; come back: from it; live, stay: in it
MOTION = """
    go = aller : e : people
    return = retourner : e : people
    come back = revenir : e : people
    live = habiter : s : people
    stay = rester : e : people
"""

WEATHER = """
    rain = pleuvoir : a : weather
    snow = neiger : a : weather
"""
