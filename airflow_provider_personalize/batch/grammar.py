"""Lark behind the two languages: a grammar loaded once, and lark's errors told in the language's own words.

Lark is imported here and by the two modules that build trees, which the parsers import when a text is first parsed.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass

from lark import Lark, Token, Tree, UnexpectedCharacters, UnexpectedToken

from airflow_provider_personalize.batch.syntax import ExpressionSyntaxError

# Characters of an unexpected word that a message repeats.
_SHOWN = 40


@dataclass(frozen=True)
class Language:
    """A grammar file of this package and how to speak about it."""

    grammar: str
    error: type[ExpressionSyntaxError]
    words: Mapping[str, str]
    """Terminal -> what to call it where it was expected."""
    hints: Mapping[tuple[str, str], str]
    """(terminal found, terminal expected) -> what to say instead, where we know what was meant."""

    def parse(self, text: str) -> Tree[Token]:
        """Raises `error` with the place and what was expected there."""
        try:
            return _parser(self.grammar).parse(text)
        except UnexpectedToken as unexpected:
            error = self._token_error(text, unexpected.token, unexpected.accepts or unexpected.expected)
        except UnexpectedCharacters as unexpected:
            error = self._character_error(text, unexpected.pos_in_stream or 0, unexpected.allowed or set())
        # Raised out here, so that no lark error hangs on it as its context: those cannot travel to another process.
        raise error

    def _token_error(self, text: str, token: Token, expected: set[str]) -> ExpressionSyntaxError:
        if token.type == "$END":
            return self.error(f"Expected {self._in_words(expected)} at the end", text, len(text.rstrip()))
        position = token.start_pos or 0
        for terminal in expected:
            if hint := self.hints.get((token.type, terminal)):
                return self.error(hint, text, position)
        found = token if len(token) <= _SHOWN else token[:_SHOWN] + "..."
        return self.error(f"Expected {self._in_words(expected)}, not {found}", text, position)

    def _character_error(self, text: str, position: int, expected: set[str]) -> ExpressionSyntaxError:
        if text[position] in "\"'":
            return self.error("This text has no closing quote", text, position)
        if text[position] in "\u201c\u201d\u2018\u2019":
            return self.error('Text stands in straight quotes, like "Comedy"', text, position)
        found = re.split(r"[\s(),|]", text[position : position + _SHOWN])[0] or text[position]
        return self.error(f"Expected {self._in_words(expected)}, not {found}", text, position)

    def _in_words(self, expected: set[str]) -> str:
        # In the order of `words`, each once: several terminals may go by one name.
        words = list(dict.fromkeys(word for terminal, word in self.words.items() if terminal in expected))
        return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


@functools.cache
def _parser(grammar: str) -> Lark:
    return Lark.open_from_package(__package__, grammar, parser="lalr", maybe_placeholders=False)
