"""What may be shown to a person. A name that reads as another's, or a text that reorders the line, is refused.

The standard library knows no script property, but a letter's Unicode name begins with its script (`CYRILLIC SMALL
LETTER A`, `CJK UNIFIED IDEOGRAPH-4E2D`). Letters of one name must be of one script, or of a set that one language
mixes; scripts outside of everyday use are refused, as some imitate Latin letter by letter (Cherokee, Lisu, Coptic).
Source: UTS 39 §5.1, §5.2 (highly restrictive), UAX 31 table 5 (recommended scripts).
"""

from __future__ import annotations

import unicodedata

from sim_applet_tools.errors import ChallengeRefusedError

MAX_MARKS = 2
_INVISIBLE = frozenset(
    map(chr, (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0, *range(0x180B, 0x1810)))
) | frozenset(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
"""Blank, though their category says letter, mark or symbol."""
_REFUSED_CATEGORIES = {
    "Cc": "a control character",
    "Cf": "an invisible or bidirectional control character",
    "Cs": "half of a surrogate pair",
    "Co": "a private-use character",
    "Cn": "an unassigned character",
    "Zl": "a line separator",
    "Zp": "a paragraph separator",
}
_EVERYDAY_SCRIPTS = frozenset(
    [
        "ARABIC",
        "ARMENIAN",
        "BENGALI",
        "BOPOMOFO",
        "CYRILLIC",
        "DEVANAGARI",
        "ETHIOPIC",
        "GEORGIAN",
        "GREEK",
        "GUJARATI",
        "GURMUKHI",
        "HAN",
        "HANGUL",
        "HEBREW",
        "KANA",
        "KANNADA",
        "KHMER",
        "LAO",
        "LATIN",
        "MALAYALAM",
        "MYANMAR",
        "ORIYA",
        "SINHALA",
        "TAMIL",
        "TELUGU",
        "THAANA",
        "THAI",
        "TIBETAN",
    ]
)
_MIXES = (
    frozenset({"LATIN", "HAN", "KANA"}),
    frozenset({"LATIN", "HAN", "BOPOMOFO"}),
    frozenset({"LATIN", "HAN", "HANGUL"}),
)
"""Japanese, Chinese, Korean: the sets of UTS 39 §5.2."""
_ALIASES = {
    "CJK": "HAN",
    "IDEOGRAPHIC": "HAN",
    "HIRAGANA": "KANA",
    "KATAKANA": "KANA",
    "KATAKANA-HIRAGANA": "KANA",
    "ARABIC-INDIC": "ARABIC",
    "EXTENDED": "ARABIC",
}
_LOOK_LATIN = {
    "CYRILLIC": frozenset("аеорсухіјѕԁһԛԝӏүАВЕКМНОРСТУХІЈЅԌԚԜӀҮ"),
    "GREEK": frozenset("ονιυρκΑΒΕΖΗΙΚΜΝΟΡΤΥΧϲϳ"),
    "ARMENIAN": frozenset("օոսհցքՕՏՍԼ"),
}
_SAME_SHAPE = str.maketrans({"0": "o", "1": "l", "i": "l", "|": "l", "5": "s", "-": "", "_": "", ".": "", " ": ""})


def verify_text(text: str, what: str) -> None:
    """Return where every character of `text` is visible and keeps its place; a `ChallengeRefusedError` else."""
    for character in text:
        reason = _REFUSED_CATEGORIES.get(unicodedata.category(character))
        if reason is None and character in _INVISIBLE:
            reason = "an invisible character"
        if reason is None and character != " " and unicodedata.category(character) == "Zs" and character != "\u3000":
            reason = "an unusual space"
        if reason is not None:
            raise _refused(what, f"{reason} (U+{ord(character):04X})")
    if not unicodedata.is_normalized("NFC", text):
        raise _refused(what, "characters that are not composed (NFC)")


def verify_name(name: str, what: str) -> None:
    """As `verify_text`, and that `name` cannot be read as a name in other letters; `ChallengeRefusedError` else."""
    verify_text(name, what)
    if name != name.strip() or "  " in name or "\u3000" in name:
        raise _refused(what, "spaces at an end, or more than one in a row")
    _verify_marks(name, what)
    letters = [character for character in name if unicodedata.category(character).startswith(("L", "N"))]
    for character in name:
        imitates = unicodedata.category(character)[0] in "LNS" and unicodedata.normalize("NFKC", character) != character
        if imitates or _is_odd_latin(character):
            raise _refused(what, f"a letter that imitates another (U+{ord(character):04X})")
    scripts = {script for script in map(_script, letters) if script}
    if strange := scripts - _EVERYDAY_SCRIPTS:
        raise _refused(what, f"letters of a script that names are not written in ({', '.join(sorted(strange))})")
    if len(scripts) > 1 and not any(scripts <= mix for mix in _MIXES):
        raise _refused(what, f"letters of several scripts ({', '.join(sorted(scripts))})")
    for script, alike in _LOOK_LATIN.items():
        if scripts == {script} and all(letter in alike for letter in letters if _script(letter)):
            raise _refused(what, f"{script.capitalize()} letters that all look Latin")


def shape(name: str) -> str:
    """What `name` looks like at a glance: names of one shape are easily taken for each other."""
    folded = unicodedata.normalize("NFKD", name).casefold()
    bare = "".join(character for character in folded if not unicodedata.combining(character))
    return bare.translate(_SAME_SHAPE).replace("rn", "m").replace("vv", "w")


def _verify_marks(name: str, what: str) -> None:
    marks = MAX_MARKS
    for character in name:
        marks = marks + 1 if unicodedata.category(character) in {"Mn", "Mc", "Me"} else 0
        if marks > MAX_MARKS:
            raise _refused(what, "marks without a letter, or more than two on one")


def _script(character: str) -> str:
    """The script of a letter or digit; empty for 0 to 9, which all scripts share."""
    if character in "0123456789":
        return ""
    first = unicodedata.name(character, "?").split(" ")[0]
    return _ALIASES.get(first, first)


def _is_odd_latin(character: str) -> bool:
    """Clicks and phonetic letters, made to resemble the plain ones."""
    code = ord(character)
    if _script(character) != "LATIN" or code < 0x0180 or 0x1E00 <= code <= 0x1EFF:
        return False
    return code >= 0x0250 or 0x01C0 <= code <= 0x01C3


def _refused(what: str, why: str) -> ChallengeRefusedError:
    return ChallengeRefusedError(f"{what} holds {why}: it is not shown, and cannot be approved; tell the provider")
