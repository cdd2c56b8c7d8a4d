"""Two apps that show each other the subjects they were given cannot tell which of them are one person (R-ID-4).

The classifier: for each subject at one app it names the likest subject at the other. Likeness is the number of common
three-character pieces, then of equal bytes at equal places. A guess by chance is right once in 1,000 people on
average; the number of right guesses is then that of a Poisson law with mean 1, and 0 to 3 hold 95 % of it. What is
random fails that test once in fifty runs, so the bound here is 6 (once in 12,000).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

from identity_oidc import base64url
from identity_oidc.store.database import Database
from identity_oidc.subject import subject_for

PEOPLE = 1_000
MOST_RIGHT = 6
NOW = 1_700_000_000


def pieces(sub: str) -> tuple[frozenset[str], bytes]:
    return frozenset(sub[place : place + 3] for place in range(len(sub) - 2)), base64url.parse(sub)


def right_guesses(ours: list[str], theirs: list[str]) -> int:
    """For how many people the classifier names the right subject; the same person has the same place in both."""
    known = [pieces(sub) for sub in theirs]
    right = 0
    for place, sub in enumerate(ours):
        parts, raw = pieces(sub)
        scores = [(len(parts & other), sum(a == b for a, b in zip(raw, more, strict=True))) for other, more in known]
        likest = max(scores)
        fitting = [number for number, score in enumerate(scores) if score == likest]
        right += secrets.choice(fitting) == place
    return right


def subjects(path: Path, sector_of: Callable[[str], str]) -> tuple[list[str], list[str]]:
    database = Database.open(f"sqlite:///{path}")
    with database.writing() as connection:
        both = tuple(
            [subject_for(connection, f"person-{number}", sector_of(app), NOW) for number in range(PEOPLE)]
            for app in ("shop.example", "bank.example")
        )
    database.close()
    return both[0], both[1]


def test_subjects_of_two_sectors_are_linked_no_better_than_by_chance(tmp_path: Path) -> None:
    ours, theirs = subjects(tmp_path / "oidc.sqlite", lambda app: app)
    assert not set(ours) & set(theirs)
    assert right_guesses(ours, theirs) <= MOST_RIGHT


def test_the_classifier_finds_a_link_where_there_is_one(tmp_path: Path) -> None:
    """Apps of one sector share subjects, so it is right about everybody."""
    ours, theirs = subjects(tmp_path / "oidc.sqlite", lambda _: "one.example")
    assert right_guesses(ours, theirs) == PEOPLE
