"""Reading a formula in x: text becomes a short list of steps over a closed set, never Python code.

This module must not know how steps are evaluated.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from embact.errors import EmbactError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_CHARACTERS = 500
MOST_STEPS = 200
MOST_NESTED = 40
MOST_EXPONENT = 1000


class Step(NamedTuple):
    """One operation on the results of earlier steps; ``value`` is its number or its exponent."""

    op: str
    args: tuple[int, ...] = ()
    value: Fraction = Fraction(0)


ARGUMENTS = {"min": 2, "max": 2, "clip": 3, "where": 3, "relu": 1}
UNARY = (
    *("exp", "expm1", "log", "log1p", "sqrt", "abs", "sign", "sin", "cos", "tanh", "sinh", "cosh"),
    *("atan", "erf", "erfc", "sigmoid", "softplus"),
)
CONSTANTS = ("pi", "e")
NAMES = ("x", *CONSTANTS, *UNARY, *ARGUMENTS)
TOKEN = re.compile(
    r"(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)|(?P<name>[A-Za-z_][A-Za-z_0-9]*)"
    r"|(?P<mark>\*\*|<=|>=|[-+*/(),<>])"
)


class _Token(NamedTuple):
    kind: str
    text: str
    position: int


def _refused(what: str, token: _Token, allowed: str) -> EmbactError:
    got = "the end" if token.kind == "end" else ascii(token.text[:20])
    return EmbactError(
        what, got=got, allowed=allowed, where=f"formula, character {token.position + 1}"
    )


def _tokens(text: str) -> list[_Token]:
    if len(text) > MOST_CHARACTERS:
        raise EmbactError("length of a formula", got=len(text), allowed=f"1..{MOST_CHARACTERS}")
    found, position = [], 0
    while position < len(text):
        if text[position] in " \t\r\n":
            position += 1
            continue
        match = TOKEN.match(text, position)
        if match is None:
            allowed = f"numbers, + - * / ** ( ) , and {', '.join(NAMES)}"
            if text[position] == "^":
                allowed = "** for a power"
            raise _refused("character", _Token("", text[position], position), allowed)
        found.append(_Token(str(match.lastgroup), match.group(), position))
        position = match.end()
    return [*found, _Token("end", "", len(text))]


class _Reader:
    """A recursive-descent parser; ``steps`` maps each distinct step to its number, in order."""

    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.next = 0
        self.nested = 0
        self.steps: dict[Step, int] = {}

    def read(self) -> tuple[Step, ...]:
        """Return the steps of the whole formula, the last one being its result."""
        root = self.sum()
        token = self.token
        if token.text in {"<", "<=", ">", ">="}:
            raise _refused("comparison", token, "one in the first argument of where(a < b, c, d)")
        if token.kind != "end":
            raise _refused("formula goes on", token, "an operator, or the end")
        return _needed(tuple(self.steps), root)

    @property
    def token(self) -> _Token:
        return self.tokens[self.next]

    def take(self, *texts: str) -> _Token | None:
        """Return the next token and go past it, if it is one of these."""
        token = self.token
        if token.kind != "mark" or token.text not in texts:
            return None
        self.next += 1
        return token

    def demand(self, *texts: str) -> str:
        token = self.take(*texts)
        if token is None:
            raise _refused("formula", self.token, " ".join(texts))
        return token.text

    def step(self, op: str, *args: int, value: Fraction = Fraction(0)) -> int:
        """Return the number of a step; an operation on numbers is the number that it gives."""
        numbers = [tuple(self.steps)[arg] for arg in args]
        if op in RATIONAL and all(number.op == "number" for number in numbers):
            a, b = numbers[0].value, numbers[-1].value
            if op != "/" or b:
                op, args, value = "number", (), RATIONAL[op](a, b)
        made = Step(op, args, value)
        if made not in self.steps and len(self.steps) == MOST_STEPS:
            raise EmbactError("operations in a formula", allowed=f"at most {MOST_STEPS}")
        return self.steps.setdefault(made, len(self.steps))

    def sum(self) -> int:
        left = self.product()
        while token := self.take("+", "-"):
            left = self.step(token.text, left, self.product())
        return left

    def product(self) -> int:
        left = self.signed()
        while token := self.take("*", "/"):
            left = self.step(token.text, left, self.signed())
        return left

    def signed(self) -> int:
        negative = False
        while token := self.take("+", "-"):
            negative ^= token.text == "-"
        base = self.atom()
        if power := self.take("**"):
            self.enter(power)
            number = self.signed()
            exponent = tuple(self.steps)[number]
            self.nested -= 1
            if exponent.op != "number" or abs(exponent.value) > MOST_EXPONENT:
                raise _refused(
                    "exponent after",
                    power,
                    f"a number of -{MOST_EXPONENT}..{MOST_EXPONENT}, without x or a power; "
                    "a to the b is exp(b*log(a))",
                )
            base = self.step("**", base, value=exponent.value)
        return self.step("neg", base) if negative else base

    def enter(self, token: _Token) -> None:
        self.nested += 1
        if self.nested > MOST_NESTED:
            raise _refused("nesting", token, f"at most {MOST_NESTED} levels")

    def atom(self) -> int:
        token = self.token
        if token.kind == "number":
            self.next += 1
            return self.step("number", value=_number(token))
        if token.kind == "name":
            self.next += 1
            return self.named(token)
        if self.take("("):
            self.enter(token)
            inner = self.sum()
            self.demand(")")
            self.nested -= 1
            return inner
        raise _refused("formula", token, "a number, x, a function or (")

    def named(self, token: _Token) -> int:
        name = token.text
        where = f"formula, character {token.position + 1}"
        if name not in NAMES:
            raise unknown_name("name", name[:20], NAMES, where=where)
        if name == "x" or name in CONSTANTS:
            return self.step(name)
        self.demand("(")
        self.enter(token)
        compared = None
        args = [self.sum()]
        if name == "where":
            compared = self.demand("<", "<=", ">", ">=")
            args.append(self.sum())
        while self.take(","):
            args.append(self.sum())
        self.demand(")")
        self.nested -= 1
        wanted, got = ARGUMENTS.get(name, 1), len(args) - (name == "where")
        if got != wanted:
            raise EmbactError(f"arguments of {name}", got=got, allowed=str(wanted), where=where)
        return self.call(name, args, compared)

    def call(self, name: str, args: list[int], compared: str | None) -> int:
        match name:
            case "relu":
                return self.step("max", args[0], self.step("number"))
            case "clip":
                return self.step("min", self.step("max", args[0], args[1]), args[2])
            case "where":
                a, b, then, other = args
                if compared in {">", "<="}:  # a > b is b < a
                    a, b = b, a
                if compared in {"<=", ">="}:  # a >= b is not a < b
                    then, other = other, then
                return self.step("less", a, b, then, other)
            case _:
                return self.step(name, *args)


def _needed(steps: tuple[Step, ...], root: int) -> tuple[Step, ...]:
    """Return the steps that one of them needs, in order; that one is the last."""
    needed = {root}
    for number in range(root, -1, -1):
        if number in needed:
            needed.update(steps[number].args)
    places = {number: place for place, number in enumerate(sorted(needed))}
    return tuple(
        steps[number]._replace(args=tuple(places[arg] for arg in steps[number].args))
        for number in places
    )


RATIONAL: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "neg": lambda a, _: -a,
}


def _number(token: _Token) -> Fraction:
    exponent = token.text.lower().partition("e")[2].lstrip("+-").lstrip("0")
    value = Fraction(token.text) if len(exponent) <= 3 else None
    if value is None or (value and not 1e-300 <= value <= 1e300):
        raise _refused("number", token, "0, or 1e-300..1e300")
    return value


def read(text: str) -> tuple[str, tuple[Step, ...]]:
    """Return a formula without its spaces and its steps, the last one being its result.

    Raises EmbactError, naming the character, for any other text.
    """
    reader = _Reader(text)
    steps = reader.read()
    # no valid formula changes its meaning without spaces: two words never meet
    return "".join(token.text for token in reader.tokens), steps
