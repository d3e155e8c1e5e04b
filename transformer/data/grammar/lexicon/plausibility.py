"""What goes with what, as data: reasons for doing something, what is done next, and what one goes to a place for."""

from __future__ import annotations

# "verb : yes or not : reasons in the subject > reasons in the object"; * asks for "too".
REASONS = """
    cross : not : afraid tired* sick > wide* dangerous* deep* narrow*
    cross : yes : late curious > quiet
    eat : not : sick sad* nervous* > hot* cold* salty* rotten raw sweet* dry*
    eat : yes : hungry > delicious ripe fresh
    drink : not : sick > hot* cold* sweet*
    drink : yes : thirsty hot > delicious fresh cold
    buy : not : poor* > expensive* ugly* fragile* old* heavy* small* slow*
    buy : yes : rich > beautiful useful comfortable precious pretty magnificent modern fast fresh delicious interesting
    sell : yes : poor > old* ugly* slow* heavy*
    sell : not : > precious broken dirty* rotten
    read : not : tired* busy* sleepy > long* boring* difficult* sad*
    read : yes : curious > interesting famous funny
    write : not : tired* busy* sick lazy* >
    translate : not : tired* busy* > long* difficult*
    translate : yes : > interesting famous beautiful
    carry : not : tired* sick > heavy* fragile*
    wear [coat sweater scarf] : not : hot >
    wear [coat sweater scarf glove boot hat] : yes : cold >
    wear : not : > small* dirty wet ugly* old*
    wear : yes : > elegant beautiful comfortable new clean dry
    open [window door] : yes : hot >
    open [gift package letter box] : yes : curious >
    close [window door] : yes : cold >
    wash : yes : > dirty
    wash : not : tired* busy* lazy* > clean
    repair : yes : > broken
    repair : not : busy* tired* lazy* > old*
    clean : yes : > dirty
    clean : not : lazy* busy* tired* sick > clean
    use : not : > broken heavy* dangerous* fragile* dirty slow*
    use : yes : > useful
    drive : not : tired* sleepy sick afraid > old* dangerous*
    close [window door] : not : hot >
    visit : yes : curious > famous beautiful magnificent interesting quiet
    visit : not : tired* sick busy* > dangerous* noisy*
    climb : not : afraid tired* sick > high* dangerous*
    climb : yes : brave curious > beautiful
    watch : not : tired* busy* sleepy > long* boring* sad*
    watch : yes : curious > interesting funny famous beautiful
    listen to [story song radio lesson] : yes : curious > beautiful interesting sad
    listen to [story song radio lesson] : not : busy* tired* > boring* long* sad*
    help : yes : > sick tired sad
    help : not : busy* tired* >
    feed : yes : > hungry
    treat : yes : > sick
    invite : yes : > kind funny polite
    invite : not : shy* >
    thank : yes : polite > kind patient
    hire : yes : > honest patient intelligent
    hire : not : > lazy* young*
    photograph : yes : > beautiful magnificent strange famous
    admire : yes : > beautiful magnificent famous
    draw : yes : > beautiful pretty magnificent
    choose : yes : > comfortable beautiful modern elegant pretty new
    choose : not : > expensive* ugly* small* old* sad*
    learn : yes : curious > beautiful easy useful
    learn : not : lazy* tired* > long* difficult* boring*
    understand : not : tired* sleepy > difficult* strange* long*
    understand : yes : intelligent > easy
    solve : not : tired* sleepy > difficult*
    solve : yes : intelligent patient > easy
    explain : not : tired* busy* > strange* easy*
    tell : yes : happy > funny strange interesting
    tell : not : shy* afraid > sad* long* strange*
    ask : not : shy* afraid > strange* difficult*
    ask : yes : curious >
    keep : yes : > precious useful beautiful pretty
    keep : not : > broken ugly* old* dirty*
    hide : yes : afraid jealous > precious
    steal : yes : poor > precious
    rent : not : > expensive* old* dirty*
    rent : yes : > comfortable modern beautiful
    prepare : not : tired* busy* lazy* sick >
    prepare [dish] : yes : hungry >
    taste : not : sick > hot* salty*
    taste : yes : curious >
    touch : not : afraid > fragile* precious* dirty* hot*
    enter : not : afraid shy* > dirty* noisy*
    enter : yes : cold curious > quiet
    move : not : tired* sick lazy* > heavy* fragile*
    like : yes : > sweet delicious beautiful funny interesting loyal gentle kind
    hate : yes : > salty* cold* boring difficult* dangerous
    love : yes : > sweet delicious beautiful funny interesting loyal gentle kind
    wait for : yes : > late
    borrow : yes : > useful interesting
    order : not : > expensive* salty* sweet*
    order [dish sweet] : yes : hungry > delicious fresh
    order [drink] : yes : thirsty > delicious fresh
    sleep : yes : tired sick sleepy
    sleep : not : afraid worried* hungry cold hot nervous*
    run : yes : late afraid
    run : not : tired* sick
    sing : yes : happy
    sing : not : sad* tired* shy* sick
    dance : yes : happy
    dance : not : sad* tired* shy*
    laugh : yes : happy
    laugh : not : sad* angry
    smile : yes : happy polite
    smile : not : sad* angry worried*
    cry : yes : sad afraid hungry tired sick cold angry
    work : not : sick tired* on_vacation lazy*
    rest : yes : tired sick on_vacation
    shout : yes : angry afraid
    leave : yes : angry sad late tired
    leave : not : tired* sick
    hurry : yes : late hungry cold
    swim : yes : hot
    swim : not : cold afraid tired*
    study : not : lazy* tired* busy* sick on_vacation
    study : yes : curious patient
    get up : not : sick tired* sleepy
    wake up : yes : hungry cold thirsty
    fall asleep : yes : tired sleepy
    fall asleep : not : nervous* worried* hungry cold
    hesitate : yes : shy afraid nervous worried
    fail : yes : tired nervous lazy
    succeed : yes : intelligent patient brave
    escape : yes : afraid hungry
    bark : yes : afraid hungry nervous
    cough : yes : sick cold
    snore : yes : tired sick
    travel : not : sick poor* busy*
"""

# "verb : what one then does with the object : what one then does not do with it"
FOLLOWS = """
    buy : eat read wear sell lose hide use keep : eat read wear use
    find : take keep hide sell open read lose : take open
    prepare : eat drink serve taste : eat drink taste
    write : send sign tear hide : send sign
    receive : read open keep tear hide : read open keep
    choose : buy wear : buy
    borrow : read use lose break : read use
    steal : hide sell lose : sell
    open : read close : close read
    see : follow recognize photograph admire thank help : recognize follow help visit
    meet : invite help thank recognize follow kiss : recognize invite
    wash : fold iron wear : fold iron
    repair : sell use drive clean : use sell drive
    rent : drive clean : clean
    look for : find : find
    order : eat drink taste : eat drink
    hear : follow understand recognize : see recognize
    visit : photograph admire : photograph
    cut : eat : eat
    build : sell paint decorate : sell paint
    take : hide lose use read : use
    carry : open : open
    sign : send : send
    read : translate understand keep tear : understand
    break : repair hide : repair
    learn : forget : understand
    discover : tell explain hide : explain tell
    help : invite : invite
    wait for : follow thank : see
    draw : keep tear : keep
    fold : hide send : send
    catch : keep : keep
"""

# "place : what one goes there to do"; "verb > objects"
PURPOSES = """
    market store : buy > fruit vegetable bread cheese fish egg honey
    bakery : buy > bread cake pie cookie
    library : study, read > book newspaper, work, look for > book
    university school : study, learn > lesson
    kitchen : cook, prepare > dish soup hotdrink cake, drink > drink, eat > fruit dish sweet, look for > knife cup \
plate bread
    bedroom : sleep, rest, study, read > book novel, look for > clothing
    beach lake : swim, rest, run
    park forest : walk, run, rest
    museum : admire > painting, draw > horse castle
    cinema theater : watch > movie
    restaurant : eat > dish, drink > wine coffee
    station : wait for > kin, take > train
    airport : wait for > kin, take > plane
    church : pray, sing
    garden : water > rose flower tree, rest, work, read > book, look for > cat ball
    cellar attic : look for > bottle wine painting box clock toy, hide > treasure gift
    garage : repair > car motorcycle bicycle, look for > hammer ladder
    farm : feed > livestock, milk > cow goat, buy > egg milk cheese
    village : buy > bread, visit > castle church
    hotel : rest, sleep
    courtyard : run, feed > dog chicken
"""

# what one does together, in this order: "verb > objects"
TOGETHER = """
    sing, dance, laugh
    walk, sing
    run, jump, shout
    eat > dish, drink > water wine beer juice lemonade
    open > window, clean > bedroom kitchen
    close > door window, leave
    get up, prepare > hotdrink, read > newspaper
    wash > clothing, iron > shirt dress skirt
    wash > clothing, fold > shirt sweater coat jacket
    read > newspaper magazine, drink > hotdrink
    read > book novel, listen to > radio song
    buy > fruit, prepare > pie cake
    cut > onion carrot tomato, prepare > soup salad
    clean > kitchen bedroom, water > bloom garden
    feed > livestock, milk > cow goat
    feed > dog cat horse, brush > dog cat horse
    study, write > article report
    write > letter, send > photo gift package
    take > key umbrella bag, leave
    visit > museum castle church, photograph > building scenic wild
    cross > bridge river valley, climb > hill mountain
    repair > bicycle car motorcycle, clean > garage
    order > dish, drink > wine beer water
    cry, shout
    phone > kin, thank > kin
    look for > key glove umbrella, find > ring coin wallet photo
    enter > house bedroom kitchen, close > door window
    open > package gift letter, thank > kin
    draw > animal castle tree, paint > house flower boat
    play music > instrument, sing
    learn > song, sing
    wake up, get up
    listen to > lesson teacher, ask > question
    solve > problem riddle exercise, explain > answer
    count > coin, hide > treasure coin
    decorate > tree bedroom, prepare > cake pie
    meet > person, invite > person
    read > letter message, answer > letter message
    sell > house farm car, travel
    hesitate, leave
    buy > ticket, take > train bus plane
"""

# "first : what one may leave out with the same object" ("signed the letter without reading it")
WITHOUT = """
    sign : read
    eat : wash taste
    buy : taste
    sell : repair wash clean
    fold : iron wash
    wear : wash iron
    read : understand
    listen to : understand
    send : read sign open
    hide : open
    take : open
    use : clean repair
    receive : open
    translate : understand
    learn : understand
    see : recognize
"""

# "first : what one may leave out": "left without closing the door"
HEEDLESS = """
    leave : close > door window gate, take > umbrella key bag, wash > plate cup, thank > kin
    sleep : close > window door
    work : eat > sandwich, drink > coffee tea water
    arrive : phone > kin
    travel : take > suitcase map umbrella
"""

# Qualities that would repeat or deny what an action says: only these verbs have an object with such an adjective.
TELLING = """
    broken : repair find hide sell keep look_for
    dirty : wash clean hide find
    rotten : find hide cut
    raw : cut prepare
    wet : find fold iron
    clean : fold wear find
    dry : cut find
    empty : find hide clean keep
    tired : help see
    sick : help treat see visit
    gentle : buy sell see brush feed
    worried : help see
    nervous : help see
    sad : help see read watch sing
"""
