"""The doctor on pairs of other languages than French and English: no false alarms, and the faults that it finds."""

import itertools

import pytest

from configs.base import get_config
from transformer.data.doctor import CorpusExaminer, fast_findings
from transformer.data.doctor.character_checks import repaired_line
from transformer.data.doctor.line_features import LineBlock
from transformer.data.doctor.words import words_of
from transformer.data.pairs import Pair
from transformer.spec import DataSpec

# Subjects and predicates, which combine to sentences; equal indices are translations.
PARTS = {
    "en": (
        ["My old neighbour", "The young teacher", "Our little daughter", "The tired doctor", "Her best friend"],
        [
            "bought a new red bicycle for the children last week.",
            "reads the newspaper every morning in the kitchen.",
            "went to the market yesterday because the fridge was empty.",
            "would like to travel to the mountains with us next summer.",
            "has lost the keys of the house somewhere in the garden again.",
        ],
    ),
    "de": (
        ["Mein alter Nachbar", "Der junge Lehrer", "Unsere kleine Tochter", "Der müde Arzt", "Ihre beste Freundin"],
        [
            "hat letzte Woche ein neues rotes Fahrrad für die Kinder gekauft.",
            "liest jeden Morgen in der Küche die Zeitung.",
            "ging gestern auf den Markt, weil der Kühlschrank leer war.",
            "möchte nächsten Sommer mit uns in die Berge reisen.",
            "hat schon wieder irgendwo im Garten die Hausschlüssel verloren.",
        ],
    ),
    "ru": (
        ["Мой старый сосед", "Молодой учитель", "Наша маленькая дочь", "Усталый врач", "Её лучшая подруга"],
        [
            "на прошлой неделе купил детям новый красный велосипед.",
            "каждое утро читает на кухне свежую газету.",
            "вчера ходил на рынок, потому что холодильник был пуст.",
            "хотел бы следующим летом поехать с нами в горы.",
            "опять потерял ключи от дома где-то в саду.",
        ],
    ),
    "zh": (
        ["我的老邻居", "那位年轻的老师", "我们的小女儿", "那位疲惫的医生", "她最好的朋友"],
        [
            "上个星期给孩子们买了一辆新的红色自行车。",
            "每天早上都在厨房里看报纸。",
            "昨天去了市场，因为冰箱里什么都没有了。",
            "明年夏天想和我们一起去山里旅行。",
            "又把家里的钥匙丢在花园里的什么地方了。",
        ],
    ),
    "ar": (
        ["جاري العجوز", "المعلم الشاب", "ابنتنا الصغيرة", "الطبيب المتعب", "صديقتها المفضلة"],
        [
            "اشترى الأسبوع الماضي دراجة حمراء جديدة للأطفال.",
            "يقرأ الجريدة كل صباح في المطبخ.",
            "ذهب أمس إلى السوق لأن الثلاجة كانت فارغة.",
            "يريد أن يسافر معنا إلى الجبال في الصيف القادم.",
            "فقد مفاتيح البيت مرة أخرى في مكان ما في الحديقة.",
        ],
    ),
    "th": (
        ["เพื่อนบ้านเก่าของฉัน", "ครูหนุ่ม", "ลูกสาวตัวน้อยของเรา", "หมอที่เหนื่อยล้า", "เพื่อนสนิทของเธอ"],
        [
            "ซื้อจักรยานสีแดงคันใหม่ให้เด็กๆ เมื่อสัปดาห์ที่แล้ว",
            "อ่านหนังสือพิมพ์ทุกเช้าในห้องครัว",
            "ไปตลาดเมื่อวานนี้เพราะตู้เย็นว่างเปล่า",
            "อยากเดินทางไปภูเขากับเราในฤดูร้อนหน้า",
            "ทำกุญแจบ้านหายอีกแล้วที่ไหนสักแห่งในสวน",
        ],
    ),
}


def sentences(language: str) -> list[str]:
    join = "" if language in ("zh", "th") else " "
    return [join.join(parts) for parts in itertools.product(*PARTS[language])]


def corpus(source: str, target: str) -> list[Pair]:
    return list(map(Pair, sentences(source), sentences(target)))


def spec(direction: str) -> DataSpec:
    changes = {"source": "files", "path": "corpus/{split}.tsv", "direction": direction}
    return DataSpec.from_config({**get_config().to_dict()["data"], **changes})


def kinds(pairs: list[Pair], direction: str) -> dict[str, int]:
    examiner = CorpusExaminer(spec(direction), limit=5)
    examiner.examine_pairs("train", pairs)
    return {finding.kind: finding.count for finding in examiner.findings()}


@pytest.mark.parametrize("direction", ["en-de", "ru-en", "zh-en", "en-ar", "th-en", "de-zh"])
def test_a_clean_corpus_has_no_findings(direction: str) -> None:
    source, target = direction.split("-")
    found = kinds(corpus(source, target), direction)
    assert {kind: count for kind, count in found.items() if kind != "end-punctuation"} == {}  # Thai has no full stop


@pytest.mark.parametrize("direction", ["en-de", "ru-en", "zh-en", "en-ar", "de-zh"])
def test_exchanged_sides_are_found_when_training_starts(direction: str) -> None:
    source, target = direction.split("-")
    exchanged = corpus(target, source)
    findings = fast_findings(exchanged, [], spec(direction))
    assert {finding.kind for finding in findings} & {"swapped", "wrong-language-throughout"}
    assert fast_findings(corpus(source, target), [], spec(direction)) == []


def test_lines_in_another_language_are_found() -> None:
    pairs = corpus("en", "de")
    pairs[3] = Pair(pairs[3].source, sentences("ru")[3])
    pairs[7] = Pair(pairs[7].source, pairs[7].source)
    pairs[11] = Pair(pairs[11].target, pairs[11].source)
    assert kinds(pairs, "en-de") == {"wrong-language": 1, "copy": 1, "swapped-pair": 1}


def test_lengths_are_compared_with_those_of_most_pairs() -> None:
    """Chinese lines have a third of the characters of English ones; half a translation is still found."""
    pairs = corpus("zh", "en")
    pairs[5] = Pair(pairs[5].source, "The young teacher bought a new red")
    assert kinds(pairs, "zh-en") == {"half-translation": 1, "end-punctuation": 1}
    # Lines of six sentences, of which English ones are more than three times as long.
    long = [
        [sentences(language)[(start + 6 * k) % 25] for k in range(6)]
        for start in range(25)
        for language in ("zh", "en")
    ]
    pairs = [Pair("".join(chinese), " ".join(english)) for chinese, english in zip(long[::2], long[1::2], strict=True)]
    assert kinds(pairs, "zh-en") == {}


def test_a_language_that_the_classifier_does_not_know_has_no_false_alarm() -> None:
    """Upper Sorbian is classified as Czech or Polish, but never as wrong; German in its place is found."""
    sorbian = ["Mój stary susod je zańdźeny tydźeń nowe čerwjene koleso za dźěći kupił."] * 25
    numbered = [f"{text} {number}" for number, text in enumerate(sorbian)]
    pairs = list(map(Pair, numbered, sentences("de")))
    assert not kinds(pairs, "hsb-de").keys() & {"wrong-language", "wrong-language-throughout"}
    german = [Pair(source, source[::-1]) for source in sentences("de")]
    assert "wrong-language-throughout" in kinds(german, "hsb-de")


def test_relatives_are_not_told_apart() -> None:
    norwegian = ["Min gamle nabo kjøpte en ny rød sykkel til barna i forrige uke, sa hun."] * 25
    pairs = list(map(Pair, norwegian, sentences("en")))
    assert not kinds(pairs, "da-en").keys() & {"wrong-language", "wrong-language-throughout"}


def test_joiners_of_persian_and_indic_words_are_no_fault() -> None:
    persian, sinhala = "می\u200cخواهم بروم", "ක්\u200dරියා"
    assert [repaired_line(line) for line in (persian, sinhala)] == [(persian, True), (sinhala, True)]
    khmer = "ខ្ញុំ\u200bស្រឡាញ់"  # a zero-width space between words
    assert repaired_line(khmer) == (khmer, True)
    assert repaired_line("un\u200cmot et\u200b un\u200dautre") == ("unmot et unautre", True)
    examiner = CorpusExaminer(spec("fa-en"), limit=5)
    examiner.examine_pairs("train", [Pair(persian, "I want to go")])
    assert "invisible-character" not in {finding.kind for finding in examiner.findings()}


def test_words_of_scripts() -> None:
    words = {
        "Der große Ärger": [b"der", "große".encode(), b"arger"],
        "我喜欢 cats": [*(word.encode() for word in "我喜欢"), b"cats"],
        "हिन्दी में।": ["हिन्दी".encode(), "में".encode()],
        "٣ كتب، ３": [b"3", "كتب".encode(), b"3"],
        "สวัสดีครับ": [word.encode() for word in ("สวัส", "ดีคร", "ับ")],
        "Її дім": ["її".encode(), "дім".encode()],
    }
    for line, expected in words.items():
        assert words_of(line) == expected
    assert LineBlock(["Straße 5"], 0, "de", "en").words == [["straße".encode(), b"5"]]
