"""Whether a text is English, by its script and its commonest words.

References are understood in English only. A language identifier needs a sentence to be reliable, and most texts here
are shorter ("Two dogs."). Counting function words is as reliable for this purpose and much faster: on the data of
benchmarks/pinned.py both recognised every text, and py3langid took 14 times as long.
"""

import re
from collections.abc import Mapping

from blender.data.references.words import listed

_ENGLISH = frozenset(
    listed("""
    the a an and or but of to in on at by for with from as into over under near next behind between through during is
    are was were be been being am has have had do does did can could would should may might will must not no yes
    this that these those there here it its he she his her him they them their we our you your i my me who what
    which where when why how whose if than then so such some any all both each every other another more most
    very also just only while because about up down out off after before one two three four five many much few
    several people man woman men women person child children see show shows shown describe
    looks looking appears standing sitting wearing holding red blue green white black color dog cat car left
    right side first second background
    """)
)
#: the commonest words that are not English ones too
_OTHERS: Mapping[str, str] = {
    "Spanish": """
        el los las una unos del que es son está están hay con por para como más pero este esta esto qué cuál
        cuántos dónde quién hombre mujer imagen muestra muy también sobre
    """,
    "French": """
        le les des une du est sont dans avec pour sur pas qui que ce cette ces il elle ils elles et ou où
        quel quelle combien plus aux se sa au deux homme femme montre
    """,
    "German": """
        der das und ist sind ein eine einen einem einer mit auf dem den zu im von nicht sich auch es wie was
        welche welches bild zeigt mann frau gibt wird dieser diese dieses zeigen beide bilder sieht welches
    """,
    "Portuguese": """
        os uma um do da dos das em no na nos nas são está estão com por para como mais não que qual quais
        homem mulher imagem mostra ao há
    """,
    "Italian": """
        il lo gli una uno di del della dei delle che sono con per non più quale quanti questa questo nella
        nel sul sulla uomo donna immagine mostra ci alla
    """,
    "Dutch": """
        de het een en van zijn met op voor niet die dat dit er deze wat welke hoeveel naar bij aan ook man
        vrouw afbeelding toont staat
    """,
    "Polish": """
        na jest są się nie to co ile jak który która przy przez dla oraz obraz zdjęcie zdjęciu obrazie
    """,
    "Turkish": """
        ve bir bu da ne için ile var resim resimde fotoğraf görüntü kaç olan gibi çok
    """,
    "Swedish": """
        och är det som en ett på av för med den inte till bilden bild visar
    """,
    "Danish": """
        og er det som en et på af for med den ikke til billedet viser
    """,
    "Czech": """
        je na se jsou to že co obrázek obrázku
    """,
    "Finnish": """
        ei että kuva kuvassa kuvan ovat mitä siinä mutta mikä kuka missä
    """,
    "Romanian": """
        și este sunt un cu pe la din care imaginea în
    """,
    "Hungarian": """
        az és egy van nem kép képen
    """,
    "Indonesian": """
        yang dan di ini itu dengan untuk dari ada gambar apa pada adalah
    """,
    "Vietnamese": """
        và là của một có trong không hình ảnh này gì
    """,
}
_ALSO_ENGLISH = frozenset(listed("van den die son pour plus per con pan hat war se sur yang ten mit do des til ja"))
_FOREIGN = frozenset(word for words in _OTHERS.values() for word in listed(words)) - _ENGLISH - _ALSO_ENGLISH
#: in many languages alike, or no words
_NEUTRAL = frozenset(listed("image images photo photos foto picture pictures"))
_WORDS = re.compile(r"[^\W\d_]{2,}|\ba\b|[^\x00-\u2e7f]")
#: text of so many words and more without a common English one is in no language that is known
_SHORT = 4
_LEAST_SHARE = 0.1
#: words that hardly occur in another language; a text with one and with ASCII letters alone is not looked at further
PLAIN = (
    " the ", "The ", " and ", " with ", "What ", " this ", "This ", " there ", "There ", "How ", "Where ", "Why ",
    "Who ", "Which ", "Yes, ", "Describe ", " you ", " it ", "It ", " that ", " of a ", " to be ", " being ", " his ",
    " their ", " they ", " which ", " what ", " shows ", " two ", "Two ", " can be ", "Could ", "Does ",
)  # fmt: skip

#: what could count or choose images in other languages: digits, and words by their beginnings
_BEGINNINGS = listed("""
    primer segund tercer cuart quint últim ultim anterior siguient otr ambos ambas dos tres cuatro cinco cada
    demás rest primeir terceir seguinte outr dois duas três quatro prim second terz quart entramb altr precedent
    prossim due tre quattro premi deuxi troisi quatri derni autre deux trois quatre chaque précédent suivant
    imágenes imagenes imagens immagini fotos photos erst zweit dritt viert letzt ander beide zwei drei vier
    vorig nächst übrig jed bilder eerst tweed derd vierd laatst volgend vorige twee drie elk afbeeldingen foto's
    först andra tredje sista båda två bilderna første anden begge to перв втор трет четв послед предыд следу
    друг оба обе обо два две три четыре кажд остальн перш інш обидв pierwsz drug trzec ostatni poprzedni następn
    inn obaj obie oba dwa dwie trzy cztery każd první druh třet posledn dva dvě ilk birinci ikinci üçüncü son
    önceki sonraki diğer her iki üç pertama kedua ketiga terakhir lainnya setiap dua tiga đầu hai cuối khác mỗi
    ensimmäi toi kolma viime molem kaksi muut doi două trei ambele celălalt első második harmadik utolsó másik
    mindkét két الأول الاول الثان الثالث الأخير الاخير كلا كلتا الأخر الآخر صورتين الصورتين السابق التالي पहल
    दूसर तीसर आखिर अंतिम दोनों दो तीन अन्य πρώτ δεύτερ τρίτ τελευτ άλλ δύο και ראשון ראשונה שני שנייה אחר שתי
""")
#: in scripts without spaces
_ANYWHERE = listed("""
    第 图[一二三四五六七八九十甲乙A-Ha-h] 圖[一二三四五六七八九十] 前者 后者 後者 另一 另外 其他 其它 其余
    其餘 哪 每 两 兩 二 三 四 五 左 右 上一 下一 前一 后一 最后 最後 都 各 比 番目 枚目 両方 どちら どれ 最初
    次の 前の 他の ほか 残り もう一 번째 첫 두 둘 세 셋 다른 나머지 마지막 이전 다음 어느 각 모두 ภาพที่
    ทั้งสอง สอง อื่น แรก สุดท้าย
""")
#: compared in lower case; means the same to Python and to polars, but for where a word begins
SIGNS = r"\d|[一二三四五六七八九十]|" + "|".join(_ANYWHERE)
FOREIGN_SIGN = f"(?i)(?:{SIGNS}|(?:^|\\PL)(?:{'|'.join(sorted(_BEGINNINGS))}))"
_FOREIGN_SIGN = re.compile(rf"{SIGNS}|(?<![^\W\d_])(?:{'|'.join(sorted(_BEGINNINGS))})", re.IGNORECASE)


def is_plain(text: str) -> bool:
    """Whether a text is in ASCII letters and has a word that hardly occurs in another language than English."""
    return not _has_other_letters(text) and any(word in text for word in PLAIN)


def _words(text: str) -> list[str]:
    return [word for word in _WORDS.findall(text.lower()) if word not in _NEUTRAL]


def is_english(text: str) -> bool:
    """Whether a text is recognised as English; a few words that are no other language's count as such."""
    words = _words(text)
    english = sum(word in _ENGLISH for word in words)
    if not words or _is_other_script(text):
        return not words
    foreign = sum(word in _FOREIGN for word in words)
    if len(words) < _SHORT:
        return english > foreign or not (foreign or _has_other_letters(text))
    return english > foreign and english >= _LEAST_SHARE * len(words)


def _is_other_script(text: str) -> bool:
    """Whether a text has words in another script than Latin."""
    return _OTHER_SCRIPT.search(text) is not None


_LATIN = r"\u00aa-\u024f\u1e00-\u1eff\u2c60-\u2c7f\ua720-\ua7ff\ufb00-\ufb06\uff21-\uff3a\uff41-\uff5a"
_OTHER_SCRIPT = re.compile(rf"(?![\x00-\x7f{_LATIN}])[^\W\d_]")


def points_in_another_language(text: str) -> bool:
    """Whether a text that is not English may count or choose images."""
    return _FOREIGN_SIGN.search(text) is not None


def _has_other_letters(text: str) -> bool:
    return not text.isascii() and any(letter.isalpha() for letter in text if letter > "\x7f")
