"""Options from typed signatures and docstrings, and errors in the user's words.

jsonargparse makes the options and checks the values; here its messages become one line each, with the option as it
is typed and the names that come close.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn, get_args, get_type_hints

from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace, set_parsing_settings

from pipeline.errors import UserError, unknown

set_parsing_settings(docstring_parse_attribute_docstrings=True)


class _Formatter(argparse.RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """Keeps the lines of a docstring, writes a class as its name and says nothing of empty defaults."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30)  # type: ignore[no-untyped-call]

    def _get_default_metavar_for_optional(self, action: argparse.Action) -> str:
        return "VALUE"

    def _expand_help(self, action: argparse.Action) -> str:
        text, known, subclasses = super()._expand_help(action).partition("known subclasses: ")
        text = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", text)
        text = re.sub(r"\{'class_path': '(?:\w+\.)*(\w+)'(?:, 'init_args': \{(.*)\})?\}", _as_call, text)
        text = re.sub(r" \(default: (\[\]|null)\)$", "", text)
        return text + known + re.sub(r"(?:\w+\.)+(\w+)", r"\1", subclasses)


def _as_call(default: re.Match[str]) -> str:
    """``Name(field=value)`` for jsonargparse's dictionary of a class and its fields."""
    fields = re.sub(r"'(\w+)': ", r"\1=", default[2] or "")
    return f"{default[1]}({fields})"


class Words(argparse.Action):
    """Words after an option that may be repeated; in a file of options a list of them, or one."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        setattr(namespace, self.dest, [*self.listed(getattr(namespace, self.dest)), *values])

    def listed(self, value: Any) -> list[str]:
        """A value from a file, or one typed, as a list. UserError where it is neither a word nor a list of words."""
        words = [value] if isinstance(value, str) else value
        if not (isinstance(words, list) and all(isinstance(word, str) for word in words)):
            raise UserError(f"{self.option_strings[0]}: expected {self.metavar} or a list of such, got '{value}'")
        return words


class Parser(ArgumentParser):
    """A parser whose every error is a UserError of one line, naming the option as it is typed."""

    def __init__(self, **settings: Any) -> None:
        # jsonargparse makes parsers of this class for nested classes, with settings of its own.
        super().__init__(formatter_class=_Formatter, allow_abbrev=False, **settings)
        self._optionals.title = "help and configuration"
        self.hints: dict[str, Any] = {}
        """The options made from signatures and their types, dotted where they lie in a nested class."""
        self._given: Sequence[str] = ()

    def add_signature(self, title: str, owner: type | Callable[..., Any]) -> None:
        """Add the fields of a dataclass or the arguments of a function as options."""
        group = self.add_argument_group(title)
        if isinstance(owner, type):
            group.add_class_arguments(owner, None, as_group=False)
        else:
            group.add_function_arguments(owner, None, as_group=False)
        hints = get_type_hints(owner)
        for name in inspect.signature(owner).parameters:
            self.hints.update(_nested(name, hints.get(name), ()))

    def read(self, arguments: Sequence[str]) -> Namespace:
        """Parse, check types and make the nested objects. What their own checks find wrong is a UserError too."""
        self._given = arguments
        try:
            values: Namespace = self.instantiate(self.parse_args(list(arguments)))
        except ValueError as error:
            raise UserError(_one_line(str(error))) from error
        for action in self._actions:
            if isinstance(action, Words):
                try:
                    values[action.dest] = action.listed(values[action.dest])
                except UserError as error:
                    raise UserError(f"{error}{self._origin(action.dest)}") from None
        return values

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if not self.exit_on_error:  # one of jsonargparse's own, whose errors the outer parser tells
            super().error(message, ex)
        raise self._explain(message)

    def _explain(self, message: str) -> UserError:
        if found := re.match(r"(?:argument|Parser key) \"?([\w./-]+)\"?:\s*(.*)", message, re.DOTALL):
            name, what = found.groups()
            # A nested class's own options are reported inside an account of the option that holds it.
            if nested := re.match(r"Problem with given class_path \S+:\s*(.*)", what, re.DOTALL):
                return self._explain(_within(name, nested[1]))
            if missing := re.match(r"Expected a dot import path string: (.*)", what):
                what = str(unknown("class", missing[1], (c.__name__ for c in _classes(self.hints.get(name)))))
            return UserError(f"{self._typed(name)}: {_expected(what)}{self._origin(name)}")
        if found := re.match(r"the following arguments are required: (.*)", message):
            return UserError(f"missing: {', '.join(map(self._typed, found[1].split(', ')))}")
        if found := re.match(r"unrecognized arguments: -+([^\s=]*)", message):
            return self._no_option(found[1])
        if found := re.match(r"unrecognized arguments: (\S*)", message):
            return UserError(f"unexpected argument '{found[1]}'")
        if found := re.match(r"(?:Group '(.*)' does not accept o|O)ption '(.*?)'", message):
            return self._no_option(".".join(filter(None, found.groups())))
        if found := re.match(r"(?:Problems parsing|Unexpected) config:(.*)", message, re.DOTALL):
            what = found[1].replace('in "<unicode string>", ', "at ")
            return UserError(f"--config: not a YAML file of options: {_one_line(what)}{self._origin('')}")
        return UserError(_one_line(message))

    def _no_option(self, name: str) -> UserError:
        typed = [*(f"--{n}" for n in self.hints), *(o for action in self._actions for o in action.option_strings)]
        return UserError(f"{unknown('option', f'--{name}', typed)}{self._origin(name)}")

    def _typed(self, name: str) -> str:
        """How a key is typed on the command line."""
        for action in self._actions:
            if name == action.dest or name in action.option_strings:
                return action.option_strings[0] if action.option_strings else str(action.metavar or name)
        return f"--{name}"

    def _origin(self, name: str) -> str:
        """Which file a wrong value is from, where it was not typed."""
        leaf = name.lstrip("-").rpartition(".")[2]
        if leaf == "config" or any(re.match(rf"--([\w.-]+\.)?{re.escape(leaf)}(=|$)", g) for g in self._given):
            return ""
        files = re.findall(r"--config[= ](\S+)", " ".join(self._given))
        return f" (in {', '.join(files)})" if files else ""


def _nested(name: str, hint: Any, outer: tuple[type, ...]) -> Iterator[tuple[str, Any]]:
    """Option ``name`` and, dotted, the fields of every dataclass that its type allows, each with its type."""
    yield name, hint
    for cls in _classes(hint):
        if dataclasses.is_dataclass(cls) and cls not in outer:
            hints = get_type_hints(cls)
            for field in dataclasses.fields(cls):
                yield from _nested(f"{name}.{field.name}", hints[field.name], (*outer, cls))


def _classes(hint: Any) -> Iterator[type]:
    """The concrete classes in a type: for an abstract one, those derived from it."""
    for argument in get_args(hint):
        yield from _classes(argument)
    if isinstance(hint, type) and not get_args(hint):
        if not inspect.isabstract(hint):
            yield hint
        else:
            derived: type
            for derived in type.__subclasses__(hint):
                yield from _classes(derived)


def _within(option: str, message: str) -> str:
    """What a nested class's parser says, with the names of its options as the outer parser knows them."""
    message = re.sub(r"(Parser key \"|[Oo]ption ')", rf"\g<1>{option}.", message, count=1)
    if found := re.match(r"the following arguments are required: (.*)", message):
        names = ", ".join(f"{option}.{name}" for name in found[1].split(", "))
        return f"the following arguments are required: {names}"
    return message


def _expected(message: str) -> str:
    """``expected float, got 'x'`` from jsonargparse's account of a value that does not fit."""
    if found := re.match(r"(?:File does not exist|Path is not a file): '?(.*?)'?$", message):
        return f"{found[1]}: no such file"
    kinds = re.findall(r"(?:Expected an?|Not a valid) (.+?)(?:\. Got value.*)?$", message, re.M)
    got = re.search(r"(?:Got|Given) value: (.*)", message)
    if got and kinds:
        return f"expected {' or '.join(dict.fromkeys(map(_kind, kinds)))}, got '{got[1]}'"
    return _one_line(message)


def _kind(text: str) -> str:
    """A type as jsonargparse prints it, in plain words."""
    if found := re.search(r"Literal\[(.*)\]", text):
        return f"one of {found[1]}"
    name = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", text)
    a_list = "a list like '[a, b]'"
    return {"NoneType": "null", "bool": "true or false", "tuple": a_list, "list": a_list}.get(name, name)


def _one_line(text: str) -> str:
    return " ".join(text.split())
