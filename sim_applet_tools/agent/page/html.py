"""The pages as text. Every value is escaped, and names stand in `<bdi>`, so that none reorders what is around it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from sim_applet_tools.agent.agent import Prompt
from sim_applet_tools.agent.challenge import Language
from sim_applet_tools.agent.consent_text import item_label
from sim_applet_tools.agent.notices import Notice
from sim_applet_tools.agent.wording import say, say_notice, sorted_notices

STYLE = """
:root { color-scheme: light dark; color: CanvasText; background: Canvas; font: 100%/1.5 system-ui, sans-serif; }
body { max-width: 38rem; margin: 2rem auto; padding: 0 1rem; }
.alarm, .warning, .info { border-left: .4rem solid; padding: .4rem .8rem; margin: .5rem 0; }
.alarm { border-color: #c00000; font-weight: bold; }
.warning { border-color: #b36b00; }
.info { border-color: #2060a0; }
.text { white-space: pre-line; border: 1px solid; padding: .8rem; }
dt { font-weight: bold; }
fieldset { margin: 1rem 0; }
button { font: inherit; padding: .5rem 1rem; margin: .3rem .3rem .3rem 0; }
input[type=password], input[type=text] { font: inherit; padding: .4rem; width: 12rem; }
label { display: block; margin: .5rem 0; }
"""


def page(language: Language, body: str, *, refresh_s: int = 0, onward: str = "") -> str:
    """A whole document; it goes to `onward` by itself."""
    title = escape(say(language, "title"))
    refresh = f'<meta http-equiv="refresh" content="{refresh_s}">' if refresh_s else ""
    if onward:
        refresh = f'<meta http-equiv="refresh" content="0;url={escape(onward)}">'
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8"><title>{title}</title>{refresh}'
        '<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="/style.css"></head>'
        f"<body><h1>{title}</h1><main>{body}</main></body></html>"
    )


def notices_html(language: Language, notices: Sequence[Notice]) -> str:
    return "".join(
        f'<p class="{notice.level}"{_role(notice)}>{escape(say_notice(language, notice))}</p>'
        for notice in sorted_notices(tuple(notices))
    )


def message_html(text: str) -> str:
    """One line about what just happened."""
    return f'<p class="warning" role="alert">{escape(text)}</p>'


def prompt_html(language: Language, prompt: Prompt, form_token: str, message: str = "") -> str:
    """One challenge with its form; the boxes say what is given."""
    challenge = prompt.challenge
    facts = [say(language, "domain", domain=prompt.domain), say(language, "member", member=prompt.record.member_name)]
    if challenge.browser:
        facts.append(say(language, "browser", browser=challenge.browser))
    return (
        (message_html(message) if message else "")
        + f"<h2>{escape(say(language, f'mode_{challenge.mode}'))}</h2>"
        + notices_html(language, prompt.notices)
        + f'<p class="text"><bdi>{escape(prompt.text)}</bdi></p>'
        + "".join(f"<p><bdi>{escape(fact)}</bdi></p>" for fact in facts)
        + '<form method="post" autocomplete="off">'
        + _hidden("form", form_token)
        + _items_html(language, prompt)
        + (_field("code", say(language, "code"), "text", 6) if challenge.mode == "remote" else "")
        + _field("pin", say(language, "pin"), "password", 8)
        + _button("approve", say(language, "approve_button"))
        + "".join(
            _button(action, say(language, text))
            for action, text in (
                ("declined", "refuse_button"),
                ("not-me", "not_me_button"),
                ("block-app", "block_button"),
                ("hold", "hold_button"),
            )
        )
        + "</form>"
    )


def home_html(language: Language, notices: Sequence[Notice], handles: Sequence[str], form_token: str) -> str:
    """What waits, what is to be known, and the way to hold the identity."""
    if handles:
        rows = "".join(
            f'<button name="handle" value="{escape(handle)}">{escape(say(language, "open"))} {number}</button>'
            for number, handle in enumerate(handles, 1)
        )
    else:
        rows = f"<p>{escape(say(language, 'nothing_waits'))}</p>"
    return (
        f"<h2>{escape(say(language, 'status'))}</h2>"
        + notices_html(language, notices)
        + '<form method="post">'
        + _hidden("form", form_token)
        + rows
        + "</form>"
        + f'<form method="post">{_hidden("form", form_token)}{_button("hold", say(language, "hold_button"))}</form>'
    )


def approved_html(language: Language, onward: str) -> str:
    """Says yes, with a link for whoever turned off that pages go on by themselves."""
    link = f'<a href="{escape(onward)}">{escape(say(language, "go_on"))}</a>'
    return f'<p role="status">{escape(say(language, "approved"))}</p><p>{link}</p>'


def hold_html(language: Language, form_token: str) -> str:
    """Asks whether to hold the identity."""
    sure = _field("sure", say(language, "hold_sure"), "text", 8)
    button = _button("hold", say(language, "hold_button"))
    return f'<form method="post" autocomplete="off">{_hidden("form", form_token)}{sure}{button}</form>'


def _items_html(language: Language, prompt: Prompt) -> str:
    items = prompt.challenge.items
    if not items:
        return ""
    rows = []
    for item in items:
        essential = f" ({say(language, 'essential')})" if item.is_essential else ""
        words = escape(f"{item_label(item.name, language)}{essential}")
        box = f'<input type="checkbox" name="give" value="{escape(item.name)}" checked>'
        rows.append(f"<label>{box} <bdi>{words}</bdi></label>")
    legend = f"{say(language, 'grant_item')}: {say(language, 'items')}"
    return f"<fieldset><legend>{escape(legend)}</legend>{''.join(rows)}</fieldset>"


def _field(name: str, label: str, kind: str, length: int) -> str:
    return (
        f'<label>{escape(label)}<br><input type="{kind}" name="{name}" maxlength="{length}" autocomplete="off"></label>'
    )


def _hidden(name: str, value: str) -> str:
    return f'<input type="hidden" name="{name}" value="{escape(value)}">'


def _button(action: str, label: str) -> str:
    return f'<button name="action" value="{action}">{escape(label)}</button>'


def _role(notice: Notice) -> str:
    return ' role="alert"' if notice.level == "alarm" else ""
